"""Dates in the usual formats.

In: a column of any values. Out: the day of each, or NaT where it is ambiguous or no date.
"""

import numpy as np
import pandas

YEARS = 1900, 2100  # others are treated as mistakes: no chart can show the year 100,000
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
    r"(?P<first>\d{1,2})(?P<separator>[-/.])(?P<second>\d{1,2})[-/.](?P<year>\d{4}|\d{2})" + TIME
)
MONTH_NAMES = (
    "january february march april may june july august september october november december"
).split()
MONTHS = {  # number by name or abbreviation
    name[:length]: number
    for number, name in enumerate(MONTH_NAMES, start=1)
    for length in (3, 4, len(name))
}


def parse_dates(column: pandas.Series) -> pandas.Series:
    """The day of each cell as written, without conversion to another time zone.

    The formats are ISO dates and months, English month names, 20240501, Unix time in seconds or
    milliseconds (UTC), and day, month and year as numbers. Whether the day or the month comes first
    must follow from some cell of the column (31/12 tells, 5/6 does not) or from dots, which put the
    day first. Years must be in `YEARS`.

    Returns:
        `datetime64` with the index of the column, NaT where there is no date.
    """
    if column.dtype.kind == "M":
        zoneless = column.dt.tz_localize(None) if getattr(column.dt, "tz", None) else column
        start, end = pandas.Timestamp(YEARS[0], 1, 1), pandas.Timestamp(YEARS[1] + 1, 1, 1)
        zoneless = zoneless.where(zoneless.between(start, end, "left"))
        return zoneless.astype("datetime64[us]").dt.normalize()
    if column.dtype.kind in "iuf":
        return _from_numbers(column.astype("float64"))
    if column.dtype.kind == "b":
        return pandas.Series(pandas.NaT, column.index, "datetime64[us]")
    texts = column.astype("object").where(column.notna(), "").map(str).str.strip()
    days = _from_numbers(pandas.to_numeric(texts, errors="coerce"))
    for pattern in (YEAR_FIRST, NAMED_DAY_FIRST, NAMED_MONTH_FIRST):
        days = days.fillna(_from_parts(texts.str.extract(f"^{pattern}$")))
    return days.fillna(_from_parts(_order_day_and_month(texts.str.extract(f"^{YEAR_LAST}$"))))


def _from_numbers(numbers: pandas.Series) -> pandas.Series:
    """Unix seconds or milliseconds of the years 1973 to 2286, or numbers such as 20240501."""
    known = numbers.astype("float64").fillna(0)
    seconds = known.where(known.between(1e8, 1e10, "left"))
    seconds = seconds.fillna((known / 1000).where(known.between(1e11, 1e13, "left")))
    days = pandas.to_datetime(seconds // 86400, unit="D").astype("datetime64[us]")
    digits = known.where(known.between(19_000_101, 21_001_231) & (known % 1 == 0), 0).astype(int)
    parts = {"year": digits // 10_000, "month": digits // 100 % 100, "day": digits % 100}
    return days.fillna(_from_parts(pandas.DataFrame(parts)))


def _from_parts(parts: pandas.DataFrame) -> pandas.Series:
    """Dates from columns year, month and day; the first of the month where the day is missing."""
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


def _order_day_and_month(parts: pandas.DataFrame) -> pandas.DataFrame:
    """Decide which of the first two numbers is the month; rows stay empty if that is ambiguous."""
    first, second = pandas.to_numeric(parts["first"]), pandas.to_numeric(parts["second"])
    has_dots = parts["separator"] == "."
    day_first = bool((first[~has_dots] > 12).any())
    month_first = bool((second[~has_dots] > 12).any())
    is_clear = has_dots if day_first == month_first else np.ones(len(parts), bool)
    is_swapped = ~has_dots & month_first
    year = pandas.to_numeric(parts["year"])
    two_digits = parts["year"].str.len() == 2
    return pandas.DataFrame(
        {
            "year": year.where(~two_digits, year + np.where(year < 70, 2000, 1900)).where(is_clear),
            "month": second.where(~is_swapped, first),
            "day": first.where(~is_swapped, second),
        }
    )
