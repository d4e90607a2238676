"""Example reviews for the model card: those that the model itself gets right.

In: a model's labels and its logits on our texts. Out: the `examples` of results.json. The texts
were written for this project and are never trained on.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from scipy.special import softmax

from train.evaluation.metrics import FloatArray

MIN_CONFIDENCE = 0.9
LANGUAGE = "en"
# Meaning of a label -> reviews, the ones that are harder to read first.
TEXTS = {
    "positive": [
        "Two hours that felt like twenty minutes; I would watch it again tonight.",
        "I came for the popcorn and stayed for every minute of it. What a wonderful film.",
        "Funny, warm and beautifully acted.",
    ],
    "negative": [
        "I kept checking my watch, and so did everyone else in my row.",
        "A dull script, wooden acting and an ending that insults you. Two hours wasted.",
        "Dull, long and badly acted.",
    ],
    "neutral": [
        "The plan, the double cross, the chase: an ordinary heist film, watchable and forgettable.",
        "It is neither good nor bad.",
    ],
}
# The same, of reviews with the part of the film that is asked about.
PAIRS = {
    "positive": [
        ("The acting saves a tired plot.", "acting"),
        ("The songs are wonderful, the end is dreadful.", "songs"),
    ],
    "negative": [
        ("The acting saves a tired plot.", "plot"),
        ("The songs are wonderful, the end is dreadful.", "end"),
    ],
    "neutral": [("The songs are neither good nor bad.", "songs")],
}
_WORDS = {
    "positive": "positive pos good".split(),
    "negative": "negative neg bad".split(),
    "neutral": "neutral neu".split(),
}

Predict = Callable[[Sequence[str], Sequence[str] | None], FloatArray]  # texts and pairs to logits


def meanings(labels: Sequence[str]) -> list[str | None]:
    """What each label says of a film, for instance `positive`; None where its name doesn't tell.

    Of numbers, such as stars, the lowest is negative and the highest positive.
    """
    numbers = [re.match(r"\d+", label) for label in labels]
    if all(numbers):
        values = [int(number[0]) for number in numbers if number]
        ends = {min(values): "negative", max(values): "positive"}
        return [ends.get(value) for value in values]
    words = {word: meaning for meaning, names in _WORDS.items() for word in names}
    return [words.get(re.split(r"[\s_-]+", label.casefold())[-1]) for label in labels]


def choose(
    predict: Predict, labels: Sequence[str], has_pairs: bool, unsure_below: float
) -> list[dict[str, Any]]:
    """For each meaning of a label the first of our texts that the model gets right with confidence.

    Args:
        predict: The model's logits, (texts, labels).
        labels: The model's.
        has_pairs: Whether it reads two texts at a time.
        unsure_below: The probability under which its answers are shown as unsure.

    Returns:
        `text`, `text_pair` where there is one, `label` and `score`, as `pipeline()` answers.
    """
    known = meanings(labels)
    ours: dict[str, list[Any]] = {**(PAIRS if has_pairs else TEXTS)}
    rows = [(meaning, row) for meaning in ours if meaning in known for row in ours[meaning]]
    if not rows:
        return []
    texts = [row[0] if has_pairs else row for _, row in rows]
    pairs = [row[1] for _, row in rows] if has_pairs else None
    chosen: dict[str, dict[str, Any]] = {}
    for i, row in enumerate(softmax(predict(texts, pairs), axis=1)):
        meaning, best, score = rows[i][0], int(row.argmax()), float(row.max())
        if known[best] == meaning and score >= max(MIN_CONFIDENCE, unsure_below):
            asked = {"text": texts[i]} | ({"text_pair": pairs[i]} if pairs else {})
            chosen.setdefault(meaning, {**asked, "label": labels[best], "score": score})
    return list(chosen.values())
