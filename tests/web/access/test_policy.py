"""How openly a server may begin, and the names that it answers to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server_doubles import Place, placed

from kernelwright.db.access import Role
from kernelwright.errors import ConfigError
from kernelwright.web.access.policy import Limits, Policy, is_loopback, policy_for


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as place:
        yield place


def decide(place: Place, host: str, **changes: object) -> Policy:
    given = {"names": (), "proxies": (), "token": None, "limits": Limits()} | changes
    return policy_for(place.store, host, **given)  # type: ignore[arg-type]


def test_the_limits_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "serving.md").read_text()
    limits = Limits()
    for row in (
        f"| requests of a client in a minute | {limits.reads} (`--rate`) |",
        f"| of these, those that change something | {limits.writes} |",
        f"| wrong tokens of a client in a minute | {limits.sign_ins} |",
        f"| a request's body, announced or counted as it comes | {limits.body_bytes >> 20} MiB |",
        f"| a request's line and headers | {limits.head_bytes >> 10} KiB",
        f"| open event streams of a client, in all | {limits.streams}, {limits.streams_in_all} |",
        f"| open connections of an address, in all | {limits.connections}, {limits.connections_in_all} |",
        f"| time until a request's headers are there | {limits.head_seconds:.0f} s |",
        f"| pause in a body, or in reading an answer | {limits.pause_seconds:.0f} s |",
        f"| time for a whole body | {limits.body_seconds:.0f} s |",
    ):
        assert row in page


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost", "[::1]"])
def test_this_machine_only(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.4", "kernels.example", "", "127.0.0.1.evil.example", "::ffff:127.0.0.1", "2130706433", "127.1"]
)  # fmt: skip
def test_everything_else_counts_as_others(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "changes"),
    [
        ("0.0.0.0", {}),
        ("::", {}),
        ("127.0.0.1", {"token": True}),
        ("127.0.0.1", {"names": ("kernels.example",)}),
        ("127.0.0.1", {"proxies": ("127.0.0.1",)}),
    ],
)
def test_others_need_tokens_before_it_begins(place: Place, host: str, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"no token that is valid.*kernelwright token create NAME --role admin"):
        decide(place, host, **changes)
    place.token(Role.READ, "gone")
    place.store.revoke_token("gone")
    with pytest.raises(ConfigError, match="no token that is valid"):
        decide(place, host, **changes)
    place.token(Role.ADMIN)
    assert decide(place, host, **changes).token is True


@pytest.mark.parametrize(
    ("host", "changes"),
    [("0.0.0.0", {}), ("127.0.0.1", {"names": ("k.example",)}), ("::1", {"proxies": ("10.0.0.1",)})],
)
def test_it_is_never_open_to_others(place: Place, host: str, changes: dict[str, object]) -> None:
    place.token(Role.ADMIN)
    with pytest.raises(ConfigError, match="can't be open to everybody"):
        decide(place, host, token=False, **changes)


def test_on_this_machine_it_asks_once_there_was_a_token(place: Place) -> None:
    assert decide(place, "127.0.0.1").token is None
    assert decide(place, "127.0.0.1", token=False).token is False


def test_a_proxy_is_an_address(place: Place) -> None:
    place.token(Role.ADMIN)
    assert decide(place, "127.0.0.1", proxies=("10.0.0.0/8", "::1")).proxies == ("10.0.0.0/8", "::1")
    with pytest.raises(ConfigError, match="--proxy nginx is no address"):
        decide(place, "127.0.0.1", proxies=("nginx",))


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "app.localhost", "127.3.2.1"])
def test_names_of_this_machine(name: str) -> None:
    assert Policy().answers_to(name)
    assert Policy(host="0.0.0.0").answers_to(name)


@pytest.mark.parametrize(
    "name", ["0.0.0.0", "192.168.1.4", "evil.example", "localhost.evil.example", "", "testserver", "[::]", "xlocalhost"]
)
def test_other_names_are_refused_here(name: str) -> None:
    assert not Policy().answers_to(name)


def test_names_beyond_this_machine() -> None:
    policy = Policy(host="0.0.0.0", names=frozenset({"kernels.example"}))
    assert policy.answers_to("kernels.example")
    assert policy.answers_to("192.168.1.4")
    assert policy.answers_to("[2001:db8::1]")
    assert not policy.answers_to("evil.example")
    assert Policy(host="kernels.example").answers_to("kernels.example")
