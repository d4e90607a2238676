"""The static page in a browser: published to a local Hub that serves it, as the Hub does."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, fit_toy_run, sample_rows, toy_reviews
from hubserver import WRITE, RunningHub, running_hub
from test_browser import CHROMIUM, FLAGS, serious_violations

from space.examples import select
from space.inference.attribution import explain
from space.inference.classifier import Classifier, InvalidText
from space.inference.serving import EXPLANATION, Service
from train.publishing import golden_scores, npm_packages, static_space

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]
MODEL, SPACE = "demo/tiny", "demo/page"
REVIEW = "A wonderful film. Then a dreadful end!<br /><br />Still, I would go again."
TABS = ["Review", "File", "About"]


@dataclass
class Site:
    """The published page: its address, and the hub that its model comes from."""

    url: str
    hub: RunningHub
    printed: str  # by `publish`


@contextmanager
def published(run: Path, home: Path) -> Iterator[Site]:
    """Publish a run and its static Space to a hub that serves it."""
    from huggingface_hub import HfApi

    with running_hub(arguments=["--run-spaces", SPACE]) as hub:
        command = ["-m", "train", "publish", str(run), "--to", MODEL, "--space", SPACE]
        done = subprocess.run(
            [sys.executable, *command, "--space-kind", "static"],
            cwd=REPOSITORY,
            env={**os.environ, **hub.env(home)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        host = HfApi(endpoint=hub.endpoint, token=WRITE).space_info(SPACE).host
        yield Site(str(host), hub, done.stdout)


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run on toy reviews, with int8."""
    from train.pipeline import training_run
    from train.publishing import export

    npm_packages.fetch(static_space.PINS)
    folder = fit_toy_run(tmp_path_factory.mktemp("run"), tiny_base)
    training_run.evaluate(folder)
    export.export(folder)
    return folder


