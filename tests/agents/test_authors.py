"""Several coders in a run: who is asked."""

from __future__ import annotations

import pytest
from search_doubles import TurnCoder

from kernelwright.agents.authors import Authors
from kernelwright.agents.protocols import Turn
from kernelwright.errors import ConfigError


def two() -> tuple[Authors, TurnCoder, TurnCoder]:
    one, other = TurnCoder(name="one"), TurnCoder(name="other")
    return Authors({"one": one, "other": other}), one, other


def test_a_turn_goes_to_the_coder_that_it_names() -> None:
    authors, one, other = two()
    for number, name in ((1, "other"), (2, "one"), (3, "other")):
        assert authors.propose((), None, Turn(number, author=name)) is not None
    assert (set(one.seen), set(other.seen)) == ({2}, {1, 3})


def test_where_none_is_named_they_take_turns_by_number_in_any_order() -> None:
    authors, one, other = two()
    for number in (4, 1, 3, 2):
        authors.propose((), None, Turn(number))
    assert (set(one.seen), set(other.seen)) == ({1, 3}, {2, 4})
    assert authors.name == "one + other"


def test_a_coder_that_is_not_there_is_named() -> None:
    authors, _, _ = two()
    with pytest.raises(ConfigError, match="no coder called 'third'"):
        authors.propose((), None, Turn(1, author="third"))
    with pytest.raises(ConfigError):
        Authors({})
