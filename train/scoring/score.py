"""Scoring in bulk: from a file or a dataset of any length to the same rows with verdicts.

In: a local file, read to its end first, or a Hub dataset, read as a stream. Out: one file with all
columns of the input and four more. Finished rows are kept part by part beside the output, so that
after whatever stopped it the same command goes on, without a row lost or doubled. An output that
is there is replaced when the new one is whole.
"""

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from train import run_folder
from train.data import sources, tables
from train.errors import DataError, Interrupted, ModelError, RunError
from train.recipe import FILES, is_local
from train.scoring import parts
from train.signals import StopRequest

if TYPE_CHECKING:
    from space.inference.classifier import Classifier

ADDED = ["label", "score", "truncated", "reason"]
PART_ROWS = 500  # what a kill costs at most
VERSION = 2  # of the parts; those of another are not gone on with


@dataclass
class Input:
    """Rows in parts of `PART_ROWS`, of which all but the last are whole."""

    columns: list[str]  # of all rows
    identity: dict[str, Any]  # the same only for the same rows
    total: int | None  # rows
    parts: Iterator[tables.Part]
    schema: Any  # of an Arrow table that holds all rows


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
        overwrite: Replace the output, when the new one is whole, and what was begun of another.

    Raises:
        DataError: The input is missing, of another format, or lacks the column.
        RunError: The output is the input, is there already, can't be written, or was begun from
            something else.
        ModelError: The model can't be had.
        Interrupted: Ctrl-C or SIGTERM; the same command goes on.
    """
    try:
        out = _target(out)
        _check_out(out, [source, model], prefix, overwrite)
    except OSError as error:
        raise _explained(out, error) from error
    if parts.is_joined(out) and not (parts.folder_of(out) / "job.json").exists():
        parts.remove(out)  # a kill has left the rest of it
        return
    given = _open(source, split, config)
    names = [prefix + name for name in ADDED]
    _check_columns(given, source, text, names)
    classifier = _classifier(model, revision)
    job = {
        "input": given.identity,
        "model": _model_identity(model, classifier),
        "text": text,
        "prefix": prefix,
        "version": VERSION,
    }
    try:
        _score(given, job, out, classifier, text, names, overwrite)
    except OSError as error:
        raise _explained(out, error) from error


def _score(
    given: Input,
    job: dict[str, Any],
    out: Path,
    classifier: "Classifier",
    text: str,
    names: list[str],
    overwrite: bool,
) -> None:
    folder = parts.folder_of(out)
    done = _begin(folder, job, overwrite)
    if parts.is_joined(out):  # killed between its last two steps
        parts.remove(out)
        return
    if done:
        run_folder.print_line(f"going on behind {done * PART_ROWS:,} rows that {folder} holds")
    bar = tqdm(
        total=given.total, unit="row", unit_scale=True, desc="score", smoothing=0.05,
        initial=done * PART_ROWS,
    )  # fmt: skip
    with StopRequest() as stop, bar:
        for number in range(done, sys.maxsize):
            part = next(islice(given.parts, done if number == done else 0, None), [])
            if not len(part):
                if number:
                    break
                run_folder.print_line("the input has no rows, so the output has none")
            answers = _judge(classifier, part, text)
            write = partial(
                parts.write, part=part, answers=answers, names=names, schema=given.schema
            )
            parts.write_whole(folder / f"{number:09d}{out.suffix.lower()}", write)
            bar.update(len(part))
            if stop.requested and len(part) == PART_ROWS:
                raise Interrupted(
                    f"stopped behind {(number + 1) * PART_ROWS:,} rows, which are in {folder} — "
                    "the same command goes on"
                )
    parts.join(out)
    parts.remove(out)
    run_folder.print_line(f"wrote {out}")


def _judge(classifier: "Classifier", part: tables.Part, text: str) -> list[list[Any]]:
    """For each row what is added to it, in the order of `ADDED`."""
    from space.inference.classifier import Prediction

    rows = tables.to_rows(part if isinstance(part, list) else part.select([text]))
    answers: list[list[Any]] = []
    for answer in classifier.many([row.get(text) for row in rows]):
        if isinstance(answer, Prediction):
            truncated = answer.tokens_read < answer.tokens
            answers.append([answer.label, answer.probabilities[answer.label], truncated, None])
        else:
            answers.append([None, None, None, str(answer)])
    return answers


def _target(out: Path) -> Path:
    """The file that is written: of a link, what it leads to, also where that is not there yet."""
    if not out.is_symlink():
        return out
    target = Path(os.path.realpath(out))
    if target.is_symlink():
        raise RunError(f"{out} is a link that leads to itself — name a file")
    if target.suffix.lower() != out.suffix.lower():
        raise RunError(
            f"{out} is a link to {target}: both must end in the same suffix, which names the "
            "format — name the file itself"
        )
    return target


def _check_out(out: Path, needed: list[str], prefix: str, overwrite: bool) -> None:
    """Refuse an output that can't be written, or in whose place something else would be lost."""
    folder = parts.folder_of(out)
    if out.suffix.lower() not in parts.OUTPUTS:
        raise RunError(f"--out must end in one of {', '.join(parts.OUTPUTS)}, got {out.name!r}")
    if prefix.encode("utf-8", "replace").decode() != prefix:
        raise RunError(f"--prefix must be text in UTF-8, got {prefix!r}")
    for path in (Path(name).expanduser() for name in needed):
        if os.path.exists(path) and (out.exists() and path.samefile(out) or _holds(folder, path)):
            raise RunError(f"{out} would take the place of {path}, which is read — choose another")
    if out.is_dir():
        raise RunError(f"{out} is a folder — name a file")
    if out.exists() and not overwrite and not parts.is_joined(out):
        raise RunError(f"{out} is there already — choose another name, or add --overwrite")
    if folder.exists() and not parts.is_ours(folder):
        raise RunError(f"{folder}, where parts would be kept, is something else — choose another")
    above = next(above for above in folder.absolute().parents if above.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise RunError(f"{out} can't be written: {above} is no folder that can be written to")


def _holds(folder: Path, path: Path) -> bool:
    """Whether a path is in a folder, or leads to what is in it."""
    return folder.resolve() in [path.resolve(), *path.resolve().parents]


def _explained(out: Path, error: OSError) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"the disk is full — finished rows are kept in {parts.folder_of(out)}; make room, and "
            "the same command goes on"
        )
    return RunError(f"{out} can't be written: {error}")


