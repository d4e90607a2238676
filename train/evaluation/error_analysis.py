"""Error analysis: accuracy by slice, abstention, confident errors, suspected label errors.

In: texts, labels and logits of a split, and a function from texts to logits. Out: the `slices` and
most of the `error_analysis` of results.json.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from train.evaluation.metrics import FloatArray

SURE_ACCURACY = 0.97  # of the validation reviews on which the model does not abstain
MAX_ERRORS, PART_CONFIDENCE = 20, 0.9
LENGTHS = [0, 64, 128, 256, 512, 1024, 4096]  # edges of the length slices, in tokens
# Frequent words are counted per 100 words; rare ones are present or absent.
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

Predict = Callable[[Sequence[str]], FloatArray]  # texts -> logits, (texts, labels)


def unsure_below(logits: FloatArray, labels: Any, tolerance: int = 0) -> float:
    """The confidence below which the model abstains, in [1/labels, 1].

    The lowest confidence so that `SURE_ACCURACY` of the reviews at or above it are right.

    Args:
        logits: Of the validation split, (reviews, labels).
        labels: The label id of each review, (reviews,).
        tolerance: Steps between prediction and label that still count as right, of ordered labels.
    """
    confidence = softmax(logits, axis=1).max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    correct = _is_right(logits, labels, tolerance)[order]
    accuracy = np.cumsum(correct) / np.arange(1, len(correct) + 1)
    (accurate,) = np.nonzero(accuracy >= SURE_ACCURACY)
    if not len(accurate):
        return float(confidence.max())
    if accurate[-1] == len(correct) - 1:
        return 1 / int(logits.shape[1])
    return float(confidence[order][accurate[-1]])


def abstention(
    logits: FloatArray, labels: Any, below: float, tolerance: int = 0
) -> dict[str, float | None]:
    """How often the model abstains on a split, and its accuracy then and otherwise.

    Args:
        logits: (rows, labels).
        labels: The label id of each row, (rows,).
        below: The confidence below which it abstains.
        tolerance: As in `unsure_below`.

    Returns:
        `below`, `share` (of the rows on which it abstains), `accuracy_inside` (on those rows) and
        `accuracy_outside` (on the others); None for an accuracy without rows.
    """
    unsure = softmax(logits, axis=1).max(axis=1) < below
    correct = _is_right(logits, labels, tolerance)

    def accuracy(rows: Any) -> float | None:
        return float(correct[rows].mean()) if rows.any() else None

    return {
        "below": below,
        "share": float(unsure.mean()),
        "accuracy_inside": accuracy(unsure),
        "accuracy_outside": accuracy(~unsure),
    }


def _is_right(logits: FloatArray, labels: Any, tolerance: int) -> Any:
    return np.abs(logits.argmax(axis=1) - labels) <= tolerance


def slices(
    texts: Sequence[str], lengths: Any, columns: dict[str, list[str]] | None, correct: Any
) -> dict[str, dict[str, Any]]:
    """Accuracy by length, by words in the text, and by the values of the slice columns.

    Args:
        texts: Of the rows.
        lengths: Tokens of each row, (rows,).
        columns: Name -> value of each row.
        correct: Whether each row is predicted right, (rows,) of bool.

    Returns:
        Name of the slicing -> group -> `n` and `accuracy`.
    """
    groups = {
        f"{low + 1}-{high}": (lengths > low) & (lengths <= high)
        for low, high in itertools.pairwise(LENGTHS)
    }
    groups[f"{LENGTHS[-1] + 1}+"] = lengths > LENGTHS[-1]
    result = {"length_tokens": accuracy_by_group(groups, correct)}
    words = np.array([max(1, len(text.split())) for text in texts])
    for name, pattern in PER_HUNDRED.items():
        counts = np.array([len(re.findall(pattern, text, re.IGNORECASE)) for text in texts])
        share = 100 * counts / words
        groups = {
            "none": share == 0,
            "up to 2 in 100 words": (share > 0) & (share <= 2),
            "more": share > 2,
        }
        result[name] = accuracy_by_group(groups, correct)
    for name, pattern in PRESENT.items():
        present = np.array([bool(re.search(pattern, text, re.IGNORECASE)) for text in texts])
        result[f"{name} markers"] = accuracy_by_group({"none": ~present, "some": present}, correct)
    for name, values in (columns or {}).items():
        column = np.array(values)
        order = sorted(set(values), key=lambda v: (not v.isdigit(), int(v) if v.isdigit() else v))
        result[name] = accuracy_by_group({value: column == value for value in order}, correct)
    return result


def accuracy_by_group(groups: dict[str, Any], correct: Any) -> dict[str, dict[str, Any]]:
    """`n` and `accuracy` of each group that has rows.

    Args:
        groups: Name -> which rows belong to it, (rows,) of bool.
        correct: Which rows are predicted right, (rows,) of bool.
    """
    return {
        name: {"n": int(rows.sum()), "accuracy": float(correct[rows].mean())}
        for name, rows in groups.items()
        if rows.any()
    }


def confident_errors(logits: FloatArray, labels: Any, tolerance: int = 0) -> list[dict[str, Any]]:
    """The `MAX_ERRORS` wrong predictions with the highest confidence, the highest first.

    Args:
        logits: (rows, labels).
        labels: The label id of each row, (rows,).
        tolerance: As in `unsure_below`.

    Returns:
        For each: `row` in the split, counted from 0, `label`, `predicted` and `confidence`.
    """
    predicted = logits.argmax(axis=1)
    confidence = softmax(logits, axis=1).max(axis=1)
    (wrong,) = np.nonzero(~_is_right(logits, labels, tolerance))
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_ERRORS]
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
    """Errors whose label is probably wrong.

    The rule: the first, middle and last third of the review (by words), predicted separately, all
    get the predicted label with a probability of at least `PART_CONFIDENCE`.

    Args:
        errors: What `confident_errors` returns.
        texts: Of the split.
        predict: The model's logits of texts.

    Returns:
        `of` (the number of errors), `rows` (of the suspected ones) and `confidence` (of the rule);
        empty without errors.
    """
    parts: list[str] = []
    for error in errors:
        thirds = np.array_split(np.array(texts[error["row"]].split(), dtype=object), 3)
        parts += [" ".join(third) or "-" for third in thirds]
    if not parts:
        return {}
    probabilities = softmax(predict(parts), axis=1).reshape(len(errors), 3, -1)
    rows = [
        error["row"]
        for error, thirds in zip(errors, probabilities, strict=True)
        if (thirds[:, error["predicted"]] >= PART_CONFIDENCE).all()
    ]
    return {"of": len(errors), "rows": rows, "confidence": PART_CONFIDENCE}
