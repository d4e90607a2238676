"""Parts of an output: written one after the other, and joined to one file when all are there.

In: rows with their verdicts. Out: CSV, JSON lines or Parquet with the same rows and cells.

CSV and JSON lines can't hold every value. In both, a JSON number keeps its value but not its
spelling (1.10 becomes 1.1), an infinite number becomes the text "Infinity" ("inf" in CSV), NaN
becomes null (an empty cell), a lone surrogate becomes "?", and bytes become hexadecimal digits.
"""

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from space.files.cells import as_json, as_text
from train.data import tables
from train.errors import DataError

OUTPUTS = [".csv", ".jsonl", ".parquet"]
TABLES = 200  # parts in a row group of Parquet


def folder_of(out: Path) -> Path:
    """Where the parts of an output are kept."""
    return out.with_name(out.name + ".parts")


def is_ours(folder: Path) -> bool:
    """Whether a folder holds parts, or what a kill at the very start or end has left of them."""
    left = {"job.json.draft", "joined"}
    return (folder / "job.json").exists() or (
        folder.is_dir() and all(file.name in left for file in folder.iterdir())
    )


def remove(out: Path) -> None:
    """Remove the parts; last what tells, after a kill, that they are needed no more."""
    folder = folder_of(out)
    last = ["job.json", "joined"]
    for file in sorted(folder.iterdir(), key=lambda file: (file.name in last, file.name)):
        file.unlink()
    folder.rmdir()


def is_joined(out: Path) -> bool:
    """Whether the output has been joined from parts that are still there."""
    mark = folder_of(out) / "joined"
    return mark.exists() and out.exists() and mark.read_text() == str(out.stat().st_ino)


def finished(folder: Path) -> list[Path]:
    """Those that are whole, in their order."""
    return sorted(p for p in folder.iterdir() if p.suffix in OUTPUTS and p.stem.isdigit())


def write_whole(file: Path, write: Callable[[Path], Any]) -> None:
    """Write a file that is there whole, or not at all, even if the power fails."""
    draft = file.with_name(f"{file.name}.draft")
    write(draft)
    with draft.open("rb+") as stream:
        os.fsync(stream.fileno())
    draft.rename(file)


def write(
    file: Path,
    part: tables.Part,
    answers: Sequence[Sequence[Any]],
    names: Sequence[str],
    schema: Any,
) -> None:
    """Write one part, in the format that the name of its draft says.

    Args:
        file: The draft; the first part of CSV begins with the names of the columns.
        part: The rows.
        answers: What is added to each row: a text, a number, a truth and a text, or None.
        names: Of these four.
        schema: Of an Arrow table that holds all rows of the input.

    Raises:
        DataError: The format can't hold a cell.
    """
    number, suffix = Path(file.stem).stem, Path(file.stem).suffix
    if suffix == ".parquet":
        _write_parquet(file, part, answers, names, schema)
        return
    columns = [*schema.names, *names]
    with file.open("w", encoding="utf-8", newline="") as stream:
        if suffix == ".csv" and not int(number):
            stream.write(_record(columns))
        for row, answer in zip(tables.to_rows(part), answers, strict=True):
            whole = {**row, **dict(zip(names, answer, strict=True))}
            if suffix == ".csv":
                stream.write(_record(as_text(whole.get(name)) for name in columns))
            else:
                stream.write(as_json(whole) + "\n")


def _record(cells: Iterable[str]) -> str:
    """A row of CSV; csv quotes lone carriage returns only where its own lines end in one."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def _write_parquet(
    file: Path,
    part: tables.Part,
    answers: Sequence[Sequence[Any]],
    names: Sequence[str],
    schema: Any,
) -> None:
    import pyarrow
    from pyarrow import parquet

    table = tables.to_arrow(part, schema) if len(part) else schema.empty_table()
    kinds = [pyarrow.string(), pyarrow.float64(), pyarrow.bool_(), pyarrow.string()]
    columns = zip(*answers, strict=True) if answers else [()] * len(kinds)
    for name, kind, cells in zip(names, kinds, columns, strict=True):
        table = table.append_column(name, pyarrow.array(cells, kind))
    try:
        parquet.write_table(table, file)
    except pyarrow.ArrowException as error:
        raise DataError(f"Parquet can't hold a column ({error}) — write to .jsonl") from error


def join(out: Path) -> None:
    """All parts as one file, by streaming, which then takes the place of the output."""
    folder = folder_of(out)
    files = finished(folder)
    draft = folder / f"whole{out.suffix.lower()}"
    if draft.suffix == ".parquet":
        _join_parquet(files, draft)
    else:
        with draft.open("wb") as whole:
            for file in files:
                with file.open("rb") as part:
                    shutil.copyfileobj(part, whole)
    with draft.open("rb+") as stream:
        os.fsync(stream.fileno())
    write_whole(folder / "joined", lambda file: file.write_text(str(draft.stat().st_ino)))
    draft.replace(out)


def _join_parquet(files: list[Path], draft: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetWriter(draft, parquet.read_schema(files[0])) as writer:
        for start in range(0, len(files), TABLES):
            tables_ = [parquet.ParquetFile(file).read() for file in files[start : start + TABLES]]
            group = pyarrow.concat_tables(tables_)
            writer.write_table(group, max(len(group), 1))