@pytest.fixture(scope="module")
def site(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with published(run, tmp_path_factory.mktemp("home")) as site:
        yield site


@pytest.fixture(scope="module")
def classifier(run: Path) -> Classifier:
    return Classifier.from_folder(run)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def open_page(browser: Any, width: int = 1200, scheme: str = "light") -> Iterator[Any]:
    """A page; asserts that it connects to this machine only and that no script fails."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.requests, page.failures = [], []
    context.on("request", lambda request: page.requests.append(request))
    page.on("pageerror", lambda error: page.failures.append(str(error)))
    page.on("dialog", lambda dialog: page.failures.append(dialog.message))
    page.on("console", lambda message: collect_error(message, page.failures))
    yield page
    urls = [request.url for request in page.requests]
    context.close()
    assert urls
    assert [url for url in urls if not url.startswith(("http://127.0.0.1:", "blob:http"))] == []
    assert page.failures == []


def collect_error(message: Any, failures: list[str]) -> None:
    if message.type == "error":
        failures.append(message.text)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A wide page with the light theme."""
    yield from open_page(browser)


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    """A narrow page with the dark theme."""
    yield from open_page(browser, 390, "dark")


def visit(page: Any, address: str) -> None:
    """Open the page and wait until the model is loaded and the first example analyzed."""
    page.goto(address)
    page.get_by_text(f"Model: {MODEL} (").wait_for()
    page.get_by_text("tokens read").wait_for()
    page.get_by_label("Effect of each sentence").wait_for()


def analyze(page: Any, text: str) -> None:
    page.locator("#review").fill(text)
    page.locator("#analyze").click()


def call(page: Any, method: str, argument: Any) -> Any:
    """Call a method of worker.js in a worker of its own."""
    return page.evaluate(
        """async ([method, argument]) => {
          const { ModelWorker } = await import("./model_worker.js");
          const worker = new ModelWorker();
          await worker.call("load", { ...document.documentElement.dataset, device: "wasm" });
          const answer = await worker.call(method, argument);
          worker.close();
          return answer;
        }""",
        [method, argument],
    )


def upload(page: Any, path: Path) -> None:
    page.get_by_role("tab", name="File").click()
    page.get_by_label("File of reviews").set_input_files(path)


def score(page: Any) -> None:
    page.locator("#score").click()
    page.get_by_role("link", name="Download scored file").wait_for()


def downloaded(page: Any) -> list[dict[str, str]]:
    """The rows of the scored file."""
    with page.expect_download() as download:
        page.get_by_role("link", name="Download scored file").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def write_reviews(path: Path, count: int = 40) -> Path:
    """Toy reviews with titles and labels; one is blank, one looks like a formula."""
    rows = toy_reviews(count)
    rows[3]["text"], rows[4]["text"] = "", "=wonderful film number 4"
    rows[5]["title"] = "-3"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_publish_checks_that_the_page_is_live(site: Site) -> None:
    assert f"live at {site.hub.endpoint}/spaces/{SPACE} and {site.url}" in site.printed


def test_scores_are_those_of_python(page: Any, site: Site, classifier: Classifier) -> None:
    texts = [row["text"] for row in sample_rows("test")[:40]]
    texts += [row["text"] for row in toy_reviews(20)]
    texts += golden_scores.REVIEWS + [
        REVIEW,
        "wonderful dreadful " * 3000,
        "  ",
        "🍿",
        "!!!",
        "Отличный фильм, 👍",
        "一部好電影",
        "A wonderful film 😍😍 for my père, фильм, and 😍😍 again 10/10",
        "x" * 100_001,
    ]
    visit(page, site.url)
    answers = call(page, "score", texts)
    differences = []
    for answer, expected in zip(answers, classifier.predict_batch(texts), strict=True):
        if isinstance(expected, InvalidText):
            assert answer == {"error": str(expected)}
        else:
            assert (answer["tokensRead"], answer["tokens"]) == (
                expected.tokens_read,
                expected.tokens,
            )
            assert list(answer["probabilities"]) == list(expected.probabilities)
            differences.append(
                abs(answer["probabilities"]["POSITIVE"] - expected.probabilities["POSITIVE"])
            )
            assert (answer["unsure"], answer["neutral"]) == (expected.unsure, expected.neutral)
            assert answer["unknownTokens"] == expected.unknown_tokens
            assert answer["unreadable"] == expected.unreadable
    assert len(differences) > 70
    assert max(differences) < 1e-3


def test_explanation_is_that_of_python(page: Any, site: Site, classifier: Classifier) -> None:
    texts = [REVIEW, *(row["text"] for row in sample_rows("test")[:3])]
    texts.append(" ".join(row["text"] for row in sample_rows("test")[3:30]))  # in windows
    visit(page, site.url)
    for text in texts:
        expected = explain(Service(classifier).request(EXPLANATION), text)
        answer = call(page, "explain", text)
        assert answer["fullContext"] == expected.full_context
        for name in ["sentences", "words"]:
            ours, theirs = answer[name], getattr(expected, name)
            assert [(part["start"], part["end"]) for part in ours] == [
                (part.start, part.end) for part in theirs
            ]
            for part, its in zip(ours, theirs, strict=True):
                if not its.skipped:  # by a limit that only the server has
                    assert part["attribution"] == pytest.approx(its.attribution, abs=0.02)


def test_first_visit_shows_the_download_and_opens_an_example(page: Any, site: Site) -> None:
    page.add_init_script(
        """addEventListener("DOMContentLoaded", () => {
          window.seen = new Set();
          const status = document.getElementById("status");
          const look = () => seen.add(status.textContent);
          new MutationObserver(look).observe(status, { childList: true, subtree: true });
        })"""
    )
    visit(page, site.url)
    seen = page.evaluate("[...seen]")
    assert any("MB" in text and text.startswith("Loading the model: ") for text in seen)
    assert page.evaluate("crossOriginIsolated")
    assert (
        page.locator(".subject").inner_text().rstrip("…") in page.locator("#review").input_value()
    )


def test_page_works_without_a_network(browser: Any, run: Path, tmp_path: Path) -> None:
    for page in open_page(browser):
        with published(run, tmp_path / "home") as site:
            visit(page, site.url)
            page.evaluate("navigator.serviceWorker.ready")
            page.get_by_role("tab", name="About").click()
            page.get_by_text("Passed. On 10 reviews").wait_for()
        page.goto(f"{site.url}/#file")  # the hub and the page's server are gone
        page.reload()
        page.get_by_text(f"Model: {MODEL} (").wait_for()
        page.get_by_role("button", name="Try a sample file").click()
        score(page)
        page.get_by_role("tab", name="Review").click()
        analyze(page, REVIEW)
        page.get_by_label("Effect of each sentence").get_by_text("dreadful").first.wait_for()
        page.failures.clear()  # the browser reports each file that the network did not answer


def test_no_review_leaves_the_browser(page: Any, site: Site, tmp_path: Path) -> None:
    visit(page, site.url)
    page.get_by_role("tab", name="About").click()
    page.get_by_text("Passed. On 10 reviews").wait_for()
    page.evaluate("navigator.serviceWorker.ready")
    page.requests.clear()
    page.get_by_role("tab", name="Review").click()
    analyze(page, f"Secretword. {REVIEW}")
    page.get_by_label("Effect of each sentence").get_by_text("Secretword").first.wait_for()
    upload(page, write_reviews(tmp_path / "cinema.csv"))
    score(page)
    # What is loaded later is part of the page, and nothing is sent with it.
    for request in page.requests:
        assert request.method == "GET" and request.post_data is None
        assert request.url.startswith((f"{site.url}/", f"blob:{site.url}/"))
        assert "Secretword" not in request.url.partition("#")[0] + json.dumps(request.headers)


def test_browser_refuses_connections_to_others(page: Any, site: Site) -> None:
    visit(page, site.url)
    other = "http://127.0.0.1:9/?review=secret"  # a port that is neither the page's nor the hub's
    attempt = f"fetch('{other}').then(() => 'sent', (error) => String(error))"
    assert "Refused to connect" in attempt_and_report(page, page, attempt)
    workers = [worker for worker in page.workers if worker.url.startswith("blob:")]
    assert workers
    for worker in workers:
        assert worker.evaluate(attempt) != "sent"
    assert not [
        request for request in page.requests if request.url.startswith("http://127.0.0.1:9")
    ]
    page.failures.clear()


def attempt_and_report(page: Any, target: Any, code: str) -> str:
    """What the browser reports on the console when a script is run."""
    assert target.evaluate(code) != "sent"
    return "\n".join(page.failures)


def test_keyboard_analyzes_and_selects_tabs(phone: Any, site: Site) -> None:
    visit(phone, site.url)
    box = phone.locator("#review")
    box.fill("a wonderful film")
    box.press("Control+Enter")
    phone.get_by_text("3 of 3 tokens read").wait_for()
    phone.get_by_role("tab", name="Review").focus()
    phone.keyboard.press("ArrowRight")
    assert phone.get_by_role("tab", name="File").get_attribute("aria-selected") == "true"
    phone.get_by_label("File of reviews").wait_for()
    assert phone.url.endswith("#file")
    phone.go_back()
    phone.locator("#review").wait_for()


def test_review_markup_is_shown_as_text(page: Any, site: Site) -> None:
    visit(page, site.url)
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script> a **wonderful** film. And more."
    analyze(page, markup)
    attribution = page.get_by_label("Effect of each sentence")
    attribution.get_by_text("alert(2)").first.wait_for()
    assert (
        "<img src=x onerror=alert(1)><script>alert(2)</script> a **won" in attribution.inner_text()
    )
    assert page.locator("img[src=x]").count() == 0
    attribution.get_by_text("Show the numbers").click()
    assert attribution.get_by_role("row").count() == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("   ", "Write or paste a review first."),
        ("x" * 100_001, "A review may have at most 100,000 characters; this one has 100,001."),
        ("\u200b\u200b", "This review has no words."),
        ("\U0001f37f\U0001f37f", "it doesn't know emoji or symbols (“\U0001f37f\U0001f37f”)."),
    ],
)
def test_invalid_review_gets_a_message(page: Any, site: Site, text: str, sentence: str) -> None:
    visit(page, site.url)
    analyze(page, text)
    page.get_by_text(sentence).wait_for()
    assert page.get_by_text("tokens read").count() == 0


