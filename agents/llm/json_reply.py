"""Reads one JSON object of a known form out of a model's reply, and makes the schema that a server may hold it to."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kernelwright.agents.llm.parse import blocks, clean, without_thoughts

__all__ = ["ReplyProblem", "read_object", "strict_schema"]

T = TypeVar("T", bound=BaseModel)

_LARGEST = 200_000  # characters
_MOST_OBJECTS = 32
_TRAILING = re.compile(r",(\s*[}\]])")
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)
"""One that never ends goes on to the end of the text, so that nothing within it is looked at again."""


class ReplyProblem(Exception):
    """The reply holds no such object; the message is for the model."""


def read_object(reply: str, form: type[T]) -> T:
    """The first object in the reply that has the form: alone, in a fenced block, or with words around it.

    Trailing commas and Python's spelling are let pass.

    Raises:
        ReplyProblem: there is none.
    """
    text = without_thoughts(clean(reply)).strip()
    if not text:
        raise ReplyProblem("it is empty.")
    if len(text) > _LARGEST:
        raise ReplyProblem(f"it has {len(text):,} characters.")
    problem = "it holds no JSON object."
    for data in _objects(text):
        try:
            return form.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            problem = f"in its JSON object {where or 'something'} is wrong: {first['msg']}."
        except (RecursionError, OverflowError):
            problem = "its JSON object is nested too deeply, or holds numbers that are too large."
    raise ReplyProblem(problem)


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    seen = 0
    for piece in (text, *(b.text for b in blocks(text)), *_braced(text)):
        for spelling in (piece, _without_trailing_commas(piece)):
            data = _loaded(spelling)
            if isinstance(data, dict):
                seen += 1
                yield data
                break
        if seen == _MOST_OBJECTS:
            return


def _loaded(text: str) -> Any:
    text = text.strip()
    if not text.startswith("{"):
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _without_trailing_commas(text: str) -> str:
    pieces, end = [], 0
    for string in _STRINGS.finditer(text):
        pieces += [_TRAILING.sub(r"\1", text[end : string.start()]), string[0]]
        end = string.end()
    # a comma before a string is none that trails, so cutting there is safe
    return "".join(pieces) + _TRAILING.sub(r"\1", text[end:])


def _braced(text: str) -> Iterator[str]:
    """Stretches from a brace to the one that closes it, outermost first; braces in strings don't count."""
    start, depth, in_string, place, given = -1, 0, False, 0, 0
    while place < len(text):
        character = text[place]
        if in_string:
            if character == "\\":
                place += 1
            elif character == '"':
                in_string = False
        elif character == '"' and depth:
            in_string = True
        elif character == "{":
            if depth == 0:
                start = place
            depth += 1
        elif character == "}" and depth:
            depth -= 1
            if depth == 0:
                yield text[start : place + 1]
                given += 1
                if given == _MOST_OBJECTS:
                    return
        place += 1


def strict_schema(form: type[BaseModel]) -> dict[str, Any]:
    """The form as a JSON schema that both providers take in their strict modes: every property required, none besides, no
    references, defaults or bounds."""
    schema = form.model_json_schema()
    definitions = schema.pop("$defs", {})
    strict = _strict(schema, definitions)
    assert isinstance(strict, dict)
    return strict


_KEPT = frozenset({"type", "properties", "items", "anyOf", "enum", "description"})


def _strict(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return _strict(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in _KEPT:
            continue
        if key == "properties":
            kept[key] = {name: _strict(each, definitions) for name, each in value.items()}
        elif key == "items":
            kept[key] = _strict(value, definitions)
        elif key == "anyOf":
            kept[key] = [_strict(each, definitions) for each in value]
        else:
            kept[key] = value
    if kept.get("type") == "object":
        kept["additionalProperties"] = False
        kept["required"] = list(kept["properties"])
    return kept
