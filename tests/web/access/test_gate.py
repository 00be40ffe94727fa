"""Who passes the gate: every role against every kind of request, whatever the way it is known by."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from search_doubles import run
from server_doubles import Place, client_of, placed
from starlette.routing import Route
from starlette.testclient import TestClient

from kernelwright.db.access import Role
from kernelwright.rl.run import RunStatus
from kernelwright.web.access.identity import Who, needs
from kernelwright.web.access.policy import Limits, Policy
from kernelwright.web.routes import NOUNS

OURS = {"Origin": "http://localhost"}
CLOSED = Policy(token=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as place:
        yield place


def with_routes(place: Place, policy: Policy | None = None) -> FastAPI:
    """The application with a route for each role, and one whose author forgot to ask for any."""
    app = place.app(policy)

    @app.get("/api/v1/who")
    def who(who: Who) -> dict[str, str]:
        return {"name": who.name, "role": who.role or "", "how": who.how}

    for role in Role:
        app.get(f"/api/v1/needs-{role}", dependencies=[needs(role)])(lambda: "done")
        app.post(f"/api/v1/needs-{role}", dependencies=[needs(role)])(lambda: "done")
    app.post("/api/v1/forgotten")(lambda: "done")
    app.delete("/api/v1/forgotten")(lambda: "done")
    return app


def signed_in(app: FastAPI, token: str) -> TestClient:
    browser = client_of(app)
    browser.headers.update(OURS)
    assert browser.post("/sign-in", data={"token": token}).status_code == 303
    return browser


@pytest.mark.parametrize("by_session", [False, True])
@pytest.mark.parametrize("role", Role)
def test_roles_reach_as_far_as_they_say(place: Place, role: Role, by_session: bool) -> None:
    app, token = with_routes(place, CLOSED), place.token(role)
    client = signed_in(app, token) if by_session else client_of(app, token=token)
    assert client.get("/api/v1/who").json() == {"name": role, "role": role, "how": "session" if by_session else "token"}
    for needed in Role:
        reads = client.get(f"/api/v1/needs-{needed}")
        changes = client.post(f"/api/v1/needs-{needed}")
        assert reads.status_code == (200 if role.covers(needed) else 403)
        assert changes.status_code == (200 if role.covers(needed) and role.covers(Role.SUBMIT) else 403)
    assert client.post("/api/v1/forgotten").status_code == (200 if role.covers(Role.SUBMIT) else 403)
    assert client.delete("/api/v1/forgotten").status_code == (200 if role.covers(Role.SUBMIT) else 403)
    assert client.get("/metrics").status_code == (200 if role is Role.ADMIN else 403)


def test_nothing_is_seen_without_a_token(place: Place) -> None:
    """Every route that there is, but for those that are open to all on purpose."""
    app = with_routes(place, Policy(token=True, limits=Limits(reads=0, writes=0)))
    client = client_of(app)
    pages = {route.path for noun in NOUNS for route in noun.pages.routes if isinstance(route, Route)}
    paths = {*app.openapi()["paths"], *pages, "/", "/api/v1/docs", "/api/v1/openapi.json", "/nope"}
    assert "/runs" in paths
    for path in sorted(paths - {"/healthz", "/readyz"}):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
            answer = client.request(method, path.replace("{", "").replace("}", ""))
            page = method in {"GET", "HEAD"} and not path.startswith(("/api", "/metrics"))
            assert answer.status_code == (303 if page else 401), (method, path)
            if page:
                assert answer.headers["location"].startswith("/sign-in?next=/")
            else:
                assert answer.headers["www-authenticate"] == 'Bearer realm="kernelwright"'
    for path in ("/healthz", "/readyz", "/sign-in", "/static/style.css"):
        assert client.get(path).status_code == 200


def test_this_machine_is_open_until_there_is_a_token(place: Place) -> None:
    client = client_of(with_routes(place))
    assert client.get("/api/v1/who").json() == {"name": "", "role": "admin", "how": "local"}
    assert client.post("/api/v1/needs-admin").status_code == 200
    token = place.token(Role.READ)
    assert client.get("/api/v1/who").status_code == 401
    assert client.get("/api/v1/who", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    place.store.revoke_token("read")  # does not open it again
    assert client.get("/api/v1/who").status_code == 401


def test_open_means_open(place: Place) -> None:
    place.token(Role.READ)
    assert client_of(with_routes(place, Policy(token=False))).get("/api/v1/who").json()["role"] == "admin"


def test_another_machine_is_no_local_one(place: Place) -> None:
    app = with_routes(place)
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 401), ("2001:db8::1", 401)):
        client = TestClient(app, base_url="http://localhost", client=(address, 4000))
        assert client.get("/api/v1/who").status_code == status


@pytest.mark.parametrize("by_session", [False, True])
def test_revoking_takes_effect_at_once(place: Place, by_session: bool) -> None:
    app, token = with_routes(place, CLOSED), place.token(Role.ADMIN)
    client = signed_in(app, token) if by_session else client_of(app, token=token)
    assert client.get("/api/v1/who").status_code == 200
    place.store.revoke_token("admin")
    assert client.get("/api/v1/who").status_code == 401


@pytest.mark.parametrize("by_session", [False, True])
def test_an_expired_token_opens_nothing(place: Place, by_session: bool) -> None:
    app, token = with_routes(place, CLOSED), place.token(Role.ADMIN, days=0.25)
    client = signed_in(app, token) if by_session else client_of(app, token=token)
    place.clock.pass_by(hours=5)
    assert client.get("/api/v1/who").status_code == 200
    place.clock.pass_by(hours=2)
    assert client.get("/api/v1/who").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer kw_0123456789abcdef_" + "A" * 43)],
        [("Authorization", "Basic YWRtaW46YWRtaW4=")],
        [("Authorization", "Bearer {token}"), ("Authorization", "Bearer {token}")],
        [("Authorization", "Bearer {token} {token}")],
        [("Cookie", "kernelwright={token}")],  # a token is no session
        [("X-Api-Key", "{token}")],
    ],
)
def test_credentials_that_are_none(place: Place, headers: list[tuple[str, str]]) -> None:
    client, token = client_of(with_routes(place, CLOSED)), place.token(Role.ADMIN)
    sent = [(name, value.replace("{token}", token)) for name, value in headers]
    assert client.get("/api/v1/who", headers=sent).status_code == 401
    assert client.get(f"/api/v1/who?token={token}&access_token={token}").status_code == 401


def test_two_cookies_of_one_name_open_nothing(place: Place) -> None:
    """Another server of this machine can plant a cookie: cookies know no port."""
    app, token = with_routes(place, CLOSED), place.token(Role.ADMIN)
    session = signed_in(app, token).cookies["kernelwright"]
    client = client_of(app)
    assert client.get("/api/v1/who", headers={"Cookie": f"a=b; kernelwright={session}"}).status_code == 200
    for planted in (f"kernelwright=x; kernelwright={session}", f"kernelwright={session}; kernelwright={session}"):
        assert client.get("/api/v1/who", headers={"Cookie": planted}).status_code == 401


def test_tokens_that_are_wrong_are_counted_and_right_ones_pass(place: Place) -> None:
    app, token = with_routes(place, CLOSED), place.token(Role.READ)
    wrong = client_of(app, token="kw_0123456789abcdef_" + "A" * 43)
    statuses = [wrong.get("/api/v1/who").status_code for _ in range(CLOSED.limits.sign_ins + 2)]
    assert statuses == [401] * CLOSED.limits.sign_ins + [429] * 2
    assert client_of(app, token=token).get("/api/v1/who").status_code == 200


def test_refusals_are_logged_with_the_tokens_name(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    client = client_of(with_routes(place, CLOSED), token=place.token(Role.READ, "ada"))
    with caplog.at_level(logging.WARNING, logger="kernelwright"):
        assert client.get("/api/v1/needs-admin").status_code == 403
        assert client.post("/api/v1/forgotten").status_code == 403
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "refused GET /api/v1/needs-admin: 'ada' has the role read, not admin",
        "refused POST: 'ada' has the role read, not submit",
    ]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "0.0.0.0", "localhost:99999999", "localhost/x", "localhost@evil.example", "", "ⅼocalhost", "localhost%00"],
)  # fmt: skip
def test_other_hosts_are_refused(place: Place, host: str) -> None:
    client = client_of(with_routes(place))
    answer = client.get("/api/v1/who", headers={"Host": host.encode()})
    assert answer.status_code == 421
    assert "--allow-host" in answer.json()["error"]["mend"]
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8930", "127.0.0.1:80", "[::1]:8930", "x.localhost", "localhost."]
)
def test_own_hosts_are_answered(place: Place, host: str) -> None:
    assert client_of(with_routes(place)).get("/api/v1/who", headers={"Host": host}).status_code == 200


def test_two_hosts_are_refused(place: Place) -> None:
    client = client_of(with_routes(place))
    assert client.get("/api/v1/who", headers=[("Host", "localhost"), ("Host", "evil.example")]).status_code == 421


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_an_open_server_behind_a_proxy_that_it_does_not_know_is_closed(place: Place, name: str) -> None:
    client = client_of(with_routes(place))
    answer = client.get("/api/v1/who", headers={name: "192.0.2.7"})
    assert answer.status_code == 403
    assert "--proxy" in answer.json()["error"]["mend"]


def test_another_sites_page_changes_nothing(place: Place) -> None:
    app, token = with_routes(place), place.token(Role.ADMIN)
    browser = signed_in(app, token)
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://localhost:3000"}):  # fmt: skip
        assert browser.post("/api/v1/needs-submit", headers=headers).status_code == 403
        assert browser.post("/sign-out", headers=headers).status_code == 403
        assert client_of(app).post("/sign-in", data={"token": token}, headers=headers).status_code == 403
    del browser.headers["Origin"]
    assert browser.post("/api/v1/needs-submit").status_code == 403
    assert browser.post("/api/v1/needs-submit", headers=OURS).status_code == 200


def test_methods_can_not_be_disguised(place: Place) -> None:
    client = client_of(with_routes(place, CLOSED), token=place.token(Role.READ))
    override = {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE", "X-Method-Override": "DELETE"}
    assert client.get("/api/v1/forgotten?_method=DELETE", headers=override).status_code == 405
    assert client.post("/api/v1/forgotten", data={"_method": "DELETE"}, headers=override).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/../runs",
        "/static/%2e%2e/runs",
        "/static//../../api/v1/who",
        "//runs",
        "/healthz/../runs",
        "/sign-in/",
        "/sign-in/x",
        "/HEALTHZ",
        "/static",
        "/healthz%00",
    ],
)
def test_open_paths_open_nothing_else(place: Place, path: str) -> None:
    answer = client_of(with_routes(place, CLOSED)).get(path)
    assert answer.status_code in {303, 401, 404, 422}


def test_a_database_that_can_not_be_read_opens_nothing(place: Place) -> None:
    client = client_of(with_routes(place, CLOSED), token=place.token(Role.ADMIN))
    with place.store._writing() as session:
        session.connection().exec_driver_sql("DROP TABLE access_sessions")
        session.connection().exec_driver_sql("DROP TABLE access_tokens")
    assert client.get("/api/v1/who").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_runs_of_others(place: Place) -> None:
    from kernelwright.web.access.identity import LOCAL, NOBODY, How, Identity

    ada = Identity("ada", Role.SUBMIT, How.TOKEN)
    assert [ada.may_change(owner) for owner in ("ada", "bob", None, "")] == [True, False, False, False]
    assert not Identity("ada", Role.READ, How.TOKEN).may_change("ada")
    assert all(Identity("root", Role.ADMIN, How.TOKEN).may_change(owner) for owner in ("ada", None))
    assert LOCAL.may_change(None)
    assert not NOBODY.may_change("")
    assert not NOBODY.may_change(None)


def test_each_cancels_and_resumes_their_own(place: Place) -> None:
    """By the pages' buttons and by the API alike; buttons are shown to who may press them."""
    app = place.app(CLOSED)
    place.token(Role.READ, "reader")
    clients = {
        name: client_of(app, token=place.token(role, name))
        for name, role in (("ada", Role.SUBMIT), ("bob", Role.SUBMIT), ("root", Role.ADMIN))
    }
    for number, owner in ((1, "ada"), (2, None)):
        place.store.create_run(run(f"softmax-{number}"))
        place.store.set_status(f"softmax-{number}", RunStatus.INTERRUPTED)
        if owner:
            place.store.own_run(f"softmax-{number}", owner)
    may = {(name, number) for name in clients for number in (1, 2) if name == "root" or (name, number) == ("ada", 1)}
    for name, client in clients.items():
        for number in (1, 2):
            allowed = (name, number) in may
            assert ("Go on with it" in client.get(f"/runs/softmax-{number}").text) == allowed
            for action in ("resume", "cancel"):
                for before in ("/api/v1", ""):
                    status = client.post(f"{before}/runs/softmax-{number}/{action}").status_code
                    assert (status < 400) == allowed, (name, number, action)
                    assert allowed or status == 403
                place.queue.cancel(f"softmax-{number}")
                place.store.set_status(f"softmax-{number}", RunStatus.INTERRUPTED)


def test_what_is_submitted_is_owned(place: Place) -> None:
    token = place.token(Role.SUBMIT, "ada")
    source = (Path(__file__).parents[3] / "examples" / "softmax.py").read_text()
    done = client_of(place.app(CLOSED), token=token).post("/api/v1/runs", json={"source": source, "rounds": 1})
    assert done.status_code == 201
    assert place.store.owner_of_run(done.json()["id"]) == "ada"


def test_readers_see_no_way_to_submit(place: Place) -> None:
    app = place.app(CLOSED)
    for role in Role:
        page = client_of(app, token=place.token(role)).get("/")
        assert ('href="/submit"' in page.text) == role.covers(Role.SUBMIT)