def wait_for_examples(page: Any, classifier: Classifier) -> dict[str, str]:
    """Wait until the page has found its examples; returns those that Python selects."""
    expected = select(classifier)
    page.get_by_role("button", name=list(expected)[-1], exact=True).wait_for()
    return expected


def test_examples_are_those_that_the_model_predicts_right(
    page: Any, site: Site, classifier: Classifier
) -> None:
    visit(page, site.url)
    expected = wait_for_examples(page, classifier)
    assert page.locator("#examples button").all_inner_texts() == list(expected)
    for kind, text in expected.items():
        page.get_by_role("button", name=kind, exact=True).click()
        assert page.locator("#review").input_value() == text


def test_scale_shows_the_probability_and_the_uncertain_zone(phone: Any, site: Site) -> None:
    visit(phone, site.url)
    analyze(phone, "a wonderful film")
    card = phone.get_by_label("Prediction")
    card.get_by_text("3 of 3 tokens read").wait_for()
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


def test_card_says_what_the_model_does_not_know(page: Any, site: Site) -> None:
    visit(page, site.url)
    analyze(page, "good film \U0001f37f")
    page.get_by_text("The model doesn't know 1 of the 3 tokens: “\U0001f37f”.").wait_for()


def test_last_request_wins(page: Any, site: Site, classifier: Classifier) -> None:
    visit(page, site.url)
    expected = wait_for_examples(page, classifier)
    buttons = page.locator("#examples button").all()
    for button in [*buttons, *buttons[:-1], buttons[0], buttons[-1]]:
        button.click()
    page.get_by_label("Effect of each sentence").wait_for()
    text = page.locator("#review").input_value()
    assert text == list(expected.values())[-1]
    assert page.locator(".subject").inner_text().rstrip("…") in text
    assert page.locator("#result.stale").count() == 0
    page.locator("#review").fill("Another text.")
    assert page.locator("#result.stale").count() == 1


