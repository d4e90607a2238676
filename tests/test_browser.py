"""The Space as a visitor sees it: Chromium on the running app."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hubserver import running_hub
from test_space import MODEL, push, running_space, save_tiny_classifier

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ["/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"]
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed — apt-get install chromium"
)
# What a browser does unasked, switched off: no call leaves this machine.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A phone's narrow page in the dark; nothing may leave this machine, or fail in a script."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(20_000)
    addresses, failures = [], []
    page.on("request", lambda request: addresses.append(request.url))
    page.on("websocket", lambda opened: addresses.append(opened.url))
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(dialog.message))
    yield page
    context.close()
    local = ("http://127.0.0.1:", "data:", "blob:")
    assert addresses
    assert [address for address in addresses if not address.startswith(local)] == []
    assert failures == []


@pytest.fixture(scope="module")
def space(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("space")
    with running_hub() as hub:
        push(hub, save_tiny_classifier(tiny_base, folder / "model"))
        env = {**hub.env(folder / "home", token=None), "MODEL_ID": MODEL}
        with running_space(env, folder) as url:
            yield url


def review(page: Any) -> Any:
    return page.get_by_label("Review")


def test_the_keyboard_is_enough(page: Any, space: str):
    page.goto(space)
    page.get_by_text(f"The model is {MODEL} at").wait_for()
    review(page).fill("a wonderful film")
    review(page).press("Shift+Enter")
    page.get_by_text("3 of 3 tokens read").wait_for()
    assert page.get_by_text("POSITIVE").first.is_visible()
    assert page.get_by_text("NEGATIVE").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_review_is_text_never_markup(page: Any, space: str):
    page.goto(space)
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script> a **wonderful** film"
    review(page).fill(markup)
    page.get_by_role("button", name="Judge").click()
    page.get_by_text("tokens read").wait_for()
    assert review(page).input_value() == markup
    assert page.locator("img[src=x]").count() == 0


def test_an_example_is_judged_when_chosen(page: Any, space: str):
    page.goto(space)
    page.get_by_role("button", name="I laughed, I cried").click()
    page.get_by_text("tokens read").wait_for()
    assert review(page).input_value().endswith("to tell her to go tonight.")


def test_a_blank_review_replaces_the_verdict_by_a_sentence(page: Any, space: str):
    page.goto(space)
    review(page).fill("a wonderful film")
    page.get_by_role("button", name="Judge").click()
    page.get_by_text("tokens read").wait_for()
    review(page).fill("   ")
    page.get_by_role("button", name="Judge").click()
    page.get_by_text("Write or paste a review first.").wait_for()
    assert page.get_by_text("tokens read").count() == 0
    assert page.get_by_text("POSITIVE").count() == 0


def test_the_page_tells_programs_how_to_ask(page: Any, space: str):
    page.set_viewport_size({"width": 1200, "height": 800})
    page.goto(space)
    page.get_by_role("button", name="Use via API").click()
    page.get_by_text("/classify").first.wait_for()


def test_the_page_is_there_before_the_model(page: Any, tmp_path: Path):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # takes calls, answers none
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        home = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": endpoint, "MODEL_ID": MODEL}
        with running_space({**os.environ, **home}, tmp_path) as url:
            page.goto(url)
            page.get_by_text("Loading the model").wait_for()
            page.get_by_role("button", name="I laughed, I cried").wait_for()
            assert review(page).is_editable()
            page.close()


def test_the_page_says_that_no_model_is_named(page: Any, tmp_path: Path):
    with running_space({**os.environ, "HF_HOME": str(tmp_path)}, tmp_path) as url:
        page.goto(url)
        page.get_by_text("No model. MODEL_ID is not set.").wait_for()
        review(page).fill("a wonderful film")
        page.get_by_role("button", name="Judge").click()
        page.get_by_text("MODEL_ID is not set.").nth(1).wait_for()  # where the verdict would be
        page.close()
