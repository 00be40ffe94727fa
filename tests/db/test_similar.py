"""Searching the store for winners like a task: what passed, the fastest a task, the most alike first, no kernel twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from search_doubles import DEVICE, EPOCH, evaluation

from kernelwright.bench_tasks.task import Task
from kernelwright.db.store import Store
from kernelwright.errors import NotFoundError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict

_NUMBERS = count(1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as opened:
        yield opened


def task(name: str, expression: str, shape: str = "1024, 1024") -> Task:
    return Task(
        name,
        f"import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return {expression}\n"
        f"def get_inputs():\n    return [torch.randn({shape})]\n",
    )


def win(store: Store, on: Task, seconds: float = 1e-5, kernel: Kernel | None = None, arch: str = "sm_90") -> Kernel:
    made = kernel or Kernel(f"class ModelNew: version = {next(_NUMBERS)}\n", "ada")
    store.add_evaluation(on, made, evaluation(made, seconds, on, device=DEVICE.model_copy(update={"arch": arch})))
    return made


SOFTMAX = task("softmax", "torch.softmax(x, -1)")


class TestOrder:
    def test_same_task_then_other_sizes_then_like_operations_then_a_part_of_them(self, store: Store) -> None:
        asked = task("attention", "torch.softmax(x @ x, -1)")
        others = [
            asked,
            task("attention", "torch.softmax(x @ x, -1)", "512, 512"),
            task("scores", "x.matmul(x).softmax(-1)"),
            task("rows", "x.softmax(-1)"),
        ]
        for one in random.Random(1).sample(others, len(others)):
            win(store, one)
        win(store, task("silu", "x.sigmoid()"))
        found = store.similar(asked, "H200", 10)
        assert [winner.task.id for winner in found] == [one.id for one in others]
        assert found[0].similarity == 1 > found[1].similarity
        assert [w.similarity for w in found] == sorted((w.similarity for w in found), reverse=True)

    def test_a_task_that_is_not_stored_has_its_like(self, store: Store) -> None:
        win(store, SOFTMAX)
        (found,) = store.similar(task("new", "x.softmax(-1)", "8, 8"), "H200")
        assert found.task == SOFTMAX
        assert "softmax" in found.why

    @pytest.mark.parametrize(("gpu", "first"), [("H200", "sm_90"), ("A100 80GB", "sm_80")])
    def test_of_two_alike_the_one_for_this_architecture_comes_first(self, store: Store, gpu: str, first: str) -> None:
        win(store, replace(SOFTMAX, name="one", source=SOFTMAX.source + "# 1\n"), arch="sm_80")
        win(store, replace(SOFTMAX, name="two", source=SOFTMAX.source + "# 2\n"), arch="sm_90")
        assert store.similar(SOFTMAX, gpu)[0].evaluation.device.arch == first

    def test_within_a_task_the_same_architecture_beats_a_faster_one(self, store: Store) -> None:
        win(store, SOFTMAX, 1e-6, arch="sm_100")
        here = win(store, SOFTMAX, 1e-5, arch="sm_90")
        assert [w.kernel for w in store.similar(SOFTMAX, "H200")] == [here]
        assert "sm_100" in store.similar(SOFTMAX, "B200")[0].evaluation.device.arch


class TestWhatIsAWinner:
    def test_the_fastest_that_passed_a_task(self, store: Store) -> None:
        win(store, SOFTMAX, 3e-5)
        fastest = win(store, SOFTMAX, 1e-5)
        win(store, SOFTMAX, 2e-5)
        (found,) = store.similar(SOFTMAX, "H200")
        assert (found.kernel, found.task) == (fastest, SOFTMAX)
        assert found.evaluation == evaluation(fastest, 1e-5, SOFTMAX)

    @pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.PASSED])
    def test_what_did_not_pass_is_none(self, store: Store, verdict: Verdict) -> None:
        made = Kernel("class ModelNew: pass\n", "ada")
        store.add_evaluation(SOFTMAX, made, evaluation(made, verdict, SOFTMAX))
        assert store.similar(SOFTMAX, "H200") == []
        assert store.similar("softmax", "H200") == []

    def test_no_kernel_comes_twice(self, store: Store) -> None:
        smaller = task("softmax", "torch.softmax(x, -1)", "8, 8")
        both = win(store, SOFTMAX, 1e-6)
        win(store, smaller, 1e-6, both)
        second = win(store, smaller, 1e-5)
        assert [w.kernel for w in store.similar(SOFTMAX, "H200")] == [both, second]

    def test_limit(self, store: Store) -> None:
        for size in range(1, 6):
            win(store, task("softmax", "torch.softmax(x, -1)", f"{size}, 8"))
        assert len(store.similar(SOFTMAX, "H200", 3)) == 3

    def test_an_empty_store_and_an_unknown_gpu(self, store: Store) -> None:
        assert store.similar(SOFTMAX, "H200") == []
        with pytest.raises(NotFoundError):
            store.similar(SOFTMAX, "H2OO")


class TestText:
    def test_more_words_first_and_names_before_sources(self, store: Store) -> None:
        named, written = task("row softmax", "x.exp()"), task("scores", "x.softmax(-1)")
        win(store, written)
        win(store, named)
        assert [w.task for w in store.similar("softmax", "H200")] == [named, written]
        assert [w.task for w in store.similar("Row SOFTMAX", "H200")] == [named, written]

    @pytest.mark.parametrize("text", ["", "   ", "%", "_", "' OR 1=1 --", "nothing_like_it"])
    def test_what_is_not_there(self, store: Store, text: str) -> None:
        win(store, Task("a", "class Model: ...\n"))
        assert store.similar(text, "H200") == []

    def test_wildcards_are_letters(self, store: Store) -> None:
        win(store, Task("a_b", "class Model: ...\n"))
        win(store, Task("axb", "class Model: ...\n"))
        assert [w.task.name for w in store.similar("a_b", "H200")] == ["a_b"]


def test_stored_tasks_in_short(store: Store) -> None:
    assert store.tasks() == []
    win(store, SOFTMAX)
    assert [(t.id, t.name, t.source) for t in store.tasks()] == [(SOFTMAX.id, "softmax", SOFTMAX.source)]
