"""What programs call: named endpoints for gradio_client, @gradio/client and curl, and MCP tools.

In: JSON. Out: JSON, as the Space's README describes it, or an error with its reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio

from space.inference import attribution
from space.inference.attribution import Part
from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.concurrency import Busy, Cancelled
from space.inference.serving import BATCH, EXPLANATION, SINGLE, Service

TEXTS_AT_MOST = 1_000  # of one call


def build(service: Service) -> None:
    """Name the endpoints; called inside the page's Blocks."""

    def classify(text: str) -> dict[str, Any]:
        """Judge a film review: is it praise or blame, and how surely?

        Args:
            text: The review, at most 100,000 characters.

        Returns:
            The label, its probability, the probability of each label, whether the model counts as
            unsure, and how many of the review's tokens were read.
        """
        with _reasons():
            return answer(service.request(SINGLE).predict(text))

    def classify_batch(texts: list[str]) -> list[dict[str, Any]]:
        """Judge up to 1,000 film reviews in one call.

        Args:
            texts: The reviews, each of at most 100,000 characters.

        Returns:
            For each review, in order, what `classify` answers, or `{"error": reason}`; so too for
            those that are left out because the call has reached its limit of tokens or seconds.
        """
        with _reasons():
            if not isinstance(texts, list) or not 0 < len(texts) <= TEXTS_AT_MOST:
                found = f"{len(texts):,}" if isinstance(texts, list) else type(texts).__name__
                raise InvalidText(f"texts must be a list of 1 to {TEXTS_AT_MOST:,}, got {found}.")
            found_answers = service.request(BATCH).predict_batch(texts)
        return [
            {"error": str(found)} if isinstance(found, InvalidText) else answer(found)
            for found in found_answers
        ]

    def explain(text: str) -> dict[str, Any]:
        """Judge a film review and say what each of its sentences does to the verdict.

        Args:
            text: The review, at most 100,000 characters.

        Returns:
            What `classify` answers, and `sentences` and `words` (of the strongest sentences): for
            each its place in the text, `pull` (log-odds of the label with it less those without)
            and the label's probability without it. `dropped` counts those that are not weighed,
            with a `pull` of null, because the call has reached its limit of tokens or seconds.
        """
        with _reasons():
            found = attribution.explain(service.request(EXPLANATION), text)
        return {
            **answer(found.prediction),
            "dropped": found.dropped,
            "sentences": [_part(text, part) for part in found.sentences],
            "words": [_part(text, part) for part in found.words],
        }

    options: dict[str, Any] = {"concurrency_limit": None}
    gradio.api(classify, api_name="classify", **options)
    gradio.api(classify_batch, api_name="classify_batch", **options)
    gradio.api(explain, api_name="explain", **options)


def answer(verdict: Prediction) -> dict[str, Any]:
    """What a program gets of a verdict: the README of the Space describes it."""
    return {
        "label": verdict.label,
        "probability": verdict.probabilities[verdict.label],
        "probabilities": verdict.probabilities,
        "unsure": verdict.unsure,
        "tokens_read": verdict.tokens_read,
        "tokens": verdict.tokens,
    }


def _part(text: str, part: Part) -> dict[str, Any]:
    return {
        "text": text[part.start : part.end],
        "start": part.start,
        "end": part.end,
        "pull": None if part.skipped else part.attribution,
        "without": part.probability_without,
    }


@contextmanager
def _reasons() -> Iterator[None]:
    """Turns our refusals into gradio's errors, which reach the caller as JSON."""
    try:
        yield
    except (InvalidText, ModelUnavailable, Busy, Cancelled) as reason:
        raise gradio.Error(str(reason), print_exception=False) from reason
