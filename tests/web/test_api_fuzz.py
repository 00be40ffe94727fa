"""Every operation of the OpenAPI document under made-up and hostile requests: no error of ours, answers as documented, nothing lost.

Operations are read from the document, so a new route is covered the day that it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from search_doubles import attempt, run
from server_doubles import Place, client_of, placed
from starlette.routing import Route
from starlette.testclient import TestClient

from kernelwright.db.access import Role
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import Verdict
from kernelwright.web.access.policy import Limits, Policy
from kernelwright.web.routes import NOUNS

EXAMPLES = 10
"""Requests that are made up for each operation."""
NO_RATES = Limits(reads=0, writes=0, sign_ins=0, body_bytes=1_000_000)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
    unsupported_method,
]
ENDED = "softmax-1"
RUNS = {ENDED: RunStatus.FINISHED, "softmax-2": RunStatus.FAILED}


@dataclass
class Served:
    """A server with something in its store, and what that was."""

    place: Place
    app: FastAPI
    token: str

    def client(self) -> TestClient:
        return client_of(self.app, token=self.token)

    def kept(self) -> dict[str, Any]:
        """All that was there at first, as it is now. A run that has failed may be gone on with: its status is left out."""
        store = self.place.store
        runs = {
            name: replace(run, status=run.status if name == ENDED else None, message="")
            for name, run in ((name, store.run(name)) for name in RUNS)
        }
        attempts = {name: store.attempts(name) for name in RUNS}
        return {
            "runs": runs,
            "attempts": attempts,
            "task": store.task(runs[ENDED].task.id),
            "owners": {name: store.owner_of_run(name) for name in RUNS},
            "token": store.token_of(self.token),
        }

    def ids(self) -> dict[str, list[str]]:
        """Ids that a path may have, by a word in its parameter's name."""
        attempts = self.place.store.attempts(ENDED)
        return {
            "run": list(RUNS),
            "task": [self.place.store.run(ENDED).task.id],
            "kernel": [each.kernel.id for each in attempts],
            "number": ["1", "2", "99"],
            "id": [*RUNS, *(each.kernel.id for each in attempts)],
        }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with placed(tmp_path_factory.mktemp("fuzz")) as place:
        for name, status in RUNS.items():
            place.store.create_run(run(name))
            place.store.add_attempt(attempt(name, 1, 1e-5))
            place.store.add_attempt(attempt(name, 2, Verdict.WRONG))
            place.store.own_run(name, "somebody")
            place.store.set_status(name, status)
        policy = Policy(token=True, names=frozenset({"testserver"}), limits=NO_RATES)
        yield Served(place, place.app(policy), place.token(Role.ADMIN, "fuzz"))


def operations(served: Served) -> list[APIOperation]:
    """All that the document has."""
    headers = {"Authorization": f"Bearer {served.token}"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", served.app, headers=headers)
    return [each.ok() for each in schema.get_all_operations()]


def test_made_up_requests(served: Served) -> None:
    """By Schemathesis: no 5xx but a 503 that is documented, and status, headers, content type and body as the document says."""
    before = served.kept()
    known = served.ids()
    for operation in operations(served):

        @given(case=operation.as_strategy(), data=st.data())
        @settings(
            max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        )  # fmt: skip
        def try_it(case: schemathesis.Case, data: st.DataObject) -> None:
            streams = "text/event-stream" in str(case.operation.definition.raw["responses"])
            for name in case.path_parameters or {}:  # half of the time, something that is there
                word = next((word for word in known if word in name), None)
                if word is not None and data.draw(st.booleans()):
                    case.path_parameters[name] = ENDED if streams else data.draw(st.sampled_from(known[word]))
            answer = case.call(base_url="http://localhost", headers={"Authorization": f"Bearer {served.token}"})
            case.validate_response(answer, checks=CHECKS)

        try_it()
    assert served.kept() == before


def test_nothing_is_answered_without_a_token(served: Served) -> None:
    client = client_of(served.app)
    for operation in operations(served):
        if operation.path in {"/healthz", "/readyz"}:
            continue
        answer = client.request(operation.method, operation.path.replace("{", "").replace("}", ""))
        assert answer.status_code == 401, operation.label


DEEP = 100_000
SOURCE = """import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x + 1


def get_inputs():
    return [torch.randn(4)]


def get_init_inputs():
    return []
"""
NASTY = ["\x00", "\ud800", "a\x00b", "\u202e", "../../etc/passwd", "'; DROP TABLE runs; --", "<script>alert(1)</script>", "{{7*7}}", "%s%n", "x" * 100_000, "", " ", "\r\nSet-Cookie: a=b"]  # fmt: skip
BODIES: dict[str, tuple[str, bytes]] = {
    "empty json": ("application/json", b""),
    "broken json": ("application/json", b'{"a": '),
    "deep json": ("application/json", b"[" * DEEP + b"]" * DEEP),
    "deep objects": ("application/json", b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "invalid utf-8": ("application/json", b'{"source": "\xff\xfe\xfa"}'),
    "utf-16": ("application/json", '{"source": "x"}'.encode("utf-16")),
    "no object": ("application/json", b"[1, 2]"),
    "null": ("application/json", b"null"),
    "nan": ("application/json", b'{"rounds": NaN, "budget": -Infinity, "source": 1e999}'),
    "large numbers": ("application/json", b'{"rounds": ' + b"9" * 5000 + b"}"),
    "same key twice": ("application/json", b'{"source": "a", "source": "b"}'),
    "10 MB": ("application/json", b'{"source": "' + b"x" * 10_000_000 + b'"}'),
    "wrong type": ("image/png", b"\x89PNG\r\n"),
    "no type": ("", b'{"source": "x"}'),
    "type without end": ("multipart/form-data", b"--x\r\n"),
    "type with a line end": ("application/json; charset=\x0b", b"{}"),
    "odd charset": ("application/json; charset=utf-7", b'{"source": "+ADw-"}'),
    "form": ("application/x-www-form-urlencoded", b"source=%00%ff&source=b&rounds=x&" + b"a=b&" * 20_000),
    "parts without end": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="source"\r\n\r\nabc'),
    "parts of nothing": ("multipart/form-data; boundary=x", b"--x--\r\n"),
    "many parts": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 5000 + b"--x--\r\n",
    ),
    "a file": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="../../../etc/cron.d/x\x00.py"\r\nContent-Type: text/x-python\r\n\r\n\x00\xff\xfe\r\n--x--\r\n',
    ),
    "long part header": (
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Disposition: form-data; name=" + b"a" * 100_000 + b"\r\n\r\nb\r\n--x--\r\n",
    ),
    "gzip": ("application/json", b"\x1f\x8b\x08\x00" + b"\x00" * 100),
}  # fmt: skip


