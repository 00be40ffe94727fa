"""The file of an evidence bundle: a zip that exists in one form only, so that any changed byte shows.

A zip, because every machine has a program that shows what is in one. Its members are stored as they are (nothing inflates), carry no
date, and lie in one order: ``manifest.sha256``, ``manifest.json``, then the others by name. The manifest names the
SHA-256 and size of each, so it fixes the place of every byte in the file; reading never trusts what a zip header says,
and nothing is ever written to disk.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kernelwright.errors import BundleError
from kernelwright.verifier.exact_json import from_json, to_json

__all__ = ["FORMAT", "LARGEST", "VERSION", "Change", "Opened", "seal", "unseal"]

FORMAT = "kernelwright-bundle"
VERSION = 1
LARGEST = 512 << 20
"""Bytes of the largest bundle that is written or read; a task handed in with its weights may hold many."""

_SUM, _MANIFEST = "manifest.sha256", "manifest.json"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}(/[0-9]{1,6})?(\.[a-z0-9]{1,10})?")
_LARGEST_MANIFEST = 4 << 20  # bytes
_LOCAL = struct.Struct("<4s5H3L2H")  # APPNOTE.TXT 4.3.7
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_NEEDED = 10  # version 1.0: stored files
_MADE_BY = 3 << 8 | _NEEDED  # Unix
_RIGHTS = 0o100644 << 16
_DATE = 1 << 5 | 1  # 1 January 1980, the first day that a zip can name


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


@dataclass(frozen=True)
class _Part:
    """One member's place in the file."""

    name: str
    header: int
    """Offset of its local header."""
    start: int
    end: int


def seal(members: Mapping[str, bytes], about: Mapping[str, Any]) -> bytes:
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
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in members.items()}
    manifest = to_json({**about, "format": FORMAT, "version": VERSION, "members": listed}).encode()
    return _pack({_SUM: _digest_line(manifest), _MANIFEST: manifest, **dict(sorted(members.items()))})


def unseal(data: bytes) -> Opened:
    """What is in the file `data`, and what of it was changed.

    Raises:
        BundleError: it is no bundle, a part of one, or of a version that this program does not know.
    """
    head = _LOCAL.size + len(_SUM)
    if data[:4] != b"PK\3\4" and data[_LOCAL.size : head] != _SUM.encode():
        raise BundleError("this is no evidence bundle.", mend="Give a file that kernelwright verify --bundle wrote.")
    first = head + len(_digest_line(b""))
    start = first + _LOCAL.size + len(_MANIFEST)
    cut_off = data[-_END.size :][:4] != b"PK\5\6"
    size = int.from_bytes(data[first + 22 : first + 26], "little")
    if start + size > len(data) or size > _LARGEST_MANIFEST:
        if cut_off:
            raise _truncated(len(data))
        return _spoilt(_MANIFEST, "its size is not the one written.")
    manifest = data[start : start + size]
    digest = _digest_line(manifest)
    if data[head:first] != digest:
        if zlib.crc32(manifest) == int.from_bytes(data[first + 14 : first + 18], "little"):
            return _spoilt(_SUM, "it is not the sum of the manifest.")
        return _spoilt(_MANIFEST, "its SHA-256 is not the one written beside it.")
    about, sizes, hashes = _read_manifest(manifest)
    parts = list(_layout({_SUM: len(digest), _MANIFEST: size, **sizes}))
    names = [part.name for part in parts]
    length = parts[-1].end + sum(_CENTRAL.size + len(name) for name in names) + _END.size
    if len(data) < length and cut_off:
        raise _truncated(len(data), length)
    changes = list(_changes(data, parts, hashes, length))
    return Opened(
        digest=digest.decode().strip(),
        manifest=about,
        members={} if changes else {p.name: data[p.start : p.end] for p in parts[2:]},
        changes=tuple(changes),
    )


def _changes(data: bytes, parts: list[_Part], hashes: Mapping[str, str], length: int) -> Iterator[Change]:
    spoilt = False
    for part in parts:
        body = data[part.start : part.end]
        if part.name in hashes and hashlib.sha256(body).hexdigest() != hashes[part.name]:
            yield Change(part.name, "its SHA-256 is not the one in the manifest.")
            spoilt = True
        elif data[part.header : part.start] != _local(part.name, body):
            yield Change(part.name, "the header in front of it was changed.")
            spoilt = True
    if spoilt:
        return  # the directory repeats checksums
    if len(data) != length:
        yield Change("archive", f"the file has {len(data):,} bytes and was written with {length:,}.")
    elif data[parts[-1].end :] != _directory({p.name: (p.header, data[p.start : p.end]) for p in parts}, parts[-1].end):
        yield Change("archive", "the directory at the end of the file was changed.")


def _read_manifest(manifest: bytes) -> tuple[Mapping[str, Any], dict[str, int], dict[str, str]]:
    """The manifest, the members' sizes and their hashes.

    Raises:
        BundleError: the version is unknown, or it was never a manifest.
    """
    broken = BundleError("the bundle's manifest is malformed.", mend="Make the bundle again.")
    try:
        about = from_json(manifest.decode())
    except (ValueError, RecursionError) as error:
        raise broken from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
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
    sizes, hashes = {}, {}
    for name, entry in sorted(listed.items()):
        if not _NAME.fullmatch(name) or name in {_SUM, _MANIFEST}:
            raise BundleError(f"the bundle has a member with a name that none has: {name[:80]!r}.")
        size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        if type(size) is not int or not 0 <= size <= LARGEST or not isinstance(digest, str):
            raise broken
        sizes[name], hashes[name] = size, digest
    return about, sizes, hashes


def _spoilt(part: str, what: str) -> Opened:
    return Opened("", {}, {}, (Change(part, what),))


def _truncated(found: int, length: int | None = None) -> BundleError:
    of = "" if length is None else f" of {length:,}"
    return BundleError(f"this bundle is truncated: {found:,} bytes{of} are here.", mend="Copy the whole file.")


def _digest_line(manifest: bytes) -> bytes:
    return f"{hashlib.sha256(manifest).hexdigest()}\n".encode()


def _layout(sizes: Mapping[str, int]) -> Iterator[_Part]:
    at = 0
    for name, size in sizes.items():
        start = at + _LOCAL.size + len(name)
        yield _Part(name, at, start, start + size)
        at = start + size


def _pack(members: Mapping[str, bytes]) -> bytes:
    parts = list(_layout({name: len(data) for name, data in members.items()}))
    pieces = [piece for part in parts for piece in (_local(part.name, members[part.name]), members[part.name])]
    placed = {part.name: (part.header, members[part.name]) for part in parts}
    return b"".join([*pieces, _directory(placed, parts[-1].end)])


def _local(name: str, data: bytes) -> bytes:
    sizes = zlib.crc32(data), len(data), len(data)
    return _LOCAL.pack(b"PK\3\4", _NEEDED, 0, 0, 0, _DATE, *sizes, len(name), 0) + name.encode()


def _directory(placed: Mapping[str, tuple[int, bytes]], start: int) -> bytes:
    entries = b"".join(
        _CENTRAL.pack(
            b"PK\1\2", _MADE_BY, _NEEDED, 0, 0, 0, _DATE, zlib.crc32(data), len(data), len(data), len(name), 0, 0, 0, 0,
            _RIGHTS, header,
        ) + name.encode()
        for name, (header, data) in placed.items()
    )  # fmt: skip
    return entries + _END.pack(b"PK\5\6", 0, 0, len(placed), len(placed), len(entries), start, 0)
