"""Cleaning: the rows of one split → a `Split`, without empty rows and dropped labels."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from space.inference.labels import label_values
from train import console
from train.data import labels as label_columns
from train.data import sources
from train.data.labels import Target, row_numbers
from train.data.splits import Split
from train.errors import DataError
from train.sections import Dataset, label_key

# Remedies for a split without labels, by the role of the split.
UNLABELED = {
    "train": "name a split that has labels with --set {0}.train=…",
    "validation": "name a split that has labels with --set {0}.validation=…, or the training split "
    "to split it off from that",
    "test": "test on the validation split with --set {0}.test=validation (train then gives another "
    "for model selection), split off a test split with --set {0}.test={1}, or train without test "
    "figures with --set '{0}.splits=[train, validation]'",
    "evaluation": "name a split that has labels with --split",
}


def clean(
    rows: Any, dataset: Dataset, labels: list[str], name: str, role: str, setting: str
) -> Split:
    """Convert columns to a `Split`: reject or skip empty reviews, map labels to numbers."""
    sources.check_columns(rows, dataset, name)
    where = f"{dataset.source} split {name!r}"
    texts = [cell_text(value) for value in rows[dataset.text]]
    pairs = [cell_text(v) for v in rows[dataset.text_pair]] if dataset.text_pair else None
    groups = _groups(rows[dataset.group], dataset.group, where) if dataset.group else None
    empty = {i for i, text in enumerate(texts) if not text.strip()}
    if empty and dataset.on_empty == "error":
        raise DataError(
            f"{where}: {len(empty)} empty reviews, {row_numbers(sorted(empty))} — fill or remove "
            f"them, or leave them out with --set {setting}.on_empty=skip"
        )
    unlabeled_remedy = UNLABELED[role].format(setting, dataset.train)
    targets = label_columns.read(rows, dataset, labels, texts, where, setting, unlabeled_remedy)
    keep = [i for i, target in enumerate(targets) if target and i not in empty]
    slice_columns = {
        c: [cell_text(v) for v in rows[c]] for c in dataset.slice_by if c in rows.column_names
    }
    known = [target.label if target else -1 for target in targets]
    soft = [target.probabilities if target else None for target in targets]
    split = Split(
        texts, known, pairs, groups, probabilities=soft if any(soft) else None,
        ratings=_ratings(targets, labels),
        slice_columns=slice_columns,
    )  # fmt: skip
    dropped = {"empty": len(empty), "mapped to null": len(targets) - len(keep) - len(empty)}
    return split.take(np.array(keep, dtype=np.int64), **dropped)


def _groups(cells: Iterable[Any], column: str, where: str) -> list[str | None]:
    """The group of each row; None where the cell is empty."""
    groups = [str(cell) if label_key(cell) else None for cell in cells]
    if missing := groups.count(None):
        console.print_line(
            f"{where}: column {column!r} is empty in {missing:,} rows, each of which is a group of "
            "its own"
        )
    return groups


def _ratings(targets: Sequence[Target | None], labels: list[str]) -> list[float] | None:
    """The rating of each row on the labels' scale; None if they are no scale."""
    values = label_values(labels)
    if values is None:
        return None
    return [
        math.nan if target is None  # a row to drop
        else values[target.label] if target.rating is None else target.rating
        for target in targets
    ]  # fmt: skip


def drop_undecided(split: Split) -> Split:
    """Drop rows without a single most likely label; they are used for training only."""
    soft = split.probabilities or [None] * len(split)
    keep = [i for i, row in enumerate(soft) if row is None or row.count(max(row)) == 1]
    decided = split.take(np.array(keep, dtype=np.int64), undecided=len(split) - len(keep))
    return replace(decided, probabilities=None)


def cell_text(value: Any) -> str:
    """A cell as text; empty if there is none."""
    return "" if value is None else str(value)
