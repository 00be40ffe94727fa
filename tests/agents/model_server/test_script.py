"""Scripts: which entry answers which request, and what is said of a script that can't be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server_clients import Clients

from kernelwright.agents.model_server import load_script, parse_script
from kernelwright.agents.model_server.asked import Asked, Refused, tokens
from kernelwright.agents.model_server.play import Play
from kernelwright.errors import MisuseError

Start = Callable[[Mapping[str, Any]], Clients]


def asked(user: str = "", system: str = "", provider: Any = "openai", **more: Any) -> Asked:
    fields: dict[str, Any] = {
        "model": "gpt-5",
        "parts": (),
        "schema": "",
        "tools": frozenset(),
        "stream": False,
        "stream_usage": False,
        "max_output": None,
        "shows_reasoning": False,
        "fields": frozenset(),
        "body_hash": "",
    }
    return Asked(provider=provider, system=system, user=user, prompt=f"{system}\n\n{user}", **(fields | more))


def said(play: Play, *requests: Asked) -> list[str]:
    return [play.answer(request).reply.text for request in requests]


def test_entries_answer_in_order_and_are_used_up() -> None:
    play = Play(
        parse_script({"replies": [{"text": "a"}, {"text": "b", "times": 2}, {"text": "c", "times": "forever"}]})
    )
    assert said(play, *[asked()] * 6) == ["a", "b", "b", "c", "c", "c"]


@pytest.mark.parametrize(
    ("when", "meets", "misses"),
    [
        ({"provider": "anthropic"}, asked(provider="anthropic"), asked()),
        ({"model": "^gpt"}, asked(), asked(model="claude")),
        ({"user": "error"}, asked("an error"), asked("fine")),
        ({"user": ["error", "line"]}, asked("error in line 3"), asked("error")),
        ({"user_not": "error"}, asked("fine"), asked("an error")),
        ({"system": "judge"}, asked(system="You judge"), asked("judge")),
        ({"system_not": "judge"}, asked("judge"), asked(system="You judge")),
        ({"prompt": "judge"}, asked(system="You judge"), asked("fine")),
        ({"prompt_not": ["judge", "vote"]}, asked("fine"), asked("vote")),
        ({"asks_schema": "limiter"}, asked(schema='improve {"limiter": 1}'), asked("limiter")),
        ({"asks_schema": ""}, asked(schema="improve {}"), asked()),
        ({"stream": True}, asked(stream=True), asked()),
    ],
)
def test_conditions(when: dict[str, Any], meets: Asked, misses: Asked) -> None:
    script = parse_script({"replies": [{"when": when, "text": "met", "times": "forever"}, {"text": "-", "times": 9}]})
    assert said(Play(script), misses, meets) == ["-", "met"]


def test_a_tool_call_is_for_requests_that_offer_the_tool() -> None:
    script = parse_script({"replies": [{"tool": {"name": "evaluate"}}, {"text": "words"}]})
    play = Play(script)
    assert said(play, asked()) == ["words"]
    assert play.answer(asked(tools=frozenset({"evaluate"}))).entry == 0


def test_the_nth_of_those_that_meet_the_other_conditions() -> None:
    entries = [{"when": {"user": "x", "nth": 2}, "text": "second"}, {"text": "-", "times": "forever"}]
    requests = [asked("x"), asked("y"), asked("x"), asked("x")]
    assert said(Play(parse_script({"replies": entries})), *requests) == ["-", "-", "second", "-"]


def test_nothing_matches_and_the_client_is_told_what_was_asked_and_what_is_left(served: Start) -> None:
    clients = served({"replies": [{"when": {"user": "softmax"}, "text": "a"}, {"text": "b"}]})
    assert clients.ask("openai").text == "b"
    with pytest.raises(openai.BadRequestError) as caught:
        clients.ask("openai", "about layer norm")
    words = str(caught.value)
    assert "about layer norm" in words
    assert "gpt-5" in words
    assert "replies[0] when {'user': ('softmax',)}, 1 left" in words
    assert "replies[1]" not in words


def test_the_same_requests_get_the_same_replies() -> None:
    script = parse_script(
        {
            "replies": [{"when": {"user": str(n % 3)}, "text": str(n), "times": 2} for n in range(12)],
            "faults": {"every": 4, "kinds": ["server_error", "slow"]},
        }
    )
    requests = [asked(str(n % 3)) for n in range(20)]

    def turns() -> list[Any]:
        play = Play(script)
        return [(turn.entry, turn.fault) for turn in map(play.answer, requests)]

    assert turns() == turns()


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 5))
def test_a_plan_of_faults_loses_and_repeats_no_reply(requests: list[str], every: int) -> None:
    """A client that asks again after each fault gets what it would have got without any."""
    entries = [{"when": {"user": letter}, "text": f"{letter}{n}"} for letter in "abc" for n in range(40)]
    plain = said(Play(parse_script({"replies": entries})), *map(asked, requests))
    play = Play(
        parse_script({"replies": entries, "faults": {"every": every + 1, "kinds": ["drop_mid", "huge", "slow"]}})
    )
    got = []
    for request in requests:
        turn = play.answer(asked(request))
        while turn.fault is not None and turn.fault.kind != "slow":
            turn = play.answer(asked(request))
        got.append(turn.reply.text)
    assert got == plain


@given(st.text(max_size=60))
def test_tokens_are_bytes_over_four_rounded_up(text: str) -> None:
    assert 4 * tokens(text) - 3 <= len(text.encode("utf-8", "surrogatepass")) <= 4 * tokens(text)


def test_files_are_relative_to_the_script_and_fenced(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "good.py").write_text("x = 1\n")
    (tmp_path / "note.txt").write_text("plain\n")
    script = tmp_path / "script.yaml"
    script.write_text(
        "- {text: 'PLAN: it', file: kernels/good.py}\n- {file: note.txt}\n- {file: kernels/good.py, fence: ''}\n"
    )
    texts = [reply.text for reply in load_script(script).replies]
    assert texts == ["PLAN: it\n\n```python\nx = 1\n```\n", "plain\n", "x = 1\n"]


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    value = {
        "replies": [{"when": {"user": "a"}, "json": {"limiter": "dram"}}],
        "faults": {"every": 2, "kinds": ["slow"]},
    }
    (tmp_path / "a.json").write_text(json.dumps(value, indent="\t"))
    (tmp_path / "a.yaml").write_text(json.dumps(value))
    assert load_script(tmp_path / "a.json") == load_script(tmp_path / "a.yaml") == parse_script(value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "empty"),
        ("just words", None, "not a text"),
        ("replies:\n  - text: a\n    tims: 2\n", 3, r"replies\[0\]\.tims: there is no such field"),
        ("- text: a\n- text: b\n  when: {modle: x}\n", 3, r"replies\[1\]\.when\.modle: there is no such field"),
        ("- text: a\n  when:\n    user: '('\n", 3, "no regular expression"),
        ("- text: a\n  fault: explode\n", 2, "fault.kind"),
        ("- text: a\n  times: 0\n", 2, "times"),
        ("- text: a\n  usage: {input: -1}\n", 2, "usage.input"),
        ("- when: {user: a}\n", 1, "says nothing"),
        ("- text: a\n  json: {}\n", 1, "`json` stands instead"),
        ("- text: a\n  fence: python\n", 1, "`fence`"),
        ("- text: a\n- file: missing.py\n", 2, r"replies\[1\]\.file: .*missing\.py"),
        ("- text: a\n  delay: .inf\n", 2, "delay"),
        ("- text: a\n  text: b\n", 2, "twice"),
        ("replies:\n  - text: [unclosed\n", 3, "no YAML"),
        ("- text: !!python/object/apply:os.system [echo]\n", 1, "no YAML"),
        ("replies: []\nfaults: {every: 0, kinds: [slow]}\n", 2, "faults.every"),
        ("replies: []\nfaults: {every: 1, kinds: []}\n", 2, "faults.kinds"),
        ("- &a [*a]\n", 1, "replies"),
        ("[" * 5000, None, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(MisuseError, match=words) as caught:
        load_script(path)
    assert caught.value.path == str(path)
    if line is not None:
        assert caught.value.line == line
    assert caught.value.exit_code == 2


def test_broken_json_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{\n "replies": [\n  {"text": "a",}\n ]\n}')
    with pytest.raises(MisuseError, match="no JSON") as caught:
        load_script(path)
    assert caught.value.line == 3


@pytest.mark.parametrize("contents", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, contents: bytes | None) -> None:
    path = tmp_path / "script.yaml"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(MisuseError, match=r"script\.yaml"):
        load_script(path)


def test_an_exhausted_script_refuses() -> None:
    with pytest.raises(Refused, match="Entries left: none"):
        Play(parse_script({"replies": []})).answer(asked())
