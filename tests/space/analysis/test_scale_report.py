"""The results of a scored file for stars: means, agreement with ratings, colors in order."""

import pandas
import pytest
import yaml
from conftest import REPOSITORY

from space.analysis.report import Report
from space.analysis.scale_report import FILE, MODEL, ScaleReport, report_class
from space.files.columns import Columns
from space.inference.classifier import InvalidText, Prediction
from space.inference.labels import expected_value

LABELS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]


def predicted(*shares: float, unsure: bool = False) -> Prediction:
    return Prediction(dict(zip(LABELS, shares, strict=True)), 3, 3, unsure=unsure)


@pytest.fixture
def report() -> Report:
    frame = pandas.DataFrame(
        {
            "Review": ["superb", "dull", None, "so-so", "fine", "weak"],
            "Rating": ["5", "0.5", "3", "3", "1", None],
            "Date": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-01", "2024-01-01", None],
            "Name": ["Salt", "Salt", "Otter", "Otter", "Otter", " "],
        }
    )
    answers = [
        predicted(0, 0, 0, 0.2, 0.8),
        predicted(0.9, 0.1, 0, 0, 0),
        InvalidText("The cell is empty."),
        predicted(0, 0.25, 0.4, 0.35, 0, unsure=True),
        predicted(0, 0, 0.1, 0.7, 0.2),
        predicted(0.1, 0.8, 0.1, 0, 0),
    ]
    return ScaleReport(
        frame, answers, LABELS, Columns("Review", "Date", "Name", None, "Rating"), ""
    )


def test_labels_choose_the_report() -> None:
    assert report_class(LABELS) is ScaleReport
    assert report_class(["NEGATIVE", "POSITIVE"]) is Report


def test_summary_has_the_mean_and_the_labels_in_order(report: Report) -> None:
    summary = report.summary()
    assert list(report.counts) == LABELS[::-1]
    assert list(report.counts.values()) == [1, 1, 1, 1, 1]
    positions = [summary.index(f">{label} <strong>1</strong> (20.0%)") for label in report.counts]
    assert positions == sorted(positions)
    mean = (4.8 + 1.1 + 3.1 + 4.1 + 2.0) / 5
    assert f'<p class="big">{mean:.2f}</p><p class="small">stars on average, of 5 rev' in summary
    assert '<p class="big">1</p><p class="small">uncertain' in summary
    assert "not analyzed; listed below" in summary
    assert (
        "--side:var(--for);--mix:100%" in summary and "--side:var(--against);--mix:50%" in summary
    )


def test_listing_shows_expected_stars(report: Report) -> None:
    verdicts = list(report.listing()["prediction"])
    assert verdicts[0] == '<span class="verdict for">4.8 stars</span>'
    assert verdicts[1] == '<span class="verdict against">1.1 stars</span>'
    assert verdicts[2] == "Not analyzed"
    assert verdicts[3] == '<span class="verdict unsure">Uncertain, about 3.1 stars</span>'
    assert report.choices()[:2] == [("All 6", "all"), ("5 stars 1", "5 stars")]
    assert report.positions("5 stars") == [0]


def test_downloaded_rows_have_the_expected_stars(report: Report) -> None:
    expected = report.scored["expected_stars"]
    assert expected.drop(2).tolist() == pytest.approx([4.8, 1.1, 3.1, 4.1, 2.0])
    assert pandas.isna(expected[2])


def test_charts_are_means_beside_the_ratings(report: Report) -> None:
    names = ["over_time", "by_stars", "by_title"]
    drawn = report.charts("day")
    assert list(drawn) == names
    assert set(report.captions) == {"over_time", "by_title"}
    over_time = str(drawn["over_time"].to_dict())
    assert FILE in over_time and "All reviews" in over_time
    assert FILE not in str(report.over_time("day", ["Salt"]).to_dict())
    assert "Salt" in str(report.over_time("day", ["Salt"]).to_dict())
    by_title = str(drawn["by_title"].to_dict())
    assert MODEL in by_title and FILE in by_title
    colors = str(drawn["by_stars"].to_dict())
    assert "'#2f7fc8'" in colors and "'#c8661c'" in colors  # the ends of the scale


