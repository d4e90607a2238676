"""CSV with any separator: commas, semicolons, tabs or bars.

In: a text stream. Out: the column names, then the rows, each with as many cells; or `InvalidFile`
with the line, the row and the reason.

Python's csv module with strict=True does the parsing. pandas, pyarrow.csv and DuckDB (also with
store_rejects) silently accept some damaged files: they pad short rows, rename duplicate columns, or
read an unclosed quote as text.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TextIO

from space.files import InvalidFile
from space.files.encodings import HEAD_SIZE

NO_SEPARATOR = "\x1f"  # for files of one column
EXCEL_SEPARATOR = re.compile(r'"?sep=([^\w"\r\n])"?(\r\n|\r|\n)', re.IGNORECASE)  # the first line
ESCAPED_QUOTE = re.compile(r'(\\+)"')
USUAL_NAMES = {"text", "review", "comment", "label", "sentiment", "rating", "stars"}
CHECKED_ROWS = 50  # from which the separator is detected
MAX_CELL = 2**26  # characters; an unclosed quote would otherwise read all of a large file


@dataclass(frozen=True)
class Dialect:
    """The format of a CSV file."""

    separator: str
    skipped_lines: int  # above the column names
    backslash_quotes: bool = False  # a quote inside a cell is \", as Spark writes it, instead of ""


def detect_dialect(text: TextIO, suffix: str, has_escaped_quote: bool, name: str) -> Dialect:
    r"""Choose the separator that splits most of the first rows into equally many cells.

    Args:
        text: A seekable text.
        suffix: Of the file, in lower case; .tsv and .tab prefer tabs.
        has_escaped_quote: Whether \" is anywhere in the text.
        name: Of the file.

    Raises:
        InvalidFile: The text has \" and can be read neither with nor without such escapes.
    """
    text.seek(0)
    head = text.read(HEAD_SIZE)
    if first_line := EXCEL_SEPARATOR.match(head):
        dialect = Dialect(first_line[1], skipped_lines=1)
    else:
        dialect = Dialect(_separator(head, suffix), skipped_lines=0)
    try:
        deque(read_records(text, dialect, name) if has_escaped_quote else (), maxlen=0)
        return dialect
    except InvalidFile as reason:
        escaped = replace(dialect, backslash_quotes=True)
        try:
            deque(read_records(text, escaped, name), maxlen=0)
            return escaped
        except InvalidFile:
            raise reason from None


def is_table(head: str) -> bool:
    """Whether a plain text is a table: Excel's "Unicode text" has tabs, others name a usual column.

    Otherwise each line is a review, in which commas mean nothing.
    """
    for separator in "\t,;|":
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        rows = [row for row in islice(reader, CHECKED_ROWS) if row]
        if len(head) == HEAD_SIZE and len(rows) > 2:
            rows.pop()  # may be truncated
        if len(rows) < 2 or len(rows[0]) == 1:
            continue
        names = {name.strip().casefold() for name in rows[0]}
        is_regular = sum(len(row) == len(rows[0]) for row in rows) >= 0.9 * len(rows)
        if is_regular and (separator == "\t" or names & USUAL_NAMES):
            return True
    return False


def read_records(text: TextIO, dialect: Dialect, name: str) -> Iterator[list[str]]:
    """Yield the column names, then the cells of each row; blank lines are skipped.

    Raises:
        InvalidFile: A row has more or fewer cells than there are columns, wrong quotes, or an
            ambiguous line end.
    """
    text.seek(0)
    csv.field_size_limit(MAX_CELL)  # a setting of the whole process; 131,072 by default
    last_line, line_ends = "", set[str]()

    def lines() -> Iterator[str]:
        nonlocal last_line
        for last_line in islice(text, dialect.skipped_lines, None):
            is_escaped = dialect.backslash_quotes
            yield ESCAPED_QUOTE.sub(_double_quote, last_line) if is_escaped else last_line

    reader = csv.reader(lines(), delimiter=dialect.separator, strict=True)
    width, row, line = 0, 0, 1 + dialect.skipped_lines
    problem: str | None = None
    try:
        for record in reader:
            if record:
                width = width or len(record)
                line_ends.add(last_line[-1])
                if len(record) != width:
                    problem = _wrong_length(len(record), width, dialect.separator)
                elif {"\r", "\n"} <= line_ends:
                    problem = (
                        "a carriage return without a line feed ends this row or one above, but "
                        "line feeds end others. Put quotes around texts that contain line ends."
                    )
                if problem:
                    break
                yield record
                row += 1
            line = reader.line_num + 1 + dialect.skipped_lines
    except csv.Error as error:
        problem = _wrong_quotes(error)
    if problem:
        row_hint = f" This is row {row:,} of the table." if row else ""
        raise InvalidFile(f"{name}, line {line:,}: {problem}{row_hint}")


def _separator(head: str, suffix: str) -> str:
    scores: dict[str, tuple[float, int]] = {}
    for separator in "\t,;|" if suffix in (".tsv", ".tab") else ",;\t|":
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        widths = [len(row) for row in islice(reader, CHECKED_ROWS) if row]
        if len(head) == HEAD_SIZE and len(widths) > 2:
            widths.pop()  # may be truncated
        if widths and widths[0] > 1:
            scores[separator] = (widths.count(widths[0]) / len(widths), widths[0])
    return max(scores, key=scores.__getitem__) if scores else NO_SEPARATOR


def _double_quote(match: re.Match[str]) -> str:
    r"""Turn \" into "" and \\ into \ ."""
    backslashes = len(match[1])
    return "\\" * (backslashes // 2) + ('""' if backslashes % 2 else '"')


def _wrong_length(cells: int, columns: int, separator: str) -> str:
    named = {"\t": "tabs", NO_SEPARATOR: "control characters"}.get(separator, f'"{separator}"')
    counted, named_columns = f"{cells:,} cell", f"{columns:,} column"
    return (
        f"the row has {counted}{'s' * (cells != 1)}, but the first line names "
        f"{named_columns}{'s' * (columns != 1)}. "
        f"Columns are separated by {named}: put quotes around texts that contain that character."
    )


def _wrong_quotes(error: csv.Error) -> str:
    if "end of data" in str(error):
        return "a quote opens in this row and is never closed."
    if "field limit" in str(error):
        return f"a cell has more than {MAX_CELL:,} characters; a quote may never be closed."
    return (
        "text follows a closing quote. Inside a quoted text write each quote twice, as "
        f'"". ({error})'
    )
