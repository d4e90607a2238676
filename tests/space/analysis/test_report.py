"""The results of a scored file."""

import pandas
import pytest

from space.analysis import charts
from space.analysis.report import Report
from space.files.columns import Columns
from space.inference.classifier import InvalidText, Prediction

REASON = "The cell is empty."


@pytest.fixture
def report() -> Report:
    frame = pandas.DataFrame(
        {
            "text": ["fine", "weak", None, "good"],
            "label": ["pos", "pos", "neg", "pos"],
            "date": ["2024-01-01", "2024-01-02", "2024-01-03", None],
            "title": ["Salt", "Salt", "Otter", "Otter"],
            "stars": ["4.5", "1", None, "1.5"],
        }
    )
    answers = [
        Prediction({"NEGATIVE": 0.1, "POSITIVE": 0.9}, tokens_read=3, tokens=3),
        Prediction({"NEGATIVE": 0.6, "POSITIVE": 0.4}, tokens_read=3, tokens=4, unsure=True),
        InvalidText(REASON),
        Prediction({"NEGATIVE": 0.05, "POSITIVE": 0.95}, tokens_read=3, tokens=3),
    ]
    columns = Columns("text", "date", "title", "label", "stars")
    return Report(frame, answers, ["NEGATIVE", "POSITIVE"], columns)


def test_verdicts_are_the_same_everywhere(report: Report) -> None:
    assert report.counts == {"POSITIVE": 2, "uncertain": 1, "NEGATIVE": 0}
    summary = report.summary()
    for text in ["Positive <strong>2</strong> (66.7%)", "Uncertain <strong>1</strong> (33.3%)",
                 "Negative <strong>0</strong> (0.0%)", "too long for the model"]:  # fmt: skip
        assert text in summary
    assert "positive, of 3 reviews" in summary and "not analyzed; listed below" in summary
    assert report.choices() == [
        ("All 4", "all"), ("Positive 2", "POSITIVE"), ("Uncertain 1", "uncertain"),
        ("Not analyzed 1", ""),
    ]  # fmt: skip
    for verdict, positions in {"all": [0, 1, 2, 3], "POSITIVE": [0, 3], "": [2]}.items():
        assert report.positions(verdict) == positions
    assert report.positive.sum() == 2
    assert "accuracy on 3 labeled reviews" in report.agreement_card()


def test_file_without_doubt_has_no_uncertain_verdict(report: Report) -> None:
    certain = Report(report.frame[:1], report.answers[:1], report.labels, Columns("text"))
    assert certain.counts == {"POSITIVE": 1, "NEGATIVE": 0}


def test_listing_shows_each_row_with_its_number_last(report: Report) -> None:
    listing = report.listing()
    assert listing["row"].tolist() == [1, 2, 3, 4]
    assert listing.columns.tolist() == [
        "review", "prediction", "probability", "stars", "label", "title", "date", "row",
    ]  # fmt: skip
    assert [verdict.partition(">")[2] for verdict in listing["prediction"]] == [
        "Positive</span>", "Uncertain, leaning negative</span>", "", "Positive</span>",
    ]  # fmt: skip
    assert listing["probability"].tolist() == ["90%", "60%", "", "95%"]
    assert listing["review"][2] == "" and listing["date"][3] == ""
    disagreements = report.disagreements()
    assert disagreements is not None and disagreements["row"].tolist() == [2]
    assert report.errors()[["row", "reason"]].to_numpy().tolist() == [[3, REASON]]


def test_listing_says_the_same_as_the_card(report: Report) -> None:
    answers = [
        Prediction({"NEGATIVE": 0.0951, "POSITIVE": 0.9049}, 3, 3, unsure=True),
        Prediction({"NEGATIVE": 0.094, "POSITIVE": 0.906}, 3, 3),
        Prediction({"NEGATIVE": 0.5, "POSITIVE": 0.5}, 3, 3, unsure=True, neutral=True),
    ]
    shown = Report(
        report.frame[:3], answers, report.labels, Columns("text"), unsure_below=0.905
    ).listing()
    assert shown["probability"].tolist() == ["90%", "91%", "50%"]
    verdicts = ["Uncertain, leaning positive", "Positive", "Uncertain, no leaning"]
    assert [cell.partition(">")[2] for cell in shown["prediction"]] == [
        f"{verdict}</span>" for verdict in verdicts
    ]


def test_rows_of_a_sample_keep_their_numbers(report: Report) -> None:
    frame = report.frame.set_axis([4, 7, 8, 99])
    sampled = Report(frame, report.answers, report.labels, report.columns)
    assert sampled.listing([3])["row"].tolist() == [100]
    assert sampled.errors()["row"].tolist() == [9]
    assert len(sampled.scored) == 4 and len(sampled.charts("day")) == len(report.charts("day"))


