"""Figures over scored rows: shares with their intervals, over time and by title, and agreement.

In: columns of the scored rows. Out: numbers, and frames that the charts draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas

Period = Literal["day", "week", "month"]

Z = 1.959963984540054  # of 95%: the normal distribution's 97.5% quantile
MONDAY = np.datetime64("1970-01-05")
# What else people and data sets call the labels, in small letters.
SYNONYMS = {
    "positive": {"positive", "pos", "p", "praise", "good", "fresh", "true", "yes", "+"},
    "negative": {"negative", "neg", "n", "blame", "bad", "rotten", "false", "no", "-"},
    "neutral": {"neutral", "neu", "mixed"},
}
SIGNS = {"0": "negative", "1": "positive"}, {"-1": "negative", "1": "positive"}


class Share(NamedTuple):
    """A share of `n`, with the ends of its 95% interval; NaN of nothing."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Agreement:
    """How often verdicts are the labels that were given."""

    accuracy: Share
    f1: float  # of the last label where there are two, else the mean over the labels there are
    confusion: npt.NDArray[np.int64]  # (labels, labels): given by verdict
    n: int  # rows with a verdict and a label that the model knows
    unmatched: int  # rows whose label the model doesn't know
    unknown: list[str]  # their labels, the most frequent first


def share(positive: int, n: int) -> Share:
    """The share `positive / n` with Wilson's score interval at 95%.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    JASA 22 (1927).

    Raises:
        ValueError: `positive` is not from 0 to `n`.
    """
    if not 0 <= positive <= n:
        raise ValueError(f"positive must be from 0 to n = {n}, got {positive}")
    (low,), (high,) = _wilson(np.array([positive]), np.array([n]))
    return Share(positive / n if n else np.nan, float(low), float(high), n)


def positives(verdicts: pandas.Series, label: str) -> pandas.Series:
    """1.0 where a verdict is the label, 0.0 where it is another, NaN where there is none."""
    found = (verdicts == label).astype("float64")
    return found.where(verdicts.notna() & (verdicts != ""))


def over_time(
    dates: pandas.Series,
    positive: pandas.Series,
    period: Period,
    titles: pandas.Series | None = None,
    most: int = 6,
) -> pandas.DataFrame:
    """The share of positive reviews in each period, weeks beginning on Monday.

    Args:
        dates: `datetime64`; rows without one are left out.
        positive: Booleans, or floats with NaN for rows that are left out; see `positives`.
        period: "day", "week" or "month".
        titles: Of what is reviewed; then only the `most` with the most reviews are in it.
        most: How many titles.

    Returns:
        `period_start` (datetime64), `title` ("" without titles), `share`, `low`, `high` (in
        [0, 1]; 95%, see `share`), `n`; only periods that have reviews, sorted by title, most
        reviews first, and time.
    """
    rows = pandas.DataFrame(
        {
            "period_start": _starts(dates, period),
            "title": "" if titles is None else _titles(titles).to_numpy(),
            "positive": positive.to_numpy(dtype="float64", na_value=np.nan),
        }
    ).dropna()
    order = rows["title"].value_counts().index[:most]
    rows = rows[rows["title"].isin(order)]
    found = _grouped(rows, ["title", "period_start"])
    ranks = {title: rank for rank, title in enumerate(order)}
    found = found.sort_values(
        ["title", "period_start"],
        key=lambda column: column.map(ranks) if column.name == "title" else column,
    )
    columns = ["period_start", "title", "share", "low", "high", "n"]
    return found[columns].reset_index(drop=True)


def by_title(titles: pandas.Series, positive: pandas.Series) -> pandas.DataFrame:
    """The share of positive reviews of each title, best first by the lower end of its interval.

    So one lone praise doesn't lead: a title must be liked, and by many.

    Returns:
        `title`, `n`, `share`, `low`, `high` (in [0, 1]; 95%, see `share`).
    """
    rows = pandas.DataFrame(
        {
            "title": _titles(titles).to_numpy(),
            "positive": positive.to_numpy(dtype="float64", na_value=np.nan),
        }
    ).dropna()
    found = _grouped(rows, ["title"])
    found = found.sort_values(["low", "n", "title"], ascending=[False, False, True])
    return found[["title", "n", "share", "low", "high"]].reset_index(drop=True)


def match_labels(given: pandas.Series, labels: Sequence[str]) -> pandas.Series:
    """Labels of a data set as labels of the model; NaN where there is none that is sure.

    The same name in any case comes first, then common synonyms, then the label's index where the
    column holds indices only. 1 to 5 stars are no labels: where blame ends is not for us to guess.
    """
    written = given.map(_plain, na_action="ignore")
    present = set(written.dropna())
    own = {label.casefold(): label for label in labels}
    meaning = {
        synonym: own[name]
        for synonyms in SYNONYMS.values()
        for name in own
        if name in synonyms
        for synonym in synonyms
    }
    return written.map({**_numbered(present, labels, meaning), **meaning, **own}).astype("str")


