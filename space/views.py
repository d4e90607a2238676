"""HTML of predictions, explanations and messages.

In: predictions, explanations and texts. Out: HTML strings in which all user content is escaped.
"""

import math
import re
from collections.abc import Iterable, Sequence
from html import escape

from space.inference.attribution import Explanation, Part
from space.inference.classifier import Prediction

MIN_ATTRIBUTION = 0.05  # log-odds; parts below it are not coloured


def sentence(message: object, kind: str = "problem") -> str:
    """A message in place of a result; `kind` is "problem" or "remark"."""
    return f'<p class="{kind}" role="status">{escape(str(message))}</p>'


def prediction_card(prediction: Prediction, unsure_below: float) -> str:
    """The predicted label, its probability and a bar for each label.

    Args:
        prediction: Of one review.
        unsure_below: Probability below which the model counts as unsure; 0 for never.
    """
    label, probability = prediction.label, prediction.probabilities[prediction.label]
    heading = "Mixed or unsure" if prediction.unsure else name(label)
    colour = "unsure" if prediction.unsure else _colour(prediction, label)
    leaning = f"leans {name(label).lower()}, " if prediction.unsure else ""
    bars = "".join(_bar(prediction, label, unsure_below) for label in prediction.probabilities)
    rule = (
        f'<p class="small">Below {unsure_below:.0%} (the tick) the model is unsure: it makes too '
        "many errors there.</p>"
        if unsure_below > 1 / len(prediction.probabilities)
        else ""
    )
    return (
        '<section class="prediction" role="status" aria-label="Prediction">'
        f'<p class="label {colour}">{escape(heading)}</p>'
        f'<p class="probability">{leaning}{percent(probability)} probability</p>'
        f'<dl class="bars">{bars}</dl>{rule}'
        f'<p class="small">{tokens_read(prediction)}</p></section>'
    )


def tokens_read(prediction: Prediction) -> str:
    """How much of the review the model read."""
    read = f"{prediction.tokens_read:,} of {prediction.tokens:,} tokens read"
    if prediction.tokens_read < prediction.tokens:
        return f"{read}: the beginning and the end. The review exceeds the model's maximum length."
    return read


def attribution(explanation: Explanation) -> str:
    """The review with its sentences coloured by their effect, and a table of the numbers."""
    if not explanation.sentences and not explanation.words:
        return ""
    return (
        '<section class="attribution" aria-label="Effect of each sentence">'
        f"{_legend(explanation.prediction)}"
        f'<p class="review">{_coloured_review(explanation)}</p>{_limits(explanation)}'
        f"<details><summary>Show the numbers</summary>{_parts_table(explanation)}</details>"
        "</section>"
    )


def progress(message: str, done: int, total: int, seconds: float) -> str:
    """A progress bar with the remaining time, estimated from the seconds so far."""
    remaining = math.ceil(seconds / done * (total - done)) if done else None
    estimate = "" if remaining is None else f", about {remaining:,} s left"
    return (
        f'<div role="status"><p>{escape(message)}{estimate}</p>'
        f'<div class="progress"><b style="width:{done / total:.2%}"></b></div></div>'
    )


