"""The file of an evidence bundle: a zip that exists in one form only, so that any changed byte shows.

A zip, because every machine has a program that shows what is in one. Its members are stored as they are (nothing inflates), carry no
date, and lie in one order: ``manifest.sha256``, ``manifest.json``, then the others by name. The manifest names the
SHA-256 and size of each. Reading packs what was found anew: only the very same bytes are a bundle. Nothing is written to disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelwright.errors import BundleError
from kernelwright.verifier.exact_json import from_json, to_json

__all__ = ["BUNDLE", "FORMAT", "LARGEST", "VERSION", "Change", "Opened", "Sort", "seal", "unseal"]

FORMAT = "kernelwright-bundle"
VERSION = 1
LARGEST = 512 << 20
"""Bytes of the largest bundle that is written or read; a task handed in with its weights may hold many."""

_SUM, _MANIFEST = "manifest.sha256", "manifest.json"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}(/[0-9]{1,6})?(\.[a-z0-9]{1,10})?")
_LARGEST_MANIFEST = 4 << 20  # bytes
_END = b"PK\5\6" + bytes(18)  # the record that ends a zip, APPNOTE.TXT 4.3.16
_HEADER = struct.Struct("<8xHIIIIHH")
"""Of a member, 4.3.7: method, time and date, CRC-32, packed size, size, lengths of name and extra field."""
_NO_ENTRY = "the zip's directory or a header does not say where {} can be found."
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # that a zip can name
_RIGHTS = 0o100644 << 16
_UNREADABLE = (zipfile.BadZipFile, EOFError, KeyError, OverflowError, RuntimeError, ValueError, struct.error)


@dataclass(frozen=True)
class Sort:
    """What such a file is one of: bundles and the entries of a leaderboard have the same form and can't be taken for each other."""

    format: str
    noun: str
    maker: str
    """The command that writes it."""


BUNDLE = Sort(FORMAT, "evidence bundle", "kernelwright verify --bundle")


@dataclass(frozen=True)
class Change:
    """A part of a bundle that is not as it was written."""

    part: str
    """Name of a member, or `archive` for what lies between and behind them."""
    what: str
    """One sentence."""


@dataclass(frozen=True)
class Opened:
    """What a bundle's file holds. If anything changed, `members` is empty: nothing in it can be believed."""

    digest: str
    """SHA-256 of the manifest, 64 hex digits: it names the bundle with everything in it."""
    manifest: Mapping[str, Any]
    members: Mapping[str, bytes]
    changes: tuple[Change, ...]


def seal(members: Mapping[str, bytes], about: Mapping[str, Any], sort: Sort = BUNDLE) -> bytes:
    """The file.

    Args:
        members: by name, lower case letters, digits and underscores, one folder deep at most.
        about: what the manifest says besides.

    Raises:
        BundleError: it would be larger than `LARGEST`.
    """
    if bad := [name for name in members if not _NAME.fullmatch(name) or name in {_SUM, _MANIFEST}]:
        raise ValueError(f"no names for members: {bad}")
    total = sum(map(len, members.values()))
    if total > LARGEST:
        raise BundleError(
            f"the bundle would hold {total:,} bytes, over the limit of {LARGEST:,}.",
            mend="Make the task's weights or inputs in its file, rather than handing them in.",
        )
    listed = {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in members.items()}
    manifest = to_json({**about, "format": sort.format, "version": VERSION, "members": listed}).encode()
    return _pack({_SUM: _digest_line(manifest), _MANIFEST: manifest, **dict(sorted(members.items()))})


