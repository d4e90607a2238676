"""Ratings in the usual notations."""

import numpy as np
import pandas
import pytest

from space.files.columns import Columns, guess_columns
from space.files.ratings import parse_ratings


@pytest.mark.parametrize(
    ("cells", "stars"),
    [
        ([1, 5, 3], [1, 5, 3]),
        ([0.5, 4.5, None], [0.5, 4.5, np.nan]),
        (["4,5", "0.5", ""], [4.5, 0.5, np.nan]),
        ([1, 10, 7], [0.5, 5, 3.5]),
        ([35, 100, 70], [1.75, 5, 3.5]),
        (["7/10", "4/5", "3 out of 4"], [3.5, 4, 3.75]),
        (["★★★★½", "★☆☆☆☆", "⭐⭐"], [4.5, 1, 2]),
        (["4 stars", "1 star", "good"], [4, 1, np.nan]),
        ([0, 1, 1], [np.nan] * 3),
        ([True, False, True], [np.nan] * 3),
        ([1000, 5, 4], [np.nan, 5, 4]),
        (["12/10", -1, "nan"], [np.nan] * 3),
    ],
)
def test_stars_are_on_one_scale(cells: list[object], stars: list[float]) -> None:
    assert parse_ratings(pandas.Series(cells)).tolist() == pytest.approx(stars, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("Rating", ["4.5", "1", "3"], "rating"),
        ("stars", [1, 5, 1], "rating"),
        ("score", [0, 1, 1], "label"),
        ("score", ["good", "bad", "good"], "label"),
        ("overall", [9, 7, 2], "rating"),
        ("rating", [4, 4, 4], None),
    ],
)
def test_rating_column_is_recognised(name: str, cells: list[object], kind: str | None) -> None:
    frame = pandas.DataFrame({"review": ["fine film", "bad film", "film"], name: cells})
    expected = Columns("review", **({kind: name} if kind else {}))
    assert guess_columns(frame) == expected
