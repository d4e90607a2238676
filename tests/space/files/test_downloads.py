"""Scored files: no cell is a formula with any separator, and nothing else is changed."""

import csv
import io
import re
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from space.files import downloads, tables
from space.inference.classifier import InvalidText, Prediction

RISKY = ["=1+1", "+cmd|' /C calc'!A0", "-great", "@SUM(A1)", "\t=1", "\r=1", "＝1"]
PLAIN = ["+1.5", "-1,234.50", "-.5e-3", "-20%", "it's = 1", "1=1", "", "'=1", "one\n\ntwo", "a; b"]
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
# Risky pieces, more frequent than among all characters.
pieces = st.sampled_from([*";,\t\r\n\"'=+-@＝ 1a", ";=", '";', ',"', "-1", "\r\n", "=1+1", '"-'])
texts = st.one_of(
    st.lists(pieces, max_size=8).map("".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
)
cells = st.one_of(texts, st.integers(-9, 9), st.floats(-9, 9), st.booleans(), st.none())
LABELS = ["NEGATIVE", "POSITIVE"]
frames = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.tuples(*[cells] * width), min_size=1, max_size=4)
)


def prediction(positive: float, unsure: bool = False) -> Prediction:
    probabilities = {"NEGATIVE": 1 - positive, "POSITIVE": positive}
    return Prediction(probabilities, tokens_read=3, tokens=4, unsure=unsure)


def as_frame(rows: list[tuple[Any, ...]]) -> pandas.DataFrame:
    columns = {
        f"c{i}": pandas.Series(cells, dtype="object")
        for i, cells in enumerate(zip(*rows, strict=True))
    }
    return pandas.DataFrame(columns)


def split(path: Path, separator: str) -> list[list[str]]:
    content = path.read_bytes().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(content, newline=""), delimiter=separator))


def is_number(cell: str) -> bool:
    return bool(downloads.NUMBER.fullmatch(cell)) or cell in ("-inf", "inf")


@settings(deadline=None, max_examples=200, derandomize=True)
@example([('a,b;"', "=1"), ("-1", "5+cmd|' /C calc'!A0")])
@example([("a,;", "b,;"), (-1, -1)])
@example([('x\n"=1', 'x;"\n'), ("\t", "\n\t=1")])
@given(frames)
def test_csv_has_no_formula_with_any_separator(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]
):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    downloads.write_csv(as_frame(rows), path)
    for separator in ",;\t":
        for row in split(path, separator):
            for cell in row:
                assert is_number(cell) or not cell.startswith(tuple(downloads.FORMULA_STARTS)), row
    width = len(rows[0])
    expected = [
        [downloads.escape_formula(cell, 0 == at < width - 1, at == width - 1)
         for at, cell in enumerate(row)]
        for row in rows
    ]  # fmt: skip
    assert split(path, ",")[1:] == [
        ["" if cell is None else str(cell) for cell in row] for row in expected
    ]


def test_csv_changes_only_formulas(tmp_path: Path):
    frame = pandas.DataFrame({"=text": RISKY + PLAIN, "again": RISKY + PLAIN, "n": range(-9, 8)})
    downloads.write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    header, *rows = split(tmp_path / "a.csv", ",")
    assert header == ["'=text", "again", "n"]
    assert [row[1] for row in rows[len(RISKY) :]] == PLAIN
    assert [row[1] for row in rows[:4]] == [f"'{cell}" for cell in RISKY[:4]]
    assert [row[0].strip() for row in rows[len(RISKY) :]] == PLAIN  # "-20%" begins the line
    assert [row[2] for row in rows] == [str(n) for n in range(-9, 8)]
    assert (
        downloads.escape_formula("Good:\n- the cast\n- the songs")
        == "Good:\n'- the cast\n'- the songs"
    )


def test_csv_keeps_negative_numbers_at_the_start_of_a_line(tmp_path: Path):
    frame = pandas.DataFrame({"label": [-1, 1], "score": [-0.5, 0.5], "text": ["weak", "fine"]})
    downloads.write_csv(frame, tmp_path / "a.csv")
    pandas.testing.assert_frame_equal(pandas.read_csv(tmp_path / "a.csv"), frame)
    assert split(tmp_path / "a.csv", ";")[1] == [" -1,-0.5,weak"]


