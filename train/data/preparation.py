"""Reviews: from datasets to clean, disjoint splits.

In: a recipe. Out: `Split`s of texts and label numbers, no text and no group in two of them.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from train import console, run_folder
from train.data import labels as label_columns
from train.data import sources
from train.data.labels import row_numbers
from train.errors import DataError
from train.recipe import Recipe
from train.sections import Dataset, label_key

IntArray = npt.NDArray[np.int64]
SPLITS = ["train", "validation", "test"]
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
BREAK = re.compile(r"<br\s*/?>")  # a line break in IMDb reviews


@dataclass(frozen=True)
class Split:
    """Labelled texts; every list has one entry per review."""

    texts: list[str]
    labels: list[int]
    pairs: list[str] | None = None
    groups: list[str | None] | None = None  # None: the review is its own group
    datasets: list[int] | None = None  # number of the recipe's dataset that each comes from
    confidences: list[float] | None = None  # probability of each label; None: all are certain
    slice_columns: dict[str, list[str]] | None = None  # columns to show results by
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> rows

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: IntArray, **dropped: int) -> "Split":
        """The reviews at `rows`, in that order; counts of dropped rows are added by reason."""

        def pick(values: list[Any] | None) -> list[Any] | None:
            return None if values is None else [values[i] for i in rows]

        reasons = Counter(self.dropped) + Counter(dropped)
        return Split(
            pick(self.texts) or [],
            pick(self.labels) or [],
            pick(self.pairs),
            pick(self.groups),
            pick(self.datasets),
            pick(self.confidences),
            self.slice_columns
            and {name: pick(values) or [] for name, values in self.slice_columns.items()},
            dict(reasons),
        )

    def keys(self) -> list[tuple[str, str]]:
        """The normalized texts of each review; two reviews with equal keys are duplicates."""
        pairs = self.pairs or [""] * len(self)
        return [(normalized(a), normalized(b)) for a, b in zip(self.texts, pairs, strict=True)]

    def sha256(self) -> str:
        """SHA-256 of texts and labels, in order."""
        digest = hashlib.sha256()
        for row in zip(self.texts, self.pairs or [""] * len(self), self.labels, strict=True):
            digest.update(repr(row).encode())
        return digest.hexdigest()


def load(recipe: Recipe) -> dict[str, Split]:
    """Read, clean and split into `train`, `validation` and `test` without shared texts.

    Raises:
        DataError: See `sources.read`; or a label is unknown, a review is empty, a split is empty,
            or a label has no review in train.
    """
    parts = [_split(number, recipe) for number in range(len(recipe.datasets))]
    splits = {name: _concatenate([p[name] for p, _ in parts]) for name in SPLITS}
    split_off = {name: set[str]().union(*(groups[name] for _, groups in parts)) for name in SPLITS}
    # A text or group in several splits is kept in test first, then in validation.
    for name, others in [("validation", ["test"]), ("train", ["test", "validation"])]:
        taken = {key for other in others for key in splits[other].keys()}
        splits[name] = _exclude(splits[name], splits[name].keys(), taken, "texts held out")
        held = {group for other in others for group in split_off[other]}
        splits[name] = _exclude(splits[name], splits[name].groups, held, "of groups held out")
    for name, most in [
        ("train", recipe.max_train),
        ("validation", recipe.max_validation),
        ("test", recipe.max_test),
    ]:
        splits[name] = sample(splits[name], most, recipe.split_seed)
        if name in {"train", "validation", recipe.evaluation_split}:
            _check_some_left(splits[name], name, "add reviews, or name splits that share none")
    numbers = set(splits["train"].labels) - {label_columns.NO_LABEL}
    present = {recipe.labels[label] for label in numbers}
    if missing := set(recipe.labels) - present:
        raise DataError(
            f"train must hold every label, got none of {sorted(missing)} — check `labels` and "
            "`label_map`, or add reviews"
        )
    return splits


def read_split(dataset: Dataset, name: str, labels: list[str], most: int | None = None) -> Split:
    """Read and clean one split for evaluation; at most `most` rows, sampled with a fixed seed."""
    found = sources.read(dataset.model_copy(update={"train": name}))
    split = _drop_undecided(
        _clean(found[name], dataset, labels, name, "evaluation", "datasets"), labels
    )
    _check_some_left(split, f"{dataset.source} split {name!r}", "name a split that has labels")
    return sample(split, most, seed=0)


def check_unseen(folders: Iterable[Path], splits: dict[str, Split]) -> None:
    """Raise `DataError` if a run was trained on reviews of `validation` or `test`.

    Args:
        folders: Run folders.
        splits: The splits of the current recipe.
    """
    held = {key for name in ["validation", "test"] for key in splits[name].keys()}
    for folder in folders:
        try:
            seen = load(run_folder.load_pinned_recipe(folder))["train"].keys()
        except DataError as error:
            raise DataError(
                f"the reviews that {folder} was trained on can't be compared with validation and "
                f"test, as they can't be read: {error}"
            ) from error
        if both := held.intersection(seen):
            raise DataError(
                f"{folder} was trained on {len(both):,} of the reviews that are now in validation "
                "or test — give both recipes the same datasets, groups, fractions and split_seed"
            )


def _check_some_left(split: Split, name: str, remedy: str) -> None:
    if not len(split):
        why = "; ".join(f"{n:,} {reason}" for reason, n in split.dropped.items())
        raise DataError(f"no review is left in {name} (left out: {why or 'none'}) — {remedy}")


def sample(split: Split, most: int | None, seed: int) -> Split:
    """At most `most` reviews, sampled at random; all of them if it is None."""
    if most is None or len(split) <= most:
        return split
    rows = np.random.default_rng(seed).permutation(len(split))[:most]
    return split.take(np.sort(rows))


def _split(number: int, recipe: Recipe) -> tuple[dict[str, Split], dict[str, set[str]]]:
    """The splits of one dataset, and the groups of the splits taken from its training split."""
    dataset = recipe.datasets[number]
    found = sources.read(dataset)
    setting = "datasets" if len(recipe.datasets) == 1 else f"datasets.{number}"

    def read(name: str, role: str) -> Split:
        return _clean(found[name], dataset, recipe.labels, name, role, setting)

    def own(name: str | None, role: str) -> Split | None:
        """The split of the data with that role; None if it must be split off from train."""
        usual_is_free = role not in {dataset.train, dataset.validation, dataset.test}
        name = name or (role if role in found and usual_is_free else None)
        return None if name in {None, dataset.train} else read(str(name), role)

    train = read(dataset.train, "train")
    splits: dict[str, Split] = {}
    split_off: dict[str, set[str]] = {name: set() for name in SPLITS}
    for name, given, fraction in [
        ("test", dataset.test, recipe.test_fraction),
        ("validation", dataset.validation, recipe.validation_fraction),
    ]:
        if name not in dataset.splits:
            splits[name] = train.take(np.array([], dtype=np.int64))
        elif (part := own(given, name)) is not None:
            splits[name] = part
        else:
            train, splits[name] = _split_off(train, fraction, recipe.split_seed, name)
            split_off[name] = set(filter(None, splits[name].groups or []))
    splits = {name: _drop_undecided(split, recipe.labels) for name, split in splits.items()}
    rows = np.arange(len(train) if "train" in dataset.splits else 0)
    splits["train"] = train.take(rows)
    numbered = {
        name: replace(split, datasets=[number] * len(split)) for name, split in splits.items()
    }
    return numbered, split_off


def _clean(
    rows: Any, dataset: Dataset, labels: list[str], name: str, role: str, setting: str
) -> Split:
    """Convert columns to a `Split`: reject or skip empty reviews, map labels to numbers."""
    sources.check_columns(rows, dataset, name)
    where = f"{dataset.source} split {name!r}"
    texts = [_text(value) for value in rows[dataset.text]]
    pairs = [_text(v) for v in rows[dataset.text_pair]] if dataset.text_pair else None
    groups = _groups(rows[dataset.group], dataset.group, where) if dataset.group else None
    empty = {i for i, text in enumerate(texts) if not text.strip()}
    if empty and dataset.on_empty == "error":
        raise DataError(
            f"{where}: {len(empty)} empty reviews, {row_numbers(sorted(empty))} — fill or remove "
            f"them, or leave them out with --set {setting}.on_empty=skip"
        )
    unlabelled_remedy = UNLABELLED[role].format(setting, dataset.train)
    targets = label_columns.read(rows, dataset, labels, texts, where, setting, unlabelled_remedy)
    keep = [i for i, target in enumerate(targets) if target and i not in empty]
    slice_columns = {
        c: [_text(v) for v in rows[c]] for c in dataset.slice_by if c in rows.column_names
    }
    known = [target[0] if target else -1 for target in targets]
    sure = [target[1] if target else 1.0 for target in targets]
    confidences = None if all(probability == 1 for probability in sure) else sure
    split = Split(texts, known, pairs, groups, confidences=confidences, slice_columns=slice_columns)
    unlabelled = len(targets) - len(keep) - len(empty)
    return split.take(np.array(keep, dtype=np.int64), empty=len(empty), unlabelled=unlabelled)


def _groups(cells: Iterable[Any], column: str, where: str) -> list[str | None]:
    """The group of each row; None where the cell is empty."""
    groups = [str(cell) if label_key(cell) else None for cell in cells]
    if missing := groups.count(None):
        console.print_line(
            f"{where}: column {column!r} is empty in {missing:,} rows, each of which is a group of "
            "its own"
        )
    return groups


def _drop_undecided(split: Split, labels: list[str]) -> Split:
    """Drop rows whose label is not more likely than chance; they are used for training only."""
    sure = split.confidences or [1.0] * len(split)
    keep = [i for i, probability in enumerate(sure) if probability > 1 / len(labels)]
    found = split.take(np.array(keep, dtype=np.int64), undecided=len(split) - len(keep))
    return replace(found, confidences=None)


def _split_off(split: Split, fraction: float, seed: int, name: str) -> tuple[Split, Split]:
    """Split off about `fraction`, stratified by label; no group is on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = max(2, round(1 / fraction))
    given = split.groups or [None] * len(split)
    # Without groups, duplicates of a text stay together.
    groups = [group or str(key) for group, key in zip(given, split.keys(), strict=True)]
    rarest = min(Counter(split.labels).values(), default=0)
    if rarest < folds or len(set(groups)) < folds:
        raise DataError(
            f"too few reviews to split off {name}: the rarest label has {rarest}, and there are "
            f"{len(set(groups))} groups, at least {folds} of each are needed — add reviews, raise "
            f"{name}_fraction (now {fraction}), or name a {name} split"
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    rest, part = next(iter(splitter.split(split.texts, split.labels, groups)))
    return split.take(rest), replace(split.take(part), dropped={})


def _exclude(split: Split, keys: Sequence[Any] | None, taken: set[Any], reason: str) -> Split:
    """The rows whose key is not in `taken`."""
    keep = [i for i, key in enumerate(keys or [None] * len(split)) if key not in taken]
    return split.take(np.array(keep, dtype=np.int64), **{reason: len(split) - len(keep)})


def _concatenate(splits: list[Split]) -> Split:
    def joined(parts: list[list[Any] | None]) -> list[Any] | None:
        return None if None in parts else [value for part in parts for value in part or []]

    confidences = [value for s in splits for value in s.confidences or [1.0] * len(s)]
    groups = [group for s in splits for group in s.groups or [None] * len(s)]
    return Split(
        joined([s.texts for s in splits]) or [],
        joined([s.labels for s in splits]) or [],
        joined([s.pairs for s in splits]),
        groups if any(groups) else None,
        joined([s.datasets for s in splits]),
        confidences if any(s.confidences for s in splits) else None,
        _join_slice_columns(splits),
        dict(sum((Counter(s.dropped) for s in splits), Counter[str]())),
    )


def _join_slice_columns(splits: list[Split]) -> dict[str, list[str]]:
    """The columns of all splits; rows of a split without a column get "none"."""
    names = dict.fromkeys(name for split in splits for name in split.slice_columns or {})
    return {
        name: [v for s in splits for v in (s.slice_columns or {}).get(name, ["none"] * len(s))]
        for name in names
    }


def deduplicate(texts: Iterable[Any]) -> list[str]:
    """The first of each text, in order, without missing (None) and blank ones."""
    unique: dict[str, str] = {}
    for text in map(_text, texts):
        unique.setdefault(normalized(text), text)
    unique.pop("", None)
    return list(unique.values())


def normalized(text: str) -> str:
    """A text for comparison: lower case, single spaces."""
    return " ".join(text.split()).casefold()


def _text(value: Any) -> str:
    return "" if value is None else str(value)
