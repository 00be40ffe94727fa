"""Answers that are expensive to make, kept in memory: one that has grown old is given while the next one is made beside the requests."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar, cast

__all__ = ["Answer", "Kept"]

_log = logging.getLogger(__name__)
_MOST = 200
"""Answers that are kept; the one longest unused goes."""

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What was made, and when."""

    value: T
    made: datetime
    """UTC."""
    state: object
    """Of what it rests on."""
    at: float
    """When it was last found to hold, on the clock of `Kept`."""


class _Making:
    """An answer that is being made for the first time."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Answer[object] | None = None
        self.error: Exception | None = None


class Kept:
    """Answers by name. Any number of threads may ask; each answer is made by one thread, beside those who ask.

    Args:
        clock: in seconds, of any origin.
        now: aware.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock, self._now = clock, now
        self._answers: OrderedDict[Hashable, Answer[object]] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}
        self._renewing: set[Hashable] = set()
        self._lock = threading.Lock()

    def get(
        self,
        name: Hashable,
        make: Callable[[], T],
        *,
        seconds: float,
        oldest: float = float("inf"),
        state: Callable[[], object] | None = None,
    ) -> Answer[T]:
        """The answer of this name; the first who asks waits until it is made.

        Args:
            seconds: after which it is looked at again, beside those who ask.
            oldest: seconds after which it is not given any more: who asks waits for the next one.
            state: of what the answer rests on, cheap to get: an answer is made anew only when this has changed.

        Raises:
            Exception: what `make` raised, the first time.
        """
        found = self.soon(name, make, seconds=seconds, oldest=oldest, state=state, patience=None)
        assert found is not None
        return found

    def soon(
        self,
        name: Hashable,
        make: Callable[[], T],
        *,
        seconds: float,
        oldest: float = float("inf"),
        state: Callable[[], object] | None = None,
        patience: float | None,
    ) -> Answer[T] | None:
        """The same; None when it was never made and is not made within `patience` seconds either. It goes on being made."""
        with self._lock:
            found = self._answers.get(name)
            if found is not None and self._clock() - found.at < oldest:
                self._answers.move_to_end(name)
                if self._clock() - found.at >= seconds and name not in self._renewing:
                    self._renewing.add(name)
                    self._beside(lambda: self._renew(name, make, state, found))
                return cast(Answer[T], found)
            making = self._making.get(name)
            if making is None:
                making = self._making[name] = _Making()
                self._beside(lambda: self._first(name, make, state, making))
        if not making.done.wait(patience):
            return None
        if making.error is not None:
            raise making.error
        return cast("Answer[T]", making.answer)

    def _beside(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="kernelwright-kept", daemon=True).start()

    def _first(
        self, name: Hashable, make: Callable[[], T], state: Callable[[], object] | None, making: _Making
    ) -> None:
        try:
            making.answer = self._make(name, make, None if state is None else state())
        except Exception as error:  # noqa: BLE001 # whoever waits for it is told
            making.error = error
        finally:
            with self._lock:
                del self._making[name]
            making.done.set()

    def _renew(
        self, name: Hashable, make: Callable[[], T], state: Callable[[], object] | None, old: Answer[object]
    ) -> None:
        try:
            new = None if state is None else state()
            if state is not None and new == old.state:
                self._put(name, Answer(old.value, old.made, old.state, self._clock()))
            else:
                self._make(name, make, new)
        except Exception as error:  # noqa: BLE001 # the old answer stays; the next who asks tries again
            _log.warning("%s could not be made anew: %s", name, error)
        finally:
            with self._lock:
                self._renewing.discard(name)

    def _make(self, name: Hashable, make: Callable[[], object], state: object) -> Answer[object]:
        made = self._now()
        answer = Answer(make(), made, state, self._clock())
        self._put(name, answer)
        return answer

    def _put(self, name: Hashable, answer: Answer[object]) -> None:
        with self._lock:
            self._answers[name] = answer
            self._answers.move_to_end(name)
            while len(self._answers) > _MOST:
                self._answers.popitem(last=False)
