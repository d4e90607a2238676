"""Bulk scoring: add predictions to the rows of a file or dataset of any length.

In: a local file, which is checked to its end first, or a Hub dataset, which is streamed. Out: one
file with all columns of the input and some more. Finished parts are stored beside the output, so
that the same command resumes after any interruption and writes each row exactly once. An existing
output is replaced only when the new one is complete.
"""

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from train import console
from train.data import hub_datasets, tables
from train.errors import DataError, Interrupted, RunError, UsageError
from train.scoring import parts, predictions
from train.scoring.predictions import Predictor
from train.sections import FILES, is_local
from train.signals import StopRequest

PART_ROWS = 500  # a kill loses at most one part
VERSION = 4  # of the format of the parts; parts of another version are not resumed


@dataclass
class Input:
    """Rows in parts of `PART_ROWS`; only the last part may be shorter."""

    columns: list[str]  # of all rows
    identity: dict[str, Any]  # equal only for equal rows
    total: int | None  # number of rows, if known
    parts: Iterator[tables.Part]
    schema: Any  # pyarrow.Schema of a table that can hold all rows


def score(
    source: str,
    model: str,
    out: Path,
    *,
    revision: str | None = None,
    text: str = "text",
    text_pair: str | None = None,
    aspects: str | None = None,
    split: str = "test",
    config: str | None = None,
    prefix: str = "",
    overwrite: bool = False,
) -> None:
    """Write every row with its prediction, or the `reason` for having none.

    The added columns are `label`, `score` (its probability), `unsure`, `caution` (if the text seems
    to be in another language), `truncated` and `reason`; if the labels are a scale, such as stars,
    also `expected_stars`, the mean by probability. With `aspects` they are `NAME_label` and
    `NAME_score` of each, `caution`, `truncated` and `reason`.

    Args:
        source: A file, or the id of a dataset on the Hub.
        model: A repository on the Hub (`user/repo`), or a run folder.
        out: The file to write; its suffix chooses the format.
        revision: Of the model.
        text: The column of the reviews.
        text_pair: The column of the second texts, for a model of text pairs.
        aspects: `all` or names separated by commas, which a model of text pairs combines with each
            review, instead of `text_pair`.
        split: Of a Hub dataset.
        config: Of a Hub dataset with several configurations.
        prefix: Put before the names of the added columns.
        overwrite: Replace an existing output and the parts of another job.

    Raises:
        DataError: The input is missing or invalid, or its text column is missing or not text.
        RunError: The output exists, is the input, can't be written, or has parts of another job.
        ModelError: See `predictions.load`.
        UsageError: Both `text_pair` and `aspects` are given.
        Interrupted: Ctrl-C or SIGTERM; the same command resumes.
    """
    if text_pair and aspects:
        raise UsageError(
            f"give --text-pair-column or --aspects, got both: {text_pair!r} and {aspects!r}"
        )
    with _disk_errors(out):
        out = _target(out)
        _check_out(out, [source, model], prefix, overwrite)
    if parts.is_joined(out) and not (parts.folder_of(out) / "job.json").exists():
        parts.remove(out)  # a killed command had joined them, but not removed all
        return
    data = _open(source, split, config)
    _check_columns(data, source, text, "--text")
    if text_pair:
        _check_columns(data, source, text_pair, "--text-pair-column")
    added = [] if aspects else predictions.COLUMNS  # with aspects, the model may name them
    _check_not_taken(data, source, [prefix + name for name in added])
    predictor = predictions.load(model, revision, text, text_pair, aspects)
    console.print_line(f"engine: {predictor.classifier.load().engine}")
    columns = {prefix + name: kind for name, kind in predictor.columns.items()}
    _check_not_taken(data, source, list(columns))
    job: dict[str, Any] = {"input": data.identity, "prefix": prefix}
    job |= _identity(model, predictor)
    with _disk_errors(out):
        _score(data, job, out, predictor, columns, overwrite)


