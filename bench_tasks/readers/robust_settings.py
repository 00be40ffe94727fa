"""The settings of a robust-kbench task: what its configuration combines, and the text that binds them in a task file.

A configuration has six lists: single and multi settings for `get_inputs`, for `Model`, and shared ones. Every combination of one
of each is a call of the task, and the shared ones override. What the single lists give is what is timed.
"""

from __future__ import annotations

import ast
import builtins
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

__all__ = ["Parameters", "Setting", "SettingsError", "bind", "parameters_of", "settings_of"]

_MOST = 64  # combinations; the largest configuration that we know of has 24
_LISTS = ("init_configs", "input_configs", "shared_configs")


class SettingsError(Exception):
    """A configuration that does not fit; its text is one sentence for people."""


@dataclass(frozen=True)
class Parameters:
    """What a function takes by name."""

    names: tuple[str, ...]
    defaults: Mapping[str, Any]
    """Those that are literals."""
    required: frozenset[str]
    anything: bool
    """Whether it has ``**kwargs``."""


@dataclass(frozen=True)
class Setting:
    """One call of the task: arguments of `Model` and of `get_inputs`, by name."""

    init: Mapping[str, Any]
    inputs: Mapping[str, Any]


def parameters_of(function: ast.FunctionDef, *, method: bool) -> Parameters:
    """What `function` takes; of a method without `self`."""
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args)][1 if method else 0 :]
    with_default = dict(zip(reversed(names), reversed(given.defaults), strict=False))
    with_default |= {a.arg: d for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True) if d is not None}
    names += [a.arg for a in given.kwonlyargs]
    defaults = {}
    for name, node in with_default.items():
        try:
            defaults[name] = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return Parameters(tuple(names), defaults, frozenset(names) - set(with_default), given.kwarg is not None)


def settings_of(text: str, kind: str, init: Parameters, inputs: Parameters) -> list[Setting]:
    """The combinations of a configuration, `single` or `multi`, each once, in its order; defaults are filled in.

    Raises:
        SettingsError: it is no such configuration, or gives what the functions do not take.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"it is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise SettingsError("it is no JSON object.")
    lists = []
    for name in _LISTS:
        entries = found.get(f"{kind}_{name}")
        if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
            raise SettingsError(f"{kind}_{name} is no list of objects.")
        lists.append(entries)
    if len(lists[0]) * len(lists[1]) * len(lists[2]) > _MOST:
        raise SettingsError(f"its {kind} settings make more than {_MOST} combinations.")
    made = []
    for one, other, shared in product(*lists):
        setting = Setting(
            _arguments({**one, **shared}, init, "Model"), _arguments({**other, **shared}, inputs, "get_inputs")
        )
        if setting not in made:
            made.append(setting)
    return made


def _arguments(given: Mapping[str, Any], takes: Parameters, function: str) -> dict[str, Any]:
    unknown = [name for name in given if name not in takes.names]
    if unknown and not takes.anything:
        raise SettingsError(f"it gives {unknown[0]!r}, which {function} does not take.")
    if missing := sorted(takes.required - set(given)):
        raise SettingsError(f"it gives no {missing[0]!r}, which {function} needs.")
    return {name: value for name, value in takes.defaults.items() if type(value) is int} | dict(given)


def bind(own: Setting, further: Sequence[Setting], taken: frozenset[str], origin: str, *, backward: bool) -> str:
    """The text that makes a KernelBench-style file of a task.

    Whole numbers of `own` become names of the file, so that a twin can give others; then those of `further` change in the
    same proportion. What is above LARGEST in any setting is brought down to it: the settings differ much in size, and a twin that
    is right for the largest would leave nothing of the others.

    Args:
        taken: names that the file has already.
        origin: the file in which the settings stand.
    """
    rows = [own, *(setting for setting in further if setting != own)]
    names = _names(rows, taken)
    sizes = {names[key]: getattr(own, key[0])[key[1]] for key in names}
    table = "".join(f"    ({dict(row.init)!r}, {dict(row.inputs)!r}),\n" for row in rows)
    sides: tuple[dict[str, str], ...] = ({}, {})
    for (side, name), constant in names.items():
        sides[0 if side == "init" else 1][name] = constant
    titles = [_title(row, own) for row in rows]
    titles = [f"{said}, again {i}" if said in titles[:i] else said for i, said in enumerate(titles)]
    more = [{"distribution": "as_given", "name": titles[row], "sizes": {"SETTING": row}} for row in range(1, len(rows))]
    return _TEXT.format(
        origin=origin,
        backward="BACKWARD = True  # gradients are judged, and timed with the pass before them\n" if backward else "",
        sizes="".join(f"{name} = {value}\n" for name, value in sizes.items()),
        table=table,
        more="MORE_WORKLOADS = [\n" + "".join(f"    {each!r},\n" for each in more) + "]\n" if more else "",
        sides=repr(sides),
        full=repr(sizes),
        largest=max([1, *(v for row in rows for v in (*row.init.values(), *row.inputs.values()) if type(v) is int)]),
    )


def _names(rows: Sequence[Setting], taken: frozenset[str]) -> dict[tuple[str, str], str]:
    """The name in the file of each whole number, by side (`init` or `inputs`) and name of the argument.

    An argument of both sides that is the same in every row has one name.
    """
    own = rows[0]
    names: dict[tuple[str, str], str] = {}
    for side in ("init", "inputs"):
        for name, value in getattr(own, side).items():
            if type(value) is not int or not name.isidentifier():
                continue
            shared = name in own.init and name in own.inputs
            together = all(row.init.get(name) == row.inputs.get(name) for row in rows)
            constant = f"{side}_{name}" if shared and not together else name
            while constant in taken or constant in _RESERVED or hasattr(builtins, constant):
                constant += "_"
            names[side, name] = constant
    return names


def _title(row: Setting, own: Setting) -> str:
    """What is different in it, for people: ``batch_size 4, init_method xavier``."""
    values, usual = {**row.init, **row.inputs}, {**own.init, **own.inputs}
    said = [f"{name} {value}" for name, value in values.items() if usual.get(name) != value or name not in usual]
    return ", ".join(said).replace("/", " ") or "as by default"


_RESERVED = frozenset(
    {
        "FORMAT",
        "MORE_WORKLOADS",
        "LARGEST",
        "SETTING",
        "SETTINGS",
        "BACKWARD",
        "WORKLOADS",
        "ATTACHMENTS",
        "get_init_inputs",
        "Model",
    }
)
_TEXT = """

# -- From here on added by Kernelwright: the settings of {origin}. --
# A workload chooses one by SETTING, so kernels take their sizes at run time. Where the numbers here are changed, those of every setting
# change in proportion, and none is above LARGEST.
FORMAT = "robust-kbench"
{backward}{more}SETTING = 0
LARGEST = {largest}
{sizes}SETTINGS = (
{table})
_SIDES = {sides}
_FULL = {full}
_make_inputs = get_inputs


def _arguments(side):
    values = dict(SETTINGS[SETTING][side])
    for argument, name in _SIDES[side].items():
        now, full, value = globals()[name], _FULL[name], values.get(argument)
        if type(value) is int and now != full:
            values[argument] = now if value == full else max(min(value, 2), value * now // full)
    return {{name: min(value, LARGEST) if type(value) is int else value for name, value in values.items()}}


def get_init_inputs():
    return [[], _arguments(0)]


def get_inputs():
    return _make_inputs(**_arguments(1))
"""
