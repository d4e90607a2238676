"""Uploads as data frames, within the limits of the page.

In: the path of an uploaded file. Out: a `Table` of at most `MAX_ROWS` rows, the first ones or a
sample, with a guess of what its columns contain; or `InvalidFile`.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas

from space.files import InvalidFile, archives, workbook
from space.files.cells import Row, as_json
from space.files.columns import Columns, guess_columns
from space.files.encodings import open_unpacked
from space.files.reader import TableReader, open_table

MAX_ROWS, MAX_COLUMNS = 10_000, 200
MAX_BYTES = 50 * 2**20  # of the file, and of its content when unpacked
LIMIT = f"{MAX_BYTES // 2**20} MB"
MAX_SEPARATORS = 5_000_000  # and brackets: more than twice what MAX_ROWS and MAX_COLUMNS need
MAX_NAME = 100  # characters of a column name; longer ones are probably reviews
GUESS_ROWS = 1000  # rows from which the columns are guessed


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a file, with all columns in their order, and the guessed columns."""

    frame: pandas.DataFrame  # its index counts the rows of the file, from 0
    name: str  # of the file
    columns: Columns
    total: int  # rows in the file
    encoding: str = "utf-8"
    inside: str = ""  # the sheet of a workbook, or the table in a ZIP archive


def read(path: Path, sample: bool = False) -> Table:
    """Read CSV, TSV, JSON, JSONL, Parquet, Excel, ZIP, or text with one review per line.

    Missing cells are missing, nested values are JSON. A column of CSV or a workbook is numeric if
    each number would be written back unchanged. Column names are unique: `text_2` if `text` exists.

    Args:
        path: Of the file.
        sample: Of a longer file take `MAX_ROWS` random rows, always the same, in their order; else
            the first ones.

    Raises:
        InvalidFile: It is damaged, empty, too large or not a table.
    """
    name = path.name
    _check_size(path)
    with open_table(path, name) as reader:
        _check_header(reader, name)
        numbers, rows, total = _read_rows(reader, name, sample)
        keys = reader.columns or list(dict.fromkeys(key for row in rows for key in row))
    if not rows:
        has_columns = "has column names, but no rows" if keys else "has no rows"
        raise InvalidFile(f"{name} {has_columns}.")
    if not keys:
        raise InvalidFile(f"{name} has no columns: its objects are empty.")
    to_series = _text_series if reader.kind in ("csv", "workbook") else _typed_series
    columns = [to_series([row.get(key) for row in rows]) for key in keys]
    names: list[str] = []
    for number, key in enumerate(keys, start=1):
        names.append(unused_name(key.strip() or f"column {number}", names))
    frame = pandas.concat(columns, axis="columns").set_axis(names, axis="columns")
    frame.index = pandas.Index(numbers)
    # Bytes are hexadecimal digits in the frame, which could be taken for long texts.
    types = reader.schema.types if reader.schema else []
    binary = [name for name, kind in zip(names, types, strict=False) if "binary" in str(kind)]
    guess = guess_columns(frame.head(GUESS_ROWS).drop(columns=binary))
    return Table(frame, name, guess, total, reader.encoding, reader.inside)


def texts(frame: pandas.DataFrame, column: str) -> list[Any]:
    """The cells of a column as the classifier takes them: None where one is missing."""
    cells = frame[column].astype("object")
    return list(cells.where(cells.notna(), None))


def unused_name(name: str, used: Iterable[str]) -> str:
    """The name, or the first of `name_2`, `name_3` … that is not used."""
    used, number, candidate = set(used), 1, name
    while candidate in used:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _check_size(path: Path) -> None:
    """Refuse large files before anything of them is kept in memory."""
    name, size, separators = path.name, path.stat().st_size, 0
    if size > MAX_BYTES:
        raise _too_large(f"{name} is {math.ceil(size / 2**20):,} MB; the limit is {LIMIT}")
    with open_unpacked(path, name) as unpacked:
        stream = unpacked.stream
        if archives.is_zip(stream):
            with archives.open_zip(stream, name) as archive:
                if workbook.unpacked_size(archive) > MAX_BYTES:
                    raise _too_large(f"{name} unpacks to more than the limit of {LIMIT}")
            return
        size, is_text = 0, stream.read(4) != b"PAR1"
        stream.seek(0)
        while chunk := stream.read(2**20):
            size += len(chunk)
            separators += sum(chunk.count(mark) for mark in b",;\t|{[") if is_text else 0
            if size > MAX_BYTES:
                raise _too_large(f"{name} unpacks to more than the limit of {LIMIT}")
            if separators > MAX_SEPARATORS:
                raise _too_large(f"{name} has more than {MAX_SEPARATORS:,} cells, the limit")


