"""Excel workbooks (.xlsx): the rows of the first visible sheet that has any.

In: an open workbook. Out: the column names, then the rows, as texts as CSV has them: dates in ISO
format, numbers as Excel stores them; or `InvalidFile`. Formulas are never computed: the results
that Excel stored are read. Format: ECMA-376, Office Open XML.
"""

import datetime
import posixpath
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from xml.etree import ElementTree

from space.files import InvalidFile
from space.files.archives import WORKBOOK

HEAD_BYTES = 2**16
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
STRICT_RELATION = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
BUILT_IN_DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
# Text, colors and conditions of a number format, which may contain the letters of dates.
FORMAT_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\[[^\]]*\]|General', re.IGNORECASE)
ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
COLUMN_LETTERS = re.compile(r"([A-Z]{1,3})[0-9]+")
EPOCHS = {False: datetime.datetime(1899, 12, 30), True: datetime.datetime(1904, 1, 1)}
MAX_SERIAL = 2_958_466  # the year 10,000


def unpacked_size(archive: zipfile.ZipFile) -> int:
    """Bytes of the sheets and their texts."""
    return sum(info.file_size for info in archive.infolist() if info.filename.endswith(".xml"))


class Workbook:
    """An open workbook.

    Args:
        archive: The file.
        name: Of the file, for messages.

    Raises:
        InvalidFile: It is damaged; also raised while rows are read.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive, self._name = archive, name
        self._uses_1904 = False
        self._sheets = self._find_sheets()  # path by the sheet's name
        self._texts = list(self._read_texts())
        self._date_styles = self._find_date_styles()

    def read(self) -> tuple[str, Iterator[list[str]]]:
        """The name of the first sheet with rows, and its rows; empty rows are skipped."""
        for sheet, path in self._sheets.items():
            rows = self._rows(path)
            if (first := next(rows, None)) is not None:
                return sheet, _records(first, rows, f"{self._name}, sheet {sheet}")
        raise InvalidFile(f"{self._name} is empty: no visible sheet has a row.")

    def _find_sheets(self) -> dict[str, str]:
        targets = {
            element.get("Id", ""): element.get("Target", "")
            for element in self._elements("xl/_rels/workbook.xml.rels", "Relationship")
        }
        sheets: dict[str, str] = {}
        for element in self._elements(WORKBOOK, "sheet", "workbookPr"):
            if _tag(element) == "workbookPr":
                self._uses_1904 = element.get("date1904") in ("1", "true")
            elif element.get("state", "visible") == "visible":
                relation = element.get(RELATION) or element.get(STRICT_RELATION) or ""
                path = posixpath.normpath(posixpath.join("/xl", targets.get(relation, "")))
                sheets[element.get("name", "")] = path.lstrip("/")
        return sheets

    def _read_texts(self) -> Iterator[str]:
        for element in self._elements("xl/sharedStrings.xml", "si"):
            yield _text(element)

    def _find_date_styles(self) -> set[int]:
        """The indices of the cell styles that show a number as a date."""
        formats: dict[int, str] = {}
        styles: list[int] = []
        with self._errors("xl/styles.xml"):
            for element in self._elements("xl/styles.xml", "numFmt", "cellXfs"):
                if _tag(element) == "numFmt":
                    formats[int(element.get("numFmtId", "0"))] = element.get("formatCode", "")
                else:
                    styles += [int(style.get("numFmtId", "0")) for style in element]
        return {
            index
            for index, number in enumerate(styles)
            if number in BUILT_IN_DATES or re.search("[ymdhs]", _letters(formats.get(number, "")))
        }

    def _rows(self, path: str) -> Iterator[tuple[int, dict[int, str]]]:
        """The number of each row that has a cell, and its cells by their column."""
        number = 0
        for row in self._elements(path, "row"):
            with self._errors(path):
                number = int(row.get("r", number + 1))
                cells = self._cells(row)
            if cells:
                yield number, cells

    def _cells(self, row: Any) -> dict[int, str]:
        """The cells of a row that are not empty, by their column."""
        cells: dict[int, str] = {}
        column = -1
        for cell in row:
            letters = COLUMN_LETTERS.fullmatch(cell.get("r", ""))
            column = _column(letters[1]) if letters else column + 1
            if value := self._cell(cell):
                cells[column] = value
        return cells

    def _cell(self, cell: Any) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _text(cell)
        value = next((child.text or "" for child in cell if _tag(child) == "v"), "")
        if kind == "s" and value:
            return self._texts[int(value)]
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, value)
        if kind == "e":  # such as #N/A
            return ""
        if kind == "n" and value and int(cell.get("s", "0")) in self._date_styles:
            return self._date(value)
        return _unescape(value) if kind == "str" else value

    def _date(self, serial: str) -> str:
        days = float(serial)
        if not 0 <= days < MAX_SERIAL:
            return serial
        moment = EPOCHS[self._uses_1904] + datetime.timedelta(seconds=round(days * 86400))
        if days < 1:
            return moment.time().isoformat()
        return moment.date().isoformat() if days.is_integer() else moment.isoformat()

    def _elements(self, path: str, *tags: str) -> Iterator[Any]:
        """The complete elements with these tags, in their order; none if there is no such part."""
        try:
            info = self._archive.getinfo(path)
        except KeyError:
            return
        parents: list[Any] = []
        with self._errors(path), self._archive.open(info) as stream:
            _check_has_no_doctype(stream)
            for event, element in ElementTree.iterparse(stream, ("start", "end")):
                if event == "start":
                    parents.append(element)
                    continue
                parents.pop()
                if _tag(element) in tags:
                    yield element
                    if parents:
                        parents[-1].clear()  # frees memory

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except (ElementTree.ParseError, ValueError, IndexError) as error:
            raise InvalidFile(
                f"{self._name} is a broken Excel workbook: {path}: {error}. Open it in a "
                "spreadsheet program and save it again."
            ) from error


def _records(
    first: tuple[int, dict[int, str]], rows: Iterator[tuple[int, dict[int, str]]], where: str
) -> Iterator[list[str]]:
    """The cells of each row, as many as the first row has.

    Raises:
        InvalidFile: A row has a cell beyond the last column name.
    """
    start, width = min(first[1]), max(first[1]) + 1
    yield [first[1].get(column, "") for column in range(start, width)]
    for number, cells in rows:
        if min(cells) < start or max(cells) >= width:
            raise InvalidFile(
                f"{where}, row {number:,}: the row has cells outside of the columns that row "
                f"{first[0]:,} names. Write a name above each column, and nothing above the names."
            )
        yield [cells.get(column, "") for column in range(start, width)]


def _check_has_no_doctype(stream: IO[bytes]) -> None:
    """Excel writes none; its entities could fill the memory."""
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if b"<!DOCTYPE" in head or b"\0" in head or not re.search(rb"<[A-Za-z]", head):
        raise ValueError("it is not XML as spreadsheet programs write it")


def _tag(element: Any) -> str:
    """The tag without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _text(element: Any) -> str:
    """The text of a cell, without the pronunciation of East Asian words."""
    parts = []
    for child in element:
        if _tag(child) == "t":
            parts.append(child.text or "")
        elif _tag(child) in ("r", "is"):
            parts.append(_text(child))
    return _unescape("".join(parts))


def _unescape(text: str) -> str:
    r"""Replace _x000D_ by the character; what is no text becomes "\ufffd"."""
    if "_x" not in text:
        return text
    unescaped = ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return unescaped.encode("utf-8", "replace").decode()


def _letters(number_format: str) -> str:
    """The letters of the first section of a number format that stand for parts of the value."""
    return FORMAT_LITERAL.sub("", number_format).partition(";")[0].lower()


def _column(letters: str) -> int:
    """The index of a column: A is 0, AA is 26."""
    index = 0
    for letter in letters:
        index = 26 * index + ord(letter) - ord("A") + 1
    return index - 1
