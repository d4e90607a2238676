"""The page with a second model, of aspects: Chromium on the running app."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_aspect_pairs
from hubserver import running_hub
from test_app import MODEL, push, running_space
from test_browser import (  # noqa: F401  # fixtures
    analyze,
    browser,
    page,
    phone,
    pytestmark,
    serious_violations,
    visit,
)
from test_browser_files import download, score

ASPECT_MODEL = "demo/aspects"


@pytest.fixture(scope="module")
def space(
    finished_run: Path, aspect_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("aspects-space")
    with running_hub() as hub:
        push(hub, finished_run)
        push(hub, aspect_run, ASPECT_MODEL)
        env = {**hub.env(folder / "home", token=None), "MODEL_ID": MODEL}
        with running_space(env | {"ASPECT_MODEL_ID": ASPECT_MODEL}, folder) as url:
            yield url


@pytest.mark.parametrize("device", ["page", "phone"])
def test_review_shows_the_aspects_that_it_mentions(
    device: str, space: str, request: pytest.FixtureRequest
):
    shown = request.getfixturevalue(device)
    visit(shown, space)
    analyze(shown, "Film 7 was wonderful.")
    table = shown.locator("#result .aspects")
    table.wait_for()
    rows = table.locator("tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["Aspect", "Acting", "Story"]  # and not the music
    assert "Positive" in rows[1] or "leaning positive" in rows[1]
    assert "Film 7 was wonderful." in rows[1]
    assert shown.evaluate("document.documentElement.scrollWidth") <= shown.viewport_size["width"]
    assert serious_violations(shown) == []


def test_file_has_a_heat_map_and_columns(page: Any, space: str, tmp_path: Path):  # noqa: F811
    path = tmp_path / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "title"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(toy_aspect_pairs()[::3])
    score(page, space, path)
    page.get_by_text("Aspects by title").first.wait_for()
    page.locator(".vega-embed").nth(1).wait_for()  # by title, and aspects by title
    with open(download(page, "Download as CSV").path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"POSITIVE", "NEGATIVE"} == {row["story_prediction"] for row in rows}
    assert all(0 < float(row["music_probability"]) <= 1 for row in rows)
    assert "mixed" in rows[0]
    listing = page.locator(".rows").filter(has_text="select one to open it")
    assert listing.locator("th", has_text="mixed").count() > 0
