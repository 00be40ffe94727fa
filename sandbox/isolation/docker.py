"""`docker`: a container for each worker, through the engine's API (extra `[docker]`, https://docker-py.readthedocs.io).

A container inherits no descriptors, so `enter.py` fetches them over a Unix socket in a mounted folder. The engine must
therefore be on this machine. The image holds next to nothing: programs, libraries and Python are the host's, read-only.
`KERNELWRIGHT_DOCKER_IMAGE` names an image with programs and libraries of its own (a C library and a C++ compiler).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import socket
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from kernelwright.errors import SandboxError
from kernelwright.sandbox.isolation.base import Caps, Order, Running
from kernelwright.sandbox.isolation.folders import python_folders, system_folders
from kernelwright.sandbox.isolation.local import ENTER, entering, total_memory
from kernelwright.sandbox.isolation.seccomp import filter_problem, filter_program

__all__ = ["DockerContainers", "docker_problem", "import_image"]

IMAGE_VARIABLE = "KERNELWRIGHT_DOCKER_IMAGE"
_IMAGE = "kernelwright-empty:1"
_LABEL = "org.kernelwright.judge"
_MEETING = Path("/run/kernelwright")  # where a container finds the socket
_SOONEST = 0.05  # seconds to wait for an exit code at least: the engine is asked over a socket
_SECONDS = 60.0  # longest wait for one answer of the engine; a start takes 0.3
_TMP = Path("/tmp")


class DockerContainers:
    """No network, no other processes, no person's files; read-only; limits on memory, processes and processors."""

    name = "docker"

    def problem(self) -> str:
        return docker_problem()

    def active(self) -> tuple[str, ...]:
        seccomp = filter_problem()
        return (
            f"only the engine's system call filter: {seccomp}"
            if seccomp
            else "system call filter besides the engine's",
            "the engine's control groups for memory and processes",
            "bounded /tmp",
        )

    def home(self, scratch: Path) -> Path:
        return _TMP

    def start(self, order: Order) -> Running:
        """Starts a container and hands it its descriptors."""
        client = _client()
        try:
            return _start(client, order)
        except BaseException:
            client.close()
            raise


class _Container:
    """A container that runs."""

    def __init__(self, client: Any, container: Any) -> None:
        self._client = client
        self._container = container
        self._note: str | None = None
        container.reload()
        self._pid = int(container.attrs["State"]["Pid"])

    @property
    def pid(self) -> int:
        return self._pid

    def wait(self, timeout: float) -> int:
        import requests

        try:
            return int(self._container.wait(timeout=max(timeout, _SOONEST))["StatusCode"])
        except requests.exceptions.RequestException as error:
            raise TimeoutError from error

    def kill(self) -> str:
        if self._note is not None:
            return self._note
        from docker.errors import APIError

        self._note = ""
        with contextlib.suppress(APIError):  # gone already
            self._container.reload()
            if self._container.attrs["State"].get("OOMKilled"):
                self._note = (
                    f"it used more than {self._container.attrs['HostConfig']['Memory'] / 2**30:.1f} GiB of memory"
                )
            self._container.remove(force=True)
        self._client.close()
        return self._note


@cache
def docker_problem() -> str:
    """Why containers can't be used here; the empty string if one has been started and has answered."""
    if importlib.util.find_spec("docker") is None:
        return "the Python package docker is not installed (pip install 'kernelwright[docker]')"
    import docker
    import requests

    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        return "the engine is not on this machine (DOCKER_HOST)"
    path = host.removeprefix("unix://")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_SECONDS)
            probe.connect(path)
    except OSError as error:
        return f"no engine answers at {path} ({error.strerror or error})"
    try:
        return _try()
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError, SandboxError) as error:
        return f"a container can't be started: {str(error)[:200]}"


