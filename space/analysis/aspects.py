"""The aspects that the reviews of a file mention: columns to download, and a heat map by title.

In: for each aspect, a prediction or an error for each row. Out: data frames, an Altair chart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair
import pandas

from space.analysis import charts
from space.inference.aspects import is_mentioned
from space.inference.classifier import InvalidText, Prediction
from space.views import contrary_aspects, name
from space.views.prediction import color_of

Answers = Mapping[str, Sequence[Prediction | InvalidText]]  # by aspect
MIXED = "mixed: an aspect contradicts the review (see the column “mixed”)"
DARK = 0.75  # the strongest tint, on which INK is still readable


def columns(answers: Answers, reviews: Sequence[Prediction | InvalidText]) -> pandas.DataFrame:
    """One row per row of the file; no columns without aspects.

    Args:
        answers: Of the rows.
        reviews: What the other model predicts for the rows.

    Returns:
        `NAME_prediction` and `NAME_probability` of each aspect, both missing where there is no
        prediction, and `mixed`: the aspects that contradict the review, or "".
    """
    cells: dict[str, list[Any]] = {}
    for aspect, of_rows in answers.items():
        known = [row if isinstance(row, Prediction) else None for row in of_rows]
        cells[f"{aspect}_prediction"] = [row.label if row else None for row in known]
        cells[f"{aspect}_probability"] = [
            row.probabilities[row.label] if row else None for row in known
        ]
    if answers:
        cells["mixed"] = [
            ", ".join(
                contrary_aspects({aspect: rows[i] for aspect, rows in answers.items()}, review)
            )
            for i, review in enumerate(reviews)
        ]
    return pandas.DataFrame(cells)


def by_title(
    answers: Answers, titles: Sequence[str | None], shown: Sequence[str]
) -> altair.LayerChart | None:
    """Draw what each title's reviews say about each aspect: the share of positive ones.

    Reviews that don't mention the aspect, or of which the model is unsure, don't count.

    Args:
        answers: Of the rows.
        titles: Of the rows; None for none.
        shown: The titles to include, in order.

    Returns:
        The chart; None if no review counts.
    """
    votes = [
        {"title": title, "aspect": name(aspect), "share": color_of(answer, answer.label) == "for"}
        for aspect, of_rows in answers.items()
        for title, answer in zip(titles, of_rows, strict=True)
        if title in shown
        and isinstance(answer, Prediction)
        and is_mentioned(answer)
        and not answer.unsure
    ]
    if not votes:
        return None
    groups = pandas.DataFrame(votes).groupby(["title", "aspect"])["share"]
    return _heat_map(
        groups.agg(n="size", share="mean").reset_index(), list(map(name, answers)), shown
    )


def _heat_map(
    rows: pandas.DataFrame, aspects: Sequence[str], titles: Sequence[str]
) -> altair.LayerChart:
    """Tiles of `share` by `title` and `aspect`, in the order of these."""
    shares = rows["share"].astype(float)
    colors = [charts.BLUE if share >= 0.5 else charts.ORANGE for share in shares]
    fills = [
        charts.mix(color, "#ffffff", 0.1 + 2 * (DARK - 0.1) * abs(share - 0.5))
        for color, share in zip(colors, shares, strict=True)
    ]
    cells = rows.assign(share=shares, fill=fills)
    base = altair.Chart(charts.inline_data(cells)).encode(
        x=altair.X(
            "aspect:N", title=None, sort=list(aspects),
            axis=altair.Axis(orient="top", labelAngle=-30, labelOverlap=False),
        ),
        y=altair.Y(
            "title:N", title=None, sort=list(titles),
            axis=altair.Axis(labelLimit=charts.LABEL_WIDTH),
        ),
        tooltip=[
            charts.TITLE_TOOLTIP,
            altair.Tooltip("aspect:N", title="Aspect"),
            altair.Tooltip("share:Q", title="Positive", format=".0%"),
            altair.Tooltip("n:Q", title="Reviews that mention it", format=","),
        ],
    )  # fmt: skip
    tiles = base.mark_rect().encode(color=altair.Color("fill:N", scale=None))
    numbers = base.mark_text(fontSize=12, color=charts.INK).encode(
        text=altair.Text("share:Q", format=".0%")
    )
    description = "Share of positive reviews of each aspect, by title"
    return charts.style(altair.layer(tiles, numbers), description, height={"step": 30})
