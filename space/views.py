"""What the page shows of a verdict: HTML from numbers and texts.

In: verdicts and explanations. Out: HTML in which every text of a visitor's is escaped.
"""

import math
import re
from collections.abc import Sequence
from html import escape

from space.inference.attribution import Explanation, Part
from space.inference.classifier import Prediction

TIE = 0.05  # log-odds: what does less is shown as doing nothing


def sentence(reason: object, kind: str = "problem") -> str:
    """A plain sentence in the place of an answer; `kind` is `problem` or `remark`."""
    return f'<p class="{kind}" role="status">{escape(str(reason))}</p>'


def verdict_card(verdict: Prediction, unsure_below: float) -> str:
    """The verdict as a word, a probability and a bar for each label.

    Args:
        verdict: What the classifier says.
        unsure_below: The probability under which the model counts as unsure; 0 for never.
    """
    label, probability = verdict.label, verdict.probabilities[verdict.label]
    word = "Mixed or unsure" if verdict.unsure else name(label)
    side = "unsure" if verdict.unsure else _side(label, verdict)
    leaning = f"leans {name(label).lower()}, " if verdict.unsure else ""
    rows = "".join(_bar(label, verdict, unsure_below) for label in verdict.probabilities)
    rule = (
        f'<p class="small">Under {unsure_below:.0%} (the tick) this model is wrong too often '
        "for a plain word.</p>"
        if unsure_below > 1 / len(verdict.probabilities)
        else ""
    )
    return (
        '<section class="verdict" role="status" aria-label="Prediction">'
        f'<p class="word {side}">{escape(word)}</p>'
        f'<p class="how-sure">{leaning}{percent(probability)} sure</p>'
        f'<dl class="bars">{rows}</dl>{rule}'
        f'<p class="small">{coverage(verdict)}</p></section>'
    )


def coverage(verdict: Prediction) -> str:
    """How much of the review the verdict is about."""
    read = f"{verdict.tokens_read:,} of {verdict.tokens:,} tokens read"
    if verdict.tokens_read < verdict.tokens:
        return f"{read}: the beginning and the end, as the model can take no more at once."
    return read


def attribution(explanation: Explanation) -> str:
    """The review, each sentence coloured by what it does to the verdict, and the numbers."""
    if not explanation.sentences and not explanation.words:
        return ""
    return (
        '<section class="line" aria-label="What each sentence does">'
        f"{_legend(explanation.prediction)}"
        f'<p class="marked">{_marked(explanation)}</p>{_reach(explanation)}'
        f"<details><summary>The numbers</summary>{_table(explanation)}</details></section>"
    )


def progress(told: str, done: int, total: int, seconds: float) -> str:
    """What is being done and how far it is, and how long the rest will take at this rate."""
    left = f", about {math.ceil(seconds / done * (total - done)):,} s left" if done else ""
    return (
        f'<div role="status"><p>{escape(told)}{left}</p>'
        f'<div class="progress"><b style="width:{done / total:.2%}"></b></div></div>'
    )


def figures(rows: Sequence[tuple[str, str]], label: str | None = None) -> str:
    """Figures in large letters, each with what it is; announced as news, or named by a label."""
    cells = "".join(
        f'<div><p class="big">{escape(figure)}</p><p class="small">{escape(about)}</p></div>'
        for figure, about in rows
    )
    marked = f'aria-label="{label}"' if label else 'role="status"'
    return f'<section class="figures" {marked}>{cells}</section>'


def _bar(label: str, verdict: Prediction, unsure_below: float) -> str:
    share = verdict.probabilities[label]
    tick = f'<i style="left:{unsure_below:.2%}"></i>' if unsure_below else ""
    return (
        f"<dt>{escape(name(label))}</dt><dd><span>{percent(share)}</span>"
        f'<span class="track" aria-hidden="true">'
        f'<b class="{_side(label, verdict)}" style="width:{share:.2%}"></b>{tick}</span></dd>'
    )


def _legend(verdict: Prediction) -> str:
    """What the colours mean, the verdict's own first."""
    others = [label for label in verdict.probabilities if label != verdict.label]
    mine = name(verdict.label)
    other = f"for {name(others[0])}" if len(others) == 1 else f"against {mine}"
    return (
        f'<p class="small legend"><span class="swatch {_tint(verdict, True)}">speaks for '
        f'{escape(mine)}</span> <span class="swatch {_tint(verdict, False)}">speaks '
        f'{escape(other)}</span> <span class="swatch top">does most</span></p>'
    )


