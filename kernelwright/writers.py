"""Who writes and who judges the kernels of a run: the built-in pair, language models, or one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.agents.protocols import Coder, Judge
from kernelwright.config import Settings
from kernelwright.errors import ConfigError, LoweringError
from kernelwright.events import Note, Observer, StageFinished, StageStarted
from kernelwright.rl.run import Run
from kernelwright.rl.search import Clock, Ranker
from kernelwright.rl.strategies import SHOWN_ALL
from kernelwright.rl.strategies.translate_evolve import SHOWN
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.words import counted

if TYPE_CHECKING:
    from kernelwright.agents.builtin.coder import BuiltinCoder
    from kernelwright.agents.llm.briefing import Briefing
    from kernelwright.agents.llm.exemplar import Exemplar
    from kernelwright.agents.models.protocol import ModelClient
    from kernelwright.bench_tasks.graph import Graph
    from kernelwright.bench_tasks.task import Task
    from kernelwright.db.store import Store
    from kernelwright.sandbox.reference import Reference

__all__ = [
    "BUILTIN",
    "NO_TRAFFIC",
    "ROOFLINE",
    "Traffic",
    "Writers",
    "author_names",
    "authors_of",
    "chosen_names",
    "exemplars_for",
    "models_of",
    "writers_of",
]

BUILTIN = "builtin"
ROOFLINE = "roofline"
_EXEMPLARS_FILE = "exemplars.jsonl"
"""In the folder of a recording; its other files are exchanges."""


@dataclass(frozen=True)
class Writers:
    """Coder, judge and ranker of one run."""

    coder: Coder
    judge: Judge
    authors: tuple[str, ...]
    """The coders that a turn can be given to, by the names that their kernels have for them; one that can write nothing is none."""
    ranker: Ranker | None = None
    learns: bool = False
    """Whether the built-in coder writes with a sampler that learns from all earlier attempts. Models of the same run see no more
    than their strategy shows."""


@dataclass(frozen=True)
class Traffic:
    """Where exchanges with model servers are kept, or taken from in place of a server; at most one of them."""

    record: Path | None = None
    replay: Path | None = None


NO_TRAFFIC = Traffic()


def chosen_names(settings: Settings) -> tuple[str, str]:
    """Coder and judge as a run names them."""
    judge = settings.judge_model or settings.model
    return " + ".join(author_names(settings)), ROOFLINE if judge in {"", BUILTIN} else _known_as(judge)


def author_names(settings: Settings) -> tuple[str, ...]:
    """The coders of a new run, in the order in which they take turns; each once.

    Raises:
        ConfigError: an author without a name.
    """
    if not all(name.strip() for name in settings.authors):
        raise ConfigError("an author has no name.", mend="Name a model, or `builtin`.")
    return tuple(dict.fromkeys(map(_known_as, (settings.model or BUILTIN, *settings.authors))))


def authors_of(run: Run) -> tuple[str, ...]:
    """The coders of a stored run; a run of several keeps them in its settings."""
    return tuple(dict.fromkeys(map(_known_as, run.settings.get("authors") or (run.coder,))))


def _known_as(name: str) -> str:
    """A coder as its kernels name it: a model may be written in several ways, with a slash behind its URL for instance."""
    if name == BUILTIN:
        return name
    from kernelwright.agents.models.spec import parse_spec

    try:
        return parse_spec(name).name
    except ConfigError:  # told where it is opened
        return name


def exemplars_for(
    task: Task, gpu: Gpu, store: Store, count: int, traffic: Traffic = NO_TRAFFIC
) -> list[dict[str, Any]]:
    """The winners of the store that the prompts of a new run show, as the run keeps them.

    Chosen once, so that a run which is gone on with shows the same ones whatever has been stored since; a run that is recorded
    keeps them there too, and one that is replayed shows those.

    Args:
        count: how many at most.

    Raises:
        ConfigError: the folder of the recording can't be read or written.
    """
    if traffic.replay is not None:
        return _recorded_exemplars(traffic.replay / _EXEMPLARS_FILE)
    found = [
        {
            "source": winner.kernel.source,
            "task": winner.task.name,
            "speedup": timing.speedup,
            "kind": timing.kind.value,
            "gpu": timing.gpu,
            "why": winner.why,
        }
        for winner in (store.similar(task, gpu.name, count) if count else ())
        if (timing := winner.evaluation.timing) is not None
    ]
    if traffic.record is not None:
        path = traffic.record / _EXEMPLARS_FILE
        try:
            traffic.record.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(one) + "\n" for one in found), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"it can't be written: {error.strerror}.", path=str(path)) from None
    return found


def _recorded_exemplars(path: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            _exemplar(line)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"this is no list of exemplars: {error!r}.", mend="Record it again.", path=str(path)
        ) from None
    return lines


def _exemplar(kept: dict[str, Any]) -> Exemplar:
    from kernelwright.agents.llm.exemplar import Exemplar

    return Exemplar(
        task_name=str(kept["task"]),
        source=str(kept["source"]),
        speedup=float(kept["speedup"]),
        kind=TimingKind(kept["kind"]),
        gpu=str(kept["gpu"]),
        why=str(kept["why"]),
    )


@contextmanager
def models_of(
    run: Run, settings: Settings, store: Store, observer: Observer, *, traffic: Traffic, clock: Clock
) -> Iterator[Mapping[str, ModelClient]]:
    """The language models that a run names, each opened once, all on the run's budget and ledger; closed at the end.

    It takes a moment and needs nothing of the task, so that what is wrong with a model is told before anything else is done.

    Raises:
        ConfigError: a model that can't be used: no such provider, no key, no price though there is a budget.
    """
    names = dict.fromkeys(name for name in (*authors_of(run), run.judge) if name not in {BUILTIN, ROOFLINE})
    if not names:
        yield {}
        return
    from kernelwright.agents.models.paid import PaidModel, Purse
    from kernelwright.agents.models.prices import load_prices
    from kernelwright.agents.models.spec import Models

    def told(words: str) -> None:
        observer(Note(words))

    prices = load_prices(settings.prices)
    purse = Purse(settings.budget, store.spent(run.id), run.id)
    opened: dict[str, PaidModel] = {}
    with Models(settings, record=traffic.record, replay=traffic.replay) as models, ExitStack() as stack:
        for name in names:
            opened[name] = PaidModel(models.client(name), store, run.id, prices, purse, clock, told=told)
            # what calls still under way may cost is kept; there are some only where a person stopped the run
            stack.callback(opened[name].stop)
            if opened[name].note:
                observer(Note(opened[name].note))
        yield opened


def writers_of(
    run: Run,
    settings: Settings,
    gpu: Gpu,
    reference: Reference,
    models: Mapping[str, ModelClient],
    observer: Observer,
) -> Writers:
    """The writers that the run names.

    Args:
        models: as `models_of` opened them.

    Raises:
        TaskError, LoweringError: the built-in coder is to write and can't.
    """
    authors = authors_of(run)
    if authors == (BUILTIN,):
        graph, only = _builtin(run, gpu, reference, observer)
        judge = _roofline(gpu, only)
        if run.judge != ROOFLINE:
            judge = _llm_judge(models[run.judge], _briefing(run, gpu, reference, graph), judge, settings)
        return Writers(_builtin_for(run, only, settings, gpu), judge, authors, learns=_learns(run, settings))
    from kernelwright.agents.authors import BeginningOnly
    from kernelwright.agents.llm.votes import Voters

    found = _graph_if_any(reference, observer)
    briefing = _briefing(run, gpu, reference, found)
    builtin: BuiltinCoder | None = None
    if BUILTIN in authors and found is not None:
        with suppress(LoweringError):  # told where the coders are put together
            _, builtin = _builtin(run, gpu, reference, observer, found)
    coders: dict[str, Coder] = {}
    for name in authors:
        if name != BUILTIN:
            coders[name] = _llm_coder(models[name], briefing, run, settings)
    learns = (builtin is not None or settings.builtin_first > 0) and _learns(run, settings)
    if learns and run.strategy in SHOWN_ALL:
        coders = {name: BeginningOnly(coder) for name, coder in coders.items()}
    coder = next(iter(coders.values()))
    if len(authors) > 1:
        coder = _several(authors, coders, builtin, run, settings, gpu, observer)
    if settings.builtin_first:
        coder = _after_builtin(run, gpu, reference, found, coder, settings, observer)
    judge = _roofline(gpu, builtin)
    if run.judge != ROOFLINE:
        judge = _llm_judge(models[run.judge], briefing, judge, settings)
    writing = tuple(name for name in authors if name != BUILTIN or builtin is not None)
    voters = Voters(models.get(run.judge) or next(iter(models.values())), briefing)
    return Writers(coder, judge, writing, voters, learns)


def _learns(run: Run, settings: Settings) -> bool:
    """Whether the built-in coder of a run draws with a sampler that learns."""
    from kernelwright.agents.builtin.drawers import LEARNING

    return run.strategy != "refine" and settings.sampler in LEARNING


def _llm_coder(model: ModelClient, briefing: Briefing, run: Run, settings: Settings) -> Coder:
    from kernelwright.agents.llm.coder import LlmCoder

    return LlmCoder(
        model,
        briefing,
        reasoning=settings.reasoning,
        temperature=settings.temperature,
        kernels_shown=SHOWN if run.strategy == "translate-evolve" else 1,
    )


def _several(
    authors: tuple[str, ...], models: Mapping[str, Coder], builtin: BuiltinCoder | None, run: Run, settings: Settings,
    gpu: Gpu, observer: Observer,
) -> Coder:  # fmt: skip
    """All authors of a run; where the built-in coder can write nothing, the first model makes its attempts too."""
    from kernelwright.agents.authors import Authors

    coders: dict[str, Coder] = {}
    for name in authors:
        if name != BUILTIN:
            coders[name] = models[name]
        elif builtin is not None:
            coders[name] = _builtin_for(run, builtin, settings, gpu)
        else:
            coders[name] = next(iter(models.values()))
            observer(Note(f"the built-in coder can't write for this module: {coders[name].name} makes its attempts."))
    return Authors(coders)


def _llm_judge(model: ModelClient, briefing: Briefing, fallback: Judge, settings: Settings) -> Judge:
    from kernelwright.agents.llm.judge import LlmJudge

    return LlmJudge(model, briefing, fallback, reasoning=settings.reasoning)


def _builtin(
    run: Run, gpu: Gpu, reference: Reference, observer: Observer, graph: Graph | None = None
) -> tuple[Graph, BuiltinCoder]:
    from kernelwright.agents.builtin.coder import BuiltinCoder
    from kernelwright.opening import capture_graph

    graph = graph or capture_graph(reference, observer)
    coder = BuiltinCoder(graph, run.task.name, plain_first=run.rounds > 1, arch=gpu.arch, sms=gpu.sms)
    if coder.stays_in_torch:
        observer(Note("stays in torch: " + ", ".join(coder.stays_in_torch)))
    return graph, coder


def _builtin_for(run: Run, coder: BuiltinCoder, settings: Settings, gpu: Gpu) -> Coder:
    """The built-in coder as the run's strategy needs it: where proposals are to differ by chance, it draws."""
    if run.strategy == "refine":
        return coder
    from kernelwright.agents.builtin.drawers import drawer_named
    from kernelwright.agents.builtin.operators import BuiltinOperators

    seed = str(run.settings.get("seed") or run.id)
    if settings.sampler == "policy":
        from kernelwright.agents.builtin.policy.net import load_policy
        from kernelwright.agents.builtin.policy.operators import PolicyOperators
        from kernelwright.agents.builtin.policy.sampler import PolicySampler

        weights = None if settings.policy is None else load_policy(settings.policy)
        operators = BuiltinOperators(coder, seed, drawer_named("random", coder))
        return PolicyOperators(PolicySampler(coder, seed, gpu, weights), operators)
    return BuiltinOperators(coder, seed, drawer_named(settings.sampler, coder))


