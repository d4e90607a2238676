"""Distillation: a teacher's probabilities for all texts that a student trains on.

In: run folders of teachers, and the student's recipe. Out: a Parquet file with a row a text: its
`key` (no text: the file can be shared where the reviews can't) and a column of probabilities for
each label. `targets` then puts them beside the labels.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import softmax

from train import run_folder
from train.data import preparation
from train.data.labels import NO_LABEL
from train.data.tokens import encode
from train.errors import DataError
from train.evaluation import metrics
from train.evaluation.metrics import FloatArray
from train.modeling import model, training
from train.recipe import Recipe

if TYPE_CHECKING:
    from train.data.preparation import Split

PART_TEXTS = 5_000  # texts that a kill costs at most


def teach(teachers: Sequence[Path], recipe: Recipe, out: Path) -> int:
    """Write the teachers' mean probabilities for the training texts of a recipe.

    Args:
        teachers: Run folders that `fit` has finished, with the recipe's labels.
        recipe: The student's, with a `distillation` section.
        out: The Parquet file. A stopped call continues after the last finished part.

    Returns:
        The number of texts, each counted once.

    Raises:
        DataError: A teacher has other labels, or was trained on the student's validation or test
            reviews.
    """
    splits = preparation.load(recipe)
    for teacher in teachers:
        _check_teacher(teacher, recipe, splits)
    texts = {key(pair): i for i, pair in enumerate(splits["train"].keys())}
    rows = np.array(list(texts.values()), dtype=np.int64)
    numbers = np.array(list(texts), dtype=np.uint64)
    parts = out.with_name(f"{out.name}.parts")
    parts.mkdir(parents=True, exist_ok=True)
    precision = training.choose_precision(recipe)
    loaded = [model.load(str(teacher)) for teacher in teachers]
    identity = repr([run_folder.load_results(teacher) for teacher in teachers]).encode()
    files = []
    for start in range(0, len(rows), PART_TEXTS):
        chosen = slice(start, start + PART_TEXTS)
        digest = hashlib.sha256(identity + numbers[chosen].tobytes()).hexdigest()[:16]
        files.append(parts / f"{digest}.npy")
        if not files[-1].exists():
            part = splits["train"].take(rows[chosen])
            name = f"{start + len(part):,} of {len(rows):,} for"
            scored = [softmax(_logits(*pair, part, name, precision), axis=1) for pair in loaded]
            draft = files[-1].with_suffix(".draft.npy")
            np.save(draft, np.mean(scored, axis=0).astype(np.float16))
            draft.replace(files[-1])
    _save(out, numbers, np.concatenate([np.load(file) for file in files]), recipe.labels)
    for file in parts.iterdir():
        file.unlink()
    parts.rmdir()
    return len(rows)


def targets(train: "Split", own: FloatArray, file: Path, labels: list[str]) -> FloatArray:
    """The probabilities of label and teacher, (rows, 2, labels).

    A row without a label has the teacher's in both places, one without a teacher the label's.

    Args:
        train: The training reviews.
        own: Probabilities by the reviews' own labels, (rows, labels).
        file: From `teach`.
        labels: Names, in the order of the model's outputs.

    Raises:
        DataError: The file can't be read, lacks a label, or lacks a review without a label.
    """
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(file, columns=["key", *labels])
    except (OSError, ArrowException, KeyError) as error:
        raise DataError(
            f"{file} holds no teacher's probabilities of {', '.join(labels)} — write them with "
            f"`python -m train teach`: {str(error).partition(chr(10))[0]}"
        ) from error
    places = {int(number): i for i, number in enumerate(table["key"].to_numpy())}
    known = np.stack([table[label].to_numpy().astype(np.float32) for label in labels], axis=1)
    at = np.array([places.get(key(pair), -1) for pair in train.keys()])
    unlabelled = np.array(train.labels) == NO_LABEL
    if missing := int((unlabelled & (at < 0)).sum()):
        raise DataError(
            f"{file} lacks {missing:,} of the reviews that have no label — write it again with "
            "`python -m train teach` and the same recipe"
        )
    run_folder.print_line(
        f"{file}: probabilities for {int((at >= 0).sum()):,} of {len(at):,} reviews"
    )
    taught = np.where(at[:, None] >= 0, known[at], own).astype(np.float32)
    return np.stack([np.where(unlabelled[:, None], taught, own), taught], axis=1, dtype=np.float32)


def key(pair: tuple[str, str]) -> int:
    """The number of a text (and its second text) in the file: the same for equal `Split.keys()`."""
    digest = hashlib.blake2b("\0".join(pair).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _check_teacher(teacher: Path, recipe: Recipe, splits: "dict[str, Split]") -> None:
    taught = run_folder.load_recipe(teacher)
    if taught.labels != recipe.labels:
        raise DataError(
            f"the labels of {teacher} must be {recipe.labels}, got {taught.labels} — choose a "
            "teacher with the student's labels"
        )
    preparation.check_unseen([teacher, *run_folder.lineage(taught)], splits)


def _logits(
    classifier: Any, tokenizer: Any, split: "Split", name: str, precision: str
) -> FloatArray:
    """In the precision of the recipe: what is averaged and rounded needs no more."""
    cut = encode(tokenizer, split, name).truncate(model.max_tokens(classifier), "head_tail")
    half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
    device = model.to_device(classifier).device.type
    with torch.autocast(device, dtype=half, enabled=half is not None):
        return metrics.predict(classifier, cut, tokenizer.pad_token_id, name=name)


def _save(out: Path, numbers: Any, probabilities: FloatArray, labels: list[str]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {label: pyarrow.array(probabilities[:, i]) for i, label in enumerate(labels)}
    draft = out.with_suffix(".draft")
    parquet.write_table(pyarrow.table({"key": pyarrow.array(numbers), **columns}), draft)
    draft.replace(out)
