"""Provider: a server of models that can be asked once, and asked again when a try fails. What a failed try may have cost."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from kernelwright.agents.models.protocol import Reply, Request, Usage
from kernelwright.errors import ModelError

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["ASKED", "TEXT_BYTES", "Answer", "Patience", "Pieces", "Provider", "TryFailed", "persist"]

TEXT_BYTES = 4 * 2**20
"""Longest reply that is taken, text and shown reasoning together, in bytes of UTF-8. A module of 128 Ki tokens, the largest
output of today's models, is about 0.5 MB."""

ASKED: ContextVar[str] = ContextVar("ASKED", default="")
"""The place in its run (see `protocol.Place`) of the request that this thread is sending; a recording is searched by it."""

_TOLD_SECONDS = 1.0
"""Waits that a person is told of: shorter ones are over before the words are read."""

T = TypeVar("T")


class TryFailed(ModelError):
    """One try at a call brought no reply.

    Args:
        charged: the server had begun to answer, or may have, so it may ask money for it.
        usage: what it had reported by then; None if nothing. Its output tokens are not final.
        again: whether another try may do better.
        wait: seconds that the server asked to wait before that, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        mend: str = "",
        charged: bool = False,
        usage: Usage | None = None,
        again: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(message, mend=mend)
        self.charged = charged
        self.usage = usage
        self.again = again
        self.wait = wait


@dataclass(frozen=True)
class Answer:
    """What one successful try brought."""

    reply: Reply
    metered: bool = True
    """Whether the server reported what it used; else `reply.usage` is empty."""


@dataclass(frozen=True)
class Patience:
    """How often and when a failed try is repeated."""

    tries: int = 6
    first_wait: float = 1.0
    """Seconds before the second try, where the server does not say; doubled each time, with up to as much again at random."""
    longest_wait: float = 60.0
    """Seconds; bound of our own waits."""
    longest_asked: float = 600.0
    """Seconds; a server that asks for a longer wait ends the call instead."""
    sleep: Callable[[float], None] = time.sleep


class Provider(ABC):
    """One model at one server; implements `ModelClient`.

    Args:
        name: as a person named it.
        gate: bounds the calls under way at this server; clients of one server share it.
        secrets: texts that no error may show.
    """

    def __init__(
        self,
        name: str,
        *,
        gate: threading.Semaphore,
        patience: Patience | None = None,
        secrets: Iterable[str] = (),
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.patience = patience or Patience()
        self._gate = gate
        self._secrets = tuple(secrets)
        self._timer = timer

    def once(self, request: Request) -> Answer:
        """One try; waits for its turn first.

        Raises:
            TryFailed: it brought no reply.
            ConfigError: the recording that is replayed does not hold it.
        """
        with self._gate:
            started = self._timer()
            before = ASKED.set(str(request.place))
            try:
                answer = self._ask(request)
            finally:
                ASKED.reset(before)
            return replace(answer, reply=replace(answer.reply, seconds=self._timer() - started))

    def complete(self, request: Request) -> Reply:
        """Asks until a reply comes; see `ModelClient.complete`. Nothing is metered."""
        started = self._timer()
        reply = persist(lambda: self.once(request), self.patience, self.name).reply
        return replace(reply, seconds=self._timer() - started)

    @abstractmethod
    def _ask(self, request: Request) -> Answer:
        """One exchange with the server; raises as `once`."""

    @abstractmethod
    def close(self) -> None:
        """Closes its connections."""


def persist(
    one_try: Callable[[], T], patience: Patience, name: str, told: Callable[[str], None] = lambda _words: None
) -> T:
    """Repeats `one_try` while it fails in a way that another try may mend.

    Args:
        told: gets a sentence before each wait of a second and more: what failed, and when it is tried again.

    Raises:
        ModelError: the last try failed, or one that can't be mended did.
    """
    import tenacity

    backoff = tenacity.wait_exponential_jitter(
        multiplier=patience.first_wait, max=patience.longest_wait, jitter=patience.first_wait
    )

    def wait(state: RetryCallState) -> float:
        failed = state.outcome.exception() if state.outcome else None
        asked = failed.wait if isinstance(failed, TryFailed) else None
        return float(backoff(state)) if asked is None else asked

    def mendable(failed: BaseException) -> bool:
        if not isinstance(failed, TryFailed) or not failed.again:
            return False
        return failed.wait is None or failed.wait <= patience.longest_asked

    def tell(state: RetryCallState) -> None:
        failed = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0.0
        if isinstance(failed, TryFailed) and seconds >= _TOLD_SECONDS:
            told(f"{failed.message} Trying again in {seconds:.0f} s.")

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(patience.tries),
        wait=wait,
        retry=tenacity.retry_if_exception(mendable),
        sleep=patience.sleep,
        before_sleep=tell,
        reraise=True,
    )
    try:
        return retrying(one_try)
    except TryFailed as failed:
        tries = int(retrying.statistics.get("attempt_number", 1))
        if failed.wait is not None and failed.wait > patience.longest_asked:
            mend = f"The server asks to wait {failed.wait:.0f} s: go on with the run after that."
            raise ModelError(failed.message, mend=mend) from None
        if tries > 1:
            raise ModelError(
                f"{name} gave no reply in {tries} tries; the last one: {failed.message}", mend=failed.mend
            ) from None
        raise ModelError(failed.message, mend=failed.mend) from None


class Pieces:
    """The parts of a reply as they come in: its text, and what the model showed of its reasoning."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._bytes = 0

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """All reasoning so far."""
        return "".join(self._reasoning)

    @property
    def full(self) -> bool:
        """Whether there are `TEXT_BYTES` and nothing more is taken: the reply counts as cut off at its limit."""
        return self._bytes >= TEXT_BYTES

    def add(self, text: object = None, reasoning: object = None) -> None:
        """Takes a piece of either; what is no text (None, in most events) is passed over, and so is what comes when it is full."""
        for piece, pieces in ((text, self._text), (reasoning, self._reasoning)):
            if isinstance(piece, str) and piece and not self.full:
                data, room = piece.encode("utf-8", "surrogatepass"), TEXT_BYTES - self._bytes
                pieces.append(piece if len(data) <= room else data[:room].decode("utf-8", "ignore"))
                self._bytes += min(len(data), room)
