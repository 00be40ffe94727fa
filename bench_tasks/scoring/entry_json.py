"""An Entry as JSON and back. What is read may come from a stranger: it is an Entry or an error, and within limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from kernelwright.bench_tasks.scoring.results import AttemptResult, Entry, Integrity, Trial
from kernelwright.bench_tasks.suite import Scale

__all__ = ["entry_from_json", "entry_to_json"]

_LONGEST = 2000  # characters of any text
_MOST = 100_000  # items of any list or mapping
_LARGEST = 1e12  # seconds or dollars
_MOST_REPEATS = 100  # as many as `bench run --repeats` makes; every task of an entry counts with as many as any has


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """Every field; a date in ISO format, dollars as text, times in seconds."""
    return {
        **{f.name: getattr(entry, f.name) for f in fields(Entry)},
        "scale": entry.scale.value,
        "created": entry.created.isoformat(),
        "tasks": list(entry.tasks),
        "trials": [_trial_to_json(trial) for trial in entry.trials],
        "environment": dict(entry.environment),
    }


def entry_from_json(value: Any) -> Entry:
    """The entry that `entry_to_json` wrote.

    Raises:
        ValueError: a field is missing, too many, of another type or out of its range.
    """
    given = _fields(value, Entry)
    created = datetime.fromisoformat(_text(given["created"]))
    if created.tzinfo is None:
        raise ValueError("a date without a time zone")
    texts = (
        "id", "suite", "suite_digest", "timing_kind", "gpu", "device", "author", "strategy", "judge", "baseline",
    )  # fmt: skip
    return Entry(
        **{name: _text(given[name]) for name in texts},
        scale=Scale(given["scale"]),
        rounds=_count(given["rounds"]),
        created=created,
        tasks=tuple(map(_text, _list(given["tasks"]))),
        suite_size=_count(given["suite_size"]),
        trials=tuple(map(_trial_from_json, _list(given["trials"]))),
        environment=_texts(given["environment"]),
        submitted=_flag(given["submitted"]),
        claimed=_flag(given["claimed"]),
    )


def _trial_to_json(trial: Trial) -> dict[str, Any]:
    interval = trial.speedup_interval
    return {
        **{f.name: getattr(trial, f.name) for f in fields(Trial)},
        "attempts": [{f.name: getattr(each, f.name) for f in fields(AttemptResult)} for each in trial.attempts],
        "speedup_interval": None if interval is None else list(interval),
        "dollars": str(trial.dollars),
        "integrity": trial.integrity.value,
        "remarks": list(trial.remarks),
        "baselines": dict(trial.baselines),
    }


def _trial_from_json(value: Any) -> Trial:
    given = _fields(value, Trial)
    interval = given["speedup_interval"]
    ends = None if interval is None else tuple(map(_number, _list(interval)))
    if ends is not None and (len(ends) != 2 or not 0 < ends[0] <= ends[1]):
        raise ValueError("an interval that is none")
    try:
        dollars = Decimal(_text(given["dollars"]))
    except InvalidOperation as error:
        raise ValueError("dollars that are no number") from error
    if not (dollars.is_finite() and 0 <= dollars < _LARGEST):
        raise ValueError("dollars out of range")
    texts = ("task", "task_id", "problem", "run_id", "kernel_id", "evaluation_id")
    return Trial(
        **{name: _text(given[name]) for name in texts},
        repeat=_repeat(given["repeat"]),
        attempts=tuple(map(_attempt_from_json, _list(given["attempts"]))),
        speedup_interval=None if ends is None else (ends[0], ends[1]),
        dollars=dollars,
        seconds=_number(given["seconds"]),
        integrity=Integrity(given["integrity"]),
        remarks=tuple(map(_text, _list(given["remarks"]))),
        baselines={_text(key): _number(each) for key, each in _mapping(given["baselines"]).items()},
    )


def _repeat(value: Any) -> int:
    if (repeat := _count(value)) >= _MOST_REPEATS:
        raise ValueError(f"repeat {repeat}, where there are at most {_MOST_REPEATS}")
    return repeat


def _attempt_from_json(value: Any) -> AttemptResult:
    given = _fields(value, AttemptResult)
    speedup, share = (None if given[n] is None else _number(given[n]) for n in ("speedup", "roofline_share"))
    return AttemptResult(_flag(given["passed"]), _text(given["verdict"]), speedup, share, _number(given["seconds"]))


def _fields(value: Any, kind: type) -> Mapping[str, Any]:
    given = _mapping(value)
    if set(given) != (names := {f.name for f in fields(kind)}):
        odd = sorted(map(str, set(given) ^ names))[:3]
        raise ValueError(f"{kind.__name__} with other fields than it has: {', '.join(odd)[:100]}")
    return given


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or len(value) > _MOST:
        raise ValueError("no mapping where one belongs, or one too large")
    return value


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise ValueError("no list where one belongs, or one too large")
    return value


def _texts(value: Any) -> dict[str, str]:
    return {_text(key): _text(each) for key, each in _mapping(value).items()}


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ValueError("no text where one belongs, or one too long")
    value.encode()  # a half of a surrogate pair is no text either: UnicodeEncodeError is a ValueError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError("no count, or one too large")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < _LARGEST:
        raise ValueError("no number, or one out of range")
    return float(value)
