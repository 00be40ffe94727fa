"""JSON objects in replies, and schemas that providers take."""

from __future__ import annotations

import copy
import json
import math

import pytest
from anthropic import transform_schema
from hypothesis import given
from hypothesis import strategies as st
from openai.lib._pydantic import _ensure_strict_json_schema
from pydantic import BaseModel

from kernelwright.agents.llm.json_reply import ReplyProblem, read_object
from kernelwright.agents.llm.judge import IMPROVE_SCHEMA, REPAIR_SCHEMA
from kernelwright.agents.llm.votes import VOTE_SCHEMA


class Form(BaseModel):
    name: str
    size: float
    right: bool = False


PLAIN = '{"name": "a {b}, ]", "size": 1.5, "right": true}'
WANTED = Form(name="a {b}, ]", size=1.5, right=True)


@pytest.mark.parametrize(
    "reply",
    [
        PLAIN,
        f"\ufeff{PLAIN}\r\n",
        f"```json\n{PLAIN}\n```",
        f"```\n{PLAIN}\n```\nHope it helps!",
        f"I think that this {{is}} it: {PLAIN} and no more",
        PLAIN.replace("true}", "true,\n}"),
        PLAIN.replace("true}", "True}").replace('"', "'"),
        PLAIN.replace("1.5", '"1.5"').replace("true", '"true"'),
        f"<think>{{}}</think>{PLAIN}",
        f'{{"other": 1}}\n{PLAIN}',
        f'```json\n{PLAIN[:-1]}, "more": [1, 2,],}}\n```',
        PLAIN.replace("a {b}", "a\n{b}").replace("\n", " "),
    ],
)
def test_the_object_is_found(reply: str) -> None:
    found = read_object(reply, Form)
    assert found == WANTED


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "it is empty"),
        ("<think> for ever", "it is empty"),
        ("no", "no JSON object"),
        ('["a"]', "no JSON object"),
        ('{"name": "a"', "no JSON object"),
        ('{"name": "a"}', "size is wrong"),
        ('{"name": "a", "size": "large"}', "size is wrong"),
        ("{" * 100_000, "no JSON object"),
        ('{"name": ' * 20_000, "no JSON object"),
        ("x" * 300_000, "300,000 characters"),
        ('{"name": "a", "size": ' + "9" * 5000 + "}", "wrong|no JSON object"),
    ],
)
def test_what_can_not_be_used_is_told(reply: str, problem: str) -> None:
    with pytest.raises(ReplyProblem, match=problem):
        read_object(reply, Form)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("end", ["", "\\", "\\\n"])
def test_the_time_that_quotes_take_grows_with_their_number_only(end: str) -> None:
    """Escaped quotes of a string that never ends took minutes when each was looked at as the beginning of a string."""
    with pytest.raises(ReplyProblem, match="no JSON object"):
        read_object("{" + '\\"' * 90_000 + end, Form)


@given(st.text(max_size=1000) | st.lists(st.sampled_from('{}[]",:a1\\ \n'), max_size=60).map("".join))
def test_any_text_is_an_object_or_a_problem(text: str) -> None:
    try:
        found = read_object(text, Form)
    except ReplyProblem:
        return
    assert isinstance(found, Form)


@given(st.fixed_dictionaries({"name": st.text(), "size": st.floats(allow_nan=False), "right": st.booleans()}))
def test_what_json_writes_is_read(data: dict[str, object]) -> None:
    found = read_object(json.dumps(data, indent=1), Form)
    wanted = {**data, "name": str(data["name"]).replace("\ufeff", "")}
    if str(data["name"]).isprintable():
        assert found.model_dump() == wanted
    assert math.isclose(found.size, float(str(data["size"]))) or math.isinf(found.size)


@pytest.mark.parametrize("schema", [IMPROVE_SCHEMA, REPAIR_SCHEMA, VOTE_SCHEMA])
def test_schemas_are_strict_by_both_providers_own_rules(schema: dict[str, object]) -> None:
    assert transform_schema(copy.deepcopy(schema)) == schema
    strict = copy.deepcopy(schema)
    assert _ensure_strict_json_schema(strict, path=(), root=strict) == schema
    text = json.dumps(schema)
    assert '"additionalProperties": false' in text
    assert not any(word in text for word in ("$ref", "$defs", '"default"', '"title"', "minimum"))
