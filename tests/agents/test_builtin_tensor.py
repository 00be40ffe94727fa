"""Matrix products on tensor cores and with cp.async against torch: layouts, odd sizes, tile shapes, what a GPU lacks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from builtin_harness import Runner, check, coder_for
from builtin_modules import Calls, R, seeded
from torch import nn
from torch.nn import functional as F

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.tensor_forecast import on_tensor_cores
from kernelwright.bench_tasks.graph import Graph
from kernelwright.sandbox import emulator
from kernelwright.sandbox.capture import capture
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time

H200 = find_gpu("H200")
HALF, BFLOAT = torch.float16, torch.bfloat16
KNOBS = ("tile_m", "tile_n", "tile_k", "thread_m", "thread_n", "stages", "copy")


def product(m: int, n: int, k: int, dtype: torch.dtype, layout: str) -> tuple[nn.Module, tuple[Any, ...]]:
    """``a @ b``; the layout says of each of both whether it lies transposed in memory."""
    a = R(k, m) if layout[0] == "t" else R(m, k)
    b = R(n, k) if layout[1] == "t" else R(k, n)

    def function(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a.t() if layout[0] == "t" else a) @ (b.t() if layout[1] == "t" else b)

    return Calls(function), (a.to(dtype), b.to(dtype))


def choice_of(coder: BuiltinCoder, values: tuple[int | str, ...], cores: str = "tensor") -> dict[str, Any]:
    """The coder's usual choice with these knobs, which must be legal as they are."""
    name = next(iter(coder.defaults)).partition(".")[0]
    knobs = {**dict(zip(KNOBS, values, strict=True)), "cores": cores, "slices": 1, "split": 1}
    wanted = {f"{name}.{knob}": value for knob, value in knobs.items()}
    assert coder.changed(coder.defaults, wanted) == {**coder.defaults, **wanted}, "legal as it is"
    return {**coder.defaults, **wanted}


def flops(runner: Runner) -> dict[str, int]:
    return dict(runner.reports[0].counters.flops)


