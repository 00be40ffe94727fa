"""Whose page asks: every combination of what a browser says, beside the decision table of Go's CrossOriginProtection."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.web.access.origins import SAFE, cross_origin

HOST = "kernels.example:8930"
SITES = (None, "same-origin", "same-site", "cross-site", "none", "", "nonsense")
ORIGINS = (
    None,
    "http://kernels.example:8930",
    "https://kernels.example:8930",
    "http://kernels.example",
    "http://kernels.example:8931",
    "https://evil.example",
    "https://kernels.example:8930.evil.example",
    "https://evil.example/kernels.example:8930",
    "http://user@kernels.example:8930",
    "null",
    "",
    "http://[",
)
OURS = {"http://kernels.example:8930", "https://kernels.example:8930"}


def go(method: str, host: str, site: str | None, origin: str | None) -> bool:
    """`CrossOriginProtection.Check` of Go 1.25, by its documentation: whether the request passes.

    "Requests without Sec-Fetch-Site or Origin headers are currently assumed to be either same-origin or non-browser requests, and are
    allowed"; "The GET, HEAD, and OPTIONS methods are safe methods and are always allowed".
    """
    if method in {"GET", "HEAD", "OPTIONS"}:
        return True
    if site:
        return site in {"same-origin", "none"}
    if not origin:
        return True
    return origin.partition("://")[2] == host


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get", "QUERY"]
)
def test_changes_pass_where_gos_rule_lets_them(method: str) -> None:
    for site, origin in product(SITES, ORIGINS):
        ours = not cross_origin(method, HOST, site, None, origin, bearer=False, session=False)
        theirs = go(method, HOST, site, origin)
        odd = site == "" or origin == ""  # a browser sends no empty ones: we refuse, Go ignores them
        assert ours == theirs or (odd and theirs and method not in SAFE), (site, origin)


def test_a_session_must_say_which_page_it_is() -> None:
    for site, origin in product(SITES, ORIGINS):
        passes = not cross_origin("POST", HOST, site, None, origin, bearer=False, session=True)
        assert passes == (site in {"same-origin", "none"} or (site is None and origin in OURS)), (site, origin)


def test_a_bearer_token_alone_passes_whatever_is_said() -> None:
    for site, origin in product(SITES, ORIGINS):
        assert not cross_origin("POST", HOST, site, "cors", origin, bearer=True, session=False)


def test_a_bearer_token_does_not_help_who_has_a_cookie() -> None:
    assert cross_origin("POST", HOST, "cross-site", None, None, bearer=True, session=True)
    assert cross_origin("POST", HOST, None, None, "https://evil.example", bearer=True, session=True)


@pytest.mark.parametrize(
    ("site", "mode", "passes"),
    [
        ("cross-site", "navigate", True),  # a link
        ("same-site", "navigate", True),
        ("cross-site", "no-cors", False),  # an image, a script
        ("cross-site", "cors", False),  # fetch, an event stream
        ("same-site", "cors", False),  # another port of this machine
        ("cross-site", "websocket", False),
        ("same-origin", "cors", True),
        ("none", "navigate", True),
        (None, None, True),
        ("cross-site", None, True),  # no browser says so
    ],
)
def test_reads_for_another_sites_page(site: str | None, mode: str | None, passes: bool) -> None:
    for method in SAFE:
        assert (not cross_origin(method, HOST, site, mode, None, bearer=False, session=True)) == passes


@given(st.text(max_size=60))
def test_no_other_origin_is_ours(origin: str) -> None:
    if origin.lower() not in OURS:
        assert cross_origin("POST", HOST, None, None, origin, bearer=False, session=False)
