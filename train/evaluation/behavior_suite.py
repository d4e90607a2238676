"""Behavioral tests: short reviews with a known label, by linguistic phenomenon.

In: a function from texts to logits. Out: a `RowResult` for each row of the suite, which the release
gate compares, and pass rates for results.json. `behavior/README.md` describes the rows.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from space.inference.labels import label_values
from train.errors import DataError
from train.evaluation.error_analysis import Predict, accuracy_by_group
from train.evaluation.metrics import FloatArray
from train.evaluation.row_results import RowResult, row_id

PredictPairs = Callable[[Sequence[str], Sequence[str]], FloatArray]

FOLDER = Path(__file__).parent / "behavior"


class Suite(NamedTuple):
    """The rows of `sentences.jsonl` and `pairs.jsonl`."""

    sentences: list[dict[str, str]]
    pairs: list[dict[str, str]]


def load(folder: Path = FOLDER) -> Suite:
    """Read the suite.

    Raises:
        DataError: A file is missing, empty or not JSON.
    """
    return Suite(_rows(folder / "sentences.jsonl"), _rows(folder / "pairs.jsonl"))


def load_aspects() -> list[dict[str, str]]:
    """Read the sentences in which two aspects have opposite polarity.

    Raises:
        DataError: See `load`.
    """
    return _rows(FOLDER / "aspects.jsonl")


def run_aspects(
    predict: PredictPairs, labels: list[str], rows: list[dict[str, str]]
) -> list[RowResult]:
    """Run the sentences with two aspects; one passes if both are predicted right.

    Args:
        predict: The model's logits of texts and aspects, (texts, labels).
        labels: The model's labels; without NEGATIVE and POSITIVE among them nothing is run.
        rows: The sentences.
    """
    if not {"NEGATIVE", "POSITIVE"} <= set(labels):
        return []
    texts = [row["text"] for row in rows]
    right = np.array([True] * len(rows))
    for polarity in ["positive", "negative"]:
        logits = predict(texts, [row[polarity] for row in rows])
        right &= np.array(labels)[logits.argmax(axis=1)] == polarity.upper()
    return [
        RowResult("aspects", "opposite", row_id(*row.values()), bool(ok))
        for row, ok in zip(rows, right, strict=True)
    ]


def run(predict: Predict, labels: list[str], suite: Suite) -> list[RowResult]:
    """Run the suite; a pair passes if both of its sides are right.

    Args:
        predict: The model's logits of texts, (texts, labels).
        labels: The model's labels. Of a scale, such as stars, an expected value above the middle
            is POSITIVE, any other NEGATIVE; of others without these two names nothing is run.
        suite: The rows.
    """
    values = label_values(labels)
    if values is None and not {"NEGATIVE", "POSITIVE"} <= set(labels):
        return []
    sentences, pairs = suite
    texts = [row["text"] for row in sentences + pairs] + [row["edited"] for row in pairs]
    expected = [row["label"] for row in sentences + pairs] + [row["edited_label"] for row in pairs]
    correct = _verdicts(predict(texts), labels, values) == np.array(expected)
    sides = correct[len(sentences) :].reshape(2, len(pairs))
    passed = [*correct[: len(sentences)], *sides.all(axis=0)]
    parts = ["sentences"] * len(sentences) + ["pairs"] * len(pairs)
    return [
        RowResult(part, row["kind"], row_id(*(row[key] for key in row if key != "kind")), bool(ok))
        for part, row, ok in zip(parts, sentences + pairs, passed, strict=True)
    ]


def _verdicts(logits: FloatArray, labels: list[str], values: list[float] | None) -> Any:
    if values is None:
        return np.array(labels)[logits.argmax(axis=1)]
    expected = softmax(logits, axis=1) @ np.array(values)
    return np.where(expected > (values[0] + values[-1]) / 2, "POSITIVE", "NEGATIVE")


def pass_rates(results: list[RowResult]) -> dict[str, dict[str, dict[str, Any]]]:
    """Part of the suite -> kind, and `all` -> `n` and `accuracy`, the share that passes."""
    rates = {}
    for part in dict.fromkeys(result.part for result in results):
        rows = [result for result in results if result.part == part]
        kinds = np.array([row.kind for row in rows])
        groups = {kind: kinds == kind for kind in dict.fromkeys(kinds.tolist())}
        groups["all"] = np.ones(len(rows), dtype=bool)
        rates[part] = accuracy_by_group(groups, np.array([row.correct for row in rows]))
    return rates


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(
            f"can't read the behavior suite: {error} — restore {file} from the repository"
        ) from error
    if not rows:
        raise DataError(f"{file} must have rows, got none — restore it from the repository")
    return rows
