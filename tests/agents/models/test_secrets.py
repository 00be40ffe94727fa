"""A key reaches its server and nothing else: no error, log, database or recording, even where the server repeats it."""

from __future__ import annotations

import http.server
import json
import logging
import threading
import traceback
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from model_calls import request
from search_doubles import run

from kernelwright.agents.models.paid import PaidModel
from kernelwright.agents.models.prices import Price, Prices, Rate
from kernelwright.agents.models.provider import Patience
from kernelwright.agents.models.spec import Models
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import ModelError
from kernelwright.logs import ROOT, close, set_up

KEY = "canary.KEY.0123456789abcdef"
ONE = Decimal(1)
PRICES = Prices((("*", Price(Rate(ONE, ONE, ONE, ONE))),), Path("prices.toml"))


class Echo(http.server.BaseHTTPRequestHandler):
    """Repeats the key it was sent wherever a server can: status line, headers, body, events of a stream."""

    status = 401

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        key = self.headers.get("x-api-key") or self.headers["authorization"].removeprefix("Bearer ")
        type(self).seen.append(key)
        message = f"Incorrect API key provided: {key}, also sk-proj-abcdefgh12345***wxyz."
        error = {"type": "error", "error": {"type": "overloaded_error", "message": message}}
        body = json.dumps(error)
        if self.status == 200:
            body = f"event: error\ndata: {body}\n\n"
        self.send_response(self.status, f"no {key}")
        self.send_header("content-type", "text/event-stream" if self.status == 200 else "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-request-id", key)
        self.send_header("set-cookie", f"session={key}")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None: ...

    seen: list[str] = []


@pytest.fixture(params=[401, 500, 200, 302])
def echo(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = type("Handler", (Echo,), {"status": request.param, "seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    assert set(handler.seen) == {KEY}, "the test must not pass because no key was sent"  # type: ignore[attr-defined]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "compatible"])
def test_a_server_that_repeats_the_key(
    echo: str, provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for vendor, path in (("OPENAI", "/v1"), ("ANTHROPIC", "")):
        monkeypatch.setenv(f"{vendor}_API_KEY", KEY)
        monkeypatch.setenv(f"{vendor}_BASE_URL", echo + path)
    monkeypatch.setenv("KERNELWRIGHT_COMPATIBLE_API_KEY", KEY)
    set_up(tmp_path / "kernelwright.log", "debug")
    name = f"{echo}/v1#m" if provider == "compatible" else f"{provider}:m"
    patience = Patience(tries=2, sleep=lambda _: None)
    with (
        Store(tmp_path / "k.db") as store,
        Models(Settings(), record=tmp_path / "tape", patience=patience) as models,
    ):
        store.create_run(run())
        model = PaidModel(models.client(name), store, "softmax-7k3f9q", PRICES, Decimal(1))
        with pytest.raises(ModelError) as caught:
            model.complete(request())
        logging.getLogger(ROOT).error("it failed", exc_info=caught.value)
        assert store.calls("softmax-7k3f9q")[0].error
        assert KEY not in repr(vars(caught.value)) + repr(settings_of(models))
    close(logging.getLogger(ROOT))
    shown = "".join(traceback.format_exception(caught.value))
    for secret in (KEY, "abcdefgh12345"):
        assert secret not in shown
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in kept} >= {"k.db", "kernelwright.log"}
    assert any(path.suffix == ".json" for path in kept)
    assert [path.name for path in kept if KEY.encode() in path.read_bytes()] == []


def settings_of(models: Models) -> Settings:
    return models._settings
