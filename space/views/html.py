"""HTML of messages, progress, numbers and tables, and how labels and probabilities are written.

In: texts and numbers. Out: HTML strings in which all user content is escaped.
"""

import math
import textwrap
from collections.abc import Iterable, Sequence
from html import escape


def message(text: object, kind: str = "problem") -> str:
    """A message in place of a result; `kind` is "problem" or "remark"."""
    return f'<p class="{kind}" role="status">{escape(str(text))}</p>'


def progress(doing: str, done: int, total: int, seconds: float) -> str:
    """A progress bar with the remaining time, estimated from the seconds so far."""
    remaining = math.ceil(seconds / done * (total - done)) if done else None
    estimate = "" if remaining is None else f", about {remaining:,} s left"
    return (
        f'<div role="status"><p>{escape(doing)}{estimate}</p>'
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


def name(label: str) -> str:
    """A label as shown on the page: "VERY_GOOD" is "Very good"."""
    return label.replace("_", " ").capitalize()


def shorten(text: str, characters: int) -> str:
    """The beginning of a text in whole words; of a text without spaces, its first characters."""
    short = textwrap.shorten(text, characters, placeholder="…")
    return f"{text.strip()[: characters - 1]}…" if short == "…" else short


def percent(probability: float) -> str:
    """A probability with one decimal, never rounded to 0% or 100%."""
    if 0.999 < probability < 1:
        return "over 99.9%"
    if 0 < probability < 0.001:
        return "under 0.1%"
    return f"{probability:.1%}"


def percent_beside(probability: float, threshold: float) -> str:
    """A probability in whole percent, on the same side of the threshold as it really is.

    The threshold itself is rounded up, see `threshold_percent`: 93.5% of a threshold of 93.6% would
    otherwise read "94%, below 94%". Never rounded to 0% or 100%.
    """
    value, limit = round(100 * probability), threshold_percent(threshold)
    value = max(value, limit) if probability >= threshold else min(value, limit - 1)
    if value >= 100 and probability < 1:
        return "over 99%"
    if value <= 0 and probability > 0:
        return "under 1%"
    return f"{value}%"


def threshold_percent(threshold: float) -> int:
    """A threshold in whole percent, rounded up."""
    return math.ceil(round(100 * threshold, 6))
