"""The table of the aspects that a review mentions.

In: aspects with their predictions, and the prediction of the review. Out: HTML.
"""

from collections.abc import Sequence
from html import escape

from space.inference.aspects import Aspect
from space.inference.classifier import Prediction
from space.views.html import name, percent_beside
from space.views.prediction import color_of, verdict, verdict_color

NONE = "No aspect of the film, such as its acting or story, is mentioned."


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
        headings = ("Aspect", "Verdict", "Probability", "Strongest sentence")
        head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
        content = f"{_mixed(aspects, review)}<table><tr>{head}</tr>{rows}</table>"
    return f'<section class="aspects" aria-label="Aspects"><h3>Aspects</h3>{content}</section>'


def _row(aspect: Aspect, unsure_below: float) -> str:
    prediction = aspect.prediction
    shown = percent_beside(prediction.probabilities[prediction.label], unsure_below)
    sentence = escape(aspect.sentence) if aspect.sentence else "none by itself"
    return (
        f'<tr><th scope="row">{escape(name(aspect.name))}</th>'
        f'<td><span class="verdict {verdict_color(prediction)}">{escape(verdict(prediction))}'
        f"</span></td><td>{shown}</td><td>{sentence}</td></tr>"
    )


def _mixed(aspects: Sequence[Aspect], review: Prediction | None) -> str:
    """A remark if an aspect contradicts the review; uncertain predictions contradict nothing."""
    if review is None or review.unsure:
        return ""
    side = color_of(review, review.label)
    if side not in ("for", "against"):
        return ""
    opposite = "against" if side == "for" else "for"
    contrary = [
        name(aspect.name).lower()
        for aspect in aspects
        if not aspect.prediction.unsure
        and color_of(aspect.prediction, aspect.prediction.label) == opposite
    ]
    if not contrary:
        return ""
    overall, other = ("positive", "negative") if side == "for" else ("negative", "positive")
    listed = ", ".join(contrary[:-1]) + " and " * (len(contrary) > 1) + contrary[-1]
    return (
        f'<p class="mixed"><strong>Mixed</strong>: {overall} overall, but {other} about '
        f"{escape(listed)}.</p>"
    )
