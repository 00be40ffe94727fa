"""Scripted workers as processes of their own: `service_worker.py` on a store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kernelwright.db.store import Store

__all__ = ["PATIENCE", "until", "worker"]

PATIENCE = 120.0
"""Seconds: a process that imports much on a busy machine."""
_WORKER = Path(__file__).with_name("service_worker.py")


@contextmanager
def worker(store: Store) -> Iterator[subprocess.Popen[str]]:
    """A worker that is ready; asked to stop at the end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", str(_WORKER), store.place]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


def until(seen: Callable[[], bool]) -> None:
    """Waits until something is seen."""
    end = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
