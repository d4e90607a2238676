"""Statistics of scored rows, against scipy, scikit-learn and counts by hand."""

import time

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score

from space.analysis import statistics

LABELS = ["NEGATIVE", "POSITIVE"]


def column(*cells: object) -> pandas.Series:
    return pandas.Series(cells)


def dated(*days: str | None) -> pandas.Series:
    return pandas.to_datetime(pandas.Series(days, dtype="str"), format="ISO8601")


@settings(deadline=None)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_has_wilsons_interval(counts: tuple[int, int]) -> None:
    expected = binomtest(*counts).proportion_ci(method="wilson")
    share = statistics.proportion(*counts)
    assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert share.value == counts[0] / counts[1] and share.n == counts[1]
    assert 0 <= share.low <= share.value <= share.high <= 1


def test_proportion_of_zero_rows_is_nan() -> None:
    assert np.isnan(statistics.proportion(0, 0)[:3]).all()
    for count, n in [(2, 1), (-1, 1)]:
        with pytest.raises(ValueError, match="count must be from 0 to n = 1, got"):
            statistics.proportion(count, n)


def test_is_label_is_nan_without_a_prediction() -> None:
    matches = statistics.is_label(column("POSITIVE", "", "NEGATIVE", None), "POSITIVE")
    assert matches.tolist() == pytest.approx([1, np.nan, 0, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("period", "starts"),
    [
        ("day", ["2023-12-31", "2024-01-01", "2024-01-07", "2024-02-29"]),
        ("week", ["2023-12-25", "2024-01-01", "2024-02-26"]),
        ("month", ["2023-12-01", "2024-01-01", "2024-02-01"]),
        ("quarter", ["2023-10-01", "2024-01-01", "2024-01-01"]),
        ("year", ["2023-01-01", "2024-01-01", "2024-01-01"]),
    ],
)
def test_periods_start_on_calendar_boundaries(period: statistics.Period, starts: list[str]) -> None:
    dates = dated("2024-01-07T23:59:59", "2023-12-31", "2024-01-01", None, "2024-02-29")
    shares = statistics.over_time(dates, column(1.0, 0.0, 1.0, 1.0, np.nan), period)
    assert list(shares.columns) == ["period_start", "title", "share", "low", "high", "n"]
    # The last review has no prediction, so its period is left out.
    assert shares["period_start"].tolist() == sorted({*dated(*starts[:-1])})
    assert shares["n"].sum() == 3 and set(shares["title"]) == {""}
    all_shares = statistics.over_time(dates, column(*[True] * 5), period)
    assert all_shares["period_start"].tolist() == sorted({*dated(*starts)})


def test_over_time_has_all_reviews_before_the_selected_titles() -> None:
    dates = dated(*["2024-01-01"] * 4, *["2023-06-05"] * 3, "2024-01-01", None)
    titles = column("Salt", "Salt", "Otter", "Otter", "Otter", "Zed", None, " ", "Zed")
    positive = column(True, False, True, True, False, True, True, True, True)
    shares = statistics.over_time(dates, positive, "week", titles, ["Otter", "Salt"])
    rows = [(row.title, f"{row.period_start:%F}", row.share, row.n) for row in shares.itertuples()]
    assert rows[:2] == [("", "2023-06-05", 2 / 3, 3), ("", "2024-01-01", 4 / 5, 5)]
    assert rows[2:] == [
        ("Otter", "2023-06-05", 0.0, 1),
        ("Otter", "2024-01-01", 1.0, 2),
        ("Salt", "2024-01-01", 0.5, 2),
    ]
    expected = statistics.proportion(1, 2)
    assert shares.iloc[4][["share", "low", "high", "n"]].tolist() == list(expected)


def test_over_time_without_dates_is_empty() -> None:
    for titles in (None, column(None, None)):
        assert statistics.choose_period(dated(None, None)) == "year"
        shares = statistics.over_time(dated(None, None), column(True, False), "day", titles)
        assert len(shares) == 0 and "period_start" in shares
    with pytest.raises(ValueError, match="period must be one of day, week, .* got 'hour'"):
        statistics.over_time(dated("2024-01-01"), column(True), "hour")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reviews", "days_apart", "period"),
    [(300, 0, "day"), (300, 1, "month"), (300, 0.5, "week"), (300, 8, "quarter"), (20, 99, "year")],
)
def test_period_suits_the_number_of_reviews(reviews: int, days_apart: float, period: str) -> None:
    days = pandas.Timestamp("2020-01-01") + pandas.to_timedelta(
        np.arange(reviews) * days_apart, "D"
    )
    dates = pandas.Series(days).dt.normalize()
    assert statistics.choose_period(dates) == period


