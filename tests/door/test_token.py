"""`kernelwright token`, and that `serve` begins for others only with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernelwright.cli import run
from kernelwright.config import load_settings
from kernelwright.db.access import Role
from kernelwright.db.store import Store


def test_made_listed_used_and_revoked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "create", "ada", "--role", "submit", "--days", "90"]) == 0
    out, err = capsys.readouterr()
    text = out.strip()
    assert "shown this once" in err
    assert text not in err
    with Store(load_settings().database_url) as store:
        token = store.token_of(text)
    assert token is not None
    assert (token.name, token.role) == ("ada", Role.SUBMIT)
    assert token.expires is not None
    assert (token.expires - token.created).days in {89, 90}
    assert run(["token", "list"]) == 0
    out = capsys.readouterr().out
    assert "ada" in out
    assert text not in out
    assert run(["token", "revoke", "ada"]) == 0
    with Store(load_settings().database_url) as store:
        assert store.token_of(text) is None
    capsys.readouterr()
    assert run(["token", "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["tokens"]
    assert (listed["name"], listed["role"], listed["state"]) == ("ada", "submit", "revoked")
    assert text not in (home / "kernelwright.log").read_text()


def test_json_has_the_token_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "create", "ada", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    with Store(load_settings().database_url) as store:
        assert store.token_of(made["token"]) is not None
    assert (made["role"], made["expires"]) == ("read", None)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["token", "create", "a b"], "MisuseError"),
        (["token", "create", "ada", "--role", "root"], "UsageError"),
        (["token", "create", "ada", "--days", "0"], "UsageError"),
        (["token", "revoke", "nobody"], "NotFoundError"),
        (["serve", "--host", "0.0.0.0"], "ConfigError"),
        (["serve", "--host", "::"], "ConfigError"),
        (["serve", "--require-token"], "ConfigError"),
        (["serve", "--allow-host", "kernels.example"], "ConfigError"),
        (["serve", "--proxy", "127.0.0.1"], "ConfigError"),
        (["serve", "--proxy", "nginx"], "ConfigError"),
        (["serve", "--host", "0.0.0.0", "--open"], "ConfigError"),
    ],
)
def test_misuse(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], kind: str) -> None:
    given = arguments if arguments[0] == "serve" else [*arguments, "--json"]
    assert run(given) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    if arguments[0] == "serve":
        assert err.startswith("error: ")
    else:
        assert json.loads(out)["error"]["kind"] == kind


def test_serving_to_others_says_how_to_make_a_token(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--host", "0.0.0.0"]) == 2
    assert "kernelwright token create NAME --role admin" in " ".join(capsys.readouterr().err.split())


def test_an_empty_list(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "list"]) == 0
    assert "No tokens yet" in capsys.readouterr().out
