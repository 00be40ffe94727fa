"""Tokens, sessions and owners in the store: what opens something, until when, and that no secret is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_doubles import run
from server_doubles import Clock

from kernelwright.db.access import Role, check_name, matches, new_credential, split
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError, NotFoundError

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with Store(tmp_path / "k.db", clock=clock) as store:
        yield store


def test_roles_are_in_order() -> None:
    assert [[a.covers(b) for b in Role] for a in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_a_token_opens_until_it_is_revoked(store: Store) -> None:
    credential = new_credential()
    made = store.add_token(credential, "ada", Role.SUBMIT)
    assert store.token_of(credential.text) == made
    assert store.tokens() == [made]
    store.revoke_token("ada")
    assert store.token_of(credential.text) is None
    with pytest.raises(NotFoundError, match="no token called 'ada'"):
        store.revoke_token("ada")


def test_a_token_opens_until_it_expires(store: Store, clock: Clock) -> None:
    credential = new_credential()
    store.add_token(credential, "ada", Role.READ, clock() + DAY)
    clock.pass_by(days=1, seconds=-1)
    assert store.token_of(credential.text) is not None
    clock.pass_by(seconds=1)
    assert store.token_of(credential.text) is None
    assert store.has_tokens()
    assert not store.has_live_tokens()


def test_a_name_is_taken_while_its_token_lives(store: Store, clock: Clock) -> None:
    store.add_token(new_credential(), "ada", Role.READ, clock() + DAY)
    with pytest.raises(MisuseError, match=r"a token called ada already\. .*revoke ada"):
        store.add_token(new_credential(), "ada", Role.ADMIN)
    clock.pass_by(days=2)
    again = new_credential()
    store.add_token(again, "ada", Role.ADMIN)
    assert [token.role for token in store.tokens() if token.live(clock())] == [Role.ADMIN]
    store.revoke_token("ada")
    assert store.token_of(again.text) is None


def test_a_token_that_has_expired_already_is_refused(store: Store, clock: Clock) -> None:
    with pytest.raises(MisuseError, match="expired already"):
        store.add_token(new_credential(), "ada", Role.READ, clock())
    assert not store.has_tokens()


def test_the_database_holds_no_secret(store: Store, tmp_path: Path) -> None:
    token, session = new_credential(), new_credential()
    store.add_session(session, store.add_token(token, "ada", Role.ADMIN), DAY)
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    for credential in (token, session):
        _, secret = split(credential.text) or ("", "")
        assert credential.digest.encode() in kept
        assert secret.encode() not in kept
    assert store.token_of(token.digest) is None


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: f"{text}A", lambda text: text[3:]])
def test_a_token_that_is_not_quite_right_opens_nothing(store: Store, change) -> None:  # type: ignore[no-untyped-def]
    credential = new_credential()
    store.add_token(credential, "ada", Role.ADMIN)
    assert store.token_of(change(credential.text)) is None


def test_a_secret_opens_its_own_token_only(store: Store) -> None:
    one, other = new_credential(), new_credential()
    store.add_token(one, "one", Role.READ)
    store.add_token(other, "other", Role.ADMIN)
    mixed = f"kw_{other.id}_{one.text.split('_', 2)[2]}"
    assert store.token_of(mixed) is None


@given(st.text())
def test_no_other_text_is_a_credential(text: str) -> None:
    assert split(text) is None


@given(st.text())
def test_what_matches_is_the_very_secret(text: str) -> None:
    credential = new_credential()
    assert not matches(credential.digest, text)
    assert not matches(None, text)


def test_the_digest_of_nothing_matches_no_missing_token() -> None:
    assert not matches(None, "")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a b", "-a", "ä", "a" * 65, "a\x00", "a\x1b[31m", "<b>"])
def test_names_fit_a_log(name: str) -> None:
    with pytest.raises(MisuseError, match="can't be the name"):
        check_name(name)


def test_a_session_ends_with_its_time(store: Store, clock: Clock) -> None:
    token = store.add_token(new_credential(), "ada", Role.SUBMIT)
    session = new_credential()
    store.add_session(session, token, DAY)
    assert store.token_of_session(session.text) == token
    assert store.token_of(session.text) is None
    clock.pass_by(days=1)
    assert store.token_of_session(session.text) is None


def test_a_session_ends_with_its_token(store: Store, clock: Clock) -> None:
    sessions = []
    for name, expires in (("revoked", None), ("expired", clock() + DAY / 2)):
        token = store.add_token(new_credential(), name, Role.SUBMIT, expires)
        sessions.append(new_credential())
        store.add_session(sessions[-1], token, DAY)
    store.revoke_token("revoked")
    clock.pass_by(hours=12)
    assert [store.token_of_session(each.text) for each in sessions] == [None, None]


def test_signing_out_ends_one_session(store: Store) -> None:
    token = store.add_token(new_credential(), "ada", Role.SUBMIT)
    one, other = new_credential(), new_credential()
    for each in (one, other):
        store.add_session(each, token, DAY)
    store.end_session(f"kw_{other.id}_{one.text.split('_', 2)[2]}")  # not its secret
    store.end_session(one.text)
    assert store.token_of_session(one.text) is None
    assert store.token_of_session(other.text) == token


def test_the_first_owner_of_a_run_stays(store: Store) -> None:
    store.create_run(run("softmax-1"))
    assert store.owner_of_run("softmax-1") is None
    store.own_run("softmax-1", "ada")
    store.own_run("softmax-1", "bob")
    assert store.owner_of_run("softmax-1") == "ada"
    with pytest.raises(NotFoundError):
        store.own_run("softmax-2", "ada")
