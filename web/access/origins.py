"""Changes are taken from our own pages only: a stranger's page can have a visitor's browser send requests here.

The rule is that of Go's `net/http.CrossOriginProtection`: browsers say in Sec-Fetch-Site, or in Origin, whose page asks, and pages can't
forge either. It needs no hidden form fields. Reads are refused too where a stranger's page makes them for anything but a visit: their
answers are closed to it anyway (there is no CORS here), yet each would take one of the visitor's few streams and requests.
"""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["SAFE", "cross_origin"]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
_OURS = {"same-origin", "none"}  # "none": the address bar, a bookmark


def cross_origin(
    method: str, host: str, site: str | None, mode: str | None, origin: str | None, *, bearer: bool, session: bool
) -> str:
    """Why a request is refused; empty when it is not.

    Args:
        host: the request's Host.
        site: its Sec-Fetch-Site. None for this and the next two: there is no such header.
        mode: its Sec-Fetch-Mode.
        origin: its Origin.
        bearer: it has a bearer token, which no page can have a browser add.
        session: it has our cookie, which a browser adds by itself.
    """
    if method in SAFE:
        if site is not None and site not in _OURS and mode not in {None, "navigate"}:
            return "A page of another site asked for this."
        return ""
    if bearer and not session:
        return ""
    if site is not None:
        return "" if site in _OURS else "A page of another site sent this."
    if origin is not None:
        return "" if _place(origin) == host.lower() else "A page of another site sent this."
    if session:
        return "It does not say which page sent it, as every browser does."
    return ""  # no browser, and nothing that one would have added


def _place(origin: str) -> str | None:
    """Host and port of an origin, as a Host header has them: the scheme's own port is left out."""
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return None
    bare = parts.scheme in {"http", "https"} and not (
        parts.path or parts.query or parts.fragment or "@" in parts.netloc
    )
    return parts.netloc or None if bare else None
