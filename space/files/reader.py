"""The reader of tabular files: from a file of any length, whatever is in it, to its rows.

In: CSV, TSV, JSON, JSON lines, Parquet or plain text, gzipped or not; the content decides where the
suffix lies. Out: a `Table`, whose rows are read one after the other. A cell of CSV is a text, or
missing if it is empty. What can't be read without a doubt is refused in a sentence; no row is
skipped but blank lines.
"""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from .cells import Row, as_json, as_text, plain_rows
from .csv import dialect_of, records
from .raw import HEAD, InvalidFile, encoding_of, unpacked

__all__ = ["Row", "Table", "InvalidFile", "as_json", "as_text", "opened", "plain_rows", "unpacked"]

BATCH_ROWS = 100  # of Parquet, a small file of which can repeat one long text many times
WEB_PAGE = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
OBJECTS = re.compile(r'\s*(\[\s*)?\{\s*["}]')
HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # of surrogates, or a whole pair
MAX_DIGITS = 4300  # of a whole number: Python converts no longer ones
TOO_LONG = object()  # in the place of one that is longer, until its row is known


@dataclass
class Table:
    """The rows of a file, which can be read once."""

    kind: str  # delimited, json, text or parquet
    columns: list[str]  # that the file names; none of JSON, where each row names its own
    rows: Iterator[Row]  # values as `cells.plain` has them
    encoding: str = "utf-8"
    total: int | None = None  # rows, of Parquet
    schema: Any = None  # of Parquet
    batches: Iterator[Any] | None = None  # of Parquet, to be read instead of the rows


@contextmanager
def opened(path: Path, name: str) -> Iterator[Table]:
    """Read a file, as long as the context lasts.

    Args:
        path: Of the file.
        name: Of the file in what is said about it.

    Raises:
        InvalidFile: It is broken, empty or no table; also while its rows are read.
    """
    with unpacked(path, name) as stream:
        if stream.read(4) == b"PAR1":
            stream.seek(0)
            yield _parquet(stream, name)
            return
        try:
            encoding, escapes = encoding_of(stream, name)
        except InvalidFile as reason:
            if path.suffix.lower() != ".parquet":
                raise
            raise InvalidFile(
                f"{name} is a broken Parquet file: it doesn't begin with PAR1."
            ) from reason
        stream.seek(0)
        with io.TextIOWrapper(stream, encoding, newline="") as text:
            yield _text(text, escapes, path, name)


def _text(text: io.TextIOWrapper, escapes: bool, path: Path, name: str) -> Table:
    head = text.read(HEAD)
    if WEB_PAGE.match(head):
        raise InvalidFile(f"{name} is a web page or XML, not a table. Save the table as CSV.")
    suffix = next((s for s in map(str.lower, reversed(path.suffixes)) if s != ".gz"), "")
    bracket = head.lstrip()[:1]
    in_json = suffix.startswith((".json", ".ndjson")) and bracket in ("[", "{")
    text.seek(0)
    if in_json or OBJECTS.match(head):
        rows = _json_list(text, name) if bracket == "[" else _json_lines(text, name)
        return Table("json", [], rows, text.encoding)
    if suffix in (".txt", ".text"):
        lines = ({"text": line.rstrip("\r\n")} for line in text if line.strip())
        return Table("text", ["text"], lines, text.encoding)
    cells = records(text, dialect_of(text, suffix, escapes, name), name)
    columns = _distinct(next(cells, []), name)
    rows = ({c: v or None for c, v in zip(columns, row, strict=True)} for row in cells)
    return Table("delimited", columns, rows, text.encoding)


def _distinct(names: list[str], name: str) -> list[str]:
    """Names of columns; of several that have none, each is called by its number.

    Raises:
        InvalidFile: Two are the same, or there are none.
    """
    if names.count("") > 1:
        names = [given or f"column {number}" for number, given in enumerate(names, start=1)]
    if doubled := [repr(given) for given, count in Counter(names).items() if count > 1]:
        raise InvalidFile(
            f"{name} has more than one column of the name {', '.join(doubled)}. Give each column a "
            "name of its own."
        )
    if not names:
        raise InvalidFile(f"{name} has no columns.")
    return names


def _json_list(text: TextIO, name: str) -> Iterator[Row]:
    for number, row in enumerate(_decoded(text.read(), name), start=1):
        yield _object(row, f"{name}, entry {number:,}")


def _json_lines(text: TextIO, name: str) -> Iterator[Row]:
    for number, line in enumerate(text, start=1):
        if line.strip():
            where = f"{name}, line {number:,}"
            advice = " A line must hold one object, or the whole file one list of objects."
            yield _object(_decoded(line, where, advice), where)


def _decoded(text: str, where: str, advice: str = "") -> Any:
    try:
        value = JSON.decode(text)
        _check_numbers(value, where)
        if HALF_PAIR.search(text):  # which no other format can hold
            whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            value = JSON.decode(whole.decode())
        return value
    except RecursionError as error:
        raise InvalidFile(f"{where} is nested too deeply.") from error
    except ValueError as error:
        raise InvalidFile(f"{where} is broken JSON: {error}.{advice}") from error


def _check_numbers(value: Any, where: str) -> None:
    for number, row in enumerate(value if isinstance(value, list) else [value], start=1):
        parts = [row]
        for part in parts:  # which grows
            if part is TOO_LONG:
                entry = f", entry {number:,}" if isinstance(value, list) else ""
                raise InvalidFile(
                    f"{where}{entry}: a whole number has more than {MAX_DIGITS:,} digits. Put "
                    "quotes around it, so that it is a text."
                )
            if isinstance(part, dict | list):
                parts += part.values() if isinstance(part, dict) else part


def _pairs(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = [repr(key) for key, count in Counter(k for k, _ in pairs).items() if count > 1]
        raise ValueError(f"an object has more than one key of the name {', '.join(doubled)}")
    return found


def _real(digits: str) -> float | str:
    """A number; one that is beyond all floats stays the text that it is."""
    number = float(digits)
    return digits if math.isinf(number) else number


def _whole(digits: str) -> Any:
    """A number without a fraction, or `TOO_LONG`."""
    return int(digits) if len(digits.lstrip("-")) <= MAX_DIGITS else TOO_LONG


JSON = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_int=_whole,
    parse_float=_real,
    parse_constant={"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}.__getitem__,
)


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        start = repr(value)[:40]
        raise InvalidFile(f'{where}: a row must be an object such as {{"text": "…"}}, got {start}.')
    return value


def _parquet(stream: BinaryIO, name: str) -> Table:
    from pyarrow import parquet

    with _explained(name):
        file = parquet.ParquetFile(stream, page_checksum_verification=True)
        schema, total = file.schema_arrow, file.metadata.num_rows
    columns = _distinct(schema.names, name)

    def batches() -> Iterator[Any]:
        read = 0
        with _explained(name):
            for batch in file.iter_batches(BATCH_ROWS):
                batch.validate(full=True)
                read += len(batch)
                yield batch
            if read != total:
                raise ValueError(f"{read:,} rows can be read of {total:,}")

    rows = (row for batch in batches() for row in _explained_rows(batch, name))
    return Table("parquet", columns, rows, total=total, schema=schema, batches=batches())


def _explained_rows(batch: Any, name: str) -> list[Row]:
    with _explained(name):
        return plain_rows(batch)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # strangers' bytes: pyarrow raises whatever they make it stumble at
        reason = str(error).strip().partition("\n")[0][:200]
        raise InvalidFile(f"{name} is a broken Parquet file: {reason}") from error
