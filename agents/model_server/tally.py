"""Tally: what the model server was asked, what it sent, and what it would have charged."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from kernelwright.agents.models.protocol import Usage
from kernelwright.errors import MisuseError

__all__ = ["Book", "Served", "Tally", "text_hash"]


def text_hash(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Served:
    """One request with what it got."""

    number: int
    """1-based, in the order in which their replies ended."""
    provider: str
    model: str
    """As the request named it; empty where the request could not be read."""
    status: int
    """HTTP status; 0 where the connection was closed before one."""
    entry: int | None
    """0-based number of the script's entry; None where none answered."""
    fault: str | None
    stream: bool
    complete: bool
    """Whether a usable reply was sent to its last byte."""
    charged: Usage
    """Tokens that a provider would charge for."""
    reported: Usage | None
    """Usage as far as it was among the bytes sent; None if nothing was."""
    request_hash: str
    """SHA-256 of the request's body, in hex."""
    text_hash: str
    """SHA-256 of the text that was sent, in hex."""
    message: str = ""
    """Of an error."""


@dataclass(frozen=True)
class Tally:
    """All requests until now."""

    calls: tuple[Served, ...]
    remaining: tuple[str, ...]
    """The script's entries that are not used up, in words."""

    def charged(self, model: str | None = None) -> Usage:
        """Tokens charged for a model, or for all."""
        return _sum([call.charged for call in self.calls if model in (None, call.model)])

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were asked for, in order of their first request."""
        return tuple(dict.fromkeys(call.model for call in self.calls if call.model))

    @property
    def repeated(self) -> int:
        """Requests that had been answered completely when they came again, byte for byte."""
        answered: set[tuple[str, str]] = set()
        count = 0
        for call in self.calls:
            key = (call.provider, call.request_hash)
            count += key in answered
            if call.complete:
                answered.add(key)
        return count

    def as_json(self) -> dict[str, Any]:
        """What `GET /_tally` answers."""
        return {
            "models": {model: self._of(model) for model in self.models},
            "repeated": self.repeated,
            "remaining": list(self.remaining),
            "calls": [asdict(call) for call in self.calls],
        }

    def _of(self, model: str) -> dict[str, Any]:
        calls = [call for call in self.calls if call.model == model]
        return {
            "requests": len(calls),
            "complete": sum(call.complete for call in calls),
            **asdict(_sum([call.charged for call in calls])),
        }


def _sum(usages: list[Usage]) -> Usage:
    return Usage(
        sum(usage.input_tokens for usage in usages),
        sum(usage.cache_read_tokens for usage in usages),
        sum(usage.cache_write_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        sum(usage.reasoning_tokens for usage in usages),
    )


class Book:
    """Where requests are written down, in memory and line by line in a file. Several threads may write."""

    def __init__(self, log: Path | None = None) -> None:
        self._calls: list[Served] = []
        self._lock = threading.Lock()
        self._log: IO[str] | None = None
        if log is not None:
            try:
                self._log = log.open("a", encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise MisuseError(
                    f"{log} can't be written: {error.strerror or error}.", mend="Name another file with --log."
                ) from None

    def add(self, fields: Mapping[str, Any], text: str) -> None:
        """Writes a request down; the line is in the file when this returns.

        Args:
            fields: those of `Served` but `number` and `text_hash`.
            text: what was sent of the scripted text.
        """
        with self._lock:
            served = Served(number=len(self._calls) + 1, text_hash=text_hash(text), **fields)
            self._calls.append(served)
            if self._log is not None:
                self._log.write(json.dumps({**asdict(served), "text": text}) + "\n")
                self._log.flush()

    def calls(self) -> tuple[Served, ...]:
        with self._lock:
            return tuple(self._calls)

    def close(self) -> None:
        with self._lock:
            if self._log is not None:
                self._log.close()
                self._log = None
