"""Statistics of scored rows: proportions with intervals, over time and by title, and agreement.

In: columns of the scored rows. Out: numbers, and the frames that `charts` draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas

from space.inference.labels import SYNONYMS, label_values

Period = Literal["day", "week", "month", "quarter", "year"]
PERIODS: tuple[Period, ...] = ("day", "week", "month", "quarter", "year")
MIN_MEDIAN = 10  # reviews of the median period, below which a longer period is chosen

Z = NormalDist().inv_cdf(0.975)  # for two-sided intervals at 95%
MONDAY = np.datetime64("1970-01-05")
NUMBER_CODES = {"0": "negative", "1": "positive"}, {"-1": "negative", "1": "positive"}


class Proportion(NamedTuple):
    """A proportion of `n` in [0, 1] with its 95% interval; NaN where `n` is 0."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Agreement:
    """How predictions agree with the labels of a file."""

    accuracy: Proportion
    f1: float  # of the last label if there are two labels, else the macro average
    confusion: npt.NDArray[np.int64]  # (labels, labels): label of the file by prediction
    n: int  # rows with a prediction and a label that the model knows
    unmatched: int  # rows whose label the model doesn't know
    unknown: list[str]  # up to five of these labels, the most frequent first


def proportion(count: int, n: int) -> Proportion:
    """`count / n` with Wilson's score interval at 95%.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    JASA 22 (1927).

    Raises:
        ValueError: `count` is not from 0 to `n`.
    """
    if not 0 <= count <= n:
        raise ValueError(f"count must be from 0 to n = {n}, got {count}")
    (low,), (high,) = _wilson_interval(np.array([count]), np.array([n]))
    return Proportion(count / n if n else np.nan, float(low), float(high), n)


def is_label(predictions: pandas.Series, label: str) -> pandas.Series:
    """1.0 where a prediction is the label, 0.0 where it is another, NaN where there is none."""
    matches = (predictions == label).astype("float64")
    return matches.where(predictions.notna() & (predictions != ""))


def choose_period(dates: pandas.Series) -> Period:
    """The shortest period of which the median has at least `MIN_MEDIAN` reviews, else a year."""
    known = dates.dropna()
    for period in PERIODS:
        counts = pandas.Series(_period_starts(known, period)).value_counts()
        if len(counts) and counts.median() >= MIN_MEDIAN:
            return period
    return PERIODS[-1]


def over_time(
    dates: pandas.Series,
    positive: pandas.Series,
    period: Period,
    titles: pandas.Series | None = None,
    selected: Sequence[str] = (),
) -> pandas.DataFrame:
    """The share of positive reviews per period; weeks begin on Monday.

    Args:
        dates: `datetime64`; rows without a date are dropped.
        positive: Booleans, or floats where NaN drops the row; see `is_label`.
        period: One of `PERIODS`.
        titles: The title of each review.
        selected: Titles that get rows of their own, after those of all reviews.

    Returns:
        `period_start` (datetime64), `title` ("" for all reviews), `share`, `low`, `high` (in
        [0, 1]; see `proportion`), `n`. Periods without reviews are left out.
    """
    rows = _title_rows(titles, positive).assign(period_start=_period_starts(dates, period))
    rows = rows.dropna(subset=["positive", "period_start"])
    parts = [rows.assign(title=""), *(rows[rows["title"] == title] for title in selected)]
    shares = [_group_shares(part, ["title", "period_start"]) for part in parts]
    columns = ["period_start", "title", "share", "low", "high", "n"]
    return pandas.concat(shares, ignore_index=True)[columns]


def mean_over_time(
    dates: pandas.Series,
    values: pandas.Series,
    scale: tuple[float, float],
    period: Period,
    title: str = "",
) -> pandas.DataFrame:
    """The mean of a column per period.

    Args:
        dates: `datetime64`; rows without a date are dropped.
        values: Numbers; rows without one are dropped.
        scale: The lowest and highest possible value.
        period: One of `PERIODS`.
        title: Of all rows.

    Returns:
        `period_start`, `title` (as given), `share` (the mean), `low`, `high` and `n`, see
        `group_means`.
    """
    means = group_means(pandas.Series(_period_starts(dates, period)), values, scale)
    means = means.rename(columns={"group": "period_start"}).assign(title=title)
    return means[["period_start", "title", "share", "low", "high", "n"]]


