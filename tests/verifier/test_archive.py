"""The bundle's file: a zip for everybody, of which no byte can change unseen."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.errors import BundleError
from kernelwright.verifier import archive
from kernelwright.verifier.archive import seal, unseal

MEMBERS = {"task.py": b"x = 1\n", "attachments/0": bytes(range(200)), "seeds.json": b"[]", "empty.json": b""}
SEALED = seal(MEMBERS, {"kernelwright": "0.1"})


def test_what_went_in_comes_out() -> None:
    opened = unseal(SEALED)
    assert dict(opened.members) == MEMBERS
    assert opened.changes == ()
    assert opened.manifest["kernelwright"] == "0.1"
    assert seal(dict(reversed(MEMBERS.items())), {"kernelwright": "0.1"}) == SEALED


def test_other_programs_read_it() -> None:
    with zipfile.ZipFile(io.BytesIO(SEALED)) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in MEMBERS} == MEMBERS
        assert unseal(SEALED).digest == file.read("manifest.sha256").decode().strip()
        assert set(json.loads(file.read("manifest.json"))["members"]) == set(MEMBERS)


@pytest.mark.parametrize("bit", [1, 0x80])
def test_a_changed_byte_is_noticed_wherever_it_is(bit: int) -> None:
    owner = _owners()
    for place in range(len(SEALED)):
        data = bytearray(SEALED)
        data[place] ^= bit
        opened = unseal(bytes(data))
        assert [change.part for change in opened.changes] == [owner.get(place, "archive")], place
        assert not opened.members
    # an empty member has no bytes of its own
    assert {*owner.values()} == {"manifest.sha256", "manifest.json", *MEMBERS} - {"empty.json"}


def _owners() -> dict[int, str]:
    """The member of each place in the file that is a member's own; headers and directory are none's."""
    with zipfile.ZipFile(io.BytesIO(SEALED)) as file:
        bodies = [(info.header_offset + 30 + len(info.filename), info) for info in file.infolist()]
    return {place: info.filename for start, info in bodies for place in range(start, start + info.file_size)}


def test_a_changed_offset_in_the_last_record_is_no_fault_of_the_manifest() -> None:
    data = bytearray(SEALED)
    data[-6] ^= 1  # the last record's "offset of start of central directory"
    (change,) = unseal(bytes(data)).changes
    assert change.part == "archive"


def test_another_program_that_compresses_is_told_as_the_archive() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SEALED)) as file, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other:
        for name in file.namelist():
            other.writestr(name, file.read(name))
    assert {change.part for change in unseal(packed.getvalue()).changes} == {"archive"}


@pytest.mark.parametrize("name", MEMBERS)
def test_the_changed_member_is_named(name: str) -> None:
    if not MEMBERS[name]:
        return
    place = SEALED.index(MEMBERS[name])
    data = SEALED[:place] + bytes([SEALED[place] ^ 0x10]) + SEALED[place + 1 :]
    assert [change.part for change in unseal(data).changes] == [name]


def test_a_file_cut_short_is_no_bundle() -> None:
    for length in range(len(SEALED)):
        with pytest.raises(BundleError, match=r"truncated|no evidence bundle"):
            unseal(SEALED[:length])


@given(st.binary(max_size=300), st.integers(0, len(SEALED)), st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_the_reader(extra: bytes, place: int, gone: int) -> None:
    data = SEALED[:place] + extra + SEALED[place + gone :]
    try:
        opened = unseal(data)
    except BundleError:
        return
    assert bool(opened.changes) == (data != SEALED)


def _with_manifest(text: str) -> bytes:
    """A file with a manifest of somebody's own and right sums everywhere."""
    data = text.encode()
    return archive._pack({"manifest.sha256": archive._digest_line(data), "manifest.json": data})


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("[]", "malformed"),
        ("{", "malformed"),
        ("[" * 100_000, "malformed"),
        ('{"format":"kernelwright-bundle","version":1}', "malformed"),
        ('{"format":"other","version":1,"members":{}}', "malformed"),
        ('{"format":"kernelwright-bundle","version":2,"members":{},"kernelwright":"9.9"}', "version 2"),
        ('{"format":"kernelwright-bundle","members":{}}', "version null"),
        ('{"format":"kernelwright-bundle","version":1,"members":{"../../etc/passwd":{}}}', "name that none has"),
        ('{"format":"kernelwright-bundle","version":1,"members":{"/etc/passwd":{}}}', "name that none has"),
        ('{"format":"kernelwright-bundle","version":1,"members":{"manifest.json":{}}}', "name that none has"),
        ('{"format":"kernelwright-bundle","version":1,"members":{"a":{"bytes":-1,"sha256":""}}}', "malformed"),
        ('{"format":"kernelwright-bundle","version":1,"members":{"a":{"bytes":true,"sha256":""}}}', "malformed"),
        ('{"format":"kernelwright-bundle","version":1,"members":{"a":{"bytes":1e300,"sha256":""}}}', "malformed"),
    ],
)
def test_manifests_that_nobody_wrote(manifest: str, says: str) -> None:
    with pytest.raises(BundleError, match=says):
        unseal(_with_manifest(manifest))


def test_a_member_that_is_not_there_is_a_change() -> None:
    data = _with_manifest('{"format":"kernelwright-bundle","version":1,"members":{"a":{"bytes":9999,"sha256":"x"}}}')
    (change,) = unseal(data).changes
    assert change.part == "archive"
    assert "where a can be found" in change.what


def test_nothing_inflates() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.sha256", "0" * 64 + "\n")
        packed.writestr("manifest.json", "{" + " " * 5_000_000)
    assert unseal(file.getvalue()).changes


@pytest.mark.parametrize("data", [b"", b"PK", b"\0" * 500, b"GIF89a" + b"\0" * 500, b"#!/bin/sh\n" * 100])
def test_other_files_are_no_bundles(data: bytes) -> None:
    with pytest.raises(BundleError, match="no evidence bundle"):
        unseal(data)


def test_names_that_are_none_are_refused_on_writing() -> None:
    for name in ("../a", "/a", "A", "a//0", "manifest.json", "a b", ""):
        with pytest.raises(ValueError, match="no names"):
            seal({name: b""}, {})


def test_a_bundle_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST", 10)
    with pytest.raises(BundleError, match="over the limit"):
        seal({"a": bytes(11)}, {})
