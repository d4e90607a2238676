"""Uploaded files and the menus of their columns, for the File and Compare tabs.

In: the path of an upload. Out: its table with a message, and updates of the menus.
"""

import json
from pathlib import Path
from typing import Any

import gradio

from space import views
from space.files import InvalidFile, tables
from space.files.tables import Table
from space.tabs.session_files import delete_upload

NO_COLUMN = "(none)"  # choice of a menu
LONG_NAME_WORDS = 5  # of a column whose name may be a review
NO_HEADER = (
    "The first line was read as the names of the columns. If it is a review, add a line with names "
    "above it, such as: text"
)
# Invented reviews of invented films. File inputs take it as a value without a copy.
SAMPLE_FILE = Path(__file__).resolve().parent.parent / "sample.csv"
gradio.set_static_paths([SAMPLE_FILE])
PRIVACY = (
    "Your file is deleted from the server's disk as soon as it is read. The reviews and results "
    "stay in its memory for at most an hour. "
)
DOWNLOADS = (
    "Files that you download are deleted from the server when you close the page, or after an "
    "hour at the latest. "
)
NOTHING_ELSE = "Nothing else is kept."
MAX_MEGABYTES = tables.MAX_BYTES // 2**20
TOO_LARGE = (
    f" MB; the limit is {MAX_MEGABYTES} MB. Keep only the columns that you need, or split the file."
)
# Runs before Gradio's own handlers, which would upload the file.
CHECK_SIZE = """
const message = element.querySelector(".too-large");
const area = element.closest(".upload-area");
const check = (event) => {
  if (!area.contains(event.target)) return;
  const files = [...(event.dataTransfer ?? event.target).files ?? []];
  if (!files.length) return;
  const large = files.find((file) => file.size > LIMIT);
  message.hidden = !large;
  if (!large) return;
  message.textContent = `${large.name} is ${Math.ceil(large.size / 2 ** 20)}` + REST;
  event.stopImmediatePropagation();
  event.preventDefault();
  if (event.target.type === "file") event.target.value = "";
};
document.addEventListener("change", check, true);
document.addEventListener("drop", check, true);
""".replace("LIMIT", str(tables.MAX_BYTES)).replace("REST", json.dumps(TOO_LARGE))


def upload_area(label: str, height: int, downloads: bool = False) -> Any:
    """A file input that refuses large files before it uploads them, and what is kept of a file.

    Args:
        label: Of the input.
        height: Of the input, in pixels.
        downloads: Whether the tab has files to download.
    """
    privacy = PRIVACY + DOWNLOADS * downloads + NOTHING_ELSE
    with gradio.Column(elem_classes="upload-area"):
        file = gradio.File(label=label, height=height)
        # Gradio's own would leave an empty temporary file with each upload.
        file.preprocess = lambda payload: payload.path if payload else None
        gradio.HTML(
            f'<p class="problem too-large" role="alert" hidden></p><p class="small">{privacy}</p>',
            js_on_load=CHECK_SIZE,
        )
    return file


def read_upload(
    path: str | None,
    max_rows: int = tables.MAX_ROWS,
    limit: str = f"Choose which {tables.MAX_ROWS:,} of them to analyze.",
) -> tuple[list[Table], str]:
    """The table of an upload and a message with its size; without a table, why, or "".

    The upload is deleted.

    Args:
        path: None if the user removed the file.
        max_rows: How many rows the tab takes.
        limit: The message for a longer file.

    Returns:
        The table of the first rows, and for a longer file also one of sampled rows; the message.
    """
    if path is None:
        return [], ""
    try:
        read = [tables.read(Path(path))]
        if read[0].total > tables.MAX_ROWS:
            read.append(tables.read(Path(path), sample=True))
    except InvalidFile as reason:
        return [], views.message(reason)
    finally:
        delete_upload(Path(path))
    more = f" {limit}" if read[0].total > max_rows else ""
    return read, views.message(_describe(read[0]) + more, "remark")


def _describe(table: Table) -> str:
    columns = len(table.frame.columns)
    source = f"{table.name}, {table.inside}" if table.inside else table.name
    rows = f"{table.total:,} row{'s' * (table.total != 1)}"
    sentences = [f"{source}: {rows}, {columns} column{'s' * (columns != 1)}."]
    if table.encoding == "cp1252":
        sentences.append(
            "It is not in UTF-8 and was read as Windows-1252: check letters with accents."
        )
    names = map(str, table.frame.columns)
    if any(len(name.split()) >= LONG_NAME_WORDS for name in names):
        sentences.append(NO_HEADER)
    return " ".join(sentences)


def column_menu(table: Table, kind: str) -> Any:
    """Update of a column menu with the best guess; only the text column is required.

    Args:
        table: The uploaded table.
        kind: Field of `Columns`: "text", "date", "title", "label" or "rating".
    """
    columns = list(map(str, table.frame.columns))
    choices = columns if kind == "text" else [NO_COLUMN, *columns]
    return gradio.update(choices=choices, value=getattr(table.columns, kind) or choices[0])
