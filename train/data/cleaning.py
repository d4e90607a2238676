"""Cleaning: the rows of one split → a `Split`, without empty, unlabelled and too doubtful rows."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from train import console
from train.data import labels as label_columns
from train.data import sources
from train.data.labels import Target, row_numbers
from train.data.splits import Split
from train.errors import DataError
from train.recipe import Dataset, is_probability, label_key

# Remedies for a split without labels, by the role of the split.
UNLABELLED = {
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
    unlabelled_remedy = UNLABELLED[role].format(setting, dataset.train)
    targets = label_columns.read(rows, dataset, labels, texts, where, setting, unlabelled_remedy)
    low = _rows_below_minimum(rows, dataset.minimum, where)
    keep = [i for i, target in enumerate(targets) if target and i not in empty | low]
    slice_columns = {
        c: [cell_text(v) for v in rows[c]] for c in dataset.slice_by if c in rows.column_names
    }
    known = [target[0] if target else -1 for target in targets]
    confidences = _confidences(rows, dataset, targets, keep, where)
    split = Split(texts, known, pairs, groups, confidences=confidences, slice_columns=slice_columns)
    reasons = {"empty": len(empty), "below the minimum": len(low - empty)}
    reasons["unlabelled"] = len(targets) - len(keep) - sum(reasons.values())
    return split.take(np.array(keep, dtype=np.int64), **reasons)


def _groups(cells: Iterable[Any], column: str, where: str) -> list[str | None]:
    """The group of each row; None where the cell is empty."""
    groups = [str(cell) if label_key(cell) else None for cell in cells]
    if missing := groups.count(None):
        console.print_line(
            f"{where}: column {column!r} is empty in {missing:,} rows, each of which is a group of "
            "its own"
        )
    return groups


def _rows_below_minimum(rows: Any, minimum: dict[str, float], where: str) -> set[int]:
    """Rows whose value in a column is missing or below the column's minimum."""
    low: set[int] = set()
    for column, least in minimum.items():
        cells = list(rows[column])
        values = [_number(cell) for cell in cells]
        if bad := [i for i, v in enumerate(values) if v is None and cells[i] is not None]:
            raise DataError(
                f"{where}: column {column!r} has a minimum and must hold numbers, got "
                f"{cells[bad[0]]!r} in {row_numbers(bad)} — fix them, or remove the minimum"
            )
        low |= {i for i, value in enumerate(values) if value is None or not value >= least}
    return low


def _confidences(
    rows: Any, dataset: Dataset, targets: list[Target | None], keep: list[int], where: str
) -> list[float] | None:
    """The probability of each row's label; only rows in `keep` are checked."""
    if dataset.confidence is None:
        sure = [target[1] if target else 1.0 for target in targets]
        return None if all(probability == 1 for probability in sure) else sure
    column = rows[dataset.confidence]
    probabilities = [_number(value) for value in column]
    if bad := [i for i in keep if not is_probability(probabilities[i])]:
        raise DataError(
            f"{where}: column {dataset.confidence!r} must hold probabilities of the label, above 0 "
            f"and at most 1, got {column[bad[0]]!r} in {row_numbers(bad)} — fix them, or disable "
            "soft labels with --set datasets.confidence=null"
        )
    return [value or 0 for value in probabilities]


def drop_undecided(split: Split, labels: list[str]) -> Split:
    """Drop rows whose label is not more likely than chance; they are used for training only."""
    sure = split.confidences or [1.0] * len(split)
    keep = [i for i, probability in enumerate(sure) if probability > 1 / len(labels)]
    decided = split.take(np.array(keep, dtype=np.int64), undecided=len(split) - len(keep))
    return replace(decided, confidences=None)


def _number(value: Any) -> float | None:
    """A cell as a number, also from text as in CSV; None if it is not a number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if isinstance(value, str) and not math.isfinite(number) else number


def cell_text(value: Any) -> str:
    """A cell as text; empty if there is none."""
    return "" if value is None else str(value)
