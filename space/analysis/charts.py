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
# Distinguishable with color blindness. Source: M. Okabe and K. Ito, Color universal design (2008),
# somewhat darker.
PALETTE = [BLUE, ORANGE, "#00825f", "#a8507f", "#8a7500", "#4d6a80"]
GREY = "#767676"  # contrast of 4.5:1 on white and on nearly black
INK = "#111111"  # on colored tiles, at least 4.5:1
DATE_FORMATS = {
    "day": "%d %b %Y", "week": "week from %d %b %Y", "month": "%B %Y",
    "quarter": "quarter from %b %Y", "year": "%Y",
}  # fmt: skip
MIN_POINT = 5  # reviews; smaller points have no line through them and no band
BREAK: Any = "break-paths-show-domains"  # at a missing value
ALL = "All reviews"
VERDICT_COLORS = (BLUE, "#66727f", ORANGE)  # positive, uncertain, negative
SHADE = 0.2  # of black in the color of a second verdict of the same side
MAX_GROUPS = 20  # of a chart
COUNT_SCALE = 5  # the tallest bar of the counts takes a fifth of the height
MAX_TICKS = 8  # with more periods, some have no tick on the axis
MAX_LARGE_POINTS = 60  # with more periods, points would hide the line
# SVG takes the colors of the page's theme. The menu offers only saving, as Vega's editor is on
# another site.
EMBED_OPTIONS = {
    "renderer": "svg",
    "actions": {"export": True, "source": False, "compiled": False, "editor": False},
}
FILE_WIDTH = 760  # pixels
# Pixels of a label: a third of the page. A file has no window: its page is FILE_WIDTH wide.
PAGE_WIDTH = f"(isNumber(windowSize()[0]) ? windowSize()[0] : {FILE_WIDTH})"
LABEL_WIDTH = altair.ExprRef(f"clamp({PAGE_WIDTH} / 3, 110, 300)")
LEGEND_COLUMNS = altair.ExprRef(f"{PAGE_WIDTH} < 600 ? 1 : 3")
MIN_LABELED = 0.06  # share of a bar that has room for its number
TITLE_TOOLTIP = altair.Tooltip("title:N", title="Title")
COUNT_TOOLTIP = altair.Tooltip("n:Q", title="Reviews", format=",")
SHARE_TOOLTIPS = [
    altair.Tooltip("share:Q", title="Share", format=".1%"),
    altair.Tooltip("low:Q", title="95% interval from", format=".1%"),
    altair.Tooltip("high:Q", title="to", format=".1%"),
]
STARS_TOOLTIPS = [
    altair.Tooltip("share:Q", title="Mean stars", format=".2f"),
    altair.Tooltip("low:Q", title="95% interval from", format=".2f"),
    altair.Tooltip("high:Q", title="to", format=".2f"),
]


def over_time(rows: pandas.DataFrame, period: Period, label: str = "Positive") -> altair.LayerChart:
    """Draw the share of a label over time with its 95% band, above bars of the review counts.

    A line for all reviews comes first, then one for each title. Points of fewer than `MIN_POINT`
    reviews are faint and have no line and no band.

    Args:
        rows: From `statistics.over_time`.
        period: Of the rows.
        label: The label whose share it is.
    """
    axis = altair.Axis(format=".0%", tickCount=5, grid=True)
    return _time_chart(rows, period, f"{label} reviews", SHARE_TOOLTIPS, [0, 1], axis)


def stars_over_time(
    rows: pandas.DataFrame, period: Period, unit: str = "stars", most: float = 5
) -> altair.LayerChart:
    """Draw the mean stars over time with their 95% band.

    Args:
        rows: From `statistics.mean_over_time`.
        period: Of the rows.
        unit: What is counted, such as stars.
        most: The highest possible mean.
    """
    axis = altair.Axis(tickCount=5, format="d", tickMinStep=1, grid=True)
    return _time_chart(rows, period, f"Mean {unit}", STARS_TOOLTIPS, [0, most], axis)


