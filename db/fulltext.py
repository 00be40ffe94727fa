"""Rows of the catalogue by their terms: SQLite's FTS5 or PostgreSQL's `tsvector`, behind one function.

What is asked for is made of terms (`kernelwright.db.search_terms`), which are ASCII letters and digits: nothing of either engine's
language can be in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Integer, Select, bindparam, column, literal_column, select, table, text

from kernelwright.db.catalogue_models import CatalogueRow

__all__ = ["FTS_TABLE", "TERMS_VECTOR", "matching"]

FTS_TABLE = "catalogue_fts"
TERMS_VECTOR = "array_to_tsvector(string_to_array(catalogue.terms, ' '))"
"""Of PostgreSQL; it has an index. Made of the terms as they are: no dictionary, no parser."""
_TERM = re.compile(r"[0-9a-z]+")
_PREFIX_FROM = 3
"""Letters from which on a word stands for all that begin so."""


def matching(dialect: str, facts: Sequence[str], words: Sequence[str]) -> Select[int]:
    """Ids of the rows that have all these facts, and for each word a word that begins so.

    Args:
        dialect: `sqlite` or `postgresql`.
        facts: at least one fact or word is needed.
    """
    for term in (*facts, *words):
        if not _TERM.fullmatch(term):
            raise ValueError(f"{term!r} is no term")
    prefixes = {word for word in words if len(word) >= _PREFIX_FROM}
    terms = list(dict.fromkeys([*facts, *words]))
    if dialect == "postgresql":
        asked = " & ".join(f"'{term}':*" if term in prefixes else f"'{term}'" for term in terms)
        return select(CatalogueRow.id).where(text(f"{TERMS_VECTOR} @@ CAST(:asked AS tsquery)").bindparams(asked=asked))
    asked = " AND ".join(f'"{term}"*' if term in prefixes else f'"{term}"' for term in terms)
    found = table(FTS_TABLE, column("rowid", Integer))
    return select(found.c.rowid).where(literal_column(FTS_TABLE).op("MATCH")(bindparam("asked", asked, unique=True)))
