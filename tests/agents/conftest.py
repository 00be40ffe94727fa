"""The emulated device that runs the built-in coder's kernels."""

import os
from pathlib import Path

import pytest
from builtin_harness import Runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """One per session, so that kernels are compiled once; KERNELWRIGHT_CACHE keeps them for the next session."""
    cache = os.environ.get("KERNELWRIGHT_CACHE")
    return Runner(Path(cache) if cache else tmp_path_factory.mktemp("kernels"))
