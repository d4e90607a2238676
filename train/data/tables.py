"""Local files as tables, read by the Space's reader.

In: a file. Out: a survey of its columns, rows and types, for which it is read to its end; its rows
in parts; or all of it as one Arrow table.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

# One reader for the Space and for training.
from space.files import InvalidFile
from space.files.cells import Row, as_text, plain_rows
from space.files.reader import TableReader, open_table
from train import console
from train.errors import DataError

CHUNK_ROWS = 1000

Part = list[Row] | Any  # rows, or a pyarrow.Table


@dataclass
class Survey:
    """Contents of a file that was read to its end."""

    columns: list[str]  # of all rows, in order of appearance
    rows: int
    schema: Any  # pyarrow.Schema of a table that can hold every row


@contextmanager
def reading(path: Path) -> Iterator[TableReader]:
    """Open a file of rows; see `space.files.reader.open_table`.

    Raises:
        DataError: It is damaged, empty or not a table; also raised while rows are read.
    """
    try:
        with open_table(path, str(path)) as table:
            yield table
    except InvalidFile as reason:
        raise DataError(str(reason)) from reason


def survey(path: Path) -> Survey:
    """Read a file to its end and find types that can hold all of its cells.

    Raises:
        DataError: See `reading`.
    """
    import pyarrow

    columns: dict[str, None] = {}
    types: dict[str, Any] = {}
    rows = 0
    widened = False
    with reading(path) as table:
        if table.encoding == "cp1252":
            console.print_line(f"{path} is read as Windows-1252: it is not in UTF-8")
        if table.batches:
            rows = sum(map(len, table.batches))
            return Survey(table.columns, rows, table.schema)
        columns |= dict.fromkeys(table.columns)
        for part in chunks(table.rows, CHUNK_ROWS):
            rows += len(part)
            if table.kind != "json":
                continue  # all cells are texts, and the columns are known
            columns |= dict.fromkeys(key for row in part for key in row)
            for name in columns:
                before = types.get(name, pyarrow.null())
                types[name] = _wider(before, [row.get(name) for row in part])
                widened |= types[name] != before != pyarrow.null()
    if widened:  # check that earlier cells fit the widened types
        with reading(path) as table:
            for part in chunks(table.rows, CHUNK_ROWS):
                for name, kind in types.items():
                    types[name] = _fitting(kind, [row.get(name) for row in part])
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in columns])
    return Survey(list(columns), rows, schema)


def parts(path: Path, size: int) -> Iterator[Part]:
    """All rows, `size` at a time: Parquet as Arrow tables, other files as lists.

    Raises:
        DataError: See `reading`.
    """
    with reading(path) as table:
        yield from regrouped(table.batches, size) if table.batches else chunks(table.rows, size)


def read(path: Path, texts: Collection[str] = ()) -> Any:
    """A file as one Arrow table; CSV cells are texts, others keep their types.

    Args:
        path: The file.
        texts: Columns that may have only texts and null in JSON.

    Raises:
        DataError: See `reading`; or a cell of the text columns is not text.
    """
    import pyarrow

    schema = survey(path).schema
    tables, done = [], 0
    for part in parts(path, CHUNK_ROWS):
        if isinstance(part, list):
            _check_texts(part, texts, f"{path}", done)
            done += len(part)
        tables.append(to_arrow(part, schema))
    table = pyarrow.concat_tables(tables) if tables else schema.empty_table()
    for number, column in enumerate(table.schema):
        if pyarrow.types.is_dictionary(column.type):  # categories of pandas
            cells = table.column(number).cast(column.type.value_type)
            table = table.set_column(number, column.name, cells)
    return table


def check_is_text(field: Any, where: str, setting: str) -> None:
    """Check the type of a text column, a `pyarrow.Field`.

    Raises:
        DataError: It is neither text, nor categories of text, nor empty.
    """
    from pyarrow import types

    column_type = field.type
    if types.is_dictionary(column_type):
        column_type = column_type.value_type
    checks = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    if not any(check(column_type) for check in checks):
        raise DataError(
            f"{where}: column {field.name!r} must hold text, got the type {type_name(column_type)}"
            f" — name the column of the texts with {setting}, or convert this one to text"
        )


def type_name(column_type: Any) -> str:
    """The name of an Arrow type as `datasets` spells it, without inner types."""
    names = {"double": "float64", "float": "float32", "halffloat": "float16"}
    name = re.match(r"[^<]+", str(column_type))
    return names.get(name[0], name[0]) if name else str(column_type)


def _check_texts(rows: list[Row], columns: Collection[str], where: str, before: int) -> None:
    for number, row in enumerate(rows, start=before + 1):
        for name in columns:
            if not isinstance(cell := row.get(name), str | None):
                raise DataError(
                    f"{where}, row {number:,}: column {name!r} must hold text, got the type "
                    f"{type(cell).__name__} — fix the row, or name the column of the texts"
                )


def regrouped(batches: Iterable[Any], size: int) -> Iterator[Any]:
    """The same rows in tables of `size` rows; the last may be shorter."""
    import pyarrow

    pending: list[Any] = []
    for batch in batches:
        pending += batch.to_batches() if isinstance(batch, pyarrow.Table) else [batch]
        while sum(map(len, pending)) >= size:
            table = pyarrow.Table.from_batches(pending)
            yield table.slice(0, size)
            pending = table.slice(size).to_batches()
    if sum(map(len, pending)):
        yield pyarrow.Table.from_batches(pending)


def chunks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Lists of `size` rows; the last may be shorter."""
    while part := list(islice(rows, size)):
        yield part


