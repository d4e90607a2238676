"""Charts drawn by the Vega-Lite of the page, and saved as files."""

import io
import json
import xml.etree.ElementTree
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import vl_convert
from PIL import Image

from space.analysis import charts, statistics
from space.files.dates import parse_dates

LABELS = ["NEGATIVE", "POSITIVE"]
SCRIPT = "<script>alert(1)</script> & Sons"
# Gradio's plot component loads 5.23. vl-convert has the closest of these, and an older one.
VERSIONS = ["5.17", "5.21"]


def rows(periods: int, titles: list[str]) -> pandas.DataFrame:
    starts = pandas.date_range("2024-01-01", periods=periods, freq="MS")
    rng = np.random.default_rng(0)
    records = []
    for title in titles:
        for start in starts:
            n = int(rng.integers(3, 40))
            share = statistics.proportion(int(rng.integers(0, n)), n)
            records.append({"period_start": start, "title": title, **share._asdict()})
    return pandas.DataFrame(records).rename(columns={"value": "share"})


def counted(count: int) -> pandas.DataFrame:
    """Verdicts of as many titles: two thirds positive."""
    titles = pandas.Series([f"{SCRIPT} {i}" for i in range(count) for _ in range(3)])
    return statistics.verdict_counts(titles, pandas.Series(["P", "P", "N"] * count))


NAMES = {"P": "Positive", "uncertain": "Uncertain", "N": "Negative"}
COLORS = charts.verdict_colors([1, 0, -1])
CHARTS = {
    "over_time": charts.over_time(rows(14, [""]), "month"),
    "one_day": charts.over_time(rows(1, [""]), "day"),
    "over_time_with_titles": charts.over_time(rows(9, ["", "Otter", SCRIPT]), "week"),
    "stars_over_time": charts.stars_over_time(rows(9, [""]), "quarter"),
    "by_title": charts.verdicts(counted(30), NAMES, "title", COLORS),
    "by_label": charts.verdicts(
        counted(2),
        {label: label for label in "NABCDP"},
        "title",
        charts.verdict_colors([1, 1, 0, 0, -1, -1]),
    ),
    "confusion": charts.confusion([[40, 3], [7, 1250]], LABELS),
    "confusion_of_nothing": charts.confusion(np.zeros((3, 3), int), ["a.b", "c[0]", "d'e"]),
}


def data(chart: Any, layer: int | None = None) -> list[dict[str, Any]]:
    """The rows inside a chart, or a layer of one."""
    spec = json.loads(chart.to_json())
    part = spec if layer is None else spec["layer"][layer]
    return list(json.loads(spec["datasets"][part["data"]["name"]]))


def drawn(chart: Any, version: str) -> str:
    return str(vl_convert.vegalite_to_svg(chart.to_dict() | {"width": 600}, vl_version=version))


def words(svg: str) -> list[str]:
    root = xml.etree.ElementTree.fromstring(svg)
    return [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CHARTS)
def test_vega_lite_of_the_page_draws_it(name: str, version: str, capfd: Any) -> None:
    assert "<path" in drawn(CHARTS[name], version)
    written = capfd.readouterr()
    assert "error" not in (written.out + written.err).casefold()


@pytest.mark.parametrize("name", CHARTS)
def test_fits_any_width_and_background(name: str) -> None:
    spec = CHARTS[name].to_dict()
    assert spec["width"] == "container" and spec["background"] == "transparent"
    assert spec["description"]
    # The menu must not link to another site.
    actions = spec["usermeta"]["embedOptions"]["actions"]
    assert actions == {"export": True, "source": False, "compiled": False, "editor": False}
    for axis in ("labelColor", "titleColor"):
        assert spec["config"]["axis"][axis] == charts.GREY


def test_over_time_names_axes_and_units() -> None:
    text = words(drawn(CHARTS["over_time"], VERSIONS[0]))
    assert {"Positive reviews (band: 95% interval)", "Reviews per month", "0%", "100%"} <= set(text)
    most = int(rows(14, [""])["n"].max())
    assert str(most) in text
    other = charts.over_time(rows(3, [""]), "week", label="Neutral")
    weekly = words(drawn(other, VERSIONS[0]))
    assert "Neutral reviews (band: 95% interval)" in weekly and "Reviews per week" in weekly
    # With few periods, each has one tick.
    assert [word for word in weekly if word.endswith("2024")] == [
        "04 Jan 2024", "04 Feb 2024", "04 Mar 2024",
    ]  # fmt: skip


def test_counts_are_those_of_all_reviews() -> None:
    frame = rows(4, ["", "Otter"])
    bars = data(charts.over_time(frame, "month"), layer=0)
    assert [bar["n"] for bar in bars] == frame[frame["title"] == ""]["n"].tolist()
    ends = [bar["end"] for bar in bars]
    assert ends[:2] == ["2024-02-01T00:00:00", "2024-03-01T00:00:00"]


def test_each_title_has_a_line_and_a_legend_entry() -> None:
    text = words(drawn(CHARTS["over_time_with_titles"], VERSIONS[0]))
    assert {"All reviews", "Otter"} <= set(text)
    assert any(word.startswith("<script>") for word in text)
    assert "All reviews" not in words(drawn(CHARTS["over_time"], VERSIONS[0]))
    svg = drawn(CHARTS["over_time_with_titles"], VERSIONS[0])
    assert "<script" not in svg and all(color in svg for color in charts.PALETTE[:3])


