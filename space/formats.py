"""The formats of tables: from a file, whatever is in it, to a frame of at most 10,000 rows.

In: CSV, TSV, JSON, JSON lines, Parquet or plain text, gzipped or not; the content decides where
the suffix lies. Out: the columns in their order, with names of their own; texts as `str`, missing
cells missing, what is nested as JSON. Or a sentence for the page why not.
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import delimited
import pandas
from uploads import (
    MAX_BYTES,
    MAX_COLUMNS,
    MAX_MARKS,
    MAX_ROWS,
    Unusable,
    contents,
    stream,
    too_large,
    too_wide,
    unpack,
    utf8,
)

OBJECTS = re.compile(rb'\s*(\[\s*)?\{\s*["}]')


def load(path: Path) -> pandas.DataFrame:
    """The rows of a file; see `tables.read`.

    Raises:
        Unusable: It is broken, empty, too large, or no table at all.
    """
    name = path.name
    data = unpack(contents(path), name)
    if data.startswith(b"PAR1"):
        return _check(_parquet(data, name), name)
    data = utf8(data, name)
    if sum(map(data.count, (b",", b";", b"\t", b"|", b"{", b"["))) > MAX_MARKS:
        raise too_large(f"{name} has more cells than fit")
    suffix = next((s.lower() for s in reversed(path.suffixes) if s.lower() != ".gz"), "")
    brackets = suffix.startswith((".json", ".ndjson")) and data.lstrip().startswith((b"[", b"{"))
    if brackets or OBJECTS.match(data):
        frame = _json(data, name)
    elif suffix in (".txt", ".text"):
        frame = _lines(data, name)
    else:
        frame = delimited.table(data, name)
    return _check(frame, name)


def free(name: str, taken: Iterable[str]) -> str:
    """The name, or with `_2`, `_3` … behind it the first that is not taken."""
    names, number, given = set(taken), 1, name
    while name in names:
        number += 1
        name = f"{given}_{number}"
    return name


def _check(frame: pandas.DataFrame, name: str) -> pandas.DataFrame:
    """Give the columns names of their own.

    Raises:
        Unusable: There are too many columns, or no rows.
    """
    if len(frame.columns) > MAX_COLUMNS:
        raise too_wide(name, len(frame.columns))
    if frame.empty:
        raise Unusable(f"{name} names its columns, but has no rows.")
    names: list[str] = []
    for number, given in enumerate(frame.columns, start=1):
        names.append(free(_cell(given).strip() or f"column {number}", names))
    return frame.set_axis(names, axis="columns")


def _lines(data: bytes, name: str) -> pandas.DataFrame:
    """A review a line; blank lines part them."""
    lines = (line.removesuffix("\n") for line in stream(data, None))
    rows = list(islice((line for line in lines if line.strip()), MAX_ROWS + 1))
    if len(rows) > MAX_ROWS:
        raise too_large(f"{name} has more than {MAX_ROWS:,} lines")
    return pandas.DataFrame({"text": _column(rows)})


def _json(data: bytes, name: str) -> pandas.DataFrame:
    """A list of objects, or an object a line."""
    try:
        rows = _json_list(data, name) if data.lstrip()[:1] == b"[" else _json_lines(data, name)
    except RecursionError as error:
        raise Unusable(f"{name} is nested too deeply.") from error
    keys: dict[str, None] = {}
    for row in rows:
        keys.update(dict.fromkeys(row))
        if len(keys) > MAX_COLUMNS:
            raise too_wide(name, len(keys))
    columns = [_column([_cell(row.get(key)) for row in rows]) for key in keys]
    if not columns:
        raise Unusable(f"{name} has no columns: its objects are empty.")
    return pandas.concat(columns, axis="columns").set_axis(list(keys), axis="columns")


def _json_list(data: bytes, name: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(data)
    except ValueError as error:
        raise Unusable(f"{name} is broken JSON: {error}.") from error
    if len(rows) > MAX_ROWS:
        raise too_large(f"{name} has more than {MAX_ROWS:,} rows")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise _no_object(f"{name}, entry {number:,}", row)
    if not rows:
        raise Unusable(f"{name} has no rows.")
    return list(rows)


def _json_lines(data: bytes, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(stream(data, "\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise Unusable(
                f"{name}, line {number:,} is broken JSON: {error}. A line must hold one object, "
                "or the whole file one list of objects."
            ) from error
        if not isinstance(row, dict):
            raise _no_object(f"{name}, line {number:,}", row)
        rows.append(row)
        if len(rows) > MAX_ROWS:
            raise too_large(f"{name} has more than {MAX_ROWS:,} rows")
    return rows


def _no_object(where: str, value: object) -> Unusable:
    start = repr(value)[:40]
    return Unusable(f'{where}: a row must be an object such as {{"text": "…"}}, got {start}.')


def _parquet(data: bytes, name: str) -> pandas.DataFrame:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        if file.metadata.num_rows > MAX_ROWS:
            raise too_large(f"{name} has {file.metadata.num_rows:,} rows")
        if len(file.schema_arrow) > MAX_COLUMNS:
            raise too_wide(name, len(file.schema_arrow))
        parts: list[list[Any]] = [[] for _ in file.schema_arrow]
        size = 0
        # A few at a time: a small file can repeat one long text ten thousand times.
        for batch in file.iter_batches(batch_size=100):
            for part, cells in zip(parts, map(_plain, batch.columns), strict=True):
                part.append(cells)
                size += cells.nbytes
            if size > MAX_BYTES:
                raise too_large(f"{name} unpacks to more than {MAX_BYTES // 2**20} MB")
        names, types = file.schema_arrow.names, file.schema_arrow.types
        columns = [
            _arrow_column(pyarrow.chunked_array(part, None if part else type_))
            for part, type_ in zip(parts, types, strict=True)
        ]
    except (pyarrow.ArrowException, OSError) as error:
        raise Unusable(f"{name} is a broken Parquet file: {str(error)[:200]}") from error
    if not columns:
        raise Unusable(f"{name} has no columns.")
    return pandas.concat(columns, axis="columns").set_axis(names, axis="columns")


def _plain(cells: Any) -> Any:
    """A categorical array as the values that it stands for."""
    return cells.dictionary_decode() if hasattr(cells, "dictionary_decode") else cells


def _arrow_column(cells: Any) -> pandas.Series:
    from pyarrow import types

    if types.is_floating(cells.type) or types.is_timestamp(cells.type):
        return pandas.Series(cells.to_pandas())
    return _column([_cell(cell) for cell in cells.to_pylist()])


def _cell(value: Any) -> Any:
    """A text, a number, a truth or nothing; whatever else it is, as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    elif isinstance(value, dict | list | tuple):
        value = json.dumps(value, ensure_ascii=False, default=str)
    # JSON can hold half a surrogate pair, which nothing can write.
    return str(value).encode("utf-8", "replace").decode()


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
