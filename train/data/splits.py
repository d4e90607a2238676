"""Splits: labeled texts in columns of equal length, and operations on them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Labeled texts; every list has one entry per review."""

    texts: list[str]
    labels: list[int]
    pairs: list[str] | None = None
    groups: list[str | None] | None = None  # None: the review is its own group
    datasets: list[int] | None = None  # number of the recipe's dataset that each comes from
    # Probabilities of all labels; None: the label is certain, of all rows or of one.
    probabilities: list[tuple[float, ...] | None] | None = None
    ratings: list[float] | None = None  # on the labels' scale, such as stars; None: they are none
    slice_columns: dict[str, list[str]] | None = None  # columns to show results by
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> rows

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: IntArray, **dropped: int) -> "Split":
        """The reviews at `rows`, in that order; counts of dropped rows are added by reason."""

        def pick(values: Any) -> Any:
            if isinstance(values, dict):
                return {name: pick(column) for name, column in values.items()}
            return None if values is None else [values[i] for i in rows]

        reasons = Counter(self.dropped) + Counter(dropped)
        lists = {field.name: pick(getattr(self, field.name)) for field in fields(self)[:-1]}
        return Split(**lists, dropped=dict(reasons))

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


def exclude(split: Split, keys: Sequence[Any] | None, taken: set[Any], reason: str) -> Split:
    """The rows whose key is not in `taken`."""
    keep = [i for i, key in enumerate(keys or [None] * len(split)) if key not in taken]
    return split.take(np.array(keep, dtype=np.int64), **{reason: len(split) - len(keep)})


def concatenate(splits: list[Split]) -> Split:
    """All reviews of several splits, in order."""

    def joined(parts: list[list[Any] | None]) -> list[Any] | None:
        return None if None in parts else [value for part in parts for value in part or []]

    probabilities = [row for s in splits for row in s.probabilities or [None] * len(s)]
    groups = [group for s in splits for group in s.groups or [None] * len(s)]
    return Split(
        joined([s.texts for s in splits]) or [],
        joined([s.labels for s in splits]) or [],
        joined([s.pairs for s in splits]),
        groups if any(groups) else None,
        joined([s.datasets for s in splits]),
        probabilities if any(probabilities) else None,
        joined([s.ratings if len(s) else [] for s in splits]),
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


def normalized(text: str) -> str:
    """A text for comparison: lower case, single spaces."""
    return " ".join(text.split()).casefold()
