"""The tables of visitors: from a file, whatever is in it, to a frame of at most 10,000 rows.

In: what `files.reader` reads. Out: the columns in their order, with names of their own; texts as
`str`, missing cells missing, what is nested as JSON, and columns of CSV as numbers where each is
written back exactly as it came. Or a sentence for the page why not.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas

from space.files.reader import InvalidFile, Row, Table, as_json, opened
from space.files.validation import MAX_BYTES, MAX_COLUMNS, MAX_ROWS, check_size, too_large, too_wide

MAX_NAME = 100  # characters of a column's name: more reads like a review


def load(path: Path) -> pandas.DataFrame:
    """The rows of a file; see `tables.read`.

    Raises:
        InvalidFile: It is broken, empty, too large, or no table at all.
    """
    name = path.name
    check_size(path)
    with opened(path, name) as table:
        _check_header(table, name)
        rows = _rows(table, name)
        keys = table.columns or list(dict.fromkeys(key for row in rows for key in row))
    if not rows:
        named = "names its columns, but has no rows" if keys else "has no rows"
        raise InvalidFile(f"{name} {named}.")
    if not keys:
        raise InvalidFile(f"{name} has no columns: its objects are empty.")
    cells = [[_flat(row.get(key)) for row in rows] for key in keys]
    if table.kind == "delimited":
        columns = [_numbers(pandas.Series(column, dtype="str")) for column in cells]
    else:
        columns = list(map(_column, cells))
    names: list[str] = []
    for number, given in enumerate(keys, start=1):
        names.append(free(given.strip() or f"column {number}", names))
    return pandas.concat(columns, axis="columns").set_axis(names, axis="columns")


def free(name: str, taken: Iterable[str]) -> str:
    """The name, or with `_2`, `_3` … behind it the first that is not taken."""
    names, number, given = set(taken), 1, name
    while name in names:
        number += 1
        name = f"{given}_{number}"
    return name


def _check_header(table: Table, name: str) -> None:
    if len(table.columns) > MAX_COLUMNS:
        raise too_wide(name, len(table.columns))
    for cell in table.columns if table.kind == "delimited" else []:
        if len(cell) > MAX_NAME or cell.rstrip().endswith((".", "!")):
            raise InvalidFile(
                f'The first line of {name} must name its columns, but has "{cell[:40].strip()} …". '
                "Write a line such as text,label above it, or call it .txt if each line is a text."
            )


def _rows(table: Table, name: str) -> list[Row]:
    rows: list[Row] = []
    keys: set[str] = set()
    characters = 0
    if (table.total or 0) > MAX_ROWS:
        raise too_large(f"{name} has {table.total:,} rows")
    for row in table.rows:
        if len(rows) == MAX_ROWS:
            unit = "lines" if table.kind == "text" else "rows"
            raise too_large(f"{name} has more than {MAX_ROWS:,} {unit}")
        rows.append(row)
        keys.update(row)
        if len(keys) > MAX_COLUMNS:
            raise too_wide(name, len(keys))
        # Parquet can repeat one long text many times.
        characters += sum(len(cell) for cell in row.values() if isinstance(cell, str | list | dict))
        if characters > MAX_BYTES:
            raise too_large(f"{name} unpacks to more than {MAX_BYTES // 2**20} MB")
    return rows


def _flat(cell: Any) -> Any:
    return as_json(cell) if isinstance(cell, dict | list) else cell


def _column(cells: Sequence[Any]) -> pandas.Series:
    """A column of the narrowest type that changes no cell."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {str}:
        return pandas.Series(cells, dtype="str")
    if kinds == {int} and all(cell is None or abs(cell) < 2**63 for cell in cells):
        return pandas.Series(cells, dtype="Int64" if None in cells else "int64")
    if kinds in ({float}, {bool}) and None not in cells:
        return pandas.Series(cells)
    if kinds == {float}:
        return pandas.Series(cells, dtype="float64")
    return pandas.Series(cells, dtype="object")


def _numbers(cells: pandas.Series) -> pandas.Series:
    """Cells of CSV as numbers, if each is written back as it is: not so 007, 1e3 or 4.50."""
    known = cells.dropna()
    if pandas.to_numeric(known.head(), errors="coerce").isna().any():  # most columns end here
        return cells
    numbers = pandas.to_numeric(known, errors="coerce")
    if known.empty or numbers.isna().any() or not (numbers.astype("str") == known).all():
        return cells
    whole = numbers.dtype.kind == "i" and len(known) < len(cells)
    return (numbers.astype("Int64") if whole else numbers).reindex(cells.index)
