"""Hostile programs in a worker, under each isolation that works here, each beside an honest one that does much the same."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelwright.errors import ConfigError, WorkerCrashed
from kernelwright.sandbox import isolation
from kernelwright.sandbox.isolation import cgroups, docker, seccomp
from kernelwright.sandbox.process import Limits, Worker

if sys.platform != "linux":
    pytest.skip("isolation is made of Linux's parts", allow_module_level=True)

LIMITS = Limits(memory_bytes=2 << 30, scratch_bytes=32 << 20, processes=64)
SYSCALL = "import ctypes, errno; libc = ctypes.CDLL(None, use_errno=True)\n"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Docker engine: the one at hand, or one started for these tests where that is possible."""
    if not docker.docker_problem():
        yield os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        return
    program = shutil.which("dockerd")
    if program is None or os.geteuid() != 0:
        pytest.skip("no Docker engine answers, and none can be started")
    pytest.importorskip("docker")
    folder = Path("/tmp") / f"kernelwright-engine-{os.getpid()}"  # a socket's path must be short
    folder.mkdir()
    log = open(folder / "log", "wb")  # noqa: SIM115
    options = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false"]
    process = subprocess.Popen(
        [program, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-H", f"unix://{folder}/s",
         "--pidfile", f"{folder}/pid", *options],
        stdout=log, stderr=log,
    )  # fmt: skip
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = f"unix://{folder}/s"
    try:
        deadline = time.monotonic() + 60
        problem = "it did not answer"
        while process.poll() is None and time.monotonic() < deadline:
            docker.docker_problem.cache_clear()
            problem = docker.docker_problem()
            if not problem:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        if problem:
            pytest.skip(f"a Docker engine does not run here: {problem}")
        yield os.environ["DOCKER_HOST"]
    finally:
        process.terminate()
        process.wait(60)
        log.close()
        if before is None:
            del os.environ["DOCKER_HOST"]
        else:
            os.environ["DOCKER_HOST"] = before
        docker.docker_problem.cache_clear()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["process", "bubblewrap", "docker"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        request.getfixturevalue("engine")
    if problem := isolation.find_isolation(request.param).problem():
        pytest.skip(problem)
    return str(request.param)


@pytest.fixture
def fenced(backend: str) -> str:
    if backend == "process":
        pytest.skip("a plain process has no fence around files")
    return backend


@pytest.fixture
def start(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Worker]]:
    monkeypatch.setenv("KERNELWRIGHT_CACHE", str(tmp_path / "cache"))
    folder = Path(__file__).parent
    workers = []

    def started(limits: Limits = LIMITS, **more: object) -> Worker:
        # the program is no part of the package: it comes in by the cache, which a worker can read
        inside = tmp_path / "cache" / "isolation_program.py"
        inside.parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / "isolation_program.py", inside)
        root = Path(sys.modules["kernelwright"].__file__).parents[1]
        workers.append(
            Worker(
                "isolation_program",
                name="the worker",
                limits=limits,
                isolation=backend,
                environment={"PYTHONPATH": f"{root}:{inside.parent}"},
                **more,  # type: ignore[arg-type]
            )
        )
        return workers[-1]

    yield started
    for worker in workers:
        worker.close()


def ask(worker: Worker, code: str, timeout: float = 60) -> object:
    body = worker.request("run", timeout=timeout, code=textwrap.dedent(code)).body
    assert body["ok"], body
    return body["found"]


def refused(worker: Worker, code: str) -> str:
    """The errors of an attempt that must not succeed."""
    body = worker.request("run", timeout=60, code=textwrap.dedent(code)).body
    assert not body["ok"], f"it succeeded: {body}"
    return str(body["error"]["type"])


def test_an_honest_program_computes_writes_forks_and_compiles(start):
    worker = start()
    assert ask(worker, "import math; found = math.factorial(20)") == 2432902008176640000
    assert ask(worker, "open('own', 'w').write('x'); found = open('own').read()") == "x"
    assert ask(worker, "import tempfile; found = len(tempfile.mkdtemp()) > 0")
    assert (
        ask(
            worker,
            "import subprocess; found = subprocess.run(['/bin/echo', 'a'], capture_output=True, text=True).stdout",
        )
        == "a\n"
    )
    threads = """
        import threading
        got = []
        many = [threading.Thread(target=got.append, args=(i,)) for i in range(16)]
        [t.start() for t in many]; [t.join() for t in many]
        found = sorted(got)
    """
    assert ask(worker, threads) == list(range(16))
    build = """
        import ctypes, os, shutil, subprocess
        open('a.c', 'w').write('int seven() { return 7; }')
        subprocess.run([shutil.which('g++'), '-shared', '-fPIC', '-xc', 'a.c', '-o', 'a.so'], check=True)
        found = ctypes.CDLL(os.path.abspath('a.so')).seven()
    """
    if shutil.which("g++"):
        assert ask(worker, build) == 7


