"""Worker processes: start one, ask it things under a deadline, end it.

The worker's command line holds no secret and its environment only what is listed here, so no key of the person who
runs us reaches it. Limits on address space, files and core dumps are set by the worker on itself before it loads any
code that we did not write; time limits are the judge's; everything else is `sandbox.isolation`'s.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

import kernelwright
from kernelwright.errors import ProtocolError, WorkerCrashed, WorkerTimeout
from kernelwright.sandbox.cache import cache_root
from kernelwright.sandbox.channel import Channel, ChannelClosed, ChannelTimeout, Message
from kernelwright.sandbox.isolation import Caps, Order, find_isolation

__all__ = ["OUTPUT_BYTES", "Limits", "Watch", "Worker", "watched"]

_KEPT = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV", "CXX",
    "KERNELWRIGHT_MARCH", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
)  # fmt: skip
_SCRATCH = "kernelwright-"
_START = "kernelwright.sandbox.start"
OUTPUT_BYTES = 8000
"""Of what a worker prints, the end that is kept, to be shown after a crash."""


@dataclass(frozen=True)
class Limits:
    """What one worker may use."""

    call_seconds: float = 60.0
    """Wall time of one call of the module, in seconds."""
    load_seconds: float = 120.0
    """Wall time of starting and loading, in seconds (importing torch takes 1.5)."""
    build_seconds: float = 60.0
    """Wall time for compiling, on top of the first call, in seconds (typical: 2; once per machine: 10)."""
    memory_bytes: int = 16 << 30
    """Address space, in bytes; torch maps several GiB that it never touches."""
    file_bytes: int = 2 << 30
    """Largest file, in bytes (memory files with tensors count)."""
    scratch_bytes: int = 2 << 30
    """Files in a worker's /tmp, and in its /dev/shm, in bytes each, where the isolation bounds them."""
    processes: int = 512
    """Processes and threads of a worker and all that it starts, where the isolation bounds them."""


class Watch:
    """The workers that one thread has started, for another thread to end: see `watched`."""

    def __init__(self) -> None:
        self._workers: WeakSet[Worker] = WeakSet()
        self._lock = threading.Lock()

    def add(self, worker: Worker) -> None:
        """From now on `end` ends it too."""
        with self._lock:
            self._workers.add(worker)

    def end(self) -> None:
        """Kills all that run now. Who waits for one gets a WorkerCrashed, and closes it as after any crash."""
        with self._lock:
            running = list(self._workers)
        for worker in running:
            worker.kill()


_watch: ContextVar[Watch | None] = ContextVar("_watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Adds to `watch` the workers that this thread starts inside."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


@cache
def _sweep_scratch() -> None:
    """Removes directories of workers whose judge was killed before it could; once per process."""
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*-*"):
        owner = left.name.removeprefix(_SCRATCH).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)


