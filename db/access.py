"""Who may use the server: tokens with roles, and the sessions of browsers that signed in with one.

A credential is `kw_ID_SECRET`: the public half finds its row, the secret one is compared. It has 256 random bits, so nobody can try them
all, and a plain SHA-256 of it is kept: a slow hash is for passwords, which people choose. What is in the database opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kernelwright.errors import MisuseError

__all__ = ["Credential", "Role", "Token", "check_name", "matches", "new_credential", "split"]

_PREFIX = "kw"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
_TEXT = re.compile(rf"{_PREFIX}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")
_NOTHING = hashlib.sha256(b"").hexdigest()


class Role(StrEnum):
    """What the holder of a token may do; each may what those before it may."""

    READ = "read"
    """See everything that is stored, and download it."""
    SUBMIT = "submit"
    """Submit modules; cancel and resume the runs that this name submitted."""
    ADMIN = "admin"
    """Cancel and resume every run, and read the server's metrics."""

    def covers(self, other: Role) -> bool:
        """Whether it may all that `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Token:
    """What is known of a token; not the token itself, which was shown once."""

    id: str
    name: str
    role: Role
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    def live(self, now: datetime) -> bool:
        """Whether it opens anything at this moment."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True)
class Credential:
    """A new token or session: `text` is for its holder, the rest is kept."""

    id: str
    digest: str
    text: str


def new_credential() -> Credential:
    """A credential from the system's random source."""
    identifier, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return Credential(identifier, _digest(secret), f"{_PREFIX}_{identifier}_{secret}")


def split(text: str) -> tuple[str, str] | None:
    """Id and secret of a credential; None when the text is none."""
    found = _TEXT.fullmatch(text)
    return None if found is None else (found[1], found[2])


def matches(digest: str | None, secret: str) -> bool:
    """Whether `digest`, None where there is no such id, was made of `secret`. It takes as long whether it was or not."""
    same = hmac.compare_digest(digest or _NOTHING, _digest(secret))
    return same and digest is not None


def check_name(name: str) -> str:
    """The name, if a token can have it.

    Raises:
        MisuseError: it is empty, too long, or holds characters that don't belong in a log.
    """
    if _NAME.fullmatch(name) is None:
        raise MisuseError(
            f"{name!r} can't be the name of a token.", mend="Take letters, digits and . _ @ + -, at most 64 of them."
        )
    return name


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
