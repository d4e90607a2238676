"""Labels: what the values of a label column mean.

In: rows and a recipe's `Dataset`. Out: a `Target` for each row. Class names (`ClassLabel`) take
precedence over class numbers. The mapping is printed, with three rows as examples.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from space.inference.labels import label_values
from train import console
from train.data.label_maps import (
    MAX_VALUES,
    UNLABELED,
    known_values,
    propose,
    remedy,
    setting_argument,
)
from train.data.tables import type_name
from train.errors import DataError, shorten
from train.sections import Dataset, label_key

NO_LABEL = -1  # the label number of rows in a dataset with `label: null`


class Target(NamedTuple):
    """The label of a row."""

    label: int  # the number of the most probable one
    probabilities: tuple[float, ...] | None = None  # of all labels; None: the label is certain
    rating: float | None = None  # the value's place on the labels' scale; None: the label's number


_UNKNOWN = Target(-1, (0.0,))


def read(
    rows: Any,
    dataset: Dataset,
    labels: list[str],
    texts: Sequence[str],
    where: str,
    setting: str,
    unlabeled_remedy: str,
) -> list[Target | None]:
    """The label of each row; None where `label_map` drops the row.

    Args:
        rows: The split, a `datasets.Dataset`.
        dataset: Names the label column, and may map its values.
        labels: The label names, in the order of the model's outputs.
        texts: The text of each row, for the printed examples.
        where: The name of the split, for messages.
        setting: The section of the recipe, such as `datasets`, for messages.
        unlabeled_remedy: What to do about a split in which no row has a label.

    Raises:
        DataError: A value has no known meaning, or no row has a label.
    """
    if dataset.label is None:
        return [Target(NO_LABEL)] * len(texts)
    where = f"{where}: column {dataset.label!r}"
    keys, names = _keys(rows, dataset.label, where)
    known = _meanings(dataset, labels, names, where, setting)
    meaning = {key: known.get(key, known.get(key.casefold(), _UNKNOWN)) for key in set(keys)}
    unknown = {key for key, target in meaning.items() if target is _UNKNOWN}
    if unknown and meaning.keys() <= UNLABELED:
        raise DataError(f"{where} has no labels (each is -1 or empty) — {unlabeled_remedy}")
    if unknown:
        bad = [i for i, key in enumerate(keys) if key in unknown]
        seen = [shorten(key, 50) or "an empty cell" for key in sorted(unknown)[:5]]
        classes = f", its classes are {names}" if names else ""
        raise DataError(
            f"{where} must hold one of {sorted(known)}, got {seen} in {row_numbers(bad)}{classes}"
            " — " + remedy(meaning, names, dataset, labels, setting)
        )
    _print(where, keys, texts, meaning, labels)
    return [meaning[key] for key in keys]


def row_numbers(rows: Sequence[int]) -> str:
    """Rows, counted from 0, as text for a message, counted from 1."""
    shown = ", ".join(str(n + 1) for n in rows[:5])
    return f"row{'s' if len(rows) > 1 else ''} {shown}{', …' if len(rows) > 5 else ''}"


def _keys(rows: Any, column: str, where: str) -> tuple[list[str], list[str]]:
    """The label of each row as text (the class name if there is one), and all class names."""
    kind = type_name(rows.features.arrow_schema.field(column).type)
    if not re.match(r"(large_)?string|u?int|float|bool|decimal|null", kind):
        raise DataError(
            f"{where} must hold one label a row, a text or a number, got the type {kind}"
            " — name another column, or convert it"
        )
    names = [label_key(name) for name in getattr(rows.features[column], "names", [])]
    keys = [
        names[value] if names and value is not None and value >= 0 else label_key(value)
        for value in rows[column]
    ]
    return keys, names


def _meanings(
    dataset: Dataset, labels: list[str], names: list[str], where: str, setting: str
) -> dict[str, Target | None]:
    """Value -> target, by `label_map` or, without one, by `known_values`."""
    plain: dict[str, Target | None] = {k: Target(n) for k, n in known_values(labels).items()}
    if dataset.label_map is None:
        return plain
    mapped = dataset.label_targets()
    if unknown := sorted({name for value in mapped.values() for name in value or {}} - set(labels)):
        raise DataError(f"{where}: label_map must lead to one of {labels} or null, got {unknown}")
    rated = {key: _target(value, labels) for key, value in mapped.items() if value}
    ratings = _ratings(rated, labels)
    mapped_targets: dict[str, Target | None] = {
        key: rated[key]._replace(rating=ratings.get(key)) if key in rated else None
        for key in mapped
    }
    known = {key.casefold(): target for key, target in mapped_targets.items()} | mapped_targets
    if not names or {name.casefold() for name in names} & known.keys():
        return known  # a map of class names: numbers in it are not class numbers
    by_number = {name: known[str(i)] for i, name in enumerate(names) if str(i) in known}
    for name, target in by_number.items():
        word = plain.get(name.casefold())
        if target and word and not name.isdecimal() and target.label != word.label:
            raise DataError(
                f"{where} has the classes {names}, and label_map makes class "
                f"{names.index(name)}, {name!r}, {labels[target.label]} — map the names: "
                + setting_argument(propose(names, {}, labels), setting)
            )
    return by_number | {key: target for key, target in known.items() if key in UNLABELED}


def _target(shares: dict[str, float], labels: list[str]) -> Target:
    """A soft label; what its probabilities leave is spread evenly over the other labels."""
    likeliest = labels.index(max(shares, key=shares.__getitem__))
    if shares[labels[likeliest]] == 1:
        return Target(likeliest)
    rest = max(0.0, 1 - sum(shares.values())) / max(1, len(labels) - len(shares))
    return Target(likeliest, tuple(shares.get(label, rest) for label in labels))


def _ratings(targets: dict[str, Target], labels: list[str]) -> dict[str, float]:
    """The place of each value on the labels' scale: 1.44 stars for a rating of 2 from 1 to 10.

    It is the value itself or, if that does not fit the labels, its place between the lowest and the
    highest value. Empty if neither fits, the values are no numbers, or the labels are no scale.
    """
    values = label_values(labels)
    try:
        numbers = np.array([float(key) for key in targets])
    except ValueError:
        return {}
    if values is None or not targets:
        return {}
    ends = values[0], values[-1]
    expected = np.array(values)[[target.label for target in targets.values()]]
    for places in (
        numbers.clip(*ends),
        np.interp(numbers, [numbers.min(), numbers.max()], ends),
    ):
        nearest = np.abs(places[:, None] - values).min(axis=1)
        if np.allclose(np.abs(places - expected), nearest):  # two labels may be as near
            return dict(zip(targets, places.tolist(), strict=True))
    return {}


def _print(
    where: str,
    keys: list[str],
    texts: Sequence[str],
    meaning: dict[str, Target | None],
    labels: list[str],
) -> None:
    """Print the meaning of each value and three rows, with different values if possible."""

    def read_as(key: str) -> str:
        target = meaning[key]
        if target is None:
            return f"{key or 'empty'} → left out"
        sure = f" ({target.probabilities[target.label]:g})" if target.probabilities else ""
        return f"{key or 'empty'} → {labels[target.label]}{sure}"

    counts = Counter(keys).most_common(MAX_VALUES)
    summary = ", ".join(f"{_printable(read_as(key))} in {n:,} rows" for key, n in counts)
    console.print_line(f"{where} is read as: {summary}")
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    rows = sorted(first.values())[:3]
    rows += [row for row in range(min(3, len(keys))) if row not in rows][: 3 - len(rows)]
    for row in sorted(rows):
        summary = _printable(f"{read_as(keys[row])}: {texts[row][:200]}")
        console.print_line(f"  row {row + 1}, {shorten(summary, 100)}")


def _printable(text: str) -> str:
    """Text on one line, without control and other unprintable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
