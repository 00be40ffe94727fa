"""What the providers ask of a JSON schema before they hold a model to it."""

from __future__ import annotations

from typing import Any

__all__ = ["schema_problem"]

NOT_AT_ANTHROPIC = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
)


def schema_problem(schema: Any, *, all_required: bool, no_bounds: bool, place: str = "schema") -> str | None:
    """What is wrong with a schema, as words; None if nothing is.

    Args:
        all_required: as OpenAI's strict mode has it, every property is required.
        no_bounds: as Anthropic has it, numbers and texts have no bounds.
    """
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"{place} must be an object."
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            return f"{place}: 'additionalProperties' is required to be supplied and to be false."
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict):
            return f"{place}.properties must be an object."
        if not isinstance(required, list):
            return f"{place}.required must be an array."
        left_out = [name for name in properties if name not in required]
        if all_required and left_out:
            return f"{place}: 'required' must name every key in properties; it lacks {', '.join(left_out)}."
    if no_bounds and (bounds := [name for name in NOT_AT_ANTHROPIC if name in schema]):
        return f"{place}: property '{bounds[0]}' is not supported."
    inner: list[tuple[str, Any]] = []
    for word in ("properties", "$defs", "definitions"):
        if isinstance(schema.get(word), dict):
            inner += [(f"{place}.{word}.{name}", value) for name, value in schema[word].items()]
    if "items" in schema:
        inner.append((f"{place}.items", schema["items"]))
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(word), list):
            inner += [(f"{place}.{word}[{index}]", value) for index, value in enumerate(schema[word])]
    for name, value in inner:
        problem = schema_problem(value, all_required=all_required, no_bounds=no_bounds, place=name)
        if problem:
            return problem
    return None
