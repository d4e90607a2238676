"""The examples on the page: each is one that the model predicts right."""

from collections.abc import Sequence
from typing import Any

import pytest

from space.examples import CANDIDATES, select, sentiments
from space.inference.classifier import Prediction

UNSURE_BELOW = 0.8


class Model:
    """Predicts the sentiments that it is given, by the beginning of the text."""

    def __init__(self, labels: list[str], answers: dict[str, tuple[str, float]]) -> None:
        self.labels, self._answers = labels, answers

    def predict_batch(self, texts: Sequence[str]) -> list[Prediction]:
        return [self._predict(text) for text in texts]

    def _predict(self, text: str) -> Prediction:
        label, probability = self._answers.get(text, (self.labels[0], 0.9))
        rest = (1 - probability) / (len(self.labels) - 1)
        probabilities = {name: probability if name == label else rest for name in self.labels}
        return Prediction(probabilities, 9, 9, unsure=probability < UNSURE_BELOW)


def select_from(model: Any) -> dict[str, str]:
    return select(model)


def test_the_first_review_predicted_right_is_taken():
    first, second = (text for text, _ in CANDIDATES["Clearly positive"])
    model = Model(["NEGATIVE", "POSITIVE"], {second: ("POSITIVE", 0.95)})
    assert select_from(model)["Clearly positive"] == second
    model = Model(["NEGATIVE", "POSITIVE"], {first: ("POSITIVE", 0.6), second: ("POSITIVE", 0.9)})
    assert select_from(model)["Clearly positive"] == second  # the model is sure of it


def test_kinds_that_the_model_gets_wrong_are_left_out():
    selected = select_from(Model(["NEGATIVE", "POSITIVE"], {}))  # negative throughout
    assert list(selected) == [
        name
        for name, reviews in CANDIDATES.items()
        if any(sentiment == "negative" for _, sentiment in reviews)
    ]
    assert "Clearly positive" not in selected


def test_a_mixed_review_may_be_uncertain():
    texts = [text for text, _ in CANDIDATES["Mixed"]]
    model = Model(["NEGATIVE", "POSITIVE"], {text: ("POSITIVE", 0.6) for text in texts})
    assert select_from(model)["Mixed"] == texts[1]


def test_labels_without_a_sentiment_get_the_first_of_each_kind():
    selected = select_from(Model(["LABEL_0", "LABEL_1"], {}))
    assert selected == {name: reviews[0][0] for name, reviews in CANDIDATES.items()}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["NEGATIVE", "POSITIVE"], {"NEGATIVE": "negative", "POSITIVE": "positive"}),
        (["neg", "neu", "pos"], {"neg": "negative", "neu": "neutral", "pos": "positive"}),
        (["1", "2", "3"], {"1": "negative", "3": "positive"}),
        (
            [f"{n} star{'s' * (n > 1)}" for n in range(1, 6)],
            {
                "1 star": "negative",
                "2 stars": "negative",
                "3 stars": "neutral",
                "4 stars": "positive",
                "5 stars": "positive",
            },
        ),
        (["VERY_GOOD", "VERY_BAD"], {"VERY_GOOD": "positive", "VERY_BAD": "negative"}),
        (["LABEL_0", "LABEL_1"], {}),
        (["sports", "politics"], {}),
    ],
)
def test_sentiments_of_labels(labels: list[str], expected: dict[str, str]):
    assert sentiments(labels) == expected
