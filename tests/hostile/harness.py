"""Judges a pair's two kernels, and looks for what an attack may have left on the machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from hostile.pair import Pair

from kernelwright.bench_tasks.kernelbench import read_task
from kernelwright.sandbox.cache import cache_root
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.isolation import bubblewrap_problem
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, StageStatus
from kernelwright.verifier.model.gpus import find_gpu

SECRET = "sk-of-the-person-4711"
"""A key in the judge's environment and in a file; no verdict may hold it."""
_TASKS = Path(__file__).with_name("tasks")


@cache
def isolation() -> str:
    """The sandbox of these tests: bubblewrap where it works."""
    return "process" if bubblewrap_problem() else "bubblewrap"


class References:
    """One reference process per task, shared by the pairs."""

    def __init__(self) -> None:
        self._open: dict[str, Reference] = {}

    def get(self, task: str) -> Reference:
        """The opened task of this name."""
        if task not in self._open:
            self._open[task] = Reference(read_task(_TASKS / f"{task}.py"))
        return self._open[task]

    def close(self) -> None:
        """Ends the processes."""
        for reference in self._open.values():
            reference.close()


def static_refused(found: Evaluation) -> bool:
    """Whether static analysis refused a kernel, so that it was never run."""
    return len(found.stages) == 1 and found.stages[0].status is StageStatus.FAILED


def disguised(text: str) -> str:
    """A module that runs `text` from characters, beside a kernel of no use: static analysis can't read it."""
    return (
        "import cupy\n"
        'CUDA = r"""extern "C" __global__ void of_no_use(float* x) {}"""\n'
        f"exec(compile(bytes({list(text.encode())}).decode(), 'disguised', 'exec'))\n"
    )


@dataclass
class Machine:
    """What a hostile kernel could reach: a folder outside, a port, a home with a key, and a word that it leaves behind."""

    outside: Path
    home: Path
    port: int
    mark: str
    listener: socket.socket

    def fill(self, text: str) -> str:
        """`text` with this machine's places in it."""
        places = {"@OUTSIDE@": self.outside, "@HOME@": self.home, "@PORT@": self.port, "@MARK@": self.mark}
        for name, value in places.items():
            text = text.replace(name, str(value))
        return text

    def traces(self) -> list[str]:
        """What the kernels left behind."""
        found = [f"file {path}" for path in self.outside.rglob("*")]
        folders = (cache_root(), Path("/dev/shm"), Path("/var/tmp"), self.home)
        found += [f"file {path}" for folder in folders if folder.is_dir() for path in folder.rglob(f"*{self.mark}*")]
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and self.mark.encode() in (process / "cmdline").read_bytes():
                    found.append(f"process {process.name}")
            except OSError:  # it has just ended
                continue
        self.listener.setblocking(False)
        try:
            self.listener.accept()[0].close()
            found.append("a connection")
        except BlockingIOError:
            pass
        return found


@contextmanager
def machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Makes those places, and clears the traces at the end."""
    outside, home = folder / "outside", folder / "home"
    (home / ".ssh").mkdir(parents=True)
    outside.mkdir()
    (home / ".ssh" / "id_ed25519").write_text(SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mark = f"hostile-{os.getpid()}-{folder.name}"
        yield Machine(outside, home, listener.getsockname()[1], mark, listener)
    for place in (cache_root(), Path("/dev/shm"), Path("/var/tmp")):
        for left in place.rglob(f"*{mark}*") if place.is_dir() else ():
            left.unlink(missing_ok=True)


def judge(pair: Pair, text: str, reference: Reference) -> Evaluation:
    """The verdict about one of the pair's kernels. Short limits are for the hostile one: its twin may meet a busy machine."""
    limits = Limits(
        call_seconds=pair.call_seconds,
        build_seconds=pair.build_seconds,
        load_seconds=pair.load_seconds,
        memory_bytes=pair.memory_bytes,
        scratch_bytes=pair.scratch_bytes,
    )
    if text == pair.twin:
        limits = Limits(memory_bytes=pair.memory_bytes, scratch_bytes=pair.scratch_bytes)
    device = Device("emulator", "H200", "sm_90", isolation())
    return evaluate(
        reference.task, Kernel(text, pair.name), device=device, reference=reference, gpu=find_gpu("H200"), limits=limits
    )
