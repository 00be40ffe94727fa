"""The file of an entry: made by anybody, read as an entry or not at all, and never unpacked anywhere."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scoring_entries import of

from kernelwright.bench_tasks.scoring.entry_json import entry_from_json, entry_to_json
from kernelwright.errors import BundleError
from kernelwright.leaderboard.entry_file import ENTRY, read_entry
from kernelwright.verifier.archive import seal
from kernelwright.verifier.exact_json import from_json, to_json


def sealed(said: object, **members: bytes) -> bytes:
    return seal({"entry.json": to_json(said).encode(), **members}, {}, ENTRY)


def honest() -> dict[str, Any]:
    found: dict[str, Any] = from_json(to_json({"entry": entry_to_json(of([2.0, None])), "bundles": []}))
    return found


def zipped(write: Callable[[zipfile.ZipFile], None]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        write(file)
    return out.getvalue()


def test_an_entry_comes_back_as_it_was() -> None:
    assert read_entry(sealed(honest())).entry == of([2.0, None])


def _twice(file: zipfile.ZipFile) -> None:
    for _ in range(2):
        with pytest.warns(UserWarning, match="Duplicate") if _ else _nothing():
            file.writestr("manifest.sha256", "0" * 64)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.writestr("../../evil.py", "x"),
        lambda file: file.writestr("/tmp/evil.py", "x"),
        lambda file: file.writestr("bomb", bytes(50 << 20)),
        lambda file: (file.writestr("manifest.sha256", "0" * 64), file.writestr("manifest.json", bytes(50 << 20))),
        _twice,
        lambda file: None,
    ],
    ids=["path above", "absolute path", "bomb", "manifest is a bomb", "twice", "empty"],
)
def test_other_archives_are_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[zipfile.ZipFile], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError):
        read_entry(zipped(write))
    assert os.listdir() == []


def test_a_bundle_is_no_entry() -> None:
    with pytest.raises(BundleError, match="malformed"):
        read_entry(seal({"entry.json": b"{}"}, {}))


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", b"PK\3\4" + bytes(200)])
def test_not_a_file_of_ours(data: bytes) -> None:
    with pytest.raises(BundleError):
        read_entry(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said["entry"].pop("gpu"), "other fields"),
        (lambda said: said["entry"].update(extra=1), "other fields"),
        (lambda said: said["entry"].update(author=5), "no text"),
        (lambda said: said["entry"].update(author="x" * 3000), "too long"),
        (lambda said: said["entry"].update(author="\ud800"), "surrogates"),
        (lambda said: said["entry"].update(created="2026-01-01"), "time zone"),
        (lambda said: said["entry"].update(scale="tiny"), "Scale"),
        (lambda said: said["entry"].update(tasks=["t0", "t0"]), "once"),
        (lambda said: said["entry"]["trials"].append(said["entry"]["trials"][0]), "one trial"),
        (lambda said: said["entry"]["trials"][0].update(repeat=-1), "no count"),
        (lambda said: said["entry"]["trials"][0].update(dollars="-5"), "out of range"),
        (lambda said: said["entry"]["trials"][0].update(dollars="NaN"), "out of range"),
        (lambda said: said["entry"]["trials"][0].update(seconds=float("inf")), "no JSON"),
        (lambda said: said["entry"]["trials"][0]["attempts"][0].update(speedup=float("nan")), "no JSON"),
        (lambda said: said["entry"]["trials"][0]["attempts"][0].update(speedup=0), "speedup"),
        (lambda said: said["entry"]["trials"][0]["attempts"][0].update(passed=1), "neither"),
        (lambda said: said.pop("bundles"), "bundles"),
        (lambda said: said.update(bundles=[["t0", 0]]), "bundles/0"),
        (lambda said: said.update(bundles=5), "iterable"),
        (lambda said: said.update(entry=[]), "no mapping"),
    ],
)
def test_an_entry_that_says_what_none_can(change: Callable[[dict[str, Any]], object], message: str) -> None:
    said = honest()
    change(said)
    with pytest.raises(BundleError, match=message):
        read_entry(sealed_raw(said))


def test_evidence_twice_or_of_no_task() -> None:
    said = honest()
    with pytest.raises(BundleError, match="twice"):
        read_entry(seal({"entry.json": to_json(said).encode(), "bundles/0": b"x"}, {}, ENTRY))
    said["bundles"] = [["t0", 0], ["t0", 0]]
    members = {"bundles/0": b"x", "bundles/1": b"x"}
    with pytest.raises(BundleError, match="twice"):
        read_entry(seal({"entry.json": to_json(said).encode(), **members}, {}, ENTRY))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["entry", "bundles", "id", "x"]), inner, max_size=4), max_leaves=8))  # fmt: skip
def test_whatever_it_says_it_is_an_entry_or_an_error(said: Any) -> None:
    with pytest.raises(BundleError):
        read_entry(sealed_raw({"entry": said, "bundles": []}))


def sealed_raw(said: object) -> bytes:
    import json

    return seal({"entry.json": json.dumps(said).encode()}, {}, ENTRY)


def test_every_field_of_an_entry_travels() -> None:
    entry = of([2.0, 0.5], environment={"torch": "2"}, submitted=True, claimed=True)
    assert entry_from_json(from_json(to_json(entry_to_json(entry)))) == entry


def test_a_repeat_that_no_suite_is_run_with_is_no_entry() -> None:
    """Every task counts with as many repeats as any has: one far out would make millions of results."""
    said = from_json(to_json(entry_to_json(of([2.0, 0.5]))))
    said["trials"][0]["repeat"] = 100_000
    with pytest.raises(ValueError, match="at most 100"):
        entry_from_json(said)
