"""Uploaded files and the menus of their columns, for the Batch and Compare tabs.

In: the path of an upload. Out: its table with a message, and updates of the menus.
"""

from pathlib import Path
from typing import Any

import gradio

from space import views
from space.files import InvalidFile, tables
from space.files.tables import Table

NO_COLUMN = "(none)"  # choice of a menu


def read_upload(path: str | None) -> tuple[Table | None, str]:
    """The table of an upload and a message with its size; without a table, why, or "".

    Args:
        path: None if the user removed the file.
    """
    if path is None:
        return None, ""
    try:
        table = tables.read(Path(path))
    except InvalidFile as reason:
        return None, views.message(reason)
    rows, columns = table.frame.shape
    return table, views.message(f"{table.name}: {rows:,} rows, {columns} columns.", "remark")


def column_menu(table: Table, kind: str) -> Any:
    """Update of a column menu with the best guess; only the text column is required.

    Args:
        table: The uploaded table.
        kind: Field of `Columns`: "text", "date", "title" or "label".
    """
    columns = list(map(str, table.frame.columns))
    choices = columns if kind == "text" else [NO_COLUMN, *columns]
    return gradio.update(choices=choices, value=getattr(table.columns, kind) or choices[0])
