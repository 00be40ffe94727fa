"""Clients of ours at a server that serves a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kernelwright.agents.model_server import ScriptedServer, serving
from kernelwright.agents.models.provider import Patience, Provider
from kernelwright.agents.models.spec import Models
from kernelwright.config import Settings

OPENAI_KEY = "sk-canary-openai-0123456789"
ANTHROPIC_KEY = "canary/anthropic+ABCDEFGH"
COMPATIBLE_KEY = "canary_compatible_zyxwvu"
KEYS = (OPENAI_KEY, ANTHROPIC_KEY, COMPATIBLE_KEY)


@dataclass
class Room:
    """A server, and the models of a run that asks it."""

    server: ScriptedServer
    models: Models
    waits: list[float] = field(default_factory=list)
    """Seconds that the clients would have slept between tries."""

    def client(self, provider: str, model: str = "m") -> Provider:
        """`openai` and `anthropic` are the vendors', `compatible` another server with OpenAI's protocol."""
        if provider == "compatible":
            return self.models.client(f"{self.server.openai_url}#{model}")
        return self.models.client(f"{provider}:{model}")


Start = Callable[..., Room]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    """Starts a server for a script, with room for more settings; closes all at the end."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", ANTHROPIC_KEY)
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def room(
            script: Mapping[str, Any],
            *,
            tries: int = 4,
            record: Path | None = None,
            replay: Path | None = None,
            **settings: Any,
        ) -> Room:
            server = stack.enter_context(serving(script))
            monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
            monkeypatch.setenv("ANTHROPIC_BASE_URL", server.anthropic_url)
            waits: list[float] = []
            given = Settings(**({"compatible_api_key": COMPATIBLE_KEY} | settings))
            patience = Patience(tries=tries, sleep=waits.append)
            models = stack.enter_context(Models(given, record=record, replay=replay, patience=patience))
            return Room(server, models, waits)

        yield room
