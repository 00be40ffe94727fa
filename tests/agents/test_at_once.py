"""Calls made at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from kernelwright.agents.at_once import at_once


def test_all_are_made_at_the_same_time_and_answers_keep_their_order() -> None:
    together = threading.Barrier(3, timeout=60)  # broken, were one of them made after another

    def call(number: int) -> int:
        together.wait()
        return 6 // number

    found = at_once([lambda n=n: call(n) for n in (2, 0, 1)], "call")  # type: ignore[misc]
    assert [found[0].result(0), found[2].result(0)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        found[1].result(0)
    assert at_once([], "call") == []


def test_ctrl_c_ends_a_process_whose_call_never_ends() -> None:
    program = """
import os, signal, threading
from kernelwright.agents.at_once import at_once

def call():
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()

try:
    at_once([call], "call")
except KeyboardInterrupt:
    print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")
