"""The reader of tabular files, for the Space and for `train`.

In: CSV, TSV, JSON, JSONL, Parquet, an Excel workbook or plain text, gzipped, in a ZIP archive or
neither, of any length; the content counts, not the suffix. Out: a `TableReader` that streams
the rows. Files that can't be read with certainty are refused with the line and the reason; only
blank lines are skipped.
"""

import io
import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

from space.files import InvalidFile, archives, workbook
from space.files.cells import Row, plain_rows
from space.files.csv import detect_dialect, is_table, read_records
from space.files.encodings import HEAD_SIZE, Unpacked, detect_encoding, open_unpacked

BATCH_ROWS = 100  # of Parquet, where a small file can repeat a long text many times
WEB_PAGE = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
JSON_START = re.compile(r'\s*(\[\s*)?\{\s*["}]')
# A first line that is one number, string or constant.
JSON_SCALAR = re.compile(
    r'\s*(-?\d+(\.\d+)?([eE][+-]?\d+)?|"([^"\\\r\n]|\\.)*"|null|true|false)[ \t]*([\r\n]|$)'
)
JSON_LAYOUT = "A line must hold one object, or the whole file one list of objects."
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
MAX_DIGITS = 4300  # Python converts no longer integers
TOO_LONG = object()  # stands for such an integer until its row is known


@dataclass
class TableReader:
    """The columns of an open file, and its rows, which can be iterated once."""

    kind: Literal["csv", "json", "text", "parquet", "workbook"]
    columns: list[str]  # empty for JSON, where each row has its own keys
    rows: Iterator[
        Row
    ]  # as in `cells.plain`; a cell of CSV or a workbook is text, or None if empty
    encoding: str = "utf-8"
    total: int | None = None  # number of rows; Parquet only
    schema: Any = None  # pyarrow.Schema; Parquet only
    batches: Iterator[Any] | None = None  # pyarrow.RecordBatch, instead of rows; Parquet only
    inside: str = ""  # the sheet of a workbook, or the table in a ZIP archive


@contextmanager
def open_table(path: Path, name: str) -> Iterator[TableReader]:
    """Open a file of rows; it is closed when the context ends.

    Args:
        path: Of the file.
        name: Of the file, for messages.

    Raises:
        InvalidFile: It is damaged, empty or not a table; also raised while rows are read.
    """
    with open_unpacked(path, name) as unpacked:
        if archives.is_zip(unpacked.stream):
            with archives.open_zip(unpacked.stream, name) as archive:
                yield _open_workbook(archive, name)
            return
        with _open_table(unpacked) as table:
            table.inside = unpacked.inside
            yield table


@contextmanager
def _open_table(unpacked: Unpacked) -> Iterator[TableReader]:
    stream, name = unpacked.stream, unpacked.name
    if stream.read(4) == b"PAR1":
        stream.seek(0)
        yield _open_parquet(stream, name)
        return
    try:
        encoding, has_escaped_quote = detect_encoding(stream, name)
    except InvalidFile as reason:
        if unpacked.path.suffix.lower() != ".parquet":
            raise
        raise InvalidFile(
            f"{name} is a broken Parquet file: it doesn't begin with PAR1."
        ) from reason
    stream.seek(0)
    with io.TextIOWrapper(stream, encoding, newline="") as text:
        yield _open_text(text, has_escaped_quote, unpacked.path, name)


def _open_workbook(archive: zipfile.ZipFile, name: str) -> TableReader:
    sheet, records = workbook.Workbook(archive, name).read()
    columns = _unique_columns(next(records), name)
    return TableReader("workbook", columns, _rows(columns, records), inside=sheet)


def _rows(columns: list[str], records: Iterator[list[str]]) -> Iterator[Row]:
    """Rows of texts; None where a cell is empty."""
    return ({c: v or None for c, v in zip(columns, cells, strict=True)} for cells in records)


def _open_text(
    text: io.TextIOWrapper, has_escaped_quote: bool, path: Path, name: str
) -> TableReader:
    head = text.read(HEAD_SIZE)
    if WEB_PAGE.match(head):
        raise InvalidFile(f"{name} is a web page or XML, not a table. Save the table as CSV.")
    suffix = next((s for s in map(str.lower, reversed(path.suffixes)) if s != ".gz"), "")
    bracket = head.lstrip()[:1]
    named_json = suffix.startswith((".json", ".ndjson"))
    text.seek(0)
    if JSON_START.match(head) or (
        named_json and (bracket in ("[", "{") or JSON_SCALAR.match(head))
    ):
        rows = _read_json_list(text, name) if bracket == "[" else _read_json_lines(text, name)
        return TableReader("json", [], rows, text.encoding)
    if suffix in (".txt", ".text"):
        if is_table(head):
            return _open_csv(text, has_escaped_quote, ".tsv" if "\t" in head else "", name)
        lines = ({"text": line.rstrip("\r\n")} for line in text if line.strip())
        return TableReader("text", ["text"], lines, text.encoding)
    return _open_csv(text, has_escaped_quote, suffix, name)


