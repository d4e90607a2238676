"""Screenshots of the Space for the README: the app with a run's model, in a real browser.

The reviews are the project's own; the dates of the uploaded file are invented. Needs Chromium.
Out: `space-review.png`, `space-many.png` and `space-phone.png`, and `space/preview.png`, the
picture of link previews. `--every` takes each tab instead, empty, filled and in error, in both
color schemes, on a desktop and a phone, to runs/bench: to look at after a change of the page.

    python -m benchmarks.screenshots [--model runs/quickstart] [--aspect-model RUN] [--out FOLDER]
        [--every]
"""

import argparse
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas

from benchmarks import REPOSITORY, RESULTS, add_model, model_folder
from benchmarks.space import MODEL, publish, running
from space.web.link_preview import PICTURE
from train import quickstart

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EXAMPLE = "Mixed"
FRENCH = "Un film magnifique, porté par des acteurs au sommet. Je le recommande à tout le monde."
ASPECT_MODEL = "demo/movie-aspects"
Visit = Callable[[Any, str], Iterator[str]]  # brings a page at an address into each state
EVERY = REPOSITORY / "runs" / "bench"  # never committed, unlike the results
SETTLED_MS = 500  # after which nothing moves


def main() -> None:
    """Start the app and take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_model(parser)
    parser.add_argument("--aspect-model", type=Path, help="run folder of a model of aspects")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results")
    parser.add_argument("--every", action="store_true", help="each tab in each state")
    options = parser.parse_args()
    options.model = model_folder(options.model)
    out = options.out or (EVERY if options.every else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        reviews = write_reviews(Path(scratch) / "reviews.csv")
        with quickstart.local_hub(Path(scratch) / "hub") as endpoint:
            token = quickstart.token(root=Path(scratch) / "hub")
            publish(endpoint, token, options.model)
            env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": f"{scratch}/home"}
            if options.aspect_model:
                publish(endpoint, token, model_folder(options.aspect_model), ASPECT_MODEL)
                env["ASPECT_MODEL_ID"] = ASPECT_MODEL
            with running({**env, "MODEL_ID": MODEL}) as (url, _, _):
                if not options.every:
                    take(url, reviews, out)
                    return
                take_every(url, out, _states_without_results, _states)
            with running({**env, "MODEL_ID": "demo/nothing"}) as (url, _, _):
                take_every(url, out, _states_without_model)


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


def take_every(url: str, out: Path, *visits: Visit) -> None:
    """Take each state of each visit; the files are named by tab, state, width and color scheme."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width, scheme in itertools.product((1200, 390), ("light", "dark")):
            for visit in visits:
                page = browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                ).new_page()
                for state in visit(page, url):
                    page.wait_for_timeout(SETTLED_MS)
                    page.screenshot(path=out / f"{state}-{width}-{scheme}.png", full_page=True)
                page.close()
        browser.close()


def _states_without_results(page: Any, url: str) -> Iterator[str]:
    """The Review tab without an example, and the About tab before the server has answered."""
    page.goto(f"{url}/#review=")  # a damaged link, so that no example opens the page
    page.get_by_text("Model:").first.wait_for()
    page.locator("#link-problem").evaluate("problem => { problem.hidden = true; }")
    yield "review-empty"
    page.route("**/gradio_api/queue/join*", lambda route: None)  # never answered
    page.get_by_role("tab", name="About").click()
    page.get_by_text("Metrics and limitations of the model appear here.").wait_for()
    yield "about-empty"
    page.unroute_all(behavior="ignoreErrors")


def _states_without_model(page: Any, url: str) -> Iterator[str]:
    """The About tab in error, because there is no model."""
    page.goto(url)
    page.get_by_text("No model.").first.wait_for()
    page.get_by_role("tab", name="About").click()
    page.locator(".problem:visible").wait_for()
    yield "about-error"


def _states(page: Any, url: str) -> Iterator[str]:
    """Bring the page into each state; yields its name."""
    page.goto(url)
    page.get_by_text("Model:").first.wait_for()
    page.locator("#result:not([aria-busy]) details").wait_for()
    yield "review-filled"
    page.locator("#review textarea").fill(FRENCH)
    page.locator("#analyze").click()
    page.locator("#result").get_by_text("looks like").wait_for()
    yield "review-foreign"
    page.locator("#review textarea").fill(" ")
    page.locator("#analyze").click()
    page.locator("#result .problem").wait_for()
    yield "review-error"
    page.get_by_role("tab", name="File").click()
    yield "file-empty"
    page.locator("input[type=file]").first.set_input_files(
        {"name": "picture.csv", "mimeType": "text/csv", "buffer": b"\x89PNG"}
    )
    page.locator(".problem:visible").wait_for()
    yield "file-error"
    page.get_by_role("button", name="Try a sample file").click()
    page.get_by_text("sample.csv: 60 rows").wait_for()
    yield "file-uploaded"
    page.locator("#analyze-file").click()
    page.locator(".words, #results .remark:has-text('Characteristic words need')").wait_for()
    page.locator(".vega-embed summary").nth(4).wait_for()
    yield "file-filled"
    page.get_by_role("tab", name="Compare").click()
    yield "compare-empty"
    page.get_by_label("Model B").fill("demo/nothing")
    page.get_by_label("One review for both models").fill("A wonderful film.")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.locator(".problem:visible").wait_for()
    yield "compare-error"
    page.get_by_role("button", name="on the sample file").first.click()
    page.get_by_text("sample.csv: 60 rows").last.wait_for()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("rowheader", name="Accuracy").wait_for()
    yield "compare-filled"
    page.get_by_role("tab", name="About").click()
    page.get_by_text("Train your own model").wait_for()
    yield "about-filled"


def _open(browser: Any, url: str, width: int, scheme: str) -> Any:
    page = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    ).new_page()
    page.goto(url)
    page.get_by_text("Model:").first.wait_for()
    return page


if __name__ == "__main__":
    main()
