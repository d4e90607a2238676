"""Where a model fails: by what its texts hold, by its own certainty, and on texts made to tell.

In: texts, labels and logits of a split, and a way to get more logits. Out: the `error_analysis` of
results.json and more of its `slices`.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from train.errors import DataError
from train.evaluation.metrics import FloatArray, bands
from train.evaluation.row_results import RowResult, row_id

SUITE = Path(__file__).parent / "behaviour"
SURE_ACCURACY = 0.97  # of the validation reviews outside the band in which a model is unsure
ERRORS, PART_CONFIDENCE = 20, 0.9
# Each in a hundred words; or, of what is rare, whether it is there at all.
PER_HUNDRED = {
    "negation": r"\b(?:not|no|never|nor|none|nobody|nothing|neither|hardly|cannot)\b|n['’]t\b",
    "contrast": r"\b(?:but|however|although|though|yet|despite|except|still|unfortunately)\b",
}
PRESENT = {
    "sarcasm": r"yeah,? right|oh,? (?:joy|great|please|boy)|thanks for nothing|what a surprise|"
    r"(?:real|pure|sheer) genius|so[- ]called|\(not\)|\bnot!|if you enjoy (?:pain|torture|sleep)|"
    r"cure for insomnia|laugh(?:ed|ing)? for all the wrong|[“\"](?:acting|actors?|plot|comedy|"
    r"story|film|movie|humou?r|talent|stars?|director|actress|masterpiece|art)[”\"]",
}

Predict = Callable[[Sequence[str]], FloatArray]  # texts to logits, (texts, labels)


def unsure_below(logits: FloatArray, labels: Any) -> float:
    """The confidence under which a model should say that it is unsure, in [1/labels, 1].

    The least at which the validation reviews with that confidence or more are right in
    `SURE_ACCURACY` of all cases.
    """
    confidence = softmax(logits, axis=1).max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (logits.argmax(axis=1) == labels)[order]
    shares = np.cumsum(right) / np.arange(1, len(right) + 1)
    good = np.nonzero(shares >= SURE_ACCURACY)[0]
    if not len(good):
        return float(confidence.max())
    if good[-1] == len(right) - 1:
        return 1 / int(logits.shape[1])
    return float(confidence[order][good[-1]])


def band(logits: FloatArray, labels: Any, below: float) -> dict[str, float | None]:
    """The share of reviews in the band of the unsure, and the accuracy in it and outside."""
    unsure = softmax(logits, axis=1).max(axis=1) < below
    right = logits.argmax(axis=1) == labels

    def accuracy(rows: Any) -> float | None:
        return float(right[rows].mean()) if rows.any() else None

    return {
        "below": below,
        "share": float(unsure.mean()),
        "accuracy_inside": accuracy(unsure),
        "accuracy_outside": accuracy(~unsure),
    }


def slices(
    texts: Sequence[str], marks: dict[str, list[str]] | None, right: Any
) -> dict[str, dict[str, Any]]:
    """Accuracy by markers in the text, and by the values of the columns that came along."""
    found: dict[str, dict[str, Any]] = {}
    words = np.array([max(1, len(text.split())) for text in texts])
    for name, pattern in PER_HUNDRED.items():
        counts = np.array([len(re.findall(pattern, text, re.IGNORECASE)) for text in texts])
        share = 100 * counts / words
        edges = {"none": share == 0, "up to 2 in 100 words": (share > 0) & (share <= 2)}
        found[name] = bands({**edges, "more": share > 2}, right)
    for name, pattern in PRESENT.items():
        there = np.array([bool(re.search(pattern, text, re.IGNORECASE)) for text in texts])
        found[f"{name} markers"] = bands({"none": ~there, "some": there}, right)
    for name, values in (marks or {}).items():
        each = np.array(values)
        order = sorted(set(values), key=lambda v: (not v.isdigit(), int(v) if v.isdigit() else v))
        found[name] = bands({value: each == value for value in order}, right)
    return found


def confident_errors(logits: FloatArray, labels: Any) -> list[dict[str, Any]]:
    """The wrong answers with the highest confidence: row in the split, label, prediction."""
    probabilities = softmax(logits, axis=1)
    predicted = logits.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.nonzero(predicted != labels)[0]
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:ERRORS]
    return [
        {
            "row": int(i),
            "label": int(labels[i]),
            "predicted": int(predicted[i]),
            "confidence": float(confidence[i]),
        }
        for i in order
    ]


def suspected_label_errors(
    errors: list[dict[str, Any]], texts: Sequence[str], predict: Predict
) -> dict[str, Any]:
    """How many of the errors look like wrong labels rather than wrong answers, by a rule.

    The beginning, the middle and the end of the review, a third of its words each and read
    alone, all get the predicted label with a probability of `PART_CONFIDENCE` or more.
    """
    parts: list[str] = []
    for error in errors:
        words = np.array_split(np.array(texts[error["row"]].split(), dtype=object), 3)
        parts += [" ".join(third) or "-" for third in words]
    if not parts:
        return {}
    probabilities = softmax(predict(parts), axis=1).reshape(len(errors), 3, -1)
    rows = [
        error["row"]
        for error, thirds in zip(errors, probabilities, strict=True)
        if (thirds[:, error["predicted"]] >= PART_CONFIDENCE).all()
    ]
    return {"of": len(errors), "rows": rows, "confidence": PART_CONFIDENCE}


@dataclass(frozen=True)
class Suite:
    """The behaviour suite; see `train/evaluation/behaviour/README.md`."""

    sentences: list[dict[str, str]]
    pairs: list[dict[str, str]]


def load_suite(folder: Path = SUITE) -> Suite:
    """Read the behaviour suite, on which the release gate depends.

    Raises:
        DataError: A file is missing, empty or no JSON.
    """
    return Suite(*(_rows(folder / f"{name}.jsonl") for name in ["sentences", "pairs"]))


def behaviour(predict: Predict, labels: list[str], suite: Suite) -> list[RowResult]:
    """Which rows of the behaviour suite a model passes; none where its labels are others."""
    if not {"NEGATIVE", "POSITIVE"} <= set(labels):
        return []
    sentences, pairs = suite.sentences, suite.pairs
    texts = [row["text"] for row in sentences + pairs] + [row["edited"] for row in pairs]
    given = [row["label"] for row in sentences + pairs] + [row["edited_label"] for row in pairs]
    answers = predict(texts).argmax(axis=1)
    right = np.array([labels[a] == label for a, label in zip(answers, given, strict=True)])
    first, rest = right[: len(sentences)], right[len(sentences) :].reshape(2, len(pairs))
    parts: list[tuple[str, list[dict[str, str]], Any]]
    parts = [("sentences", sentences, first), ("pairs", pairs, rest.all(axis=0))]
    return [
        RowResult(part, row["kind"], row_id(*(row[key] for key in row if key != "kind")), bool(ok))
        for part, rows, results in parts
        for row, ok in zip(rows, results, strict=True)
    ]


def pass_rates(results: list[RowResult]) -> dict[str, dict[str, dict[str, Any]]]:
    """Share of the rows that pass, by part of the behaviour suite and by kind."""
    return {
        part: _by_kind([result for result in results if result.part == part])
        for part in dict.fromkeys(result.part for result in results)
    }


def _by_kind(results: list[RowResult]) -> dict[str, dict[str, Any]]:
    kinds = np.array([result.kind for result in results])
    passed = np.array([result.correct for result in results])
    found = {kind: kinds == kind for kind in dict.fromkeys(kinds.tolist())}
    return bands({**found, "all": np.ones(len(results), dtype=bool)}, passed)


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise DataError(
            f"the behaviour suite can't be read: {error} — restore {file} from the repository"
        ) from error
    if not rows:
        raise DataError(f"{file} must hold rows, got none — restore it from the repository")
    return rows
