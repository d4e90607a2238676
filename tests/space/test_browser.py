"""The page in a browser: Chromium on the running app."""

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hubserver import running_hub
from test_app import MODEL, push, running_space

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe

NAMES = ["/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"]
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed — apt-get install chromium"
)
# Disables the browser's own network requests.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
OTHER = "demo/other"
# Text of each tab once it is loaded.
TAB_TEXTS = {
    "Review": "% probability",
    "File": "Upload CSV, TSV, JSON",
    "Compare": "One review for both models",
    "About": "Train your own model",
}
REVIEW = "A wonderful film. Then a dreadful end!<br /><br />Still, I would go again."


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def open_page(browser: Any, width: int, scheme: str) -> Iterator[Any]:
    """A page; asserts that it connects to this machine only and that no script fails."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    addresses: list[str] = []
    page.failures = failures = []
    page.on("request", lambda request: addresses.append(request.url))
    page.on("websocket", lambda opened: addresses.append(opened.url))
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(dialog.message))
    page.on("console", lambda message: collect_error(message, failures))
    yield page
    context.close()
    local = ("http://127.0.0.1:", "data:", "blob:")
    assert addresses
    assert [address for address in addresses if not address.startswith(local)] == []
    assert failures == []


def collect_error(message: Any, failures: list[str]) -> None:
    # Gradio's API panel requests monitoring, which is disabled.
    if message.type == "error" and not message.location["url"].endswith("/monitoring/summary"):
        failures.append(message.text)


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    """A narrow page with the dark theme."""
    yield from open_page(browser, 390, "dark")


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A wide page with the light theme."""
    yield from open_page(browser, 1200, "light")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback")


def files_of(stored: Path) -> Path:
    """Where the app writes uploads and files to download."""
    return stored.with_name(f"{stored.name}-files")


@pytest.fixture(scope="module")
def space(
    finished_run: Path,
    tiny_classifier: Path,
    stored: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("space")
    with running_hub() as hub:
        push(hub, finished_run)
        push(hub, tiny_classifier, OTHER)
        env = {**hub.env(folder / "home", token=None), "MODEL_ID": MODEL}
        env |= {"FEEDBACK_DIR": str(stored), "GRADIO_TEMP_DIR": str(files_of(stored))}
        with running_space(env, folder) as url:
            yield url


def serious_violations(page: Any) -> list[Any]:
    """Accessibility violations that axe-core rates serious or critical, with their elements."""
    return [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]])
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def leave(page: Any) -> None:
    """Unload the document and forget what it reports meanwhile.

    Gradio aborts its streams when its page is unloaded, and reports each of them as an error.
    """
    page.evaluate("0")  # what the live document has reported arrives before the answer
    reported = len(page.failures)
    page.goto("about:blank")
    page.evaluate("0")
    del page.failures[reported:]


def open_app(page: Any, address: str) -> None:
    """Open the page and wait until the model is loaded."""
    if page.url != "about:blank":
        leave(page)
    page.goto(address)
    page.get_by_text(f"Model: {MODEL} (").wait_for()


def visit(page: Any, address: str) -> None:
    """Open the page and wait until the first review is analyzed, too."""
    open_app(page, address)
    page.locator("#result:not([aria-busy]) .attribution").wait_for()


def review(page: Any) -> Any:
    return page.locator("#review textarea")


def start_analysis(page: Any, text: str) -> None:
    review(page).fill(text)
    page.locator("#analyze").click()


def analyze(page: Any, text: str) -> None:
    start_analysis(page, text)
    page.locator("#result:not([data-stale])").wait_for()  # its text is the one in the box


def go_to(page: Any, space: str, tab: str) -> None:
    visit(page, space)
    page.get_by_role("tab", name=tab).click()


def test_only_errors_of_an_unloading_document_are_ignored(page: Any, space: str):
    visit(page, space)
    page.evaluate(
        """() => {
          console.error("live");
          addEventListener("beforeunload", () => {
            console.error("unloading");
            Promise.reject(new Error("aborted"));
          });
        }"""
    )
    visit(page, space)
    assert page.failures == ["live"]
    page.failures.clear()


