"""Where rows come from: a Hub dataset, a file or a folder of files.

In: a recipe's `Dataset`. Out: the splits it has, as `datasets.Dataset`, with the columns checked.
"""

import csv
import errno
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.errors import DataError, shorten
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
    check_columns(splits[source.train], source, source.train)
    return splits


def check_columns(rows: "datasets.Dataset", source: Dataset, name: str) -> None:
    """Raise `DataError` unless a split has all columns, and text in those of texts."""
    where = f"{source.source} split {name!r}"
    wanted = [source.text, source.label, source.text_pair, source.group, source.confidence]
    wanted += source.minimum
    for column in filter(None, wanted):
        if column not in rows.column_names:
            raise DataError(
                f"{where} has no column {column!r} — it has: "
                f"{', '.join(rows.column_names)}; "
                "name yours with --set datasets.text=… or datasets.label=…"
            )
    for column in filter(None, [source.text, source.text_pair]):
        _check_is_text(rows, column, where, "--set datasets.text=… or datasets.text_pair=…")


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
    _check_is_text(split, corpus.text, corpus.source, "`text` of the corpus")
    return list(split[corpus.text])


def kind(feature: Any) -> str:
    """The type of a column: `string` and so on, `list`, `struct`, or the name of a feature."""
    if isinstance(feature, dict):
        return "struct"
    return str(getattr(feature, "dtype", None) or type(feature).__name__.lower())


def _check_is_text(rows: "datasets.Dataset", column: str, where: str, remedy: str) -> None:
    found = kind(rows.features[column])
    if found not in {"string", "large_string", "null"}:
        raise DataError(
            f"{where}: column {column!r} must hold text, got the type {found} — name the column "
            f"of the texts with {remedy}, or convert this one to text"
        )


def revision(source: Dataset) -> str | None:
    """The version that is read: the pinned one, else the Hub's newest commit; None if local."""
    if source.is_local or source.revision:
        return source.revision
    from huggingface_hub import HfApi

    return HfApi().dataset_info(source.source).sha


def _read(source: Source, names: "set[Any]") -> "dict[str, datasets.Dataset]":
    """All splits, of which these must be there."""
    try:
        splits = _read_local(source) if source.is_local else _read_hub(source)
    except (OSError, RuntimeError) as error:  # a name too long, the home of nobody, a script
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        raise DataError(f"{shorten(source.source)} can't be read: {shorten(error, 500)}") from error
    for name in names:
        if name not in splits:
            raise DataError(
                f"{source.source} has no split {name!r} — it has: {', '.join(sorted(splits))}"
            )
    return splits


def _read_hub(source: Source) -> "dict[str, datasets.Dataset]":
    from datasets import load_dataset, load_dataset_builder
    from datasets.exceptions import DatasetGenerationError
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    try:
        what = {"path": source.source, "name": source.config, "revision": source.revision}
        is_csv = hasattr(load_dataset_builder(**what).config, "keep_default_na")
        # In a CSV "None", "nan" and "NULL" are texts; an empty cell alone is missing.
        options: dict[str, Any] = {"keep_default_na": False, "na_values": [""]} if is_csv else {}
        loaded = load_dataset(**what, **options)
    except (FileNotFoundError, HfHubHTTPError, ConnectionError) as error:
        raise DataError(
            f"dataset {source.source!r} (revision {source.revision or 'main'}) can't be loaded "
            f"from {constants.ENDPOINT} — check the id and the revision, log in with "
            f"`hf auth login` if it is private, or name a local file: {_first_line(error)}"
        ) from error
    except (ValueError, OverflowError, NotImplementedError, DatasetGenerationError) as error:
        cause = error.__cause__ or error
        why = shorten(" ".join(str(cause).split()), 500)
        raise DataError(f"dataset {source.source!r} can't be loaded: {why}") from error
    return _by_name(loaded)


def _read_local(source: Source) -> "dict[str, datasets.Dataset]":
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

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
    try:
        if path.is_dir():
            return _by_name(load_dataset(str(path)))
        separator = _SEPARATORS.get(path.suffix)
        options: dict[str, Any] = {"sep": separator} if separator else {}
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
