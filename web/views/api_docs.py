"""The operations of an OpenAPI document, in the order in which a page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Operation", "Parameter", "operations"]


@dataclass(frozen=True)
class Parameter:
    """Something that a caller gives."""

    name: str
    place: str
    """`path`, `query`, `header`, or `body`."""
    required: bool
    kind: str
    """Its type, with what bounds it, in a few words."""
    about: str


@dataclass(frozen=True)
class Operation:
    """A method on a path."""

    method: str
    path: str
    about: str
    parameters: tuple[Parameter, ...]
    answers: tuple[tuple[str, str], ...]
    """Status, and the name of what comes back or what it means."""


def operations(schema: dict[str, Any]) -> dict[str, list[Operation]]:
    """By tag, in the document's order."""
    found: dict[str, list[Operation]] = {}
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            each = Operation(
                method.upper(),
                path,
                operation.get("description") or operation.get("summary", ""),
                tuple(_parameters(operation, schema)),
                tuple((status, _answer(answer)) for status, answer in sorted(operation["responses"].items())),
            )
            found.setdefault((operation.get("tags") or ["other"])[0], []).append(each)
    return found


def _parameters(operation: dict[str, Any], schema: dict[str, Any]) -> list[Parameter]:
    given = [
        Parameter(each["name"], each["in"], each.get("required", False), kind_of(each["schema"]), each.get("description", ""))
        for each in operation.get("parameters", [])
    ]  # fmt: skip
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        inner = _resolved(body.get("schema", {}), schema)
        required = inner.get("required", [])
        given += [
            Parameter(name, f"body, {media}", name in required, kind_of(each), each.get("description", ""))
            for name, each in inner.get("properties", {}).items()
        ]
    return given


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for one in part.get("allOf", [part])[:1]:
        if "$ref" in one:
            found: dict[str, Any] = schema["components"]["schemas"][one["$ref"].rpartition("/")[2]]
            return found
    return part


def _answer(answer: dict[str, Any]) -> str:
    for media, body in answer.get("content", {}).items():
        kind = kind_of(body.get("schema", {}))
        return kind if media == "application/json" and kind != "anything" else media
    return str(answer.get("description", ""))


def kind_of(part: dict[str, Any]) -> str:
    """A schema in a few words: `integer, 1 to 200`, `list of RunLine`, `string or null`."""
    if "$ref" in part:
        return str(part["$ref"].rpartition("/")[2])
    for several in ("anyOf", "oneOf"):
        if several in part:
            return " or ".join(dict.fromkeys(kind_of(each) for each in part[several]))
    if len(part.get("allOf", [])) == 1:
        return kind_of(part["allOf"][0])
    if "enum" in part:
        return " | ".join(map(str, part["enum"]))
    if "const" in part:
        return str(part["const"])
    if part.get("type") == "array":
        return f"list of {kind_of(part.get('items', {}))}"
    low, high = part.get("minimum", part.get("minLength")), part.get("maximum", part.get("maxLength"))
    kind = str(part.get("format") or part.get("type", "anything"))
    if high is None:
        return kind if low is None else f"{kind}, {low} or more"
    return f"{kind}, up to {high}" if low is None else f"{kind}, {low} to {high}"
