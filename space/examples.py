"""Example reviews on the page: of each kind, one that the loaded model predicts right.

In: the model service, and the reviews in examples.json, which the static Space uses too. Out: up to
five reviews and their explanations. They were written for this project and are never trained on.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from space.analysis.statistics import SYNONYMS
from space.inference.attribution import Explanation, explain
from space.inference.classifier import Classifier, Prediction
from space.inference.labels import label_values
from space.inference.serving import EXPLANATION, Service
from space.views.scale import side

# Kind -> reviews with their sentiment, in order of preference. The first kind opens the page.
CANDIDATES: dict[str, list[tuple[str, str]]] = {
    kind: [(text, sentiment) for text, sentiment in reviews]
    for kind, reviews in json.loads(
        Path(__file__).with_name("examples.json").read_text(encoding="utf-8")
    ).items()
}


class Examples:
    """The examples for a model, selected and explained once it is loaded."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._texts: dict[str, str] | None = None
        self._explanations: dict[str, Explanation] = {}
        self._selecting = Lock()

    def get(self) -> dict[str, str]:
        """Kind -> review; empty until the model is loaded."""
        if self._service.classifier.commit is None:
            return {}
        with self._selecting:
            if self._texts is None:
                self._texts = select(self._service.classifier)
            return self._texts

    def explanation(self, text: object) -> Explanation | None:
        """The explanation of an example, computed on first use; None for any other text.

        Raises:
            ModelUnavailable: See `Classifier.load`.
            Busy: Too many requests are waiting.
            Cancelled: The client has gone.
        """
        if not isinstance(text, str) or text not in self.get().values():
            return None
        if text not in self._explanations:
            self._explanations[text] = explain(self._service.request(EXPLANATION), text)
        return self._explanations[text]


def select(classifier: Classifier) -> dict[str, str]:
    """Kind -> the first review of that kind that the model predicts right, if it does so for any.

    A review of which the model is sure is preferred; a mixed one is right if it is unsure. If the
    names of the labels don't tell their sentiment, the first review of each kind is taken.
    """
    known = sentiments(classifier.labels)
    selected = {}
    for name, reviews in CANDIDATES.items():
        predictions = classifier.predict_batch([text for text, _ in reviews])
        right = [
            (prediction.unsure and name != "Mixed", i)
            for i, prediction in enumerate(predictions)
            if isinstance(prediction, Prediction)
            and (not known or _is_right(prediction, known.get(prediction.label), reviews[i][1]))
        ]
        if right:
            selected[name] = reviews[min(right)[1]][0]
    return selected


def _is_right(prediction: Prediction, predicted: str | None, sentiment: str) -> bool:
    if sentiment == "mixed":
        return prediction.unsure or predicted == "neutral"
    return predicted == sentiment


def sentiments(labels: Sequence[str]) -> dict[str, str]:
    """The sentiment of each label whose name tells it, such as `positive`.

    Of a scale, such as stars, those below the middle are negative and those above it positive; of
    other numbers, the lowest is negative and the highest positive.
    """
    if values := label_values(labels):
        names = {"against": "negative", "unsure": "neutral", "for": "positive"}
        sides = [names[side(value, values)] for value in values]
        return dict(zip(labels, sides, strict=True))
    numbers = {label: int(match[0]) for label in labels if (match := re.match(r"\d+", label))}
    if len(numbers) == len(labels):
        ends = {min(numbers.values()): "negative", max(numbers.values()): "positive"}
        return {label: ends[number] for label, number in numbers.items() if number in ends}
    words = {word: sentiment for sentiment, names in SYNONYMS.items() for word in names}
    names = {label: re.split(r"[\s_-]+", label.casefold())[-1] for label in labels}
    return {label: words[name] for label, name in names.items() if name in words}
