"""Reading fields of a request's body, with errors as a provider words them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelwright.agents.model_server.asked import Refused

__all__ = ["boolean", "list_of_objects", "positive", "refuse_unknown", "text_of", "wanted_text"]


def refuse_unknown(body: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuses a body with a field that the provider does not have."""
    for name in body:
        if name not in known:
            raise Refused(400, f"Unrecognized request argument supplied: {name}", field=name)


def wanted_text(body: Mapping[str, Any], name: str) -> str:
    """A field that must be there and be a text that is not empty."""
    if name not in body:
        raise Refused(400, f"Missing required parameter: '{name}'.", field=name)
    value = body[name]
    if not isinstance(value, str) or not value:
        raise Refused(400, f"Invalid type for '{name}': expected a string that is not empty.", field=name)
    return value


def boolean(body: Mapping[str, Any], name: str) -> bool:
    """A truth value; false if it is not there."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(400, f"Invalid type for '{name}': expected a boolean.", field=name)
    return bool(value)


def positive(body: Mapping[str, Any], name: str) -> int | None:
    """A number of at least 1; None if it is not there."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Refused(400, f"Invalid value for '{name}': expected an integer of at least 1.", field=name)
    return value


def list_of_objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list whose members are objects; empty if it is not there."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused(400, f"Invalid type for '{name}': expected an array of objects.", field=name)
    return value


def text_of(content: object, place: str) -> str:
    """The text of a message's content: a text, or a list of blocks; what is no text in them counts as its JSON."""
    import json

    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Refused(400, f"Invalid type for '{place}': expected a string or an array of objects.", field=place)
    texts = []
    for index, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise Refused(400, f"Invalid value for '{place}[{index}]': expected an object with a type.", field=place)
        text = block.get("text")
        if block["type"] == "text" and not isinstance(text, str):
            raise Refused(400, f"Invalid type for '{place}[{index}].text': expected a string.", field=place)
        texts.append(text if isinstance(text, str) else json.dumps(block, sort_keys=True))
    return "".join(texts)