def agreement(given: pandas.Series, verdicts: pandas.Series, labels: Sequence[str]) -> Agreement:
    """How often verdicts are the labels that were given; see `match_labels`.

    Args:
        given: Labels as they are in the file; rows without one are left out.
        verdicts: Labels of the model, "" where there is none; those rows are left out.
        labels: Of the model, in its order.
    """
    matched = match_labels(given, labels)
    lost = given.notna() & (given.map(_plain, na_action="ignore") != "") & matched.isna()
    both = matched.notna().to_numpy() & verdicts.isin(labels).to_numpy()
    codes = {label: code for code, label in enumerate(labels)}
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    pairs = matched[both].map(codes).astype(int), verdicts[both].map(codes).astype(int)
    np.add.at(confusion, tuple(pair.to_numpy() for pair in pairs), 1)
    n = int(confusion.sum())
    return Agreement(
        accuracy=share(int(confusion.trace()), n),
        f1=_f1(confusion),
        confusion=confusion,
        n=n,
        unmatched=int(lost.sum()),
        unknown=given[lost].map(str).value_counts().index[:5].tolist(),
    )


def disagreements(
    rows: pandas.DataFrame, given: str, verdict: str, probability: str, labels: Sequence[str]
) -> pandas.DataFrame:
    """The rows whose verdict is not their label, the surest first; their index tells which.

    Args:
        rows: Scored rows.
        given: Name of the column of labels that were given.
        verdict: Name of the column of verdicts.
        probability: Name of the column of their probabilities.
        labels: Of the model.
    """
    matched = match_labels(rows[given], labels)
    differ = matched.notna() & rows[verdict].isin(labels) & (matched != rows[verdict])
    return rows[differ].sort_values(probability, ascending=False, kind="stable")


def _wilson(
    positive: npt.NDArray[Any], n: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both ends of Wilson's interval, for arrays of any equal shape; NaN where n is 0."""
    count = np.where(n == 0, np.nan, n).astype(np.float64)
    value = positive / count
    centre = value + Z**2 / (2 * count)
    half = Z * np.sqrt(value * (1 - value) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    # Rounding could leave [0, 1], and the value itself at either end.
    low = np.where(positive == 0, value, (centre - half) / scale)
    high = np.where(positive == n, value, (centre + half) / scale)
    return low, high


def _titles(titles: pandas.Series) -> pandas.Series:
    """Titles as text, missing where they are blank."""
    written = titles.map(lambda title: str(title).strip(), na_action="ignore")
    return written.where(written != "")


def _starts(dates: pandas.Series, period: Period) -> npt.NDArray[np.datetime64]:
    days: npt.NDArray[np.datetime64] = dates.to_numpy().astype("datetime64[D]")
    if period == "month":
        days = days.astype("datetime64[M]")
    elif period == "week":
        days = days - (days - MONDAY) % np.timedelta64(7, "D")
    elif period != "day":
        raise ValueError(f"period must be day, week or month, got {period!r}")
    return days.astype("datetime64[s]")


def _grouped(rows: pandas.DataFrame, keys: list[str]) -> pandas.DataFrame:
    found = rows.groupby(keys, as_index=False)["positive"].agg(["sum", "count"])
    low, high = _wilson(found["sum"].to_numpy(), found["count"].to_numpy())
    shares = found["sum"] / found["count"]
    return found.rename(columns={"count": "n"}).assign(share=shares, low=low, high=high)


def _plain(label: Any) -> str:
    """A label in small letters; a whole number without a point."""
    text = str(label).strip().casefold()
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


def _numbered(present: set[str], labels: Sequence[str], meaning: dict[str, str]) -> dict[str, str]:
    """What numbers mean, if all numbers of the column fit: 0 and 1, or -1 and 1, or indices."""
    numbers = {text for text in present if text.lstrip("-").isdigit()}
    for signs in SIGNS:
        if len(labels) == 2 and numbers <= set(signs) and set(signs.values()) <= set(meaning):
            return {number: meaning[name] for number, name in signs.items()}
    indices = {str(index): label for index, label in enumerate(labels)}
    # Without a 0 they may as well be stars.
    return indices if numbers <= set(indices) and ("0" in numbers or len(labels) == 2) else {}


def _f1(confusion: npt.NDArray[np.int64]) -> float:
    hits = confusion.diagonal()
    sizes = confusion.sum(axis=0) + confusion.sum(axis=1)
    scores = np.divide(2 * hits, sizes, out=np.full(len(hits), np.nan), where=sizes > 0)
    if len(hits) == 2:
        return float(scores[1])
    return float(np.mean(scores[sizes > 0])) if sizes.any() else np.nan
