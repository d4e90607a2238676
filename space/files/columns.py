"""What the columns of an upload contain: texts, dates, titles, labels and ratings.

In: the first rows. Out: the name of a column for each, or None.
"""

import re
from dataclasses import dataclass

import pandas

from space.files.dates import parse_dates
from space.files.ratings import parse_ratings

# Column names in lower case without spaces and punctuation, the most specific first.
TEXT_NAMES = (
    "text review reviewtext reviewbody reviewcontent comment comments content body message "
    "sentence feedback opinion description"
)
DATE_NAMES = (
    "date reviewdate datetime timestamp time createdat created createdtime publishedat published "
    "publishdate postedat posted submittedat submissiondate unixreviewtime"
)
TITLE_NAMES = (
    "movie movietitle moviename film filmtitle filmname product producttitle productname title name"
)
LABEL_NAMES = "label labels sentiment polarity class target gold goldlabel"
RATING_NAMES = "rating ratings stars starrating star userrating reviewrating overall score grade"
MAX_LABELS = 10  # different values
MIN_RATINGS = 0.8  # share of the cells that must be ratings


@dataclass(frozen=True)
class Columns:
    """The column of each kind; None where there is none."""

    text: str | None
    date: str | None = None
    title: str | None = None
    label: str | None = None
    rating: str | None = None


def guess_columns(frame: pandas.DataFrame) -> Columns:
    """Guess what each column contains from its name and its cells."""
    text = _text_column(frame)
    rest = frame.drop(columns=[text] if text else [])
    rating = _rating_column(rest)
    labels = rest.drop(columns=[rating] if rating else [])
    return Columns(text, _date_column(rest), _title_column(rest), _label_column(labels), rating)


def _columns_named(frame: pandas.DataFrame, names: str) -> list[str]:
    """The columns with one of the names, in the order of the names."""
    normalized = {column: re.sub(r"[\W_]+", "", column.casefold()) for column in frame.columns}
    return [column for name in names.split() for column in normalized if normalized[column] == name]


def _text_column(frame: pandas.DataFrame) -> str | None:
    """The column of texts by its name, else the one with the longest texts."""
    lengths: dict[str, float] = {}
    for column in frame.columns:
        cells = frame[column].dropna().tolist()
        texts = [c for c in cells if isinstance(c, str) and any(map(str.isalpha, c))]
        if texts and len(texts) >= len(cells) / 2:
            lengths[column] = sum(map(len, texts)) / len(texts)
    for column in _columns_named(frame, TEXT_NAMES):
        if column in lengths:
            return column
    longest_first = sorted(lengths, key=lengths.__getitem__, reverse=True)
    return next((c for c in longest_first if not _are_dates(frame[c].head(50))), None)


def _date_column(frame: pandas.DataFrame) -> str | None:
    """The column of dates by its name, else the first that contains only dates.

    Columns of numbers are dates by their name only.
    """
    not_numbers = [column for column in frame.columns if frame[column].dtype.kind in "MOTU"]
    candidates = [*_columns_named(frame, DATE_NAMES), *not_numbers]
    return next((column for column in candidates if _are_dates(frame[column])), None)


def _are_dates(column: pandas.Series) -> bool:
    known = column.dropna()
    return not known.empty and bool(parse_dates(known).notna().mean() >= 0.8)


def _title_column(frame: pandas.DataFrame) -> str | None:
    """The column of titles; in a longer file some title must have more than one row."""
    for column in _columns_named(frame, TITLE_NAMES):
        known = frame[column].dropna()
        if not known.empty and (len(known) <= 20 or known.nunique() < len(known)):
            return column
    return None


def _rating_column(frame: pandas.DataFrame) -> str | None:
    """The column of ratings; 0 and 1 are labels."""
    for column in _columns_named(frame, RATING_NAMES):
        known = frame[column].dropna()
        ratings = parse_ratings(known)
        if not known.empty and ratings.notna().mean() >= MIN_RATINGS and ratings.nunique() > 1:
            return column
    return None


def _label_column(frame: pandas.DataFrame) -> str | None:
    for column in _columns_named(frame, f"{LABEL_NAMES} {RATING_NAMES}"):
        if 2 <= frame[column].nunique() <= MAX_LABELS:
            return column
    return None
