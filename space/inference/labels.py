"""What labels mean: their sentiment, and the numbers of those that are a scale, such as stars.

In: the names of a model's labels, or probabilities by label. Out: sentiments and sides; numbers and
the expected value, or None if the labels are no scale.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

STEP = re.compile(r"(\d+(?:\.\d+)?)[\s_-]*([^\W\d_]\D*)")  # 4 stars, 4.5 stars, 1_star
# Other usual names of labels, in lower case.
SYNONYMS = {
    "positive": {"positive", "pos", "p", "praise", "good", "fresh", "true", "yes", "+"},
    "negative": {"negative", "neg", "n", "blame", "bad", "rotten", "false", "no", "-"},
    "neutral": {"neutral", "neu", "mixed"},
}
SENTIMENTS = {word: sentiment for sentiment, words in SYNONYMS.items() for word in words}
NOT_MENTIONED = "NOT_MENTIONED"  # of an aspect that the text says nothing about
MIN_STEPS = 3  # two labels are a yes or no, whatever their names


def label_values(labels: Sequence[str]) -> list[float] | None:
    """The number of each label; None unless all have one of the same unit, in ascending order.

    `1 star` to `5 stars` are a scale, `negative` to `positive` and plain numbers are none: numbers
    without a unit can be the codes of any classes.
    """
    scale = _scale(tuple(labels))
    return list(scale[0]) if scale else None


def unit(labels: Sequence[str]) -> str | None:
    """What the steps count, in the plural: `stars`; None if the labels are no scale."""
    scale = _scale(tuple(labels))
    return scale[1] if scale else None


def expected_value(probabilities: Mapping[str, float]) -> float | None:
    """The mean of the labels' numbers, weighted by probability; None if they are no scale.

    Args:
        probabilities: By label, in the model's order.
    """
    scale = _scale(tuple(probabilities))
    if scale is None:
        return None
    return sum(p * value for p, value in zip(probabilities.values(), scale[0], strict=True))


def support(probabilities: Mapping[str, float], label: str) -> float:
    """How far a text supports a label, from 0 to 1: what attribution measures.

    The probability of the label; of a scale, whatever the label, where the expected value is
    between the ends. A sentence that makes 5 stars likelier than 4 raises it.
    """
    scale, value = _scale(tuple(probabilities)), expected_value(probabilities)
    if scale is None or value is None:
        return probabilities[label]
    lowest, highest = scale[0][0], scale[0][-1]
    return min(1.0, max(0.0, (value - lowest) / (highest - lowest)))


def sentiments(labels: Sequence[str]) -> dict[str, str]:
    """The sentiment of each label whose name tells it, such as `positive`.

    Of a scale, such as stars, those below the middle are negative and those above it positive; of
    other numbers, the lowest is negative and the highest positive.
    """
    if values := label_values(labels):
        names = {-1: "negative", 0: "neutral", 1: "positive"}
        return {
            label: names[scale_side(value, values)]
            for label, value in zip(labels, values, strict=True)
        }
    numbers = {label: int(match[0]) for label in labels if (match := re.match(r"\d+", label))}
    if len(numbers) == len(labels):
        ends = {min(numbers.values()): "negative", max(numbers.values()): "positive"}
        return {label: ends[number] for label, number in numbers.items() if number in ends}
    last_words = {label: re.split(r"[\s_-]+", label.casefold())[-1] for label in labels}
    return {label: SENTIMENTS[word] for label, word in last_words.items() if word in SENTIMENTS}


def sides(labels: Sequence[str]) -> dict[str, int]:
    """For each label 1 if it is positive, -1 if it is negative, 0 if it is neither.

    Where the names don't tell it, the first label is negative and the last one positive.
    """
    signs = {"positive": 1, "neutral": 0, "negative": -1}
    known = {label: signs[sentiment] for label, sentiment in sentiments(labels).items()}
    if len(labels) == 2 and len(known) == 1:  # such as positive and other
        ((_, sign),) = known.items()
        return {label: known.get(label, -sign) for label in labels}
    if not any(known.values()):
        known = {labels[0]: -1, labels[-1]: 1} if labels else {}
    return {label: known.get(label, 0) for label in labels}


def in_order(labels: Sequence[str]) -> list[str]:
    """The labels from negative over neutral to positive; see `sides`."""
    signs = sides(labels)
    ascending = list(labels)
    if ascending and signs[ascending[0]] > signs[ascending[-1]]:
        ascending.reverse()
    return sorted(ascending, key=signs.__getitem__)


def scale_side(value: float, values: Sequence[float]) -> int:
    """1 above the middle of a scale, -1 below it, 0 in the middle, with one decimal as shown."""
    difference = round(value, 1) - (values[0] + values[-1]) / 2
    return (difference > 0) - (difference < 0)


@lru_cache(maxsize=64)
def _scale(labels: tuple[str, ...]) -> tuple[tuple[float, ...], str] | None:
    """The numbers of the labels and their unit."""
    steps = [STEP.fullmatch(label.strip()) for label in labels]
    if len(steps) < MIN_STEPS or not all(steps):
        return None
    values = tuple(float(step[1]) for step in steps if step)
    units = [step[2].strip().lower() for step in steps if step]
    if len({name.rstrip("s") for name in units}) > 1 or sorted(set(values)) != list(values):
        return None
    return values, max(units, key=len)
