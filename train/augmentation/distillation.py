"""Distillation: a teacher's probabilities for all texts that a student trains on.

In: run folders of teachers, and the student's recipe. Out: a Parquet file with one row per text:
`key`, a hash of the text (so the file can be shared where the reviews can't), and the probability
of each label. `targets` combines them with the labels.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import softmax

from train import console, run_folder
from train.data import preparation
from train.data.labels import NO_LABEL
from train.data.tokens import encode
from train.errors import DataError
from train.evaluation import metrics
from train.evaluation.metrics import FloatArray
from train.modeling import devices, model
from train.recipe import Recipe

if TYPE_CHECKING:
    from train.data.splits import Split

PART_TEXTS = 500  # the most that an interruption loses: minutes, also on two CPU cores


def teach(teachers: Sequence[Path], recipe: Recipe, out: Path) -> int:
    """Write the teachers' mean probabilities for the training texts of a recipe.

    Args:
        teachers: Run folders that `fit` has finished, with the recipe's labels.
        recipe: The student's, with a `distillation` section.
        out: The Parquet file. An interrupted call continues after the last finished part.

    Returns:
        The number of distinct texts.

    Raises:
        RunError: A teacher is no finished run.
        DataError: A teacher has other labels, or was trained on the student's validation or test
            reviews.
    """
    for teacher in teachers:
        _check_teacher(teacher, recipe.labels)
    splits = preparation.load(recipe)
    for teacher in teachers:
        ancestors = run_folder.lineage(run_folder.load_recipe(teacher))
        preparation.check_unseen([teacher, *ancestors], splits, recipe.labels)
    train = splits["train"]
    rows = {text_key(pair): row for row, pair in enumerate(train.keys())}
    texts = train.take(np.array(list(rows.values()), dtype=np.int64))
    folder, precision = parts_of(out), devices.choose_precision(recipe.precision)
    probabilities = predict_in_parts(teachers, texts, folder, precision)
    _write_table(out, np.array(list(rows), dtype=np.uint64), probabilities, recipe.labels)
    shutil.rmtree(folder)
    return len(rows)


def parts_of(out: Path) -> Path:
    """The folder of the finished parts of an output."""
    return out.with_name(f"{out.name}.parts")


def predict_in_parts(
    teachers: Sequence[Path], texts: "Split", folder: Path, precision: str
) -> FloatArray:
    """The teachers' mean probabilities, fp16, (texts, labels); an interrupted call resumes.

    Args:
        teachers: Run folders that `fit` has finished, with the same labels.
        texts: What they label; the labels of the split are not used.
        folder: Where finished parts are stored. Remove it once the result is saved.
        precision: `fp16`, `bf16` or `fp32`.

    Raises:
        RunError: A teacher is no finished run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = np.array([text_key(pair) for pair in texts.keys()], dtype=np.uint64)
    identity = repr([run_folder.load_results(teacher) for teacher in teachers]).encode()
    models = [model.load(str(teacher)) for teacher in teachers]
    files = []
    for start in range(0, len(keys), PART_TEXTS):
        part = np.arange(start, min(start + PART_TEXTS, len(keys)))
        digest = hashlib.sha256(identity + keys[part].tobytes()).hexdigest()[:16]
        files.append(folder / f"{digest}.npy")
        if not files[-1].exists():
            name = f"{start + len(part):,} of {len(keys):,} for"
            _write_part(files[-1], models, texts.take(part), name, precision)
    return np.concatenate([np.load(file) for file in files])


def targets(train: "Split", label_probabilities: FloatArray, file: Path, labels: list[str]) -> Any:
    """Combine the probabilities of labels and teacher for training.

    Args:
        train: The training reviews.
        label_probabilities: By the reviews' own labels, (rows, labels).
        file: From `teach`.
        labels: Names, in the order of the model's outputs.

    Returns:
        (rows, 2, labels), fp32: by the label and by the teacher. A row without a label has the
        teacher's in both places, a row without a teacher the label's.

    Raises:
        DataError: The file can't be read, or lacks a label or a review without a label.
    """
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(file, columns=["key", *labels])
    except (OSError, ArrowException, KeyError) as error:
        raise DataError(
            f"{file} has no teacher's probabilities of {', '.join(labels)} — write them with "
            f"`python -m train teach`: {str(error).partition(chr(10))[0]}"
        ) from error
    row_of_key = {int(key): row for row, key in enumerate(table["key"].to_numpy())}
    teacher = np.stack([table[label].to_numpy().astype(np.float32) for label in labels], axis=1)
    rows = np.array([row_of_key.get(text_key(pair), -1) for pair in train.keys()])
    is_unlabeled = np.array(train.labels) == NO_LABEL
    has_teacher = rows >= 0
    if missing := int((is_unlabeled & ~has_teacher).sum()):
        raise DataError(
            f"{file} lacks {missing:,} of the reviews that have no label — write it again with "
            "`python -m train teach` and the same recipe"
        )
    console.print_line(
        f"{file}: probabilities for {int(has_teacher.sum()):,} of {len(rows):,} reviews"
    )
    by_teacher = np.where(has_teacher[:, None], teacher[rows], label_probabilities)
    by_label = np.where(is_unlabeled[:, None], by_teacher, label_probabilities)
    return np.stack([by_label, by_teacher], axis=1).astype(np.float32)


def text_key(pair: tuple[str, str]) -> int:
    """A 64-bit hash of a text and its second text, equal for equal `Split.keys()`."""
    digest = hashlib.blake2b("\0".join(pair).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _check_teacher(teacher: Path, labels: list[str]) -> None:
    """Raise unless a teacher is a finished run with these labels."""
    run_folder.load_results(teacher)
    if (teacher_labels := run_folder.load_recipe(teacher).labels) != labels:
        raise DataError(
            f"the labels of {teacher} must be {labels}, got {teacher_labels} — choose a teacher "
            "with the student's labels"
        )


def _write_part(
    file: Path, models: Sequence[tuple[Any, Any]], texts: "Split", name: str, precision: str
) -> None:
    """Write the mean probabilities of the models, (texts, labels), in fp16."""
    probabilities = [softmax(_logits(*pair, texts, name, precision), axis=1) for pair in models]
    draft = file.with_suffix(".draft.npy")
    np.save(draft, np.mean(probabilities, axis=0).astype(np.float16))
    draft.replace(file)


def _logits(
    classifier: Any, tokenizer: Any, texts: "Split", name: str, precision: str
) -> FloatArray:
    """Logits in the recipe's precision, which is enough as they are averaged and rounded."""
    tokens = encode(tokenizer, texts, name).truncate(model.max_tokens(classifier), "head_tail")
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
    device = model.to_device(classifier).device.type
    with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
        return metrics.predict(classifier, tokens, tokenizer.pad_token_id, name=name)


def _write_table(out: Path, keys: Any, probabilities: FloatArray, labels: list[str]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {label: pyarrow.array(probabilities[:, i]) for i, label in enumerate(labels)}
    draft = out.with_suffix(".draft")
    parquet.write_table(pyarrow.table({"key": pyarrow.array(keys), **columns}), draft)
    draft.replace(out)
