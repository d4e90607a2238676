"""Remarks on a comparison: verdicts of labels and of stars that contradict each other."""

import pytest

from space.analysis import remarks
from space.analysis.comparison import ModelAnswers, compare_answers, conclusions
from space.inference.classifier import InvalidText, Prediction

STARS = [f"{n} star{'s' * (n > 1)}" for n in range(1, 6)]
MIXED = "The models contradict each other: this review may be mixed."


def binary(positive: float, unsure: bool = False) -> Prediction:
    return Prediction({"NEGATIVE": 1 - positive, "POSITIVE": positive}, 5, 5, unsure=unsure)


def stars(*probabilities: float) -> Prediction:
    return Prediction(dict(zip(STARS, probabilities, strict=True)), 5, 5)


BAD, MIDDLE, GOOD = stars(0.7, 0.3, 0, 0, 0), stars(0, 0, 1, 0, 0), stars(0, 0, 0, 0.3, 0.7)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (binary(0.9), BAD, [MIXED]),
        (GOOD, binary(0.1), [MIXED]),
        (binary(0.9), GOOD, []),
        (binary(0.9), MIDDLE, []),
        (binary(0.6, unsure=True), BAD, []),
        (binary(0.9), binary(0.1), []),  # the same labels: the comparison says that they differ
        (GOOD, BAD, []),
        (Prediction({"SPAM": 0.9, "HAM": 0.1}, 5, 5), BAD, []),
        (InvalidText("no"), BAD, []),
    ],
)
def test_contradicting_verdicts_are_mixed(first: Prediction, second: Prediction, expected: list):
    assert remarks.contradictions([first], [second]) == expected


def test_mixed_reviews_are_counted_in_the_conclusions() -> None:
    first = ModelAnswers("user/a", ["NEGATIVE", "POSITIVE"], [binary(0.9), binary(0.1)], 1.0)
    second = ModelAnswers("user/b", STARS, [BAD, BAD], 1.0)
    told = conclusions(compare_answers(first, second, ["one", "two"]))
    assert "The models contradict each other (1 of 2 reviews): these may be mixed." in told
