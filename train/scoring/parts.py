"""Parts of a scored file: written one by one, and joined into one file when all are finished.

In: rows with their predictions. Out: CSV, JSON lines or Parquet with the same rows and cells.

CSV and JSON lines can't hold every value. In both, a JSON number keeps its value but not its
spelling (1.10 becomes 1.1), an infinite number becomes the text "Infinity" ("inf" in CSV), NaN
becomes null (an empty cell), a lone surrogate becomes "?", and bytes become hexadecimal digits.
"""

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from space.files.cells import as_json, as_text
from train.data import tables
from train.errors import DataError

OUTPUTS = [".csv", ".jsonl", ".parquet"]
PARTS_PER_ROW_GROUP = 200  # of the joined Parquet file


def folder_of(out: Path) -> Path:
    """The folder with the parts of an output."""
    return out.with_name(out.name + ".parts")


def is_parts_folder(folder: Path) -> bool:
    """Whether a folder has parts, or only files that a command killed at its start or end left."""
    leftovers = {"job.json.draft", "joined"}
    return (folder / "job.json").exists() or (
        folder.is_dir() and all(file.name in leftovers for file in folder.iterdir())
    )


def remove(out: Path) -> None:
    """Remove the parts; the files that mark them as joined go last, in case of a kill."""
    folder = folder_of(out)
    last = ["job.json", "joined"]
    for file in sorted(folder.iterdir(), key=lambda file: (file.name in last, file.name)):
        file.unlink()
    folder.rmdir()


def is_joined(out: Path) -> bool:
    """Whether the output was joined from parts that still exist."""
    mark = folder_of(out) / "joined"
    return mark.exists() and out.exists() and mark.read_text() == str(out.stat().st_ino)


def finished_parts(folder: Path) -> list[Path]:
    """The complete parts, in order."""
    return sorted(p for p in folder.iterdir() if p.suffix in OUTPUTS and p.stem.isdigit())


def write_atomically(file: Path, write: Callable[[Path], Any]) -> None:
    """Write a file that is complete or absent, even after a power failure."""
    draft = file.with_name(f"{file.name}.draft")
    write(draft)
    with draft.open("rb+") as stream:
        os.fsync(stream.fileno())
    draft.rename(file)


def write(
    file: Path,
    part: tables.Part,
    cells: Sequence[Sequence[Any]],
    columns: Mapping[str, type],
    schema: Any,
) -> None:
    """Write one part, in the format named by its file, such as `000000000.csv.draft`.

    Args:
        file: The draft; the first part of a CSV file begins with the column names.
        part: The rows.
        cells: The added cells of each row, or None.
        columns: The added columns with their types: str, float or bool.
        schema: `pyarrow.Schema` of a table that can hold all rows of the input.

    Raises:
        DataError: The format can't represent a cell.
    """
    number, suffix = Path(file.stem).stem, Path(file.stem).suffix
    if suffix == ".parquet":
        _write_parquet(file, part, cells, columns, schema)
        return
    names = [*schema.names, *columns]
    with file.open("w", encoding="utf-8", newline="") as stream:
        if suffix == ".csv" and not int(number):
            stream.write(_record(names))
        for row, added in zip(tables.to_rows(part), cells, strict=True):
            scored = {**row, **dict(zip(columns, added, strict=True))}
            if suffix == ".csv":
                stream.write(_record(as_text(scored.get(name)) for name in names))
            else:
                stream.write(as_json(scored) + "\n")


def _record(cells: Iterable[str]) -> str:
    """A CSV row; the csv module quotes a lone carriage return only if its lines end in one."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def _write_parquet(
    file: Path,
    part: tables.Part,
    cells: Sequence[Sequence[Any]],
    columns: Mapping[str, type],
    schema: Any,
) -> None:
    import pyarrow
    from pyarrow import parquet

    table = tables.to_arrow(part, schema) if len(part) else schema.empty_table()
    types: dict[type, Any] = {
        str: pyarrow.string(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    by_column = zip(*cells, strict=True) if cells else [()] * len(columns)
    for (name, kind), values in zip(columns.items(), by_column, strict=True):
        table = table.append_column(name, pyarrow.array(values, types[kind]))
    try:
        parquet.write_table(table, file)
    except pyarrow.ArrowException as error:
        raise DataError(f"Parquet can't hold a column ({error}) — write to .jsonl") from error


def join(out: Path) -> None:
    """Join all parts into one file, by streaming, and move it to the output."""
    folder = folder_of(out)
    files = finished_parts(folder)
    draft = folder / f"whole{out.suffix.lower()}"
    if draft.suffix == ".parquet":
        _join_parquet(files, draft)
    else:
        with draft.open("wb") as joined:
            for file in files:
                with file.open("rb") as part:
                    shutil.copyfileobj(part, joined)
    with draft.open("rb+") as stream:
        os.fsync(stream.fileno())
    write_atomically(folder / "joined", lambda file: file.write_text(str(draft.stat().st_ino)))
    draft.replace(out)


def _join_parquet(files: list[Path], draft: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetWriter(draft, parquet.read_schema(files[0])) as writer:
        for start in range(0, len(files), PARTS_PER_ROW_GROUP):
            batch = files[start : start + PARTS_PER_ROW_GROUP]
            group = pyarrow.concat_tables([parquet.ParquetFile(file).read() for file in batch])
            writer.write_table(group, max(len(group), 1))
