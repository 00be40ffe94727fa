"""Runs sources of the built-in coder on the emulator, in the test's own process, and compares them with torch.

The kernels of one source run on several inputs each: what costs time is compiling, not running.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.bench_tasks.graph import Graph
from kernelwright.rl.policy.pricing import RegisteredPointers, default_stream
from kernelwright.sandbox import emulator
from kernelwright.sandbox.capture import capture
from kernelwright.sandbox.launch import LaunchReport

DISTRIBUTIONS = ("normal", "large", "tiny", "mixed", "constant", "zeros")
"""As bench_tasks.task.Distribution names them."""


class Runner:
    """Emulated device of one test session.

    Args:
        cache: folder for what the emulator compiles; None takes the cache of builds.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self.reports: list[LaunchReport] = []

    def load(self, source: str) -> Any:
        """The module a source defines."""
        memory = emulator.Memory()
        self.memory = memory
        runner = self

        class RawModule:
            def __init__(
                self,
                code: str,
                options: tuple[str, ...] = (),
                name_expressions: Sequence[str] = (),
                backend: str = "nvrtc",
            ) -> None:
                assert backend == "nvrtc"
                self.module = emulator.compile(code, options, name_expressions=name_expressions, cache_dir=runner.cache)

            def get_function(self, name: str) -> Any:
                def launch(grid: Any, block: Any, args: Any, shared_mem: int = 0) -> None:
                    report = self.module.launch(name, grid, block, args, shared=shared_mem, memory=memory)
                    runner.reports.append(report)

                return launch

        class ExternalStream:
            def __init__(self, pointer: int) -> None:
                assert pointer == 0

            def __enter__(self) -> None:
                pass

            def __exit__(self, *_: object) -> None:
                pass

        cupy = types.SimpleNamespace(RawModule=RawModule, cuda=types.SimpleNamespace(ExternalStream=ExternalStream))
        code = source.replace("import cupy\n", "")
        module = types.ModuleType("written")
        module.__dict__["cupy"] = cupy
        exec(compile(code, "<written>", "exec"), module.__dict__)
        return module

    def call(self, model: torch.nn.Module, inputs: Sequence[Any]) -> Any:
        """One forward call; every launch must be without violations."""
        self.reports = []
        with RegisteredPointers(self.memory), default_stream():
            result = model(*inputs)
        for report in self.reports:
            assert not report.violations, report.violations
        return result


def coder_for(module: torch.nn.Module, inputs: Sequence[Any], name: str = "task") -> BuiltinCoder:
    """The coder, through JSON as in a real run."""
    return BuiltinCoder(Graph.from_json(capture(module, tuple(inputs)).to_json()), name)


def redrawn(inputs: Sequence[Any], distribution: str, seed: int) -> list[Any]:
    """Inputs with the floating-point ones drawn anew."""
    generator = torch.Generator().manual_seed(seed)

    def draw(x: Any) -> Any:
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            return x
        normal = torch.randn(x.shape, generator=generator)
        exponent = torch.rand(x.shape, generator=generator) * 5 - 3
        values = {
            "normal": normal,
            "large": normal * 100,
            "tiny": normal * 1e-3,
            "mixed": normal * 10**exponent,
            "constant": torch.full(x.shape, 0.7315),
            "zeros": torch.zeros(x.shape),
        }[distribution]
        return values.to(x.dtype)

    return [draw(x) for x in inputs]


def compare(got: Any, module: torch.nn.Module, inputs: Sequence[Any], what: str) -> None:
    """Each element may err eight times as much as float32 torch does against float64, plus 16 ulp of the output's size."""
    double = copy.deepcopy(module).double()
    wide = [x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs]
    with torch.no_grad():
        plain, exact = module(*inputs), double(*wide)
    ours, ours_spec = pytree.tree_flatten(got)
    theirs, theirs_spec = pytree.tree_flatten(plain)
    assert len(ours) == len(theirs), f"{what}: {ours_spec} instead of {theirs_spec}"
    for place, (x, y, z) in enumerate(zip(ours, theirs, pytree.tree_leaves(exact), strict=True)):
        label = f"{what}, output {place}"
        if not isinstance(y, torch.Tensor):
            assert x == y, label
            continue
        assert (x.shape, x.dtype, x.stride()) == (y.shape, y.dtype, y.stride()), label
        if not y.is_floating_point():
            assert torch.equal(x, y), label
            continue
        x64, y64, z64 = x.double(), y.double(), z.double()
        assert torch.equal(torch.isnan(x64), torch.isnan(y64)), f"{label}: NaN elsewhere"
        finite = torch.isfinite(y64) & torch.isfinite(z64)
        assert torch.equal(x64[torch.isinf(y64)], y64[torch.isinf(y64)]), f"{label}: infinities differ"
        if not finite.any():
            continue
        honest = (y64 - z64)[finite].abs().max()
        scale = z64[finite].abs().max()
        allowed = 8 * honest + 16 * torch.finfo(y.dtype).eps * scale
        error = (x64 - z64)[finite].abs().max()
        assert error <= allowed, f"{label}: error {error:.3g}, allowed {allowed:.3g}"


def check(
    runner: Runner,
    module: torch.nn.Module,
    inputs: Sequence[Any],
    *,
    distributions: Sequence[str] = DISTRIBUTIONS,
    parameters: Mapping[str, int | str | bool] | None = None,
    coder: BuiltinCoder | None = None,
) -> BuiltinCoder:
    """Writes the kernels of a module, runs them on every distribution, and compares with torch."""
    coder = coder or coder_for(module, inputs)
    source, _ = coder.write({**coder.defaults, **(parameters or {})})
    model = runner.load(source).ModelNew()
    model.load_state_dict(module.state_dict())
    for seed, distribution in enumerate(("as_given", *distributions)):
        given = list(inputs) if distribution == "as_given" else redrawn(inputs, distribution, seed)
        before = [x.clone() if isinstance(x, torch.Tensor) else x for x in given]
        got = runner.call(model, given)
        for x, y in zip(before, given, strict=True):
            if isinstance(x, torch.Tensor):
                torch.testing.assert_close(y, x, rtol=0, atol=0, equal_nan=True, msg="an input was changed")
        compare(got, module, given, distribution)
    return coder
