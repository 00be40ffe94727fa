"""Recorded exchanges: without secrets, replayed byte for byte with no server and no key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_calls import request

from kernelwright.agents.models.protocol import Place
from kernelwright.agents.models.provider import Patience
from kernelwright.agents.models.spec import Models
from kernelwright.config import Settings
from kernelwright.errors import ConfigError, ModelError

KEYS = ("sk-canary-openai-0123456789", "canary/anthropic+ABCDEFGH", "canary_compatible_zyxwvu")
TEXT = "PLAN: ünïcode ✓ 𝄞\n```python\nkey = 'sk-not-a-key-but-code-of-the-reply'\n```\n"
each = pytest.mark.parametrize("provider", ["openai", "anthropic", "compatible"])


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Models]:
    """Models without keys whose servers are gone."""

    def models(folder: Path) -> Models:
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        return Models(Settings(), replay=folder, environ={}, patience=Patience(sleep=lambda _: None))

    return models


def name_of(room: Any, provider: str) -> str:
    return str(room.client(provider).name)


@each
def test_a_run_is_repeated_from_its_recording(start: Any, replayed: Any, tmp_path: Path, provider: str) -> None:
    """Same body twice, a fault between, a refusal, a broken stream: the second time everything is as it was."""
    folder = tmp_path / "tape" / "new"
    script = [
        {"text": TEXT, "usage": {"input": 7, "cache_read": 5, "output": 3}},
        {"fault": {"kind": "rate_limit", "retry_after": 3}},
        {"fault": "drop_mid", "text": TEXT},
        {"text": "second"},
        {"fault": "refusal"},
    ]
    room = start({"replies": script}, record=folder)
    asked = [request(), request(), request(text="other")]
    name = name_of(room, provider)
    first = [room.client(provider).complete(one) for one in asked]
    assert first[0].text == TEXT
    assert first[1].text == "second"
    assert len(list(folder.iterdir())) == 5
    room.server.close()
    with replayed(folder) as models:
        second = [models.client(name).complete(one) for one in asked]
        assert [(r.text, r.usage, r.stop_reason, r.request_id) for r in second] == [
            (r.text, r.usage, r.stop_reason, r.request_id) for r in first
        ]
        with pytest.raises(ConfigError, match="no answer to this request") as caught:
            models.client(name).complete(request(text="never asked"))
        assert "record it again" in caught.value.mend
        with pytest.raises(ConfigError, match="no answer to this request"):  # once more than it was recorded
            models.client(name).complete(request())


def test_a_prompt_that_differs_is_answered_by_its_place_in_the_run(start: Any, replayed: Any, tmp_path: Path) -> None:
    """As prompts do that quote what a kernel got wrong on secret inputs; a model that was never asked has no answer."""
    replies = [{"text": "first"}, {"fault": "server_error"}, {"text": "second"}, {"text": "third"}]
    room = start({"replies": replies}, record=tmp_path / "tape")
    asked = [replace(request(text=f"error {n}"), place=Place(n, "coder")) for n in (1, 2, 3)]
    for one in asked:
        room.client("openai").complete(one)
    name = name_of(room, "openai")
    with replayed(tmp_path / "tape") as models:
        other = [replace(request(text=f"error {10 + n}"), place=Place(n, "coder")) for n in (3, 1, 2)]
        assert [models.client(name).complete(one).text for one in other] == ["third", "first", "second"]
    with replayed(tmp_path / "tape") as models:
        exact = replace(asked[2], place=Place(9, "coder"))  # the same body is found wherever it stands
        assert models.client(name).complete(exact).text == "third"
        with pytest.raises(ConfigError, match="no answer to this request"):
            models.client("openai:another").complete(other[0])
        with pytest.raises(ConfigError, match="no answer to this request"):
            models.client(name).complete(replace(other[0], place=Place(1, "judge")))


@each
def test_no_secret_is_in_a_recording(start: Any, tmp_path: Path, provider: str) -> None:
    """Nor where a prompt or a reply holds the key itself."""
    folder = tmp_path / "tape"
    room = start({"replies": [{"text": " ".join(KEYS)}, {"fault": "server_error", "times": 9}]}, record=folder)
    room.client(provider).complete(request(text="my key is " + " ".join(KEYS)))
    with pytest.raises(ModelError):
        room.client(provider).complete(request())
    own = {"openai": KEYS[0], "anthropic": KEYS[1], "compatible": KEYS[2]}[provider]
    texts = [file.read_text() for file in folder.iterdir()]
    assert len(texts) == 5
    for text in texts:
        assert own not in text
        kept = json.loads(text)
        assert kept.keys() <= {"format", "place", "order", "request", "response", "broken"}
        assert kept["request"].keys() == {"method", "path", "body"}
        assert kept["response"]["headers"].keys() <= {"content-type", "request-id", "x-request-id", "retry-after"}


def test_a_server_that_is_not_there_is_recorded_too(start: Any, replayed: Any, tmp_path: Path) -> None:
    room = start({"replies": []}, record=tmp_path / "tape", tries=2)
    client = room.client("compatible")
    room.server.close()
    with pytest.raises(ModelError, match="can't be reached"):
        client.complete(request())
    with replayed(tmp_path / "tape") as models, pytest.raises(ConfigError, match="no answer to this request"):
        models.client(client.name).complete(request())


def test_recording_goes_on_in_a_folder_that_has_some(start: Any, replayed: Any, tmp_path: Path) -> None:
    for text in ("one", "two"):
        room = start({"replies": [{"text": text}]}, record=tmp_path / "tape")
        room.client("openai").complete(request())
    with replayed(tmp_path / "tape") as models:
        assert [models.client("openai:m").complete(request()).text for _ in range(2)] == ["one", "two"]


def test_two_clients_of_a_run_share_the_tape(start: Any, replayed: Any, tmp_path: Path) -> None:
    room = start({"replies": [{"text": "a"}, {"text": "b"}]}, record=tmp_path / "tape")
    for model in ("m", "n"):
        room.client("openai", model).complete(request())
    with replayed(tmp_path / "tape") as models:
        assert [models.client(f"openai:{model}").complete(request()).text for model in ("n", "m")] == ["b", "a"]


def test_equal_requests_are_told_apart_by_their_place(start: Any, replayed: Any, tmp_path: Path) -> None:
    """The order of a batch is that of its threads; a run that is gone on with asks for the later places only."""
    room = start({"replies": [{"text": text} for text in ("one", "two", "three")]}, record=tmp_path / "tape")
    for number in (1, 2, 3):
        room.client("openai").complete(request(number))
    with replayed(tmp_path / "tape") as models:
        assert [models.client("openai:m").complete(request(n)).text for n in (3, 2)] == ["three", "two"]


def test_nothing_to_replay(replayed: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recorded exchange here"):
        replayed(tmp_path).client("openai:m")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 99}',
        '{"format": 2, "response": {}}',
        '{"format": 2, "response": {"status": "x", "body": ""}}',
        "\x00",
    ],
)
def test_a_damaged_file_is_named(start: Any, replayed: Any, tmp_path: Path, text: str) -> None:
    room = start({"replies": [{"text": "a"}]}, record=tmp_path / "tape")
    room.client("openai").complete(request())
    (file,) = (tmp_path / "tape").iterdir()
    file.write_text(text)
    with replayed(tmp_path / "tape") as models, pytest.raises(ConfigError, match=r"recorded exchange"):
        models.client("openai:m").complete(request())


def test_a_folder_that_can_not_be_made(start: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be made"):
        start({"replies": []}, record=tmp_path / "file" / "tape").client("openai")