def _score(
    data: Input,
    job: dict[str, Any],
    out: Path,
    predictor: Predictor,
    columns: dict[str, type],
    overwrite: bool,
) -> None:
    folder = parts.folder_of(out)
    done = _start(folder, job, overwrite)
    if parts.is_joined(out):  # killed between its last two steps
        parts.remove(out)
        return
    if done:
        console.print_line(f"resuming after {done * PART_ROWS:,} rows already in {folder}")
    bar = tqdm(
        total=data.total, unit="row", unit_scale=True, desc="score", smoothing=0.05,
        initial=done * PART_ROWS,
    )  # fmt: skip
    with StopRequest() as stop, bar:
        for number in range(done, sys.maxsize):
            part = next(islice(data.parts, done if number == done else 0, None), [])
            if not len(part):
                if number:
                    break
                console.print_line("the input has no rows: the output has none either")
            cells = predictor.predict(part)
            write = partial(
                parts.write, part=part, cells=cells, columns=columns, schema=data.schema
            )
            parts.write_atomically(folder / f"{number:09d}{out.suffix.lower()}", write)
            bar.update(len(part))
            if stop.requested and len(part) == PART_ROWS:
                raise Interrupted(
                    f"stopped after {(number + 1) * PART_ROWS:,} rows, stored in {folder} — run "
                    "the same command to resume"
                )
    parts.join(out)
    parts.remove(out)
    console.print_line(f"wrote {out}")


def _target(out: Path) -> Path:
    """The file to write: the target of a link, which need not exist yet."""
    if not out.is_symlink():
        return out
    target = Path(os.path.realpath(out))
    if target.is_symlink():
        raise RunError(f"{out} is a link to itself — name a file")
    if target.suffix.lower() != out.suffix.lower():
        raise RunError(
            f"{out} is a link to {target}: both must end in the same suffix, which names the "
            "format — name the file itself"
        )
    return target


def _check_out(out: Path, needed: list[str], prefix: str, overwrite: bool) -> None:
    """Raise `RunError` if the output can't be written or would replace the input or model."""
    folder = parts.folder_of(out)
    if out.suffix.lower() not in parts.OUTPUTS:
        raise RunError(f"--out must end in one of {', '.join(parts.OUTPUTS)}, got {out.name!r}")
    if prefix.encode("utf-8", "replace").decode() != prefix:
        raise RunError(f"--prefix must be text in UTF-8, got {prefix!r}")
    for path in (Path(name).expanduser() for name in needed):
        if os.path.exists(path) and (
            out.exists() and path.samefile(out) or _contains(folder, path)
        ):
            raise RunError(f"{out} would replace {path}, which is read — choose another output")
    if out.is_dir():
        raise RunError(f"{out} is a folder — name a file")
    if out.exists() and not overwrite and not parts.is_joined(out):
        raise RunError(f"{out} already exists — choose another name, or add --overwrite")
    if folder.exists() and not parts.is_parts_folder(folder):
        raise RunError(
            f"{folder} is needed for parts, but has other content — choose another --out"
        )
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise RunError(f"{out} can't be written: {parent} is not a writable folder")


def _contains(folder: Path, path: Path) -> bool:
    """Whether a path, with links resolved, is in a folder."""
    return folder.resolve() in [path.resolve(), *path.resolve().parents]


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    """Turn an `OSError` into a `RunError` with its remedy."""
    try:
        yield
    except OSError as error:
        message = f"{out} can't be written: {error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = (
                f"the disk is full — finished rows are in {parts.folder_of(out)}; free some space "
                "and run the same command to resume"
            )
        raise RunError(message) from error


def _check_columns(data: Input, source: str, text: str, option: str) -> None:
    if not data.columns:
        raise DataError(f"{source} has no rows and names no columns — name a file with reviews")
    if text not in data.columns:
        raise DataError(
            f"{source} has no column {text!r} — it has: {', '.join(data.columns)}; name yours "
            f"with {option}"
        )
    tables.check_is_text(data.schema.field(text), source, option)