def _check_columns(given: Input, source: str, text: str, names: list[str]) -> None:
    if not given.columns:
        raise DataError(f"{source} has no rows and names no columns — name a file with reviews")
    if text not in given.columns:
        raise DataError(
            f"{source} has no column {text!r} — it has: {', '.join(given.columns)}; name yours "
            "with --text"
        )
    tables.check_is_text(given.schema.field(text), source, "--text")
    if taken := [name for name in names if name in given.columns]:
        raise DataError(
            f"{source} has a column {taken[0]!r} already, which would be added — give the new "
            "columns other names with --prefix, for instance --prefix sentiment_"
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
        sources.check_hub_answers(source)
        what = {"path": source, "name": config}
        builder = load_dataset_builder(**what, **sources.reading_options(**what))
        data = builder.as_streaming_dataset(split=split)
        arrow = tables.regrouped(read(data), PART_ROWS)
        # Without features the first rows say what columns there are.
        first = [] if data.features else list(islice(arrow, 1))
    schema = data.features.arrow_schema if data.features else _schema_of(first)
    known = data.info.splits or {}
    total = known[split].num_examples if split in known else None
    identity = {"dataset": source, "config": config, "split": split, "revision": builder.hash}
    folder = _alike(chain(first, arrow), schema, source)
    return Input(schema.names, identity, total, folder, schema)


def _schema_of(first: list[Any]) -> Any:
    import pyarrow

    return first[0].schema if first else pyarrow.schema([])


def _alike(arrow: Iterable[Any], schema: Any, source: str) -> Iterator[Any]:
    """The tables, with the columns of the schema in each.

    Raises:
        DataError: One has other columns, other types, or can't be read.
    """
    import pyarrow

    try:
        for table in arrow:
            whole = pyarrow.concat_tables([schema.empty_table(), table], promote_options="default")
            if len(whole.schema) > len(schema):
                added = ", ".join(whole.schema.names[len(schema) :])
                raise DataError(
                    f"{source} has rows with columns that its first rows have not ({added}) — "
                    "download it, and score its files"
                )
            yield whole
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{source} has rows that can't be read as its first ones ({error}) — download it, and "
            "score its files"
        ) from error


def _classifier(model: str, revision: str | None) -> "Classifier":
    # The one exception to "nothing imports the Space": what scores in bulk is what scores there.
    from space.inference.classifier import Classifier, ModelUnavailable
    from train.hub_errors import explained

    doing = f"model {model!r} can't be loaded"
    with explained(doing, ModelError, name=model, expected=(ModelUnavailable,)):
        if Path(model).is_dir():
            return Classifier.from_folder(Path(model))
        return Classifier.from_hub(model, revision)


def _model_identity(model: str, classifier: "Classifier") -> dict[str, Any]:
    with classifier.load().file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": model, "sha256": digest}


def _begin(folder: Path, job: dict[str, Any], overwrite: bool) -> int:
    """The number of parts that are done already."""
    note = folder / "job.json"
    if note.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        changed = [key for key in job if job[key] != before.get(key)]
        if not changed:
            return len(parts.finished(folder))
        if not overwrite:
            raise RunError(
                f"{folder} was begun with another {' and '.join(changed)} — go on with the same, "
                "or start anew with --overwrite"
            )
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    parts.write_whole(note, lambda file: file.write_text(json.dumps(job), encoding="utf-8"))
    return 0