def test_columns_with_the_names_of_the_page_are_kept(report: Report) -> None:
    frame = report.frame.rename(columns={"text": "row", "title": "review", "date": "prediction"})
    renamed = Report(frame, report.answers, report.labels, Columns("row", "prediction", "review"))
    assert renamed.listing().columns.tolist() == [
        "review", "prediction", "probability", "review_2", "prediction_2", "row",
    ]  # fmt: skip


def test_contradictions_are_certain_words_against_the_stars(report: Report) -> None:
    contradictions = report.contradictions()
    assert contradictions is not None and contradictions["row"].tolist() == [4]


def test_markup_in_labels_and_texts_is_escaped() -> None:
    texts = ["<b>bad</b> " * 9] * 6 + ["<i>good</i> " * 9] * 6
    answers = [Prediction({"<u>": score, "P&": 1 - score}, 1, 1) for score in [0.9] * 6 + [0.1] * 6]
    report = Report(pandas.DataFrame({"t": texts}), answers, ["<u>", "P&"], Columns("t"))
    shown = report.summary() + report.words() + "".join(report.listing()["prediction"])
    assert (
        "&lt;u&gt;" in shown and "P&amp;" in shown and "<u>" not in shown and "<i>good" not in shown
    )


def test_charts_depend_on_the_columns(report: Report) -> None:
    names = ["over_time", "stars_over_time", "by_stars", "by_title", "confusion"]
    assert list(report.charts("day")) == names
    only_text = Report(report.frame, report.answers, report.labels, Columns("text"))
    assert only_text.charts() == {} and only_text.contradictions() is None
    assert only_text.agreement_card() == "" and only_text.disagreements() is None


def test_file_without_a_prediction_says_so(report: Report) -> None:
    answers = [InvalidText(REASON)] * 4
    failed = Report(report.frame, answers, report.labels, report.columns)
    assert "None of the rows could be analyzed." in failed.summary()
    assert "over_time" not in failed.charts() and len(failed.errors()) == 4
    assert "need at least 5 positive and 5 negative reviews." in failed.words()


def labeled(labels: list[str], predicted: list[str], stars: list[float]) -> Report:
    """A report on certain predictions of these labels, of rows with stars."""
    frame = pandas.DataFrame({"text": [f"review {i}" for i in range(len(stars))], "stars": stars})
    answers = [
        Prediction({label: 0.9 if label == chosen else 0.1 for label in labels}, 2, 2)
        for chosen in predicted
    ]
    return Report(frame, answers, labels, Columns("text", rating="stars"))


@pytest.mark.parametrize("labels", [["NEGATIVE", "POSITIVE"], ["POSITIVE", "NEGATIVE"]])
def test_sides_follow_the_names_of_the_labels(labels: list[str]) -> None:
    report = labeled(labels, ["POSITIVE", "POSITIVE", "NEGATIVE"], [5, 1, 1])
    contradictions = report.contradictions()
    assert contradictions is not None and contradictions["row"].tolist() == [2]
    assert list(report.counts) == ["POSITIVE", "NEGATIVE"]
    assert "positive, of 3 reviews" in report.summary()
    assert report.positive.tolist() == [1, 1, 0]
    for label, color in [("POSITIVE", "for"), ("NEGATIVE", "against")]:
        assert report._look(label).startswith(f'class="{color}"')
    drawn = report.by_stars().to_dict()["layer"][0]["encoding"]["color"]["scale"]
    assert drawn == {"domain": ["Positive", "Negative"], "range": [charts.BLUE, charts.ORANGE]}


@pytest.mark.parametrize("labels", [["negative", "neutral", "positive"], ["neu", "neg", "pos"]])
def test_neutral_is_grey_and_contradicts_nothing(labels: list[str]) -> None:
    negative, neutral, positive = sorted(labels)  # in alphabetic order, too
    report = labeled(labels, [neutral, neutral, positive, negative], [5, 1, 5, 5])
    contradictions = report.contradictions()
    assert contradictions is not None and contradictions["row"].tolist() == [4]
    assert list(report.counts) == [positive, neutral, negative]
    assert report._look(neutral).startswith('class="unsure"')


def test_captions_say_what_is_left_out_and_converted() -> None:
    count = charts.MAX_GROUPS + 3
    frame = pandas.DataFrame(
        {
            "text": ["fine"] * count,
            "title": [f"Film {i}" for i in range(count)],
            "stars": [7] * count,
        }
    )
    answers = [Prediction({"NEGATIVE": 0.1, "POSITIVE": 0.9}, 1, 1)] * count
    labels, columns = ["NEGATIVE", "POSITIVE"], Columns("text", title="title", rating="stars")
    notes = Report(frame, answers, labels, columns).notes
    assert notes["by_title"] == "the best 20 of 23 titles"
    assert notes["by_stars"] == "ratings converted to 5 stars; 7 of 10 is 3.5"
    few = frame[:3].assign(stars=[5, 4, 3.5])
    assert Report(few, answers[:3], labels, columns).notes == {}
