"""The page with a model of five stars: Chromium on the running app."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import STARS, toy_star_reviews
from hubserver import running_hub
from test_app import MODEL, push, running_space
from test_browser import (  # noqa: F401  # fixtures
    analyze,
    browser,
    open_app,
    page,
    phone,
    pytestmark,
    serious_violations,
    stored,
)
from test_browser_files import score


@pytest.fixture(scope="module")
def space(star_run: Path, stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: F811
    folder = tmp_path_factory.mktemp("stars-space")
    with running_hub() as hub:
        push(hub, star_run)
        env = {**hub.env(folder / "home", token=None), "MODEL_ID": MODEL}
        env["FEEDBACK_DIR"] = str(stored)
        with running_space(env, folder) as url:
            yield url


@pytest.fixture(scope="module")
def export_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like a Letterboxd export: half stars, dates and titles."""
    path = tmp_path_factory.mktemp("files") / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Date", "Name", "Year", "Rating", "Review"])
        for i, row in enumerate(toy_star_reviews(60)):
            day = f"2026-{1 + i % 6:02}-{1 + i % 28:02}"
            writer.writerow([day, row["title"], 2020, row["rating"] / 2, row["text"]])
    return path


@pytest.fixture(autouse=True)
def no_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't wait for an analyzed example: the toy model may be right about none."""
    monkeypatch.setattr("test_browser.visit", open_app)


def test_review_shows_expected_stars_and_bars_in_order(page: Any, space: str):  # noqa: F811
    open_app(page, space)
    page.get_by_text("How many stars does this review give").wait_for()
    analyze(page, "A wonderful film, wonderful. Then a dreadful end, dreadful!")
    card = page.locator("#result .prediction")
    heading = card.locator(".label").inner_text()
    assert heading.endswith(" stars")
    assert 1 <= float(heading.split()[-2]) <= 5
    assert card.locator("dt").all_inner_texts() == STARS
    colors = card.locator("b.step").evaluate_all(
        "bars => bars.map((bar) => getComputedStyle(bar).backgroundColor)"
    )
    assert len(set(colors)) == 5
    page.get_by_text("more stars").first.wait_for()
    assert serious_violations(page) == []


@pytest.mark.parametrize("device", ["page", "phone"])
def test_file_shows_means_beside_the_ratings(
    device: str, space: str, export_file: Path, request: pytest.FixtureRequest
):
    shown = request.getfixturevalue(device)
    score(shown, space, export_file)
    shown.locator("#results .verdicts").wait_for()
    shown.get_by_text("stars on average, of 60 reviews").wait_for()
    shown.get_by_text("rank correlation (Spearman) with the ratings").wait_for()
    shown.locator(".vega-embed").nth(2).wait_for()  # over time, by rating, by title
    for caption in ["Mean stars over time", "Mean stars by title", "Predictions by rating"]:
        assert shown.get_by_text(caption).count() > 0
    legend = [line.split()[0] for line in shown.locator(".verdicts li").all_inner_texts()]
    assert legend == ["5", "4", "3", "2", "1"]
    table = shown.locator(".rows").filter(has_text="select one to open it")
    assert " stars" in table.locator(".verdict").first.text_content()
    assert shown.evaluate("document.documentElement.scrollWidth") <= shown.viewport_size["width"]
