"""Reading a script from a YAML or JSON file, with the line of whatever is wrong in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelwright.agents.model_server.script import Script, ScriptedReply
from kernelwright.errors import MisuseError

__all__ = ["load_script", "parse_script"]

MEND = "docs/model-server.md has the format."
FENCES = {".py": "python", ".cu": "cuda", ".cuh": "cuda", ".cpp": "cpp", ".diff": "diff", ".json": "json"}
LONGEST = 20_000_000
"""Bytes of a script or of a file in it."""

Lines = dict[tuple[str | int, ...], int]


def load_script(path: Path) -> Script:
    """The script in a file; a name that ends in ``.json`` is read as JSON, every other as YAML.

    Raises:
        MisuseError: it can't be read, or says what no script says; with the line.
    """
    text = _read(path, str(path))
    value, lines = _json(text, path) if path.suffix.lower() == ".json" else _yaml(text, path)
    return _script(value, path.parent, str(path), lines)


def parse_script(value: Mapping[str, Any], folder: Path | None = None) -> Script:
    """The script that a mapping describes, as one read from a file would; files in it are relative to `folder`.

    Raises:
        MisuseError: it says what no script says.
    """
    return _script(dict(value), folder or Path(), None, {})


def _script(value: object, folder: Path, name: str | None, lines: Lines) -> Script:
    from pydantic import ValidationError

    if isinstance(value, list):
        value = {"replies": value}
        lines = {("replies", *place): line for place, line in lines.items()}
    if not isinstance(value, dict):
        raise MisuseError(f"a script is a list of replies or a mapping, not {_kind(value)}.", mend=MEND, path=name)
    try:
        script = Script.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = tuple(first["loc"])
        if first["type"] == "extra_forbidden":
            words, given = "there is no such field", ""
        else:
            words = first["msg"].removeprefix("Value error, ").rstrip(".")
            given = "" if isinstance(first["input"], dict | list) else f" (found {str(first['input'])[:80]!r})"
        raise MisuseError(f"{_place(place)}: {words}{given}.", mend=MEND, path=name, line=_line(place, lines)) from None
    replies = tuple(
        _with_text(reply, folder, name, _line(("replies", number), lines), number)
        for number, reply in enumerate(script.replies)
    )
    return script.model_copy(update={"replies": replies})


def _with_text(reply: ScriptedReply, folder: Path, name: str | None, line: int | None, number: int) -> ScriptedReply:
    """The entry with its whole text in `text`."""
    if reply.json_ is not None:
        try:
            text = json.dumps(reply.json_, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise MisuseError(
                f"replies[{number}].json can't be written as JSON: {error}.", mend=MEND, path=name, line=line
            ) from None
        return reply.model_copy(update={"text": text, "json_": None})
    if reply.file is None:
        return reply
    try:
        contents = _read(folder / reply.file, None)
    except MisuseError as error:
        raise MisuseError(f"replies[{number}].file: {error.message}", mend=error.mend, path=name, line=line) from None
    fence = FENCES.get(Path(reply.file).suffix.lower(), "") if reply.fence is None else reply.fence
    if fence:
        contents = f"```{fence}\n{contents.rstrip()}\n```\n"
    before = f"{reply.text.rstrip()}\n\n" if reply.text else ""
    return reply.model_copy(update={"text": before + contents, "file": None, "fence": None})


def _read(path: Path, name: str | None) -> str:
    try:
        if path.is_file() and path.stat().st_size > LONGEST:
            raise MisuseError(f"{path} is longer than {LONGEST:,} bytes.", mend="Make it shorter.", path=name)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MisuseError(
            f"{path} can't be read: {error.strerror or error}.", mend="Check the name.", path=name
        ) from None
    except (UnicodeDecodeError, ValueError) as error:
        raise MisuseError(f"{path} is no UTF-8 text: {error}.", mend="Save it as UTF-8.", path=name) from None


def _json(text: str, path: Path) -> tuple[object, Lines]:
    try:
        return json.loads(text), {}
    except json.JSONDecodeError as error:
        raise MisuseError(f"no JSON: {error.msg}.", mend=MEND, path=str(path), line=error.lineno) from None
    except RecursionError:
        raise MisuseError("no script: nested too deeply.", mend=MEND, path=str(path)) from None


def _yaml(text: str, path: Path) -> tuple[object, Lines]:
    import yaml

    lines: Lines = {}
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise MisuseError("the script is empty.", mend=MEND, path=str(path))
            _note_lines(node, (), lines, str(path), set())
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else None
        raise MisuseError(f"no YAML: {words}.", mend=MEND, path=str(path), line=line) from None
    except (yaml.YAMLError, ValueError) as error:
        raise MisuseError(f"no YAML: {' '.join(str(error).split())}.", mend=MEND, path=str(path)) from None
    except RecursionError:
        raise MisuseError("no script: nested too deeply.", mend=MEND, path=str(path)) from None


def _note_lines(node: Any, place: tuple[str | int, ...], lines: Lines, path: str, known: set[int]) -> None:
    """Notes the 1-based line of every value, of one with an alias where it stands first; twice the same key is refused."""
    import yaml

    lines[place] = node.start_mark.line + 1
    if id(node) in known:
        return
    known.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*place, index), lines, path, known)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            word = str(key.value)
            if word in seen:
                raise MisuseError(
                    f"{_place((*place, word))} stands there twice.", mend=MEND, path=path, line=key.start_mark.line + 1
                )
            seen.add(word)
            _note_lines(value, (*place, word), lines, path, known)
            lines[(*place, word)] = key.start_mark.line + 1


def _line(place: tuple[str | int, ...], lines: Lines) -> int | None:
    """Of the value there, or of what it stands in; errors name union members and defaults that are not in the file."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def _place(place: tuple[str | int, ...]) -> str:
    words = ""
    for part in place:
        words += f"[{part}]" if isinstance(part, int) else f".{part}" if words else str(part)
    return words or "the script"


def _kind(value: object) -> str:
    return {type(None): "nothing", str: "a text", bool: "a truth value", int: "a number", float: "a number"}.get(
        type(value), type(value).__name__
    )
