"""Play: where a script stands. Which entry answers a request, and which fault befalls it."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from kernelwright.agents.model_server.asked import Asked, Refused
from kernelwright.agents.model_server.faults import USES_UP
from kernelwright.agents.model_server.script import Conditions, Fault, Script, ScriptedReply

__all__ = ["Play", "Turn"]

SHOWN = 12
"""Entries that an error names."""


@dataclass(frozen=True)
class Turn:
    """What a request gets."""

    number: int
    """1-based, of the requests that an entry answered."""
    entry: int
    """0-based, in the script."""
    reply: ScriptedReply
    fault: Fault | None


class Play:
    """Requests that come one after the other get the same replies each time. Several threads may ask at once."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._uses = [0] * len(script.replies)
        self._met = [0] * len(script.replies)
        self._requests = 0
        self._faults = 0
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Turn:
        """The entry for a request, which is used up by it, unless a fault of the plan keeps it for the next try.

        Raises:
            Refused: nothing in the script matches.
        """
        with self._lock:
            meets = [_meets(asked, reply) for reply in self._script.replies]
            entry = next(
                (i for i, reply in enumerate(self._script.replies) if meets[i] and self._is_left(i, reply)), None
            )
            if entry is None:
                raise Refused(400, self._nothing(asked))
            self._requests += 1
            reply = self._script.replies[entry]
            fault, kept = reply.fault, False
            plan = self._script.faults
            if plan is not None and fault is None and self._requests % plan.every == 0:
                fault = plan.kinds[self._faults % len(plan.kinds)]
                self._faults += 1
                kept = fault.kind not in USES_UP
            if not kept:
                self._uses[entry] += 1
                for index, met in enumerate(meets):
                    self._met[index] += met
            return Turn(self._requests, entry, reply, fault)

    def remaining(self) -> tuple[str, ...]:
        """The entries that are not used up, in words."""
        with self._lock:
            return tuple(self._left())

    def _is_left(self, index: int, reply: ScriptedReply) -> bool:
        used_up = reply.times != "forever" and self._uses[index] >= reply.times
        nth = reply.when.nth
        return not used_up and (nth is None or self._met[index] + 1 == nth)

    def _left(self) -> list[str]:
        words = []
        for index, reply in enumerate(self._script.replies):
            if reply.times != "forever" and self._uses[index] >= reply.times:
                continue
            conditions = reply.when.model_dump(exclude_defaults=True)
            when = f" when {conditions}" if conditions else ""
            left = "" if reply.times == "forever" else f", {reply.times - self._uses[index]} left"
            words.append(f"replies[{index}]{when}{left}")
        return words

    def _nothing(self, asked: Asked) -> str:
        left = self._left()
        more = f"; and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        schema = " with a schema" if asked.schema else ""
        return (
            f"The script has no reply for this request. Asked: {asked.provider}, model {asked.model!r}{schema}, "
            f"last user message {asked.user[:300]!r}. Entries left: {'; '.join(left[:SHOWN]) or 'none'}{more}."
        )


def _meets(asked: Asked, reply: ScriptedReply) -> bool:
    """Whether a request meets all conditions of an entry but `nth`."""
    when: Conditions = reply.when
    if when.provider is not None and when.provider != asked.provider:
        return False
    if when.stream is not None and when.stream != asked.stream:
        return False
    if when.model is not None and not re.search(when.model, asked.model):
        return False
    if when.asks_schema is not None and not (asked.schema and re.search(when.asks_schema, asked.schema)):
        return False
    if reply.tool is not None and reply.tool.name not in asked.tools:
        return False
    wanted = ((when.prompt, asked.prompt), (when.system, asked.system), (when.user, asked.user))
    banned = ((when.prompt_not, asked.prompt), (when.system_not, asked.system), (when.user_not, asked.user))
    return all(re.search(pattern, text) for patterns, text in wanted for pattern in patterns) and not any(
        re.search(pattern, text) for patterns, text in banned for pattern in patterns
    )
