"""Predictions as columns, and files to download that are safe to open in a spreadsheet.

In: a data frame and a prediction for each row. Out: a frame with the predictions; CSV, or an Excel
workbook, in which no cell is a formula.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas

from space.files.tables import unused_name
from space.inference.classifier import InvalidText, Prediction
from space.inference.labels import unit

# Spreadsheets run cells that begin with these, full-width forms included.
FORMULA_STARTS = "=+-@\t\r\n＝＋－＠"
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?\s?%?")
# Where a cell begins if the file is split at semicolons or tabs; quotation marks don't count.
CELL_START = re.compile(r'([;\t\r\n]"*)(?=[=+\-@＝＋－＠])|([;\r\n]"*)(?=\t)')
MAX_WORKBOOK_CELL = 32_767  # UTF-16 code units; a limit of Excel
TRUNCATED = " … [truncated: a workbook cell has a limited length; the CSV file has the full text]"
MAX_EXACT_INTEGER = 10**15  # spreadsheets round larger ones


def prediction_frame(
    answers: Sequence[Prediction | InvalidText], labels: Sequence[str]
) -> pandas.DataFrame:
    """One row per answer, in the same order.

    Args:
        answers: Of the model.
        labels: Of the model, in its order.

    Returns:
        `prediction` (a label, or ""), its `probability`, `p(LABEL)` of each label (both in [0, 1]),
        of a scale such as stars `expected_stars` (the mean by probability), `unsure`,
        `tokens_read`, `tokens`, `language_caution` if any answer has one, and `error` (why there is
        no prediction, or "").
    """
    types = {"prediction": "str", "probability": "float64"}
    types |= {f"p({label})": "float64" for label in labels}
    expected = f"expected_{steps.replace(' ', '_')}" if (steps := unit(labels)) else None
    types |= {expected: "float64"} if expected else {}
    types |= {"unsure": "bool", "tokens_read": "Int64", "tokens": "Int64"}
    if any(isinstance(answer, Prediction) and answer.language_caution for answer in answers):
        types["language_caution"] = "str"
    types["error"] = "str"
    rows = [
        {
            "prediction": answer.label,
            "probability": answer.probabilities[answer.label],
            **{f"p({label})": answer.probabilities[label] for label in labels},
            **({expected: answer.expected} if expected else {}),
            "unsure": answer.unsure,
            "tokens_read": answer.tokens_read,
            "tokens": answer.tokens,
            "language_caution": answer.language_caution or "",
            "error": "",
        }
        if isinstance(answer, Prediction)
        else {"prediction": "", "unsure": False, "error": str(answer)}
        for answer in answers
    ]
    return pandas.DataFrame(rows, columns=list(types)).astype(types)


def append_columns(frame: pandas.DataFrame, added: pandas.DataFrame) -> pandas.DataFrame:
    """Both frames side by side; a column that exists already gets a number: `prediction_2`.

    Raises:
        ValueError: The frames have different lengths.
    """
    if len(frame) != len(added):
        raise ValueError(f"frames must have equal lengths, got {len(frame)} and {len(added)}")
    names = list(map(str, frame.columns))
    for name in added.columns:
        names.append(unused_name(name, names))
    joined = pandas.concat([frame, added.set_index(frame.index)], axis="columns")
    return joined.set_axis(names, axis="columns")


def write_csv(frame: pandas.DataFrame, path: Path) -> None:
    """Write CSV that Excel reads as UTF-8, and in which no cell is a formula.

    This holds for splitting at commas, semicolons and tabs; the default depends on the country of
    the spreadsheet program. An apostrophe is put before what would start a formula:
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    last = len(frame.columns) - 1

    def escape(cell: Any, position: int) -> Any:
        return escape_formula(cell, first=0 == position < last, last=position == last)

    safe = frame.copy(deep=False)
    for position, name in enumerate(frame.columns):
        kind = frame[name].dtype.kind
        is_safe_number = kind in "biuf" and position > 0
        if is_safe_number or (kind == "M" and not _has_year_below_1(frame[name])):
            continue
        cells = [escape(cell, position) for cell in frame[name].tolist()]
        safe[name] = pandas.Series(cells, frame.index, dtype="object")
    names = [escape(name, position) for position, name in enumerate(frame.columns)]
    safe.columns = pandas.Index(names)
    safe.to_csv(path, index=False, encoding="utf-8-sig", errors="replace", lineterminator="\r\n")


def _has_year_below_1(dates: pandas.Series) -> bool:
    """Such dates are written with a minus sign."""
    return bool((dates < pandas.Timestamp(year=1, month=1, day=1, tz=dates.dt.tz)).any())


def escape_formula(cell: Any, first: bool = False, last: bool = False) -> Any:
    """A cell of a CSV file that is no formula, whatever the separator.

    Args:
        cell: A text, a number, or missing.
        first: Whether the cell begins a line. With another separator a negative number there
            continues with the next cells, so it is written with a space before it.
        last: Whether the cell ends a line.
    """
    if isinstance(cell, int | float):
        return f" {cell}" if first and cell < 0 else cell
    if cell is None or cell is pandas.NA or cell is pandas.NaT:
        return cell
    text = CELL_START.sub(r"\1\2'", str(cell).replace("\0", "\ufffd"))  # few programs read NUL
    if text.startswith(tuple(FORMULA_STARTS)):
        if not NUMBER.fullmatch(text):
            text = f"'{text}"
        elif first:
            text = f" {text}"
    if last and text.endswith((";", "\t", "\r", "\n")):
        text += " "  # otherwise the closing quotation mark would begin a cell
    return text


def write_workbook(frame: pandas.DataFrame, path: Path) -> None:
    """Write an Excel workbook, in which texts are never formulas and numbers stay numbers."""
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
    elif isinstance(cell, int | float) and abs(cell) <= MAX_EXACT_INTEGER:
        sheet.write_number(row, column, cell)
    else:
        sheet.write_string(row, column, _truncate(str(cell)))


def _truncate(text: str) -> str:
    encoded = text.encode("utf-16-le", "replace")
    if len(encoded) > 2 * MAX_WORKBOOK_CELL:
        kept = encoded[: 2 * (MAX_WORKBOOK_CELL - len(TRUNCATED))]
        encoded = kept + TRUNCATED.encode("utf-16-le")
    return encoded.decode("utf-16-le", "ignore")