def _marked(explanation: Explanation) -> str:
    """The text with its sentences and words marked; a break of lines is one on the page."""
    text, out, at = explanation.text, [], 0
    sentences = explanation.sentences or [Part(0, len(text), 0.0, None)]
    most = max((abs(part.attribution) for part in sentences), default=0.0)
    for part in sentences:
        out += [_gap(text[at : part.start]), _span(explanation, part, most)]
        at = part.end
    return "".join([*out, _gap(text[at:])])


def _gap(between: str) -> str:
    broken = re.search(r"<br|\n", between)
    return "<br>" if broken else " " if between else ""


def _span(explanation: Explanation, part: Part, most: float) -> str:
    words = [w for w in explanation.words if part.start <= w.start and w.end <= part.end]
    strength = max((abs(word.attribution) for word in words), default=0.0)
    inside, at = [], part.start
    for word in words:
        inside.append(escape(explanation.text[at : word.start]))
        shown = escape(explanation.text[word.start : word.end])
        inside.append(_tinted("b", shown, word, explanation, strength))
        at = word.end
    inside.append(escape(explanation.text[at : part.end]))
    top = part == explanation.strongest and abs(part.attribution) >= TIE
    return _tinted("span", "".join(inside), part, explanation, most, "top" if top else "")


def _tinted(
    tag: str, inside: str, part: Part, explanation: Explanation, most: float, more: str = ""
) -> str:
    """A piece of the text in the colour of its side, as strong as its pull among the others."""
    if abs(part.attribution) < TIE:
        return f"<{tag}>{inside}</{tag}>"
    classes = f"{_tint(explanation.prediction, part.attribution > 0)} {more}".strip()
    weight = abs(part.attribution) / max(1.0, most)
    tip = escape(_tip(explanation, part))
    return f'<{tag} class="{classes}" style="--w:{weight:.2f}" title="{tip}">{inside}</{tag}>'


def _tip(explanation: Explanation, part: Part) -> str:
    label = name(explanation.prediction.label)
    without = f", {label} {_percent_without(part)} without it" if _percent_without(part) else ""
    return f"{part.attribution:+.2f} for {label}{without}"


def _percent_without(part: Part) -> str:
    return "" if part.probability_without is None else percent(part.probability_without)


def _reach(explanation: Explanation) -> str:
    told = []
    if not explanation.full_context:
        told.append(
            "In a review of this length each sentence is weighed against the thousand characters "
            "around it, not against the whole."
        )
    if count := explanation.dropped:
        told.append(
            f"{count:,} sentences and words were left out: the limit of one request was reached."
        )
    return "".join(f'<p class="small">{sentence}</p>' for sentence in told)


def _table(explanation: Explanation) -> str:
    label = escape(name(explanation.prediction.label))
    parts = explanation.sentences or explanation.words
    kind = "Sentence" if explanation.sentences else "Word"
    rows = "".join(
        f"<tr><td>{escape(explanation.text[part.start : part.end])}</td>"
        f"<td>{'left out' if part.skipped else f'{part.attribution:+.2f}'}</td>"
        f"<td>{_percent_without(part)}</td></tr>"
        for part in parts
    )
    return (
        f"<table><thead><tr><th>{kind}</th><th>For {label} (log-odds)</th>"
        f"<th>{label} without it</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _tint(verdict: Prediction, speaks_for: bool) -> str:
    """Praise has always the one colour and blame the other, whatever the verdict is."""
    mine = _side(verdict.label, verdict)
    return mine if speaks_for else {"for": "against", "against": "for"}[mine]


def _side(label: str, verdict: Prediction) -> str:
    """Of a model's labels the first, as NEGATIVE, has one colour, the others the other."""
    return "against" if label == next(iter(verdict.probabilities)) else "for"


def name(label: str) -> str:
    """A label as a word on the page."""
    return label.replace("_", " ").capitalize()


def percent(probability: float) -> str:
    """Never rounded to a certainty that the model doesn't claim."""
    if 0.999 < probability < 1:
        return "over 99.9%"
    if 0 < probability < 0.001:
        return "under 0.1%"
    return f"{probability:.1%}"