def _check_header(reader: TableReader, name: str) -> None:
    if len(reader.columns) > MAX_COLUMNS:
        raise _too_wide(name, len(reader.columns))
    for cell in reader.columns if reader.kind in ("csv", "workbook") else []:
        if len(cell) > MAX_NAME or cell.rstrip().endswith((".", "!")):
            raise InvalidFile(
                f'The first line of {name} must name its columns, but has "{cell[:40].strip()} …". '
                "Write a line such as text,label above it; or, if each line is a review, save it "
                "as plain text (.txt) without tabs."
            )


def _read_rows(reader: TableReader, name: str, sample: bool) -> tuple[list[int], list[Row], int]:
    """The numbers of the rows that are kept, from 0; these rows; and how many the file has."""
    kept: dict[int, Row] = {}  # by its place
    numbers: list[int] = []
    keys: set[str] = set()
    characters = total = 0
    choice = random.Random(0)  # reservoir sampling: each row has the same chance
    for total, row in enumerate(reader.rows, start=1):
        place = total - 1
        if place >= MAX_ROWS:
            if reader.total and not sample:
                break
            place = choice.randrange(total) if sample else MAX_ROWS
        # Parquet can repeat a long text many times.
        characters += sum(len(cell) for cell in row.values() if isinstance(cell, str | list | dict))
        if characters > MAX_BYTES:
            raise _too_large(f"{name} unpacks to more than the limit of {LIMIT}")
        if place < MAX_ROWS:
            kept[place] = row
            numbers[place : place + 1] = [total - 1]
            keys.update(row)
        if len(keys) > MAX_COLUMNS:
            raise _too_wide(name, len(keys))
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    rows = [kept[place] for place in order]
    return sorted(numbers), rows, reader.total or total


def _too_large(what: str) -> InvalidFile:
    return InvalidFile(f"{what}. Keep only the columns that you need, or split the file.")


def _too_wide(name: str, columns: int) -> InvalidFile:
    return InvalidFile(
        f"{name} has {columns:,} columns; the limit is {MAX_COLUMNS}. Keep only the columns that "
        "you need, such as the text and a label."
    )


def _typed_series(values: Sequence[Any]) -> pandas.Series:
    """A column of the narrowest type that changes no cell."""
    cells: list[Any] = [
        as_json(value) if isinstance(value, dict | list) else value for value in values
    ]
    types = {type(cell) for cell in cells if cell is not None}
    if types == {str}:
        return pandas.Series(cells, dtype="str")
    if types == {int} and all(cell is None or abs(cell) < 2**63 for cell in cells):
        return pandas.Series(cells, dtype="Int64" if None in cells else "int64")
    if types == {float} or (types == {bool} and None not in cells):
        return pandas.Series(cells, dtype=types.pop())
    return pandas.Series(cells, dtype="object")


def _text_series(values: Sequence[Any]) -> pandas.Series:
    """Texts as numbers if each is written back unchanged: not 007, 1e3 or 4.50."""
    cells = pandas.Series(values, dtype="str")
    known = cells.dropna()
    if pandas.to_numeric(known.head(), errors="coerce").isna().any():  # most text columns
        return cells
    numbers = pandas.to_numeric(known, errors="coerce")
    if known.empty or numbers.isna().any() or not (numbers.astype("str") == known).all():
        return cells
    has_missing_int = numbers.dtype.kind == "i" and len(known) < len(cells)
    return (numbers.astype("Int64") if has_missing_int else numbers).reindex(cells.index)
