"""A review colored by the effect of its sentences and words, with the strongest ones listed.

In: an explanation. Out: HTML. head.html scrolls to a listed sentence (`data-jump`), and shows the
number of a sentence or word that is tapped (`data-effect`).
"""

import math
import re
from html import escape

from space.inference.attribution import Explanation, Part
from space.inference.classifier import Prediction
from space.inference.labels import unit
from space.views.html import name, percent, shorten, table
from space.views.prediction import color_of

MIN_ATTRIBUTION = 0.05  # log-odds; parts below it are not colored
MIN_SHARE = 0.02  # nor are parts below this share of the largest effect
MIN_LISTED = 4  # sentences of a review whose strongest are listed
LISTED = 3  # sentences of each side
LISTED_CHARACTERS = 90
RAMP = (1.0, 0.6, 0.3)  # opacities in the legend


def attribution(explanation: Explanation) -> str:
    """The review with its sentences colored by their effect, and a table of the numbers."""
    if not explanation.sentences and not explanation.words:
        return ""
    return (
        '<section class="attribution" aria-label="Effect of each sentence">'
        f"{_legend(explanation.prediction)}{_contrary(explanation)}{_strongest(explanation)}"
        f'<p class="review">{_colored_review(explanation)}</p>{_limits(explanation)}'
        f"<details><summary>Show the numbers</summary>{_parts_table(explanation)}</details>"
        "</section>"
    )


def _legend(prediction: Prediction) -> str:
    """What the colors mean: strong and weak, for either side."""
    against, for_ = (
        "".join(f'<i class="{color}" style="--w:{opacity}"></i>' for opacity in opacities)
        for color, opacities in (("against", RAMP), ("for", RAMP[::-1]))
    )
    left, right = _side(prediction, -1), _side(prediction, 1)
    if _color(prediction, 1) == "against":
        left, right = right, left
    return (
        f'<p class="small legend">{escape(left)} <span class="ramp" aria-hidden="true">'
        f"{against}{for_}</span> {escape(right)}. Tap a sentence or word to see its effect.</p>"
    )


def _contrary(explanation: Explanation) -> str:
    """A remark if every sentence points against the prediction."""
    if explanation.prediction.expected is not None:
        return ""  # the effects on a scale point to more or fewer steps, not to a label
    effects = [part.attribution for part in explanation.sentences if not part.skipped]
    if not effects or max(effects) >= 0 or min(effects) > -MIN_ATTRIBUTION:
        return ""
    label = escape(name(explanation.prediction.label).lower())
    return (
        f'<p class="small contrary">Each sentence by itself points away from {label}. The model '
        "predicts it from the sentences together.</p>"
    )


def _strongest(explanation: Explanation) -> str:
    """The strongest sentences of both sides, each a button that scrolls to the sentence."""
    if len(explanation.sentences) < MIN_LISTED:
        return ""
    lists = ""
    for sign in (1, -1):
        parts = [p for p in explanation.sentences if sign * p.attribution >= MIN_ATTRIBUTION]
        parts = sorted(parts, key=lambda part: -abs(part.attribution))[:LISTED]
        side = _side(explanation.prediction, sign)
        items = "".join(_listed(explanation, part) for part in parts) or "<li>No sentence</li>"
        lists += f"<div><p>Strongest for {escape(side)}</p><ol>{items}</ol></div>"
    return f'<div class="strongest">{lists}</div>'


def _listed(explanation: Explanation, part: Part) -> str:
    text = explanation.text[part.start : part.end]
    short = shorten(text, LISTED_CHARACTERS)
    color = _color(explanation.prediction, part.attribution)
    return (
        f'<li><button type="button" class="{color}" data-jump="part-{part.start}">{escape(short)}'
        f"</button> <span>+{abs(part.attribution):.2f}</span></li>"
    )


def _colored_review(explanation: Explanation) -> str:
    """The review with colored sentences and words; line breaks are kept."""
    text = explanation.text
    sentences = explanation.sentences or [Part(0, len(text), 0.0, None)]
    largest = max(abs(part.attribution) for part in sentences)
    pieces, position = [], 0
    for part in sentences:
        pieces += [_gap(text[position : part.start]), _sentence(explanation, part, largest)]
        position = part.end
    return "".join([*pieces, _gap(text[position:])])


