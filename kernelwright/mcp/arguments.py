"""What is wrong with the arguments of a tool call, in words for the model that sent them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["argument_problem"]


def argument_problem(tool: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str | None:
    """One or two sentences on the first thing wrong; None if `arguments` follow `schema` (JSON Schema of an object).

    Unlike the schema by itself it allows no names that the tool does not have: an argument under a wrong name would
    otherwise be as if it had not been sent.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    known = list(schema.get("properties", {}))
    takes = f"{tool} takes {', '.join(f'`{name}`' for name in known)}." if known else f"{tool} takes no arguments."
    for name in arguments:
        if name not in known:
            return f"{tool} has no argument `{str(name)[:80]}`. {takes}"
    for name in schema.get("required", ()):
        if name not in arguments:
            return f"{tool} needs `{name}`. {takes}"
    error = best_match(Draft202012Validator(schema).iter_errors(dict(arguments)))
    if error is None:
        return None
    where = "`" + ".".join(map(str, error.absolute_path)) + "`"
    return f"{where} can't be that: {error.message[:300]}. {takes}"
