"""Contamination check: is a task, or a text, one of those that a model is to be measured on?

Rules, from exact to fuzzy; the first that applies is told:

========== ===========================================================================================================
rule       a task or a text is held out
========== ===========================================================================================================
id         whose content hash is that of a held-out task, at full size or as its twin
source     whose module is the same but for names, comments, sizes, settings, and how operations are spelt
operations that does the same operations in the same order (`bench_tasks.sequence`)
near       whose module has most of its five-token runs in common with a held-out one (MinHash finds it, the exact share decides)
text       that quotes a held-out module: of its runs of `ngram` words the share `overlap` or more; runs that two or more held-out
           modules have in common are nobody's own and don't count
========== ===========================================================================================================

Word runs are the usual check of training corpora against benchmarks (Brown et al. 2020, https://arxiv.org/abs/2005.14165, with 13
words); a module is short, so eight are taken here.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kernelwright.bench_tasks.sequence import operations_in_order
from kernelwright.rl.curation.near import Near
from kernelwright.rl.curation.normal import digest, normal_task, shingles, words

__all__ = ["HeldOut", "HeldOutIndex", "Match", "Strictness"]

_LEAST_SHINGLES = 12
"""Of a module: with fewer, two modules that differ in one operation have most in common."""
_LEAST_GRAMS = 8
"""Of a module's own word runs: with fewer, chance finds a third of them."""


@dataclass(frozen=True)
class Strictness:
    """When something is near enough to be held out."""

    similarity: float = 0.8
    """Share of five-token runs in common (Jaccard) from which two modules are near-duplicates."""
    ngram: int = 8
    """Words of a run."""
    overlap: float = 0.3
    """Share of a held-out module's own runs that a text may have, exclusive."""


@dataclass(frozen=True)
class HeldOut:
    """A task that nothing may be learned from."""

    suite: str
    name: str
    source: str
    ids: frozenset[str]
    """Of the task at every scale it comes at."""


@dataclass(frozen=True)
class Match:
    """Why something is held out."""

    rule: str
    which: str
    """Suite and name of the held-out task."""
    figure: float = 1.0
    """The share in common, for `near` and `text`."""

    def __str__(self) -> str:
        share = f", {self.figure:.0%} in common" if self.rule in {"near", "text"} else ""
        return f"{self.rule}: {self.which}{share}"


class HeldOutIndex:
    """Held-out tasks, ready to be asked."""

    def __init__(self, tasks: Sequence[HeldOut], strictness: Strictness | None = None) -> None:
        self.strictness = strictness or Strictness()
        self.tasks = tuple(sorted(tasks, key=lambda t: (t.suite, t.name)))
        self._ids: dict[str, str] = {}
        self._sources: dict[str, str] = {}
        self._operations: dict[tuple[str, ...], str] = {}
        self._near = Near(self.strictness.similarity)
        self._called: dict[str, str] = {}
        """Suite and name, by what a module is told apart by: two may be called the same."""
        for each in self.tasks:
            which = f"{each.suite}/{each.name}"
            for task_id in each.ids:
                self._ids.setdefault(task_id, which)
            tokens = normal_task(each.source)
            key = _key(each.source, tokens)
            self._called.setdefault(key, which)
            if tokens:
                self._sources.setdefault(key, which)
            if operations := operations_in_order(each.source):
                self._operations.setdefault(operations, which)
            if len(runs := shingles(tokens)) >= _LEAST_SHINGLES and key not in self._near:
                self._near.add(key, runs)
        self._grams = self._own_grams()
        self._holders: dict[str, list[str]] = {}
        for key, grams in self._grams.items():
            for gram in grams:
                self._holders.setdefault(gram, []).append(key)
        self._asked: dict[tuple[str, str], Match | None] = {}

    def __bool__(self) -> bool:
        return bool(self.tasks)

    def task(self, task_id: str, source: str) -> Match | None:
        """Whether this task is one of them, or one of them in other clothes."""
        key = (task_id, source)
        if key not in self._asked:
            self._asked[key] = self._task(task_id, source) if self.tasks else None
        return self._asked[key]

    def text(self, text: str) -> Match | None:
        """Whether a text quotes one of them."""
        found: Counter[str] = Counter()
        for gram in set(_grams(words(text), self.strictness.ngram)):
            found.update(self._holders.get(gram, ()))
        shares = [(count / len(self._grams[key]), self._called[key]) for key, count in found.items()]
        share, which = max(shares, key=lambda s: (s[0], s[1]), default=(0.0, ""))
        return Match("text", which, share) if share >= self.strictness.overlap else None

    def _task(self, task_id: str, source: str) -> Match | None:
        if task_id in self._ids:
            return Match("id", self._ids[task_id])
        tokens = normal_task(source)
        if tokens and (which := self._sources.get(digest(tokens))):
            return Match("source", which)
        if (operations := operations_in_order(source)) and (which := self._operations.get(operations)):
            return Match("operations", which)
        runs = shingles(tokens)
        if len(runs) >= _LEAST_SHINGLES and (found := self._near.nearest(runs)):
            return Match("near", self._called[found[0]], found[1])
        return self.text(_module_text(source))

    def _own_grams(self) -> dict[str, frozenset[str]]:
        """Word runs of each held-out module that no other one has, by `_key`; of modules that are the same but for sizes, the first's."""
        grams: dict[str, frozenset[str]] = {}
        for each in self.tasks:
            if (key := _key(each.source, normal_task(each.source))) not in grams:  # a variant's runs are nobody's own
                grams[key] = frozenset(_grams(words(_module_text(each.source)), self.strictness.ngram))
        held = Counter(gram for each in grams.values() for gram in each)
        own = {key: frozenset(g for g in each if held[g] == 1) for key, each in grams.items()}
        return {key: each for key, each in own.items() if len(each) >= _LEAST_GRAMS}


def _key(source: str, tokens: Sequence[str]) -> str:
    """What a module is told apart by: its normal form, or its text where it has none."""
    return digest(tokens or (source,))


def _grams(tokens: Sequence[str], length: int) -> Iterable[str]:
    return (" ".join(tokens[at : at + length]) for at in range(len(tokens) - length + 1))


def _module_text(source: str) -> str:
    """What a task's functions do, comments and docstrings included, without what every module has: headers, `__init__`, and how
    inputs are made. All of what is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    lines = source.splitlines()
    parts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and (said := ast.get_docstring(node)):
            parts.append(said)
        elif isinstance(node, ast.FunctionDef) and node.name not in {"__init__", "get_inputs", "get_init_inputs"}:
            parts.append("\n".join(lines[node.body[0].lineno - 1 : node.end_lineno]))
    return "\n".join(parts)
