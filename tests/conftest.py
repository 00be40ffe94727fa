"""Standing here, this file lets tests import the helpers beside it (`search_doubles`, ...)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

# set before torch is loaded, as the program does: threads that spin would take the cores of processes that work
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_works() -> Iterator[None]:
    """A shell starts background jobs with SIGINT ignored, and their children ignore it too; tests of Ctrl-C send it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