def test_keyboard_shortcut_analyzes_a_review(phone: Any, space: str):
    visit(phone, space)
    review(phone).fill("a wonderful film")
    review(phone).press("Control+Enter")
    phone.locator("#result:not([data-stale])").wait_for()
    phone.get_by_text("3 of 3 tokens read").wait_for()
    phone.get_by_label("Prediction").get_by_text("% probability").wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_shows_the_effect_of_each_sentence_and_its_numbers(page: Any, space: str):
    visit(page, space)
    analyze(page, REVIEW)
    attribution = page.get_by_label("Effect of each sentence")
    attribution.wait_for()
    assert "A wonderful film. Then a dreadful end!" in attribution.inner_text()
    assert attribution.locator(".review > span").count() == 3
    assert attribution.locator(".review .top").count() == 1
    attribution.get_by_text("Show the numbers").click()
    rows = attribution.get_by_role("row").all_inner_texts()
    assert len(rows) == 4
    assert rows[1].startswith("A wonderful film.")


def test_review_markup_is_shown_as_text(page: Any, space: str):
    visit(page, space)
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script> a **wonderful** film. And more."
    analyze(page, markup)
    attribution = page.get_by_label("Effect of each sentence")
    attribution.wait_for()
    shown = attribution.inner_text()
    assert "<img src=x onerror=alert(1)><script>alert(2)</script> a **won" in shown
    assert review(page).input_value() == markup
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("   ", "Write or paste a review first."),
        ("x" * 100_001, "A review may have at most 100,000 characters; this one has 100,001."),
        ("\u200b\u200b", "This review has no words."),
        ("\U0001f37f\U0001f37f", "it doesn't know emoji or symbols (“\U0001f37f\U0001f37f”)."),
        ("一部好電影", "it doesn't know Chinese characters (“一部好電影”)."),
    ],
)
def test_invalid_review_gets_a_message(page: Any, space: str, text: str, sentence: str):
    visit(page, space)
    analyze(page, "a wonderful film")
    page.get_by_text("tokens read").wait_for()
    analyze(page, text)
    page.locator("#result").get_by_text(sentence).wait_for()
    assert page.get_by_text("tokens read").count() == 0


def test_any_other_text_gets_a_prediction(page: Any, space: str):
    visit(page, space)
    analyze(page, "good\x07 film \U0001f37f")
    page.get_by_text("tokens read").wait_for()
    page.get_by_text("The model doesn't know 1 of the 3 tokens: “\U0001f37f”.").wait_for()


def test_review_in_another_language_gets_a_caution(page: Any, space: str):
    """In Latin letters and in another script; none for English and for names."""
    visit(page, space)
    card = page.locator("#result .prediction")
    for text, reason in [
        ("Ce film est vraiment très ennuyeux, et les acteurs jouent mal.", "looks like French"),
        ("wonderful фильм, отличный и добрый", "is mostly in Cyrillic letters"),
    ]:
        analyze(page, text)
        caution = f"The model was trained on English, and this text {reason}."
        card.get_by_text(f"{caution} Do not rely on this prediction.").wait_for()
        assert card.locator(".label").inner_text().startswith("Uncertain")
    for text in ["a wonderful film that I saw with my mother", "Arnold Schwarzenegger"]:
        analyze(page, text)
        page.locator(".subject", has_text=text).wait_for()
        assert "trained on" not in card.inner_text()


def check_scale(card: Any) -> None:
    """The marker of a prediction is at its probability, and the uncertain zone in the middle."""
    shown = card.locator(".probability").inner_text()
    track, marker = (card.locator(f".scale {part}").bounding_box() for part in (".track", "b"))
    position = (marker["x"] + marker["width"] / 2 - track["x"]) / track["width"]
    percent = {"over 99%": 99.5}.get(shown.partition(" probability")[0])
    percent = percent or int(shown.partition("%")[0])
    positive = percent / 100 if "of positive" in shown else 1 - percent / 100
    assert position == pytest.approx(positive, abs=0.02)
    zone = card.locator(".scale .zone")
    if zone.count():
        box = zone.bounding_box()
        middle = (box["x"] + box["width"] / 2 - track["x"]) / track["width"]
        assert middle == pytest.approx(0.5, abs=0.01)


def test_scale_shows_the_probability_and_the_uncertain_zone(phone: Any, space: str):
    visit(phone, space)
    analyze(phone, "a wonderful film")
    check_scale(phone.get_by_label("Prediction"))