def test_points_of_few_reviews_have_no_line() -> None:
    frame = rows(3, [""]).assign(n=[5, 4, 5])
    points = data(charts.over_time(frame, "month"), layer=1) or []
    spec = charts.over_time(frame, "month").to_dict()
    (name,) = {layer["data"]["name"] for layer in spec["layer"][1]["layer"] if "data" in layer} or {
        spec["layer"][1]["data"]["name"]
    }
    points = json.loads(spec["datasets"][name])
    assert [point["line"] is None for point in points] == [False, True, False]
    assert [point["opacity"] for point in points] == [1, 0.35, 1]
    assert all(point["share"] is not None for point in points)


def test_points_of_few_reviews_have_no_band() -> None:
    frame = rows(3, [""]).assign(n=[9, charts.MIN_POINT - 1, 9])
    bands = [row["band_low"] for row in data(charts.stars_over_time(frame, "month"), 1)]
    assert [band is None for band in bands] == [False, True, False]


def test_verdicts_of_one_side_are_shades_of_its_color() -> None:
    positive, uncertain, negative = charts.VERDICT_COLORS
    assert charts.verdict_colors([1, 0, -1]) == [positive, uncertain, negative]
    colors = charts.verdict_colors([1, 0, 0, -1])
    assert colors[0] == positive and colors[1] == uncertain and colors[3] == negative
    assert len(set(colors)) == 4
    assert len(set(charts.verdict_colors([1, 1, 0, 0, -1, -1]))) == 6


def test_verdicts_keep_the_order_and_limit_groups() -> None:
    spec = CHARTS["by_title"].to_dict()
    shown = counted(30)["group"].drop_duplicates().tolist()[:20]
    assert spec["layer"][0]["encoding"]["y"]["sort"] == shown
    svg = drawn(CHARTS["by_title"], VERSIONS[0])
    assert {"Positive", "Negative", "2", "1"} <= set(words(svg)) and "<script" not in svg


def test_narrow_parts_of_a_bar_have_no_number() -> None:
    frame = statistics.verdict_counts(
        pandas.Series(["Salt"] * 99), pandas.Series(["P"] * 97 + ["N"] * 2)
    )
    text = words(drawn(charts.verdicts(frame, NAMES, "title", COLORS), VERSIONS[1]))
    assert "97" in text and not {"2", "null"} & set(text)


def test_long_titles_are_not_cut_on_a_wide_page() -> None:
    title = "A film whose title has more than forty letters"
    frame = statistics.verdict_counts(pandas.Series([title]), pandas.Series(["P"]))
    assert title in words(drawn(charts.verdicts(frame, NAMES, "title", COLORS), VERSIONS[1]))


def test_confusion_shows_each_count() -> None:
    cells = data(CHARTS["confusion"])
    assert [(cell["label"], cell["prediction"], cell["n"]) for cell in cells] == [
        ("NEGATIVE", "NEGATIVE", 40),
        ("NEGATIVE", "POSITIVE", 3),
        ("POSITIVE", "NEGATIVE", 7),
        ("POSITIVE", "POSITIVE", 1250),
    ]
    assert [round(cell["share"], 3) for cell in cells] == [0.93, 0.07, 0.006, 0.994]
    assert {"40", "3", "7", "1,250", "Prediction", "Label in the file"} <= set(
        words(drawn(CHARTS["confusion"], VERSIONS[0]))
    )
    assert {"a.b", "c[0]", "d'e"} <= set(words(drawn(CHARTS["confusion_of_nothing"], VERSIONS[0])))


def contrast(one: str, other: str) -> float:
    """The contrast of two colors by WCAG 2.2."""

    def luminance(color: str) -> float:
        parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_texts_have_enough_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast(charts.GREY, "#ffffff") >= 4.5
    cells = data(charts.confusion([[1, 0], [1, 0]], LABELS))
    fills = {cell["fill"] for cell in cells}
    assert len(fills) == 4 and all(contrast(charts.INK, fill) >= 4.5 for fill in fills)
    for color in charts.PALETTE:
        assert contrast(color, "#ffffff") >= 3  # WCAG's limit for graphics


def test_draws_more_than_5k_rows() -> None:
    starts = pandas.date_range("2000-01-01", periods=6000, freq="D")
    share = statistics.proportion(3, 4)
    frame = pandas.DataFrame({"period_start": starts, "title": "", **share._asdict()})
    chart = charts.over_time(frame.rename(columns={"value": "share"}), "day")
    assert len(data(chart, layer=0)) == 6000


def test_saves_each_chart_as_png_and_svg_on_white(tmp_path: Path) -> None:
    charts.save(
        {"over_time": CHARTS["over_time"], "by_title": CHARTS["by_title"]}, tmp_path / "a.zip"
    )
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == [
            "by_title.png", "by_title.svg", "over_time.png", "over_time.svg",
        ]  # fmt: skip
        with Image.open(io.BytesIO(archive.read("over_time.png"))) as image:
            assert image.width > 1.9 * charts.FILE_WIDTH
            assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
        assert "Reviews per month" in words(archive.read("over_time.svg").decode())
    assert CHARTS["over_time"].to_dict()["width"] == "container"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("number", [-(2**62), -(10**11), 3093527980800, 10**12, 10**15, 2**62])
def test_dates_of_any_year_are_drawn_or_dropped(unit: str, number: int) -> None:
    column = pandas.Series(np.array([number, 0], dtype="int64").astype(f"datetime64[{unit}]"))
    days = parse_dates(column)
    assert days.notna()[1] and (days.isna()[0] or 1900 <= days.dt.year[0] <= 2100)
    for period in statistics.PERIODS:
        rows = statistics.over_time(days, pandas.Series([1.0, 0.0]), period)
        charts.over_time(rows, period).to_dict()
