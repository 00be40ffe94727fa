"""The judge's end of a module on a GPU: a kernel's, fenced in and not believed, or the reference as a baseline.

A process has a CUDA context of its own, so what spoils it spoils nobody else; after a sticky error it is gone.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kernelwright.errors import ProtocolError, SandboxError, WorkerCrashed, WorkerTimeout
from kernelwright.sandbox.candidate import CallResult, CandidateFailure, failure_of
from kernelwright.sandbox.cuda.faults import fault_of
from kernelwright.sandbox.cuda.shared_memory import JudgeMemory, reply_room
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.gradients import Wanted
from kernelwright.sandbox.isolation.folders import system_folders
from kernelwright.sandbox.launch import GpuLaunch
from kernelwright.sandbox.places import Place
from kernelwright.sandbox.process import OUTPUT_BYTES, Limits, Worker
from kernelwright.sandbox.reference import InitState
from kernelwright.sandbox.trees import tensors_of

__all__ = ["BaselineFailed", "GpuError", "GpuProcess", "Program", "Repeats"]

_WORKER = "kernelwright.sandbox.cuda.worker"
_SLACK_BYTES = 1 << 26  # what a reply may hold beyond the expected outputs before it is refused
_KINDS = frozenset({"build", "unsupported", "launch", "memory", "unsafe", "crashed", "timeout"})
"""Of failures that the worker names."""
_ADDRESS_SPACE = (
    1 << 44
)  # bytes: CUDA reserves address space for all memory of host and GPUs, so a limit on it says nothing
_TOOL_OUTPUT = 1 << 24  # bytes: a tool's report of some thousand launches or violations
_END_SECONDS = 60.0  # for a tool to write its report once the process under it has ended
_START_SECONDS = 120.0  # import of torch and the CUDA context
_COMPILE_SECONDS = 900.0  # torch.compile with max-autotune
_EXTENSION_SECONDS = 600.0  # for nvcc and the C++ compiler with torch's headers, which takes one or two minutes


class GpuError(SandboxError):
    """The GPU or its driver is at fault, not the kernel: nothing more can be judged on it."""


class BaselineFailed(SandboxError):
    """The reference did not do on the GPU what it was asked, as it is or through torch.compile."""


@dataclass(frozen=True)
class Program:
    """What a process runs: the source of a module, its class, and how it is prepared."""

    source: str
    class_name: str = "ModelNew"
    prepared: str = "eager"
    """`eager`, `compile` (torch.compile) or `max-autotune`."""
    trusted: bool = False
    """Whether it is the reference, which the person who runs us wrote."""
    path: str | None = None
    attachments: Mapping[str, bytes] | None = None


@dataclass(frozen=True)
class Repeats:
    """Calls one after the other: what the device's clock is said to have shown, and what the judge's showed."""

    seconds: tuple[float, ...]
    """Of each call, in seconds; a claim."""
    wall_seconds: float
    """From the request to its answer, by the judge's clock."""
    queued_seconds: float = 0.0
    """What the process says that launching all of them took its host code; decides only how long the GPU is kept busy before."""


