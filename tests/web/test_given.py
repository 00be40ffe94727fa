"""What `Text` takes is what can be stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kernelwright.bench_tasks.task import Task
from kernelwright.db.store import Store
from kernelwright.web.given import Text


class Given(BaseModel):
    text: Text


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "x\udfffy", json.loads('"\\ud800"')])
def test_what_can_not_be_stored_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Given(text=text)


def test_everything_else_is_stored_as_it_is(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store:

        @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40))
        @settings(max_examples=60, deadline=None)
        def try_it(text: str) -> None:
            task = Task(name="t", source=Given(text=text).text)
            with store._writing() as session:
                store._add_task(session, task)
            assert store.task(task.id).source == text

        try_it()
