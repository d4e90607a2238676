"""Screenshots of the Space for the README: the app with a run's model, in a real browser.

The reviews are the project's own; the dates of the uploaded file are invented. Needs Chromium.
Out: `space-review.png`, `space-many.png` and `space-phone.png`, and `space/preview.png`, the
picture of link previews.

    python -m benchmarks.screenshots [--model runs/quickstart] [--out FOLDER]
"""

import argparse
import json
import os
import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas

from benchmarks import REPOSITORY, RESULTS
from benchmarks.space import MODEL, publish, running
from space.web.link_preview import PICTURE
from train import quickstart

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EXAMPLE = "Mixed"


def main() -> None:
    """Start the app and take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=REPOSITORY / "runs" / "quickstart")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        reviews = write_reviews(Path(scratch) / "reviews.csv")
        with quickstart.local_hub(Path(scratch) / "hub") as endpoint:
            publish(endpoint, quickstart.token(root=Path(scratch) / "hub"), options.model)
            env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": f"{scratch}/home"}
            with running({**env, "MODEL_ID": MODEL}) as (url, _, _):
                take(url, reviews, options.out)


def write_reviews(path: Path) -> Path:
    """The sample reviews of the test split: stars as labels, and invented dates."""
    lines = (REPOSITORY / "train/samples/test.jsonl").read_text(encoding="utf-8").splitlines()
    rows = pandas.DataFrame([json.loads(line) for line in lines])
    rows = rows[rows["stars"] != 3]
    days = [str(date(2026, 1, 1) + timedelta(days=2 * i)) for i in range(len(rows))]
    labels = ["positive" if stars > 3 else "negative" for stars in rows["stars"]]
    rows = pandas.DataFrame({"date": days, "label": labels, "text": rows["text"]})
    rows.to_csv(path, index=False)
    return path


def take(url: str, reviews: Path, out: Path) -> None:
    """Open the page, use each tab and take a screenshot."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, width, scheme in (("review", 1200, "light"), ("phone", 390, "dark")):
            page = _open(browser, url, width, scheme)
            page.get_by_role("button", name=EXAMPLE).click()
            page.locator("#result:not([aria-busy]) details").wait_for()
            page.screenshot(path=out / f"space-{name}.png")
        page = _open(browser, url, 1200, "light")
        page.set_viewport_size({"width": 1200, "height": 630})
        page.locator("#result:not([aria-busy]) details").wait_for()
        page.screenshot(path=PICTURE)
        page.get_by_role("tab", name="File").click()
        page.locator("input[type=file]").first.set_input_files(reviews)
        page.locator("#analyze-file").click()
        page.locator(".vega-embed summary").nth(1).wait_for()
        page.get_by_text("Reviews per month").wait_for()
        page.screenshot(path=out / "space-many.png", full_page=True)
        browser.close()


def _open(browser: Any, url: str, width: int, scheme: str) -> Any:
    page = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    ).new_page()
    page.goto(url)
    page.get_by_text("Model:").first.wait_for()
    return page


if __name__ == "__main__":
    main()
