"""Tables of reviews: from a visitor's file to rows, and from scored rows to a file.

In: a path, whose columns are guessed; or rows and their verdicts. Out: a `Table`; or a frame that
keeps all columns and adds the verdicts.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas

from space.files.dates import dates
from space.files.reader import InvalidFile
from space.files.readers import free, load
from space.files.validation import MAX_BYTES, MAX_COLUMNS, MAX_ROWS
from space.inference.classifier import InvalidText, Prediction

__all__ = [
    "MAX_BYTES", "MAX_COLUMNS", "MAX_ROWS", "Table", "InvalidFile", "add_scores", "dates", "names",
    "read", "texts",
]  # fmt: skip

LOOKED_AT = 1000  # rows on which a guess is based
# Names of columns in small letters without spaces and marks, the surest first.
TEXTS = (
    "text review reviewtext reviewbody reviewcontent comment comments content body message "
    "sentence feedback opinion description"
)
DATES = (
    "date reviewdate datetime timestamp time createdat created createdtime publishedat published "
    "publishdate postedat posted submittedat submissiondate unixreviewtime"
)
TITLES = (
    "movie movietitle moviename film filmtitle filmname product producttitle productname title name"
)
LABELS, FEW = "label labels sentiment polarity class target gold goldlabel", 10
STARS = "rating ratings stars score"  # a label only where there are no more than two


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a file, and which columns seem to be what; None where none does."""

    frame: pandas.DataFrame  # all columns in their order
    name: str  # of the file
    text: str | None
    date: str | None
    title: str | None
    label: str | None


def read(path: Path) -> Table:
    """The rows of CSV, TSV, JSON, JSON lines, Parquet or plain text with a review a line.

    Texts may be gzipped. Separators and encodings are found as far as the file tells, and the
    content decides where the suffix lies.

    Raises:
        InvalidFile: It is broken, empty, too large or no table, in a sentence for the page.
    """
    frame = load(path)
    head = frame.head(LOOKED_AT)
    text = _text(head)
    rest = head.drop(columns=[text] if text else [])
    return Table(frame, path.name, text, _date(rest), _title(rest), _label(rest))


def texts(frame: pandas.DataFrame, column: str) -> list[Any]:
    """The cells of a column as `Classifier.many` takes them: None where one is missing."""
    cells = frame[column].astype("object")
    return list(cells.where(cells.notna(), None))


def names(columns: Iterable[str], labels: Sequence[str]) -> dict[str, str]:
    """What the columns are called that `add_scores` adds: each by its own name, if it is free."""
    taken = list(map(str, columns))
    found: dict[str, str] = {}
    for name in [
        "verdict", "probability", *(f"p({label})" for label in labels), "unsure", "tokens_read",
        "tokens", "not scored",
    ]:  # fmt: skip
        found[name] = free(name, taken)
        taken.append(found[name])
    return found


def add_scores(
    frame: pandas.DataFrame, answers: Sequence[Prediction | InvalidText], labels: Sequence[str]
) -> pandas.DataFrame:
    """All columns of the frame, and behind them what `names` names.

    Args:
        frame: One row a review.
        answers: One for each row, in the same order.
        labels: Of the model, in its order.

    Returns:
        A new frame with the same rows: `verdict` ("" where there is none), `probability` of the
        verdict and `p(LABEL)` of each label (in [0, 1]), `unsure`, `tokens_read`, `tokens`, and
        `not scored`: the reason, "" where there is a verdict.
    """
    verdicts = [answer if isinstance(answer, Prediction) else None for answer in answers]

    def column(of: Callable[[Prediction], Any], none: Any, dtype: str) -> pandas.Series:
        cells = [none if verdict is None else of(verdict) for verdict in verdicts]
        return pandas.Series(cells, frame.index, dtype)

    added = {
        "verdict": column(lambda verdict: verdict.label, "", "str"),
        "probability": column(lambda verdict: max(verdict.probabilities.values()), None, "float64"),
        "unsure": column(lambda verdict: verdict.unsure, False, "bool"),
        "tokens_read": column(lambda verdict: verdict.tokens_read, None, "Int64"),
        "tokens": column(lambda verdict: verdict.tokens, None, "Int64"),
    }
    for label in labels:
        shares = [verdict.probabilities[label] if verdict else None for verdict in verdicts]
        added[f"p({label})"] = pandas.Series(shares, frame.index, "float64")
    reasons = [str(answer) if isinstance(answer, InvalidText) else "" for answer in answers]
    added["not scored"] = pandas.Series(reasons, frame.index, "str")
    called = names(frame.columns, labels)
    return frame.assign(**{name: added[kind] for kind, name in called.items()})


def _named(frame: pandas.DataFrame, wanted: str) -> list[str]:
    """The columns with one of the names, the surest first."""
    plain = {column: re.sub(r"[\W_]+", "", column.casefold()) for column in frame.columns}
    return [column for name in wanted.split() for column in plain if plain[column] == name]


def _text(frame: pandas.DataFrame) -> str | None:
    """The column of texts by its name, else that with the longest."""
    lengths: dict[str, float] = {}
    for column in frame.columns:
        cells = frame[column].dropna().tolist()
        lettered = [c for c in cells if isinstance(c, str) and any(map(str.isalpha, c))]
        if lettered and len(lettered) >= len(cells) / 2:
            lengths[column] = sum(map(len, lettered)) / len(lettered)
    named = [column for column in _named(frame, TEXTS) if column in lengths]
    longest = sorted(lengths, key=lengths.__getitem__, reverse=True)
    others = (column for column in longest if not _are_dates(frame[column].head(50)))
    return next(iter(named), None) or next(others, None)


def _date(frame: pandas.DataFrame) -> str | None:
    """The column of dates by its name, else the first that holds nothing but dates.

    A number may be anything: it is a date by the column's name only.
    """
    others = [column for column in frame.columns if frame[column].dtype.kind in "MOTU"]
    candidates = [*_named(frame, DATES), *others]
    return next((column for column in candidates if _are_dates(frame[column])), None)


def _are_dates(column: pandas.Series) -> bool:
    known = column.dropna()
    return not known.empty and bool(dates(known).notna().mean() >= 0.8)


def _title(frame: pandas.DataFrame) -> str | None:
    """The column of what is reviewed, which some rows have in common if there are many."""
    for column in _named(frame, TITLES):
        known = frame[column].dropna()
        if not known.empty and (len(known) <= 20 or known.nunique() < len(known)):
            return column
    return None


def _label(frame: pandas.DataFrame) -> str | None:
    """The column of labels; stars are none."""
    for names_, most in ((LABELS, FEW), (STARS, 2)):
        for column in _named(frame, names_):
            if 2 <= frame[column].nunique() <= most:
                return column
    return None