def test_csv_escapes_dates_before_year_1(tmp_path: Path):
    days = np.array(["-12345-01-01", "2024-05-01", "NaT"], dtype="datetime64[s]")
    columns = {"when": days, "zone": pandas.Series(days[[1, 1, 2]]).dt.tz_localize("Asia/Tokyo")}
    downloads.write_csv(pandas.DataFrame(columns), tmp_path / "a.csv")
    assert [row[0] for row in split(tmp_path / "a.csv", ",")] == [
        "when", "'-12345-01-01 00:00:00", "2024-05-01 00:00:00", "",
    ]  # fmt: skip


def read_workbook(path: Path) -> list[list[Any]]:
    """The cells of a sheet of texts and numbers."""
    with zipfile.ZipFile(path) as archive:
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    assert not list(sheet.iter(f"{SHEET}f"))  # no formula
    rows: list[list[Any]] = []
    for row in sheet.iter(f"{SHEET}row"):
        skipped = int(row.get("r") or 0) - 1 - len(rows)  # rows without a cell
        rows += [[None] * 3] * skipped
        values: dict[str, Any] = {}
        for cell in row:
            if cell.get("t") == "inlineStr":
                text = "".join(part.text or "" for part in cell.iter(f"{SHEET}t"))
                value: Any = re.sub("_x([0-9A-F]{4})_", lambda m: chr(int(m[1], 16)), text)
            else:
                number = float(cell.findtext(f"{SHEET}v") or "")
                value = bool(number) if cell.get("t") == "b" else number
            values[re.sub("[0-9]", "", cell.get("r") or "")] = value
        rows.append([values.get(name) for name in "ABC"])
    return rows


@settings(deadline=None, max_examples=50, derandomize=True)
@given(frames)
def test_workbook_has_the_same_cells_and_no_formula(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]
):
    path = tmp_path_factory.mktemp("xlsx") / "a.xlsx"
    downloads.write_workbook(as_frame(rows), path)
    for cells, row in zip(read_workbook(path)[1:], rows, strict=False):
        for cell, expected in zip(cells, row, strict=False):
            if isinstance(expected, float):  # Excel keeps 15 digits
                expected = pytest.approx(expected, rel=1e-15)
            assert cell == expected


def test_workbook_truncates_long_cells_and_says_so(tmp_path: Path):
    long = "\N{CLAPPER BOARD}" * 20_000  # two units of UTF-16 each
    frame = as_frame([(long, 2**60), ("\ud83d", float("inf")), ("_x0041_", 1.5)])
    downloads.write_workbook(frame, tmp_path / "a.xlsx")
    [_, [first, large, _], [half, endless, _], [escaped, number, _]] = read_workbook(
        tmp_path / "a.xlsx"
    )
    assert first.endswith(downloads.TRUNCATED) and first.startswith(long[:16_000])
    assert len(first.encode("utf-16-le")) <= 2 * 32_767
    assert (half, escaped) == ("?", "_x0041_")
    assert (large, endless, number) == (str(2**60), "inf", 1.5)


def test_predictions_are_appended() -> None:
    cells = {"prediction": ["mine", None, "his"], "text": ["fine", "weak", None]}
    frame = pandas.DataFrame(cells)
    before = frame.copy()
    answers = [prediction(0.75), prediction(0.4, unsure=True), InvalidText("Write a review first.")]
    added = downloads.prediction_frame(answers, LABELS)
    scored = downloads.append_columns(frame, added)
    pandas.testing.assert_frame_equal(frame, before)
    assert list(scored.columns) == [
        "prediction", "text", "prediction_2", "probability", "p(NEGATIVE)", "p(POSITIVE)", "unsure",
        "tokens_read", "tokens", "error",
    ]  # fmt: skip
    assert added.columns.tolist() == ["prediction", *scored.columns[3:]]
    assert scored["prediction_2"].tolist() == ["POSITIVE", "NEGATIVE", ""]
    assert scored["probability"].tolist()[:2] == [0.75, 0.6] and np.isnan(scored["probability"][2])
    assert scored["unsure"].tolist() == [False, True, False]
    assert tables.texts(scored, "tokens") == [4, 4, None]
    assert scored["error"].tolist() == ["", "", "Write a review first."]
    again = downloads.append_columns(scored, added)
    assert list(again.columns[-8:]) == [
        "prediction_3", "probability_2", "p(NEGATIVE)_2", "p(POSITIVE)_2", "unsure_2",
        "tokens_read_2", "tokens_2", "error_2",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="frames must have equal lengths, got 3 and 2"):
        downloads.append_columns(frame, added[:2])