def test_no_network(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        worker = start()
        assert refused(worker, f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)") in {
            "PermissionError",
            "OSError",
        }
        assert refused(worker, "import socket; socket.socket(socket.AF_UNIX)") == "PermissionError"
        assert refused(worker, "import socket; socket.socket(40, socket.SOCK_STREAM)") == "PermissionError"  # AF_VSOCK
    # the honest twin: a pair of sockets between two threads of its own
    assert ask(worker, "import socket; a, b = socket.socketpair(); a.send(b'x'); found = b.recv(1).decode()") == "x"


def test_only_the_channel_is_inherited(start, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    with open(secret) as file:
        os.set_inheritable(file.fileno(), True)
        worker = start()
        found = ask(
            worker,
            "import os; found = sorted(os.readlink(f'/proc/self/fd/{n}') for n in map(int, os.listdir('/proc/self/fd')) if n > 2 and os.path.lexists(f'/proc/self/fd/{n}'))",
        )
    assert len(found) == 1, found
    assert found[0].startswith("socket:")


def test_a_passed_descriptor_arrives(start):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = start(pass_fds=(theirs.fileno(),))
        ask(worker, f"import os; os.write({theirs.fileno()}, b'hello'); found = 1")
        assert ours.recv(5) == b"hello"


def test_environment_holds_no_key(start, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/tmp/agent")
    found = ask(start(), "import os; found = sorted(os.environ)")
    assert "KERNELWRIGHT_CACHE" in found
    assert not {"OPENAI_API_KEY", "SSH_AUTH_SOCK"} & set(found)


def test_a_worker_collects_garbage_but_not_what_it_imported(start):
    assert ask(start(), "import gc; found = [gc.isenabled(), gc.get_freeze_count() > 10_000]") == [True, True]


def test_the_judge_can_not_be_read_or_traced(start):
    worker = start()
    judge = os.getpid()
    for name in ("environ", "mem", "maps"):
        assert refused(worker, f"open('/proc/{judge}/{name}', 'rb').read(1)") in {
            "PermissionError",
            "FileNotFoundError",
            "ProcessLookupError",
        }
    trace = SYSCALL + f"found = (libc.ptrace(16, {judge}, 0, 0), errno.errorcode[ctypes.get_errno()])"
    assert ask(worker, trace) == [-1, "EPERM"]
    read = SYSCALL + f"found = (libc.process_vm_readv({judge}, 0, 0, 0, 0, 0), errno.errorcode[ctypes.get_errno()])"
    assert ask(worker, read) == [-1, "EPERM"]
    # the honest twin reads its own
    assert ask(worker, "found = len(open('/proc/self/maps').read()) > 0")


def test_the_judge_gets_no_signal(start):
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        worker = start()
        for target in (os.getpid(), -os.getpgrp(), -1):
            assert refused(worker, f"import os, signal; os.kill({target}, signal.SIGUSR1)") in {
                "PermissionError",
                "ProcessLookupError",
            }
        child = "import subprocess; p = subprocess.Popen(['/bin/sleep', '60']); p.terminate(); found = p.wait()"
        assert ask(worker, child) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not seen


RAW_CALLS = [
    "mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
    "unshare(0x10000000)",
    "setns(0, 0)",
    "personality(8)",
    "reboot(0)",
    "syscall(321, 0, 0, 0)",
    "syscall(298, 0, 0, 0, 0, 0)",
    "syscall(323, 0)",
    "syscall(425, 1, 0)",
    "syscall(250, 0, 0, 0, 0, 0)",
    "syscall(246, 0, 0, 0, 0)",
    "syscall(175, 0, 0, 0)",
    "syscall(56, 0x10000011, 0, 0, 0, 0)",
]


def test_raw_calls_are_refused(start):
    if seccomp.filter_problem() or os.uname().machine != "x86_64":
        pytest.skip("the numbers are x86-64's")
    worker = start()
    for call in RAW_CALLS:
        found = ask(worker, f"{SYSCALL}found = (libc.{call}, errno.errorcode[ctypes.get_errno()])")
        assert found == [-1, "EPERM"], call
    assert ask(worker, f"{SYSCALL}import os; found = libc.syscall(39) == os.getpid()")  # getpid


def test_the_device_process_has_the_filter_too(fenced, start):
    if seccomp.filter_problem():
        pytest.skip(seccomp.filter_problem())
    worker = start(trusted=True)
    assert refused(worker, "import socket; socket.socket()") == "PermissionError"


def test_files_of_people_are_not_there(fenced, start, tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text("key")
    worker = start()
    assert refused(worker, f"open({str(secret)!r}).read()") == "FileNotFoundError"
    home = Path.home()
    shown = ask(worker, f"import os; found = os.listdir({str(home)!r}) if os.path.isdir({str(home)!r}) else []")
    assert not {name for name in shown if name in {".ssh", ".aws", ".config", ".docker", ".bash_history", ".netrc"}}
    assert refused(worker, "open('/etc/shadow').read()") in {"FileNotFoundError", "PermissionError"}


def test_nothing_is_written_outside(fenced, start, tmp_path):
    worker = start()
    paths = [
        tmp_path / "x",
        tmp_path / "cache" / "x",
        Path("/usr/x"),
        Path("/etc/x"),
        Path("/x"),
        Path(sys.prefix, "x"),
    ]
    for path in paths:
        with contextlib.suppress(AssertionError):
            refused(worker, f"open({str(path)!r}, 'w').write('x')")
        assert not path.exists()
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"):
        refused(worker, f"open({path!r}, 'r+').write('')")
    assert ask(worker, "open('/tmp/x', 'w').write('x'); found = open('/tmp/x').read()") == "x"


def test_other_processes_are_not_seen(fenced, start):
    shown = ask(start(), "import os; found = [int(n) for n in os.listdir('/proc') if n.isdigit()]")
    assert len(shown) <= 4


def test_a_full_disk_is_met_early(fenced, start):
    fill = """
        import os
        for folder in ('/tmp', '/dev/shm'):
            try:
                with open(f'{folder}/big', 'wb') as file:
                    for _ in range(64):
                        file.write(bytes(1 << 20))
                raise SystemExit('not bounded')
            except OSError as error:
                found = error.errno
            os.unlink(f'{folder}/big')
    """
    worker = start()
    assert ask(worker, fill) == 28  # ENOSPC
    assert ask(worker, "found = open('/tmp/small', 'wb').write(bytes(1 << 20))") == 1 << 20


def _limited(backend: str) -> None:
    if backend != "docker" and (problem := cgroups.groups_problem()):
        pytest.skip(problem)


def test_a_fork_bomb_is_bounded_and_cleared(backend, start):
    _limited(backend)
    bomb = """
        import os
        count = 0
        try:
            for _ in range(200):
                if os.fork() == 0:
                    os.setsid()
                    import signal; signal.pause()
                count += 1
        except BlockingIOError:
            pass
        found = count
    """
    worker = start()
    assert 0 < ask(worker, bomb) < LIMITS.processes
    worker.close()


def test_a_memory_bomb_of_several_processes_is_ended(backend, start):
    _limited(backend)
    bomb = """
        import subprocess, sys
        child = "kept = bytearray(b'x') * (100 << 20); print('full', flush=True); input()"
        options = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        children = [subprocess.Popen([sys.executable, '-I', '-S', '-c', child], **options) for _ in range(6)]
        [c.stdout.readline() for c in children]
        kept = bytearray(b'x') * (SIZE << 20)
        [c.kill() for c in children]
        found = len(kept)
    """
    # each process stays below the address space that one may have
    limits = Limits(memory_bytes=1 << 30)
    assert ask(start(limits), bomb.replace("SIZE", "200")) == 200 << 20
    worker = start(limits)
    with pytest.raises(WorkerCrashed, match=r"more than 1\.0 GiB of memory"):
        ask(worker, bomb.replace("SIZE", "600"))


def test_what_is_left_behind_is_gone_for_the_next_one(start):
    mark = f"7000.{os.getpid()}{time.monotonic_ns() % 10**9}"  # seconds; no other process sleeps for as long
    left = f"""
        import os, subprocess
        sleeper = subprocess.Popen(['/bin/sleep', '{mark}'], start_new_session=True)
        while not open(f'/proc/{{sleeper.pid}}/cmdline').read():  # its program takes over a moment after Popen returns
            pass
        open(os.path.join(os.environ['TMPDIR'], 'left'), 'w').write('x')
        found = os.environ['TMPDIR']
    """
    first = start()
    folder = ask(first, left)
    assert _sleeping(mark)
    first.close()
    assert not _sleeping(mark)
    assert ask(start(), f"import os; found = os.path.exists({folder + '/left'!r})") is False


def _sleeping(mark: str) -> list[str]:
    """Processes of this machine that were started with `mark` as an argument of their own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(entry.name)
    return found


def test_a_worker_builds_into_a_cache_of_its_own(start, tmp_path):
    entry = tmp_path / "cache" / "build" / "entry"
    entry.parent.mkdir(parents=True)
    entry.write_text("good")
    poison = """
        from pathlib import Path
        from kernelwright.sandbox.cache import cache_folder, cached, store_atomically
        before = cached(cache_folder('build') / 'entry').read_text()
        store_atomically(cache_folder('build') / 'entry', b'poison')
        store_atomically(cache_folder('build') / 'new', b'poison')
        found = [before, cached(cache_folder('build') / 'entry').read_text()]
    """
    assert ask(start(), poison) == ["good", "poison"]
    assert entry.read_text() == "good"
    assert [path.name for path in entry.parent.iterdir()] == ["entry"]
    again = "from kernelwright.sandbox.cache import *; found = cached(cache_folder('build') / 'entry').read_text()"
    assert ask(start(), again) == "good"


def test_a_trusted_worker_writes_the_shared_cache(start, tmp_path):
    worker = start(trusted=True)
    ask(worker, "from kernelwright.sandbox.cache import *; store_atomically(cache_folder('build') / 'a', b'x')")
    assert (tmp_path / "cache" / "build" / "a").read_text() == "x"


def test_a_flood_of_output_neither_blocks_nor_grows(start):
    worker = start()
    ask(worker, "import os\nfor _ in range(200): os.write(2, b'y' * 65536)\nos.write(1, b'the end'); found = 1")
    worker.close()
    assert worker.stderr().endswith("the end")
    assert len(worker.stderr()) <= 8000


def test_auto_is_never_a_plain_process(monkeypatch):
    monkeypatch.setattr(isolation, "backends", lambda: (Absent(), isolation.PlainProcess()))
    with pytest.raises(ConfigError, match="--isolation process"):
        isolation.choose_isolation("auto")
    assert isolation.choose_isolation("process") == "process"


class Absent:
    """A fence that is not there."""

    name = "bubblewrap"

    def problem(self) -> str:
        return "it is not installed"


@pytest.mark.parametrize(
    ("machine", "column", "header"),
    [
        ("x86_64", 0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", 1, "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_of_calls_are_those_of_the_headers(machine, column, header):
    if not Path(header).exists():
        pytest.skip("the kernel's headers are not installed")
    text = Path(header).read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)\n", text)}
    assert len(known) > 200
    wrong = {n: (c[column], known[n]) for n, c in seccomp.DENIED.items() if n in known and known[n] != c[column]}
    assert not wrong
    assert len([n for n, c in seccomp.DENIED.items() if n in known]) > 50
    assert len(seccomp.filter_program(machine=machine)) % 8 == 0


def test_places_of_control_groups(tmp_path):
    for name in ("memory/a", "pids", "unified/b/c"):
        (tmp_path / name).mkdir(parents=True)
    mixed = f"cgroup {tmp_path}/memory cgroup rw,memory 0 0\ncgroup {tmp_path}/pids cgroup rw,pids 0 0\ncgroup2 {tmp_path}/unified cgroup2 rw 0 0\n"
    own = "4:memory:/a\n8:pids:/elsewhere\n0::/b/c\n"
    found = cgroups.places_in(mixed, own)
    assert found == [
        cgroups.Place(("memory",), 1, tmp_path / "memory/a"),
        cgroups.Place(("pids",), 1, tmp_path / "pids"),
    ]
    (tmp_path / "unified/b/cgroup.controllers").write_text("cpu memory pids\n")
    second = cgroups.places_in(f"cgroup2 {tmp_path}/unified cgroup2 rw 0 0\n", own)
    assert second == [cgroups.Place(("memory", "pids"), 2, tmp_path / "unified/b")]