class Worker:
    """A child process that answers requests, one at a time.

    Args:
        module: the Python module to run with ``-m``.
        name: for messages: "the reference", "the candidate".
        isolation: as `choose_isolation` gave it.
        environment: further variables.
        pass_fds: further descriptors that it gets, under the same numbers; they stay the caller's to close.
        trusted: it runs only code of ours, or of the person who runs us: it may write the build cache, and is not
            guarded against.
        gpu: it uses the machine's GPUs.
        under: the command line of a tool that runs the process; it is in the sandbox too, and so may be lied about.
        readable: further folders that the process may read: such a tool's.
        output_bytes: how much of the end of what it prints is kept.

    Raises:
        SandboxError, OSError: it does not start.
    """

    def __init__(
        self,
        module: str,
        *,
        name: str,
        limits: Limits,
        isolation: str = "process",
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        trusted: bool = False,
        gpu: bool = False,
        under: Sequence[str] = (),
        readable: Sequence[Path] = (),
        output_bytes: int = OUTPUT_BYTES,
    ) -> None:
        self.name = name
        self.limits = limits
        _sweep_scratch()
        backend = find_isolation(isolation)
        self._scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))
        home = backend.home(self._scratch)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        cache = cache_root().absolute()
        cache.mkdir(parents=True, exist_ok=True)
        env = {key: os.environ[key] for key in _KEPT if key in os.environ}
        # threads that wait for work would spin on cores that the other processes need
        env.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        env |= {
            "HOME": str(home),
            "TMPDIR": str(home),
            "USER": "kernelwright",
            "KERNELWRIGHT_CACHE": str(cache if trusted else home / "cache"),
            "KERNELWRIGHT_CACHE_BENEATH": "" if trusted else str(cache),
            "KERNELWRIGHT_MEMORY_BYTES": str(limits.memory_bytes),
            "KERNELWRIGHT_FILE_BYTES": str(limits.file_bytes),
            # the directory that holds the package, for a checkout that is not installed
            "PYTHONPATH": str(Path(kernelwright.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONUNBUFFERED": "1",
        } | dict(environment or {})
        self._output = _Output(output_bytes)
        try:
            order = Order(
                command=(*under, sys.executable, "-P", "-m", _START, module, str(theirs.fileno())),
                environment=env,
                fds=(theirs.fileno(), *pass_fds),
                output=self._output.entrance,
                scratch=self._scratch,
                caps=Caps(limits.memory_bytes, limits.processes, limits.scratch_bytes),
                readable=tuple(readable) if trusted else (cache, *readable),
                writable=(cache,) if trusted else (),
                trusted=trusted,
                gpu=gpu,
            )
            self._running = backend.start(order)
        except BaseException:
            ours.close()
            self._output.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        finally:
            theirs.close()
            self._output.shut_entrance()
        self._channel: Channel | None = Channel(ours)
        if (watch := _watch.get()) is not None:
            watch.add(self)

    def kill(self) -> None:
        """Ends the process and everything it started, from any thread; its owner still closes it."""
        self._running.kill()

    @property
    def alive(self) -> bool:
        """Whether requests can still be sent."""
        return self._channel is not None

    @property
    def running(self) -> bool:
        """Whether its process has not ended, as far as can be seen without asking it."""
        if self._channel is None:
            return False
        try:
            self._running.wait(timeout=0)
        except TimeoutError:
            return True
        return False

    @property
    def pid(self) -> int:
        """The process id of the child (of the sandbox, when there is one)."""
        return self._running.pid

    @property
    def channel(self) -> Channel:
        """The open channel.

        Raises:
            WorkerCrashed: the worker has ended.
        """
        if self._channel is None:
            raise WorkerCrashed(f"{self.name} has ended", stderr=self.stderr())
        return self._channel

    def hand_over(self, op: str, descriptor: int, *, timeout: float) -> Message:
        """A request that carries a descriptor, of which the caller keeps its own; the answer.

        Raises:
            WorkerTimeout, WorkerCrashed, ProtocolError: as `request`; also if the worker refuses.
        """
        answer = self._ask(timeout, 0, lambda channel: channel.send_descriptor({"op": op}, descriptor))
        if answer.body.get("ok") is not True:
            self.close()
            raise ProtocolError(f"{self.name} refuses {op}: {dict(answer.body.get('error') or {}).get('message')}")
        return answer

    def request(
        self,
        op: str,
        *,
        timeout: float,
        values: Any = None,
        shared: Any = None,
        max_bytes: int = 1 << 36,
        **fields: Any,
    ) -> Message:
        """Sends one request and waits for the answer.

        Args:
            timeout: in seconds; at its end the worker is killed.
            values: tensors and plain values, copied to the worker; or
            shared: what `Channel.share` returned, which the worker maps.
            max_bytes: the most that its tensors may hold.

        Raises:
            WorkerTimeout, WorkerCrashed, ProtocolError: and the worker has been ended.
        """

        def send(channel: Channel) -> None:
            if shared is not None:
                channel.send_shared({"op": op, **fields}, shared)
            else:
                channel.send({"op": op, **fields}, values)

        return self._ask(timeout, max_bytes, send)

    def _ask(self, timeout: float, max_bytes: int, send: Callable[[Channel], None]) -> Message:
        try:
            channel = self.channel
            send(channel)
            return channel.receive(timeout=timeout, max_bytes=max_bytes)
        except ChannelTimeout as error:
            self.close()
            raise WorkerTimeout(f"{self.name} did not answer within {timeout:g} s.") from error
        except ProtocolError:
            self.close()
            raise
        except ChannelClosed as error:
            raise self._crashed() from error
        except BaseException:
            self.close()
            raise

    def _crashed(self) -> WorkerCrashed:
        try:
            code: int | None = self._running.wait(timeout=5)  # seconds; its socket is closed already
        except TimeoutError:
            code = None
        why = self._running.kill()
        text = self.stderr()
        self.close()
        if code is not None and code < 0:
            how = f"was ended by signal {signal.Signals(-code).name}"
        elif code is not None and code > 128 and code - 128 in {s.value for s in signal.Signals}:
            how = f"was ended by signal {signal.Signals(code - 128).name}"  # as bubblewrap reports it
        else:
            how = f"ended with exit code {code}"
        if why:
            how += f": {why}"
        return WorkerCrashed(f"{self.name} {how}.", returncode=code, stderr=text)

    def stderr(self) -> str:
        """The end of what the worker printed."""
        return self._output.text()

    def finish(self, *, timeout: float) -> tuple[int | None, str]:
        """Lets the worker end by itself, as it does when its judge is gone, then closes.

        Args:
            timeout: in seconds; what has not ended by then is killed.

        Returns:
            (its exit code, None if it had to be killed; the end of what it printed).
        """
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        try:
            code: int | None = self._running.wait(timeout=timeout)
        except TimeoutError:
            code = None
        self.close()
        return code, self.stderr()

    def close(self) -> None:
        """Ends the worker and everything it started, and removes its directory; it keeps nothing that we need."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._running.kill()
        self._output.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Output:
    """Standard output and error of a worker: a pipe of which the end is kept, so that no flood fills a disk or blocks it."""

    def __init__(self, kept_bytes: int) -> None:
        self._kept_bytes = kept_bytes
        self._exit, self.entrance = os.pipe()
        self._stop, self._stopper = os.pipe()
        self._kept = bytearray()
        self._open = True
        self._reader = threading.Thread(target=self._read, name="kernelwright-output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._exit, self._stop], [], [])
            if self._exit not in ready:
                return  # all that was written has been read
            part = os.read(self._exit, 1 << 16)
            if not part:
                return
            self._kept += part
            if len(self._kept) > 2 * self._kept_bytes:  # not each time: what is cut off costs a copy of what stays
                del self._kept[: -self._kept_bytes]

    def shut_entrance(self) -> None:
        """Once the worker has it."""
        os.close(self.entrance)

    def text(self) -> str:
        """The end of what was written."""
        return bytes(self._kept[-self._kept_bytes :]).decode(errors="replace")

    def close(self) -> None:
        """Reads what has been written and ends; whoever still writes gets an error."""
        if not self._open:
            return
        self._open = False
        os.close(self._stopper)
        self._reader.join()
        os.close(self._exit)
        os.close(self._stop)