def _gap(between: str) -> str:
    """The space or line break between two sentences."""
    if re.search(r"<br|\n", between):
        return "<br>"
    return " " if between else ""


def _sentence(explanation: Explanation, part: Part, largest: float) -> str:
    text = explanation.text
    words = [w for w in explanation.words if part.start <= w.start and w.end <= part.end]
    largest_word = max((abs(word.attribution) for word in words), default=0.0)
    pieces, position = [], part.start
    for word in words:
        content = escape(text[word.start : word.end])
        pieces.append(escape(text[position : word.start]))
        pieces.append(f"<b{_attributes(explanation, word, largest_word)}>{content}</b>")
        position = word.end
    pieces.append(escape(text[position : part.end]))
    attributes = ""
    if explanation.sentences:
        attributes = f' id="part-{part.start}" tabindex="-1"'
        attributes += _attributes(explanation, part, largest)
    return f"<span{attributes}>{''.join(pieces)}</span>"


def _attributes(explanation: Explanation, part: Part, largest: float) -> str:
    """The effect of a part as HTML attributes: in words, and as a color.

    The opacity grows with the square root of the effect: beside a very strong sentence, those of
    medium effect stay visible.
    """
    effect = escape(_effect(explanation, part))
    attributes = f' title="{effect}" data-effect="{effect}"'
    if abs(part.attribution) < max(MIN_ATTRIBUTION, MIN_SHARE * largest):
        return attributes
    classes = _color(explanation.prediction, part.attribution)
    classes += " top" if part == explanation.strongest else ""
    opacity = math.sqrt(abs(part.attribution) / max(1.0, largest))
    return f'{attributes} class="{classes}" style="--w:{opacity:.2f}"'


def _effect(explanation: Explanation, part: Part) -> str:
    if part.skipped:
        return "not measured"
    side = _side(explanation.prediction, part.attribution)
    effect = f"+{abs(part.attribution):.2f} for {side}"
    if part.probability_without is None:
        return effect
    label = name(explanation.prediction.label).lower()
    return f"{effect} · without it: {percent(part.probability_without)} {label}"


def _limits(explanation: Explanation) -> str:
    """What the limits of a request left out of the explanation."""
    messages = []
    if not explanation.full_context:
        messages.append(
            "The review is long: the effect of a sentence is measured within the 1,000 characters "
            "around it."
        )
    if count := explanation.dropped:
        messages.append(
            f"{count:,} sentences and words were not measured: this request reached its limit."
        )
    return "".join(f'<p class="small">{message}</p>' for message in messages)


def _parts_table(explanation: Explanation) -> str:
    label = name(explanation.prediction.label).lower()
    rows = [
        (
            explanation.text[part.start : part.end],
            "not measured" if part.skipped else f"{part.attribution:+.2f}",
            "" if part.probability_without is None else percent(part.probability_without),
        )
        for part in explanation.sentences or explanation.words
    ]
    target = f"the {steps}" if (steps := _steps(explanation.prediction)) else label
    headings = [f"Effect on {target} (log-odds)", f"Probability of {label} without it"]
    if explanation.sentences:
        return table(headings, rows)
    return table(headings[:1], [row[:2] for row in rows])


def _side(prediction: Prediction, attribution: float) -> str:
    """The label that a part supports, from the sign of its effect on the predicted label."""
    if steps := _steps(prediction):
        return f"more {steps}" if attribution >= 0 else f"fewer {steps}"
    label = name(prediction.label).lower()
    if attribution >= 0:
        return label
    others = [other for other in prediction.probabilities if other != prediction.label]
    return name(others[0]).lower() if len(others) == 1 else f"not {label}"


def _steps(prediction: Prediction) -> str | None:
    """What the labels count, such as stars; None if they are no scale."""
    return unit(list(prediction.probabilities))


def _color(prediction: Prediction, attribution: float) -> str:
    """CSS class of a part, from the sign of its effect on the predicted label.

    What supports a label that is neither positive nor negative is "for".
    """
    if _steps(prediction):
        return "for" if attribution > 0 else "against"
    is_negative = color_of(prediction, prediction.label) == "against"
    return "for" if (attribution > 0) != is_negative else "against"
