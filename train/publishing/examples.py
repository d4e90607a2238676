"""Example reviews for the model card: those that the model predicts right.

In: a model's labels and its logits on the texts here. Out: the `examples` of results.json. The
texts were written for this project and are never trained on.
"""

from collections.abc import Callable, Sequence
from typing import Any

from scipy.special import softmax

from space.inference.labels import label_values, sentiments
from train.evaluation.metrics import FloatArray

MIN_CONFIDENCE, MIN_SCALE_CONFIDENCE = 0.9, 0.5  # of a scale, neighbors share the probability
LANGUAGE = "en"
# Sentiment -> reviews, the harder ones first.
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
# Sentiment -> review and the aspect of the film that it is about.
PAIRS = {
    "positive": [
        ("The acting saves a tired story.", "acting"),
        ("The music is wonderful, the dialogue is dreadful.", "music"),
    ],
    "negative": [
        ("The acting saves a tired story.", "story"),
        ("The music is wonderful, the dialogue is dreadful.", "dialogue"),
    ],
    "neutral": [("The music is neither good nor bad.", "music")],
}
# Texts and their text pairs, if any -> logits, (texts, labels).
Predict = Callable[[Sequence[str], Sequence[str] | None], FloatArray]


def select(
    predict: Predict, labels: Sequence[str], has_pairs: bool, unsure_below: float
) -> list[dict[str, Any]]:
    """For each sentiment, the first text that the model predicts right with high confidence.

    Args:
        predict: The model's logits.
        labels: The model's labels.
        has_pairs: Whether it reads text pairs.
        unsure_below: The probability below which its predictions count as unsure.

    Returns:
        For each: `text`, `text_pair` if the model reads pairs, `label` and `score`.
    """
    known = sentiments(labels)
    meanings = [known.get(label) for label in labels]
    candidates: dict[str, list[Any]] = {**(PAIRS if has_pairs else TEXTS)}
    rows = [(name, row) for name in candidates if name in meanings for row in candidates[name]]
    if not rows:
        return []
    floor = MIN_SCALE_CONFIDENCE if label_values(labels) else MIN_CONFIDENCE
    texts = [row[0] if has_pairs else row for _, row in rows]
    pairs = [row[1] for _, row in rows] if has_pairs else None
    selected: dict[str, dict[str, Any]] = {}
    for i, row in enumerate(softmax(predict(texts, pairs), axis=1)):
        sentiment, best, score = rows[i][0], int(row.argmax()), float(row.max())
        if meanings[best] == sentiment and score >= max(floor, unsure_below):
            inputs = {"text": texts[i]} | ({"text_pair": pairs[i]} if pairs else {})
            selected.setdefault(sentiment, {**inputs, "label": labels[best], "score": score})
    return list(selected.values())
