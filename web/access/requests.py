"""What a request says of who makes it, read from its raw headers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from starlette.types import Scope

__all__ = ["BEARER", "bearer_of", "client_of", "cookie_name", "cookie_of", "header", "headers_of", "host_of", "is_secure", "network_of"]  # fmt: skip

BEARER = "bearer "
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_-][a-z0-9._-]{0,252})(:[0-9]{1,5})?")
_COOKIE = "kernelwright"


def headers_of(scope: Scope, name: str) -> list[str]:
    """Every value of a header, as it stands."""
    wanted = name.lower().encode()
    pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1") for key, value in pairs if key.lower() == wanted]


def header(scope: Scope, name: str) -> str | None:
    """The value of a header; None when it is not there. Several ones are joined by commas, as HTTP says."""
    found = headers_of(scope, name)
    return ", ".join(found) if found else None


def bearer_of(scope: Scope) -> str | None:
    """The bearer token that is sent along; the empty string when there are several or another kind of credential."""
    found = headers_of(scope, "authorization")
    if not found:
        return None
    one = len(found) == 1 and found[0][: len(BEARER)].lower() == BEARER
    return found[0][len(BEARER) :].strip() if one else ""


def host_of(scope: Scope) -> tuple[str, str] | None:
    """The one Host of a request, in lower case: its name, and the whole with the port. None where there is none, several, or an odd one."""
    found = headers_of(scope, "host")
    match = _HOST.fullmatch(found[0].lower()) if len(found) == 1 else None
    return None if match is None else (match[1].removesuffix("."), match[0])


def is_secure(scope: Scope, proxies: Iterable[str] = ()) -> bool:
    """Whether the browser speaks HTTPS: by the scheme, which a trusted proxy tells; a proxy that is stated is taken to do so."""
    return scope.get("scheme") == "https" or bool(tuple(proxies))


def cookie_name(secure: bool) -> str:
    """The session's cookie. The prefix has browsers refuse one that came without HTTPS or from another host's page."""
    return f"__Host-{_COOKIE}" if secure else _COOKIE


def cookie_of(scope: Scope, secure: bool) -> str | None:
    """The session's credential; the empty string when there are several, as somebody has planted one then."""
    name = cookie_name(secure)
    found = [
        value.strip()
        for line in headers_of(scope, "cookie")
        for key, _, value in (pair.partition("=") for pair in line.split(";"))
        if key.strip() == name
    ]
    return None if not found else found[0] if len(found) == 1 else ""


def client_of(scope: Scope) -> str:
    """The client's address, as `uvicorn` tells it: the peer, or what a trusted proxy says."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def network_of(client: str) -> str:
    """What counts as one client: an IPv4 address, the first 64 bits of an IPv6 address."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
