from __future__ import annotations

import pytest

from kernelwright.sandbox import emulator


@pytest.fixture
def memory() -> emulator.Memory:
    """A table of live allocations with nothing in it."""
    return emulator.Memory()
