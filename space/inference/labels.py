"""Labels that are steps of a scale, such as stars: their numbers, and the expected value.

In: the names of a model's labels, or probabilities by label. Out: numbers, or None if the labels
are no scale.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

STEP = re.compile(r"(\d+(?:\.\d+)?)[\s_-]*([^\W\d_]\D*)")  # 4 stars, 4.5 stars, 1_star
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
