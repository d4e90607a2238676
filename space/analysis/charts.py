"""Charts of the statistics, for the page and as files.

In: the frames of `statistics`. Out: Altair charts as wide as the page, or a zip of PNG and SVG
files. Charts may use features of Vega-Lite 5 only, the version that Gradio's page loads.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair
import numpy.typing as npt
import pandas

from space.analysis.statistics import Period

BLUE, ORANGE = "#2f7fc8", "#c8661c"  # positive and negative, as on the rest of the page
# Distinguishable with colour blindness. Source: M. Okabe and K. Ito, Color universal design (2008),
# somewhat darker.
PALETTE = [BLUE, ORANGE, "#00825f", "#a8507f", "#8a7500", "#4d6a80"]
GREY = "#767676"  # contrast of 4.5:1 on white and on nearly black
INK = "#111111"  # on coloured tiles, at least 4.5:1
DATE_FORMATS = {"day": "%d %b %Y", "week": "week from %d %b %Y", "month": "%B %Y"}
COUNT_SCALE = 5  # the tallest bar of the counts takes a fifth of the height
MAX_TICKS = 8  # with more periods, some have no tick on the axis
MAX_LARGE_POINTS = 60  # with more periods, points would hide the line
# SVG takes the colours of the page's theme. The menu offers only saving, as Vega's editor is on
# another site.
EMBED_OPTIONS = {
    "renderer": "svg",
    "actions": {"export": True, "source": False, "compiled": False, "editor": False},
}
FILE_WIDTH = 760  # pixels
TITLE_TOOLTIP = altair.Tooltip("title:N", title="Title")
COUNT_TOOLTIP = altair.Tooltip("n:Q", title="Reviews", format=",")
SHARE_TOOLTIPS = [
    altair.Tooltip("share:Q", title="Share", format=".1%"),
    altair.Tooltip("low:Q", title="at least (95%)", format=".1%"),
    altair.Tooltip("high:Q", title="at most (95%)", format=".1%"),
]


def over_time(rows: pandas.DataFrame, period: Period, label: str = "Positive") -> altair.LayerChart:
    """Draw the share of a label over time with its 95% band, above bars of the review counts.

    Args:
        rows: From `statistics.over_time`.
        period: Of the rows.
        label: The label whose share it is.
    """
    spans = _add_period_ends(rows, period)
    title = f"{label} reviews"
    counts = spans.groupby(["start", "middle", "end"], as_index=False)["n"].sum()
    most = int(counts["n"].max()) if len(counts) else 1
    bars = (
        altair.Chart(_inline_data(counts))
        .mark_rect(color=GREY, opacity=0.35)
        .encode(
            x=altair.X("start:T", title=None),
            x2="end:T",
            y=altair.Y(
                "n:Q",
                title=f"Reviews per {period}",
                scale=altair.Scale(domain=[0, most * COUNT_SCALE], nice=False),
                axis=altair.Axis(
                    grid=False, orient="right", values=[0, most], format=",d", titleY=270
                ),
            ),
            y2=altair.Y2Datum(0),
            tooltip=[_period_tooltip(period), COUNT_TOOLTIP],
        )
    )
    lines = _share_lines(spans, _time_axis(counts, period), title, period)
    chart = altair.layer(bars, lines).resolve_scale(y="independent")
    return _style(chart, f"{title} by {period}, with their number", height=320)


def by_title(
    rows: pandas.DataFrame, label: str = "Positive", max_titles: int = 20
) -> altair.LayerChart:
    """Draw the share of a label per title with its 95% interval, in the order of the rows.

    Args:
        rows: From `statistics.by_title`.
        label: The label whose share it is.
        max_titles: How many titles to draw.
    """
    rows = rows.head(max_titles)
    title = f"{label} reviews"
    base = altair.Chart(_inline_data(rows)).encode(
        y=altair.Y(
            "title:N", title=None, sort=rows["title"].tolist(), axis=altair.Axis(labelLimit=130)
        ),
        tooltip=[TITLE_TOOLTIP, *SHARE_TOOLTIPS, COUNT_TOOLTIP],
    )
    x = altair.X(
        "low:Q",
        title=f"{title}, with 95% interval",
        scale=altair.Scale(domain=[0, 1]),
        axis=altair.Axis(format=".0%", tickCount=5),
    )
    intervals = base.mark_rule(strokeWidth=6, opacity=0.35, color=BLUE).encode(x=x, x2="high:Q")
    points = base.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(x="share:Q")
    return _style(altair.layer(intervals, points), f"{title} by title", height={"step": 24})


def confusion(matrix: npt.ArrayLike, labels: Sequence[str]) -> altair.LayerChart:
    """Draw a confusion matrix.

    Args:
        matrix: Counts, (labels, labels): label of the file by prediction.
        labels: Of the model, in its order.
    """
    counts = pandas.DataFrame(matrix, index=list(labels), columns=list(labels))
    shares = counts.div(counts.sum(axis="columns").clip(lower=1), axis="index")
    cells = [
        {
            "label": label,
            "prediction": prediction,
            "n": int(counts.loc[label, prediction]),
            "share": (share := float(shares.loc[label, prediction])),
            "fill": _mix_with_white(BLUE if label == prediction else ORANGE, 0.1 + 0.6 * share),
        }
        for label in labels
        for prediction in labels
    ]
    axis = altair.Axis(labelAngle=0, orient="top")
    base = altair.Chart(_inline_data(pandas.DataFrame(cells))).encode(
        x=altair.X("prediction:N", title="Prediction", sort=list(labels), axis=axis),
        y=altair.Y("label:N", title="Label in the file", sort=list(labels)),
        tooltip=[
            altair.Tooltip("label:N", title="Label in the file"),
            altair.Tooltip("prediction:N", title="Prediction"),
            COUNT_TOOLTIP,
            altair.Tooltip("share:Q", title="of this label", format=".1%"),
        ],
    )
    tiles = base.mark_rect().encode(color=altair.Color("fill:N", scale=None))
    numbers = base.mark_text(fontSize=16, color=INK).encode(text=altair.Text("n:Q", format=","))
    return _style(
        altair.layer(tiles, numbers), "Labels in the file by prediction", height={"step": 56}
    )


def save(charts: Mapping[str, altair.LayerChart], path: Path) -> None:
    """Write a zip with each chart as PNG at twice its size and as SVG, on white.

    Args:
        charts: By file name, without suffix.
        path: Of the zip.
    """
    import vl_convert

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, chart in charts.items():
            spec = chart.to_dict() | {"width": FILE_WIDTH, "background": "white"}
            archive.writestr(f"{name}.png", vl_convert.vegalite_to_png(spec, scale=2))
            archive.writestr(f"{name}.svg", vl_convert.vegalite_to_svg(spec))


def _share_lines(
    spans: pandas.DataFrame, x: altair.X, y_title: str, period: Period
) -> altair.LayerChart:
    """A line with points and a band for each title."""
    titles = list(dict.fromkeys(spans["title"]))
    periods, has_titles = spans["start"].nunique(), len(titles) > 1
    scale = altair.Scale(domain=titles, range=PALETTE)
    legend = altair.Legend(title=None, orient="bottom", columns=2, labelLimit=110, symbolOpacity=1)
    title_tooltips = [TITLE_TOOLTIP] if has_titles else []
    base = altair.Chart(_inline_data(spans)).encode(
        x=x,
        color=altair.Color("title:N", scale=scale, legend=legend if has_titles else None),
        tooltip=[*title_tooltips, _period_tooltip(period), *SHARE_TOOLTIPS, COUNT_TOOLTIP],
    )
    y = altair.Y(
        "share:Q",
        title=f"{y_title}, with 95% band",
        scale=altair.Scale(domain=[0, 1]),
        axis=altair.Axis(format=".0%", tickCount=5, grid=True),
    )
    # An area needs more than one period.
    area = base.mark_area() if periods > 1 else base.mark_rule(strokeWidth=12)
    band = area.encode(
        y=altair.Y("low:Q"), y2="high:Q", opacity=altair.value(0.09 if has_titles else 0.2)
    )
    line = base.mark_line(strokeWidth=2).encode(y=y)
    size = 45 if periods <= MAX_LARGE_POINTS else 6
    points = base.mark_point(filled=True, size=size, opacity=1).encode(y=y)
    if has_titles:  # distinguishable without colours
        points = points.encode(
            shape=altair.Shape("title:N", scale=altair.Scale(domain=titles), legend=legend)
        )
    return altair.layer(line, band, points)


def _time_axis(counts: pandas.DataFrame, period: Period) -> altair.X:
    """The time axis, with a tick for each period if there are few."""
    ticks: dict[str, Any] = {"tickCount": MAX_TICKS}
    if len(counts) <= MAX_TICKS:
        middles = pandas.to_datetime(counts["middle"])
        ticks = {
            "values": [
                altair.DateTime(year=time.year, month=time.month, date=time.day, hours=time.hour)
                for time in middles
            ]
        }
    date_format = "%b %Y" if period == "month" else "%d %b %Y"
    axis = altair.Axis(grid=False, format=date_format, **ticks)
    return altair.X("middle:T", title=None, axis=axis)


def _add_period_ends(rows: pandas.DataFrame, period: Period) -> pandas.DataFrame:
    """Replace `period_start` by `start`, `middle` and `end`, in ISO format for JavaScript."""
    start = rows["period_start"]
    length = {"day": {"days": 1}, "week": {"days": 7}, "month": {"months": 1}}[period]
    end = start + pandas.DateOffset(**length)
    times = {"start": start, "middle": start + (end - start) / 2, "end": end}
    texts = {name: time.dt.strftime("%Y-%m-%dT%H:%M:%S") for name, time in times.items()}
    return rows.drop(columns="period_start").assign(**texts)


def _inline_data(rows: pandas.DataFrame) -> altair.InlineData:
    """Rows as JSON inside the chart; NaN is null.

    From a frame Altair takes at most 5,000 rows, and it validates each value of a list.
    """
    return altair.InlineData(
        values=rows.to_json(orient="records"), format=altair.JsonDataFormat(type="json")
    )


def _mix_with_white(colour: str, strength: float) -> str:
    """A colour mixed with white; at a strength of 1 the colour itself."""
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(255 + (channel - 255) * strength) for channel in channels]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _period_tooltip(period: Period) -> altair.Tooltip:
    return altair.Tooltip("start:T", title="When", format=DATE_FORMATS[period])


def _style(chart: altair.LayerChart, description: str, **size: Any) -> altair.LayerChart:
    """Fit the chart to the page's width and theme; screen readers read the description."""
    return (
        chart.properties(
            width="container",
            background="transparent",
            description=description,
            usermeta={"embedOptions": EMBED_OPTIONS},
            **size,
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=GREY, titleColor=GREY, tickColor=GREY, domainColor=GREY, gridColor=GREY,
            gridOpacity=0.25, titleFontWeight="normal", labelFontSize=12, titleFontSize=12,
        )
        .configure_legend(labelColor=GREY, labelFontSize=12)
    )  # fmt: skip
