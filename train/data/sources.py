"""Sources of rows: a Hub dataset, a file or a folder of files.

In: a `Source` of a recipe. Out: its splits as `datasets.Dataset`, columns checked.
"""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.data import hub_datasets, imdb_archive, tables
from train.errors import DataError, shorten
from train.sections import FOLDER_FILES, Dataset, Source, is_commit

if TYPE_CHECKING:
    import datasets

MAX_FILES = 20_000  # in a folder that is searched for tables
# How to get the folders of the recipes that no step writes.
REMEDIES = {
    "imdb-ratings": f"download aclImdb_v1.tar.gz from {imdb_archive.DOWNLOAD} and convert it with "
    "`python -m train data imdb-archive aclImdb_v1.tar.gz --out {}`",
    "mams": "convert data/MAMS-ACSA/raw of https://github.com/siat-nlp/MAMS-for-ABSA to {} with "
    'the code in docs/data.md, "Aspects"',
}


def read(source: Dataset) -> "dict[str, datasets.Dataset]":
    """Read all splits of a source, by name.

    Raises:
        DataError: The source is missing or invalid, or lacks a split or column.
    """
    splits = _read(source, {source.train, source.validation, source.test} - {None})
    check_columns(splits[source.train], source, source.train)
    return splits


def check_columns(rows: "datasets.Dataset", source: Dataset, name: str) -> None:
    """Raise `DataError` unless a split has rows, all columns, and text in its text columns."""
    where = f"{source.source} split {name!r}"
    if not len(rows):
        raise DataError(f"{where} has no rows — add rows, or name another split or file")
    for key in ["text", "label", "text_pair", "group"]:
        column = getattr(source, key)
        if column is not None and column not in rows.column_names:
            is_required = key in {"text", "label"}
            optional = "" if is_required else f", or use none with --set datasets.{key}=null"
            raise DataError(
                f"{where} has no column {column!r} — it has: {', '.join(rows.column_names)}; "
                f"name yours with --set datasets.{key}=…{optional}"
            )
    for column in filter(None, [source.text, source.text_pair]):
        field = rows.features.arrow_schema.field(column)
        tables.check_is_text(field, where, "--set datasets.text=… or datasets.text_pair=…")


def read_splits(source: Source) -> "dict[str, datasets.Dataset]":
    """Read all splits of a source, by name, with any columns.

    Raises:
        DataError: The source is missing or invalid.
    """
    return _read(source, set())


def texts(source: Source, split: str, column: str) -> list[Any]:
    """Read a column of texts; None where a cell is empty.

    Raises:
        DataError: See `read`.
    """
    rows = _read(source, {split})[split]
    if column not in rows.column_names:
        raise DataError(
            f"{source.source} has no column {column!r} — it has: {', '.join(rows.column_names)}"
        )
    field = rows.features.arrow_schema.field(column)
    tables.check_is_text(field, source.source, "`text` of the corpus")
    return list(rows[column])


def check_exists(source: Source) -> None:
    """Raise `DataError` unless the file or folder of a local source exists."""
    path = Path(source.source).expanduser()
    if source.is_local and not os.path.exists(path):
        remedy = REMEDIES.get(path.name, "give its path from the current folder").format(path)
        raise DataError(f"no file or folder at {shorten(path)} — {remedy}")


def revision(source: Source) -> str | None:
    """Resolve the source's revision to a commit, by reading it; None for a local source.

    Raises:
        DataError: The source can't be read.
    """
    if source.is_local or is_commit(source.revision):
        return source.revision
    return hub_datasets.commit(hub_datasets.read(source)) or source.revision


def _read(source: Source, names: "set[Any]") -> "dict[str, datasets.Dataset]":
    """Read all splits; `names` must be among them."""
    try:
        splits = _read_local(source) if source.is_local else hub_datasets.read(source)
    except (OSError, RuntimeError) as error:  # a name too long, no such user, a dataset script
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        raise DataError(f"{shorten(source.source)} can't be read: {shorten(error, 500)}") from error
    for name in names:
        if name not in splits:
            raise DataError(
                f"{source.source} has no split {name!r} — it has: {', '.join(sorted(splits))}; "
                "name one of these"
            )
    return splits


def _read_local(source: Source) -> "dict[str, datasets.Dataset]":
    import datasets
    import pyarrow

    check_exists(source)
    path = Path(source.source).expanduser()
    splits, features = _layout(path, source.config) if path.is_dir() else ({"train": [path]}, None)
    tables_by_split = {}
    for split, files in splits.items():
        roles = [getattr(source, role, None) for role in ("text", "text_pair")]
        read = [tables.read(file, [name for name in roles if name]) for file in files]
        try:
            table = pyarrow.concat_tables(read, promote_options="default")
            if features:
                table = datasets.table.table_cast(table, features.arrow_schema)
            tables_by_split[split] = datasets.Dataset(table)
        except (pyarrow.ArrowException, ValueError, NotImplementedError, KeyError) as error:
            names = ", ".join(map(str, files[:3]))
            raise DataError(f"{names} can't be read as one table: {_first_line(error)}") from error
    return tables_by_split


def _layout(path: Path, config: str | None) -> "tuple[dict[str, list[Path]], Any]":
    """The files of each split of a folder, and the features if its README.md declares them.

    As in `datasets`, file names determine the splits, or `configs` in the folder's README.md.
    """
    from datasets.data_files import (
        DataFilesDict,
        EmptyDatasetError,
        get_data_patterns,
        sanitize_patterns,
    )
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard, DatasetCardData

    _check_is_searchable(path)
    try:
        readme = path / "README.md"
        card = DatasetCard.load(readme).data if readme.is_file() else DatasetCardData()
        configs = MetadataConfigs.from_dataset_card_data(card)
        infos = DatasetInfosDict.from_dataset_card_data(card)
        name = config or configs.get_default_config_name() or next(iter(configs or infos), None)
        declared = configs.get(name, {}).get("data_files")
        patterns = sanitize_patterns(declared) if declared else get_data_patterns(str(path))
        files = DataFilesDict.from_patterns(patterns, base_path=str(path))
    except EmptyDatasetError:
        files = {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read: {_first_line(error)}") from error
    splits = {
        str(split): [file for file in map(Path, names) if _may_be_table(file)]
        for split, names in files.items()
    }
    splits = {split: names for split, names in splits.items() if names}
    if not splits:
        raise DataError(
            f"{path} holds no table: looked for files that end in {', '.join(FOLDER_FILES)} (a "
            ".json file whose first line is only a brace is taken for settings) — name the file of "
            "the reviews"
        )
    return splits, infos[name].features if name in infos else None


def _check_is_searchable(path: Path) -> None:
    """Raise `DataError` if a folder has more than `MAX_FILES` visible files and folders."""
    count = 0
    for _, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        count += len(folders) + len(files)
        if count > MAX_FILES:
            raise DataError(
                f"{path} holds more than {MAX_FILES:,} files and folders, too many to search for "
                "tables — name the file or folder of the reviews"
            )


def _may_be_table(file: Path) -> bool:
    """Whether a file's suffix is that of a table; indented JSON objects are settings."""
    if file.suffix.lower() != ".json":
        return file.suffix.lower() in FOLDER_FILES
    with file.open("rb") as stream:
        return stream.readline(100).strip() != b"{"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
