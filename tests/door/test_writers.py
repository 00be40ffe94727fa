"""Who writes in a run of several authors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search_doubles import TurnCoder, run

from kernelwright.agents.protocols import Turn
from kernelwright.config import Settings
from kernelwright.errors import ConfigError
from kernelwright.events import Event, Note, ignore
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.writers import _several, author_names, authors_of, chosen_names

H200 = find_gpu("H200")


def test_a_run_of_one_coder_is_named_as_ever() -> None:
    assert chosen_names(Settings()) == ("builtin", "roofline")
    assert chosen_names(Settings(model="openai:a")) == ("openai:a", "openai:a")
    assert authors_of(run(coder="openai:a")) == ("openai:a",)
    assert Settings().models == ()
    assert Settings(judge_model="openai:j").models == ("openai:j",)


def test_several_authors_are_told_in_the_order_of_their_turns_each_once() -> None:
    settings = Settings(model="openai:a", authors=("builtin", "openai:b", "openai:a"))
    assert author_names(settings) == ("openai:a", "builtin", "openai:b")
    assert chosen_names(settings) == ("openai:a + builtin + openai:b", "openai:a")
    assert author_names(Settings(authors=("openai:b",))) == ("builtin", "openai:b")
    assert Settings(authors=("openai:b", "builtin")).models == ("openai:b",)
    same = ("http://h/v1#m", "http://h/v1/#m", " openai:a")
    assert author_names(Settings(model="openai:a", authors=same)) == (
        "openai:a",
        "http://h/v1#m",
    )  # as kernels name them
    stored = replace(run(coder="openai:a + builtin"), settings={"authors": ["openai:a", "builtin"]})
    assert authors_of(stored) == ("openai:a", "builtin")
    with pytest.raises(ConfigError, match="no name"):
        author_names(Settings(authors=(" ",)))


def test_where_the_built_in_coder_can_not_write_a_model_makes_its_attempts() -> None:
    one, other = TurnCoder(name="one"), TurnCoder(name="other")
    told: list[Event] = []
    coder = _several(
        ("builtin", "one", "other"), {"one": one, "other": other}, None, run(), Settings(), H200, told.append
    )
    for number in (1, 2, 3, 4):
        coder.propose((), None, Turn(number))
    assert (set(one.seen), set(other.seen)) == ({1, 2, 4}, {3})
    assert any(isinstance(event, Note) and "one makes its attempts" in event.text for event in told)
    coder = _several(("one", "other"), {"one": one, "other": other}, None, run(), Settings(), H200, ignore)
    assert coder.name == "one + other"