def test_share_link_contains_the_review(page: Any, site: Site) -> None:
    visit(page, site.url)
    analyze(page, REVIEW)
    page.get_by_label("Effect of each sentence").get_by_text("dreadful").first.wait_for()
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied. The link contains the whole review.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{site.url}/#review=A%20wonderful")
    page.goto("about:blank")
    visit(page, link)
    assert page.locator("#review").input_value() == REVIEW
    for text, message in [
        ("", "Write or paste a review first."),
        ("long " * 3000, "at most 8,000"),
    ]:
        page.locator("#review").fill(text)
        page.get_by_role("button", name="Copy link").click()
        page.locator("#shared").get_by_text(message).wait_for()
    page.goto(f"{site.url}/#review=%E0%A4%A")
    page.get_by_text("This link has no review, or was cut off.").wait_for()


def test_scores_a_file(page: Any, site: Site, classifier: Classifier, tmp_path: Path) -> None:
    visit(page, site.url)
    upload(page, write_reviews(tmp_path / "cinema.csv"))
    page.get_by_text("cinema.csv: 40 rows, 3 columns.").wait_for()
    assert page.get_by_label("Text column").locator("option:checked").inner_text() == "text"
    score(page)
    rows = downloaded(page)
    assert len(rows) == 40
    added = "prediction probability p(NEGATIVE) p(POSITIVE) unsure tokens_read tokens error".split()
    assert list(rows[0]) == ["text", "label", "title", *added]
    assert rows[3]["error"] == "The cell is empty."
    assert rows[4]["text"] == "'=wonderful film number 4"
    assert rows[5]["title"] == "-3"
    expected = classifier.predict(rows[0]["text"])
    assert rows[0]["prediction"] == expected.label
    assert float(rows[0]["probability"]) == pytest.approx(
        expected.probabilities[expected.label], abs=1e-3
    )
    counted = page.get_by_label("Summary").locator(".big").all_inner_texts()
    assert sum(map(int, counted)) == 40 and counted[-1] == "1"
    page.get_by_text("The cell is empty.").wait_for()
    page.get_by_role("link", name="film number 6 was dreadful").click()
    page.locator(".subject").get_by_text("film number 6").wait_for()
    page.go_back()
    page.get_by_role("link", name="Download scored file").wait_for()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("excel.csv", 'text;note\r\n"a wonderful; film";"é"\r\na café;2\r\n'.encode("cp1252")),
        ("unicode.txt", "text\tnote\r\na wonderful; film\té\r\na café\t2\r\n".encode("utf-16")),
        ("lines.txt", "a wonderful; film\n\na café".encode()),
    ],
)
def test_reads_dialects_and_encodings(
    page: Any, site: Site, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    visit(page, site.url)
    upload(page, tmp_path / name)
    page.get_by_text(f"{name}: 2 rows").wait_for()
    score(page)
    assert [row["text"] for row in downloaded(page)] == ["a wonderful; film", "a café"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not a text file"),
        ("empty.csv", b"", "has no rows below its header"),
        ("wide.csv", b",".join([b"x"] * 300) + b"\n" + b",".join([b"x"] * 300), "200 columns"),
        ("quotes.csv", b'text,n\n"never closed,1\nnext,2\n', "quotation marks in row"),
    ],
)
def test_unreadable_file_gets_a_message(
    page: Any, site: Site, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    visit(page, site.url)
    upload(page, tmp_path / name)
    page.locator("#file-status .problem").get_by_text(message).wait_for()
    assert not page.locator("#score").is_visible()


def test_file_can_be_cancelled_while_a_review_is_analyzed(
    page: Any, site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("\n".join(["a wonderful film with a dreadful end " * 60] * 5_000))
    visit(page, site.url)
    upload(page, path)
    page.locator("#score").click()
    page.get_by_text("of 5,000 reviews, about").wait_for()
    page.get_by_role("tab", name="Review").click()
    analyze(page, "a wonderful film")
    page.get_by_text("3 of 3 tokens read").wait_for()
    page.get_by_role("tab", name="File").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled. No results were kept.").wait_for()
    assert page.locator("#score").is_enabled()
    assert page.get_by_role("link", name="Download scored file").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_tabs_are_accessible(browser: Any, site: Site, width: int, scheme: str) -> None:
    for page in open_page(browser, width, scheme):
        visit(page, site.url)
        for tab in TABS:
            page.get_by_role("tab", name=tab).click()
            if tab == "File":
                page.get_by_role("button", name="Try a sample file").click()
                score(page)
            assert serious_violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_failed_self_test_is_reported(page: Any, site: Site, run: Path) -> None:
    golden = json.loads((run / golden_scores.FILE).read_text(encoding="utf-8"))
    for review in golden["reviews"]:
        review["probabilities"] = {"NEGATIVE": 0.4, "POSITIVE": 0.6}
    allowed = {"access-control-allow-origin": "*"}
    page.route(
        f"**/{golden_scores.FILE}",
        lambda route: route.fulfill(body=json.dumps(golden), headers=allowed),
    )
    visit(page, site.url)
    page.get_by_text("The self-test failed: in this browser").wait_for()


def test_model_without_golden_scores_works(page: Any, site: Site) -> None:
    allowed = {"access-control-allow-origin": "*"}
    page.route(f"**/{golden_scores.FILE}", lambda route: route.fulfill(status=404, headers=allowed))
    visit(page, site.url)
    page.get_by_role("tab", name="About").click()
    page.get_by_text("Not possible, as the model has no golden scores.").wait_for()
    page.failures.clear()  # the browser reports the status


def test_unreachable_hub_gets_a_message(page: Any, site: Site) -> None:
    page.route(f"{site.hub.endpoint}/**", lambda route: route.abort())
    page.goto(site.url)
    page.get_by_text(f"The model {MODEL} can't be loaded from {site.hub.endpoint}").wait_for()
    page.get_by_role("button", name="Try again").wait_for()
    page.failures.clear()


def test_webgpu_that_does_not_work_is_not_used(page: Any, site: Site) -> None:
    page.add_init_script(
        "Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: async () => ({}) } })"
    )
    visit(page, site.url)
    deadline = time.monotonic() + 60
    while "slower or different" not in page.evaluate("Object.values(localStorage)"):
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.get_by_role("tab", name="About").click()
    page.get_by_text("WebAssembly", exact=True).wait_for()
    page.failures.clear()


def test_benchmark_measures_the_page(run: Path, tmp_path: Path) -> None:
    command = ["-m", "benchmarks.static", "--model", str(run), "--rounds", "2"]
    done = subprocess.run(
        [sys.executable, *command, "--out", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "static.json").read_text(encoding="utf-8"))
    assert results["first_load_mb"] > (run / "onnx/model_quantized.onnx").stat().st_size / 1e6
    assert results["cross_origin_isolated"]
    for key in ["cold_seconds", "cached_seconds", "prediction_p50_ms", "attribution_p50_ms"]:
        assert results[key] > 0
