"""NVRTC's own process: its limits, its crashes, and whose it is."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelwright.errors import BuildError
from kernelwright.sandbox.nvrtc import CompilerProcess, NvrtcFailure

ADD = 'extern "C" __global__ void add(float* a) { a[threadIdx.x] += 1.f; }'
# one function per number keeps NVRTC busy for minutes (20,000 of them: over 200 s)
MANY = "\n".join(
    f'extern "C" __global__ void k{n}(float* a) {{ a[threadIdx.x] = sinf(a[{n}]) + expf(a[{n + 1}]); }}'
    for n in range(20_000)
)
OPTIONS = ("--gpu-architecture=compute_90",)


@pytest.fixture
def process() -> Iterator[CompilerProcess]:
    made = CompilerProcess()
    yield made
    made.close()


def child(process: CompilerProcess) -> int:
    assert process._process is not None
    return process._process.pid


def test_one_process_serves_every_compilation(process: CompilerProcess) -> None:
    assert ".entry add(" in process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx
    first = child(process)
    assert ".entry add(" in process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx
    assert child(process) == first


def test_a_compilation_that_does_not_end_is_ended_at_the_limit(process: CompilerProcess) -> None:
    process.compile(ADD, "kernel.cu", OPTIONS, ())
    gone = child(process)
    process.seconds = 0.5
    with pytest.raises(BuildError, match=r"did not end within 0\.5 s"):
        process.compile(MANY, "kernel.cu", OPTIONS, ())
    with pytest.raises(ProcessLookupError):
        os.kill(gone, 0)
    process.seconds = 60
    assert process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx


def test_the_memory_of_a_compilation_is_bounded() -> None:
    process = CompilerProcess(memory_bytes=1 << 30)
    huge = '__device__ int a[300000000] = {1}; extern "C" __global__ void k(int* p) { *p = a[threadIdx.x]; }'
    try:
        assert process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx
        with pytest.raises(BuildError, match=r"NVRTC needs more than 1\.0 GiB of memory"):
            process.compile(huge, "kernel.cu", OPTIONS, ())
        assert process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx
    finally:
        process.close()


def test_a_crash_of_nvrtc_is_an_error_of_the_source(process: CompilerProcess) -> None:
    process.compile(ADD, "kernel.cu", OPTIONS, ())
    timer = threading.Timer(0.3, os.kill, (child(process), signal.SIGSEGV))  # within the compilation: it takes minutes
    timer.start()
    with pytest.raises(BuildError, match="NVRTC was ended by SIGSEGV") as caught:
        process.compile(MANY, "kernel.cu", OPTIONS, ())
    timer.join()
    assert "nest less deeply" in caught.value.mend
    assert process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx


def test_a_process_that_was_killed_meanwhile_is_replaced(process: CompilerProcess) -> None:
    process.compile(ADD, "kernel.cu", OPTIONS, ())
    os.kill(child(process), signal.SIGKILL)
    os.waitid(os.P_PID, child(process), os.WEXITED | os.WNOWAIT)
    assert process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx


def test_a_refusal_leaves_the_process_alive(process: CompilerProcess) -> None:
    with pytest.raises(NvrtcFailure) as caught:
        process.compile("nonsense", "kernel.cu", OPTIONS, ())
    first = child(process)
    assert caught.value.outcome == "NVRTC_ERROR_COMPILATION"
    assert "kernel.cu(1): error" in caught.value.log
    process.compile(ADD, "kernel.cu", OPTIONS, ())
    assert child(process) == first


def test_an_interrupt_ends_a_compilation_at_once(process: CompilerProcess) -> None:
    process.compile(ADD, "kernel.cu", OPTIONS, ())
    gone = child(process)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))  # within the compilation: it takes minutes
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        process.compile(MANY, "kernel.cu", OPTIONS, ())
    timer.join()
    with pytest.raises(ProcessLookupError):
        os.kill(gone, 0)


def test_it_is_nobodys_child_when_asked(process: CompilerProcess) -> None:
    process.detached = True
    assert process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx
    assert process._process is not None
    assert process._process.returncode == 0  # what was started has left; the one that answers is its child


def test_a_fork_starts_its_own(process: CompilerProcess) -> None:
    process.compile(ADD, "kernel.cu", OPTIONS, ())
    first = child(process)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            made = process.compile(ADD, "kernel.cu", OPTIONS, ())
            code = 0 if made.ptx and child(process) != first else 2
            process.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert process.compile(ADD, "kernel.cu", OPTIONS, ()).ptx
    assert child(process) == first


KILLED = """\
import sys
from kernelwright.sandbox.nvrtc import CompilerProcess
process = CompilerProcess()
process.compile("", "kernel.cu", (), ())
print(process._process.pid, flush=True)
process.compile(sys.stdin.read(), "kernel.cu", (), ())
"""


def test_it_ends_with_the_one_that_started_it_even_within_a_compilation() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        handle = os.pidfd_open(pid)
        owner.stdin.write(MANY)
        owner.stdin.close()
        owner.kill()
        owner.wait()
    try:
        assert select.select([handle], [], [], 20)[0]  # seconds; such a descriptor is readable when the process ends
    finally:
        os.close(handle)


def test_relative_folders_are_those_of_the_caller(
    process: CompilerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.compile(ADD, "kernel.cu", OPTIONS, ())
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "size.h").write_text("#define SIZE 4\n")
    monkeypatch.chdir(tmp_path)
    source = '#include "size.h"\nextern "C" __global__ void k(int* a) { *a = SIZE; }'
    assert ".entry k(" in process.compile(source, "kernel.cu", (*OPTIONS, "-Iown"), ()).ptx
