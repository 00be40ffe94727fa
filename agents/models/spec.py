"""From ``openai:NAME``, ``anthropic:NAME`` or ``http://host:port/v1#NAME`` to a client, with its key."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from kernelwright.agents.models.provider import Patience, Provider
from kernelwright.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from kernelwright.agents.models.recording import Tape
    from kernelwright.agents.models.transport import Wrap
    from kernelwright.config import Settings

__all__ = ["KEYS", "ModelSpec", "Models", "client_for", "find_key", "parse_spec"]

KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""The variable in which each vendor's key is looked for first."""
_FORMS = "Write openai:NAME, anthropic:NAME, or http://host:port/v1#NAME."
_LONGEST = 200
"""Characters of a specification."""


@dataclass(frozen=True)
class ModelSpec:
    """Which model at which server."""

    provider: Literal["openai", "anthropic", "compatible"]
    model: str
    """As the server calls it."""
    base_url: str | None = None
    """Of a compatible server."""

    @property
    def name(self) -> str:
        """As a person names it."""
        return f"{self.provider}:{self.model}" if self.base_url is None else f"{self.base_url}#{self.model}"

    @property
    def server(self) -> str:
        """What clients of the same server have in common."""
        return self.base_url or self.provider


def parse_spec(text: str) -> ModelSpec:
    """Reads a specification.

    Raises:
        ConfigError: it has another form, or its URL holds a password or a query.
    """
    given = text.strip()
    shown = given if len(given) <= 60 else given[:60] + "..."
    if not given or len(given) > _LONGEST or not given.isprintable() or any(c.isspace() for c in given):
        raise ConfigError(f"{shown!r} names no model.", mend=_FORMS)
    scheme, _, rest = given.partition(":")
    if scheme in {"openai", "anthropic"}:
        if not rest or rest.startswith("//"):
            raise ConfigError(f"{shown!r} names no model.", mend=f"Write {scheme}:NAME.")
        return ModelSpec("openai" if scheme == "openai" else "anthropic", rest)
    if scheme.lower() not in {"http", "https"}:
        raise ConfigError(f"{shown!r} names no model.", mend=_FORMS)
    url, _, model = given.partition("#")
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the model's URL can't be read: {error}.", mend=_FORMS) from None
    if parts.username is not None or parts.password is not None or parts.query:
        raise ConfigError(
            "a model's URL may hold neither a password nor a query: it is stored with every run.",
            mend="Put the key into KERNELWRIGHT_COMPATIBLE_API_KEY.",
        )
    if not host or not model:
        missing = "host" if not host else "model"
        raise ConfigError(f"{shown!r} names no {missing}.", mend="Write http://host:port/v1#NAME.")
    return ModelSpec("compatible", model, url.rstrip("/"))


class Models:
    """The models of one run: clients that share connections, gates and a recording. A context manager.

    Args:
        settings: keys, `model_seconds`, `model_concurrency`.
        record: a folder to keep every exchange in.
        replay: a folder with such exchanges, to be answered from instead of by a server; no key is needed.
        environ: where keys are looked for.

    Raises:
        ConfigError: both `record` and `replay`, or a folder that can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        record: Path | None = None,
        replay: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        patience: Patience | None = None,
    ) -> None:
        if record is not None and replay is not None:
            raise ConfigError("a run is either recorded or replayed.", mend="Give one of --record and --replay.")
        self._settings = settings
        self._record = record
        self._replay = replay
        self._environ = environ
        self._patience = patience
        self._gates: dict[str, threading.Semaphore] = {}
        self._clients: dict[str, Provider] = {}
        self._tape: Tape | None = None

    def client(self, text: str) -> Provider:
        """The client of a model; the same one for the same name.

        Raises:
            ConfigError: no such form, or no key.
        """
        spec = parse_spec(text)
        if spec.name not in self._clients:
            self._clients[spec.name] = self._make(spec)
        return self._clients[spec.name]

    def close(self) -> None:
        """Closes all connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self, spec: ModelSpec) -> Provider:
        from kernelwright.agents.models.transport import Waits, http_client

        key = "replayed" if self._replay is not None else find_key(spec.provider, self._settings, self._environ)
        gate = self._gates.setdefault(spec.server, threading.BoundedSemaphore(self._settings.model_concurrency))
        http = http_client(Waits(whole=self._settings.model_seconds), wrap=self._wrap(spec, key))
        if spec.provider == "anthropic":
            from kernelwright.agents.models.anthropic_client import AnthropicClient

            return AnthropicClient(spec.name, spec.model, key=key, http=http, gate=gate, patience=self._patience)
        from kernelwright.agents.models.openai_client import OpenAIClient

        return OpenAIClient(
            spec.name, spec.model, key=key, base_url=spec.base_url, http=http, gate=gate, patience=self._patience
        )

    def _wrap(self, spec: ModelSpec, key: str) -> Wrap | None:
        from kernelwright.agents.models.recording import Tape

        folder = self._record or self._replay
        if folder is None:
            return None
        if self._tape is None:
            self._tape = Tape(folder, replay=self._replay is not None)
        return self._tape.wrap(spec.server, (key,) if self._record else ())


def client_for(text: str, settings: Settings, *, record: Path | None = None, replay: Path | None = None) -> Provider:
    """The client of one model; see `Models`, which several models of one run should share."""
    return Models(settings, record=record, replay=replay).client(text)


def find_key(provider: str, settings: Settings, environ: Mapping[str, str]) -> str:
    """The key: the vendor's variable, else the setting. A compatible server may need none; then it is empty.

    Raises:
        ConfigError: there is none, or it has characters that no key has. It never shows the key.
    """
    variable = KEYS.get(provider)
    setting = f"{provider}_api_key"
    kept: SecretStr | None = getattr(settings, setting)
    found = (environ.get(variable, "") if variable else "").strip()
    origin = variable
    if not found and kept is not None:
        found, origin = kept.get_secret_value().strip(), f"the setting {setting}"
    if not found and variable:
        raise ConfigError(
            f"{provider} models need a key, and none is set.",
            mend=f"Set {variable} in the environment, or {setting} in the settings file.",
        )
    if not found.isascii() or not found.isprintable() or " " in found:
        raise ConfigError(f"{origin} holds characters that no key has.", mend="Copy the key again, on one line.")
    return found
