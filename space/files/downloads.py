"""Scored rows as files to download, in which a spreadsheet runs nothing.

In: a frame. Out: CSV for programs and spreadsheets, or an Excel workbook whose texts are the same
to the letter.
"""

import math
import re
from pathlib import Path
from typing import Any

import pandas

# What a spreadsheet takes for a formula at the beginning of a cell, full-width forms included.
FORMULA = "=+-@\t\r\n＝＋－＠"
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?\s?%?")
# Where a cell begins for a reader that splits at semicolons or tabs, quotation marks left out.
BEGINNING = re.compile(r'([;\t\r\n]"*)(?=[=+\-@＝＋－＠])|([;\r\n]"*)(?=\t)')
SPREADSHEET_CHARACTERS = 32_767  # of a cell, in UTF-16
CUT = " … [cut: a cell of a workbook has no room for more; the CSV file has all of it]"
EXACT = 10**15  # spreadsheets round whole numbers above it


def write(frame: pandas.DataFrame, path: Path) -> None:
    """Write CSV that Excel reads as UTF-8, and in which no cell is a formula.

    That holds whether it is split at commas, semicolons or tabs, as the reader's country has it.
    Where a spreadsheet would see a formula begin, an apostrophe is put in front:
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    safe = frame.copy(deep=False)
    last = len(frame.columns) - 1
    for at, name in enumerate(frame.columns):
        kind = frame[name].dtype.kind
        if kind in "biuf" and at > 0:
            continue
        if kind == "M" and not _any_before_year_1(frame[name]):
            continue
        cells = [harmless(cell, 0 == at < last, at == last) for cell in frame[name].tolist()]
        safe[name] = pandas.Series(cells, frame.index, dtype="object")
    names = [harmless(name, 0 == at < last, at == last) for at, name in enumerate(frame.columns)]
    safe.columns = pandas.Index(names)
    safe.to_csv(path, index=False, encoding="utf-8-sig", errors="replace", lineterminator="\r\n")


def _any_before_year_1(dates: pandas.Series) -> bool:
    """Whether a date begins with a minus."""
    return bool((dates < pandas.Timestamp(year=1, month=1, day=1, tz=dates.dt.tz)).any())


def harmless(cell: Any, first: bool = False, last: bool = False) -> Any:
    """A cell of a CSV file that is no formula, however the file is split.

    Args:
        cell: A text, a number, or nothing.
        first: Whether it begins a line: split elsewhere, a negative number there goes on with the
            cells behind it, and is written with a space in front.
        last: Whether it ends a line.
    """
    if isinstance(cell, int | float):
        return f" {cell}" if first and cell < 0 else cell
    if cell is None or cell is pandas.NA or cell is pandas.NaT:
        return cell
    text = BEGINNING.sub(r"\1\2'", str(cell).replace("\0", "\ufffd"))  # few read on behind a NUL
    if text.startswith(tuple(FORMULA)):
        number = NUMBER.fullmatch(text)
        text = text if number and not first else f" {text}" if number else f"'{text}"
    if last and text.endswith((";", "\t", "\r", "\n")):
        text += " "  # or the closing quotation mark would begin a cell
    return text


def write_workbook(frame: pandas.DataFrame, path: Path) -> None:
    """Write an Excel workbook: texts are texts, whatever they look like, and numbers numbers."""
    import xlsxwriter

    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet("Reviews")
        rows = [frame.columns, *frame.itertuples(index=False, name=None)]
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                _write_cell(sheet, row, column, cell)


def _write_cell(sheet: Any, row: int, column: int, cell: Any) -> None:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return
    if cell is pandas.NA or cell is pandas.NaT:
        return
    if isinstance(cell, bool):
        sheet.write_boolean(row, column, cell)
    elif isinstance(cell, int | float) and abs(cell) <= EXACT:
        sheet.write_number(row, column, cell)
    else:
        sheet.write_string(row, column, _fitting(str(cell)))


def _fitting(text: str) -> str:
    """A text as far as a cell of a workbook holds it."""
    wide = text.encode("utf-16-le", "replace")
    if len(wide) > 2 * SPREADSHEET_CHARACTERS:
        wide = wide[: 2 * (SPREADSHEET_CHARACTERS - len(CUT))] + CUT.encode("utf-16-le")
    return wide.decode("utf-16-le", "ignore")
