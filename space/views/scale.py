"""What a prediction card shows for labels that are a scale, such as stars.

In: a prediction. Out: HTML: the expected value in words, and the distribution as bars in order,
with colors in order.
"""

from collections.abc import Sequence
from html import escape

from space.inference.classifier import Prediction
from space.inference.labels import label_values, scale_side, unit
from space.views.html import name, percent_beside

SIDE_CLASSES = {1: "for", 0: "unsure", -1: "against"}  # CSS classes


def heading(prediction: Prediction) -> str:
    """The expected value with its unit: "4.2 stars"."""
    shown = f"{prediction.expected:.1f} {unit(list(prediction.probabilities))}"
    return f"Uncertain, about {shown}" if prediction.unsure else shown


def side(value: float, values: Sequence[float]) -> str:
    """CSS class of a value: below, above or in the middle of the scale, with one decimal."""
    return SIDE_CLASSES[scale_side(value, values)]


def bars(prediction: Prediction, unsure_below: float) -> str:
    """A bar for each label, in order."""
    values = label_values(list(prediction.probabilities)) or []
    rows = "".join(
        f"<dt>{escape(name(label))}</dt><dd>"
        f"<span>{percent_beside(probability, unsure_below)}</span>"
        '<span class="track" aria-hidden="true">'
        f'<b class="step" style="width:{probability:.2%};{step_style(value, values)}"></b>'
        "</span></dd>"
        for (label, probability), value in zip(
            prediction.probabilities.items(), values, strict=True
        )
    )
    return f'<dl class="bars">{rows}</dl>'


def step_style(value: float, values: Sequence[float]) -> str:
    """The color of a step: gray in the middle of the scale, a full color at its ends."""
    middle, half = (values[0] + values[-1]) / 2, (values[-1] - values[0]) / 2
    distance = (value - middle) / half  # from -1 to 1
    color = "for" if distance > 0 else "against"
    return f"--side:var(--{color});--mix:{abs(distance):.0%}"
