"""Cell values that CSV and JSON can hold.

In: values of Arrow or JSON. Out: None, bool, int, float and str, or lists and dicts of these; and
their text.
"""

import datetime
import decimal
import json
import math
from typing import Any

Row = dict[str, Any]


def plain_rows(table: Any) -> list[Row]:
    """The rows of an Arrow table; see `plain` for the values.

    Raises:
        ValueError: A column has a type that can't be written as text.
    """
    columns = [_plain_cells(column) for column in table.columns]
    names = table.schema.names
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _plain_cells(column: Any) -> list[Any]:
    try:
        return [plain(value) for value in column.to_pylist()]
    except (ValueError, OverflowError):  # a date outside Python's years 1 to 9999
        import pyarrow

        texts: list[Any] = column.cast(pyarrow.string()).to_pylist()
        return texts


def plain(value: Any) -> Any:
    """A value of Arrow as a JSON value.

    Dates, times and decimals become text, NaN becomes None, a lone surrogate becomes "?". Bytes
    become hexadecimal digits (`bytes.fromhex` reads them back), whether or not they are text.
    Infinite numbers stay as they are.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):  # datetime is a date
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    # JSON can hold lone surrogates, which UTF-8 can't.
    return str(value).encode("utf-8", "replace").decode()


def as_json(value: Any) -> str:
    """Valid JSON: infinite numbers are written as texts."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(value), parse_constant=str), ensure_ascii=False)


def as_text(value: Any) -> str:
    """A cell as text: nested values as JSON, None as an empty text."""
    if value is None:
        return ""
    return as_json(value) if isinstance(value, dict | list) else str(value)
