"""Tables of rows: of a file, of results, of differences between models.

In: data frames. Out: Gradio tables whose columns are wide enough for their names.
"""

from collections.abc import Iterable
from typing import Any

import gradio
import pandas

LONG_TEXT, TEXT_WIDTH = 40, 260  # characters of a cell that needs a wide column; pixels
WIDTHS = {"review": TEXT_WIDTH, "prediction": 150, "A": 180, "B": 180}  # pixels
MIN_WIDTH, CHARACTER_WIDTH, ICONS_WIDTH = 100, 9, 60  # pixels; the icons sort and filter


def rows_table(label: str, **options: Any) -> Any:
    """An empty table; `options` are those of `gradio.Dataframe`."""
    return gradio.Dataframe(label=label, interactive=False, elem_classes="rows", **options)


def show_rows(frame: pandas.DataFrame | None, html_column: str = "") -> Any:
    """An update of a table; hides it without rows.

    Args:
        frame: The rows.
        html_column: The column whose cells are HTML.
    """
    if frame is None or frame.empty:
        return gradio.update(visible=False)
    columns = list(map(str, frame.columns))
    return gradio.update(
        value=frame,
        visible=True,
        datatype=["html" if column == html_column else "str" for column in columns],
        column_widths=[
            f"{column_width(column, frame.iloc[:, i])}px" for i, column in enumerate(columns)
        ],
    )


def column_width(name: str, cells: Iterable[Any]) -> int:
    """The width in pixels of a column: no word of its name breaks, and long texts have room."""
    usual = WIDTHS.get(name)
    if usual is None:
        usual = TEXT_WIDTH if any(len(str(cell)) > LONG_TEXT for cell in cells) else MIN_WIDTH
    longest = max(map(len, name.split()), default=0)
    return max(usual, CHARACTER_WIDTH * longest + ICONS_WIDTH)
