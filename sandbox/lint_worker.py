"""The reference process for the task linter: what every reference process does, and a closer look at the module.

Run with ``python -m kernelwright.sandbox.lint_worker FD``; `kernelwright.sandbox.lint_reference` is its other end.
"""

from __future__ import annotations

import contextlib
import types
from functools import partial
from typing import Any

import torch

from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.distributions import draw
from kernelwright.sandbox.full_size import fake_tensors, fake_trace
from kernelwright.sandbox.op_survey import Trace, idle_ops, trace
from kernelwright.sandbox.reference_worker import REQUESTS, Reference, _seed, _spec
from kernelwright.sandbox.serve import serve
from kernelwright.sandbox.trees import construct, map_tensors, same_bits, tensors_of

HANDLERS = (*REQUESTS, "answer", "survey", "full_size")


class Examined(Reference):
    """The loaded task, with the linter's handlers."""

    def answer(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Native outputs, and the changed ones of the inputs afterwards, with other values for some weights."""
        body, (inputs, weights) = message.body, message.values
        model = self.model(body["seed"], body["moved"])
        state = model.state_dict()
        before = {name: state[name].clone() for name in weights}
        try:
            with torch.no_grad():
                for name, value in weights.items():
                    state[name].copy_(value)
            outputs = self._forward(model, inputs)
            if weights:  # outputs may be views of weights that go back to what they were
                outputs = map_tensors(outputs, torch.clone)
        finally:
            with torch.no_grad():
                for name, value in before.items():
                    state[name].copy_(value)
        return {}, {"outputs": outputs, "changed": [tensors_of(inputs)[i] for i in body["changed"]]}

    def survey(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Operations that do nothing, parameters that nothing reads, buffers that a call changes, layers in training."""
        traces: dict[bool, list[Trace]] = {True: [], False: []}
        unread: set[str] | None = None
        changed: set[str] = set()
        for distribution, seed, moved in message.body["draws"]:
            model = self.model(message.body["weights"], moved)
            state = {k: v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
            before = {name: value.clone() for name, value in state.items()}
            try:
                values = self._inputs(seed)
                generator = torch.Generator().manual_seed(seed)
                inputs = map_tensors(values, partial(_drawn, distribution, generator))
                kept = [*tensors_of(inputs), *state.values()]
                _seed(seed)

                def call(module: Any = model, given: Any = inputs) -> Any:
                    with torch.no_grad():
                        return module(*given)

                found = trace(call, kept, self.file)
            except Exception:
                if distribution == "as_given":
                    raise
                continue  # the module refuses such inputs
            storages = {name: int(t.untyped_storage()._cdata) for name, t in state.items()}
            here = {name for name, storage in storages.items() if storage not in found.read}
            unread = here if unread is None else unread & here
            changed |= {name for name, value in before.items() if not same_bits(state[name], value)}
            for name, value in before.items():
                state[name].copy_(value)
            traces[distribution == "as_given"].append(found)
        model = self.model(message.body["weights"])
        parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        aten = sum(len(each.ops) for each in traces[True][:1])
        return {
            "idle": [op.to_json() for op in idle_ops(traces[True], traces[False])],
            "unread": sorted((unread or set()) & parameters),
            "changed_state": sorted(changed),
            "training": [
                [name, type(module).__name__, float(getattr(module, "p", 0.0) or 0.0)]
                for name, module in model.named_modules()
                if module.training and _matters_in_training(module)
            ],
            "parameters": sorted(parameters),
            "ops": aten,
        }, None

    def full_size(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Shapes and operations of one call of another source of the same task, whose tensors are never there."""
        body = message.body
        module = types.ModuleType("kernelwright_full_size")
        module.__file__ = self.file
        module.__dict__["ATTACHMENTS"] = {} if self.module is None else self.module.__dict__.get("ATTACHMENTS", {})
        with fake_tensors(), torch.no_grad() if self.wanted is None else contextlib.nullcontext():
            exec(compile(body["source"], self.file, "exec"), module.__dict__)
            _seed(0)
            arguments = module.get_init_inputs() if hasattr(module, "get_init_inputs") else []
            model = construct(module.Model, arguments)
            inputs = list(module.get_inputs())
            tensors = tensors_of(inputs)
            given: list[Any] = inputs
            if self.wanted is not None:
                with torch.no_grad():
                    outputs = tensors_of(model(*inputs))
                given = [*inputs, [torch.randn_like(outputs[i]) for i in self.wanted.outputs]]
            result, records = fake_trace(lambda: self._forward(model, given))
            forward = result[0] if self.wanted is not None else result
            gradients = result[1] if self.wanted is not None else []
            state = [(k, v) for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)]
            return {
                "inputs": [_spec(f"input {i}", t) for i, t in enumerate(tensors)],
                "outputs": [_spec(f"output {i}", t) for i, t in enumerate(tensors_of(forward))],
                "parameters": [_spec(name, t) for name, t in state],
                "cotangents": [] if self.wanted is None else [_spec("cotangent", t) for t in given[-1]],
                "gradients": [_spec("gradient", t) for t in tensors_of(gradients)],
                "ops": [record.to_json() for record in records],
            }, None


def _drawn(distribution: str, generator: torch.Generator, tensor: torch.Tensor) -> torch.Tensor:
    return draw(tensor, distribution, generator)


def _matters_in_training(module: torch.nn.Module) -> bool:
    dropout = isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p > 0
    norm = isinstance(module, torch.nn.modules.batchnorm._NormBase) and bool(module.track_running_stats)
    return dropout or norm


def main() -> None:
    """Serves requests until the judge is gone."""
    reference = Examined()
    serve({name: getattr(reference, name) for name in HANDLERS})


if __name__ == "__main__":
    main()
