"""Real clients of both providers for a server that serves a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from model_server_clients import Clients

from kernelwright.agents.model_server import serving


@pytest.fixture
def served() -> Iterator[Callable[[Mapping[str, Any]], Clients]]:
    """Starts a server for a script and gives its clients; all are closed at the end."""
    with ExitStack() as stack:

        def start(script: Mapping[str, Any]) -> Clients:
            return stack.enter_context(Clients(stack.enter_context(serving(script))))

        yield start
