"""Rows of the catalogue by their terms: SQLite's FTS5 or PostgreSQL's `tsvector`, behind one function.

What is asked for is made of terms (`kernelwright.db.search_terms`), which are ASCII letters and digits: nothing of either engine's
language can be in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Integer, Select, bindparam, column, literal_column, select, table, text
from sqlalchemy.orm import Session

from kernelwright.db.catalogue_models import CatalogueRow

__all__ = ["FTS_TABLE", "TERMS_VECTOR", "Terms", "having", "matching", "spelt"]

FTS_TABLE = "catalogue_fts"
TERMS_VECTOR = "terms_vector"
"""Column that PostgreSQL makes of the terms as they are, without dictionary or parser, and has an index of. No other database has it."""
_TERM = re.compile(r"[0-9a-z]+")
_PREFIX_FROM = 3
"""Letters that a beginning has at least."""


@dataclass(frozen=True)
class Terms:
    """What a row must have: all whole terms, and for each beginning a term that begins so. One of them at least."""

    whole: tuple[str, ...]
    beginnings: tuple[str, ...] = ()


def spelt(session: Session, words: Sequence[str]) -> Terms:
    """Of words that a person asks for, those that some row has; the others as beginnings, if they have three letters.

    A beginning costs more: all rows of all words that begin so are gathered before the first is given.
    """
    dialect = session.get_bind().dialect.name
    there = {word for word in words if session.scalar(matching(dialect, Terms((word,))).limit(1)) is not None}
    begun = tuple(word for word in words if word not in there and len(word) >= _PREFIX_FROM)
    return Terms(tuple(word for word in words if word not in begun), begun)


def matching(dialect: str, terms: Terms) -> Select[int]:
    """Ids of the rows that have all these terms.

    Args:
        dialect: `sqlite` or `postgresql`.
    """
    asked_for = list(dict.fromkeys([*terms.whole, *terms.beginnings]))
    for term in asked_for:
        if not _TERM.fullmatch(term):
            raise ValueError(f"{term!r} is no term")
    prefixes = set(terms.beginnings)
    if dialect == "postgresql":
        asked = " & ".join(f"'{term}':*" if term in prefixes else f"'{term}'" for term in asked_for)
        return select(CatalogueRow.id).where(
            text(f"catalogue.{TERMS_VECTOR} @@ CAST(:asked AS tsquery)").bindparams(asked=asked)
        )
    asked = " AND ".join(f'"{term}"*' if term in prefixes else f'"{term}"' for term in asked_for)
    found = table(FTS_TABLE, column("rowid", Integer))
    return select(found.c.rowid).where(literal_column(FTS_TABLE).op("MATCH")(bindparam("asked", asked, unique=True)))


def having(dialect: str, terms: Terms, most: int) -> ColumnElement[bool]:
    """The same as a condition on rows of the catalogue, of which `most` have them all."""
    found = matching(dialect, terms)
    if dialect == "postgresql":
        assert found.whereclause is not None
        return found.whereclause
    return CatalogueRow.id.in_(found.limit(most))
