"""The seams of one attempt: a Coder proposes a Kernel, a Judge reads its Evaluation and says what to change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation

__all__ = ["Advice", "Coder", "Judge", "PastAttempt", "Proposal", "Turn"]


class Advice(BaseModel):
    """What the judge says after an evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: str
    """`improve` (it passed), `repair` (it did not), or `stop` (nothing left worth trying)."""
    limiter: str
    """What limits the kernel (`dram`, `issue`, `latency`, `launch`, ...), or the cause of the failure."""
    evidence: dict[str, float | int | str] = Field(default_factory=dict)
    """Named metrics that show it."""
    change: str
    """What to change, in words."""
    parameters: dict[str, int | str | bool] = Field(default_factory=dict)
    """The same for a parameterised coder: choices to set in the next attempt."""
    expected_speedup: float | None = None
    """Predicted time before over time after; None when it can't be told."""


@dataclass(frozen=True)
class PastAttempt:
    """An attempt already made, as coder and judge see it."""

    number: int
    kernel: Kernel
    evaluation: Evaluation
    advice: Advice | None = None
    plan: str = ""
    """One line of its author's: what was new in it. Empty where it is not known."""


@dataclass(frozen=True)
class Turn:
    """Which proposal of a run is asked for. What a coder sees of the run it gets besides, as `history`."""

    number: int
    """1-based number of the attempt that the kernel is for."""
    parent: PastAttempt | None = None
    """The attempt whose kernel is to be mended or made faster; None: write one from the reference."""
    operator: str = ""
    """How the kernel is to come about, a value of `kernelwright.rl.operators.Operator`; empty: as the coder likes."""
    others: tuple[PastAttempt, ...] = ()
    """Further parents, for an operator that takes several: the second one of a crossover."""
    author: str = ""
    """Which coder is asked, where a run has several; who has only one, or lets another go first, need not heed it."""


@dataclass(frozen=True)
class Proposal:
    """A kernel to evaluate, with why."""

    kernel: Kernel
    plan: str
    """One line: what is new in this one."""
    notes: tuple[str, ...] = ()
    """For instance which ops stay in torch."""
    details: dict[str, Any] = field(default_factory=dict)


class Coder(Protocol):
    """Writes kernels for one task."""

    name: str

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """The next kernel to try, or None when nothing new is left to try.

        The same arguments give the same kernel, so that a resumed run goes on as if never stopped. Several threads may ask
        for different turns at once.

        Args:
            history: earlier attempts, in order, as far as the strategy shows them.
            advice: the judge's on `turn.parent`.

        Raises:
            LoweringError: the coder can write nothing at all for this task.
            ModelError: no reply came, or the budget does not allow the call.
        """
        ...


class Judge(Protocol):
    """Reads an evaluation and says what to change."""

    name: str

    def advise(self, attempt: PastAttempt, history: tuple[PastAttempt, ...]) -> Advice:
        """Advice for the attempt after `attempt`; `history` holds those before it."""
        ...
