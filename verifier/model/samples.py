"""Samples: measured times of launches with the counters that the emulator found for them. One JSON object a line.

docs/calibration.md describes the file. Nothing of a sample is trusted to be well formed: a line that could not have come from
a launch is named with what is wrong with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from kernelwright.errors import MisuseError, NotFoundError
from kernelwright.sandbox.launch import TENSOR_TYPES, Counters, KernelResources, LaunchReport

__all__ = ["SCHEMA", "Sample", "newest", "read_samples", "sample_of", "write_samples"]

SCHEMA = 1
"""Version of a line."""
_LARGEST_FILE = 64 << 20  # bytes; a sample is some 3 kB
_LARGEST_LINE = 1 << 20
_MOST = 2**53
"""The largest count: beyond it JSON numbers are not exact, and no launch gets there."""
_COUNTS = tuple(f.name for f in fields(Counters) if f.type == "int")
_BY_KIND = ("warp_instructions", "thread_instructions", "flops", "tensor_flops")
_RESOURCES = tuple(f.name for f in fields(KernelResources) if f.type == "int")


class Sample(BaseModel):
    """One measured launch."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    version: Literal[1] = Field(alias="schema", default=1)
    """Of this format."""
    gpu: str = Field(min_length=1, max_length=200)
    """The GPU as its driver names it: `NVIDIA H200`."""
    driver: str = Field(min_length=1, max_length=100)
    """Version of the driver."""
    date: AwareDatetime
    """When it was measured, ISO 8601 with a time zone."""
    source: str = Field(min_length=1, max_length=200)
    """Which source the kernel is from, a digest or a name: samples of one source are held out together."""
    launch: dict[str, Any]
    """`LaunchReport` as JSON, without violations: counters, resources, grid and block."""
    seconds: float = Field(ge=1e-8, le=1e4)
    """What one launch takes, in seconds: launches on a busy stream, with the L2 cache cold, their own overhead included."""
    repeats: int = Field(ge=1, le=10**9)
    """Launches behind `seconds`."""
    standard_error: float = Field(ge=0, le=1e4)
    """Of `seconds`, in seconds; 0 if it is not known."""

    @field_validator("launch")
    @classmethod
    def _a_launch(cls, value: dict[str, Any]) -> dict[str, Any]:
        _check_launch(value)
        return value

    @field_validator("date")
    @classmethod
    def _a_date(cls, value: datetime) -> datetime:
        if not 2000 <= value.year < 2200:
            raise ValueError("no GPU was measured in that year")
        return value

    def report(self) -> LaunchReport:
        """The launch with its counters."""
        return LaunchReport.from_json(self.launch)


def _whole(value: object, what: str, least: int = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise ValueError(f"{what} is no whole number from {least} to 2^53")


def _check_launch(data: Mapping[str, Any]) -> None:
    """Raises ValueError for what `LaunchReport.to_json` never wrote."""
    for name in ("grid", "block"):
        sizes = data.get(name)
        if not isinstance(sizes, list) or len(sizes) != 3:
            raise ValueError(f"{name} of the launch has no three sizes")
        for size in sizes:
            _whole(size, f"a size of {name}", 1)
    if math.prod(data["grid"]) > _MOST or math.prod(data["block"]) > 1024:
        raise ValueError("the launch has more blocks or threads than any GPU takes")
    _whole(data.get("dynamic_shared"), "dynamic_shared")
    if data.get("violations"):
        raise ValueError("the launch has violations: what it costs says nothing")
    counters = data.get("counters")
    if not isinstance(counters, Mapping):
        raise ValueError("the launch has no counters")
    for name in _COUNTS:
        _whole(counters.get(name, 0), name)
    for name in _BY_KIND:
        kinds = counters.get(name, {})
        if not isinstance(kinds, Mapping):
            raise ValueError(f"{name} is no mapping")
        for kind, count in kinds.items():
            _whole(count, f"{name} of {kind}")
    if unknown := set(counters.get("tensor_flops", {})) - set(TENSOR_TYPES):
        raise ValueError(
            f"tensor_flops names {', '.join(sorted(map(str, unknown)))}; known are {', '.join(TENSOR_TYPES)}"
        )
    _whole(counters.get("blocks"), "blocks that were run", 1)
    resources = data.get("resources")
    if resources is not None:
        if not isinstance(resources, Mapping):
            raise ValueError("the launch's resources are no mapping")
        for name in _RESOURCES:
            _whole(resources.get(name, 0), name)
    try:
        LaunchReport.from_json(data)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"the launch is none: {error}") from None


def sample_of(
    report: LaunchReport, *, gpu: str, driver: str, source: str, seconds: float, repeats: int, standard_error: float = 0.0,
    date: datetime,
) -> Sample:  # fmt: skip
    """A sample of a launch that was measured; source lines and emulated time are left out.

    Raises:
        MisuseError: a figure out of its range, or a launch with violations.
    """
    launch = report.to_json()
    launch.update(lines=[], notes=[], emulated_seconds=0.0)
    try:
        return Sample(
            gpu=gpu, driver=driver, date=date, source=source, launch=launch, seconds=seconds, repeats=repeats,
            standard_error=standard_error,
        )  # fmt: skip
    except ValidationError as error:
        raise MisuseError(f"this makes no sample: {_first(error)}.") from None


def write_samples(samples: Iterable[Sample], path: Path) -> None:
    """Writes a file that `read_samples` reads; one that is there is replaced."""
    lines = (each.model_dump_json(by_alias=True) + "\n" for each in samples)
    path.write_text("".join(lines), encoding="utf-8")


def read_samples(path: Path) -> list[Sample]:
    """Reads a file of samples; empty lines are passed over.

    Raises:
        NotFoundError: there is no such file.
        MisuseError: a file that is too large or holds no sample, or a line that is none, with its number.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise MisuseError(
                f"the file has {path.stat().st_size:,} bytes; samples of one GPU need a few MB.", path=str(path)
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError("there is no such file.", path=str(path), mend="Give a file of samples.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(f"the file can't be read as UTF-8 text: {error}.", path=str(path)) from None
    samples = [_read(line, number, path) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not samples:
        raise MisuseError(
            "the file holds no sample.",
            mend="One JSON object a line; docs/calibration.md has the fields.",
            path=str(path),
        )
    return samples


def _read(line: str, number: int, path: Path) -> Sample:
    mend = "docs/calibration.md has the fields of a sample."
    if len(line) > _LARGEST_LINE:
        raise MisuseError(f"a line of {len(line):,} characters is no sample.", mend=mend, path=str(path), line=number)
    try:
        data = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MisuseError(f"this line is no JSON: {error}.", mend=mend, path=str(path), line=number) from None
    if isinstance(data, dict) and data.get("schema", SCHEMA) != SCHEMA:
        raise MisuseError(
            f"this sample has schema {str(data['schema'])[:40]!r}; this version reads {SCHEMA}.",
            path=str(path),
            line=number,
        )
    try:
        return Sample.model_validate(data)
    except ValidationError as error:
        raise MisuseError(f"this is no sample: {_first(error)}.", mend=mend, path=str(path), line=number) from None


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no time and no count")


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def newest(samples: Sequence[Sample]) -> str:
    """The date of the newest sample, ISO 8601 in UTC."""
    return max(each.date for each in samples).astimezone(UTC).isoformat(timespec="seconds")
