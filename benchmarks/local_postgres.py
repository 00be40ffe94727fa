"""A PostgreSQL server of one's own, from `initdb` and `postgres` on PATH, in a folder that goes with it unless it is kept."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["local_postgres", "why_none"]

_USERS = ("postgres", "nobody")
"""One of them runs it where we are root, which it refuses to be run by."""


def why_none() -> str:
    """Why no server can be started here; empty when one can."""
    missing = [name for name in ("initdb", "postgres") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not on PATH (Debian: apt install postgresql)" if missing else ""


@contextmanager
def local_postgres(folder: Path, *, memory_mb: int = 512) -> Iterator[str]:
    """Serves what is in `folder` (made when it is empty) on this machine only; gives the SQLAlchemy URL of its database."""
    folder.mkdir(parents=True, exist_ok=True)
    user = _user()
    if user:
        shutil.chown(folder, user)
    as_user = ["runuser", "-u", user, "--"] if user else []
    data = folder / "data"
    path = f"{Path(shutil.which('initdb') or '').resolve().parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    if not data.exists():
        command = [*as_user, "initdb", "-D", str(data), "-U", "kernelwright", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "shared_buffers": f"{memory_mb}MB",
        "max_wal_size": "8GB", "max_connections": 200,
    }  # fmt: skip
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [*as_user, "postgres", "-D", str(data), *flags],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(port, server)
        yield f"postgresql+psycopg://kernelwright@127.0.0.1:{port}/postgres"
    finally:
        _stop(data, server)


def _user() -> str:
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    end = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"postgresql://kernelwright@127.0.0.1:{port}/postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def _stop(data: Path, server: subprocess.Popen[bytes]) -> None:
    """Asks the server itself, whose parent may be `runuser`, to end at once."""
    pid = data / "postmaster.pid"
    if pid.is_file():
        os.kill(int(pid.read_text().split()[0]), signal.SIGINT)
    server.wait(timeout=60)
