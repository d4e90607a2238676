"""Where rows come from: a Hub dataset, a file or a folder of files.

In: a recipe's `Dataset`. Out: the splits it has, as `datasets.Dataset`, with the columns checked.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.errors import DataError
from train.recipe import FILES, Corpus, Dataset, Source

if TYPE_CHECKING:
    import datasets


_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read(source: Dataset) -> "dict[str, datasets.Dataset]":
    """All splits of a source, by name.

    Raises:
        DataError: The source is missing, unreadable, ragged, not UTF-8, or lacks a column.
    """
    splits = _read(source, {source.train, source.validation, source.test} - {None})
    wanted = [source.text, source.label, source.text_pair, source.group, source.confidence]
    wanted += source.minimum
    for column in filter(None, wanted):
        columns = splits[source.train].column_names
        if column not in columns:
            raise DataError(
                f"{source.source} has no column {column!r} — it has: {', '.join(columns)}; "
                "name yours with --set datasets.text=… or datasets.label=…"
            )
    return splits


def texts(corpus: Corpus) -> list[Any]:
    """The texts of a corpus, None where one is missing.

    Raises:
        DataError: As for `read`.
    """
    split = _read(corpus, {corpus.split})[corpus.split]
    if corpus.text not in split.column_names:
        raise DataError(
            f"{corpus.source} has no column {corpus.text!r} — it has: "
            f"{', '.join(split.column_names)}"
        )
    return list(split[corpus.text])


def revision(source: Dataset) -> str | None:
    """The version that is read: the pinned one, else the Hub's newest commit; None if local."""
    if source.is_local or source.revision:
        return source.revision
    from huggingface_hub import HfApi

    return HfApi().dataset_info(source.source).sha


def _read(source: Source, names: "set[Any]") -> "dict[str, datasets.Dataset]":
    """All splits, of which these must be there."""
    splits = _read_local(source) if source.is_local else _read_hub(source)
    for name in names:
        if name not in splits:
            raise DataError(
                f"{source.source} has no split {name!r} — it has: {', '.join(sorted(splits))}"
            )
    return splits


def _read_hub(source: Source) -> "dict[str, datasets.Dataset]":
    from datasets import load_dataset

    from train.hub_errors import explained

    with explained(
        f"dataset {source.source!r} (revision {source.revision or 'main'}) can't be loaded",
        DataError,
        name=source.source,
        expected=(FileNotFoundError, ValueError),
        after="or name a local file",
    ):
        loaded = load_dataset(source.source, source.config, revision=source.revision)
    return _by_name(loaded)


def _read_local(source: Source) -> "dict[str, datasets.Dataset]":
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    from train.hub_errors import explained

    path = Path(source.source).expanduser()
    if not path.exists():
        raise DataError(
            f"no file or folder at {path} — give its path from the current folder, or make it as "
            "the header of the recipe says"
        )
    if path.is_file() and path.suffix not in FILES:
        raise DataError(
            f"{path} must be one of {', '.join(FILES)}, got {path.suffix or 'no suffix'}"
        )
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        _check_text(file)
    separator = _SEPARATORS.get(path.suffix)
    options: dict[str, Any] = {"sep": separator} if separator else {}
    try:
        with explained(f"{path} can't be read", DataError):
            if path.is_dir():
                return _by_name(load_dataset(str(path)))
            return _by_name(load_dataset(FILES[path.suffix], data_files=str(path), **options))
    except (DatasetGenerationError, FileNotFoundError, ValueError) as error:
        cause = error.__cause__ or error
        raise DataError(f"{path} can't be read: {_first_line(cause)}") from error


def _by_name(loaded: "Mapping[Any, datasets.Dataset]") -> "dict[str, datasets.Dataset]":
    return {str(name): split for name, split in loaded.items()}


def _check_text(file: Path) -> None:
    """UTF-8 throughout and, in a CSV, as many fields in each row as in the header.

    The readers below would fill short rows with blanks, silently.
    """
    if file.suffix not in {".csv", ".tsv", ".jsonl"}:
        return
    try:
        # In one piece: a stream would count the byte it stumbles over from its own buffer.
        text = file.read_bytes().decode("utf-8-sig")
        if file.suffix != ".jsonl":
            _check_fields(file, text)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} must be UTF-8, byte {error.start} is {error.object[error.start]:#04x} — "
            f"convert it: iconv -f WINDOWS-1252 -t UTF-8 {file.name} > utf8{file.suffix}"
        ) from error
    except csv.Error as error:
        raise DataError(f"{file} is not a CSV that can be read: {error}") from error


def _check_fields(file: Path, text: str) -> None:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_SEPARATORS[file.suffix])
    header = next(rows, [])
    for number, row in enumerate(rows, start=1):
        if row and len(row) != len(header):
            raise DataError(
                f"{file} row {number} (line {rows.line_num}) has {len(row)} fields, the header "
                f'has {len(header)} — put "quotes" around texts with commas'
            )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
