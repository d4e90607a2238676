"""The verdicts on a file: a bar with their counts, and their agreement with the file's labels.

In: counts and numbers. Out: HTML.
"""

from collections.abc import Sequence
from html import escape

from space.analysis.statistics import Agreement
from space.views.html import figures


def stacked_bar(verdicts: Sequence[tuple[str, str, int]]) -> str:
    """One bar with a part for each verdict, and a legend with the counts.

    Args:
        verdicts: The HTML attributes of the color, whose style is left open; the name; the count.
    """
    total = sum(count for *_, count in verdicts)
    segments, legend = [], []
    for look, label, count in verdicts:
        segments.append(f'<b {look};flex-grow:{count}"></b>' * bool(count))
        legend.append(
            f'<li><i {look}"></i>{escape(label)} <strong>{count:,}</strong> '
            f"({count / total:.1%})</li>"
        )
    return (
        f'<div class="verdicts"><div class="stack" aria-hidden="true">{"".join(segments)}</div>'
        f"<ul>{''.join(legend)}</ul></div>"
    )


def agreement_card(agreement: Agreement) -> str:
    """Accuracy and F1, and the labels that the model does not have."""
    accuracy = agreement.accuracy
    facts = [
        (f"{accuracy.value:.1%}", f"accuracy on {agreement.n:,} labeled reviews (95% "
         f"interval {accuracy.low:.1%} to {accuracy.high:.1%}); an uncertain review counts as "
         "what the model leans to"),
        (f"{agreement.f1:.3f}", "F1"),
    ]  # fmt: skip
    if agreement.unmatched:
        unknown = ", ".join(agreement.unknown)
        facts.append(
            (f"{agreement.unmatched:,}", f"labels that the model does not have: {unknown}")
        )
    return figures(facts)