def _check_not_taken(data: Input, source: str, names: list[str]) -> None:
    if taken := [name for name in names if name in data.columns]:
        raise DataError(
            f"{source} already has a column {taken[0]!r} — rename the added columns with --prefix, "
            "for instance --prefix sentiment_"
        )


def _open(source: str, split: str, config: str | None) -> Input:
    path = Path(source).expanduser()
    if not is_local(source) and path.suffix.lower() not in FILES:
        return _hub(source, split, config)
    if os.path.isdir(path):
        raise DataError(f"{path} is a folder — name one of its files")
    if not os.path.exists(path):  # unlike Path.stat, raises no error if the name is too long
        raise DataError(f"no file at {path} — give its path from the current folder")
    state = path.stat()
    identity = {"path": str(path.resolve()), "bytes": state.st_size, "changed": state.st_mtime_ns}
    known = tables.survey(path)
    rows = tables.parts(path, PART_ROWS)
    return Input(known.columns, identity, known.rows, rows, known.schema)


def _hub(source: str, split: str, config: str | None) -> Input:
    import pyarrow
    from datasets import load_dataset_builder

    from train.hub_errors import explained

    reading = partial(
        explained,
        f"dataset {source!r}, split {split!r} can't be loaded",
        DataError,
        name=source,
        expected=(FileNotFoundError, ValueError),
        after="check --split and --config, or name a local file",
    )

    def read(data: Any) -> Iterator[Any]:
        with reading():
            yield from data.with_format("arrow").iter(PART_ROWS)

    with reading():
        hub_datasets.check_hub_answers(source)
        what = {"path": source, "name": config}
        builder = load_dataset_builder(**what, **hub_datasets.reading_options(**what))
        data = builder.as_streaming_dataset(split=split)
        arrow = tables.regrouped(read(data), PART_ROWS)
        # Without features, the first rows determine the columns.
        first = [] if data.features else list(islice(arrow, 1))
    if data.features:
        schema = data.features.arrow_schema
    else:
        schema = first[0].schema if first else pyarrow.schema([])
    known = data.info.splits or {}
    total = known[split].num_examples if split in known else None
    identity = {"dataset": source, "config": config, "split": split, "revision": builder.hash}
    complete = _with_schema(chain(first, arrow), schema, source)
    return Input(schema.names, identity, total, complete, schema)


def _with_schema(arrow: Iterable[Any], schema: Any, source: str) -> Iterator[Any]:
    """Complete each table to the columns of the schema.

    Raises:
        DataError: A table has other columns or types, or can't be read.
    """
    import pyarrow

    try:
        for table in arrow:
            table = pyarrow.concat_tables([schema.empty_table(), table], promote_options="default")
            if len(table.schema) > len(schema):
                added = ", ".join(table.schema.names[len(schema) :])
                raise DataError(
                    f"{source}: later rows have columns that the first rows lack ({added}) — "
                    "download it, and score its files"
                )
            yield table
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{source}: later rows have other types than the first rows ({error}) — download it, "
            "and score its files"
        ) from error


def _identity(model: str, predictor: Predictor) -> dict[str, Any]:
    """What decides the predictions of a row."""
    loaded = predictor.classifier.load()
    with loaded.file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "model": {"name": model, "sha256": digest, "engine": loaded.engine.name},
        "text": predictor.text,
        "text_pair": predictor.text_pair,
        "aspects": predictor.aspects,
        "version": VERSION,
    }


def _start(folder: Path, job: dict[str, Any], overwrite: bool) -> int:
    """Create the folder of the parts; returns how many parts of the same job are finished."""
    note = folder / "job.json"
    if note.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        changed = [key for key in job if job[key] != before.get(key)]
        if not changed:
            return len(parts.finished_parts(folder))
        if not overwrite:
            raise RunError(
                f"{folder} has parts of a job with another {' and '.join(changed)} — repeat that "
                "command, or start again with --overwrite"
            )
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    parts.write_atomically(note, lambda file: file.write_text(json.dumps(job), encoding="utf-8"))
    return 0