def unseal(data: bytes, sort: Sort = BUNDLE) -> Opened:
    """What is in the file `data`, and what of it was changed.

    Raises:
        BundleError: it is no bundle, a part of one, or of a version that this program does not know.
    """
    begin = data[: 30 + len(_SUM)]  # a header and its name, 4.3.7
    if begin[:4] != b"PK\3\4" and begin[30:] != _SUM.encode():
        raise BundleError(f"this is no {sort.noun}.", mend=f"Give a file that {sort.maker} wrote.")
    try:
        file = zipfile.ZipFile(io.BytesIO(data))
    except _UNREADABLE as error:
        alike = sum(mine == theirs for mine, theirs in zip(data[-len(_END) :], _END[:4], strict=False))
        if alike < 3:  # its end was not changed, it is not here
            raise BundleError(
                f"this bundle is truncated: {len(data):,} bytes of it are here.", mend="Copy the whole file."
            ) from error
        return _spoilt("archive", "the directory at the end of the file can't be read.")
    first, second = (_member(file, data, name) for name in (_SUM, _MANIFEST))
    if first is None or second is None:
        return _spoilt("archive", _NO_ENTRY.format(_SUM if first is None else _MANIFEST))
    digest, manifest = first.body, second.body
    if digest != _digest_line(manifest):
        if second.as_stored:
            return _spoilt(_SUM, "it is not the SHA-256 of the manifest.")
        return _spoilt(_MANIFEST, "its bytes are not those that were written.")
    about, hashes = _read_manifest(manifest, sort)
    members = {name: _member(file, data, name) for name in hashes}
    whole = {name: each.body for name, each in members.items() if each and _sha256(each.body) == hashes[name]}
    changes = [
        Change(name, "it is not what the manifest says was written.")
        for name, each in members.items()
        if each and name not in whole
    ]
    if lost := [name for name, each in members.items() if each is None]:
        changes.append(Change("archive", _NO_ENTRY.format(", ".join(lost)[:200])))
    if not changes and _pack({_SUM: digest, _MANIFEST: manifest, **whole}) != data:
        changes = [Change("archive", "what lies between, around or behind the members was changed.")]
    return Opened(digest.decode().strip(), about, {} if changes else whole, tuple(changes))


@dataclass(frozen=True)
class _Member:
    body: bytes
    as_stored: bool
    """Whether its checksum in the zip is that of its bytes."""


def _member(file: zipfile.ZipFile, data: bytes, name: str) -> _Member | None:
    """The member's bytes, right or not; None if the zip's directory and the header before it do not say where they lie: it is
    not there, the two contradict each other, it is not stored as it is, or is larger than any may be."""
    try:
        info = file.getinfo(name)
        file.open(info).close()  # reads the header, not the member
        method, _date, crc, packed, size, name_length, extra_length = _HEADER.unpack_from(data, info.header_offset)
    except _UNREADABLE:
        return None
    said = (zipfile.ZIP_STORED, info.CRC, info.file_size, info.file_size, 0)
    if (method, crc, packed, size, extra_length) != said or (info.compress_type, info.compress_size) != (
        method,
        packed,
    ):
        return None
    start = info.header_offset + _HEADER.size + name_length
    body = data[start : start + size]
    if len(body) < size or size > (_LARGEST_MANIFEST if name == _MANIFEST else LARGEST):
        return None
    return _Member(body, zlib.crc32(body) == crc)


def _read_manifest(manifest: bytes, sort: Sort) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The manifest, and the members' hashes in the order in which they lie.

    Raises:
        BundleError: the version is unknown, or it was never a manifest.
    """
    broken = BundleError("the bundle's manifest is malformed.", mend="Make the bundle again.")
    try:
        about = from_json(manifest.decode())
    except (ValueError, RecursionError) as error:
        raise broken from error
    if not isinstance(about, dict) or about.get("format") != sort.format:
        raise broken
    version = about.get("version")
    if version != VERSION:
        maker = about.get("kernelwright")
        raise BundleError(
            f"this bundle has version {json.dumps(version)[:40]}; this program knows version {VERSION}.",
            mend=f"It was made by kernelwright {maker[:40]}: use that one." if isinstance(maker, str) else "",
        )
    listed = about.get("members")
    if not isinstance(listed, dict):
        raise broken
    hashes = {}
    for name, entry in sorted(listed.items()):
        if not _NAME.fullmatch(name) or name in {_SUM, _MANIFEST}:
            raise BundleError(f"the bundle has a member with a name that none has: {name[:80]!r}.")
        size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        if type(size) is not int or not 0 <= size <= LARGEST or not isinstance(digest, str):
            raise broken
        hashes[name] = digest
    return about, hashes


def _spoilt(part: str, what: str) -> Opened:
    return Opened("", {}, {}, (Change(part, what),))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_line(manifest: bytes) -> bytes:
    return f"{_sha256(manifest)}\n".encode()


def _pack(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _FIRST_DAY)
            info.create_system, info.external_attr = 3, _RIGHTS  # Unix, on every machine
            file.writestr(info, data)
    return packed.getvalue()
