"""Probes a task that a stranger wrote: does it load, how large is it, and at which smaller sizes can the emulator judge it?

Its code runs in a fenced process, under fake tensors: a task of 40 GB needs no memory. What torch can't follow without values
is run for real, where its inputs and weights are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.files import shown
from kernelwright.bench_tasks.task import Task, TensorSpec
from kernelwright.bench_tasks.twin import twin_of_task
from kernelwright.errors import TaskError, WorkerCrashed, WorkerTimeout
from kernelwright.sandbox.process import Limits, Worker
from kernelwright.sandbox.twins import MOST_ELEMENTS, MOST_FLOPS, Extent, find_twin

__all__ = ["Probe", "ProbeStatus", "Prober"]

_WORKER = "kernelwright.sandbox.probe_worker"
_SECONDS = 90  # of processor time for one measurement, whatever else the machine does; recurrent modules take the most
_WALL_SECONDS = 300
_SETTINGS = 64  # sizes of workloads that are measured together
_DOWNLOADS = ("huggingface", "couldn't connect", "connection error", "max retries", "urlopen", "name resolution")
_INSTALLED_AS = {
    "yaml": "pyyaml",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
}
_STILL_GOOD = 4.0  # times what a twin is to have at most: the emulator takes some seconds longer
_TOO_LARGE = f"the emulator can judge about {MOST_ELEMENTS:,} elements and {MOST_FLOPS:.1e} FLOPs"


class ProbeStatus(StrEnum):
    """What a probe found."""

    LOADED = "loaded"
    """It loads, and the emulator can judge it: at a twin, or as it is."""
    NO_TWIN = "loaded, no twin"
    """It loads, and no sizes were found at which the emulator can judge it; a GPU can."""
    NOT_LOADED = "not loaded"
    """It can't be used here."""