def test_without_ratings_only_the_model_is_shown(report: Report) -> None:
    columns = Columns("Review", "Date", "Name")
    plain = ScaleReport(report.frame, report.answers, LABELS, columns, "")
    assert list(plain.charts("day")) == ["over_time", "by_title"]
    assert FILE not in str(plain.by_title().to_dict())
    assert plain.agreement_card() == ""
    assert plain.contradictions() is None
    only_text = ScaleReport(report.frame, report.answers, LABELS, Columns("Review"), "")
    assert only_text.charts() == {}


def test_agreement_with_half_stars(report: Report) -> None:
    """A Letterboxd export rates from half a star to five."""
    card = report.agreement_card()
    differences = [0.2, 0.6, 0.1, 3.1]
    assert f'<p class="big">{sum(differences) / 4:.2f}</p>' in card
    assert "the ratings of 4 reviews" in card
    assert '<p class="big">75.0%</p>' in card
    assert "Spearman" not in card  # of four reviews it would tell nothing


def test_points_are_converted_as_in_training(report: Report) -> None:
    """By the linear scale of train/recipes/stars.yaml, on which 1 of 10 is 1 star."""
    recipe = yaml.safe_load((REPOSITORY / "train/recipes/stars.yaml").read_text(encoding="utf-8"))
    label_map = recipe["datasets"][0]["label_map"]
    shares = [{label: 1} if isinstance(label, str) else label for label in label_map.values()]
    trained = [expected_value({name: share.get(name, 0) for name in LABELS}) for share in shares]
    frame = pandas.DataFrame({"Review": "a film", "Rating": list(label_map)})
    columns = Columns("Review", rating="Rating")
    points = ScaleReport(frame, [report.answers[0]] * len(frame), LABELS, columns, "")
    assert points.ratings is not None
    assert points.ratings.tolist() == pytest.approx(trained, abs=0.01)
    note = "ratings converted to 5 stars; 7 of 10 is 3.7"
    assert points.notes["by_stars"] == note
    assert f"reviews; {note}</p>" in points.agreement_card()
    assert "converted" not in report.agreement_card()


def test_ratings_fit_the_labels_of_the_model() -> None:
    frame = pandas.DataFrame({"text": "a film", "rating": [1, 7, 10]})
    for labels, expected in [
        ([f"{n} points" for n in range(1, 11)], [1, 7, 10]),
        ([f"{n} points" for n in range(11)], [1, 7, 10]),
        ([f"{n / 2} stars" for n in range(1, 11)], [0.5, 3.5, 5]),  # as on Letterboxd
    ]:
        answer = Prediction(dict.fromkeys(labels, 1 / len(labels)), 3, 3)
        report = ScaleReport(frame, [answer] * 3, labels, Columns("text", rating="rating"), "")
        assert report.ratings is not None
        assert report.ratings.tolist() == pytest.approx(expected)


def test_contradictions_are_far_from_their_rating(report: Report) -> None:
    contradictions = report.contradictions()
    assert contradictions is not None
    assert contradictions["row"].tolist() == [5]


def test_words_are_of_reviews_above_and_below_the_middle() -> None:
    texts = [f"lovely song number {i}" for i in range(9)] + [
        f"dull plot number {i}" for i in range(9)
    ]
    answers = [predicted(0, 0, 0, 0.5, 0.5)] * 9 + [predicted(0.5, 0.5, 0, 0, 0)] * 9
    frame = pandas.DataFrame({"text": texts})
    html = ScaleReport(frame, answers, LABELS, Columns("text"), "").words()
    assert "Above 3 stars" in html and "Below 3 stars" in html
    assert html.index("lovely") < html.index("Below 3 stars") < html.index("dull")


def test_too_few_reviews_for_words_are_named_by_the_scale(report: Report) -> None:
    assert "at least 5 reviews above and 5 below 3 stars." in report.words()


def test_star_labels_of_the_file_are_compared(report: Report) -> None:
    frame = report.frame.assign(stars=[5, 1, 3, 3, 5, 2])
    labeled = ScaleReport(frame, report.answers, LABELS, Columns("Review", label="stars"), "")
    assert labeled.agreement is not None
    assert (labeled.agreement.n, labeled.agreement.accuracy.value) == (5, 0.8)
    assert labeled.confusion() is not None


def test_nothing_scored_is_said(report: Report) -> None:
    failed = ScaleReport(report.frame, [InvalidText("no")] * 6, LABELS, report.columns, "")
    assert "None of the rows could be analyzed" in failed.summary()
    assert "over_time" not in failed.charts()
    assert failed.agreement_card() == ""
