"""The access log: one line of JSON a request, with nothing in it that is secret or that a stranger can forge a line with."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import pytest
from server_doubles import Place, client_of, placed

from kernelwright import logs
from kernelwright.db.access import Role
from kernelwright.web.access.policy import Policy

FIELDS = {"time", "method", "route", "status", "seconds", "bytes", "client", "request", "token"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as place:
        yield place


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "logs" / "access.log"
    logs.set_up_access(file)
    yield file
    access = logging.getLogger(logs.ACCESS)
    logs.close(access)
    access.propagate, access.level = True, logging.NOTSET


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


def test_a_line_for_each_request(place: Place, file: Path) -> None:
    client = client_of(place.app(Policy(token=True)), token=place.token(Role.SUBMIT, "ada"))
    answer = client.get("/api/v1/runs?limit=3", headers={"X-Request-Id": "trace-1234"})
    client.post("/api/v1/nothing", content=b"secret body")
    client.get("/runs", headers={"Authorization": "Bearer nonsense"})
    one, other, refused = lines(file)
    assert set(one) == FIELDS
    assert one | {"time": "", "seconds": 0} == {
        "time": "", "method": "GET", "route": "/api/v1/runs", "status": 200, "seconds": 0, "bytes": len(answer.content),
        "client": "testclient", "request": "trace-1234", "token": "ada",
    }  # fmt: skip
    assert answer.headers["x-request-id"] == "trace-1234"
    assert (other["status"], other["route"]) == (404, "(none)")
    assert (refused["status"], refused["token"]) == (401, "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", one["time"])
    assert 0 <= one["seconds"] < 60


def test_nothing_secret_is_in_it(place: Place, file: Path) -> None:
    token = place.token(Role.ADMIN)
    client = client_of(place.app(Policy(token=True)))
    client.headers["Origin"] = "http://localhost"
    client.post("/sign-in", data={"token": token, "next": "/runs"})
    session = client.cookies["kernelwright"]
    client.get(f"/runs?task={token}")
    client.get(f"/{token}", headers={"Authorization": f"Bearer {token}", "Referer": f"http://localhost/{token}"})
    client.post(
        "/api/v1/nothing", json={"password": "body-secret"}, headers={"X-Request-Id": token, "User-Agent": token}
    )
    text = file.read_text()
    assert len(lines(file)) == 4
    for secret in (token, token.split("_", 2)[2], session, session.split("_", 2)[2], "body-secret"):
        assert secret not in text


@pytest.mark.parametrize(
    "asked", ["", "short", "a" * 65, "a b c d e f", "ab\x1b[31mcdefgh", "äöüäöüäöü", '","x":"', "a\u2028bbbbbbbb"]
)
def test_odd_request_ids_are_replaced(place: Place, file: Path, asked: str) -> None:
    answer = client_of(place.app()).get("/healthz", headers={"X-Request-Id": asked.encode()})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
    assert lines(file)[0]["request"] == answer.headers["x-request-id"]


def test_a_bug_is_logged_and_its_answer_has_its_headers(place: Place, file: Path) -> None:
    app = place.app()

    @app.get("/api/v1/bug")
    def bug() -> None:
        raise RuntimeError("a secret path /home/ada")

    answer = client_of(app, raises=False).get("/api/v1/bug")
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "This server has met a bug of its own."
    assert "ada" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert [(line["route"], line["status"], line["request"]) for line in lines(file)] == [
        ("/api/v1/bug", 500, answer.headers["x-request-id"])
    ]


def test_strangers_can_not_write_a_line_of_their_own(place: Place, file: Path, tmp_path: Path) -> None:
    """Neither into the access log nor into the log for people, whatever is in paths, names and messages."""
    messages = tmp_path / "kw.log"
    logs.set_up(messages, "info")
    try:
        app = place.app()

        @app.get("/api/v1/bug/{name}")
        def bug(name: str) -> None:
            logging.getLogger("kernelwright.test").warning("met %s", name)
            raise RuntimeError

        client = client_of(app, raises=False)
        client.get('/api/v1/bug/%0A2026-11-22 ERROR forged: line%0D%1B[31m%C2%85%E2%80%A8"}')
        client.request("GET\u2028".encode().decode("latin-1"), "/runs")
        told = [line for line in messages.read_text().splitlines() if "forged" in line]
        assert told
        assert all("WARNING kernelwright.test: met \\n2026" in line or "met a bug" in line for line in told)
        assert "\x1b" not in messages.read_text()
        assert len(lines(file)) == 2
        assert file.read_bytes().isascii()
    finally:
        root = logging.getLogger(logs.ROOT)
        logs.close(root)
        root.propagate, root.level = True, logging.NOTSET


def test_json_on_standard_error_has_requests_and_messages(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    root, access = logging.getLogger(logs.ROOT), logging.getLogger(logs.ACCESS)
    logs.set_up(tmp_path / "kw.log", "info", verbose=True)
    logs.set_up_access(tmp_path / "access.log", stderr=True)
    try:
        client_of(place.app()).get("/healthz")
        logging.getLogger("kernelwright.x").warning("a\nb")
        try:
            raise ValueError("odd")
        except ValueError as error:
            logs.keep_traceback(error)
    finally:
        for logger in (access, root):
            logs.close(logger)
            logger.propagate, logger.level = True, logging.NOTSET
    request, message, bug = map(json.loads, shown.getvalue().splitlines())
    assert request["route"] == "/healthz"
    assert (message["level"], message["logger"], message["message"]) == ("WARNING", "kernelwright.x", "a\nb")
    assert bug["traceback"].endswith("ValueError: odd")
    assert "/healthz" not in (tmp_path / "kw.log").read_text()


def test_a_log_that_can_not_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    logs.set_up_access(tmp_path / "file" / "access.log")
    logging.getLogger(logs.ACCESS).info("request", extra={"fields": {}})


def test_old_lines_are_turned_over(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = logging.getLogger(logs.ACCESS).handlers
    (handler,) = [each for each in handlers if isinstance(each, RotatingFileHandler)]
    monkeypatch.setattr(handler, "maxBytes", 1000)
    for _ in range(100):
        logging.getLogger(logs.ACCESS).info("request", extra={"fields": {"route": "/" * 90}})
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "access.log",
        *(f"access.log.{n}" for n in range(1, 5)),
    ]
    assert all(path.stat().st_size <= 1000 for path in file.parent.iterdir())
