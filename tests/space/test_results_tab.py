"""The results of a scored file: what the page says once they are deleted, and which rows open."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio
import pandas
import pytest

from space.analysis.report import Report
from space.files.columns import Columns
from space.inference.classifier import InvalidText, Prediction
from space.tabs import results
from space.tabs.batch import read_row
from space.tabs.session_files import ResultFolders

EMPTY_CELL = "The cell is empty."


@pytest.fixture
def report() -> Report:
    frame = pandas.DataFrame({"text": ["fine", None], "title": ["Otter", "Salt"]})
    prediction = Prediction({"NEGATIVE": 0.1, "POSITIVE": 0.9}, 1, 1)
    columns = Columns("text", title="title")
    answers = [prediction, InvalidText(EMPTY_CELL)]
    return Report(frame, answers, ["NEGATIVE", "POSITIVE"], columns)


def select(number: object) -> Any:
    return SimpleNamespace(_data={"row_value": ["some text", number]})


def test_rows_without_text_are_refused_with_their_reason(report: Report) -> None:
    assert read_row(report, select("1")) == "fine"
    for number, reason in [("2", EMPTY_CELL), ("3", "Select one of the 2 rows."), ("x", "Select")]:
        with pytest.raises(gradio.Error, match=reason):
            read_row(report, select(number))


def test_deleted_results_are_said_to_be_gone() -> None:
    for act in (
        lambda: read_row(None, select("1")),
        lambda: results._draw_over_time(None, "month", []),
        lambda: results._filter_rows(None, "all"),
    ):
        with pytest.raises(gradio.Error, match="no longer kept. Analyze the file again"):
            act()
    assert results.GONE in results._find_words(None, [])


def test_download_of_deleted_results_clicks_no_link(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    request: Any = SimpleNamespace(session_hash="session")
    area: Any = SimpleNamespace(_folders=ResultFolders())
    write = results.Results._writer(area, "csv")
    link, message = write(None, "month", [], request)
    assert results.GONE in message and "value" not in link
    path, message = write(report, "month", [], request)
    assert Path(path).read_text(encoding="utf-8-sig").startswith("text") and message == ""
    assert "if (!problem)" in results.CLICK_LINK  # the message
