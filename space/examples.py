"""Example reviews on the page: of each kind, one that the loaded model predicts right.

In: the model service, and the reviews in examples.json, which the static Space uses too. Out: up to
five reviews and their explanations. They were written for this project and are never trained on.
"""

import json
from pathlib import Path
from threading import Lock

from space.inference.attribution import Explanation, explain
from space.inference.classifier import Classifier, Prediction
from space.inference.labels import sentiments
from space.inference.serving import EXPLANATION, Service

# Kind -> reviews with their sentiment, in order of preference. The first kind opens the page.
CANDIDATES: dict[str, list[tuple[str, str]]] = {
    kind: [(text, sentiment) for text, sentiment in reviews]
    for kind, reviews in json.loads(
        Path(__file__).with_name("examples.json").read_text(encoding="utf-8")
    ).items()
}


class Examples:
    """The examples for a model, selected and explained once it is loaded, and after a reload."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._commit: str | None = None  # of the model that the rest is about
        self._texts: dict[str, str] = {}
        self._explanations: dict[str, Explanation] = {}
        self._selecting = Lock()

    def get(self) -> dict[str, str]:
        """Kind -> review; empty until the model is loaded."""
        return self._of_loaded_model()[0]

    def explanation(self, text: object) -> Explanation | None:
        """The explanation of an example, computed on first use; None for any other text.

        Raises:
            ModelUnavailable: See `Classifier.load`.
            Busy: Too many requests are waiting.
            Cancelled: The client has gone.
        """
        texts, explanations = self._of_loaded_model()
        if not isinstance(text, str) or text not in texts.values():
            return None
        if text not in explanations:
            explanations[text] = explain(self._service.request(EXPLANATION), text)
        return explanations[text]

    def _of_loaded_model(self) -> tuple[dict[str, str], dict[str, Explanation]]:
        """The examples of the model that is loaded now, and those of their explanations so far."""
        commit = self._service.classifier.commit
        if commit is None:
            return {}, {}
        with self._selecting:
            if self._commit != commit:
                self._texts, self._explanations = select(self._service.classifier), {}
                self._commit = commit
            return self._texts, self._explanations


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