@pytest.mark.parametrize(
    ("dtype", "layout", "sizes"),
    [
        (HALF, "nt", (33, 48, 64)),
        (HALF, "tn", (40, 24, 100)),
        (BFLOAT, "nn", (37, 29, 41)),
        (BFLOAT, "tt", (17, 97, 131)),
        (HALF, "nn", (2, 3, 2)),
    ],
)
def test_layouts_and_odd_sizes(runner: Runner, dtype: torch.dtype, layout: str, sizes: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    check(runner, *product(*sizes, dtype, layout), distributions=("zeros", "constant"))
    assert flops(runner)["tensor"] >= 2 * sizes[0] * sizes[1] * sizes[2]


EPILOGUES: dict[str, Any] = {
    "linear_gelu": lambda dtype: (nn.Sequential(nn.Linear(72, 40), nn.GELU()).to(dtype), (R(3, 11, 72).to(dtype),)),
    "residual": lambda dtype: (
        Calls(lambda x, w, r: F.silu(x @ w) + r), (R(35, 24).to(dtype), R(24, 56).to(dtype), R(35, 56).to(dtype)),
    ),
    "batched": lambda dtype: (
        Calls(lambda a, b: torch.relu(torch.bmm(a, b) * 0.5 + 1)), (R(3, 17, 40).to(dtype), R(3, 40, 23).to(dtype)),
    ),
    "to_float": lambda dtype: (Calls(lambda a, b: (a @ b).float() * 2), (R(19, 32).to(dtype), R(32, 24).to(dtype))),
    "sliced": lambda dtype: (Calls(lambda a, b: a[:, 3:] @ b), (R(19, 35).to(dtype), R(32, 24).to(dtype))),
}  # fmt: skip


@pytest.mark.parametrize(("name", "dtype"), list(zip(EPILOGUES, itertools.cycle((HALF, BFLOAT)))))
def test_pointwise_work_is_fused(runner: Runner, name: str, dtype: torch.dtype) -> None:
    module, inputs = seeded(lambda: EPILOGUES[name](dtype))
    coder = check(runner, module, inputs, distributions=("zeros",))
    assert not coder.stays_in_torch
    assert len(runner.reports) == 1
    assert flops(runner).get("tensor")


SHAPES = (
    (16, 16, 16, 2, 2), (16, 32, 64, 2, 2), (32, 32, 32, 2, 4), (64, 32, 16, 4, 2), (64, 64, 64, 4, 8),
    (128, 64, 32, 8, 4), (128, 128, 16, 8, 8), (64, 256, 32, 8, 16), (256, 64, 32, 8, 8),
)  # fmt: skip
WAYS = ((1, "registers"), (2, "registers"), (2, "async"), (3, "async"), (4, "async"))
SWEEP = [(shape + way, layout) for shape in SHAPES for way in WAYS for layout in ("nn", "nt", "tn", "tt")]
SAMPLE = (((64, 32, 16, 4, 2, 3, "async"), "tt"), ((64, 256, 32, 8, 16, 1, "registers"), "nn"))


def _tiles(runner: Runner, values: tuple[Any, ...], layout: str) -> None:
    torch.manual_seed(0)
    module, inputs = product(136, 72, 104, HALF if values[0] != 32 else BFLOAT, layout)
    coder = coder_for(module, inputs)
    check(runner, module, inputs, distributions=(), parameters=choice_of(coder, values), coder=coder)
    assert flops(runner)["tensor"] > 0


@pytest.mark.parametrize(("values", "layout"), SAMPLE)
def test_tiles(runner: Runner, values: tuple[Any, ...], layout: str) -> None:
    _tiles(runner, values, layout)


@pytest.mark.tiles
@pytest.mark.parametrize(("values", "layout"), SWEEP)
def test_every_tile(runner: Runner, values: tuple[Any, ...], layout: str) -> None:
    _tiles(runner, values, layout)


@pytest.mark.tiles
@pytest.mark.parametrize("sizes", list(itertools.product((2, 7, 16, 31), (3, 8, 37), (2, 5, 16, 33))))
@pytest.mark.parametrize("dtype", [HALF, BFLOAT, torch.float32])
def test_every_small_size(runner: Runner, sizes: tuple[int, int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    check(runner, *product(*sizes, dtype, "nt" if sum(sizes) % 2 else "nn"), distributions=("zeros",))


@pytest.mark.parametrize(
    ("values", "layout", "dtype"),
    [
        ((32, 64, 16, 4, 4, 3, "async"), "nt", torch.float32),
        ((32, 32, 8, 2, 2, 4, "async"), "tn", torch.float64),
    ],
)
def test_cp_async_on_cuda_cores(runner: Runner, values: tuple[Any, ...], layout: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module, inputs = product(45, 70, 101, dtype, layout)
    coder = coder_for(module, inputs)
    check(runner, module, inputs, distributions=("mixed",), parameters=choice_of(coder, values, "cuda"), coder=coder)


def test_the_plainest_kernel_of_a_half_product_runs_on_cuda_cores() -> None:
    coder = coder_for(*product(100, 90, 64, HALF, "nt"))
    plain = coder.propose((), None)
    assert plain is not None
    assert plain.kernel.parameters["mm_tiles.cores"] == "cuda"
    assert plain.kernel.parameters["mm_tiles.tile_m"] == 32
    assert coder.defaults["mm_tiles.cores"] == "tensor"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wider_types_are_left_to_cuda_cores(dtype: torch.dtype) -> None:
    """Tensor cores would round float32 to tf32, which the numeric policy refuses."""
    coder = coder_for(*product(64, 64, 64, dtype, "nn"))
    assert "mm_tiles.cores" not in coder.space
    assert coder.defaults["mm_tiles.cores"] == "cuda"


def test_sums_that_a_task_wants_in_float32_are_not_made_by_tensor_cores() -> None:
    module = Calls(lambda a, b: a.float() @ b.float())
    coder = coder_for(module, (R(40, 32).half(), R(32, 24).half()))
    assert all(value == "cuda" for knob, value in coder.defaults.items() if knob.endswith(".cores"))


def _for_arch(module: nn.Module, inputs: tuple[Any, ...], arch: str) -> BuiltinCoder:
    return BuiltinCoder(Graph.from_json(capture(module, inputs).to_json()), "task", arch=arch)


def test_what_an_old_gpu_lacks_is_no_choice() -> None:
    half = _for_arch(*product(64, 64, 64, HALF, "nn"), "sm_75")
    assert half.defaults["mm_tiles.cores"] == "tensor"
    assert "mm_tiles.copy" not in half.space
    assert half.changed(half.defaults, {"mm_tiles.copy": "async"}) is None
    assert _for_arch(*product(64, 64, 64, BFLOAT, "nn"), "sm_75").defaults["mm_tiles.cores"] == "cuda"


def test_the_source_compiles_for_an_old_gpu_too(runner: Runner) -> None:
    """Written without knowing the GPU: plain copies and the smaller mma take the place of what it lacks."""
    module, inputs = product(40, 24, 48, HALF, "nn")
    source, _ = (lambda c: c.write(c.defaults))(coder_for(module, inputs))
    code = source.split('CUDA_SOURCE = r"""')[1].split('"""')[0]
    assert emulator.compile(code, ("--std=c++17",), arch="sm_75", cache_dir=runner.cache).kernels


def test_shared_memory_past_the_static_limit_is_asked_for(runner: Runner) -> None:
    module, inputs = product(130, 136, 72, HALF, "nt")
    coder = coder_for(module, inputs)
    choice = choice_of(coder, (128, 128, 32, 8, 8, 3, "async"))
    source, generated = coder.write(choice)
    (launch,) = generated["mm_tiles"].launches
    assert launch.shared == 3 * 2 * (128 + 128) * (32 + 8)
    assert f"_mm_tiles.max_dynamic_shared_size_bytes = {launch.shared}" in source
    assert f"shared_mem={launch.shared}" in source
    check(runner, module, inputs, distributions=(), parameters=choice, coder=coder)
    assert runner.reports[0].dynamic_shared == launch.shared


def test_fragments_and_copies_have_no_bank_conflicts(runner: Runner) -> None:
    """A request of 512 bytes takes four passes over the banks, 128 bytes each: no fewer are possible."""
    module, inputs = product(64, 64, 128, HALF, "nt")
    coder = coder_for(module, inputs)
    check(
        runner, module, inputs, distributions=(), coder=coder,
        parameters=choice_of(coder, (64, 64, 64, 4, 8, 2, "async")),
    )  # fmt: skip
    c = runner.reports[0].counters
    copied = 2 * 2 * 64 * 128
    assert c.global_load_requests == copied // 512
    # but for the sums at the end, which are read in twice as many
    assert c.shared_load_wavefronts <= c.shared_load_bytes / 128 + 4 * 64 * 64 / 128
    assert c.shared_store_wavefronts == c.shared_store_bytes / 128
    assert c.global_store_sectors * 32 == c.global_store_bytes == 2 * 64 * 64
    assert c.global_store_requests == 2 * 64 * 64 // 512


CHOICES = (
    (32, 32, 8, 2, 2, 1, "registers", "cuda"),
    (64, 64, 64, 4, 8, 3, "async", "tensor"),
    (128, 64, 32, 8, 8, 4, "async", "tensor"),
    (64, 32, 32, 4, 4, 2, "registers", "tensor"),
)


@pytest.fixture(scope="module")
def launches(runner: Runner) -> dict[tuple[Any, ...], LaunchReport]:
    """A product of 256 x 512 by 512 x 256 halves, by its knobs."""
    torch.manual_seed(0)
    module, inputs = product(256, 256, 512, HALF, "nt")
    coder = coder_for(module, inputs)
    found = {}
    for values in CHOICES:
        source, _ = coder.write(choice_of(coder, values[:-1], values[-1]))
        runner.call(runner.load(source).ModelNew(), inputs)
        (found[values],) = runner.reports
    return found


def _full(values: tuple[Any, ...]) -> dict[str, Any]:
    return {**dict(zip((*KNOBS, "cores"), values, strict=True)), "slices": 1, "split": 1}


@pytest.mark.parametrize("old", CHOICES)
@pytest.mark.parametrize("new", CHOICES[1:])
def test_the_forecast_is_near_the_kernel(
    launches: dict[tuple[Any, ...], LaunchReport], old: tuple[Any, ...], new: tuple[Any, ...]
) -> None:
    forecast = on_tensor_cores(launches[old], _full(old), _full(new))
    real = launches[new]
    assert forecast is not None
    assert forecast.block == real.block
    assert forecast.counters.warps == real.counters.warps
    assert kernel_time(forecast, H200).seconds == pytest.approx(kernel_time(real, H200).seconds, rel=0.25)


def test_what_cannot_be_forecast(launches: dict[tuple[Any, ...], LaunchReport]) -> None:
    old = _full(CHOICES[1])
    report = launches[CHOICES[1]]
    assert on_tensor_cores(report, old, {**old, "thread_m": 1}) is None  # half a fragment
    assert on_tensor_cores(report, old, {**old, "slices": 2}) is None
    assert on_tensor_cores(report, old, {**old, "cores": "cuda"}) is None