def test_mean_over_time_has_an_interval() -> None:
    dates = dated("2024-01-01", "2024-01-02", "2024-02-01", "2024-02-01", None)
    values = column(1.0, 3.0, 5.0, np.nan, 1.0)
    means = statistics.mean_over_time(dates, values, (-5, 5), "month")
    assert means["share"].tolist() == [2, 5] and means["n"].tolist() == [2, 1]
    assert means["low"][0] == pytest.approx(2 - 1.96, abs=0.001) and np.isnan(means["low"][1])


def test_intervals_of_means_stay_on_the_scale() -> None:
    dates = dated(*["2024-01-01"] * 4)
    for values in (column(1.0, 5.0, 1.0, 5.0), column(5.0, 5.0, 5.0, 1.0)):
        means = statistics.mean_over_time(dates, values, (1, 5), "month")
        assert 1 <= means["low"][0] < means["high"][0] <= 5


def test_verdict_counts_leave_out_rows_without_a_group_or_a_verdict() -> None:
    counts = statistics.verdict_counts(
        column("b", "a", "b", None, "a", "b"), column("P", "N", "P", "P", "", "N")
    )
    rows = counts[["group", "verdict", "count", "n"]].to_numpy().tolist()
    assert sorted(rows) == [["a", "N", 1, 1], ["b", "N", 1, 3], ["b", "P", 2, 3]]
    assert counts["share"].sum() == pytest.approx(2)


def test_by_title_does_not_rank_a_single_positive_review_first() -> None:
    titles = column(*["Salt"] * 20, "Otter", None, "", 7, 7)
    positive = column(*[True] * 18, False, False, True, True, True, False, np.nan)
    shares = statistics.by_title(titles, positive.astype(float))
    assert shares["title"].tolist() == ["Salt", "Otter", "7"]
    assert shares["n"].tolist() == [20, 1, 1]
    assert shares.iloc[0][["share", "low", "high"]].tolist() == list(
        statistics.proportion(18, 20)[:3]
    )


@pytest.mark.parametrize(
    ("file_labels", "expected"),
    [
        (["negative", " Positive", "POSITIVE"], "NPP"),
        (["neg", "pos", "maybe"], "NP-"),
        (["blame", "praise", ""], "NP-"),
        ([0, 1, 1], "NPP"),
        ([0.0, 1.0, None], "NP-"),
        (["0", "1", "1.0"], "NPP"),
        ([-1, 1, 1], "NPP"),
        ([True, False, None], "PN-"),
        (["rotten", "fresh", None], "NP-"),
        ([1, 2, 5], "---"),
        ([1, 0, 2], "---"),
        (["5", "1", "pos"], "--P"),
        ([None, None, None], "---"),
    ],
)
def test_match_labels_maps_unambiguous_labels(file_labels: list[object], expected: str) -> None:
    matched = statistics.match_labels(pandas.Series(file_labels), LABELS).fillna("-")
    assert "".join(label[0] for label in matched) == expected


