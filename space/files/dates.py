"""Dates as people and programs write them.

In: a column of anything. Out: the days, where there is no doubt about them.
"""

import numpy as np
import pandas

YEARS = 1900, 2100  # others are taken for mistakes, and no chart can show the year 100,000
TIME = r"(?:[T ,]+\d{1,2}:\d{2}.*)?"
WEEKDAY = r"(?:[A-Za-z]{3,9},? )?"
# 2024-05-01T10:00:00Z, 2024/5/1, 2024-05
YEAR_FIRST = rf"(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})(?:[-/.](?P<day>\d{{1,2}}))?{TIME}"
# 1 May 2024, 1-May-2024, Wed, 1st May 2024 10:00
NAMED_DAY_FIRST = (
    rf"{WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ -](?P<month>[A-Za-z]{{3,9}})\.?,?[ -]"
    rf"(?P<year>\d{{4}}){TIME}"
)
# May 1, 2024, May 2024
NAMED_MONTH_FIRST = (
    rf"{WEEKDAY}(?P<month>[A-Za-z]{{3,9}})\.? (?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? )?"
    rf"(?P<year>\d{{4}}){TIME}"
)
# 31/12/2024, 12/31/24, 31.12.2024
YEAR_LAST = (
    rf"(?P<first>\d{{1,2}})(?P<mark>[-/.])(?P<second>\d{{1,2}})[-/.](?P<year>\d{{4}}|\d{{2}}){TIME}"
)
FULL = (
    "january february march april may june july august september october november december"
).split()
MONTHS = {name[:length]: i for i, name in enumerate(FULL, 1) for length in (3, 4, len(name))}


def dates(column: pandas.Series) -> pandas.Series:
    """The day of each cell, as it is written there: no time zone moves it.

    Read are ISO dates and months, names of months in English, 20240501, seconds and milliseconds
    since 1970 (in UTC), and day, month and year in either order, if some cell of the column shows
    in which: 31/12 does, 5/6 does not. Dots mean the day first. Years are those of `YEARS`.

    Returns:
        `datetime64` with the index of the column, NaT where there is no date.
    """
    if column.dtype.kind == "M":
        zoneless = column.dt.tz_localize(None) if getattr(column.dt, "tz", None) else column
        first, end = (
            pandas.Timestamp(year=year, month=1, day=1) for year in (YEARS[0], YEARS[1] + 1)
        )
        zoneless = zoneless.where(zoneless.between(first, end, "left"))
        return zoneless.astype("datetime64[us]").dt.normalize()
    if column.dtype.kind in "iuf":
        return _from_numbers(column.astype("float64"))
    if column.dtype.kind == "b":
        return pandas.Series(pandas.NaT, column.index, "datetime64[us]")
    written = column.astype("object").where(column.notna(), "").map(str).str.strip()
    days = _from_numbers(pandas.to_numeric(written, errors="coerce"))
    for pattern in (YEAR_FIRST, NAMED_DAY_FIRST, NAMED_MONTH_FIRST):
        days = days.fillna(_days(written.str.extract(f"^{pattern}$")))
    return days.fillna(_days(_ordered(written.str.extract(f"^{YEAR_LAST}$"))))


def _from_numbers(numbers: pandas.Series) -> pandas.Series:
    """Seconds from 1973 to 2286, milliseconds of the same years, or 20240501."""
    known = numbers.astype("float64").fillna(0)
    seconds = known.where(known.between(1e8, 1e10, "left"))
    seconds = seconds.fillna((known / 1000).where(known.between(1e11, 1e13, "left")))
    days = pandas.to_datetime(seconds // 86400, unit="D").astype("datetime64[us]")
    packed = known.where(known.between(19_000_101, 21_001_231) & (known % 1 == 0), 0).astype(int)
    parts = {"year": packed // 10_000, "month": packed // 100 % 100, "day": packed % 100}
    return days.fillna(_days(pandas.DataFrame(parts)))


def _days(parts: pandas.DataFrame) -> pandas.Series:
    """Days from year, month and day; the first of the month where there is no day."""
    month = parts["month"]
    if month.dtype.kind not in "iuf":
        month = month.str.casefold().map(lambda name: MONTHS.get(name, name), na_action="ignore")
    numbers = pandas.DataFrame(
        {
            "year": pandas.to_numeric(parts["year"], errors="coerce"),
            "month": pandas.to_numeric(month, errors="coerce"),
            "day": pandas.to_numeric(parts["day"], errors="coerce").fillna(1),
        }
    )
    numbers = numbers.where(numbers["year"].between(*YEARS) & numbers["month"].between(1, 12))
    return pandas.to_datetime(numbers, errors="coerce").astype("datetime64[us]")


def _ordered(parts: pandas.DataFrame) -> pandas.DataFrame:
    """Which of two numbers is the month; neither, where the column leaves it open."""
    first, second = pandas.to_numeric(parts["first"]), pandas.to_numeric(parts["second"])
    dotted = parts["mark"] == "."
    day_first = bool((first[~dotted] > 12).any())
    month_first = bool((second[~dotted] > 12).any())
    known = dotted if day_first == month_first else np.ones(len(parts), bool)
    swapped = ~dotted & month_first
    year = pandas.to_numeric(parts["year"])
    short = parts["year"].str.len() == 2
    return pandas.DataFrame(
        {
            "year": year.where(~short, year + np.where(year < 70, 2000, 1900)).where(known),
            "month": second.where(~swapped, first),
            "day": first.where(~swapped, second),
        }
    )
