"""The page of the API: every operation is on it, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from server_doubles import Place, client_of, placed

from kernelwright.web.views.api_docs import kind_of


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as place:
        yield place


def test_every_operation_is_on_the_page(place: Place) -> None:
    client = client_of(place.app())
    schema = client.get("/api/v1/openapi.json").json()
    page = unescape(client.get("/api/v1/docs").text)
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            for parameter in operation.get("parameters", []):
                assert f"<code>{parameter['name']}</code>" in page


def test_nothing_is_loaded_from_elsewhere(place: Place) -> None:
    page = client_of(place.app()).get("/api/v1/docs").text
    assert [
        address for address in re.findall(r'(?:src|href)="([^"]*)"', page) if not address.startswith(("/", "#"))
    ] == []
    assert "<script>" not in page
    assert "style=" not in page


def test_every_operation_says_that_a_token_may_be_needed(place: Place) -> None:
    schema = place.app().openapi()
    open_to_all = {path for path, item in schema["paths"].items() for each in item.values() if each["security"] == []}
    assert open_to_all == {"/healthz", "/readyz"}
    assert schema["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 200}, "integer, 1 to 200"),
        ({"type": "string", "maxLength": 20}, "string, up to 20"),
        ({"type": "integer", "minimum": 1}, "integer, 1 or more"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/RunLine"}}, "list of RunLine"),
        ({"enum": ["a", "b"]}, "a | b"),
        ({"allOf": [{"$ref": "#/components/schemas/Verdict"}]}, "Verdict"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({}, "anything"),
    ],
)
def test_schemas_in_words(schema: dict[str, object], words: str) -> None:
    assert kind_of(schema) == words