def group_means(
    groups: pandas.Series, values: pandas.Series, scale: tuple[float, float]
) -> pandas.DataFrame:
    """The mean of a column by group; rows without a group or value are dropped.

    Args:
        groups: Such as titles.
        values: Numbers.
        scale: The lowest and highest possible value, beyond which no interval goes.

    Returns:
        `group`, `share` (the mean), `low`, `high` (its 95% interval by the normal approximation;
        NaN for a single value), `n`.
    """
    rows = pandas.DataFrame({"group": groups.to_numpy(), "value": values.to_numpy("float64")})
    means = rows.dropna().groupby("group", as_index=False)["value"].agg(["mean", "sem", "count"])
    margin = Z * means["sem"]
    return means.rename(columns={"mean": "share", "count": "n"}).assign(
        low=(means["mean"] - margin).clip(lower=scale[0]),
        high=(means["mean"] + margin).clip(upper=scale[1]),
    )[["group", "share", "low", "high", "n"]]


def verdict_counts(groups: pandas.Series, verdicts: pandas.Series) -> pandas.DataFrame:
    """How many reviews of each group have each verdict.

    Args:
        groups: Such as titles or stars; rows without one are dropped.
        verdicts: "" drops the row.

    Returns:
        `group`, `verdict`, `count`, `n` (of the group), `share`; groups as they first appear.
    """
    rows = pandas.DataFrame({"group": groups.to_numpy(), "verdict": verdicts.to_numpy()})
    rows = rows[rows["verdict"] != ""].dropna()
    counts = rows.groupby(["group", "verdict"], sort=False, as_index=False).size()
    counts = counts.rename(columns={"size": "count"})
    n = counts.groupby("group", sort=False)["count"].transform("sum")
    return counts.assign(n=n, share=counts["count"] / n)


def by_title(titles: pandas.Series, positive: pandas.Series) -> pandas.DataFrame:
    """The share of positive reviews per title, sorted by the lower end of its interval.

    A title with a single positive review is therefore not the best.

    Returns:
        `title`, `n`, `share`, `low`, `high` (in [0, 1]; see `proportion`).
    """
    shares = _group_shares(_title_rows(titles, positive).dropna(), ["title"])
    shares = shares.sort_values(["low", "n", "title"], ascending=[False, False, True])
    return shares[["title", "n", "share", "low", "high"]].reset_index(drop=True)


def match_labels(file_labels: pandas.Series, labels: Sequence[str]) -> pandas.Series:
    """Map the labels of a file to those of the model; NaN where the meaning is unclear.

    In this order: the same name in any case, a usual synonym, the index of the label if the column
    contains only indices. Ratings of 1 to 5 stars are mapped only to labels such as `4 stars`.
    """
    normalized = file_labels.map(_normalize, na_action="ignore")
    own = {label.casefold(): label for label in labels}
    meaning = {
        synonym: own[name]
        for synonyms in SYNONYMS.values()
        for name in own
        if name in synonyms
        for synonym in synonyms
    }
    numbers = _number_meaning(set(normalized.dropna()), labels, meaning)
    return normalized.map({**numbers, **meaning, **own}).astype("str")


def agreement(
    file_labels: pandas.Series, predictions: pandas.Series, labels: Sequence[str]
) -> Agreement:
    """Compare predictions with the labels of a file; see `match_labels`.

    Args:
        file_labels: Labels as written in the file; rows without one are dropped.
        predictions: Labels of the model; rows with "" are dropped.
        labels: Of the model, in its order.
    """
    matched = match_labels(file_labels, labels)
    has_label = file_labels.notna() & (file_labels.map(_normalize, na_action="ignore") != "")
    unknown = file_labels[has_label & matched.isna()]
    both = matched.notna().to_numpy() & predictions.isin(labels).to_numpy()
    counts = pandas.crosstab(matched[both].to_numpy(), predictions[both].to_numpy())
    counts = counts.reindex(index=labels, columns=labels, fill_value=0)
    confusion = counts.to_numpy(np.int64)
    n = int(confusion.sum())
    return Agreement(
        accuracy=proportion(int(confusion.trace()), n),
        f1=_f1(confusion),
        confusion=confusion,
        n=n,
        unmatched=len(unknown),
        unknown=unknown.map(str).value_counts().index[:5].tolist(),
    )


