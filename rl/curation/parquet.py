"""Writing rows as Parquet: the same rows give the same bytes with the same version of pyarrow (extra `data`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.errors import ConfigError
from kernelwright.rl.curation.rows import COLUMNS
from kernelwright.rl.curation.select import Purpose

if TYPE_CHECKING:
    import pyarrow

__all__ = ["need_pyarrow", "write_parquet"]

_GROUP = 512  # rows: a row has some ten kilobytes


def need_pyarrow() -> str:
    """The version that is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigError(
            "Parquet is written with pyarrow, which is not installed.",
            mend="Install it: pip install 'kernelwright[data]'.",
        ) from error
    return str(pyarrow.__version__)


def write_parquet(rows: Sequence[Mapping[str, Any]], purpose: Purpose, file: Path) -> None:
    """Writes the rows in their order, with the columns of `COLUMNS` and nothing about when or where.

    Raises:
        ConfigError: pyarrow is not installed.
        OSError: the file can't be written.
    """
    need_pyarrow()
    import pyarrow
    from pyarrow import parquet

    schema = _schema(purpose)
    table = pyarrow.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema=schema)
    with file.open("wb") as opened:  # pyarrow itself opens no path that is not UTF-8
        parquet.write_table(
            table, opened, compression="zstd", row_group_size=_GROUP, version="2.6", use_dictionary=True
        )


def _schema(purpose: Purpose) -> pyarrow.Schema:
    import pyarrow

    message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    types = {
        "string": pyarrow.string(),
        "double": pyarrow.float64(),
        "int64": pyarrow.int64(),
        "bool": pyarrow.bool_(),
        "messages": pyarrow.list_(message),
    }
    return pyarrow.schema(
        [
            pyarrow.field(name, types[kind], nullable=False, metadata={"meaning": what})
            for name, kind, what in COLUMNS[purpose]
        ]
    )
