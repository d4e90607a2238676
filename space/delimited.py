"""Tables whose cells are parted by commas, semicolons, tabs or bars.

In: text in UTF-8. Out: its columns; an empty cell is missing, and a column is of numbers where
each is written back exactly as it came. Or a sentence for the page, which names the line.
"""

import csv
import io
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pandas
from uploads import MAX_BYTES, MAX_COLUMNS, MAX_ROWS, Unusable, stream, too_large, too_wide

MAX_NAME = 100  # characters of a column's name: more reads like a review
SEPARATORS = ",;\t|"
ONE_COLUMN = "\x1f"  # separates nothing


def table(data: bytes, name: str) -> pandas.DataFrame:
    """The columns of CSV, TSV and the like.

    Raises:
        Unusable: A row has another length than the first, or quotes that are wrong; or there is
            too much.
    """
    csv.field_size_limit(MAX_BYTES)  # one for the whole process, 131,072 unless told
    separator = _separator(data)
    try:
        header, rows = _records(data, name, separator)
    except Unusable as reason:
        if b'\\"' not in data:
            raise
        try:  # Spark and others write a quote in a text as \" instead of "".
            header, rows = _records(data, name, separator, escapechar="\\", doublequote=False)
        except Unusable:
            raise reason from None
    cells = zip(*rows, strict=True) if rows else [()] * len(header)
    texts = [pandas.Series([cell or None for cell in column], dtype="str") for column in cells]
    columns = list(map(_numbers, texts))
    return pandas.concat(columns, axis="columns").set_axis(header, axis="columns")


def _separator(data: bytes) -> str:
    """That which parts most of the first records as it parts the names of the columns."""
    head = data[: 2**16].decode("utf-8", "ignore")
    found: dict[str, tuple[float, int]] = {}
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        widths = [len(row) for row in islice(reader, 50) if row]
        if len(data) > len(head.encode()) and len(widths) > 2:
            widths.pop()  # may be cut off
        if widths and widths[0] > 1:
            found[separator] = (widths.count(widths[0]) / len(widths), widths[0])
    return max(found, key=found.__getitem__) if found else ONE_COLUMN


def _records(
    data: bytes, name: str, separator: str, **dialect: Any
) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the cells row by row.

    Raises:
        Unusable: A row has another length, quotes that are wrong, or is one too many.
    """
    reader = csv.reader(stream(data, ""), delimiter=separator, strict=True, **dialect)
    header: list[str] = []
    rows: list[list[str]] = []
    line = 1
    try:
        for row in reader:
            if not header:
                _check_header(row, name)
                header = row
            elif row and len(row) != len(header):
                raise _ragged(name, line, len(row), len(header), separator)
            elif row:
                rows.append(row)
            if len(rows) > MAX_ROWS:
                raise too_large(f"{name} has more than {MAX_ROWS:,} rows")
            line = reader.line_num + 1
    except csv.Error as error:
        raise _misquoted(name, line, error) from error
    return header, rows


def _check_header(header: Sequence[str], name: str) -> None:
    if len(header) > MAX_COLUMNS:
        raise too_wide(name, len(header))
    for cell in header:
        if len(cell) > MAX_NAME or cell.rstrip().endswith((".", "!")):
            raise Unusable(
                f'The first line of {name} must name its columns, but has "{cell[:40].strip()} …". '
                "Write a line such as text,label above it, or call it .txt if each line is a text."
            )


def _ragged(name: str, line: int, cells: int, columns: int, separator: str) -> Unusable:
    parts = {"\t": "a tab", ONE_COLUMN: "a control character"}.get(separator, f'"{separator}"')
    return Unusable(
        f"{name}, line {line:,}: the row has {cells:,} cells, but the first line names {columns:,} "
        f"columns. Cells are parted by {parts}: put quotes around texts that have it in them."
    )


def _misquoted(name: str, line: int, error: csv.Error) -> Unusable:
    if "end of data" in str(error):
        return Unusable(f"{name}, line {line:,}: a quote opens in this row and is never closed.")
    return Unusable(
        f"{name}, line {line:,}: text goes on behind a closing quote. In a quoted text write each "
        f'quote twice, as "". ({error})'
    )


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
