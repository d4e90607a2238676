"""Characteristic words and typical sentences of two sides of a file.

In: the words of each side. Out: HTML.
"""

from collections.abc import Sequence
from html import escape

from space.analysis.words import Side
from space.views.html import message, name


def characteristic_words(sides: Sequence[Side] | None, names: Sequence[str], needed: str) -> str:
    """The words of the positive side and of the negative one.

    Args:
        sides: From `words.characterize`.
        names: Of the sides.
        needed: Which reviews the words need, for the remark without them.
    """
    if sides is None:
        return message(f"Characteristic words need at least {needed}.", "remark")
    columns = zip(sides, names, ("for", "against"), strict=True)
    return f'<section class="words">{"".join(_side(*column) for column in columns)}</section>'


def _side(side: Side, label: str, color: str) -> str:
    terms = "".join(f"<li>{escape(term)}</li>" for term in side.terms)
    quotes = "".join(f"<blockquote>{escape(sentence)}</blockquote>" for _, sentence in side.quotes)
    none = '<p class="small">No word is clearly more frequent here.</p>'
    return (
        f'<div><h3 class="{color}">{escape(name(label))}</h3>'
        f'<ul class="terms {color}">{terms}</ul>{quotes}{none * (not terms)}</div>'
    )
