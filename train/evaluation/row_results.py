"""Whether a model is right, row by row: the release gate compares two models by these.

In: rows of the behavior suite and of a split, with the model's predictions. Out: `FILE` in the run
folder, which is published with the model. It has hashes of the texts, not the texts.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

FILE = "row-results.parquet"


class RowResult(NamedTuple):
    """One row that a model was evaluated on."""

    part: str  # of the behavior suite (`sentences`, `pairs`), or the name of a split
    kind: str  # in the behavior suite the kind of the row, in a split the dataset
    row: str  # see `row_id`
    correct: bool


def row_id(*parts: str) -> str:
    """16 hexadecimal digits that identify a row by its texts and label names."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def save(file: Path, rows: Iterable[RowResult]) -> None:
    """Write rows as Parquet, one column per field of `RowResult`."""
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist([row._asdict() for row in rows], schema=_schema())
    parquet.write_table(table, file, compression="zstd")


def load(file: Path) -> Any:
    """Read rows as a pandas DataFrame, one column per field of `RowResult`.

    Raises:
        OSError: The file can't be read.
        ValueError: It is not Parquet, or has other columns.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
    except pyarrow.ArrowException as error:
        raise ValueError(f"not Parquet: {error}") from error
    if not table.schema.equals(_schema()):
        raise ValueError(f"columns must be {', '.join(RowResult._fields)}, got {table.schema}")
    return table.to_pandas()


def _schema() -> Any:
    import pyarrow

    types = [pyarrow.string(), pyarrow.string(), pyarrow.string(), pyarrow.bool_()]
    fields = zip(RowResult._fields, types, strict=True)
    return pyarrow.schema([pyarrow.field(name, kind, nullable=False) for name, kind in fields])
