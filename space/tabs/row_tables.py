"""Tables of rows: of a file, of results, of differences between models.

In: data frames. Out: Gradio tables whose columns are wide enough for their names.
"""

from typing import Any

import gradio
import pandas

WIDTHS = {"review": 260, "prediction": 150, "A": 180, "B": 180}  # pixels
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
        column_widths=[f"{column_width(column)}px" for column in columns],
    )


def column_width(name: str) -> int:
    """The width in pixels of a column, in which no word of its name has to break."""
    longest = max(map(len, name.split()), default=0)
    return max(WIDTHS.get(name, MIN_WIDTH), CHARACTER_WIDTH * longest + ICONS_WIDTH)