FILLER = "We sat in row nine and ate what was left of the popcorn. " * 12
TWO_SIDES = f"{FILLER} A wonderful film. {FILLER} A dreadful end!"


def check_strongest_sentences(phone: Any) -> None:
    """Of the analysis of `TWO_SIDES`: the listed sentences, and the effect of a tapped part."""
    listed = phone.locator(".strongest button")
    listed.first.wait_for()
    titles = phone.locator(".strongest p").all_inner_texts()
    assert sorted(titles) == ["Strongest for negative", "Strongest for positive"]
    name = listed.last.inner_text()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    listed.last.click()
    shown = phone.locator(".review > .shown")
    assert shown.count() == 1
    assert shown.inner_text().startswith(name)
    effect = shown.get_attribute("data-effect")
    assert re.fullmatch(r"\+\d+\.\d\d for (positive|negative) · .*", effect)
    assert effect in shown.evaluate("element => getComputedStyle(element, '::after').content")
    assert 0 <= shown.bounding_box()["y"] < 900
    shown.dispatch_event("click")
    assert phone.locator(".review .shown").count() == 0
    word = phone.locator(".review b").first
    word.click()
    assert word.evaluate("element => element.matches('.shown')")


def test_strongest_sentences_lead_to_their_place_and_a_tap_shows_the_effect(phone: Any, space: str):
    visit(phone, space)
    analyze(phone, TWO_SIDES)
    check_strongest_sentences(phone)


def test_compares_two_models_on_one_text(page: Any, space: str):
    go_to(page, space, "Compare")
    page.get_by_label("Model B").fill(OTHER)
    page.get_by_label("One review for both models").fill("a wonderful film")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("rowheader", name="Prediction").wait_for()


def test_about_tab_shows_the_results_of_the_model(page: Any, space: str, finished_run: Path):
    accuracy = json.loads((finished_run / "results.json").read_text())["metrics"]["test"][
        "accuracy"
    ]
    go_to(page, space, "About")
    page.get_by_text(f"{accuracy:.2%}").first.wait_for()
    assert page.get_by_text('model="demo/tiny"').first.is_visible()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name=re.compile("^Copy:")).first.click()
    page.get_by_text("Selected: press Ctrl+C").wait_for()
    assert page.evaluate("getSelection().toString().length") > 20


@pytest.mark.parametrize("tab", TAB_TEXTS)
@pytest.mark.parametrize("kind", ["phone", "page"])
def test_tab_has_no_serious_accessibility_violation(
    request: pytest.FixtureRequest, kind: str, space: str, tab: str
):
    page = request.getfixturevalue(kind)
    go_to(page, space, "Review")
    analyze(page, REVIEW)
    page.locator("#result:not([aria-busy])").wait_for()
    page.get_by_role("tab", name=tab).click()
    page.get_by_text(TAB_TEXTS[tab]).first.wait_for()
    assert serious_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_page_documents_its_api(page: Any, space: str):
    visit(page, space)
    page.get_by_role("button", name="Use via API").click()
    page.get_by_role("heading", name="MCP documentation").wait_for()
    page.get_by_text("classify_batch").first.wait_for()


def test_page_works_before_the_model_is_loaded(phone: Any, tmp_path: Path):
    with closing(
        socket.create_server(("127.0.0.1", 0))
    ) as silent:  # accepts connections, answers none
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        home = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": endpoint, "MODEL_ID": MODEL}
        with running_space({**os.environ, **home}, tmp_path) as url:
            phone.goto(url)
            phone.get_by_text("Loading the model").wait_for()
            phone.get_by_text("Paste a review or choose an example.").wait_for()
            assert review(phone).is_editable()
            phone.close()


def test_page_reports_a_missing_model_id(page: Any, tmp_path: Path):
    with running_space({**os.environ, "HF_HOME": str(tmp_path)}, tmp_path) as url:
        page.goto(url)
        page.get_by_text("No model. MODEL_ID is not set.").wait_for()
        analyze(page, "a wonderful film")
        page.locator("#result").get_by_text(
            "MODEL_ID is not set."
        ).wait_for()  # in place of the prediction
        page.close()
