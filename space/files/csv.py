"""Tables whose cells are parted by commas, semicolons, tabs or bars.

In: a text. Out: the names of its columns and then its rows, as many cells in each; or a sentence
why not, with the line and the row.

Python's own csv with strict=True reads them: it alone was right on all faulty files. pandas,
pyarrow.csv and DuckDB, with store_rejects too, fill up short rows, rename columns that have the
same name, or take a quote that is never closed for a part of the text.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TextIO

from .raw import HEAD, InvalidFile

ONE_COLUMN = "\x1f"  # separates nothing
TOLD = re.compile(r'"?sep=([^\w"\r\n])"?(\r\n|\r|\n)', re.IGNORECASE)  # by Excel, above the names
ESCAPED_QUOTE = re.compile(r'(\\+)"')
MAX_CELL = 2**26  # characters; else a quote that is never closed would read all of a large file


@dataclass(frozen=True)
class Dialect:
    """How cells are parted."""

    separator: str
    above: int  # lines above the names of the columns
    escaped: bool = False  # a quote within a text is written \", as by Spark, instead of ""


def dialect_of(text: TextIO, suffix: str, escapes: bool, name: str) -> Dialect:
    r"""What parts most of the first records as it parts the names of the columns.

    Args:
        text: Any that can be read again.
        suffix: Of the file, in small letters; of two separators that fit it decides.
        escapes: Whether \" stands somewhere in the text.
        name: Of the file.

    Raises:
        InvalidFile: There are such quotes, and no way to read all records.
    """
    text.seek(0)
    head = text.read(HEAD)
    if told := TOLD.match(head):
        dialect = Dialect(told[1], above=1)
    else:
        dialect = Dialect(_separator(head, suffix), above=0)
    try:
        deque(records(text, dialect, name) if escapes else (), maxlen=0)
        return dialect
    except InvalidFile as reason:
        escaped = replace(dialect, escaped=True)
        try:
            deque(records(text, escaped, name), maxlen=0)
            return escaped
        except InvalidFile:
            raise reason from None


def records(text: TextIO, dialect: Dialect, name: str) -> Iterator[list[str]]:
    """The names of the columns, then the cells row by row, as many in each; blank lines are none.

    Raises:
        InvalidFile: A row has another length, quotes that are wrong, or an end that is in doubt.
    """
    text.seek(0)
    csv.field_size_limit(MAX_CELL)  # one for the whole process, 131,072 unless told
    last, ends = "", set[str]()

    def lines() -> Iterator[str]:
        nonlocal last
        for last in islice(text, dialect.above, None):
            yield ESCAPED_QUOTE.sub(_doubled, last) if dialect.escaped else last

    reader = csv.reader(lines(), delimiter=dialect.separator, strict=True)
    width, number, line = 0, 0, 1 + dialect.above
    fault: str | None = None
    try:
        for record in reader:
            if record:
                width = width or len(record)
                ends.add(last[-1])
                if len(record) != width:
                    fault = _ragged(len(record), width, dialect.separator)
                elif {"\r", "\n"} <= ends:
                    fault = (
                        "a carriage return without a line feed ends this row or one above, and "
                        "line feeds end others. Put quotes around texts with line ends in them."
                    )
                if fault:
                    break
                yield record
                number += 1
            line = reader.line_num + 1 + dialect.above
    except csv.Error as error:
        fault = _misquoted(error)
    if fault:
        row = f" This is row {number:,} of the table." if number else ""
        raise InvalidFile(f"{name}, line {line:,}: {fault}{row}")


def _separator(head: str, suffix: str) -> str:
    found: dict[str, tuple[float, int]] = {}
    for separator in "\t,;|" if suffix in (".tsv", ".tab") else ",;\t|":
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        widths = [len(row) for row in islice(reader, 50) if row]
        if len(head) == HEAD and len(widths) > 2:
            widths.pop()  # may be cut off
        if widths and widths[0] > 1:
            found[separator] = (widths.count(widths[0]) / len(widths), widths[0])
    return max(found, key=found.__getitem__) if found else ONE_COLUMN


def _doubled(quote: re.Match[str]) -> str:
    """Backslashes and a quote, as CSV has them: of each two backslashes one stays."""
    number = len(quote[1])
    return "\\" * (number // 2) + ('""' if number % 2 else '"')


def _ragged(cells: int, columns: int, separator: str) -> str:
    parts = {"\t": "a tab", ONE_COLUMN: "a control character"}.get(separator, f'"{separator}"')
    return (
        f"the row has {cells:,} cells, but the first line names {columns:,} columns. Cells are "
        f"parted by {parts}: put quotes around texts that have it in them."
    )


def _misquoted(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quote opens in this row and is never closed."
    if "field limit" in str(error):
        return f"a cell has more than {MAX_CELL:,} characters, as where a quote is never closed."
    return (
        "text goes on behind a closing quote. In a quoted text write each quote twice, as "
        f'"". ({error})'
    )
