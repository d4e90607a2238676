"""Remarks on a comparison: languages that a model does not know, and contradicting verdicts.

In: the answers of two models to the same texts. Out: sentences for the page.
"""

from collections import Counter
from collections.abc import Sequence

from space.inference.classifier import InvalidText, Prediction
from space.inference.labels import label_values, scale_side, sentiments

Answer = Prediction | InvalidText
MAX_CAUTIONS = 2  # of one model


def cautions(side: str, answers: Sequence[Answer]) -> list[str]:
    """What languages a model was not trained on.

    Args:
        side: The name of the model.
        answers: Of the model.
    """
    counts = Counter(a.language_caution for a in answers if isinstance(a, Prediction))
    del counts[None]
    return [
        f"{side}: {caution} Do not rely on its prediction{_of(count, len(answers))}."
        for caution, count in counts.most_common(MAX_CAUTIONS)
    ]


def contradictions(first: Sequence[Answer], second: Sequence[Answer]) -> list[str]:
    """Reviews that one model calls positive and the other negative, of which one counts stars.

    Their labels differ, so that nothing else shows it. Uncertain predictions contradict nothing.
    """
    pairs = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if isinstance(one, Prediction) and isinstance(other, Prediction)
    ]
    mixed = sum(
        _is_scale(one) != _is_scale(other) and _side(one) * _side(other) < 0 for one, other in pairs
    )
    if not mixed:
        return []
    if len(first) == 1:
        return ["The models contradict each other: this review may be mixed."]
    return [f"The models contradict each other{_of(mixed, len(first))}: these may be mixed."]


def _of(count: int, total: int) -> str:
    return "" if total == 1 else f" ({count:,} of {total:,} reviews)"


def _is_scale(prediction: Prediction) -> bool:
    return prediction.expected is not None


def _side(prediction: Prediction) -> int:
    """1 for a positive verdict, -1 for a negative one, 0 for any other."""
    if prediction.unsure:
        return 0
    labels = list(prediction.probabilities)
    if prediction.expected is not None:
        return scale_side(prediction.expected, label_values(labels) or [0.0])
    sentiment = sentiments(labels).get(prediction.label)
    return (sentiment == "positive") - (sentiment == "negative")
