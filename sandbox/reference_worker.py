"""The reference process: runs a task's PyTorch module, natively and in float64. Trusted: the task is its owner's.

Run with ``python -m kernelwright.sandbox.reference_worker FD``; `kernelwright.sandbox.reference` is its other end.
"""

from __future__ import annotations

import linecache
import random
import sys
import types
from typing import Any

import numpy
import torch

from kernelwright.errors import LoweringError, TaskError
from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.distributions import draw, move_weights, strided
from kernelwright.sandbox.emulated import torch_cuda
from kernelwright.sandbox.gradients import (
    Wanted,
    compact_strides,
    cotangents,
    differentiate,
    find_wanted,
    gradient_names,
)
from kernelwright.sandbox.honest_runs import HonestRuns
from kernelwright.sandbox.modules import new_module
from kernelwright.sandbox.places import places_of, shared_storage
from kernelwright.sandbox.sampling import DRAWS, INDEPENDENT, independent_values, picked, sample
from kernelwright.sandbox.serve import describe_error, serve
from kernelwright.sandbox.trees import construct, map_tensors, same_bits, seed_torch, tensors_of

_FOR_COTANGENTS = frozenset({"one_hot", "mixed", "large", "tiny"})  # zeros among them, large ones and small ones


class Reference:
    """The loaded task and its handlers."""

    def __init__(self) -> None:
        self.file = ""
        self.module: types.ModuleType | None = None
        self.models: dict[tuple[int, bool], torch.nn.Module] = {}
        self.wanted: Wanted | None = None
        """The gradients that the task has, if it asks for them."""
        self.samples = False
        """Whether the module draws random numbers."""
        self.own_sizes: dict[str, Any] = {}
        """What the names that are replaced stand for in the file."""

    # -- loading ------------------------------------------------------------------------------------------------

    def load(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Runs the file, builds the module, calls it twice: everything that can be wrong with a task shows here."""
        body = message.body
        self.file = body["path"] or f"<{body['name']}>"
        for folder in body["import_paths"]:
            sys.path.append(folder)
        source = body["source"]
        module = new_module("kernelwright_task", self.file, source)
        if "cuda" in source:  # files written for a GPU run on the CPU here
            torch_cuda.install()
        attachments = {key: bytes(value.numpy().tobytes()) for key, value in (message.values or {}).items()}
        module.__dict__["ATTACHMENTS"] = attachments
        self._guard("the file", lambda: exec(compile(source, self.file, "exec"), module.__dict__))
        for name in ("Model", "get_inputs"):
            if not callable(getattr(module, name, None)):
                raise TaskError(
                    f"the task defines no {name}.",
                    mend="A task file defines class Model(torch.nn.Module), get_inputs() and get_init_inputs().",
                )
        self.module = module
        model = self.model(0)
        inputs = self._inputs(seed=0)
        tensors = tensors_of(inputs)
        if not tensors:
            raise TaskError(
                "get_inputs() returns no tensor.",
                mend="Return a list of the tensors that forward takes.",
                line=self._line_of("get_inputs"),
            )
        kept = map_tensors(inputs, torch.clone)  # a module may change its inputs in place
        outputs = self._guard("forward", lambda: self._forward(model, inputs))
        self._check_outputs(outputs)
        spare = map_tensors(kept, torch.clone)
        again = self._guard("forward", lambda: self._forward(model, kept))
        self.samples = not _alike(outputs, again)
        if self.samples:
            self._check_samples(model, spare)
        return {
            **(self._gradients(model) if body["backward"] else {}),
            "inputs": [_spec(f"input {i}", t) for i, t in enumerate(tensors)],
            "outputs": [_spec(f"output {i}", t) for i, t in enumerate(tensors_of(outputs))],
            "parameters": [_spec(k, v) for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)],
            "hidden_tensors": self._hidden_tensors_follow_seed(),
            "samples": self.samples,
        }, None

    def _gradients(self, model: torch.nn.Module) -> dict[str, Any]:
        """Finds which gradients the task has; their descriptions and those of the cotangents."""
        arguments = self._inputs(seed=0)
        wanted = self._guard("backward", lambda: find_wanted(model, arguments))
        if not wanted.inputs and not wanted.parameters:
            raise TaskError(
                "the task asks for gradients (BACKWARD = True), but none of its outputs depends on an input or a parameter "
                "in a way that autograd follows.",
                mend="Leave BACKWARD out, or forward without torch.no_grad() and detach().",
                line=self._line_of("forward"),
            )
        self.wanted = wanted
        inputs = self._with_cotangents(arguments, torch.Generator().manual_seed(0))
        kept = map_tensors(inputs, torch.clone)
        outputs, gradients = self._guard("backward", lambda: self._forward(model, inputs))
        if self.samples or not _alike(gradients, self._guard("backward", lambda: self._forward(model, kept))[1]):
            raise TaskError(
                "the task asks for gradients (BACKWARD = True), but two calls on the same inputs do not give the same.",
                mend="Leave BACKWARD out, or take what draws random numbers out of the module.",
                line=self._line_of("forward"),
            )
        strides = list(compact_strides(gradients, [*tensors_of(inputs), *tensors_of(outputs)]))
        specs = [_spec(name, g) for name, g in zip(gradient_names(wanted), gradients, strict=True)]
        return {
            "wanted": wanted.to_json(),
            "cotangents": [
                _spec(f"the cotangent of output {i}", t) for i, t in zip(wanted.outputs, inputs[-1], strict=True)
            ],
            "gradients": [{**spec, "stride": stride} for spec, stride in zip(specs, strides, strict=True)],
        }

    def _with_cotangents(
        self, arguments: list[Any], generator: torch.Generator, distribution: str = "normal"
    ) -> list[Any]:
        """The arguments of a call, forward's own given; cotangents are normal, or as inputs are where that says more."""
        if self.wanted is None:
            return arguments
        model = self.model(0)
        with torch.no_grad():
            outputs = model(*map_tensors(arguments, torch.clone))
        made = cotangents(outputs, self.wanted, generator)
        return [
            *arguments,
            [draw(t, distribution, generator) for t in made] if distribution in _FOR_COTANGENTS else made,
        ]

    def _guard(self, what: str, action: Any) -> Any:
        try:
            return action()
        except TaskError:
            raise
        except ModuleNotFoundError as error:
            found = describe_error(error, self.file)
            raise TaskError(
                f"{what} needs the package {error.name!r}, which is not installed.",
                mend=f"Install it beside Kernelwright (pip install {(error.name or '').split('.')[0]}), or remove the import.",
                line=found["line"],
            ) from error
        except SyntaxError as error:
            raise TaskError(
                f"the file is not valid Python: {error.msg}.", line=error.lineno, mend="Mend that line."
            ) from error
        except (Exception, SystemExit) as error:
            found = describe_error(error, self.file)
            raise TaskError(
                f"{what} raised {type(error).__name__}: {found['message'] or '(no message)'}",
                line=found["line"],
                mend="Run the file's Model(*get_init_inputs())(*get_inputs()) by itself to see it.",
            ) from error

    def _check_outputs(self, outputs: Any) -> None:
        line = self._line_of("forward")
        found = tensors_of(outputs)
        if _strange(outputs) or not found:
            raise TaskError(
                f"forward returns {_describe(outputs)}; a task returns tensors.",
                mend="Return a tensor, or a tuple, list or dict of tensors.",
                line=line,
            )
        if all(t.numel() == 0 for t in found):
            raise TaskError(
                "forward returns empty tensors on these inputs: there is nothing to compute.",
                mend="Return inputs with elements from get_inputs().",
                line=line,
            )

    def _check_samples(self, model: torch.nn.Module, inputs: Any) -> None:
        """Two calls differ: only where torch's seed decides it, and enough random values come out, can that be judged."""

        def run(seed: int) -> list[torch.Tensor]:
            _seed(seed)
            return tensors_of(self._forward(model, map_tensors(inputs, torch.clone)))

        if not _alike(run(1), run(1)):
            why = "even under one seed"
        elif [t.shape for t in run(2)] != [t.shape for t in run(3)]:
            why = "in shape"
        else:
            draws = [[picked(t) for t in run(seed)] for seed in range(DRAWS)]
            outputs = [torch.stack(column) for column in zip(*draws, strict=True)]
            counts = [independent_values(t) for t in outputs if not all(_alike([t[0]], [row]) for row in t[1:])]
            least = min(counts, default=0.0)
            if least >= INDEPENDENT:
                return
            why = (
                f"by about {least:.0f} independent random values; statistics that tell a right kernel from a wrong one "
                f"need {INDEPENDENT} in each output that is random"
            )
        training = [
            name or "Model" for name, m in model.named_modules() if m.training and "Dropout" in type(m).__name__
        ]
        dropout = f" ({training[0]} is a Dropout in training mode)" if training else ""
        raise TaskError(
            f"the module is not deterministic: two calls on the same inputs differ{dropout}, {why}, so no kernel can be "
            "checked against it.",
            mend="Call self.eval() at the end of Model.__init__, remove the random operation, or use larger inputs.",
            line=self._line_of("forward"),
        )

    def _line_of(self, function: str) -> int | None:
        import ast

        lines = linecache.getlines(self.file)
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            return None
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == function:
                return node.lineno
        return None

    # -- pieces -------------------------------------------------------------------------------------------------

    def model(self, seed: int, moved: bool = False) -> torch.nn.Module:
        """The module built under `seed`, its weights then moved at random if asked; the last few are kept."""
        if (seed, moved) not in self.models:
            assert self.module is not None
            task = self.module

            def build() -> Any:
                _seed(seed)
                arguments = task.get_init_inputs() if hasattr(task, "get_init_inputs") else []
                _seed(seed)
                return construct(task.Model, arguments)

            model = self._guard("Model(*get_init_inputs())", build)
            if not isinstance(model, torch.nn.Module):
                raise TaskError(
                    f"Model(...) gives {_describe(model)}, not a torch.nn.Module.",
                    mend="Derive Model from torch.nn.Module.",
                )
            while len(self.models) >= 2:
                self.models.pop(next(iter(self.models)))
            if moved:
                move_weights(model, seed)
            self.models[seed, moved] = model
        return self.models[seed, moved]

    def _inputs(self, seed: int) -> list[Any]:
        assert self.module is not None
        task = self.module

        def make() -> Any:
            _seed(seed)
            return task.get_inputs()

        inputs = self._guard("get_inputs()", make)
        if isinstance(inputs, torch.Tensor) or not isinstance(inputs, list | tuple):
            raise TaskError(
                f"get_inputs() returns {_describe(inputs)}; forward's arguments come from a list.",
                mend="Return a list, [x] for a single tensor.",
                line=self._line_of("get_inputs"),
            )
        if _strange(list(inputs)):
            raise TaskError(
                "get_inputs() returns something that is neither a tensor nor a plain number.",
                mend="Return tensors, numbers, bools, None, or lists of them.",
                line=self._line_of("get_inputs"),
            )
        return list(inputs)

    def _forward(self, model: torch.nn.Module, inputs: list[Any]) -> Any:
        """The outputs; of a task with gradients a list of those and the gradients."""
        if self.wanted is not None:
            return [map_tensors(each, torch.detach) for each in differentiate(model, inputs, self.wanted, zeros=True)]
        with torch.no_grad():
            return model(*inputs)

    def _hidden_tensors_follow_seed(self) -> bool:
        """Whether tensors that are no part of the state (plain attributes, non-persistent buffers) depend on the seed."""
        one, two = _hidden_tensors(self.model(1)), _hidden_tensors(self.model(2))
        return one.keys() != two.keys() or any(not torch.equal(one[k], two[k]) for k in one)

    # -- requests -----------------------------------------------------------------------------------------------

    def inputs(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Inputs for one workload under one seed."""
        seed, distribution = message.body["seed"], message.body["distribution"]
        values = self._inputs(seed)
        generator = torch.Generator().manual_seed(seed)
        drawn = map_tensors(values, lambda t: draw(t, distribution, generator))
        drawn = self._with_cotangents(drawn, generator, distribution)
        return {}, map_tensors(drawn, strided) if message.body["strided"] else drawn

    def resize(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Lets names of the file stand for other numbers from now on; those not given for their own."""
        assert self.module is not None
        names, sizes = vars(self.module), message.body["sizes"]
        names.update(self.own_sizes)
        for name in sizes:
            if type(names.get(name)) is not int:
                raise TaskError(
                    f"WORKLOADS gives a size {name!r}, but the file has no such number.",
                    mend=f"Write {name} = ... outside of every class and function, and use it in get_inputs().",
                )
        self.own_sizes = {name: names[name] for name in sizes}
        names.update(sizes)
        self.models.clear()
        return {}, None

    def init(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Constructor arguments and weights under one seed."""
        assert self.module is not None
        seed = message.body["seed"]
        _seed(seed)
        arguments = self.module.get_init_inputs() if hasattr(self.module, "get_init_inputs") else []
        sendable = not _strange(list(arguments))
        state = {
            k: v for k, v in self.model(seed, message.body["moved"]).state_dict().items() if isinstance(v, torch.Tensor)
        }
        return {"sendable": sendable}, {"arguments": list(arguments) if sendable else [], "state": state}

    def run(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Outputs natively, in float64, and in float64 with honest rounding: inputs and weights moved by one unit of
        round-off, every operation erring as `HonestRounding` says; of several draws the farthest, element by element,
        put on one side.

        The first against the second is what one honest implementation errs; the third against the second is what
        others may err, in whatever order they add.
        """
        body = message.body
        model, inputs = self.model(body["seed"], body["moved"]), message.values
        keep = map_tensors(inputs, torch.clone)
        native = self._forward(model, inputs)
        pairs = zip(tensors_of(inputs), tensors_of(keep), strict=True)
        changed = [i for i, (after, before) in enumerate(pairs) if not same_bits(after, before)]

        def forward(module: torch.nn.Module, given: Any) -> Any:
            return [self._forward(module, given), [tensors_of(given)[i] for i in changed]]

        runs = HonestRuns(forward if changed and not self.samples else self._forward, model, keep)
        samples, exact_error = None, ""
        exact: Any = None
        moved: Any = None
        if self.samples:
            samples = _samples(runs, body["samples_seed"])
        else:
            exact, exact_error = runs.exact()
            whole = [native, [tensors_of(inputs)[i] for i in changed]] if changed else native
            moved = runs.farthest(whole, exact, body["seed"] + 1)
        after = None
        if changed and not self.samples:
            after = {
                "native": [tensors_of(inputs)[i] for i in changed],
                "exact": None if exact is None else exact[1],
                "moved": moved[1],
            }
            exact, moved = None if exact is None else exact[0], moved[0]
        aliases = shared_storage(tensors_of(native), tensors_of(inputs))
        return (
            {
                "changed": changed,
                "exact": exact is not None,
                "exact_error": exact_error,
                "aliases": aliases,
                "places": [place.to_json() for place in places_of(tensors_of(native))],
            },
            {"native": native, "exact": exact, "moved": moved, "samples": samples, "after": after},
        )

    def call(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Native outputs only."""
        return {}, self._forward(self.model(message.body["seed"]), message.values)

    def capture(self, _message: Message) -> tuple[dict[str, Any], Any]:
        """The module's ATen graph as JSON."""
        from kernelwright.sandbox.capture import capture

        try:
            graph = capture(self.model(0), tuple(self._inputs(seed=0)))
        except LoweringError:
            raise
        except Exception as error:
            raise LoweringError(
                f"torch.export can't trace the module: {type(error).__name__}: {str(error)[:800]}"
            ) from error
        return {"graph": graph.to_json()}, None

    def trace(self, _message: Message) -> tuple[dict[str, Any], Any]:
        """The ATen operations of one call: forward, and backward if the task asks for gradients."""
        from kernelwright.sandbox.optrace import trace_ops

        model = self.model(0)
        inputs = self._with_cotangents(self._inputs(seed=0), torch.Generator().manual_seed(0))
        _result, records = trace_ops(lambda: self._forward(model, inputs))
        return {"ops": [record.to_json() for record in records]}, None


def _samples(runs: HonestRuns, seed: int) -> list[dict[str, Any]]:
    """What the random outputs of a module are like, from many runs."""
    generator = torch.Generator().manual_seed(seed)
    found = sample(
        native=runs.native,
        exact=lambda: runs.exact()[0],
        disturbed=lambda: runs.disturbed(generator),
        reseed=_seed,
        seed=seed,
    )
    return [output.to_tree() for output in found]


def _seed(seed: int) -> None:
    """Seeds every source of chance that a task file may use."""
    seed_torch(seed)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)


def _alike(first: Any, second: Any) -> bool:
    """Whether two calls gave the same but for the order of additions."""
    return all(
        one.shape == two.shape and (
            torch.allclose(one, two, rtol=1e-4, atol=1e-6, equal_nan=True)  # far above re-ordering, far below chance
            if one.dtype.is_floating_point or one.dtype.is_complex
            else torch.equal(one, two)
        )
        for one, two in zip(tensors_of(first), tensors_of(second), strict=True)
    )  # fmt: skip


def _hidden_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    found = {name: t for name, t in model.named_buffers() if name not in state}
    for prefix, module in model.named_modules():
        found |= {f"{prefix}.{name}": v for name, v in vars(module).items() if isinstance(v, torch.Tensor)}
    return found


def _strange(tree: Any) -> bool:
    """Whether something in it is no tensor, plain value or plain container."""
    if tree is None or isinstance(tree, bool | int | float | str):
        return False
    if isinstance(tree, torch.Tensor):
        return tree.layout != torch.strided or tree.is_quantized
    if isinstance(tree, list | tuple):
        return any(_strange(item) for item in tree)
    if type(tree) is dict:
        return any(not isinstance(key, str) or _strange(item) for key, item in tree.items())
    return True


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _spec(name: str, tensor: torch.Tensor) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "stride": list(tensor.stride()),
    }


REQUESTS = ("load", "inputs", "resize", "init", "run", "call", "capture", "trace")


def main() -> None:
    """Serves requests until the judge is gone."""
    reference = Reference()
    serve({name: getattr(reference, name) for name in REQUESTS})


if __name__ == "__main__":
    main()
