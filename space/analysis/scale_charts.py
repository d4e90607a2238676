"""Charts of labels that are a scale, such as stars; see `charts`.

In: frames of `statistics`. Out: Altair charts, and colors of the steps.
"""

import altair
import pandas

from space.analysis import charts


def means(rows: pandas.DataFrame, heading: str, unit: str, most: float) -> altair.LayerChart:
    """Draw the mean of each group as a point with its 95% interval, for one or two sources.

    Args:
        rows: From `statistics.group_means`, with the `source` of the values; the order of the
            groups is kept.
        heading: What the groups are, such as "title".
        unit: What is counted, such as stars.
        most: The highest possible mean.
    """
    sources, groups = list(dict.fromkeys(rows["source"])), list(dict.fromkeys(rows["group"]))
    scale = altair.Scale(domain=sources, range=charts.PALETTE)
    legend = altair.Legend(title=None, orient="bottom") if len(sources) > 1 else None
    base = altair.Chart(charts.inline_data(rows)).encode(
        y=altair.Y(
            "group:N", title=None, sort=list(map(str, groups)),
            axis=altair.Axis(labelLimit=charts.LABEL_WIDTH, grid=True),
        ),
        color=altair.Color("source:N", scale=scale, legend=legend),
        tooltip=[
            altair.Tooltip("group:N", title=heading.capitalize()),
            altair.Tooltip("source:N", title="Source"),
            *charts.STARS_TOOLTIPS,
            charts.COUNT_TOOLTIP,
        ],
    )  # fmt: skip
    domain = altair.Scale(domain=[0, most])
    axis = altair.Axis(tickCount=5, format="d", tickMinStep=1)
    x = altair.X("share:Q", title=f"Mean {unit}, with 95% interval", scale=domain, axis=axis)
    intervals = base.mark_rule(strokeWidth=6, opacity=0.3).encode(
        x=altair.X("low:Q", scale=domain), x2="high:Q"
    )
    shape = altair.Shape("source:N", scale=altair.Scale(domain=sources), legend=legend)
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x=x, shape=shape)
    description = f"Mean {unit} by {heading}"
    return charts.style(altair.layer(intervals, points), description, height={"step": 26})


def step_colors(count: int) -> list[str]:
    """Colors of the steps of a scale, from the highest over gray to the lowest."""
    positive, middle, negative = charts.VERDICT_COLORS
    distances = [1 - 2 * i / (count - 1) for i in range(count)]  # from 1 to -1
    return [charts.mix(positive if d > 0 else negative, middle, abs(d)) for d in distances]
