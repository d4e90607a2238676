"""Scoring in bulk: from a file or a dataset of any length to the same rows with verdicts.

In: CSV, TSV, JSONL, Parquet or a Hub dataset, read as a stream. Out: one file with all columns of
the input and four more. Finished rows are kept part by part beside the output, so that after
whatever stopped it the same command goes on, without a row lost or doubled.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from train import runs
from train.errors import DataError, Interrupted, ModelError, RunError
from train.recipe import is_local
from train.signals import StopRequest

if TYPE_CHECKING:
    from space.classifier import Classifier

ADDED = ["label", "score", "truncated", "reason"]
PART_ROWS = 500  # what a kill costs at most
GROUP_ROWS = 100_000  # of a row group in Parquet
SEPARATORS = {".csv": ",", ".tsv": "\t"}
INPUTS, OUTPUTS = [".csv", ".tsv", ".jsonl", ".parquet"], [".csv", ".jsonl", ".parquet"]

Row = dict[str, Any]


@dataclass
class Input:
    """A stream of rows, and how far it has been read."""

    rows: Iterator[Row]
    columns: list[str]
    identity: dict[str, Any]  # the same only for the same rows
    total: int | None  # in `unit`
    unit: str
    position: Callable[[], int] | None = None  # in bytes; rows are counted otherwise
    schema: Any = None  # pyarrow's, where the source has one


def score(
    source: str,
    model: str,
    out: Path,
    *,
    revision: str | None = None,
    text: str = "text",
    split: str = "test",
    config: str | None = None,
    prefix: str = "",
    overwrite: bool = False,
) -> None:
    """Add a verdict to every row; a row that has none says why in `reason`.

    Args:
        source: A file, or the id of a dataset on the Hub.
        model: `user/repo`, or a run folder.
        out: The file to write; its suffix chooses the format.
        revision: Of the model.
        text: The column to judge.
        split: Of a Hub dataset.
        config: Of a Hub dataset that has several.
        prefix: Goes before the names of the added columns.
        overwrite: Replace the output, finished or begun.

    Raises:
        DataError: The input is missing, of another format, or lacks the column.
        RunError: The output is there already, or was begun from something else.
        ModelError: The model can't be had.
        Interrupted: Ctrl-C or SIGTERM; the same command goes on.
    """
    _check_out(out, overwrite)
    with ExitStack() as files:
        given = _open(source, split, config, files)
        _score(given, source, model, out, revision, text, prefix, overwrite)


def _score(
    given: Input,
    source: str,
    model: str,
    out: Path,
    revision: str | None,
    text: str,
    prefix: str,
    overwrite: bool,
) -> None:
    names = dict(zip(ADDED, (prefix + name for name in ADDED), strict=True))
    _check_columns(given, source, text, names)
    classifier = _classifier(model, revision)
    job = {
        "input": given.identity,
        "model": _model_identity(model, classifier),
        "text": text,
        "prefix": prefix,
    }
    parts = _parts(out)
    done = _begin(parts, job, overwrite)
    if out.exists():  # killed between its last two steps
        shutil.rmtree(parts)
        return
    rows = given.rows
    if done:
        runs.print_line(f"going on behind {done * PART_ROWS:,} rows that {parts} holds")
        next(islice(rows, done * PART_ROWS - 1, None), None)
    _score_parts(given, rows, done, parts, out.suffix, classifier, text, names)
    _join(parts, out)
    shutil.rmtree(parts)
    runs.print_line(f"wrote {out}")


def _score_parts(
    given: Input,
    rows: Iterator[Row],
    done: int,
    parts: Path,
    suffix: str,
    classifier: "Classifier",
    text: str,
    names: dict[str, str],
) -> None:
    bar = tqdm(
        total=given.total, unit=given.unit, unit_scale=True, desc="score", smoothing=0.05,
        initial=given.position() if given.position else done * PART_ROWS,
    )  # fmt: skip
    with StopRequest() as stop, bar:
        for number in range(done, sys.maxsize):
            part = list(islice(rows, PART_ROWS))
            if not part and number:
                return
            if suffix == ".parquet" and given.schema is None:
                given.schema = _inferred(parts, part, given.columns)
            _judge(classifier, part, text, names)
            write = partial(_write, given=given, rows=part, first=number == 0, names=names)
            _write_whole(parts / f"{number:09d}{suffix}", write)
            bar.update(given.position() - bar.n if given.position else len(part))
            if stop.requested and len(part) == PART_ROWS:
                raise Interrupted(
                    f"stopped behind {(number + 1) * PART_ROWS:,} rows, which are in {parts} — the "
                    "same command goes on"
                )


def _judge(classifier: "Classifier", part: list[Row], text: str, names: dict[str, str]) -> None:
    """Add the verdicts to the rows."""
    from space.classifier import Verdict

    for row, answer in zip(part, classifier.many([r[text] for r in part]), strict=True):
        verdict = answer if isinstance(answer, Verdict) else None
        row[names["label"]] = verdict.label if verdict else None
        row[names["score"]] = verdict.probabilities[verdict.label] if verdict else None
        row[names["truncated"]] = verdict.tokens_read < verdict.tokens if verdict else None
        row[names["reason"]] = None if verdict else str(answer)


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix not in OUTPUTS:
        raise RunError(f"--out must end in one of {', '.join(OUTPUTS)}, got {out.name!r}")
    if overwrite:
        out.unlink(missing_ok=True)
    if out.exists() and not _parts(out).exists():
        raise RunError(f"{out} is there already — choose another name, or add --overwrite")
    out.parent.mkdir(parents=True, exist_ok=True)


def _check_columns(given: Input, source: str, text: str, names: dict[str, str]) -> None:
    if text not in given.columns:
        raise DataError(
            f"{source} has no column {text!r} — it has: {', '.join(given.columns)}; name yours "
            "with --text"
        )
    if taken := [name for name in names.values() if name in given.columns]:
        raise DataError(
            f"{source} has a column {taken[0]!r} already, which would be added — give the new "
            "columns other names with --prefix, for instance --prefix sentiment_"
        )


def _open(source: str, split: str, config: str | None, files: ExitStack) -> Input:
    path = Path(source).expanduser()
    if path.suffix not in INPUTS and not is_local(source):
        return _hub(source, split, config)
    if not path.is_file():
        raise DataError(f"no file at {path} — give its path from the current folder")
    if path.suffix not in INPUTS:
        raise DataError(f"{path} must be one of {', '.join(INPUTS)}, got {path.suffix!r}")
    state = path.stat()
    identity = {"path": str(path.resolve()), "bytes": state.st_size, "changed": state.st_mtime_ns}
    if path.suffix == ".parquet":
        return _parquet(path, identity, files)
    raw = files.enter_context(path.open("rb"))
    stream = files.enter_context(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
    rows = _json_rows(stream, path) if path.suffix == ".jsonl" else _csv_rows(stream, path)
    return Input(rows, next(rows)["columns"], identity, state.st_size, "B", raw.tell)


def _csv_rows(stream: TextIO, path: Path) -> Iterator[Row]:
    """First the columns, then the rows; every value stays the text that it is."""
    csv.field_size_limit(1 << 30)
    reader = csv.reader(stream, delimiter=SEPARATORS[path.suffix])
    try:
        header = next(reader, [])
        yield {"columns": header}
        for number, values in enumerate(reader, start=1):
            if values and len(values) != len(header):
                raise DataError(
                    f"{path} row {number} (line {reader.line_num}) has {len(values)} fields, the "
                    f'header has {len(header)} — put "quotes" around texts with commas'
                )
            if values:
                yield dict(zip(header, values, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} can't be read as UTF-8 CSV: {error}") from error


def _json_rows(stream: TextIO, path: Path) -> Iterator[Row]:
    """First the columns of the first row, then the rows."""
    columns: list[str] | None = None
    try:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise DataError(f"{path} line {number} must hold an object, got {line[:40]!r}")
            if columns is None:
                columns = list(row)
                yield {"columns": columns}
            # A key that is missing is a value that is missing.
            yield {**dict.fromkeys(columns), **row}
    except ValueError as error:
        raise DataError(f"{path} can't be read as JSON lines: {error}") from error
    if columns is None:
        yield {"columns": []}


def _parquet(path: Path, identity: dict[str, Any], files: ExitStack) -> Input:
    import pyarrow
    from pyarrow import parquet

    try:
        file = files.enter_context(parquet.ParquetFile(path))
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} can't be read as Parquet: {error}") from error
    rows = (row for batch in file.iter_batches(PART_ROWS) for row in batch.to_pylist())
    schema = file.schema_arrow
    return Input(rows, schema.names, identity, file.metadata.num_rows, "row", schema=schema)


def _hub(source: str, split: str, config: str | None) -> Input:
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

    def read() -> Iterator[Row]:
        with reading():
            for table in data.with_format("arrow").iter(PART_ROWS):
                yield from table.to_pylist()

    with reading():
        builder = load_dataset_builder(source, config)
        data = builder.as_streaming_dataset(split=split)
        columns = list(data.features or next(iter(data.take(1)), {}))
    features = data.features
    known = data.info.splits or {}
    total = known[split].num_examples if split in known else None
    identity = {"dataset": source, "config": config, "split": split, "revision": builder.hash}
    schema = features.arrow_schema if features else None
    return Input(read(), columns, identity, total, "row", schema=schema)


def _classifier(model: str, revision: str | None) -> "Classifier":
    # The one exception to "nothing imports the Space": what scores in bulk is what scores there.
    from space.classifier import Classifier, Unavailable
    from train.hub_errors import explained

    doing = f"model {model!r} can't be loaded"
    with explained(doing, ModelError, name=model, expected=(Unavailable,)):
        if Path(model).is_dir():
            return Classifier.from_folder(Path(model))
        return Classifier.from_hub(model, revision)


def _model_identity(model: str, classifier: "Classifier") -> dict[str, Any]:
    with classifier.load().file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": model, "sha256": digest}


def _parts(out: Path) -> Path:
    return out.with_name(out.name + ".parts")


def _begin(parts: Path, job: dict[str, Any], overwrite: bool) -> int:
    """The number of parts that are done already."""
    if overwrite:
        shutil.rmtree(parts, ignore_errors=True)
    note = parts / "job.json"
    if not note.exists():
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        _write_whole(note, lambda file: file.write_text(json.dumps(job), encoding="utf-8"))
        return 0
    before = json.loads(note.read_text(encoding="utf-8"))
    if changed := [key for key in job if job[key] != before.get(key)]:
        raise RunError(
            f"{parts} was begun with another {' and '.join(changed)} — go on with the same, or "
            "start anew with --overwrite"
        )
    return len(_finished(parts))


def _finished(parts: Path) -> list[Path]:
    return sorted(p for p in parts.iterdir() if p.suffix in OUTPUTS and p.stem.isdigit())


def _write_whole(file: Path, write: Callable[[Path], Any]) -> None:
    """Write a file that is there whole, or not at all, even if the power fails."""
    draft = file.with_name(f"{file.name}.draft")
    write(draft)
    with draft.open("rb+") as stream:
        os.fsync(stream.fileno())
    draft.rename(file)


def _write(file: Path, given: Input, rows: list[Row], first: bool, names: dict[str, str]) -> None:
    """One part, in the format that the name of its draft says."""
    suffix = Path(file.stem).suffix
    if suffix == ".parquet":
        _write_parquet(file, rows, given.schema, names)
        return
    with file.open("w", encoding="utf-8", newline="") as stream:
        if suffix == ".jsonl":
            for row in rows:
                stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            return
        columns = [*given.columns, *names.values()]
        writer = csv.DictWriter(stream, columns, lineterminator="\n", extrasaction="ignore")
        if first:
            writer.writeheader()
        writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _inferred(parts: Path, part: list[Row], columns: list[str]) -> Any:
    """The schema of rows that have none: as the first part has them, also after a resume."""
    import pyarrow
    from pyarrow import parquet

    if before := _finished(parts):
        schema = parquet.read_schema(before[0])
        return pyarrow.schema([schema.field(name) for name in columns])
    rows = [{name: row[name] for name in columns} for row in part]
    if rows:
        return pyarrow.Table.from_pylist(rows).schema
    return pyarrow.schema([(name, pyarrow.string()) for name in columns])


def _write_parquet(file: Path, rows: list[Row], schema: Any, names: dict[str, str]) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = [pyarrow.string(), pyarrow.float64(), pyarrow.bool_(), pyarrow.string()]
    for name, kind in zip(names.values(), kinds, strict=True):
        schema = schema.append(pyarrow.field(name, kind))
    try:
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), file)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise DataError(
            f"a later row has a value of another kind than the first rows ({error}) — write to "
            ".jsonl instead, which takes any"
        ) from error


def _join(parts: Path, out: Path) -> None:
    """All parts as one file, by streaming."""
    files = _finished(parts)
    draft = parts / f"whole{out.suffix}"
    if out.suffix == ".parquet":
        _join_parquet(files, draft)
    else:
        with draft.open("wb") as whole:
            for file in files:
                with file.open("rb") as part:
                    shutil.copyfileobj(part, whole)
    draft.replace(out)


def _join_parquet(files: list[Path], draft: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    many = GROUP_ROWS // PART_ROWS
    with parquet.ParquetWriter(draft, parquet.read_schema(files[0])) as writer:
        for start in range(0, len(files), many):
            tables = [parquet.read_table(file) for file in files[start : start + many]]
            writer.write_table(pyarrow.concat_tables(tables), GROUP_ROWS)
