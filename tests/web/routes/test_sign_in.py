"""Signing in and out: the cookie, where one is sent on to, and what is never told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_doubles import Place, client_of, placed
from starlette.testclient import TestClient

from kernelwright.db.access import Role
from kernelwright.web.access.policy import Policy
from kernelwright.web.routes.sign_in import _path

CLOSED = Policy(token=True)
OURS = {"Origin": "http://localhost"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as place:
        yield place


def browser(place: Place, policy: Policy = CLOSED) -> TestClient:
    client = client_of(place.app(policy))
    client.headers.update(OURS)
    return client


def test_signed_in_seen_signed_out(place: Place) -> None:
    client, token = browser(place), place.token(Role.READ, "ada")
    assert (
        client.get("/runs?limit=5&task=a%20b").headers["location"] == "/sign-in?next=/runs%3Flimit%3D5%26task%3Da%2520b"
    )
    form = client.get("/sign-in?next=/runs%3Flimit%3D5")
    assert 'name="next" value="/runs?limit=5"' in form.text
    done = client.post("/sign-in", data={"token": f" {token}\n", "next": "/runs?limit=5"})
    assert (done.status_code, done.headers["location"]) == (303, "/runs?limit=5")
    page = client.get("/runs")
    assert page.status_code == 200
    assert "Sign out ada" in page.text
    session = client.cookies["kernelwright"]
    out = client.post("/sign-out")
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert "kernelwright" not in client.cookies
    assert client.get("/runs").status_code == 303
    assert (
        client.get("/runs", headers={"Cookie": f"kernelwright={session}"}).status_code == 303
    )  # a copy is worth nothing
    assert client.get("/runs", headers={"Authorization": f"Bearer {token}"}).status_code == 200  # the token still is


def _cookie(answer) -> SimpleCookie:  # type: ignore[no-untyped-def]
    return SimpleCookie(answer.headers["set-cookie"])


def test_the_cookie_is_for_this_server_only(place: Place) -> None:
    token = place.token(Role.READ)
    (morsel,) = _cookie(browser(place).post("/sign-in", data={"token": token})).values()
    assert morsel.key == "kernelwright"
    assert morsel["httponly"]
    assert morsel["samesite"] == "strict"
    assert morsel["path"] == "/"
    assert morsel["domain"] == ""
    assert morsel["max-age"] == "43200"
    assert not morsel["secure"]
    assert morsel.value not in token
    assert token not in morsel.value


@pytest.mark.parametrize("way", ["proxy", "scheme"])
def test_over_https_the_cookie_is_secure_and_the_browser_told_to_stay(place: Place, way: str) -> None:
    token = place.token(Role.READ)
    policy = Policy(token=True, proxies=("10.0.0.1",) if way == "proxy" else ())
    client = TestClient(
        place.app(policy), base_url=f"{'http' if way == 'proxy' else 'https'}://localhost", headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False
    )  # fmt: skip
    answer = client.post("/sign-in", data={"token": token})
    (morsel,) = _cookie(answer).values()
    assert morsel.key == "__Host-kernelwright"
    assert morsel["secure"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert client.get("/runs", headers={"Cookie": f"{morsel.key}={morsel.value}"}).status_code == 200
    assert client.get("/runs", headers={"Cookie": f"kernelwright={morsel.value}"}).status_code == 303


def test_without_https_nothing_is_said_of_it(place: Place) -> None:
    assert "strict-transport-security" not in browser(place).get("/sign-in").headers


def test_a_session_ends_after_a_working_day(place: Place) -> None:
    client = browser(place)
    client.post("/sign-in", data={"token": place.token(Role.READ)})
    session = {"Cookie": f"kernelwright={client.cookies['kernelwright']}"}
    place.clock.pass_by(hours=11, minutes=59)
    assert client_of(client.app).get("/runs", headers=session).status_code == 200
    place.clock.pass_by(minutes=2)
    assert client_of(client.app).get("/runs", headers=session).status_code == 303


def test_signing_in_again_ends_the_session_before(place: Place) -> None:
    """And so no session that somebody planted is made one of the token (session fixation)."""
    client, token = browser(place), place.token(Role.READ)
    sessions = []
    for _ in range(2):
        client.post("/sign-in", data={"token": token})
        sessions.append(client.cookies["kernelwright"])
    assert sessions[0] != sessions[1]
    assert place.store.token_of_session(sessions[0]) is None


@pytest.mark.parametrize(
    "data", [{}, {"token": ""}, {"token": "kw_nonsense"}, {"token": "kw_0123456789abcdef_" + "A" * 43}]
)
def test_a_wrong_token_begins_no_session(place: Place, data: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="kernelwright"):
        answer = browser(place).post("/sign-in", data=data)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert data.get("token", "") == "" or data["token"] not in answer.text
    assert [record.getMessage() for record in caplog.records] == ["refused a sign-in from testclient: no valid token"]


def test_after_too_many_wrong_ones_the_right_one_waits_too(place: Place) -> None:
    client, token = browser(place), place.token(Role.READ)
    statuses = [client.post("/sign-in", data={"token": "x"}).status_code for _ in range(CLOSED.limits.sign_ins)]
    assert statuses == [401] * CLOSED.limits.sign_ins
    refused = client.post("/sign-in", data={"token": token})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1


ELSEWHERE = [
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "/\t/evil.example", "/\n/evil.example", "javascript:alert(1)",
    "/%0d%0aSet-Cookie:a=b", "/a\r\nSet-Cookie: a=b", "", "runs", "/a b", "/ä", "/\x00", "https:/evil.example", "/.//evil.example", "///evil.example", "/\u2028/x",
]  # fmt: skip


@pytest.mark.parametrize("path", ELSEWHERE)
def test_it_sends_nobody_elsewhere(place: Place, path: str) -> None:
    client, token = browser(place), place.token(Role.READ)
    assert "evil" not in client.get("/sign-in", params={"next": path}).text.replace("/.//evil.example", "")
    answer = client.post("/sign-in", data={"token": token, "next": path})
    assert answer.status_code == 303
    there = answer.headers["location"]
    assert urlsplit(there).netloc == ""
    assert there in {"/", "/%0d%0aSet-Cookie:a=b", "/.//evil.example"}  # both paths of this server
    assert len(answer.headers.get_list("set-cookie")) == 1


@given(st.text(max_size=30) | st.text(alphabet="/\\.:@%\t\r\nae", max_size=12))
def test_whatever_is_asked_for_is_a_path_here(text: str) -> None:
    """Read as browsers do: tabs and line ends are dropped, a backslash is a slash."""
    found = _path(text)
    seen = found.translate({9: None, 10: None, 13: None}).replace("\\", "/")
    assert seen == found
    assert seen.startswith("/")
    assert not seen.startswith("//")
    assert urlsplit(f"http://localhost{found}").netloc == "localhost"


def test_signing_in_does_not_lead_to_signing_in(place: Place) -> None:
    assert _path("/sign-in?next=/sign-in") == _path("/sign-out") == "/"


def test_the_page_may_only_be_sent_to_this_server(place: Place) -> None:
    page = browser(place).get("/sign-in")
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert "kernelwright=" not in page.headers.get("set-cookie", "")


def test_who_follows_a_link_to_here_goes_on_with_their_session(place: Place) -> None:
    client = browser(place)
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert '<a href="/runs?limit=5">Go on</a>' in client.get("/sign-in?next=/runs%3Flimit%3D5", headers=link).text
    assert "Go on" not in client.get("/sign-in?next=/runs%3Flimit%3D5").text
