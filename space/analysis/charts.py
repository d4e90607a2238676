"""Charts of the figures, drawn in the browser by Vega-Lite, and as files.

In: the frames and numbers of `figures`. Out: Altair charts, and a zip of them as PNG and SVG. The
page brings Vega-Lite 5, so nothing newer may stand in a chart. Charts are as wide as the page.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair
import numpy.typing as npt
import pandas

from space.analysis.statistics import Period

FOR, AGAINST = "#2f7fc8", "#c8661c"
# Told apart by colour-blind people, the first two as on the rest of the page. Source: M. Okabe and
# K. Ito, Color universal design (2008), somewhat darker.
PALETTE = [FOR, AGAINST, "#00825f", "#a8507f", "#8a7500", "#4d6a80"]
GREY = "#767676"  # 4.5:1 on white, and as much on nearly black
INK = "#111111"  # on coloured tiles, 4.5:1 at least
DAYS = {"day": "%d %b %Y", "week": "week from %d %b %Y", "month": "%B %Y"}
TOP = 5  # the tallest bar of the counts takes one part in so many of the height
FEW, MANY = 8, 60  # periods: each has a tick of the axis; points would hide the line
# SVG takes the colours of the page's theme. Of the chart's menu only saving is left: its editor is
# on someone else's site.
EMBEDDED = {
    "renderer": "svg",
    "actions": {"export": True, "source": False, "compiled": False, "editor": False},
}
FILE_WIDTH = 760  # pixels, of charts in files


def audience(rows: pandas.DataFrame, period: Period, label: str = "positive") -> altair.LayerChart:
    """The share of a label over time, with its band; beneath, how many reviews there are.

    Args:
        rows: From `figures.over_time`.
        period: The same as there.
        label: Whose share it is.
    """
    spans = _spans(rows, period)
    what = f"{label.capitalize()} reviews"
    counts = spans.groupby(["start", "middle", "end"], as_index=False)["n"].sum()
    most = int(counts["n"].max()) if len(counts) else 1
    bars = (
        altair.Chart(_data(counts))
        .mark_rect(color=GREY, opacity=0.35)
        .encode(
            x=altair.X("start:T", title=None),
            x2="end:T",
            y=altair.Y(
                "n:Q",
                title=f"Reviews a {period}",
                scale=altair.Scale(domain=[0, most * TOP], nice=False),
                axis=altair.Axis(
                    grid=False, orient="right", values=[0, most], format=",d", titleY=270
                ),
            ),
            y2=altair.Y2Datum(0),
            tooltip=[_when(period), _count()],
        )
    )
    lines = _lines(spans, _time_axis(counts, period), what, period)
    chart = altair.layer(bars, lines).resolve_scale(y="independent")
    return _finished(chart, f"{what} by {period}, with their number", height=320)


def titles(rows: pandas.DataFrame, label: str = "positive", most: int = 20) -> altair.LayerChart:
    """The share of a label of each title, with its interval; the best on top.

    Args:
        rows: From `figures.by_title`.
        label: Whose share it is.
        most: How many titles are shown.
    """
    shown = rows.head(most)
    what = f"{label.capitalize()} reviews"
    base = altair.Chart(_data(shown)).encode(
        y=altair.Y(
            "title:N", title=None, sort=shown["title"].tolist(), axis=altair.Axis(labelLimit=130)
        ),
        tooltip=[altair.Tooltip("title:N", title="Title"), *_share_tips(), _count()],
    )
    rules = base.mark_rule(strokeWidth=6, opacity=0.35, color=FOR).encode(
        x=_percent("low", f"{what}, with 95% interval"), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, color=FOR, opacity=1).encode(x="share:Q")
    return _finished(altair.layer(rules, points), f"{what} by title", height={"step": 24})


def confusion(matrix: npt.ArrayLike, labels: Sequence[str]) -> altair.LayerChart:
    """How often each verdict meets each given label.

    Args:
        matrix: Counts, (labels, labels): given by verdict.
        labels: Of the model, in its order.
    """
    counts = pandas.DataFrame(matrix, index=list(labels), columns=list(labels))
    parts = counts.div(counts.sum(axis="columns").clip(lower=1), axis="index")
    cells = [
        {
            "given": given,
            "verdict": verdict,
            "n": int(counts.loc[given, verdict]),
            "part": (part := float(parts.loc[given, verdict])),
            "fill": _tint(FOR if given == verdict else AGAINST, 0.1 + 0.6 * part),
        }
        for given in labels
        for verdict in labels
    ]
    axis = altair.Axis(labelAngle=0, orient="top")
    base = altair.Chart(_data(pandas.DataFrame(cells))).encode(
        x=altair.X("verdict:N", title="Prediction", sort=list(labels), axis=axis),
        y=altair.Y("given:N", title="Label given", sort=list(labels)),
        tooltip=[
            altair.Tooltip("given:N", title="Label given"),
            altair.Tooltip("verdict:N", title="Prediction"),
            _count(),
            altair.Tooltip("part:Q", title="of this label", format=".1%"),
        ],
    )
    tiles = base.mark_rect().encode(color=altair.Color("fill:N", scale=None))
    numbers = base.mark_text(fontSize=16, color=INK).encode(text=altair.Text("n:Q", format=","))
    return _finished(altair.layer(tiles, numbers), "Labels given by verdicts", height={"step": 56})


def save(charts: Mapping[str, altair.LayerChart], path: Path) -> None:
    """Write a zip with each chart as PNG, at twice its size, and as SVG, on white.

    Args:
        charts: By the names of their files, without suffix.
        path: Of the zip.
    """
    import vl_convert

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, chart in charts.items():
            spec = chart.to_dict() | {"width": FILE_WIDTH, "background": "white"}
            archive.writestr(f"{name}.png", vl_convert.vegalite_to_png(spec, scale=2))
            archive.writestr(f"{name}.svg", vl_convert.vegalite_to_svg(spec))


def _lines(spans: pandas.DataFrame, x: altair.X, what: str, period: Period) -> altair.LayerChart:
    """Line, points and band of each title."""
    titles = list(dict.fromkeys(spans["title"]))
    periods, many = spans["start"].nunique(), len(titles) > 1
    title = altair.Tooltip("title:N", title="Title")
    scale = altair.Scale(domain=titles, range=PALETTE)
    legend = altair.Legend(title=None, orient="bottom", columns=2, labelLimit=110, symbolOpacity=1)
    base = altair.Chart(_data(spans)).encode(
        x=x,
        color=altair.Color("title:N", scale=scale, legend=legend if many else None),
        tooltip=[*([title] if many else []), _when(period), *_share_tips(), _count()],
    )
    y = altair.Y(
        "share:Q",
        title=f"{what}, with 95% band",
        scale=altair.Scale(domain=[0, 1]),
        axis=altair.Axis(format=".0%", tickCount=5, grid=True),
    )
    # One period alone has no area.
    area = base.mark_area() if periods > 1 else base.mark_rule(strokeWidth=12)
    band = area.encode(
        y=altair.Y("low:Q"), y2="high:Q", opacity=altair.value(0.09 if many else 0.2)
    )
    line = base.mark_line(strokeWidth=2).encode(y=y)
    points = base.mark_point(filled=True, size=45 if periods <= MANY else 6, opacity=1).encode(y=y)
    if many:  # told apart by their form, too
        points = points.encode(
            shape=altair.Shape("title:N", scale=altair.Scale(domain=titles), legend=legend)
        )
    return altair.layer(line, band, points)


def _time_axis(counts: pandas.DataFrame, period: Period) -> altair.X:
    """The axis of time; where there are few periods, each is named."""
    axis: dict[str, Any] = {"tickCount": FEW}
    if len(counts) <= FEW:
        middles = pandas.to_datetime(counts["middle"])
        axis = {
            "values": [
                altair.DateTime(year=time.year, month=time.month, date=time.day, hours=time.hour)
                for time in middles
            ]
        }
    form = "%b %Y" if period == "month" else "%d %b %Y"
    return altair.X("middle:T", title=None, axis=altair.Axis(grid=False, format=form, **axis))


def _spans(rows: pandas.DataFrame, period: Period) -> pandas.DataFrame:
    """The rows with beginning, middle and end of their period, as JavaScript reads them."""
    start = rows["period_start"]
    length = {"day": {"days": 1}, "week": {"days": 7}, "month": {"months": 1}}[period]
    end = start + pandas.DateOffset(**length)
    times = {"start": start, "middle": start + (end - start) / 2, "end": end}
    written = {name: time.dt.strftime("%Y-%m-%dT%H:%M:%S") for name, time in times.items()}
    return rows.drop(columns="period_start").assign(**written)


def _data(rows: pandas.DataFrame) -> altair.InlineData:
    """Rows as JSON in the chart: Altair takes 5,000 of a frame, and checks each value of a list.

    What is not a number is null there.
    """
    return altair.InlineData(
        values=rows.to_json(orient="records"), format=altair.JsonDataFormat(type="json")
    )


def _tint(colour: str, strength: float) -> str:
    """A colour mixed with white; all of it at a strength of 1."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(255 + (part - 255) * strength) for part in parts]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _percent(field: str, title: str) -> altair.X:
    scale, axis = altair.Scale(domain=[0, 1]), altair.Axis(format=".0%", tickCount=5)
    return altair.X(f"{field}:Q", title=title, scale=scale, axis=axis)


def _when(period: Period) -> altair.Tooltip:
    return altair.Tooltip("start:T", title="When", format=DAYS[period])


def _count() -> altair.Tooltip:
    return altair.Tooltip("n:Q", title="Reviews", format=",")


def _share_tips() -> list[altair.Tooltip]:
    return [
        altair.Tooltip("share:Q", title="Share", format=".1%"),
        altair.Tooltip("low:Q", title="at least (95%)", format=".1%"),
        altair.Tooltip("high:Q", title="at most (95%)", format=".1%"),
    ]


def _finished(chart: altair.LayerChart, description: str, **size: Any) -> altair.LayerChart:
    """The chart as wide as its place, on whatever is behind it, described for screen readers."""
    return (
        chart.properties(
            width="container",
            background="transparent",
            description=description,
            usermeta={"embedOptions": EMBEDDED},
            **size,
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=GREY, titleColor=GREY, tickColor=GREY, domainColor=GREY, gridColor=GREY,
            gridOpacity=0.25, titleFontWeight="normal", labelFontSize=12, titleFontSize=12,
        )
        .configure_legend(labelColor=GREY, labelFontSize=12)
    )  # fmt: skip