def _open_csv(
    text: io.TextIOWrapper, has_escaped_quote: bool, suffix: str, name: str
) -> TableReader:
    records = read_records(text, detect_dialect(text, suffix, has_escaped_quote, name), name)
    columns = _unique_columns(next(records, []), name)
    return TableReader("csv", columns, _rows(columns, records), text.encoding)


def _unique_columns(names: list[str], name: str) -> list[str]:
    """Name columns without a name by their number, if there is more than one.

    Raises:
        InvalidFile: Two columns have the same name, or there are none.
    """
    if names.count("") > 1:
        names = [column or f"column {number}" for number, column in enumerate(names, start=1)]
    if duplicates := _duplicates(names):
        raise InvalidFile(
            f"{name} has more than one column named {duplicates}. Give each column its own name."
        )
    if not names:
        raise InvalidFile(f"{name} has no columns.")
    return names


def _duplicates(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name, count in Counter(names).items() if count > 1)


def _read_json_list(text: TextIO, name: str) -> Iterator[Row]:
    for number, row in enumerate(_parse_json(text.read(), name), start=1):
        yield _check_object(row, f"{name}, entry {number:,}")


def _read_json_lines(text: TextIO, name: str) -> Iterator[Row]:
    for number, line in enumerate(text, start=1):
        if line.strip():
            where = f"{name}, line {number:,}"
            try:
                value = _parse_json(line.rstrip(), where)
            except InvalidFile as reason:
                if not _ends_early(reason.__cause__, line) or not any(map(str.strip, text)):
                    raise
                raise InvalidFile(
                    f"{where}: an object continues on the next line. {JSON_LAYOUT}"
                ) from reason
            yield _check_object(value, where)


def _ends_early(error: BaseException | None, line: str) -> bool:
    """Whether JSON is valid up to the end of the line, where more is expected."""
    return isinstance(error, json.JSONDecodeError) and error.pos >= len(line.rstrip())


def _parse_json(text: str, where: str) -> Any:
    try:
        value = JSON.decode(text)
        _check_integers(value, where)
        if SURROGATE_ESCAPE.search(text):  # other formats can't hold a lone surrogate
            replaced = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            value = JSON.decode(replaced.decode())
        return value
    except RecursionError as error:
        raise InvalidFile(f"{where} is nested too deeply.") from error
    except ValueError as error:
        problem = str(error)
        if isinstance(error, json.JSONDecodeError):
            line = f"line {error.lineno:,}, " if "\n" in text else ""
            problem = f"{error.msg} at {line}column {error.colno:,}"
        raise InvalidFile(f"{where} is broken JSON: {problem}. {JSON_LAYOUT}") from error


def _check_integers(value: Any, where: str) -> None:
    for number, row in enumerate(value if isinstance(value, list) else [value], start=1):
        parts = [row]
        for part in parts:  # the list grows
            if part is TOO_LONG:
                entry = f", entry {number:,}" if isinstance(value, list) else ""
                raise InvalidFile(
                    f"{where}{entry}: a whole number has more than {MAX_DIGITS:,} digits. Put "
                    "quotes around it, so that it is read as text."
                )
            if isinstance(part, dict | list):
                parts += part.values() if isinstance(part, dict) else part


def _parse_object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        duplicates = _duplicates(key for key, _ in pairs)
        raise ValueError(f"an object has more than one key of the name {duplicates}")
    return row


def _parse_float(digits: str) -> float | str:
    """A number, or its text if it is too large for a float."""
    number = float(digits)
    return digits if math.isinf(number) else number


def _parse_int(digits: str) -> Any:
    return int(digits) if len(digits.lstrip("-")) <= MAX_DIGITS else TOO_LONG


JSON = json.JSONDecoder(
    object_pairs_hook=_parse_object,
    parse_int=_parse_int,
    parse_float=_parse_float,
    parse_constant={"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}.__getitem__,
)


def _check_object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        start = json.dumps(value, ensure_ascii=False)[:40]
        raise InvalidFile(f'{where}: a row must be an object such as {{"text": "…"}}, got {start}.')
    return value


def _open_parquet(stream: BinaryIO, name: str) -> TableReader:
    from pyarrow import parquet

    with _parquet_errors(name):
        file = parquet.ParquetFile(stream, page_checksum_verification=True)
        schema, total = file.schema_arrow, file.metadata.num_rows
    columns = _unique_columns(schema.names, name)

    def read_batches() -> Iterator[Any]:
        count = 0
        with _parquet_errors(name):
            for batch in file.iter_batches(BATCH_ROWS):
                batch.validate(full=True)
                count += len(batch)
                yield batch
            if count != total:
                raise ValueError(f"{count:,} of {total:,} rows can be read")

    def read_rows() -> Iterator[Row]:
        for batch in read_batches():
            with _parquet_errors(name):
                rows = plain_rows(batch)
            yield from rows

    return TableReader(
        "parquet", columns, read_rows(), total=total, schema=schema, batches=read_batches()
    )


@contextmanager
def _parquet_errors(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # damaged files make pyarrow raise exceptions of any type
        reason = str(error).strip().partition("\n")[0][:200]
        raise InvalidFile(f"{name} is a broken Parquet file: {reason}") from error
