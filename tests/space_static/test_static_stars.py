# ruff: noqa: F401, F811  # fixtures are imported, and are the names of arguments
"""The static page with a model of five stars, in a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import pytest
from conftest import STARS, toy_star_reviews
from test_page import (
    MODEL,
    Site,
    analyze,
    browser,
    call,
    page,
    published,
    pytestmark,
    score,
    upload,
)
from test_static_tabs import downloaded

from space.inference.attribution import explain
from space.inference.classifier import Classifier
from space.inference.serving import EXPLANATION, Service
from train.publishing import npm_packages, static_space

MIXED = "The songs were wonderful, wonderful. The end was dreadful, dreadful."


@pytest.fixture(scope="module")
def site(star_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    npm_packages.fetch(static_space.PINS)
    home = tmp_path_factory.mktemp("home")
    with published(Path(shutil.copytree(star_run, home / "toy-stars")), home) as site:
        yield site


@pytest.fixture(scope="module")
def classifier(star_run: Path) -> Classifier:
    return Classifier.from_folder(star_run)


def visit_stars(page: Any, site: Site) -> None:
    """Open the page without an example."""
    page.goto(f"{site.url}/#review")
    page.get_by_text(f"Model: {MODEL} (").wait_for()


def test_review_shows_expected_stars_and_bars_in_order(
    page: Any, site: Site, classifier: Classifier
) -> None:
    visit_stars(page, site)
    page.get_by_text("How many stars does this review give").wait_for()
    analyze(page, MIXED)
    page.get_by_label("Effect of each sentence").wait_for()
    card = page.get_by_label("Prediction")
    heading = card.locator(".label").inner_text()
    expected = classifier.predict(MIXED)
    assert heading.endswith(" stars") and heading.startswith("Uncertain") == expected.unsure
    assert float(heading.split()[-2]) == pytest.approx(expected.expected, abs=0.1)
    assert card.locator("dt").all_inner_texts() == STARS
    colors = card.locator("b.step").evaluate_all(
        "bars => bars.map((bar) => getComputedStyle(bar).backgroundColor)"
    )
    assert len(set(colors)) == 5
    page.get_by_text("more stars").first.wait_for()


def test_effects_are_those_of_python(page: Any, site: Site, classifier: Classifier) -> None:
    visit_stars(page, site)
    answer = call(page, "explain", MIXED)
    expected = explain(Service(classifier).request(EXPLANATION), MIXED)
    for name in ["sentences", "words"]:
        effects = [part.attribution for part in getattr(expected, name)]
        assert [part["attribution"] for part in answer[name]] == pytest.approx(effects, abs=0.02)


def test_file_has_expected_stars(page: Any, site: Site, tmp_path: Path) -> None:
    rows = toy_star_reviews(20)
    pandas.DataFrame(rows).to_csv(tmp_path / "reviews.csv", index=False)
    visit_stars(page, site)
    upload(page, tmp_path / "reviews.csv")
    score(page)
    scored = [float(row["expected_stars"]) for row in downloaded(page)]
    assert len(scored) == 20 and all(1 <= stars <= 5 for stars in scored)
    numbers = page.get_by_label("Summary").locator(".big").all_inner_texts()
    assert float(numbers[0]) == pytest.approx(sum(scored) / 20, abs=0.01)
    counts = page.locator(".verdicts strong").all_inner_texts()  # from the highest to the lowest
    assert len(counts) == 5 and sum(map(int, counts)) == 20  # uncertain ones have a place, too
    cells = page.locator("#file-results td:nth-of-type(2)").all_inner_texts()
    assert cells and all(" stars " in cell or "no leaning" in cell for cell in cells)