def _time_chart(
    rows: pandas.DataFrame,
    period: Period,
    title: str,
    tooltips: list[altair.Tooltip],
    domain: list[float],
    axis: altair.Axis,
) -> altair.LayerChart:
    spans = _add_period_ends(rows, period)
    spans["title"] = spans["title"].replace("", ALL)
    counts = spans[spans["title"] == ALL]
    most = int(counts["n"].max()) if len(counts) else 1
    bars = (
        altair.Chart(inline_data(counts))
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
    y = {
        "title": f"{title} (band: 95% interval)", "scale": altair.Scale(domain=domain), "axis": axis
    }  # fmt: skip
    lines = _lines(spans, _time_axis(counts, period), y, tooltips, period)
    chart = altair.layer(bars, lines).resolve_scale(y="independent")
    return style(chart, f"{title} by {period}, with their number", height=320)


def verdicts(
    rows: pandas.DataFrame,
    names: Mapping[str, str],
    heading: str,
    colors: Sequence[str],
) -> altair.LayerChart:
    """Draw the verdicts of each group as one stacked bar, with the counts in it.

    Args:
        rows: From `statistics.verdict_counts`; the first `MAX_GROUPS` are drawn, in their order.
        names: By verdict, in the order of the bar, how it is called.
        heading: What the groups are, such as "title".
        colors: Of the verdicts.
    """
    groups = list(dict.fromkeys(rows["group"]))[:MAX_GROUPS]
    rows = _stack(rows[rows["group"].isin(groups)], names)
    base = altair.Chart(inline_data(rows)).encode(
        y=altair.Y(
            "group:N", title=None, sort=list(map(str, groups)),
            axis=altair.Axis(labelLimit=LABEL_WIDTH),
        ),
        tooltip=[
            altair.Tooltip("group:N", title=heading.capitalize()),
            altair.Tooltip("verdict:N", title="Prediction"),
            altair.Tooltip("count:Q", title="Reviews", format=","),
            altair.Tooltip("share:Q", title="Share", format=".1%"),
            altair.Tooltip("n:Q", title=f"Reviews of this {heading}", format=","),
        ],
    )  # fmt: skip
    color = altair.Color(
        "verdict:N",
        scale=altair.Scale(domain=list(names.values()), range=list(colors)),
        legend=altair.Legend(title=None, orient="bottom"),
    )
    x = altair.X(
        "start:Q",
        title="Share of reviews (with their number)",
        scale=altair.Scale(domain=[0, 1]),
        axis=altair.Axis(format=".0%", tickCount=5, labelOverlap=True),
    )
    bars = base.mark_bar().encode(x=x, x2="end:Q", color=color)
    middle = altair.X("middle:Q", title=None)
    labels = (
        base.transform_filter(altair.datum.share >= MIN_LABELED)
        .transform_calculate(middle="(datum.start + datum.end) / 2")
        .mark_text(fontSize=11, color="white", fontWeight="bold")
    )
    chart = altair.layer(bars, labels.encode(x=middle, text=altair.Text("count:Q", format=",")))
    return style(chart, f"Predictions by {heading}", height={"step": 26})


def _stack(rows: pandas.DataFrame, names: Mapping[str, str]) -> pandas.DataFrame:
    """The rows with names of the verdicts, and `start` and `end` of each in its group's bar."""
    order = {verdict: rank for rank, verdict in enumerate(names)}
    rows = rows.assign(order=rows["verdict"].map(order), verdict=rows["verdict"].map(names))
    rows = rows.sort_values("order", kind="stable")
    ends = rows.groupby("group")["share"].cumsum()
    return rows.assign(group=rows["group"].astype(str), start=ends - rows["share"], end=ends)


def verdict_colors(sides: Sequence[int]) -> list[str]:
    """The color of each verdict by its side; several of one side are different shades.

    Args:
        sides: 1 for positive, 0 for uncertain or neutral, -1 for negative.
    """
    return [
        mix(VERDICT_COLORS[1 - side], INK, max(0.4, 1 - SHADE * sides[:i].count(side)))
        for i, side in enumerate(sides)
    ]


def confusion(
    matrix: npt.ArrayLike, labels: Sequence[str], verdicts: Sequence[str] | None = None
) -> altair.LayerChart:
    """Draw a confusion matrix.

    Args:
        matrix: Counts, (labels, verdicts): label of the file by verdict.
        labels: Of the model, in its order.
        verdicts: By default the labels.
    """
    columns = list(verdicts or labels)
    counts = pandas.DataFrame(matrix, index=list(labels), columns=columns)
    shares = counts.div(counts.sum(axis="columns").clip(lower=1), axis="index")
    cells = [
        {
            "label": label,
            "prediction": prediction,
            "n": int(counts.loc[label, prediction]),
            "share": (share := float(shares.loc[label, prediction])),
            "fill": _mix_with_white(_tile_color(label, prediction, labels), 0.1 + 0.6 * share),
        }
        for label in labels
        for prediction in columns
    ]
    axis = altair.Axis(labelAngle=0, orient="top")
    base = altair.Chart(inline_data(pandas.DataFrame(cells))).encode(
        x=altair.X("prediction:N", title="Prediction", sort=columns, axis=axis),
        y=altair.Y("label:N", title="Label in the file", sort=list(labels)),
        tooltip=[
            altair.Tooltip("label:N", title="Label in the file"),
            altair.Tooltip("prediction:N", title="Prediction"),
            COUNT_TOOLTIP,
            altair.Tooltip("share:Q", title="Share of this label", format=".1%"),
        ],
    )
    tiles = base.mark_rect().encode(color=altair.Color("fill:N", scale=None))
    numbers = base.mark_text(fontSize=16, color=INK).encode(text=altair.Text("n:Q", format=","))
    return style(
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


def _lines(
    spans: pandas.DataFrame,
    x: altair.X,
    y: dict[str, Any],
    tooltips: list[altair.Tooltip],
    period: Period,
) -> altair.LayerChart:
    """A line with points for each title, and a band for the first."""
    titles = list(dict.fromkeys(spans["title"]))
    has_titles, is_large = len(titles) > 1, spans["n"] >= MIN_POINT
    # A missing value interrupts the line and the band.
    spans = spans.assign(
        line=spans["share"].where(is_large),
        band_low=spans["low"].where(is_large),
        band_high=spans["high"].where(is_large),
        opacity=is_large.map({True: 1.0, False: 0.35}),
    )
    scale = altair.Scale(domain=titles, range=PALETTE)
    legend = altair.Legend(
        title=None, orient="bottom", columns=LEGEND_COLUMNS, labelLimit=LABEL_WIDTH, symbolOpacity=1
    )
    title_tooltips = [TITLE_TOOLTIP] if has_titles else []
    base = altair.Chart(inline_data(spans)).encode(
        x=x,
        color=altair.Color("title:N", scale=scale, legend=legend if has_titles else None),
        tooltip=[*title_tooltips, _period_tooltip(period), *tooltips, COUNT_TOOLTIP],
    )
    first = base.transform_filter(altair.datum.title == titles[0]) if titles else base
    # An area needs more than one period.
    is_area = spans["start"].nunique() > 1
    area = first.mark_area(invalid=BREAK) if is_area else first.mark_rule(strokeWidth=12)
    band = area.encode(y=altair.Y("band_low:Q"), y2="band_high:Q", opacity=altair.value(0.15))
    line = base.mark_line(strokeWidth=2, invalid=BREAK).encode(y=altair.Y("line:Q", **y))
    size = 45 if spans["start"].nunique() <= MAX_LARGE_POINTS else 6
    points = base.mark_point(filled=True, size=size).encode(
        y=altair.Y("share:Q", **y), opacity=altair.Opacity("opacity:Q", scale=None, legend=None)
    )
    if has_titles:  # distinguishable without colors
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
    date_format = {"year": "%Y", "month": "%b %Y", "quarter": "%b %Y"}.get(period, "%d %b %Y")
    axis = altair.Axis(
        grid=False, format=date_format, labelOverlap="greedy", labelSeparation=10,
        labelFlush=True, **ticks,
    )  # fmt: skip
    return altair.X("middle:T", title=None, axis=axis)


def _add_period_ends(rows: pandas.DataFrame, period: Period) -> pandas.DataFrame:
    """Replace `period_start` by `start`, `middle` and `end`, in ISO format for JavaScript."""
    start = rows["period_start"]
    length = {
        "day": {"days": 1}, "week": {"days": 7}, "month": {"months": 1}, "quarter": {"months": 3},
        "year": {"years": 1},
    }[period]  # fmt: skip
    end = start + pandas.DateOffset(**length)
    times = {"start": start, "middle": start + (end - start) / 2, "end": end}
    texts = {name: time.dt.strftime("%Y-%m-%dT%H:%M:%S") for name, time in times.items()}
    return rows.drop(columns="period_start").assign(**texts)


def inline_data(rows: pandas.DataFrame) -> altair.InlineData:
    """Rows as JSON inside the chart; NaN is null.

    From a frame Altair takes at most 5,000 rows, and it validates each value of a list.
    """
    return altair.InlineData(
        values=rows.to_json(orient="records"), format=altair.JsonDataFormat(type="json")
    )


def _tile_color(label: str, verdict: str, labels: Sequence[str]) -> str:
    if verdict not in labels:
        return GREY
    return BLUE if label == verdict else ORANGE


def _mix_with_white(color: str, strength: float) -> str:
    """A color mixed with white; at a strength of 1 the color itself."""
    return mix(color, "#ffffff", strength)


def mix(color: str, other: str, strength: float) -> str:
    """A color mixed with another one; at a strength of 1 the color itself."""
    pairs = [(int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    mixed = [round(base + (channel - base) * strength) for channel, base in pairs]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _period_tooltip(period: Period) -> altair.Tooltip:
    return altair.Tooltip("start:T", title="Period", format=DATE_FORMATS[period])


def style(chart: altair.LayerChart, description: str, **size: Any) -> altair.LayerChart:
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
