"""Preparation: from the datasets of a recipe to clean, disjoint splits.

In: a recipe. Out: `Split`s of texts and label numbers, no text and no group in two of them.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from train import console, run_folder
from train.data import sources
from train.data.cleaning import cell_text, clean, drop_undecided
from train.data.labels import NO_LABEL
from train.data.splits import Split, concatenate, exclude, normalized
from train.errors import DataError
from train.recipe import Recipe
from train.sections import Dataset, Patterns

SPLITS = ["train", "validation", "test"]
BREAK = re.compile(r"<br\s*/?>")  # a line break in IMDb reviews


def load(recipe: Recipe) -> dict[str, Split]:
    """Read, clean and split into `train`, `validation` and `test` without shared texts.

    Raises:
        DataError: See `sources.read`; or a label is unknown, a review is empty, a split is empty,
            or a label has no review in train.
    """
    parts = [_split(number, recipe) for number in range(len(recipe.datasets))]
    splits = {name: concatenate([p[name] for p, _ in parts]) for name in SPLITS}
    split_off = {name: set[str]().union(*(groups[name] for _, groups in parts)) for name in SPLITS}
    # A text or group in several splits is kept in test first, then in validation.
    for name, others in [("validation", ["test"]), ("train", ["test", "validation"])]:
        taken = {key for other in others for key in splits[other].keys()}
        splits[name] = exclude(splits[name], splits[name].keys(), taken, "texts held out")
        held = {group for other in others for group in split_off[other]}
        splits[name] = exclude(splits[name], splits[name].groups, held, "of groups held out")
    for name, most in [
        ("train", recipe.max_train),
        ("validation", recipe.max_validation),
        ("test", recipe.max_test),
    ]:
        splits[name] = sample(splits[name], most, recipe.split_seed)
        if name in {"train", "validation", recipe.evaluation_split}:
            _check_some_left(splits[name], name, "add reviews, or name splits that share none")
    numbers = set(splits["train"].labels) - {NO_LABEL}
    present = {recipe.labels[label] for label in numbers}
    if missing := set(recipe.labels) - present:
        raise DataError(
            f"train must hold every label, got none of {sorted(missing)} — check `labels` and "
            "`label_map`, or add reviews"
        )
    return splits


def read_split(dataset: Dataset, name: str, labels: list[str], most: int | None = None) -> Split:
    """Read and clean one split for evaluation; at most `most` rows, sampled with a fixed seed."""
    rows = sources.read(dataset.model_copy(update={"train": name}))[name]
    split = drop_undecided(clean(rows, dataset, labels, name, "evaluation", "datasets"))
    _check_some_left(split, f"{dataset.source} split {name!r}", "name a split that has labels")
    return sample(split, most, seed=0)


def check_unseen(folders: Iterable[Path], splits: dict[str, Split], labels: list[str]) -> None:
    """Raise `DataError` if a run was trained on reviews of `validation` or `test`.

    A run with other labels can't have the same validation reviews, which are split off by label:
    they are only counted. Its classifier is replaced.

    Args:
        folders: Run folders.
        splits: The splits of the current recipe.
        labels: Its labels.
    """
    held = {name: set(splits[name].keys()) for name in ["validation", "test"]}
    for folder in folders:
        recipe = run_folder.load_pinned_recipe(folder)
        try:
            seen = _seen(recipe)
        except DataError as error:
            raise DataError(
                f"the reviews that {folder} was trained on can't be compared with validation and "
                f"test, as they can't be read: {error}"
            ) from error
        both = {name: len(keys & seen) for name, keys in held.items()}
        if both["test"] or (both["validation"] and recipe.labels == labels):
            raise DataError(
                f"{folder} was trained on {sum(both.values()):,} of the reviews that are now in "
                "validation or test — give both recipes the same datasets, groups, fractions and "
                "split_seed"
            )
        if both["validation"]:
            console.print_line(
                f"{folder} was trained on {both['validation']:,} of {len(held['validation']):,} "
                "validation reviews, with other labels: validation figures may be too good"
            )


def _seen(recipe: Recipe) -> set[tuple[str, str]]:
    """The keys of the reviews that a run may have been trained on.

    Generated patterns are left out. Without the column of the groups, its training reviews can't be
    told from those that it split off for validation: both are returned.
    """
    generated = {Path(step.out) for step in recipe.requires if isinstance(step, Patterns)}
    datasets = [d for d in recipe.datasets if Path(d.source) not in generated]
    try:
        return set(load(recipe.model_copy(update={"datasets": datasets}))["train"].keys())
    except DataError:
        if all(dataset.group is None for dataset in datasets):
            raise
    ungrouped = [dataset.model_copy(update={"group": None}) for dataset in datasets]
    splits = load(recipe.model_copy(update={"datasets": ungrouped, "max_train": None}))
    return {*splits["train"].keys(), *splits["validation"].keys()}


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
    rows = sources.read(dataset)
    setting = "datasets" if len(recipe.datasets) == 1 else f"datasets.{number}"

    def read(name: str, role: str) -> Split:
        return clean(rows[name], dataset, recipe.labels, name, role, setting)

    def own(name: str | None, role: str) -> Split | None:
        """The split of the data with that role; None if it must be split off from train."""
        usual_is_free = role not in {dataset.train, dataset.validation, dataset.test}
        name = name or (role if role in rows and usual_is_free else None)
        return None if name in {None, dataset.train} else read(str(name), role)

    train = read(dataset.train, "train")
    splits: dict[str, Split] = {}
    split_off: dict[str, set[str]] = {name: set() for name in SPLITS}
    for name, named, fraction in [
        ("test", dataset.test, recipe.test_fraction),
        ("validation", dataset.validation, recipe.validation_fraction),
    ]:
        if name not in dataset.splits:
            splits[name] = train.take(np.array([], dtype=np.int64))
        elif (part := own(named, name)) is not None:
            splits[name] = part
        else:
            train, splits[name] = _split_off(train, fraction, recipe.split_seed, name)
            split_off[name] = set(filter(None, splits[name].groups or []))
    splits = {name: drop_undecided(split) for name, split in splits.items()}
    splits["train"] = train.take(np.arange(len(train) if "train" in dataset.splits else 0))
    language = dataset.language or recipe.language if len(recipe.languages) > 1 else None
    numbered = {name: _mark(split, number, language) for name, split in splits.items()}
    return numbered, split_off


def _mark(split: Split, number: int, language: str | None) -> Split:
    """The rows with the number of their dataset and, if given, their language as a slice column."""
    columns = split.slice_columns
    if language:
        columns = {"language": [language] * len(split), **(columns or {})}
    return replace(split, datasets=[number] * len(split), slice_columns=columns)


def _split_off(split: Split, fraction: float, seed: int, name: str) -> tuple[Split, Split]:
    """Split off about `fraction`, stratified by label; no group is on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = max(2, round(1 / fraction))
    # Without groups, duplicates of a text stay together.
    named = split.groups or [None] * len(split)
    groups = [group or str(key) for group, key in zip(named, split.keys(), strict=True)]
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


def deduplicate(texts: Iterable[Any]) -> list[str]:
    """The first of each text, in order, without missing (None) and blank ones."""
    unique: dict[str, str] = {}
    for text in map(cell_text, texts):
        unique.setdefault(normalized(text), text)
    unique.pop("", None)
    return list(unique.values())
