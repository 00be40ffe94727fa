"""PromptCache: which part of a prompt a provider would have read from its cache, and which written to it."""

from __future__ import annotations

import hashlib
import threading

from kernelwright.agents.model_server.asked import BYTES_PER_TOKEN, Asked

__all__ = ["PromptCache"]

SMALLEST = 1024
"""Tokens of the shortest prefix that is cached (Anthropic's and OpenAI's documentation of prompt caching)."""


class PromptCache:
    """Remembers prefixes of prompts; entries never expire. Several threads may use it.

    Anthropic caches what the request marks, and charges for writing it; OpenAI caches the beginning of every prompt, which
    here ends with a message, and charges nothing for that.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def look_up(self, asked: Asked, *, keep: bool) -> tuple[int, int]:
        """Tokens read from the cache and written to it.

        Args:
            keep: whether this request's prefixes are in the cache from now on.
        """
        with self._lock:
            read = written = size = 0
            digest = hashlib.sha256()
            fresh: list[tuple[str, str, str]] = []
            for part in asked.parts:
                raw = part.text.encode("utf-8", "surrogatepass")
                digest.update(len(raw).to_bytes(8, "little") + raw)
                size += len(raw)
                prefix = size // BYTES_PER_TOKEN
                if not part.marked or prefix < SMALLEST:
                    continue
                key = (asked.provider, asked.model, digest.hexdigest())
                if key in self._known:
                    read = prefix
                else:
                    written = prefix
                    fresh.append(key)
            if keep:
                self._known.update(fresh)
            return read, max(0, written - read) if asked.provider == "anthropic" else 0
