"""The emulated device that runs the built-in coder's kernels."""

import pytest
from builtin_harness import Runner


@pytest.fixture(scope="session")
def runner() -> Runner:
    """One per process. Compiled kernels are in the cache of builds: processes of one session share them."""
    return Runner()
