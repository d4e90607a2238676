"""Pictures of the Space for the README: the app on a run's model, in a real browser.

What is typed and uploaded are the project's own reviews; the dates of the file are made up. Needs
Chromium. Out: `space-review.png`, `space-many.png` and `space-phone.png`.

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
from train import quickstart

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EXAMPLE = "A mixed review"


def main() -> None:
    """Start the app and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=REPOSITORY / "runs" / "quickstart")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        reviews = write_reviews(Path(scratch) / "reviews.csv")
        with quickstart.local_hub(Path(scratch) / "hub") as endpoint:
            publish(endpoint, quickstart.token(root=Path(scratch) / "hub"), given.model)
            env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": f"{scratch}/home"}
            with running({**env, "MODEL_ID": MODEL}) as (url, _, _):
                take(url, reviews, given.out)


def write_reviews(path: Path) -> Path:
    """The sample reviews that models are tested on: stars as labels, and made-up dates."""
    lines = (REPOSITORY / "train/samples/test.jsonl").read_text(encoding="utf-8").splitlines()
    rows = pandas.DataFrame([json.loads(line) for line in lines])
    rows = rows[rows["stars"] != 3]
    days = [str(date(2026, 1, 1) + timedelta(days=2 * i)) for i in range(len(rows))]
    labels = ["positive" if stars > 3 else "negative" for stars in rows["stars"]]
    rows = pandas.DataFrame({"date": days, "label": labels, "text": rows["text"]})
    rows.to_csv(path, index=False)
    return path


def take(url: str, reviews: Path, out: Path) -> None:
    """Open the page as a visitor would, and photograph what there is to see."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, width, scheme in (("review", 1200, "light"), ("phone", 390, "dark")):
            page = _visit(browser, url, width, scheme)
            page.get_by_text(EXAMPLE).click()
            page.get_by_text("Show the numbers").wait_for()
            page.screenshot(path=out / f"space-{name}.png")
        page = _visit(browser, url, 1200, "light")
        page.get_by_role("tab", name="File").click()
        page.locator("input[type=file]").first.set_input_files(reviews)
        page.locator("#analyze-file").click()
        page.locator(".vega-embed summary").nth(1).wait_for()
        page.get_by_label("month").check()
        page.get_by_text("Reviews per month").wait_for()
        page.screenshot(path=out / "space-many.png", full_page=True)
        browser.close()


def _visit(browser: Any, url: str, width: int, scheme: str) -> Any:
    page = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    ).new_page()
    page.goto(url)
    page.get_by_text("Model:").first.wait_for()
    return page


if __name__ == "__main__":
    main()