def disagreements(
    file_labels: pandas.Series,
    predictions: pandas.Series,
    probabilities: pandas.Series,
    labels: Sequence[str],
) -> list[int]:
    """The positions of rows whose prediction differs from their label, the most confident first.

    Args:
        file_labels: Labels as written in the file.
        predictions: Labels of the model, "" where there is none.
        probabilities: Of the predictions.
        labels: Of the model.
    """
    matched = match_labels(file_labels, labels).to_numpy()
    differ = pandas.notna(matched) & predictions.isin(labels) & (matched != predictions)
    positions = np.flatnonzero(differ)
    confident_first = np.argsort(-probabilities.to_numpy()[positions], kind="stable")
    return [int(position) for position in positions[confident_first]]


def _wilson_interval(
    count: npt.NDArray[Any], n: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both ends of Wilson's interval for arrays of equal shape; NaN where n is 0."""
    n = np.where(n == 0, np.nan, n).astype(np.float64)
    value = count / n
    center = value + Z**2 / (2 * n)
    margin = Z * np.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    # At 0 and n, rounding could exclude the value itself or leave [0, 1].
    low = np.where(count == 0, value, (center - margin) / scale)
    high = np.where(count == n, value, (center + margin) / scale)
    return low, high


def _title_rows(titles: pandas.Series | None, positive: pandas.Series) -> pandas.DataFrame:
    """Titles as text, missing where they are blank, beside `positive` as floats."""
    rows = pandas.DataFrame({"positive": positive.to_numpy(dtype="float64", na_value=np.nan)})
    if titles is None:
        return rows.assign(title="")
    texts = titles.map(lambda title: str(title).strip(), na_action="ignore")
    return rows.assign(title=texts.where(texts != "").to_numpy())


def _period_starts(dates: pandas.Series, period: Period) -> npt.NDArray[np.datetime64]:
    days: npt.NDArray[np.datetime64] = dates.to_numpy().astype("datetime64[D]")
    if period in ("month", "quarter"):
        days = days.astype("datetime64[M]")
        if period == "quarter":
            days = days - days.astype("int64") % 3 * np.timedelta64(1, "M")
    elif period == "year":
        days = days.astype("datetime64[Y]")
    elif period == "week":
        days = days - (days - MONDAY) % np.timedelta64(7, "D")
    elif period != "day":
        raise ValueError(f"period must be one of {', '.join(PERIODS)}, got {period!r}")
    return days.astype("datetime64[s]")


def _group_shares(rows: pandas.DataFrame, keys: list[str]) -> pandas.DataFrame:
    groups = rows.groupby(keys, as_index=False)["positive"].agg(["sum", "count"])
    low, high = _wilson_interval(groups["sum"].to_numpy(), groups["count"].to_numpy())
    shares = groups["sum"] / groups["count"]
    return groups.rename(columns={"count": "n"}).assign(share=shares, low=low, high=high)


def _normalize(label: Any) -> str:
    """A label in lower case; an integer without a decimal point."""
    text = str(label).strip().casefold()
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


def _number_meaning(
    present: set[str], labels: Sequence[str], meaning: dict[str, str]
) -> dict[str, str]:
    """Labels by number, if all numbers of the column are 0 and 1, -1 and 1, or indices.

    Of a scale, if all are numbers of it.
    """
    numbers = {text for text in present if text.lstrip("-").isdigit()}
    if values := label_values(labels):
        steps = {f"{value:g}": label for value, label in zip(values, labels, strict=True)}
        if numbers <= set(steps):
            return steps
    for codes in NUMBER_CODES:
        if len(labels) == 2 and numbers <= set(codes) and set(codes.values()) <= set(meaning):
            return {number: meaning[name] for number, name in codes.items()}
    indices = {str(index): label for index, label in enumerate(labels)}
    # Without a 0 they may be stars.
    return indices if numbers <= set(indices) and ("0" in numbers or len(labels) == 2) else {}


def _f1(confusion: npt.NDArray[np.int64]) -> float:
    hits = confusion.diagonal()
    sizes = confusion.sum(axis=0) + confusion.sum(axis=1)
    scores = np.divide(2 * hits, sizes, out=np.full(len(hits), np.nan), where=sizes > 0)
    if len(hits) == 2:
        return float(scores[1])
    return float(np.mean(scores[sizes > 0])) if sizes.any() else np.nan
