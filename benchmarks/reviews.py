"""Texts of the benchmarks: invented reviews with the lengths of IMDb's, or a user's file.

Speed depends on lengths alone, so reviews of one label are joined and cut to lengths drawn from
IMDb's distribution. In: nothing, or a CSV, TSV, JSONL or Parquet file with `text` and `label`.
"""

import json
from pathlib import Path

import numpy as np

from benchmarks import REPOSITORY

SAMPLES = REPOSITORY / "train" / "samples" / "train.jsonl"
LABELS = ["NEGATIVE", "POSITIVE"]
# Words of the 25,000 IMDb training reviews at these percentiles; the mean is 234.
PERCENTILES = [0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100]
WORDS = [10, 64, 91, 120, 134, 151, 174, 206, 252, 325, 458, 598, 913, 2470]


def load(source: str | None, rows: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts and label numbers, at most `rows`; chosen or made with a fixed seed."""
    if source is None:
        return _invented(rows, seed)
    from train.data import preparation
    from train.sections import Dataset

    split = preparation.read_split(_dataset(Dataset, source), "train", LABELS, rows)
    split = split.take(
        np.random.default_rng(seed).permutation(len(split))
    )  # files are often sorted by label
    return split.texts, split.labels


def describe(source: str | None, texts: list[str]) -> dict[str, object]:
    """A description of the texts, for a results file."""
    words = [len(text.split()) for text in texts]
    name = Path(source).name if source else "train/samples joined to the lengths of IMDb's reviews"
    return {"source": name, "reviews": len(texts), "mean_words": sum(words) / len(words)}


def write(file: Path, texts: list[str], labels: list[int]) -> Path:
    """A JSONL file that a recipe can name as its dataset."""
    lines = [
        json.dumps({"text": text, "label": LABELS[label]})
        for text, label in zip(texts, labels, strict=True)
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _invented(rows: int, seed: int) -> tuple[list[str], list[int]]:
    rng = np.random.default_rng(seed)
    samples = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    by_label = [
        [row["text"] for row in samples if row["stars"] < 3],
        [row["text"] for row in samples if row["stars"] > 3],
    ]
    lengths = np.interp(rng.uniform(0, 100, rows), PERCENTILES, WORDS).astype(int)
    texts, labels = [], (np.arange(rows) % 2).tolist()
    for length, label in zip(lengths, labels, strict=True):
        words: list[str] = []
        while len(words) < length:
            words += str(rng.choice(by_label[label])).split()
        texts.append(" ".join(words[:length]))
    return texts, labels


def _dataset(kind: type, source: str) -> object:
    """The dataset of a user's file: labels are names or numbers as in `train`, or neg and pos."""
    mapping = {"neg": "NEGATIVE", "pos": "POSITIVE", "0": "NEGATIVE", "1": "POSITIVE"}
    mapping |= {label: label for label in LABELS}
    return kind(source=source, label_map=mapping)
