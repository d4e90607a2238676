"""The examples on the page: each is one that the model predicts right."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from space import examples
from space.examples import CANDIDATES, Examples, select
from space.inference.classifier import Prediction
from space.inference.labels import in_order, sentiments, sides

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


class Reloaded(Model):
    """A model whose commit and answers change."""

    repo_id, commit = "demo/tiny", "first"

    def predict_batch(self, texts: Sequence[str]) -> list[Prediction]:
        label = "POSITIVE" if self.commit == "first" else "NEGATIVE"
        return [Prediction({"NEGATIVE": 0.1, label: 0.9}, 9, 9) for _ in texts]


def test_examples_are_those_of_the_model_after_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Reloaded(["NEGATIVE", "POSITIVE"], {})
    service: Any = SimpleNamespace(classifier=model, request=lambda limits: None)
    monkeypatch.setattr(examples, "explain", lambda request, text: (model.commit, text))
    shown = Examples(service)
    before = shown.get()
    assert "Clearly positive" in before and "Clearly negative" not in before
    text = before["Clearly positive"]
    assert shown.explanation(text) == ("first", text)
    model.commit = "second"
    after = shown.get()
    assert "Clearly positive" not in after and "Clearly negative" in after
    assert shown.explanation(text) is None
    text = after["Clearly negative"]
    assert shown.explanation(text) == ("second", text)
    assert shown.get() is after  # kept until the next reload


def test_sides_follow_the_names_and_else_the_position():
    assert sides(["POSITIVE", "NEGATIVE"]) == {"POSITIVE": 1, "NEGATIVE": -1}
    assert sides(["neg", "neu", "pos"]) == {"neg": -1, "neu": 0, "pos": 1}
    assert sides(["NOT_MENTIONED", "NEGATIVE", "NEUTRAL", "POSITIVE"])["NEUTRAL"] == 0
    assert sides(["LABEL_0", "LABEL_1"]) == {"LABEL_0": -1, "LABEL_1": 1}
    assert sides(["drama", "other", "comedy"]) == {"drama": -1, "other": 0, "comedy": 1}
    assert sides(["positive", "other"]) == {"positive": 1, "other": -1}
    labels = ["very_good", "good", "neutral", "bad", "very_bad"]
    assert in_order(labels) == labels[::-1]
    assert in_order(["neutral", "negative", "positive"]) == ["negative", "neutral", "positive"]
