"""Held-out tasks are recognised in every disguise, and other tasks are not taken for them."""

from __future__ import annotations

import pytest
from curation_doubles import BODIES, kernel, task

from kernelwright.bench_tasks.own import own_suite
from kernelwright.rl.curation.heldout import HeldOut, HeldOutIndex, Strictness

SECRET = task("gated")
INDEX = HeldOutIndex([HeldOut("secret", "gated", SECRET.source, frozenset({SECRET.id, "twin"}))])

DISGUISES = {
    "id": SECRET.source,
    "renamed": SECRET.source.replace("hidden", "h").replace("self.scale", "self.gain").replace("(self, x, y)", "(self, a, b)")
    .replace("F.silu(x)", "F.silu(a)").replace("hidden + y", "hidden + b").replace("h + y", "h + b"),
    "resized": task("gated", rows=9, cols=77).source,
    "reworded": SECRET.source.replace("F.silu(x)", "torch.nn.functional.silu(x)").replace("torch.tanh(hidden + y)", "(hidden + y).tanh()"),
    "in other statements": task("gated", body="        return (self.scale * nn.SiLU()(x) + y).tanh()").source,
    "with layers": task("gated", body="        def squash(v):\n            return torch.tanh(v)\n        z = F.silu(x)\n        z *= self.scale\n        return squash(z + y)").source,
    "with a new text about it": task("gated", title="An entirely different description of what it is.").source,
}  # fmt: skip


@pytest.mark.parametrize("how", DISGUISES)
def test_a_disguise_is_seen_through(how: str) -> None:
    assert INDEX.task("another id", DISGUISES[how]) is not None, how


def test_ids_of_both_scales_count() -> None:
    for task_id in (SECRET.id, "twin"):
        match = INDEX.task(task_id, "no source at all")
        assert match is not None
        assert str(match) == "id: secret/gated"


@pytest.mark.parametrize("name", [name for name in BODIES if name != "gated"])
def test_other_tasks_are_let_in(name: str) -> None:
    assert INDEX.task("x", task(name).source) is None


def test_a_text_that_quotes_is_found() -> None:
    assert INDEX.text(f"Let me see what is asked:\n{SECRET.source}\nI will use 256 threads.") is not None
    assert INDEX.text(kernel("gated").source) is None
    assert INDEX.text(task("rows").source) is None  # what all tasks have in common is nobody's own
    assert INDEX.text("") is None


def test_a_part_of_a_larger_module_is_found() -> None:
    more = "\n".join(f"        y = torch.sin(y * {n}.5)" for n in range(40))
    body = f"{more}\n        hidden = F.silu(x) * self.scale\n        return torch.tanh(hidden + y)"
    strict = HeldOutIndex(INDEX.tasks, Strictness(overlap=0.2))
    match = strict.task("x", task("gated", body=body).source)
    assert match is not None
    assert match.rule == "text"


def test_a_near_module_is_found() -> None:
    long = "\n".join(
        f"        x = torch.{op}(x * {n}) - self.scale"
        for n, op in enumerate(("sin", "cos", "exp", "erf", "tanh", "abs") * 4)
    )
    secret = task("gated", body=f"{long}\n        return x + y")
    index = HeldOutIndex([HeldOut("s", "long", secret.source, frozenset())], Strictness(overlap=1.0))
    changed = secret.source.replace("return x + y", "return x * y").replace("self.scale", "self.gain")
    match = index.task("x", changed)
    assert match is not None
    assert match.rule == "near"
    assert match.figure >= 0.8


def test_two_held_out_modules_that_are_called_the_same_are_both_known() -> None:
    """Two folders of one name, say, each with its own `rope`: neither hides the other, in whatever order they come."""
    operations = ("sin", "cos", "exp", "erf", "tanh", "abs"), ("sqrt", "log", "sinh", "ceil", "atan", "relu")
    secrets = []
    for number, names in enumerate(operations):
        lines = "\n".join(f"        x = torch.{op}(x * {n}) - self.scale" for n, op in enumerate(names * 4))
        secrets.append(task("gated", body=f"{lines}\n        return x + y", title=f"A secret {number}."))
    for order in (secrets, secrets[::-1]):
        index = HeldOutIndex([HeldOut("s", "rope", each.source, frozenset()) for each in order], Strictness())
        near = [index.task("x", each.source.replace("return x + y", "return x * y")) for each in order]
        assert [None if match is None else str(match).partition(",")[0] for match in near] == ["near: s/rope"] * 2
        for each in order:
            assert index.text(f"I was shown this:\n{each.source}") is not None


def test_nothing_held_out_lets_everything_in() -> None:
    empty = HeldOutIndex([])
    assert not empty
    assert empty.task("x", SECRET.source) is None
    assert empty.text(SECRET.source) is None


def test_one_task_of_ours_is_not_taken_for_another() -> None:
    tasks = [each for each in own_suite("fusion").tasks if "@" not in each.name][::3]
    held, others = tasks[::2], tasks[1::2]
    index = HeldOutIndex([HeldOut("fusion", e.name, e.task.source, frozenset({e.task.id})) for e in held])
    taken = [each.name for each in others if index.task(each.task.id, each.task.source) is not None]
    assert len(taken) <= len(others) // 10, taken
    assert all(index.task("new", each.task.source) is not None for each in held)
