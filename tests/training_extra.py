"""The mark of tests that train models: opt-in, and skipped where the extra is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from kernelwright.rl.training.extra import PACKAGES

Test = TypeVar("Test", bound=Callable[..., Any])
_MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def needs_extra(test: Test) -> Test:
    """`learning`, and only with `kernelwright[rl]`; warnings of its libraries are theirs."""
    for mark in (
        pytest.mark.learning,
        pytest.mark.timeout(1800),
        pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)} (kernelwright[rl])"),
        pytest.mark.filterwarnings("ignore"),
    ):
        test = mark(test)
    return test