def fields_of(schema: dict[str, Any]) -> set[str]:
    """Names of everything that any operation takes in a body."""
    named = schema["components"]["schemas"]
    bodies = [
        body.get("schema", {})
        for item in schema["paths"].values()
        for operation in item.values()
        for body in operation.get("requestBody", {}).get("content", {}).values()
    ]
    return {name for body in bodies for name in named[body["$ref"].rpartition("/")[2]].get("properties", {})}


def nasty_bodies(names: set[str]) -> Iterator[tuple[str, bytes]]:
    """Bodies of these fields, each with the same nasty text, as JSON and as a form."""
    for text in (*NASTY[:2], *NASTY[2::2]):
        yield "application/json", json.dumps(dict.fromkeys(sorted(names), text)).encode()  # a lone surrogate as \ud800
        yield "application/json", json.dumps({"source": SOURCE, "name": text}).encode()
        for value in (dict.fromkeys(sorted(names), text), {"source": SOURCE, "workloads": text}):
            pieces = (
                f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{each}\r\n'.encode("utf-8", "surrogatepass")
                for name, each in value.items()
            )  # fmt: skip
            yield "multipart/form-data; boundary=x", b"".join(pieces) + b"--x--\r\n"


def test_hostile_bodies(served: Served) -> None:
    """Sent to every operation and every page that takes one: refused or taken, never an error of ours."""
    before, client, schema = served.kept(), served.client(), served.app.openapi()
    changes = [(method, path) for path, item in schema["paths"].items() for method in item if method != "get"]
    changes += [
        (method, route.path)
        for noun in NOUNS
        for route in noun.pages.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"GET", "HEAD"}
    ]
    bodies = [*BODIES.values(), *nasty_bodies(fields_of(schema))]
    for method, template in changes:
        path = template
        for word, ids in served.ids().items():
            path = path.replace(f"{{{word}_id}}", ids[0]).replace(f"{{{word}}}", ids[0])
        for media, body in bodies:
            answer = client.request(
                method.upper(), path, content=body, headers={"Content-Type": media.encode()} if media else {}
            )
            assert answer.status_code < 500 or answer.status_code == 503, (method, template, media, body[:60])
            assert len(body) <= NO_RATES.body_bytes or answer.status_code == 413, (method, template, media)
    assert served.kept() == before


@pytest.mark.parametrize("text", NASTY, ids=lambda text: ascii(text[:12]))
def test_hostile_addresses(served: Served, text: str) -> None:
    """In each parameter of each operation and page."""
    client = served.client()
    for operation in operations(served):
        if operation.method.upper() != "GET":
            continue
        names = [each["name"] for each in operation.definition.raw.get("parameters", []) if each["in"] == "query"]
        raw = text.encode("utf-8", "surrogatepass").replace(b"\x00", b"%00")[:2000]
        path = operation.path.encode()
        while b"{" in path:
            path = path[: path.index(b"{")] + b"%XX" + path[path.index(b"}") + 1 :]
        quoted = b"".join(bytes([byte]) if chr(byte).isalnum() and byte < 128 else b"%%%02x" % byte for byte in raw)
        for prefix in (path.replace(b"%XX", quoted), path.replace(b"%XX", b"x")):
            for address in (
                prefix,
                *(prefix + b"?%s=%s&%s=%s" % (name.encode(), quoted, name.encode(), quoted) for name in names),
            ):
                for part in (address, address.removeprefix(b"/api/v1")):
                    answer = client.get(part.decode("ascii"))
                    assert answer.status_code < 500, part
                    assert "set-cookie" not in answer.headers
                    assert (
                        "<script>alert" not in answer.text
                        or answer.headers["content-type"] != "text/html; charset=utf-8"
                    )