def import_image(client: Any, name: str = _IMAGE) -> None:
    """Makes the image that has nothing in it but the places where folders are mounted, unless it is there."""
    from docker.errors import ImageNotFound

    try:
        client.images.get(name)
        return
    except ImageNotFound:
        pass
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for folder in ("dev", "etc", "proc", "run", "sys", "tmp", "usr"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for link in (path for path in system_folders() if path.is_symlink() and path.parent == Path("/")):
            entry = tarfile.TarInfo(link.name)
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(link)
            archive.addfile(entry)
    repository, _, tag = name.partition(":")
    client.api.import_image_from_data(data.getvalue(), repository=repository, tag=tag or "latest")


def _client() -> Any:
    import docker

    return docker.from_env(timeout=_SECONDS)


def _try() -> str:
    client = _client()
    try:
        if client.info().get("OSType") != "linux":
            return "the engine runs no Linux containers"
        _sweep(client)
        with (
            tempfile.TemporaryDirectory(prefix=f"kernelwright-{os.getpid()}-") as scratch,
            open(os.devnull, "wb") as sink,
        ):
            order = Order(
                ("/bin/sh", "-c", "exit 7"), {"PATH": "/usr/bin:/bin"}, (), sink.fileno(), Path(scratch),
                Caps(1 << 30, 64, 1 << 24),
            )  # fmt: skip
            running = _start(client, order)
            try:
                code = running.wait(_SECONDS)
            finally:
                running.kill()
    finally:
        client.close()
    return "" if code == 7 else f"a container ended with exit code {code}"


def _start(client: Any, order: Order) -> _Container:
    import docker

    own_image = os.environ.get(IMAGE_VARIABLE, "")
    if not own_image:
        import_image(client)
    # a path of a Unix socket has at most 107 bytes, and TMPDIR may be longer than that
    meeting = Path(tempfile.mkdtemp(prefix=f"kernelwright-{os.getpid()}-", dir=_TMP))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    container = None
    try:
        listener.bind(str(meeting / "s"))
        listener.listen(1)
        listener.settimeout(_SECONDS)
        program = b"" if filter_problem() else filter_program()
        command = entering(
            order.command, fds=order.fds, control=str(_MEETING / "s"), program=program, rlimits=order.rlimits
        )
        memory = min(order.caps.memory_bytes, total_memory())
        size = f"size={order.caps.scratch_bytes}"
        gpus = [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])] if order.gpu else None
        container = client.containers.create(
            own_image or _IMAGE,
            entrypoint=command[:1],
            command=command[1:],
            environment=dict(order.environment),
            user=_user(client),
            working_dir=str(_TMP),
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=memory,
            memswap_limit=memory,
            pids_limit=order.caps.processes,
            nano_cpus=_processors() * 10**9,
            shm_size=min(order.caps.scratch_bytes, memory),
            ipc_mode="private",
            tmpfs={str(_TMP): f"rw,exec,nosuid,nodev,mode=1777,{size}"},
            mounts=_mounts(order, meeting, bool(own_image)),
            device_requests=gpus,
            log_config=docker.types.LogConfig(type="none"),
            labels={_LABEL: _identity(os.getpid())},
        )
        container.start()
        connection = _accept(listener, container)
        with connection:
            socket.send_fds(connection, [b"d"], [*order.fds, order.output])
        return _Container(client, container)
    except BaseException as error:
        if container is not None:
            container.remove(force=True)
        if isinstance(error, docker.errors.DockerException):
            raise SandboxError(
                f"the container does not start: {str(error)[:400]}", mend="Run `kernelwright doctor`."
            ) from error
        raise
    finally:
        listener.close()
        shutil.rmtree(meeting, ignore_errors=True)


def _accept(listener: socket.socket, container: Any) -> socket.socket:
    """The container's connection; looks now and then whether it still runs."""
    left = _SECONDS
    listener.settimeout(1.0)
    while left > 0:
        try:
            return listener.accept()[0]
        except TimeoutError:
            left -= 1.0
            container.reload()
            if container.status == "exited":
                break
    state = container.attrs["State"]
    raise SandboxError(
        f"the container ended before it fetched its descriptors (exit code {state.get('ExitCode')}). {state.get('Error', '')}".strip(),
        mend=f"Its image needs Python's C library; folders are mounted from this machine. See {IMAGE_VARIABLE}.",
    )


def _mounts(order: Order, meeting: Path, own_image: bool) -> list[Any]:
    from docker.types import Mount

    shown = {path: path.resolve() for path in (*python_folders(), *order.readable, ENTER.parent)}
    if not own_image:
        shown |= {
            path: path.resolve() for path in system_folders() if not (path.is_symlink() and path.parent == Path("/"))
        }
    mounts = [Mount(str(path), str(source), type="bind", read_only=True) for path, source in shown.items()]
    mounts += [Mount(str(path), str(path.resolve()), type="bind") for path in order.writable]
    mounts.append(Mount(str(_MEETING), str(meeting), type="bind", read_only=True))
    return mounts


def _user(client: Any) -> str:
    """This process's user, whose files are mounted; in a rootless engine that is called root."""
    options = client.info().get("SecurityOptions") or []
    return "0:0" if any("rootless" in option for option in options) else f"{os.getuid()}:{os.getgid()}"


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _identity(pid: int) -> str:
    """A process id with the time it was started, since ids are used again; "" if there is none."""
    try:
        return f"{pid}-{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""


def _sweep(client: Any) -> None:
    """Removes containers whose judge was killed before it could."""
    from docker.errors import APIError

    for container in client.containers.list(all=True, filters={"label": _LABEL}):
        owner = container.labels.get(_LABEL, "")
        if not owner or _identity(int(owner.split("-")[0])) != owner:
            with contextlib.suppress(APIError):
                container.remove(force=True)
