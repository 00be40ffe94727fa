"""Who makes a request, and what routes ask of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from starlette.types import Scope

from kernelwright.db.access import Role
from kernelwright.errors import AccessError

__all__ = ["LOCAL", "NOBODY", "How", "Identity", "Who", "check_owner", "identity_in", "needs", "set_identity"]

_log = logging.getLogger(__name__)
_KEY = "who"


class How(StrEnum):
    """By what somebody is known."""

    NOT = "not"
    """By nothing: somebody at a page that is open to all."""
    LOCAL = "local"
    """They are at this machine, and the server asks for no token."""
    TOKEN = "token"
    """A bearer token."""
    SESSION = "session"
    """A browser's session, begun with a token."""


@dataclass(frozen=True)
class Identity:
    """Somebody."""

    name: str
    """Of their token; empty where there is none."""
    role: Role | None
    how: How

    def may(self, role: Role) -> bool:
        """Whether they may what this role may."""
        return self.role is not None and self.role.covers(role)

    @property
    def may_submit(self) -> bool:
        """Whether pages show what submits."""
        return self.may(Role.SUBMIT)

    @property
    def may_administer(self) -> bool:
        """Whether pages show what is for administrators."""
        return self.may(Role.ADMIN)

    @property
    def signed_in(self) -> bool:
        """Whether they can sign out."""
        return self.how is How.SESSION

    def may_change(self, owner: str | None) -> bool:
        """Whether they may cancel or resume the run of this owner; None is a run that no token submitted."""
        return self.may_administer or (self.may_submit and bool(self.name) and self.name == owner)


NOBODY = Identity("", None, How.NOT)
LOCAL = Identity("", Role.ADMIN, How.LOCAL)


def set_identity(scope: Scope, who: Identity) -> None:
    """Notes who makes a request."""
    state: dict[str, Any] = scope.setdefault("state", {})
    state[_KEY] = who


def identity_in(scope: Scope) -> Identity:
    """Who makes a request; nobody where it was never noted."""
    return cast(Identity, scope.get("state", {}).get(_KEY, NOBODY))


def _who(request: Request) -> Identity:
    return identity_in(request.scope)


Who = Annotated[Identity, Depends(_who)]
"""For handlers: who asks."""


def check(who: Identity, role: Role, what: str) -> None:
    """Refuses who may not.

    Raises:
        AccessError: they may not.
    """
    if who.may(role):
        return
    _log.warning("refused %s: %r has the role %s, not %s", what, who.name, who.role or "none", role.value)
    raise AccessError(
        f"This needs the role {role.value}" + (f"; the token {who.name} has the role {who.role.value}." if who.role else "."),
        mend="Ask who runs this server for a token with that role.",
    )  # fmt: skip


def check_owner(who: Identity, owner: str | None, run_id: str) -> None:
    """Refuses who may not cancel or resume the run of this owner.

    Raises:
        AccessError: they may not.
    """
    if not who.may_change(owner):
        _log.warning("refused a change of run %s: %r did not submit it", run_id, who.name)
        raise AccessError(
            f"The token {who.name} did not submit run {run_id}.", mend="Whoever did can do this, and the role admin."
        )


def needs(role: Role) -> Any:
    """A dependency that lets only this role, or one above it, pass: `dependencies=[needs(Role.SUBMIT)]`."""

    def guard(request: Request) -> None:
        route = request.scope.get("route")
        check(identity_in(request.scope), role, f"{request.method} {getattr(route, 'path', '')}")

    return Depends(guard)
