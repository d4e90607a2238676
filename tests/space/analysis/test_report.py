"""The results of a scored file."""

import pandas
import pytest

from space.analysis.report import Report
from space.files.columns import Columns
from space.inference.classifier import InvalidText, Prediction

REASON = "Write or paste a review first."


@pytest.fixture
def report() -> Report:
    frame = pandas.DataFrame(
        {
            "text": ["fine", "weak", None, "good"],
            "label": ["pos", "pos", "neg", "pos"],
            "date": ["2024-01-01", "2024-01-02", "2024-01-03", None],
            "title": ["Salt", "Salt", "Otter", "Otter"],
        }
    )
    answers = [
        Prediction({"NEGATIVE": 0.1, "POSITIVE": 0.9}, tokens_read=3, tokens=3),
        Prediction({"NEGATIVE": 0.6, "POSITIVE": 0.4}, tokens_read=3, tokens=4, unsure=True),
        InvalidText(REASON),
        Prediction({"NEGATIVE": 0.05, "POSITIVE": 0.95}, tokens_read=3, tokens=3),
    ]
    columns = Columns("text", "date", "title", "label")
    return Report(frame, answers, ["NEGATIVE", "POSITIVE"], columns)


def test_summary_counts_predictions_and_errors(report: Report) -> None:
    summary = report.summary()
    for text in ["66.7%", "Positive, of 3 reviews", "mixed or unsure (33.3%)", "longer than"]:
        assert text in summary
    assert "not scored, listed below with the reason" in summary
    assert "accuracy on 3 labelled reviews" in report.agreement_card()


def test_listing_shows_each_row_with_its_number(report: Report) -> None:
    listing = report.listing()
    assert listing["row"].tolist() == [1, 2, 3, 4]
    assert listing["prediction"].tolist() == ["Positive", "Negative", "Not scored", "Positive"]
    assert listing["unsure"].tolist() == ["", "unsure", "", ""]
    assert listing.columns.tolist()[4:] == ["label", "title", "date", "review"]
    disagreements = report.disagreements()
    assert disagreements is not None and disagreements["row"].tolist() == [2]
    assert report.errors()[["row", "reason"]].to_numpy().tolist() == [[3, REASON]]


def test_charts_depend_on_the_columns(report: Report) -> None:
    assert list(report.charts("day")) == ["over_time", "by_title", "confusion"]
    assert "Positive reviews by title" in report.charts("day")["by_title"].to_json()
    only_text = Report(report.frame, report.answers, report.labels, Columns("text"))
    assert only_text.charts("day") == {}
    assert only_text.agreement_card() == "" and only_text.disagreements() is None


def test_file_without_a_prediction_says_so(report: Report) -> None:
    answers = [InvalidText(REASON)] * 4
    failed = Report(report.frame, answers, report.labels, report.columns)
    assert "None of the rows could be scored." in failed.summary()
    assert failed.charts("day") == {} and len(failed.errors()) == 4
