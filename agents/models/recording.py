"""Keeping exchanges with a server of models as files, without secrets, and answering from them instead of the server.

One exchange is one file, ``SERVER-HASH-NNN.json``: the hash is of the request's body, NNN says which time that same body was
sent. A replayed run that asks the same gets the same, byte for byte, broken streams and refusals with it. A prompt may differ
a little from one run to the next, because it quotes values that a kernel got wrong on secret inputs: then the answer is that
of the same model at the same place of the recorded run (see `protocol.Place`). One that has no such place is an error.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from kernelwright.agents.models.failures import without
from kernelwright.agents.models.provider import ASKED
from kernelwright.agents.models.transport import Wrap
from kernelwright.errors import ConfigError

__all__ = ["FORMAT", "Tape"]

FORMAT = 2
"""Version of the files."""

_KEPT_HEADERS = ("content-type", "content-encoding", "request-id", "x-request-id", "retry-after", "retry-after-ms")
"""Of a response. All others (cookies, the account's name and limits) are left out, and of a request's none is kept."""

_BREAKS: dict[str, type[httpx2.TransportError]] = {
    kind.__name__: kind
    for kind in (
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.ReadError,
        httpx2.ReadTimeout,
        httpx2.RemoteProtocolError,
        httpx2.WriteError,
        httpx2.WriteTimeout,
    )
}


class Tape:
    """A folder of exchanges, recorded or replayed; several clients and threads may share one.

    Raises:
        ConfigError: the folder can't be made, or there is nothing to replay in it.
    """

    def __init__(self, folder: Path, *, replay: bool) -> None:
        self._folder = folder
        self._replay = replay
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._places: dict[str, list[str]] = {}
        if replay:
            self._places = self._found()
            if not any(folder.glob("*.json")):
                raise ConfigError(
                    "there is no recorded exchange here.", mend="Name a folder that --record made.", path=str(folder)
                )
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the folder can't be made: {error.strerror}.", path=str(folder)) from None

    def wrap(self, server: str, secrets: Sequence[str]) -> Wrap:
        """What a client of `server` puts around its transport."""
        place = re.sub(r"\W+", "-", server.partition("://")[2] or server)[:40].strip("-")

        def around(inner: httpx2.BaseTransport) -> httpx2.BaseTransport:
            return _Replayed(self, inner, place, secrets) if self._replay else _Recorded(self, inner, place, secrets)

        return around

    def keep(self, key: str, exchange: dict[str, Any]) -> None:
        """Writes one exchange under the first number that is free.

        Raises:
            ConfigError: the file can't be written.
        """
        try:
            with self._lock:
                number = 1
                while self._path(key, number).exists():
                    number += 1
                exchange["order"] = sum(1 for _ in self._folder.glob("*.json"))
                text = json.dumps(exchange, indent=1, ensure_ascii=False) + "\n"
                with self._path(key, number).open("x", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text)
        except OSError as error:
            raise ConfigError(f"the exchange can't be kept: {error.strerror}.", path=str(self._folder)) from None

    def next(self, key: str, place: str) -> dict[str, Any]:
        """The exchange that comes next for this request: one with this very body at this place of the run, else the next one
        at this place, else one with this very body. Equal requests of a batch come in the order of its threads, which is
        another one each time, and a run that is gone on with asks for the later places only.

        Raises:
            ConfigError: it was not recorded, or its file can't be read.
        """
        with self._lock:
            like = [path for path in self._like(key) if path.name not in self._used]
            here = [name for name in self._places.get(place, ()) if name not in self._used]
            both = [path for path in like if path.name in here]
            path = next(iter((*both, *(self._folder / name for name in here), *like)), None)
            if path is not None:
                self._used.add(path.name)
        if path is None:
            raise ConfigError(
                f"the recording holds no answer to this request ({key}, at {place or 'no place'}): the run asks something "
                "else than when it was recorded, or more often.",
                mend="Replay it with the settings, the version and the budget it was recorded with, or record it again.",
                path=str(self._folder),
            )
        return _read(path)

    def _like(self, key: str) -> Iterator[Path]:
        """The files of one body, in the order they were recorded in."""
        number = 1
        while (path := self._path(key, number)).exists():
            yield path
            number += 1

    def _found(self) -> dict[str, list[str]]:
        """Names of all files by their places, those of a place in the order they were recorded in."""
        found: dict[str, list[tuple[int, str]]] = {}
        for path in self._folder.glob("*.json"):
            with suppress(ConfigError, KeyError, TypeError, ValueError):  # a damaged file is named when it is asked for
                exchange = _read(path)
                found.setdefault(str(exchange["place"]), []).append((int(exchange["order"]), path.name))
        return {place: [name for _, name in sorted(files)] for place, files in found.items()}

    def _path(self, key: str, number: int) -> Path:
        return self._folder / f"{key}-{number:03}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        exchange = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"this is no recorded exchange: {error}.", path=str(path)) from None
    if not isinstance(exchange, dict) or exchange.get("format") != FORMAT:
        raise ConfigError(
            "this is no recorded exchange, or one of another version.", mend="Record it again.", path=str(path)
        )
    return exchange


def _place(server: str, body: str) -> str:
    """Server, model and place in the run of the request that this thread is sending."""
    try:
        model = str(json.loads(body)["model"])
    except (ValueError, KeyError, TypeError):
        model = ""
    return f"{server} {model} {ASKED.get()}"


def _key(place: str, request: httpx2.Request, secrets: Sequence[str]) -> tuple[str, str]:
    """Name of the exchange, and the request's body without secrets."""
    body = without(request.read().decode("utf-8", "replace"), secrets)
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n{body}".encode("utf-8", "replace")).hexdigest()
    return f"{place}-{digest[:12]}", body


class _Recorded(httpx2.BaseTransport):
    def __init__(self, tape: Tape, inner: httpx2.BaseTransport, place: str, secrets: Sequence[str]) -> None:
        self._tape = tape
        self._inner = inner
        self._place = place
        self._secrets = secrets

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        key, body = _key(self._place, request, self._secrets)
        exchange: dict[str, Any] = {
            "format": FORMAT,
            "place": _place(self._place, body),
            "request": {"method": request.method, "path": request.url.path, "body": _json_or_text(body)},
        }
        request.headers["accept-encoding"] = "identity"  # a recording is to be read
        try:
            response = self._inner.handle_request(request)
        except httpx2.TransportError as error:
            self._tape.keep(key, exchange | {"broken": _break(error, self._secrets)})
            raise
        headers = {
            name: without(response.headers[name], self._secrets) for name in _KEPT_HEADERS if name in response.headers
        }
        exchange["response"] = {"status": response.status_code, "headers": headers}
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Kept(self._tape, response.stream, key, exchange, self._secrets)
        return response

    def close(self) -> None:
        self._inner.close()


class _Kept(httpx2.SyncByteStream):
    """Hands a body on and writes the exchange when it has ended, broken or closed."""

    def __init__(
        self, tape: Tape, inner: httpx2.SyncByteStream, key: str, exchange: dict[str, Any], secrets: Sequence[str]
    ) -> None:
        self._tape = tape
        self._inner = inner
        self._key = key
        self._exchange = exchange
        self._secrets = secrets
        self._received = bytearray()
        self._written = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._inner:
                self._received += chunk
                yield chunk
        except httpx2.TransportError as error:
            self._exchange["broken"] = _break(error, self._secrets)
            raise
        finally:
            self._write()

    def close(self) -> None:
        self._inner.close()
        self._write()

    def _write(self) -> None:
        if self._written:
            return
        self._written = True
        try:
            body = {"body": without(bytes(self._received).decode("utf-8"), self._secrets)}
        except UnicodeDecodeError:
            body = {"base64": base64.b64encode(_without(bytes(self._received), self._secrets)).decode("ascii")}
        self._exchange["response"] |= body
        self._tape.keep(self._key, self._exchange)


class _Replayed(httpx2.BaseTransport):
    def __init__(self, tape: Tape, inner: httpx2.BaseTransport, place: str, secrets: Sequence[str]) -> None:
        self._tape = tape
        self._inner = inner
        self._place = place
        self._secrets = secrets

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        key, asked = _key(self._place, request, self._secrets)
        exchange = self._tape.next(key, _place(self._place, asked))
        response = exchange.get("response")
        if not isinstance(response, dict):
            raise _broken(exchange.get("broken"), request)
        try:
            headers = [(str(name), str(value)) for name, value in dict(response.get("headers", {})).items()]
            body = (
                base64.b64decode(response["base64"]) if "base64" in response else str(response["body"]).encode("utf-8")
            )
            status = int(response["status"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"the recorded exchange {key} can't be used: {error!r}.") from None
        cut = _broken(exchange["broken"], request) if exchange.get("broken") else None
        return httpx2.Response(status, headers=headers, stream=_Played(body, cut))

    def close(self) -> None:
        self._inner.close()


class _Played(httpx2.SyncByteStream):
    def __init__(self, body: bytes, cut: httpx2.TransportError | None) -> None:
        self._body = body
        self._cut = cut

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        if self._cut is not None:
            raise self._cut


def _break(error: httpx2.TransportError, secrets: Sequence[str]) -> dict[str, str]:
    kind = next((name for name, known in _BREAKS.items() if isinstance(error, known)), "ReadError")
    return {"kind": kind, "message": without(str(error), secrets)}


def _broken(given: object, request: httpx2.Request) -> httpx2.TransportError:
    how = given if isinstance(given, dict) else {}
    kind = _BREAKS.get(str(how.get("kind")), httpx2.ReadError)
    return kind(str(how.get("message", "as recorded")), request=request)


def _json_or_text(body: str) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _without(data: bytes, secrets: Sequence[str]) -> bytes:
    for secret in secrets:
        if secret:
            data = data.replace(secret.encode(), b"[key]")
    return data