def test_match_labels_with_other_models() -> None:
    stars = ["1 star", "2 stars", "3 stars"]
    assert statistics.match_labels(column(1, 2, 3), stars).tolist() == stars
    assert statistics.match_labels(column(1, 2), stars).tolist() == stars[:2]
    assert statistics.match_labels(column(1, 5), stars).isna().all()  # of another scale
    assert statistics.match_labels(column(0, 2), stars).tolist() == ["1 star", "3 stars"]
    assert statistics.match_labels(column("2 STARS"), stars).tolist() == ["2 stars"]
    plain = ["LABEL_0", "LABEL_1"]
    assert statistics.match_labels(column(1, 0), plain).tolist() == ["LABEL_1", "LABEL_0"]
    assert statistics.match_labels(column("pos"), plain).isna().all()
    # The meaning of a label counts more than its index.
    reversed_labels = ["Positive", "Negative"]
    assert statistics.match_labels(column(1, 0), reversed_labels).tolist() == reversed_labels
    three = ["neg", "neutral", "pos"]
    matched = statistics.match_labels(column("negative", "mixed", "positive"), three)
    assert matched.tolist() == three
    counted = statistics.match_labels(pandas.Series([0, 2, None], dtype="Int64"), three)
    assert counted.tolist()[:2] == ["neg", "pos"]


@pytest.mark.parametrize("labels", [LABELS, ["a", "b", "c", "d"]])
def test_agreement_equals_scikit_learn(labels: list[str]) -> None:
    rng = np.random.default_rng(1)
    used = labels[:3]  # the fourth is not in the data
    file_labels = pandas.Series(rng.choice(used, 500))
    predictions = pandas.Series(rng.choice(used, 500))
    agreement = statistics.agreement(file_labels, predictions, labels)
    assert (agreement.confusion == confusion_matrix(file_labels, predictions, labels=labels)).all()
    if len(labels) == 2:
        expected = f1_score(file_labels, predictions, pos_label=labels[1])
    else:
        expected = f1_score(file_labels, predictions, average="macro")
    assert agreement.f1 == pytest.approx(expected)
    assert agreement.accuracy == statistics.proportion(int((file_labels == predictions).sum()), 500)
    assert (agreement.n, agreement.unmatched, agreement.unknown) == (500, 0, [])


def test_agreement_counts_unknown_labels() -> None:
    file_labels = column("pos", "neg", "?", None, "", "pos", "?", "eh")
    predictions = column("POSITIVE", "POSITIVE", "POSITIVE", "POSITIVE", "NEGATIVE", "", "", "")
    agreement = statistics.agreement(file_labels, predictions, LABELS)
    assert agreement.confusion.tolist() == [[0, 1], [0, 1]]
    assert (agreement.n, agreement.unmatched, agreement.unknown) == (2, 3, ["?", "eh"])
    assert agreement.accuracy == statistics.proportion(1, 2)
    assert agreement.f1 == pytest.approx(2 / 3)
    no_match = statistics.agreement(column(3, 4), column("POSITIVE", "NEGATIVE"), LABELS)
    assert (no_match.n, no_match.unmatched, no_match.unknown) == (0, 2, ["3", "4"])
    assert np.isnan(no_match.f1) and np.isnan(no_match.accuracy.value)


def test_disagreements_are_sorted_by_confidence() -> None:
    rows = pandas.DataFrame(
        {
            "label": [0, 1, 1, 0, 1, None],
            "prediction": ["POSITIVE", "POSITIVE", "NEGATIVE", "POSITIVE", "", "POSITIVE"],
            "probability": [0.6, 0.99, 0.9, 0.6, np.nan, 0.8],
        }
    )
    columns = rows["label"], rows["prediction"], rows["probability"]
    assert statistics.disagreements(*columns, LABELS) == [2, 0, 3]


def test_computes_10k_rows_quickly() -> None:
    rng = np.random.default_rng(0)
    predictions = pandas.Series(rng.choice([*LABELS, ""], 10_000))
    dates = pandas.Series(np.datetime64("2024-01-01", "us") + np.arange(10_000) * 3_600_000_000)
    titles = pandas.Series(rng.integers(0, 5000, 10_000).astype(str))
    file_labels = pandas.Series(rng.choice(["pos", "neg", "?"], 10_000))
    start = time.process_time()
    positive = statistics.is_label(predictions, "POSITIVE")
    statistics.over_time(dates, positive, "day", titles)
    statistics.by_title(titles, positive)
    statistics.agreement(file_labels, predictions, LABELS)
    assert time.process_time() - start < 5  # it takes less than a tenth
