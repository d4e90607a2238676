"""Dates of every format that is read, and ambiguous ones."""

from typing import Any

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from space.files.dates import parse_dates


def days(cells: list[Any]) -> list[str | None]:
    dates = parse_dates(pandas.Series(cells))
    assert dates.dtype.kind == "M"
    return [None if pandas.isna(day) else f"{day:%Y-%m-%d}" for day in dates]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2024-05-01", "2024/5/2", "2024.05.03 10:00", "2024-05"],
         ["2024-05-01", "2024-05-02", "2024-05-03", "2024-05-01"]),
        (["2024-05-01T23:59:59.123+02:00", " 2024-05-01T23:59Z "], ["2024-05-01", "2024-05-01"]),
        (["2024-02-30", "2024-13-01", "soon", "", None, "12", "5/2024", "2024"], [None] * 8),
        (["31/12/2024", "1/2/2024", "1-2-24"], ["2024-12-31", "2024-02-01", "2024-02-01"]),
        (["12/31/2024", "1/2/99 10:00 PM"], ["2024-12-31", "1999-01-02"]),
        (["1/2/2024", "3/4/2024"], [None, None]),
        (["13/1/2024", "1/13/2024"], [None, None]),
        (["1.2.2024"], ["2024-02-01"]),
        (["1 May 2024", "May 1, 2024", "1-may-2024", "Wed, 1st May 2024 10:00", "Sept 2024"],
         ["2024-05-01"] * 4 + ["2024-09-01"]),
        (["maybe 2024", "1 Moy 2024"], [None, None]),
        ([1714521600, 1714521600.5, None, 7], ["2024-05-01", "2024-05-01", None, None]),
        (["1714521600000", "1714521600", "20240501"], ["2024-05-01"] * 3),
        ([20240501, float("inf")], ["2024-05-01", None]),
        ([pandas.Timestamp("2024-05-01T23:00-0500"), None], ["2024-05-01", None]),
        ([True, False], [None, None]),
        ([None, None], [None, None]),
    ],
)  # fmt: skip
def test_reads_unambiguous_dates(cells: list[Any], expected: list[Any]) -> None:
    assert days(cells) == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.booleans())))
def test_accepts_any_values(cells: list[Any]) -> None:
    dates = parse_dates(pandas.Series(cells, dtype="object"))
    assert len(dates) == len(cells) and dates.dtype.kind == "M"
