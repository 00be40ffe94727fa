"""Tables of who may use the server: tokens, the sessions of browsers, and whose a run is. No secret is in them, only hashes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from kernelwright.db.models import Base
from kernelwright.db.types import UtcDateTime

__all__ = ["AccessSessionRow", "AccessTokenRow", "RunOwnerRow"]


class AccessTokenRow(Base):
    """`kernelwright.db.access.Token`: only `revoked` changes, once. `digest` is the SHA-256 of its secret half."""

    __tablename__ = "access_tokens"
    __table_args__ = (
        CheckConstraint("role IN ('read', 'submit', 'admin')", name="role_known"),
        Index(
            "ux_access_tokens_name",
            "name",
            unique=True,
            sqlite_where=text("revoked IS NULL"),
            postgresql_where=text("revoked IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime]
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]


class AccessSessionRow(Base):
    """A browser that is signed in; deleted when it signs out, or after its end."""

    __tablename__ = "access_sessions"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    token_id: Mapped[str] = mapped_column(ForeignKey("access_tokens.id"), index=True)
    created: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    token: Mapped[AccessTokenRow] = relationship(lazy="joined")


class RunOwnerRow(Base):
    """Whose token submitted a run; a run that the command line began has none."""

    __tablename__ = "run_owners"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    owner: Mapped[str] = mapped_column(Text, index=True)
