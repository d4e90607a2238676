"""Ratings in the usual notations: stars of 5, points of 10 or 100.

In: a column of any values. Out: the rating of each as stars of 5, or NaN.
"""

import re
from typing import Any

import pandas

STARS = 5  # of the best rating
CONVERTED = f"ratings converted to {STARS} stars; 7 of 10 is {7 * STARS / 10:g}"
SCALES = (5, 10, 100)
# 4, 4.5, 4,5, 4/5, 4 out of 5, 4 stars
NUMBER = (
    r"^(?P<number>\d{1,3}(?:[.,]\d+)?)\s*(?:(?:/|of|out of)\s*(?P<scale>\d{1,3}))?"
    r"\s*(?:stars?|points?|★)?$"
)
SYMBOLS = re.compile("[★⭐\ufe0f½☆]+")


def parse_ratings(column: pandas.Series, lowest: int = 0) -> pandas.Series:
    """The stars of each cell, from 0 to 5, with halves and finer steps kept.

    The scale is that of the cell ("7/10"), else the smallest of 5, 10 and 100 that no number of the
    column exceeds. A column of 0 and 1 has no scale: these are labels.

    Args:
        column: Any values.
        lowest: The rating that is the same on all scales, see `to_stars`.

    Returns:
        Floats with the index of the column; NaN where there is no rating.
    """
    numbers, scales = _read(column)
    return to_stars(numbers, scales, lowest).where(numbers <= scales).astype("float64")


def to_stars(rating: Any, scale: Any, lowest: int = 0) -> Any:
    """A rating of `scale` as stars of 5, linearly; ratings of 5 stars stay as they are.

    Args:
        rating: One or several.
        scale: The best rating.
        lowest: 0: 7 of 10 is 3.5 stars. 1, the worst rating of 1 to 10 and of 1 to 5: it is 3.7.
    """
    return lowest + (STARS - lowest) * (rating - lowest) / (scale - lowest)


def is_converted(column: pandas.Series) -> bool:
    """Whether any rating of a column has another scale than 5 stars."""
    numbers, scales = _read(column)
    return bool((scales[numbers <= scales] != STARS).any())


def _read(column: pandas.Series) -> tuple[pandas.Series, pandas.Series]:
    """The number of each cell and its scale, NaN where there is none."""
    if column.dtype.kind in "bM" or column.empty:
        empty = pandas.Series(float("nan"), column.index, dtype="float64")
        return empty, empty
    texts = column.astype("object").where(column.notna(), "").map(str).str.strip().str.lower()
    parts = texts.map(_count_symbols).str.extract(NUMBER)
    numbers = pandas.to_numeric(parts["number"].str.replace(",", "."), errors="coerce")
    written = pandas.to_numeric(parts["scale"], errors="coerce")
    highest = numbers[written.isna()].max()
    scale = next((scale for scale in SCALES if highest <= scale), None)
    if highest <= 1:
        scale = None
    scales = written.where(written > 0, float("nan") if scale is None else float(scale))
    return numbers, scales


def _count_symbols(text: str) -> str:
    """Stars as a number: ★★★½ is 3.5, ★★☆☆☆ is 2."""
    if not SYMBOLS.fullmatch(text):
        return text
    return str(text.count("★") + text.count("⭐") + text.count("½") / 2)
