"""Which attempts a data set has, and why it does not have the others.

The selection is that of ConCuR (https://arxiv.org/abs/2510.07356): of each task the fastest kernel that came with the shortest
reasoning, further ones only where they are much faster than the reference, and task families in balance. Before that comes what
must never be learned from: kernels that cheat or ever did, judgements that are not whole, held-out tasks, duplicates.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from kernelwright.agents.ranking import NOTICEABLE
from kernelwright.errors import MisuseError
from kernelwright.rl.curation.candidate import REQUIRED_STAGES, Candidate, Harvest
from kernelwright.rl.curation.families import family_cap, family_of
from kernelwright.rl.curation.heldout import HeldOutIndex
from kernelwright.rl.curation.near import Near
from kernelwright.rl.curation.normal import digest, normal_task, shingles
from kernelwright.rl.same_kernel import unmasked_source
from kernelwright.verifier.evaluation import TimingKind

__all__ = ["Dropped", "Kept", "Reason", "Rules", "Selection", "select"]

Purpose = Literal["sft", "rl"]
_LEAST_OF_FAMILY = 8
"""Samples that any family may have: balance is a matter of large sets."""


class Reason(StrEnum):
    """Why an attempt is not in the data set; the first that applies."""

    FAILED = "it did not pass"
    CONDEMNED = "judged otherwise another time"
    NOT_WHOLE = "not judged whole"
    SUSPECT = "something speaks against it"
    OTHER_KIND = "another kind of time"
    OTHER_GPU = "another GPU"
    HELD_OUT = "a held-out task"
    HELD_OUT_KERNEL = "its kernel is one for a held-out task"
    SLOW = "not fast enough"
    DUPLICATE = "a duplicate"
    NEAR_DUPLICATE = "nearly a duplicate"
    NOT_CHOSEN = "another one of its task is better"
    SAME_TASK = "the same module in other sizes"
    BALANCE = "its family has enough"


@dataclass(frozen=True)
class Rules:
    """What a data set is to be like."""

    purpose: Purpose = "sft"
    kind: TimingKind | None = None
    """The kind of time that speed-ups rest on; None where the store has one only."""
    gpu: str | None = None
    """None: any; kernels of one task are compared within a GPU."""
    min_speedup: float | None = None
    """Over the reference; None is 1 for `sft`, and anything for `rl`."""
    large_speedup: float = 5.0
    """From which a kernel is kept though it is not the fastest of its task, exclusive (ConCuR's figure)."""
    per_task: int = 4
    """Samples of one task and GPU at most."""
    similarity: float = 0.85
    """Share of five-token runs (Jaccard) from which two kernels of one module are near-duplicates."""
    balance: float = 3.0
    """No family has more than this many times the samples of the middle one; 0 is no limit."""

    @property
    def least_speedup(self) -> float:
        """`min_speedup`, or what it stands for."""
        return self.min_speedup if self.min_speedup is not None else 1.0 if self.purpose == "sft" else 0.0


@dataclass(frozen=True)
class Kept:
    """A sample: of `sft` a kernel, of `rl` a task with its best kernel."""

    candidate: Candidate
    family: str
    why: str
    """`fastest of its task` or `large speed-up`."""
    module: str
    """Hash of the task's normal form: the same for a module in other sizes."""


@dataclass(frozen=True)
class Dropped:
    """An attempt that passed and is left out."""

    run_id: str
    number: int
    task: str
    kernel_id: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Selection:
    """What came of it: samples in an order that depends on their content only."""

    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    """Those that passed."""
    failed: int
    """Attempts that did not."""
    kind: TimingKind | None
    """Of every time in it; None if there is no sample."""

    def counts(self) -> dict[str, int]:
        """Attempts by reason, in the order in which the rules come; those without an attempt are left out."""
        found = Counter(each.reason for each in self.dropped)
        found[Reason.FAILED] += self.failed
        return {reason.value: found[reason] for reason in Reason if found[reason]}

    def families(self) -> dict[str, int]:
        """Samples by family, the largest first."""
        return dict(sorted(Counter(each.family for each in self.kept).items(), key=lambda f: (-f[1], f[0])))


def select(
    harvest: Harvest, held_out: HeldOutIndex, rules: Rules, on_step: Callable[[str, int, int], None] | None = None
) -> Selection:
    """Chooses; the same harvest and rules give the same selection, in whatever order the attempts come.

    Args:
        on_step: is told what is under way, how far, of how much.

    Raises:
        MisuseError: there are measured and modelled times, and `rules` does not say which.
    """
    kind = _kind(harvest.candidates, rules)
    sieve = _Sieve(harvest, held_out, rules, kind, on_step or (lambda _what, _done, _of: None))
    kept = list(sieve.kept())
    kept.sort(key=lambda each: (each.family, each.candidate.task.name, each.candidate.task.id, each.candidate.key))
    dropped = sorted(sieve.dropped, key=lambda d: (list(Reason).index(d.reason), d.task, d.run_id, d.number))
    return Selection(tuple(kept), tuple(dropped), sum(harvest.failed.values()), kind if kept else None)


def _kind(candidates: Sequence[Candidate], rules: Rules) -> TimingKind | None:
    kinds = Counter(each.kind for each in candidates if rules.gpu is None or each.gpu == rules.gpu)
    if rules.kind is not None:
        return rules.kind
    if len(kinds) > 1:
        said = " and ".join(f"{count} {kind.value}" for kind, count in sorted(kinds.items()))
        raise MisuseError(
            f"the store has {said} times, and a column holds one kind.",
            mend="Say which: --kind measured or --kind modelled.",
        )
    return next(iter(kinds), None)


class _Sieve:
    """The rules, one behind the other."""

    def __init__(
        self, harvest: Harvest, held_out: HeldOutIndex, rules: Rules, kind: TimingKind | None,
        on_step: Callable[[str, int, int], None],
    ) -> None:  # fmt: skip
        self.harvest, self.held_out, self.rules, self.kind, self.on_step = harvest, held_out, rules, kind, on_step
        self.dropped: list[Dropped] = []
        self.modules: dict[str, str] = {}
        self.unmasked: dict[str, str] = {}
        """Hash of its unmasked source by a kernel's id."""
        condemned = harvest.condemned
        self.cheats = {unmasked_source(source).hash for source in condemned.sources}
        everyone = sorted(harvest.candidates, key=lambda each: each.key)
        self.tasks = {each.task.id: each.task for each in everyone}
        self.candidates = everyone
        self.tainted: dict[str, str] = {}
        """Why, by hash of a kernel's unmasked source: it passed on a held-out task."""

    def kept(self) -> Iterator[Kept]:
        clean = [each for each in self._each("looking at attempts") if self._sound(each)]
        clean = [each for each in clean if self._not_held_out(each)]
        clean = [each for each in clean if self._fast(each)]
        groups: dict[str, list[Candidate]] = defaultdict(list)
        for each in clean:
            groups[self._module(each)].append(each)
        chosen: list[Kept] = []
        seen: dict[str, Candidate] = {}
        for done, (module, group) in enumerate(sorted(groups.items())):
            self.on_step("comparing kernels", done, len(groups))
            distinct = list(self._distinct(group, seen))
            chosen += self._tasks(module, distinct) if self.rules.purpose == "rl" else self._kernels(module, distinct)
        return self._balanced(chosen)

    def _each(self, what: str) -> Iterator[Candidate]:
        for done, each in enumerate(self.candidates):
            self.on_step(what, done, len(self.candidates))
            yield each

    def _drop(self, each: Candidate, reason: Reason, detail: str = "") -> bool:
        self.dropped.append(Dropped(each.run_id, each.number, each.task.name, each.kernel_id, reason, detail))
        return False

    def _sound(self, each: Candidate) -> bool:
        """Whether it is of the wanted kind, and nothing speaks against it."""
        condemned = self.harvest.condemned
        why = condemned.everywhere.get(each.kernel_id) or condemned.on_task.get((each.task.id, each.kernel_id))
        if why is None and self.cheats and self._unmasked(each) in self.cheats:
            why = "cheating, but for its names"
        if why is not None:
            return self._drop(each, Reason.CONDEMNED, why)
        for stage in REQUIRED_STAGES:
            if (status := each.stages.get(stage)) != "passed" and not (stage == "static" and status == "warned"):
                return self._drop(each, Reason.NOT_WHOLE, f"{stage}: {status or 'missing'}")
        if each.remarks:
            return self._drop(each, Reason.SUSPECT, each.remarks[0])
        if each.kind is not self.kind:
            return self._drop(each, Reason.OTHER_KIND, each.kind.value)
        if self.rules.gpu is not None and each.gpu != self.rules.gpu:
            return self._drop(each, Reason.OTHER_GPU, each.gpu)
        return True

    def _not_held_out(self, each: Candidate) -> bool:
        if not self.held_out:
            return True
        if match := self.held_out.task(each.task.id, each.task.source):
            return self._drop(each, Reason.HELD_OUT, str(match))
        if not self.tainted:
            self._find_tainted()
        if which := self.tainted.get(self._unmasked(each)):
            return self._drop(each, Reason.HELD_OUT_KERNEL, which)
        texts = [each.kernel, *([each.reasoning.text] if each.reasoning is not None else [])]
        for text in texts:
            if match := self.held_out.text(text):
                return self._drop(each, Reason.HELD_OUT, str(match))
        return True

    def _find_tainted(self) -> None:
        """Kernels that passed on a held-out task: the same one under another task is a held-out task in disguise."""
        self.tainted[""] = ""
        for each in self.candidates:
            if match := self.held_out.task(each.task.id, each.task.source):
                self.tainted.setdefault(self._unmasked(each), str(match))

    def _unmasked(self, each: Candidate) -> str:
        if each.kernel_id not in self.unmasked:
            self.unmasked[each.kernel_id] = unmasked_source(each.kernel).hash
        return self.unmasked[each.kernel_id]

    def _fast(self, each: Candidate) -> bool:
        least = self.rules.least_speedup
        return each.speedup >= least or self._drop(each, Reason.SLOW, f"{each.speedup:.3g}x, less than {least:g}x")

    def _module(self, each: Candidate) -> str:
        if each.task.id not in self.modules:
            tokens = normal_task(each.task.source)
            kind = "backward" if each.task.backward else "forward"
            self.modules[each.task.id] = digest((*tokens, kind)) if tokens else each.task.id
        return self.modules[each.task.id]

    def _distinct(self, group: Sequence[Candidate], seen: dict[str, Candidate]) -> Iterator[Candidate]:
        """Without kernels that are the same as a better one but for names, comments, layout, or a few lines.

        Args:
            seen: kernels of other modules by their unmasked source; added to.
        """
        near = Near(self.rules.similarity)
        for each in self._ranked(group):
            key = self._unmasked(each)
            if key in seen:
                other = seen[key]
                self._drop(each, Reason.DUPLICATE, f"of {other.run_id}/{other.number}")
                continue
            seen[key] = each
            runs = shingles(unmasked_source(each.kernel).tokens)
            if found := near.nearest(runs):
                self._drop(each, Reason.NEAR_DUPLICATE, f"of {found[0]}, {found[1]:.0%} in common")
                continue
            near.add(f"{each.run_id}/{each.number}", runs)
            yield each

    def _ranked(self, group: Iterable[Candidate]) -> list[Candidate]:
        """The best first: the fastest for its task, of equally fast ones the one with the shortest reasoning."""
        group = list(group)
        best: dict[tuple[str, str], float] = {}
        for each in group:
            place = each.task.id, each.gpu
            best[place] = min(best.get(place, math.inf), each.seconds)

        def rank(each: Candidate) -> tuple[float, bool, int, float, str, int]:
            slower = each.seconds / best[each.task.id, each.gpu]
            steps = math.floor(math.log(slower) / math.log(NOTICEABLE)) if slower > 1 else 0
            length = len(each.reasoning.text) if each.reasoning is not None else 0
            return steps, each.reasoning is None, length, each.seconds, *each.key

        return sorted(group, key=rank)

    def _kernels(self, module: str, group: Sequence[Candidate]) -> Iterator[Kept]:
        """Of each task and GPU the first, and those with a large speed-up."""
        family = family_of(group[0].task.source) if group else ""
        taken: Counter[tuple[str, str]] = Counter()
        for each in group:
            place = each.task.id, each.gpu
            first = not taken[place]
            if first or (each.speedup > self.rules.large_speedup and taken[place] < self.rules.per_task):
                taken[place] += 1
                yield Kept(each, family, "fastest of its task" if first else "large speed-up", module)
            else:
                self._drop(each, Reason.NOT_CHOSEN, f"{each.speedup:.3g}x")

    def _tasks(self, module: str, group: Sequence[Candidate]) -> Iterator[Kept]:
        """One task of the module for each GPU: the one with most attempts, with its best kernel."""
        family = family_of(group[0].task.source) if group else ""
        chosen: dict[str, str] = {}
        for gpu in sorted({each.gpu for each in group}):
            ids = sorted({each.task.id for each in group if each.gpu == gpu})
            chosen[gpu] = max(ids, key=lambda i: self.harvest.attempts_of.get(i, (0, 0))[0])
        taken: set[str] = set()
        for each in group:
            if each.task.id != chosen[each.gpu]:
                self._drop(each, Reason.SAME_TASK, f"as task {chosen[each.gpu]}")
            elif each.gpu in taken:
                self._drop(each, Reason.NOT_CHOSEN, f"{each.speedup:.3g}x")
            else:
                taken.add(each.gpu)
                yield Kept(each, family, "fastest of its task", module)

    def _balanced(self, chosen: Sequence[Kept]) -> Iterator[Kept]:
        """Of each family as many as its share allows: one of each module in turn, the larger speed-ups first."""
        families: dict[str, list[Kept]] = defaultdict(list)
        for each in chosen:
            families[each.family].append(each)
        cap = family_cap([len(each) for each in families.values()], self.rules.balance, _LEAST_OF_FAMILY)
        for _family, members in sorted(families.items()):
            ordered = _in_turn(members)
            for place, each in enumerate(ordered):
                if cap is None or place < cap:
                    yield each
                else:
                    self._drop(each.candidate, Reason.BALANCE, f"{len(members)} of {each.family}, {cap} are kept")


def _in_turn(members: Sequence[Kept]) -> list[Kept]:
    groups: dict[str, list[Kept]] = defaultdict(list)
    for each in sorted(members, key=lambda k: (-k.candidate.speedup, k.candidate.key)):
        groups[each.module].append(each)
    turns = [
        (place, -each.candidate.speedup, each.candidate.key, each)
        for g in groups.values()
        for place, each in enumerate(g)
    ]
    return [turn[3] for turn in sorted(turns, key=lambda turn: turn[:3])]