@dataclass(frozen=True)
class Probe:
    """What was found out about one task."""

    status: ProbeStatus
    why: str = ""
    """One sentence, where it has no twin or was not loaded."""
    mend: str = ""
    twin: Mapping[str, int] = field(default_factory=dict)
    """Numbers of the file; empty where the task is small enough as it is."""
    flat: Mapping[str, int] = field(default_factory=dict)
    """Smaller sizes at which it runs and gives one value everywhere: no twin to judge kernels by, but the linter can say why."""
    elements: int = 0
    """Of inputs, outputs and parameters at full size."""
    bytes: int = 0
    """The same, in bytes."""
    flops: int = 0
    """Of matrix products, convolutions and attention in one call at full size."""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    parameters: tuple[TensorSpec, ...] = ()

    def to_json(self) -> dict[str, object]:
        """A JSON object; `from_json` reads it back."""
        tensors = {key: [spec.to_json() for spec in getattr(self, key)] for key in ("inputs", "outputs", "parameters")}
        plain = {key: getattr(self, key) for key in ("why", "mend", "elements", "bytes", "flops")}
        return {"status": self.status.value, "twin": dict(self.twin), "flat": dict(self.flat), **plain, **tensors}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError: it is nothing of the kind.
        """
        tensors = {
            key: tuple(TensorSpec.from_json(each) for each in data[key]) for key in ("inputs", "outputs", "parameters")
        }
        twin = {str(name): int(value) for name, value in data["twin"].items()}
        flat = {str(name): int(value) for name, value in data.get("flat", {}).items()}
        return cls(
            ProbeStatus(data["status"]), str(data["why"]), str(data["mend"]), twin, flat,
            int(data["elements"]), int(data["bytes"]), int(data["flops"]), **tensors,
        )  # fmt: skip


class Prober:
    """Probes one task after another in one fenced process; a context manager.

    Args:
        fence: the isolation, as `choose_isolation` gave it.
        limits: of the process; a task that needs more memory for real tensors is not run for real.
        seconds: of processor time for one measurement; there are some of them to a task.
        wall_seconds: the same by the clock.
    """

    def __init__(
        self, *, fence: str, limits: Limits | None = None, seconds: int = _SECONDS, wall_seconds: int = _WALL_SECONDS
    ) -> None:
        self._fence, self._limits = fence, limits or Limits()
        self._seconds, self._wall_seconds = seconds, wall_seconds
        self._worker: Worker | None = None

    def probe(self, task: Task, given: Mapping[str, int] | None = None) -> Probe:
        """What `task` is like; never raises for what the task does.

        Args:
            given: a twin that its collection says it has; it is taken where it runs.
        """
        try:
            return self._probe(task, given or {})
        except TaskError as error:
            return Probe(ProbeStatus.NOT_LOADED, shown(error.message), shown(error.mend))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return Probe(ProbeStatus.NOT_LOADED, "the process that opens it gives no answer that can be read.")

    def _probe(self, task: Task, given: Mapping[str, int]) -> Probe:
        real = False
        found = self._measure(task, {}, real=False)
        if problem := found.get("problem"):
            if not problem["fake"]:
                raise _error(problem)
            real = True
            found = self._measure(task, {}, real=True)
            if problem := found.get("problem"):
                raise _error(problem)
        full = _extent(found)
        if given and not self._spoilt(task, given):
            return Probe(ProbeStatus.LOADED, twin=given, **_about(full, found))
        about = _about(full, found)
        if full.small:
            return Probe(ProbeStatus.LOADED, **about)
        numbers = {n: v for n, v in constants_of(task.source).items() if type(v) is int and v > 1}
        settings = {name for workload in task.workloads for name, _size in workload.sizes}
        numbers = {name: value for name, value in numbers.items() if name not in settings}

        def measure(sizes: Mapping[str, int]) -> Extent | None:
            try:
                tried = self._measure(task, sizes, real=real)
            except TaskError:
                return None
            return None if "problem" in tried else _extent(tried)

        steps = list(find_twin(full, numbers, measure))
        # what runs under fake tensors may still fail on values, and give nothing but zeros
        spoilt = ""
        flat: dict[str, int] = {}
        for twin, extent in reversed(steps):
            if extent.excess > _STILL_GOOD:
                break
            found_to_be = self._spoilt(task, twin)
            if not found_to_be:
                return Probe(ProbeStatus.LOADED, twin=twin, **about)
            spoilt = spoilt or found_to_be
            if found_to_be == _FLAT:
                flat = flat or dict(twin)
        if not numbers:
            why = "its sizes are no numbers at the top level of its file, so they can't be changed from outside."
        elif not steps:
            why = "no number at the top level of its file makes it smaller and lets it run."
        else:
            smallest = steps[-1][1]
            size = f"{smallest.elements:,} elements and {smallest.flops:.1e} FLOPs"
            why = (
                f"at smaller sizes {spoilt}."
                if spoilt
                else f"the smallest sizes that were found have {size}; {_TOO_LARGE}."
            )
        return Probe(ProbeStatus.NO_TWIN, why, _HINT, flat=flat, **about)

    def _spoilt(self, task: Task, twin: Mapping[str, int]) -> str:
        """What is wrong with a twin when it is run for real; empty where nothing is."""
        try:
            found = self._measure(task, twin, real=True)
        except TaskError as error:
            return f"it can't be run: {error.message.rstrip('.')}"
        if problem := found.get("problem"):
            return f"it raises {problem['type']}"
        return "" if found["first"]["varies"] else _FLAT

    def warm(self) -> None:
        """Starts the process if it is not running, so that the next task need not wait for it."""
        if self._worker is None or not self._worker.alive:
            self._worker = Worker(_WORKER, name="the probe", limits=self._limits, isolation=self._fence)

    def _measure(self, task: Task, sizes: Mapping[str, int], *, real: bool) -> dict[str, Any]:
        task = twin_of_task(task, sizes) if sizes else task
        # with real tensors only the sizes that are timed: all of them would take minutes
        asked = dict.fromkeys(w.sizes for w in task.workloads if not (real and w.sizes and not sizes))
        settings = [dict(s) for s in asked][:_SETTINGS]
        try:
            self.warm()
            assert self._worker is not None
            message = self._worker.request(
                "measure", timeout=self._limits.load_seconds + self._wall_seconds, values=_attached(task), source=task.source, settings=settings, real=real,
                backward=task.backward, seconds=self._seconds, wall_seconds=self._wall_seconds,
            )  # fmt: skip
        except WorkerTimeout as error:
            raise TaskError(f"it does not finish within {self._wall_seconds} s.", path=task.path) from error
        except WorkerCrashed as error:
            raise TaskError(f"the process that opens it died: {error.message}", path=task.path) from error
        if not message.body.get("ok"):
            raise TaskError(str(message.body["error"]["message"]), path=task.path)
        found: dict[str, Any] = message.body["found"]
        return found

    def close(self) -> None:
        """Ends the process."""
        if self._worker is not None:
            self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_FLAT = "its outputs are one value everywhere"
_HINT = "Judge it on a GPU, or write a smaller task like it, with its sizes as numbers at the top level."


def _specs(found: list[Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"{i}", tuple(map(int, shape)), str(dtype), ()) for i, (shape, dtype) in enumerate(found))


def _extent(found: Mapping[str, Any]) -> Extent:
    first = found["first"]
    return Extent(
        _specs(first["inputs"]),
        _specs(first["outputs"]),
        int(found["elements"]),
        int(found["bytes"]),
        int(found["flops"]),
    )


def _about(full: Extent, found: Mapping[str, Any]) -> dict[str, Any]:
    tensors = {key: _specs(found["first"][key]) for key in ("inputs", "outputs", "parameters")}
    return {"elements": full.elements, "bytes": full.bytes, "flops": full.flops, **tensors}


def _attached(task: Task) -> dict[str, Any] | None:
    import torch

    return {n: torch.frombuffer(bytearray(data), dtype=torch.uint8) for n, data in task.attachments.items()} or None


def _error(problem: Mapping[str, Any]) -> TaskError:
    if missing := problem["missing"]:
        package = str(missing).split(".")[0]
        return TaskError(
            f"it needs the package {package!r}, which is not installed.",
            mend=f"Install it beside Kernelwright (pip install {_INSTALLED_AS.get(package, package)}) and import again.",
        )
    text = str(problem["message"])
    if any(word in text.lower() for word in _DOWNLOADS):
        return TaskError(
            f"it downloads something, and has no network here: {text}",
            mend="Judge it by a copy that reads local files.",
        )
    if problem["known"]:
        return TaskError(text, mend="A task file defines class Model, get_inputs() and get_init_inputs().")
    return TaskError(
        f"it raises {problem['type']}: {text or '(no message)'}", line=problem["line"],
        mend="Run the file's Model(*get_init_inputs())(*get_inputs()) by itself to see it.",
    )  # fmt: skip
