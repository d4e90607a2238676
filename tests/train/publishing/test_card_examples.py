"""Examples for the card: only confident right predictions, for any label names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from space.inference.labels import sentiments
from train.evaluation.metrics import FloatArray
from train.publishing import examples

SETS = {
    "two": ["NEGATIVE", "POSITIVE"],
    "turned": ["pos", "neg"],
    "three": ["negative", "neutral", "positive"],
    "five": ["very negative", "negative", "neutral", "positive", "very positive"],
    "stars": ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"],
    "numbers": ["0", "1"],
    "words": ["BAD", "SO-SO", "GOOD"],
    "others": ["COMEDY", "DRAMA"],
}


def truth(has_pairs: bool) -> dict[Any, str]:
    texts: dict[str, list[Any]] = {**(examples.PAIRS if has_pairs else examples.TEXTS)}
    return {row: meaning for meaning, rows in texts.items() for row in rows}


@pytest.mark.parametrize("has_pairs", [False, True], ids=["texts", "pairs"])
@pytest.mark.parametrize("labels", SETS)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_selected_examples_are_right_and_confident(labels: str, has_pairs: bool, data: Any) -> None:
    names, unsure_below = SETS[labels], data.draw(st.sampled_from([0.5, 0.95]))
    logits_of: dict[Any, Any] = {}

    def predict(texts: Sequence[str], pairs: Sequence[str] | None) -> FloatArray:
        assert (pairs is not None) == has_pairs
        rows = list(zip(texts, pairs, strict=True)) if pairs else list(texts)
        seed = data.draw(st.integers(0, 2**32 - 1))
        logits = np.random.default_rng(seed).normal(scale=6, size=(len(rows), len(names)))
        logits_of.update(zip(rows, logits.astype(np.float32), strict=True))
        return logits.astype(np.float32)

    selected = examples.select(predict, names, has_pairs, unsure_below)
    sentiment_of = sentiments(names)
    known = [sentiment_of.get(name) for name in names]
    for example in selected:
        row = (example["text"], example["text_pair"]) if has_pairs else example["text"]
        logits = logits_of[row]
        assert names[int(logits.argmax())] == example["label"]
        assert known[names.index(example["label"])] == truth(has_pairs)[row]
        assert example["score"] >= max(floor_of(labels), unsure_below)
    right = {
        truth(has_pairs)[row]
        for row, logits in logits_of.items()
        if sure(logits, max(floor_of(labels), unsure_below))
        and known[int(logits.argmax())] == truth(has_pairs)[row]
    }
    assert len(selected) == len(right)


def floor_of(labels: str) -> float:
    """Neighboring stars share the probability."""
    return 0.5 if labels == "stars" else 0.9


def sure(logits: FloatArray, least: float) -> bool:
    return float(np.exp(logits - logits.max()).sum()) <= 1 / least