def _after_builtin(
    run: Run, gpu: Gpu, reference: Reference, graph: Graph | None, then: Coder, settings: Settings,
    observer: Observer,
) -> Coder:  # fmt: skip
    """`then`, after `builtin_first` attempts of the built-in coder; at once where that can't write anything for the module."""
    from kernelwright.agents.llm.seeded import Seeded

    if graph is None:
        observer(Note("the built-in coder can't write the first attempts: the module could not be captured."))
        return then
    try:
        _, builtin = _builtin(run, gpu, reference, observer, graph)
    except LoweringError as error:
        observer(Note(f"the built-in coder can't write the first attempts: {error.message}"))
        return then
    return Seeded(_builtin_for(run, builtin, settings, gpu), then, settings.builtin_first)


def _roofline(gpu: Gpu, coder: BuiltinCoder | None) -> Judge:
    from kernelwright.agents.builtin.judge import RooflineJudge

    return RooflineJudge(gpu, {} if coder is None else coder.space)


def _graph_if_any(reference: Reference, observer: Observer) -> Graph | None:
    """The module as a graph; None where it can't be captured, which a language model does not need."""
    started = time.monotonic()
    observer(StageStarted("capture"))
    graph = reference.capture()
    took = time.monotonic() - started
    if graph.problem:
        observer(StageFinished("capture", "warned", graph.problem, took))
        return None
    observer(StageFinished("capture", "passed", counted(len(graph.nodes), "operation"), took))
    return graph


def _briefing(run: Run, gpu: Gpu, reference: Reference, graph: Graph | None) -> Briefing:
    from kernelwright.agents.llm.briefing import Briefing, StartingPoint

    start = run.settings.get("start")
    return Briefing(
        task=run.task,
        signature=reference.signature,
        gpu=gpu,
        graph=graph,
        starting_point=None if start is None else StartingPoint(start["source"], start["language"]),
        exemplars=tuple(map(_exemplar, run.settings.get("exemplars", ()))),
    )