def figures(rows: Sequence[tuple[str, str]], label: str | None = None) -> str:
    """Numbers in large type, each with its description.

    Args:
        rows: Number and description.
        label: Accessible name; without one, screen readers announce the numbers as a status.
    """
    cells = "".join(
        f'<div><p class="big">{escape(number)}</p><p class="small">{escape(description)}</p></div>'
        for number, description in rows
    )
    role = f'aria-label="{label}"' if label else 'role="status"'
    return f'<section class="figures" {role}>{cells}</section>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table; the first cell of each row is the row's heading.

    Args:
        headings: Of the columns after the first.
        rows: Cells, the row's heading first.
        caption: Of the table; may be empty.
    """
    body = "".join(
        f'<tr><th scope="row">{escape(heading)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for heading, *cells in rows
    )
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<tr><td></td>{head}</tr>{body}</table>"


def _bar(prediction: Prediction, label: str, unsure_below: float) -> str:
    probability = prediction.probabilities[label]
    tick = f'<i style="left:{unsure_below:.2%}"></i>' if unsure_below else ""
    return (
        f"<dt>{escape(name(label))}</dt><dd><span>{percent(probability)}</span>"
        f'<span class="track" aria-hidden="true">'
        f'<b class="{_colour(prediction, label)}" style="width:{probability:.2%}"></b>{tick}'
        "</span></dd>"
    )


def _legend(prediction: Prediction) -> str:
    """What the colours mean; the predicted label comes first."""
    label = name(prediction.label)
    others = [other for other in prediction.probabilities if other != prediction.label]
    opposite = name(others[0]) if len(others) == 1 else f"not {label}"
    return (
        '<p class="small legend">'
        f'<span class="swatch {_part_colour(prediction, 1)}">{escape(label.lower())}</span> '
        f'<span class="swatch {_part_colour(prediction, -1)}">{escape(opposite.lower())}</span> '
        '<span class="swatch top">strongest</span></p>'
    )


def _coloured_review(explanation: Explanation) -> str:
    """The review with coloured sentences and words; line breaks are kept."""
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
        pieces.append(_coloured("b", content, explanation, word, largest_word))
        position = word.end
    pieces.append(escape(text[position : part.end]))
    return _coloured("span", "".join(pieces), explanation, part, largest)


def _coloured(tag: str, content: str, explanation: Explanation, part: Part, largest: float) -> str:
    """A part of the text in its colour; its opacity is relative to the largest effect."""
    if abs(part.attribution) < MIN_ATTRIBUTION:
        return f"<{tag}>{content}</{tag}>"
    top = " top" if part == explanation.strongest else ""
    classes = _part_colour(explanation.prediction, part.attribution) + top
    opacity = abs(part.attribution) / max(1.0, largest)
    title = escape(_tooltip(explanation, part))
    return f'<{tag} class="{classes}" style="--w:{opacity:.2f}" title="{title}">{content}</{tag}>'


def _tooltip(explanation: Explanation, part: Part) -> str:
    label = name(explanation.prediction.label)
    effect = f"{part.attribution:+.2f} for {label}"
    if part.probability_without is None:
        return effect
    return f"{effect}, {label} {percent(part.probability_without)} without it"


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
            f"{count:,} sentences and words were left out: the limit of one request was reached."
        )
    return "".join(f'<p class="small">{message}</p>' for message in messages)


def _parts_table(explanation: Explanation) -> str:
    label = name(explanation.prediction.label)
    rows = [
        (
            explanation.text[part.start : part.end],
            "left out" if part.skipped else f"{part.attribution:+.2f}",
            "" if part.probability_without is None else percent(part.probability_without),
        )
        for part in explanation.sentences or explanation.words
    ]
    return table([f"Effect on {label} (log-odds)", f"{label} without it"], rows)


def _colour(prediction: Prediction, label: str) -> str:
    """CSS class of a label: the model's first label is "against", every other one "for"."""
    return "against" if label == next(iter(prediction.probabilities)) else "for"


def _part_colour(prediction: Prediction, attribution: float) -> str:
    """CSS class of a part, from the sign of its effect on the predicted label."""
    colour = _colour(prediction, prediction.label)
    return colour if attribution > 0 else {"for": "against", "against": "for"}[colour]


def name(label: str) -> str:
    """A label as shown on the page: "VERY_GOOD" is "Very good"."""
    return label.replace("_", " ").capitalize()


def percent(probability: float) -> str:
    """A probability with one decimal, never rounded to 0% or 100%."""
    if 0.999 < probability < 1:
        return "over 99.9%"
    if 0 < probability < 0.001:
        return "under 0.1%"
    return f"{probability:.1%}"