class GpuProcess:
    """One module on one GPU.

    Args:
        runtime: `cuda`, or `emulated` to try the protocol where there is no GPU.
        tool: the command line of a tool of NVIDIA's that it runs under, in the same sandbox.
        tool_folder: where that tool lies.

    Raises (from every method):
        CandidateFailure: a kernel's module did not do what it was asked.
        BaselineFailed: the reference did not.
        GpuError: the GPU did not.
    """

    def __init__(
        self, program: Program, device: Device, *, limits: Limits | None = None, wanted: Wanted | None = None,
        runtime: str = "cuda", tool: Sequence[str] = (), tool_folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.program, self.limits = program, limits or Limits()
        self._wanted, self._runtime, self._device = wanted, runtime, device
        self.properties: dict[str, Any] = {}
        self._worker = Worker(
            _WORKER,
            name="the baseline" if program.trusted else "the candidate",
            limits=self.limits,
            isolation="process" if program.trusted else device.isolation,
            environment={
                "KERNELWRIGHT_MEMORY_BYTES": str(_ADDRESS_SPACE),
                "TORCHINDUCTOR_COMPILE_THREADS": "1",  # else torch.compile starts more processes than a worker may have
                "TORCH_CUDA_ARCH_LIST": _torch_arch(device.arch),  # of extensions: this GPU alone
            }
            | ({"LC_ALL": "C", "LANG": "C"} if tool else {}),  # Nsight Compute writes numbers as the locale has them
            trusted=program.trusted,
            gpu=runtime == "cuda",
            under=tool,
            readable=(*(() if tool_folder is None else (tool_folder,)), *_toolkit()),
            output_bytes=_TOOL_OUTPUT if tool else OUTPUT_BYTES,
        )

        self._memory = JudgeMemory(self._worker)

    @property
    def pinned(self) -> dict[str, str]:
        """How inputs and outputs travel, as far as they have: empty if the process says that their memory is pinned, else why not."""
        return dict(self._memory.pinned)

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._worker.alive

    def open(self) -> dict[str, Any]:
        """Opens the device; its properties and versions.

        Raises:
            GpuError: it does not open.
        """
        try:
            body = self._request(
                "open", _START_SECONDS, runtime=self._runtime, index=self._device.index, arch=self._device.arch
            ).body
        except (CandidateFailure, BaselineFailed) as failure:
            raise GpuError(
                f"the GPU does not open: {failure.message}", mend=failure.mend or "Run `kernelwright doctor`."
            ) from failure
        self.properties = dict(body["properties"])
        return self.properties

    def load(self) -> None:
        """Runs the module's source."""
        import torch

        attachments = {
            key: torch.frombuffer(bytearray(value), dtype=torch.uint8)
            for key, value in (self.program.attachments or {}).items()
        }
        folder = [str(Path(self.program.path).resolve().parent)] if self.program.path else []
        extension = _EXTENSION_SECONDS if re.search(r"\bcpp_extension\b", self.program.source) else 0.0
        self._request(
            "load", self.limits.load_seconds + extension, source=self.program.source, class_name=self.program.class_name,
            import_paths=folder, values=attachments or None,
        )  # fmt: skip

    def build(self, init: InitState, *, seed: int, update: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Constructs the module; returns the weights given by name, and those it has no counterpart for."""
        body = self._request(
            "build", self.limits.load_seconds,
            values={"arguments": init.arguments if init.arguments is not None else [], "state": init.state},
            seed=seed, update=update, class_name=self.program.class_name, prepared=self.program.prepared,
            gradients=None if self._wanted is None else self._wanted.to_json(),
        ).body  # fmt: skip
        try:
            return tuple(map(str, body["matched"])), tuple(map(str, body["unmatched"]))
        except (KeyError, TypeError) as error:
            raise self._outside() from error

    def call(
        self, inputs: Sequence[Any], *, expected: Sequence[int], compiling: bool = False, trace: bool = False,
        poison: bool = True,
    ) -> tuple[CallResult, tuple[GpuLaunch, ...]]:  # fmt: skip
        """One call, forward and backward if gradients are wanted.

        Args:
            expected: bytes of each output of the reference.
            compiling: the first call, which compiles.
            trace: say which kernels ran.
            poison: fill memory that its outputs are likely to get with NaN before.
        """
        message = self._request(
            "call", self.limits.call_seconds + self._compiling(compiling), values=list(inputs),
            poison=list(expected) if poison else [],
            trace=trace, reply_bytes=reply_room(sum(expected) + sum(t.nbytes for t in tensors_of(list(inputs)))),
            max_bytes=2 * sum(expected) + sum(t.nbytes for t in tensors_of(list(inputs))) * 2 + _SLACK_BYTES,
        )  # fmt: skip
        body, values = message.body, message.values
        try:
            outputs, after = values["outputs"], values["inputs"]
            places = tuple(map(Place.from_json, body["places"]))
            aliases = tuple((int(i), int(j)) for i, j in body["aliases"])
            launches = tuple(map(GpuLaunch.from_json, body["launches"]))
            tensors = tensors_of(outputs)
            if (
                not isinstance(after, list)
                or len(after) != len(tensors_of(list(inputs)))
                or len(places) != len(tensors)
            ):
                raise self._outside()
        except (KeyError, TypeError, ValueError) as error:
            raise self._outside() from error
        result = CallResult(
            outputs=outputs, inputs_after=tuple(after), reports=(), ops=(), aliases=aliases,
            written=(True,) * len(tensors), places=places,
        )  # fmt: skip
        return result, launches

    def stage(self, sets: Sequence[Sequence[Any]]) -> None:
        """Lays sets of inputs out on the device, for `repeat`."""
        self._request(
            "stage", self.limits.call_seconds + self.limits.load_seconds, values=[list(each) for each in sets]
        )

    def repeat(
        self, order: Sequence[int], *, cold: bool, fresh: bool = True, spin: float = 0.0, compiling: bool = False
    ) -> Repeats:
        """Calls on the sets of these numbers, one right after the other.

        Args:
            cold: the L2 cache is emptied before each.
            fresh: each gets a copy of its set in other memory than the call before it.
            spin: seconds that the device is kept busy first, so that launching costs no time of the device's.
            compiling: the first ones, which compile.
        """
        timeout = spin * 4 + self._compiling(compiling) + self.limits.call_seconds * max(1.0, len(order) / 10)
        start = time.perf_counter()
        body = self._request("repeat", timeout, order=list(order), cold=cold, fresh=fresh, spin=spin).body
        wall = time.perf_counter() - start
        try:
            seconds = tuple(float(each) for each in body["seconds"])
            queued = max(0.0, float(body["queued_seconds"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._outside() from error
        if len(seconds) != len(order) or not all(0.0 <= each < 1e6 for each in seconds):
            raise self._outside()
        return Repeats(seconds, wall, queued)

    def fetch(self, repeats: Sequence[int], *, expected_bytes: int) -> list[Any]:
        """The outputs of these calls of the last `repeat`."""
        found = self._request(
            "fetch", self.limits.call_seconds + self.limits.load_seconds, repeats=list(repeats),
            reply_bytes=reply_room(expected_bytes * len(repeats)), max_bytes=2 * expected_bytes * len(repeats) + _SLACK_BYTES,
        ).values  # fmt: skip
        if not isinstance(found, list) or len(found) != len(repeats):
            raise self._outside()
        return found

    def rates(
        self, *, copies: Sequence[int], products: Sequence[tuple[str, int]], warm: int = 3, repeats: int = 20
    ) -> list[dict[str, Any]]:
        """Seconds of copies of so many bytes, of square matrix products, and of an empty launch; for a trusted process."""
        rows: list[dict[str, Any]] = self._request(
            "rates", 10 * self.limits.call_seconds, copies=list(copies), products=[list(p) for p in products], warm=warm,
            repeats=repeats,
        ).body["rows"]  # fmt: skip
        return rows

    def finish(self) -> tuple[int | None, str]:
        """Lets the process end by itself, and the tool above it; (exit code, None if it was killed; what both printed)."""
        return self._worker.finish(timeout=_END_SECONDS)

    def close(self) -> None:
        """Ends the process, and its context with it."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _compiling(self, compiling: bool) -> float:
        if not compiling:
            return 0.0
        return self.limits.build_seconds if self.program.prepared == "eager" else _COMPILE_SECONDS

    def _outside(self) -> CandidateFailure:
        self.close()
        return CandidateFailure("protocol", "the candidate answered outside the schema.")

    def _request(self, op: str, timeout: float, **fields: Any) -> Any:
        try:
            return self._ask(op, timeout, fields)
        except CandidateFailure as failure:
            if self.program.trusted:
                raise BaselineFailed(
                    f"the baseline {self.program.prepared!r} failed: {failure.message}", mend=failure.mend
                ) from failure
            raise

    def _ask(self, op: str, timeout: float, fields: dict[str, Any]) -> Any:
        try:
            message = self._memory.request(op, timeout=timeout, **fields)
        except WorkerTimeout as error:
            raise CandidateFailure("timeout", f"the kernel did not finish within {timeout:g} s on the GPU.") from error
        except WorkerCrashed as error:
            if self.program.trusted and (fault := fault_of(error.stderr)) is not None:
                raise GpuError(f"the baseline's process ended: {fault.message}", mend=fault.mend) from error
            raise CandidateFailure("crashed", error.message, detail=error.stderr) from error
        except ProtocolError as error:
            raise CandidateFailure("protocol", error.message) from error
        if message.body.get("ok") is True:
            return message
        found = message.body.get("error")
        if message.body.get("spoilt"):
            self.close()
        if not isinstance(found, dict):
            raise self._outside()
        kind, text = str(found.get("kind", "python")), str(found.get("message", ""))
        mend = str(found.get("mend", ""))
        if kind == "device" and self.program.trusted:
            self.close()
            raise GpuError(f"the GPU failed: {text}", mend=mend)
        if kind == "device":  # a claim; the baseline's process would know
            found = {**found, "kind": "crashed"}
        raise failure_of(found, _KINDS)


def _torch_arch(arch: str) -> str:
    """An architecture as torch.utils.cpp_extension takes it: ``sm_90`` is ``9.0``, ``sm_100a`` is ``10.0a``."""
    found = re.fullmatch(r"sm_(\d+)(\d)(a?)", arch)
    return f"{found[1]}.{found[2]}{found[3]}" if found else ""


def _toolkit() -> tuple[Path, ...]:
    """The folder of the CUDA toolkit, as torch.utils.cpp_extension finds it; empty if there is none or it is the system's."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if home is None and (nvcc := shutil.which("nvcc")):
        home = str(Path(nvcc).parent.parent)
    found = None if home is None else Path(home).absolute()
    if found is None or not (found / "bin" / "nvcc").is_file() or found in (Path.home(), *Path.home().parents):
        return ()
    return () if any(found.is_relative_to(folder) for folder in system_folders()) else (found,)
