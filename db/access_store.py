"""The store's part about who may use the server."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select

from kernelwright.db.access import Credential, Role, Token, check_name, matches, split
from kernelwright.db.access_models import AccessSessionRow, AccessTokenRow, RunOwnerRow
from kernelwright.db.models import RunRow
from kernelwright.db.transactions import Transactions
from kernelwright.errors import MisuseError, NotFoundError

__all__ = ["AccessStore"]


class AccessStore(Transactions):
    """Tokens in, tokens out; each call is one transaction, so a token that is revoked opens nothing from then on."""

    def add_token(self, credential: Credential, name: str, role: Role, expires: datetime | None = None) -> Token:
        """Keeps a new token.

        Raises:
            MisuseError: a live token has this name, the name can't be one, or it would have expired already.
        """
        now = self._clock()
        if expires is not None and expires <= now:
            raise MisuseError("The token would have expired already.", mend="Name a later moment.")
        with self._writing() as session:
            for row in session.scalars(
                select(AccessTokenRow).where(AccessTokenRow.name == check_name(name), AccessTokenRow.revoked.is_(None))
            ):
                if _token(row).live(now):
                    raise MisuseError(
                        f"There is a token called {name} already.",
                        mend=f"Take another name, or revoke it first: kernelwright token revoke {name}",
                    )
                row.revoked = now
            session.flush()
            token = Token(credential.id, name, role, now, expires, None)
            values = {field: getattr(token, field) for field in Token.__dataclass_fields__} | {"role": role.value}
            session.execute(insert(AccessTokenRow).values(values | {"digest": credential.digest}))
        return token

    def tokens(self) -> list[Token]:
        """All that were ever made, oldest first."""
        with self._reading() as session:
            query = select(AccessTokenRow).order_by(AccessTokenRow.created, AccessTokenRow.id)
            return [_token(row) for row in session.scalars(query)]

    def has_tokens(self) -> bool:
        """Whether one was ever made, revoked and expired ones too."""
        with self._reading() as session:
            return session.scalar(select(AccessTokenRow.id).limit(1)) is not None

    def has_live_tokens(self) -> bool:
        """Whether there is one that opens something now."""
        now = self._clock()
        return any(token.live(now) for token in self.tokens())

    def revoke_token(self, name: str) -> Token:
        """Ends a token and every session that was begun with it.

        Raises:
            NotFoundError: no token that is not revoked has this name.
        """
        with self._writing() as session:
            row = session.scalar(
                select(AccessTokenRow).where(AccessTokenRow.name == name, AccessTokenRow.revoked.is_(None))
            )
            if row is None:
                raise NotFoundError(f"There is no token called {name!r}.", mend="`kernelwright token list` lists them.")
            row.revoked = self._clock()
            session.execute(delete(AccessSessionRow).where(AccessSessionRow.token_id == row.id))
            return _token(row)

    def token_of(self, text: str) -> Token | None:
        """The live token that this text is; None when it is none."""
        parts = split(text)
        if parts is None:
            return None
        with self._reading() as session:
            row = session.get(AccessTokenRow, parts[0])
            fits = matches(None if row is None else row.digest, parts[1])
            return _token(row) if row is not None and fits and _token(row).live(self._clock()) else None

    def add_session(self, credential: Credential, token: Token, lasts: timedelta) -> None:
        """Keeps a session that a token began; sessions that have ended are cleared away."""
        now = self._clock()
        with self._writing() as session:
            session.execute(delete(AccessSessionRow).where(AccessSessionRow.expires <= now))
            session.execute(
                insert(AccessSessionRow).values(
                    id=credential.id, digest=credential.digest, token_id=token.id, created=now, expires=now + lasts
                )
            )

    def token_of_session(self, text: str) -> Token | None:
        """The live token that began the session whose credential this is; None when there is none, or it has ended."""
        parts = split(text)
        if parts is None:
            return None
        with self._reading() as session:
            row = session.get(AccessSessionRow, parts[0])
            fits = matches(None if row is None else row.digest, parts[1])
            now = self._clock()
            if row is None or not fits or row.expires <= now:
                return None
            token = _token(row.token)
            return token if token.live(now) else None

    def end_session(self, text: str) -> None:
        """Ends the session whose credential this is, if there is one."""
        parts = split(text)
        if parts is not None and self.token_of_session(text) is not None:
            with self._writing() as session:
                session.execute(delete(AccessSessionRow).where(AccessSessionRow.id == parts[0]))

    def own_run(self, run_id: str, owner: str) -> None:
        """Notes whose token submitted a run; the first one stays.

        Raises:
            NotFoundError: no run has exactly this id.
        """
        with self._writing() as session:
            if session.get(RunRow, run_id) is None:
                raise NotFoundError(f"There is no run {run_id}.")
            if session.get(RunOwnerRow, run_id) is None:
                session.execute(insert(RunOwnerRow).values(run_id=run_id, owner=owner))

    def owner_of_run(self, run_id: str) -> str | None:
        """The name of the token that submitted a run; None where no token did."""
        with self._reading() as session:
            return session.scalar(select(RunOwnerRow.owner).where(RunOwnerRow.run_id == run_id))


def _token(row: AccessTokenRow) -> Token:
    return Token(row.id, row.name, Role(row.role), row.created, row.expires, row.revoked)
