"""The table of the aspects that a review mentions.

In: aspects with their predictions, and the prediction of the review. Out: HTML.
"""

from collections.abc import Mapping, Sequence
from html import escape

from space.inference.aspects import Aspect
from space.inference.classifier import InvalidText, Prediction
from space.views.html import name, percent_beside
from space.views.prediction import color_of, verdict, verdict_color

NONE = "The review mentions no aspect of the film, such as its acting or story."


def aspects_table(
    aspects: Sequence[Aspect], unsure_below: float, review: Prediction | None = None
) -> str:
    """The mentioned aspects, each with its verdict, probability and strongest sentence.

    Args:
        aspects: Of one review.
        unsure_below: Probability below which the model of the aspects counts as uncertain.
        review: The prediction of the whole review, to say where an aspect contradicts it.
    """
    if not aspects:
        content = f'<p class="small">{NONE}</p>'
    else:
        rows = "".join(_row(aspect, unsure_below) for aspect in aspects)
        headings = ("Aspect", "Prediction", "Probability", "Strongest sentence")
        head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
        content = f"{_mixed(aspects, review)}<table><tr>{head}</tr>{rows}</table>"
    return f'<section class="aspects" aria-label="Aspects"><h3>Aspects</h3>{content}</section>'


def _row(aspect: Aspect, unsure_below: float) -> str:
    prediction = aspect.prediction
    shown = percent_beside(prediction.probabilities[prediction.label], unsure_below)
    sentence = escape(aspect.sentence) if aspect.sentence else "no single sentence"
    return (
        f'<tr><th scope="row">{escape(name(aspect.name))}</th>'
        f'<td><span class="verdict {verdict_color(prediction)}">{escape(verdict(prediction))}'
        f"</span></td><td>{shown}</td><td>{sentence}</td></tr>"
    )


def contrary_aspects(
    aspects: Mapping[str, Prediction | InvalidText], review: Prediction | InvalidText | None
) -> list[str]:
    """The names of the aspects that contradict a review; uncertain predictions contradict nothing.

    Args:
        aspects: For each aspect, by its name, the prediction or an error.
        review: The prediction of the whole review.
    """
    if not isinstance(review, Prediction) or review.unsure:
        return []
    opposite = {"for": "against", "against": "for"}.get(color_of(review, review.label))
    return [
        name(aspect).lower()
        for aspect, answer in aspects.items()
        if isinstance(answer, Prediction)
        and not answer.unsure
        and color_of(answer, answer.label) == opposite
    ]


def _mixed(aspects: Sequence[Aspect], review: Prediction | None) -> str:
    """A remark if an aspect contradicts the review."""
    predictions = {aspect.name: aspect.prediction for aspect in aspects}
    if review is None or not (contrary := contrary_aspects(predictions, review)):
        return ""
    is_positive = color_of(review, review.label) == "for"
    overall, other = ("positive", "negative") if is_positive else ("negative", "positive")
    listed = ", ".join(contrary[:-1]) + " and " * (len(contrary) > 1) + contrary[-1]
    return (
        f'<p class="mixed"><strong>Mixed</strong>: {overall} overall, but {other} about '
        f"{escape(listed)}.</p>"
    )