def to_rows(part: Part) -> list[Row]:
    """A part as rows of values that JSON and CSV can hold."""
    if isinstance(part, list):
        return part
    try:
        rows: list[Row] = plain_rows(part)
    except (ValueError, OverflowError, LookupError) as error:
        raise DataError(
            f"a value can't be written as text ({error}) — write to .parquet"
        ) from error
    return rows


def to_arrow(part: Part, schema: Any) -> Any:
    """A part as an Arrow table with the schema of its `Survey`."""
    import pyarrow

    if not isinstance(part, list):
        return part
    cells = [_cells([row.get(field.name) for row in part], field.type) for field in schema]
    return pyarrow.table(cells, schema=schema)


def _cells(cells: list[Any], kind: Any) -> Any:
    import pyarrow

    if kind == pyarrow.string():
        cells = [None if cell is None else as_text(cell) for cell in cells]
    return pyarrow.array(cells, kind)


def _wider(kind: Any, cells: list[Any]) -> Any:
    """A type that also holds these cells; string holds any."""
    import pyarrow

    if len({type(cell) is bool for cell in cells if cell is not None}) > 1:
        return pyarrow.string()  # pyarrow would convert True to 1.0
    try:
        both = [pyarrow.schema([("", part)]) for part in (kind, pyarrow.array(cells).type)]
        wider = pyarrow.unify_schemas(both, promote_options="permissive").field(0).type
        return wider if _can_be_stored(wider) else pyarrow.string()
    except (pyarrow.ArrowException, OverflowError):
        return pyarrow.string()


def _fitting(kind: Any, cells: list[Any]) -> Any:
    """The type if it holds the cells exactly (not 2**53 + 1 as a float), else string."""
    import pyarrow

    try:
        _cells(cells, kind)
        return kind
    except (pyarrow.ArrowException, OverflowError):
        return pyarrow.string()


def _can_be_stored(kind: Any) -> bool:
    """Whether Parquet can store the type: no structs without fields."""
    from pyarrow import types

    inner = [kind.field(number).type for number in range(kind.num_fields)]
    return all(map(_can_be_stored, inner)) and not (types.is_struct(kind) and not inner)
