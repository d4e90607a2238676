"""API endpoints for gradio_client, @gradio/client and curl, which are also MCP tools.

In: JSON. Out: JSON as described in the Space's README, or an error with its reason.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio

from space.inference import aspects, attribution
from space.inference.attribution import Explanation, Part
from space.inference.classifier import InvalidText, Prediction
from space.inference.serving import BATCH, EXPLANATION, REFUSALS, SINGLE, Limits, Service

MAX_TEXTS = 1_000  # of one call


def build(service: Service) -> None:
    """Register the endpoints; call it inside the page's Blocks."""
    endpoints = Endpoints(service)
    functions: list[Callable[..., Any]] = [
        endpoints.classify, endpoints.classify_batch, endpoints.explain
    ]  # fmt: skip
    if service.aspects:
        functions.append(endpoints.aspects)
    for function in functions:
        gradio.api(
            function,
            api_name=function.__name__,
            api_description=description(function),
            concurrency_limit=None,
        )


class Endpoints:
    """Functions that programs call; Gradio shows their docstrings to API clients and agents."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def classify(self, text: str) -> dict[str, Any]:
        """Classify the sentiment of a movie review.

        Args:
            text: The review, at most 100,000 characters.

        Returns:
            The label, its probability, the probability of each label, for labels such as stars the
            expected number of them, the label that the review leans to (null if to none), whether
            the model is unsure, a caution if the review looks like a language that the model was
            not trained on (else null), and how many of the review's tokens were read, and are
            unknown to the model. A review without any word that the model knows, such as emoji, is
            an error.
        """
        with _gradio_errors():
            return to_json(self._service.request(SINGLE).predict(text))

    def classify_batch(self, texts: list[str]) -> list[dict[str, Any]]:
        """Classify the sentiment of up to 1,000 movie reviews in one call.

        Args:
            texts: The reviews, each of at most 100,000 characters.

        Returns:
            For each review, in order, the same as `classify`, or `{"error": reason}`. Reviews
            beyond the call's limit of tokens or seconds have an error, too.
        """
        with _gradio_errors():
            if not isinstance(texts, list) or not 0 < len(texts) <= MAX_TEXTS:
                value = f"{len(texts):,}" if isinstance(texts, list) else type(texts).__name__
                raise InvalidText(f"texts must be a list of 1 to {MAX_TEXTS:,}, got {value}.")
            answers = self._service.request(BATCH).predict_batch(texts)
        return list(map(answer_to_json, answers))

    def explain(self, text: str) -> dict[str, Any]:
        """Classify a movie review and measure the effect of each sentence on the prediction.

        Args:
            text: The review, at most 100,000 characters.

        Returns:
            The same as `classify`, and `sentences` and `words` (of the strongest sentences). Each
            has its text, its position, its `attribution` (how much it adds to the log-odds of the
            label) and, for sentences, the label's `probability_without` it. `dropped` counts parts
            that were not measured because the call reached its limit of tokens or seconds; their
            `attribution` is null.
        """
        with _gradio_errors():
            return explanation_to_json(
                attribution.explain(self._service.request(EXPLANATION), text)
            )

    def aspects(self, text: str) -> list[dict[str, Any]]:
        """Find what a movie review says about aspects of the film, such as its acting.

        Args:
            text: The review, at most 100,000 characters.

        Returns:
            For each aspect that the review mentions, its `aspect`, the same as `classify` (the
            labels are those of the aspects' model), and the `sentence` that supports the label the
            most, null if none does by itself.
        """
        with _gradio_errors():
            return find_aspects(self._service, text)


def find_aspects(
    service: Service,
    text: str,
    limits: Limits = EXPLANATION,
    cancelled: Callable[[], bool] | None = None,
) -> list[dict[str, Any]]:
    """The mentioned aspects as described in `Endpoints.aspects`; empty without such a model.

    Args:
        service: Its second model is asked.
        text: The review.
        limits: What the request may use.
        cancelled: See `Service.request`.

    Raises:
        InvalidText, ModelUnavailable, Busy, Cancelled: See `aspects.find`.
    """
    if service.aspects is None:
        return []
    mentions = aspects.find(service.aspects.request(limits, cancelled), text)
    return [
        {"aspect": aspect.name, **to_json(aspect.prediction), "sentence": aspect.sentence}
        for aspect in mentions
    ]


def description(function: Callable[..., Any]) -> str:
    """What a function does and returns, from its docstring, as one paragraph for agents.

    Gradio's own description puts a comma after each line of "Returns".
    """
    summary, _, rest = (inspect.getdoc(function) or "").partition("Args:")
    returns = rest.partition("Returns:")[2]
    return " ".join(f"{summary} Returns: {returns}".split())


def answer_to_json(answer: Prediction | InvalidText) -> dict[str, Any]:
    """The answer to one text of several: a prediction, or `{"error": reason}`."""
    return {"error": str(answer)} if isinstance(answer, InvalidText) else to_json(answer)


def to_json(prediction: Prediction) -> dict[str, Any]:
    """A prediction as described in the Space's README."""
    expected = {} if prediction.expected is None else {"expected": prediction.expected}
    return {
        "label": prediction.label,
        **expected,
        "probability": prediction.probabilities[prediction.label],
        "probabilities": prediction.probabilities,
        "leaning": prediction.leaning,
        "unknown_tokens": prediction.unknown_tokens,
        "language_caution": prediction.language_caution,
        "unsure": prediction.unsure,
        "tokens_read": prediction.tokens_read,
        "tokens": prediction.tokens,
    }


def explanation_to_json(explanation: Explanation) -> dict[str, Any]:
    """A prediction and its parts as described in the Space's README."""
    text = explanation.text
    return {
        **to_json(explanation.prediction),
        "dropped": explanation.dropped,
        "sentences": [_part_to_json(text, part) for part in explanation.sentences],
        "words": [_part_to_json(text, part) for part in explanation.words],
    }


def _part_to_json(text: str, part: Part) -> dict[str, Any]:
    return {
        "text": text[part.start : part.end],
        "start": part.start,
        "end": part.end,
        "attribution": None if part.skipped else part.attribution,
        "probability_without": part.probability_without,
    }


@contextmanager
def _gradio_errors() -> Iterator[None]:
    """Turn expected errors into Gradio's, whose message reaches the client."""
    try:
        yield
    except REFUSALS as reason:
        raise gradio.Error(str(reason), print_exception=False) from reason
