"""Opens a stranger's task to find its shapes and its work, with no memory for its tensors: torch's FakeTensorMode.

Run with ``python -m kernelwright.sandbox.probe_worker FD``; `kernelwright.sandbox.probe` is its other end. Each request is
answered by a child of this process, forked when torch is loaded: a task costs no second import, and leaves nothing behind for
the next one.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode, UnsupportedOperatorException
from torch.utils.flop_counter import FlopCounterMode

from kernelwright.errors import TaskError
from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.emulated import torch_cuda
from kernelwright.sandbox.modules import new_module
from kernelwright.sandbox.serve import describe_error, serve
from kernelwright.sandbox.trees import construct, map_tensors, seed_torch, tensors_of

_ANSWER = 1 << 20  # bytes of a child's answer
_DESCRIPTORS = 4096  # more than a worker has open
_FILE = "<task>"


def measure(message: Message) -> tuple[dict[str, Any], Any]:
    """Shapes, elements and FLOPs of one call, in the worst of the given settings.

    The request has `source`; `settings`, a list of module-level numbers by name (at least one, empty for the file's own);
    `real`, whether tensors are real; `backward`, whether gradients are computed too; `seconds` of
    processor time and `wall_seconds` that it may take.
    """
    body = dict(message.body)
    body["attachments"] = {name: value.numpy().tobytes() for name, value in (message.values or {}).items()}
    entrance, way_out = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.closerange(3, way_out)  # the channel to the judge above all: a task could answer for others
            os.closerange(way_out + 1, _DESCRIPTORS)
            _answer(way_out, body)
        finally:
            os._exit(1)  # whatever happens, a child never answers the judge
    os.close(way_out)
    data = bytearray()
    with os.fdopen(entrance, "rb") as stream:
        while len(data) <= _ANSWER and (part := stream.read1(1 << 16)):
            data += part
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        times = {
            "SIGXCPU": f"{body['seconds']} s of processor time", "SIGALRM": f"{body['wall_seconds']} s",
        }  # fmt: skip
        late = times.get(name)
        raise TaskError(f"it does not finish within {late}." if late else f"its process was ended by {name}.")
    try:
        found = json.loads(data)
        if not isinstance(found, dict):
            raise ValueError
    except ValueError:
        raise TaskError("it ends the process that opens it.") from None
    return {"found": found}, None


def _answer(way_out: int, body: Mapping[str, Any]) -> None:
    """In the child: writes what was found, or why nothing was, and ends."""
    signal.alarm(int(body["wall_seconds"]))
    resource.setrlimit(resource.RLIMIT_CPU, (int(body["seconds"]), int(body["seconds"]) + 1))
    found: dict[str, Any]
    try:
        found = _measure(body)
    except BaseException as error:  # noqa: BLE001 - whatever a stranger's code raises, SystemExit too, is an answer
        found = {"problem": _problem(error)}
    with os.fdopen(way_out, "wb") as stream:
        stream.write(json.dumps(found).encode())
    os._exit(0)


def _problem(error: BaseException) -> dict[str, Any]:
    told = describe_error(error, _FILE)
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    text = (told["message"] or "").strip().partition("\n")[0][:400]
    fake = isinstance(error, DynamicOutputShapeException | UnsupportedOperatorException) or (
        type(error).__name__ in {"DataDependentOutputException", "GuardOnDataDependentSymNode"}
        or (isinstance(error, RuntimeError) and "FakeTensor" in text)
        or "numpy" in text.lower()
        or "_apply(): Couldn't swap" in text  # Module.to() inside of forward, which fake tensors do not take
    )
    return {
        "type": told["type"], "message": text, "line": told["line"], "missing": missing, "fake": fake,
        "known": isinstance(error, TaskError),
    }  # fmt: skip


def _measure(body: Mapping[str, Any]) -> dict[str, Any]:
    source, real = body["source"], bool(body["real"])
    if "cuda" in source:
        torch_cuda.install()
    results = []
    for sizes in body["settings"]:
        with nullcontext() if real else FakeTensorMode(allow_non_fake_inputs=True):
            results.append(_one(source, sizes, body["attachments"], backward=body["backward"], real=real))
    return {
        "first": results[0],
        "elements": max(r["elements"] for r in results),
        "bytes": max(r["bytes"] for r in results),
        "flops": max(r["flops"] for r in results),
    }


def _one(
    source: str, sizes: Mapping[str, int], attachments: Mapping[str, bytes], *, backward: bool, real: bool
) -> dict[str, Any]:
    seed_torch(0)
    module = new_module("kernelwright_task", _FILE, source)
    module.__dict__["ATTACHMENTS"] = dict(attachments)
    exec(compile(source, _FILE, "exec"), module.__dict__)
    for name in ("Model", "get_inputs"):
        if not callable(getattr(module, name, None)):
            raise TaskError(f"it defines no {name}.")
    vars(module).update(sizes)
    seed_torch(0)
    arguments = module.get_init_inputs() if hasattr(module, "get_init_inputs") else []
    model = construct(module.Model, arguments)
    if not isinstance(model, torch.nn.Module):
        raise TaskError("Model(...) gives no torch.nn.Module.")
    inputs = module.get_inputs()
    if not isinstance(inputs, list | tuple):
        raise TaskError("get_inputs() returns no list.")
    given = tensors_of(list(inputs))
    if not given:
        raise TaskError("get_inputs() returns no tensor.")
    size_of_inputs = [_spec(t) for t in given]
    counter = FlopCounterMode(display=False)
    with counter, torch.enable_grad() if backward else torch.no_grad():
        leaves = map_tensors(list(inputs), _leaf) if backward else list(inputs)
        outputs = model(*leaves)
        found = tensors_of(outputs)
        if backward:
            roots = [t for t in found if t.requires_grad]
            if not roots:
                raise TaskError("none of its outputs has a gradient.")
            torch.autograd.backward(roots, [torch.ones_like(t) for t in roots])
    if not found:
        raise TaskError("forward returns no tensor.")
    state = [t for t in model.state_dict().values() if isinstance(t, torch.Tensor)]
    everything = [*given, *state, *found]
    return {
        "inputs": size_of_inputs,
        "outputs": [_spec(t) for t in found],
        "parameters": [_spec(t) for t in state],
        "elements": sum(t.numel() for t in everything),
        "bytes": sum(t.numel() * t.element_size() for t in everything),
        "flops": counter.get_total_flops(),
        "varies": _varies(found) if real else None,
    }


def _leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_() if tensor.dtype.is_floating_point else tensor


def _spec(tensor: torch.Tensor) -> list[Any]:
    return [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]


def _varies(outputs: Sequence[torch.Tensor]) -> bool:
    """Whether some output is finite somewhere and, where it has several elements, not one value everywhere."""
    for output in outputs:
        values = output.detach().flatten()
        if values.numel() == 0 or (values.dtype.is_floating_point and not bool(values.isfinite().any())):
            continue
        if values.numel() == 1 or bool((values != values[0]).any()):
            return True
    return False


def main() -> None:
    """Serves requests until the judge is gone."""
    torch.set_num_threads(1)  # a fork keeps no thread but the one that forks
    with FakeTensorMode():
        torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2))  # loads what the first call loads
    serve({"measure": measure})


if __name__ == "__main__":
    main()
