"""Error analysis: slices, abstention and errors, as counted by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from train.evaluation import error_analysis
from train.evaluation.metrics import FloatArray


def logits_of(positive: Sequence[float]) -> FloatArray:
    """Logits of two labels from the probability of the second."""
    p = np.array(positive)
    return np.log(np.stack([1 - p, p], axis=1)).astype(np.float32)


def by_word(texts: Sequence[str]) -> FloatArray:
    """A model that predicts by one word."""
    return logits_of([0.95 if "good" in text else 0.05 for text in texts])


def test_unsure_below_is_the_lowest_threshold_with_97_percent_accuracy_above() -> None:
    # By decreasing confidence: 40 right, then one wrong at 0.8, then three wrong at 0.6.
    logits = logits_of([0.99] * 40 + [0.8] + [0.6] * 3)
    labels = np.array([1] * 40 + [0] * 4)
    below = error_analysis.unsure_below(logits, labels)
    assert below == pytest.approx(0.8, abs=1e-6)  # 40 of 41 are 97.6%
    result = error_analysis.abstention(logits, labels, below - 1e-6)
    assert result["share"] == pytest.approx(3 / 44)
    assert result["accuracy_inside"] == 0
    assert result["accuracy_outside"] == pytest.approx(40 / 41)


def test_perfect_model_never_abstains_and_wrong_model_always_does() -> None:
    logits = logits_of([0.9, 0.2, 0.7])
    right, wrong = np.array([1, 0, 1]), np.array([0, 1, 0])
    assert error_analysis.unsure_below(logits, right) == 0.5
    assert error_analysis.abstention(logits, right, 0.5)["accuracy_inside"] is None
    assert error_analysis.unsure_below(logits, wrong) == pytest.approx(0.9, abs=1e-6)


def test_slices_by_words_and_by_columns() -> None:
    texts = [
        "a good film",
        "it isn't a good film but I did not mind",
        "word " * 98 + "never again",
        'the "acting" was a cure for insomnia',
    ]
    right = np.array([True, False, True, False])
    lengths = np.array([3, 9, 100, 8])
    result = error_analysis.slices(texts, lengths, {"rating": ["10", "7", "10", "2"]}, right)
    assert result["negation"] == {
        "none": {"n": 2, "accuracy": 0.5},
        "up to 2 in 100 words": {"n": 1, "accuracy": 1.0},
        "more": {"n": 1, "accuracy": 0.0},
    }
    assert result["contrast"]["more"] == {"n": 1, "accuracy": 0.0}
    assert result["sarcasm markers"]["some"] == {"n": 1, "accuracy": 0.0}
    assert list(result["rating"]) == ["2", "7", "10"]
    assert result["rating"]["10"] == {"n": 2, "accuracy": 1.0}


def test_length_slices_add_up_to_the_overall_accuracy() -> None:
    rng = np.random.default_rng(0)
    lengths, correct = rng.integers(3, 5000, 300), rng.random(300) < 0.8
    groups = error_analysis.slices(["x"] * 300, lengths, None, correct)["length_tokens"]
    assert sum(group["n"] for group in groups.values()) == 300
    mean = sum(group["n"] * group["accuracy"] for group in groups.values()) / 300
    assert mean == pytest.approx(correct.mean())


@pytest.mark.parametrize(
    ("length", "name"),
    [(1, "1-64"), (64, "1-64"), (65, "65-128"), (4096, "1025-4096"), (4097, "4097+")],
)
def test_length_slice_edges(length: int, name: str) -> None:
    slices = error_analysis.slices(["x"], np.array([length]), None, np.array([True]))
    assert slices["length_tokens"] == {name: {"n": 1, "accuracy": 1.0}}


def test_confident_errors_are_sorted_by_confidence() -> None:
    logits = logits_of([0.9, 0.99, 0.05, 0.6])
    result = error_analysis.confident_errors(logits, np.array([0, 1, 1, 0]))
    assert [error["row"] for error in result] == [2, 0, 3]
    assert result[0] == {
        "row": 2,
        "label": 1,
        "predicted": 0,
        "confidence": pytest.approx(0.95, abs=1e-6),
    }


def test_label_is_suspected_if_all_three_thirds_disagree_with_it() -> None:
    texts = ["good a good b good c", "good a bad b bad c", "good"]
    errors = [{"row": row, "predicted": 1} for row in range(3)]
    result = error_analysis.suspected_label_errors(errors, texts, by_word)
    assert result == {"of": 3, "rows": [0], "confidence": 0.9}
    assert error_analysis.suspected_label_errors([], texts, by_word) == {}
