"""One attempt, as a LangGraph graph: plan -> write -> evaluate -> judge.

Each node's outcome is saved before the next begins, so an attempt that was killed goes on after its last finished
node; an evaluation that had ended is not done again. The state is JSON text, written and read here: no pickle, and
nothing of a hostile kernel's output (NaN, huge integers, broken Unicode) that a checkpoint could not hold.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from kernelwright.agents.protocols import Advice, Coder, Judge, PastAttempt, Proposal, Turn
from kernelwright.errors import KernelwrightError
from kernelwright.events import Observer, StageFinished, StageStarted, ignore
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Timing, Verdict

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

__all__ = ["AttemptResult", "Evaluate", "run_attempt"]


class Evaluate(Protocol):
    """Judges a kernel on the task of the run."""

    def __call__(self, kernel: Kernel, observer: Observer, /, *, rival: Timing | None = None) -> Evaluation:
        """Tells the observer the stages.

        Args:
            rival: the best time of the run so far: a kernel that can't beat it need not be judged to the end. None: all are.
        """
        ...


_NOTHING_NEW = "nothing new to try"


class AttemptState(TypedDict, total=False):
    """What a checkpoint holds: the aim, three JSON texts, and the wall time spent so far (seconds)."""

    aim: str
    proposal: str
    evaluation: str
    advice: str
    seconds: float


@dataclass(frozen=True)
class AttemptResult:
    """What came of one attempt."""

    aim: str
    """`start` (from the reference), `repair` (the parent failed) or `improve` (it passed)."""
    kernel: Kernel
    plan: str
    evaluation: Evaluation
    advice: Advice | None
    """None when no judge was asked."""
    seconds: float
    """Wall time of its nodes, over all processes that worked on it."""
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def run_attempt(
    turn: Turn,
    history: tuple[PastAttempt, ...],
    advice: Advice | None,
    coder: Coder,
    judge: Judge | None,
    evaluate: Evaluate,
    checkpointer: BaseCheckpointSaver[Any],
    thread_id: str,
    observer: Observer = ignore,
    *,
    on_plan: Callable[[str], None] = lambda _plan: None,
    clock: Callable[[], float] = time.monotonic,
) -> AttemptResult | None:
    """Makes attempt `turn.number`, or goes on with it when `checkpointer` holds its beginning; None: nothing new to try.

    Args:
        turn: which attempt it is, and what it starts from.
        history: the attempts before it that coder and judge are shown, in order.
        advice: what the judge said of `turn.parent`.
        judge: None asks nobody.
        thread_id: names this attempt among all that the checkpointer holds.
        on_plan: told the coder's plan as soon as it is known, before the stage `write` is told to have finished; again
            when a killed attempt is gone on with.
        clock: in seconds.

    Raises:
        KernelwrightError: whatever coder, judge or evaluation raise; the attempt can be gone on with.
    """
    from langsmith import tracing_context

    tell = _once(on_plan)
    graph = _graph(_Nodes(turn, history, advice, coder, judge, evaluate, observer, tell, clock), checkpointer)
    config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
    # The environment may ask LangGraph to send traces to a server; kernels and tasks never leave this machine so.
    with tracing_context(enabled=False):
        found = graph.get_state(config)
        plan = _plan(found.values)
        if plan is not None:
            tell(plan)
        # What the state lacks decides, not `found.next`: killed between saving a node's outcome and the state that holds
        # it, an attempt has neither a next node nor its outcome, and LangGraph brings both together when going on.
        if not _done(found.values):
            start = None if found.created_at else AttemptState(seconds=0.0)
            # "sync": a node's outcome is on disk before the next node starts.
            graph.invoke(start, config, durability="sync")
        return _result(graph.get_state(config).values)


def _done(state: Mapping[str, Any]) -> bool:
    return "advice" in state or ("proposal" in state and _plan(state) is None)


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    told: list[str] = []

    def tell_once(plan: str) -> None:
        if not told:
            told.append(plan)
            tell(plan)

    return tell_once


def _plan(state: Mapping[str, Any]) -> str | None:
    proposal = json.loads(state.get("proposal", "null"))
    return None if proposal is None else str(proposal["plan"])


def _result(state: Mapping[str, Any]) -> AttemptResult | None:
    proposal = json.loads(state["proposal"])
    if proposal is None:
        return None
    advice = json.loads(state["advice"])
    return AttemptResult(
        aim=state["aim"],
        kernel=_kernel(proposal["kernel"]),
        plan=proposal["plan"],
        evaluation=Evaluation.model_validate(json.loads(state["evaluation"])),
        advice=None if advice is None else Advice.model_validate(advice),
        seconds=state["seconds"],
        notes=tuple(proposal["notes"]),
        details=proposal["details"],
    )


def _proposal_json(proposal: Proposal) -> dict[str, Any]:
    kernel = proposal.kernel
    return {
        "kernel": {
            "source": kernel.source,
            "author": kernel.author,
            "parents": list(kernel.parents),
            "parameters": dict(kernel.parameters),
            "path": kernel.path,
        },
        "plan": proposal.plan,
        "notes": list(proposal.notes),
        "details": proposal.details,
    }


def _kernel(data: Mapping[str, Any]) -> Kernel:
    return Kernel(data["source"], data["author"], tuple(data["parents"]), data["parameters"], data["path"])


@dataclass(frozen=True)
class _Nodes:
    """The nodes of the graph; each takes the state and returns what it adds."""

    turn: Turn
    history: tuple[PastAttempt, ...]
    advice: Advice | None
    coder: Coder
    judge: Judge | None
    evaluate_kernel: Evaluate
    observer: Observer
    tell_plan: Callable[[str], None]
    clock: Callable[[], float]

    def plan(self, state: AttemptState) -> AttemptState:
        """Settles what this attempt does: `start`, `repair` a kernel that failed, or `improve` one that was right."""
        parent = self.turn.parent
        right = parent is not None and parent.evaluation.verdict in {Verdict.PASSED, Verdict.OUTCLASSED}
        return {"aim": "start" if parent is None else "improve" if right else "repair"}

    def write(self, state: AttemptState) -> AttemptState:
        """Asks the coder for a kernel."""
        with self._stage("write", state) as end:
            proposal = self.coder.propose(self.history, self.advice, self.turn)
            if proposal is None:
                end.status, end.summary = "skipped", _NOTHING_NEW
            else:
                self.tell_plan(proposal.plan)
                end.summary = f"lines of source: {len(proposal.kernel.source.splitlines())}"
        data = None if proposal is None else _proposal_json(proposal)
        return {"proposal": json.dumps(data), "seconds": end.total}

    def evaluate(self, state: AttemptState) -> AttemptState:
        """Judges the kernel by what it does; the evaluation tells its stages itself."""
        started = self.clock()
        proposal = json.loads(state["proposal"])
        kernel = _kernel(proposal["kernel"])
        self.tell_plan(proposal["plan"])  # if the process was killed before `write` could
        evaluation = self.evaluate_kernel(kernel, self.observer)
        # Not mode="json": that writes None for an infinity or NaN in the evidence.
        return {"evaluation": json.dumps(evaluation.model_dump()), "seconds": state["seconds"] + self.clock() - started}

    def judge_it(self, state: AttemptState) -> AttemptState:
        """Asks the judge what to change next, if there is one."""
        if self.judge is None:
            return {"advice": "null"}
        proposal = json.loads(state["proposal"])
        evaluation = Evaluation.model_validate(json.loads(state["evaluation"]))
        with self._stage("judge", state) as end:
            attempt = PastAttempt(self.turn.number, _kernel(proposal["kernel"]), evaluation, plan=str(proposal["plan"]))
            advice = self.judge.advise(attempt, self.history)
            end.summary = advice.change
        return {"advice": json.dumps(advice.model_dump()), "seconds": end.total}

    @contextmanager
    def _stage(self, name: str, state: AttemptState) -> Iterator[_End]:
        end = _End()
        started = self.clock()
        self.observer(StageStarted(name))
        try:
            yield end
        except KernelwrightError as error:
            self.observer(StageFinished(name, "failed", error.message, self.clock() - started))
            raise
        seconds = self.clock() - started
        end.total = state["seconds"] + seconds
        self.observer(StageFinished(name, end.status, end.summary, seconds))


@dataclass
class _End:
    """How a stage ended; `total` is the attempt's wall time up to then, in seconds."""

    status: str = "passed"
    summary: str = ""
    total: float = 0.0


def _graph(nodes: _Nodes, checkpointer: BaseCheckpointSaver[Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    from langgraph.graph import END, START, StateGraph

    def written(state: AttemptState) -> str:
        return END if _plan(state) is None else "evaluate"

    graph = StateGraph(AttemptState)
    graph.add_node("plan", nodes.plan)
    graph.add_node("write", nodes.write)
    graph.add_node("evaluate", nodes.evaluate)
    graph.add_node("judge", nodes.judge_it)
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "write")
    graph.add_conditional_edges("write", written, [END, "evaluate"])
    graph.add_edge("evaluate", "judge")
    graph.add_edge("judge", END)
    return graph.compile(checkpointer=checkpointer)
