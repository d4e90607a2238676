"""The static page in a browser: published to a local Hub that serves it, as the Hub does."""

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from commands import run_train
from conftest import REPOSITORY, sample_rows, toy_reviews
from hubserver import WRITE, RunningHub, running_hub
from test_browser import CHROMIUM, FLAGS, serious_violations

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
        command = ["publish", run, "--to", MODEL, "--space", SPACE, "--space-kind", "static"]
        done = run_train(*command, env=hub.env(home))
        assert done.returncode == 0, done.stderr
        host = HfApi(endpoint=hub.endpoint, token=WRITE).space_info(SPACE).host
        yield Site(str(host), hub, done.stdout)


@pytest.fixture(scope="module")
def run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run, because publishing writes to it."""
    npm_packages.fetch(static_space.PINS)
    return Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("run") / "tiny"))


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
    page.get_by_role("link", name="Download as CSV").wait_for()


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
        "wonderful фильм, отличный и добрый",
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
            assert answer["languageCaution"] == expected.language_caution
            assert answer["unsure"] == expected.unsure
            assert answer["neutral"] == expected.neutral
            assert answer["unknownTokens"] == expected.unknown_tokens
            assert answer["unreadable"] == expected.unreadable
    assert any(answer.get("languageCaution") for answer in answers)
    assert len(differences) > 70
    assert max(differences) < 1e-3


def test_explanation_is_that_of_python(page: Any, site: Site, classifier: Classifier) -> None:
    texts = [REVIEW, *(row["text"] for row in sample_rows("test")[:3])]
    texts.append(" ".join(row["text"] for row in sample_rows("test")[3:30]))  # in windows
    unhurried = replace(EXPLANATION, seconds=600)  # the page has no time limit
    visit(page, site.url)
    compared = 0
    for text in texts:
        expected = explain(Service(classifier).request(unhurried), text)
        answer = call(page, "explain", text)
        assert answer["fullContext"] == expected.full_context
        ours = {name: attributions(answer[name]) for name in ["sentences", "words"]}
        theirs = {
            "sentences": attributions(map(asdict, expected.sentences)),
            "words": attributions(map(asdict, expected.words)),
        }
        # By a limit that only the server has.
        parts = expected.sentences + expected.words
        skipped = {(part.start, part.end) for part in parts if part.skipped}
        assert ours["sentences"].keys() == theirs["sentences"].keys()
        for span in ours["sentences"].keys() - skipped:
            assert ours["sentences"][span] == pytest.approx(theirs["sentences"][span], abs=0.02)
        # The words are those of the strongest sentences. Of two that are about as strong, either.
        chosen, expected_choice = (with_words(each) for each in (ours, theirs))
        weakest = min(abs(theirs["sentences"][span]) for span in expected_choice)
        assert len(chosen) == len(expected_choice)
        assert all(abs(theirs["sentences"][span]) > weakest - 0.04 for span in chosen - skipped)
        for start, end in chosen & expected_choice:
            words = [span for span in theirs["words"] if start <= span[0] < end]
            assert words == [span for span in ours["words"] if start <= span[0] < end]
            for span in set(words) - skipped:
                assert ours["words"][span] == pytest.approx(theirs["words"][span], abs=0.02)
            compared += len(words)
    assert compared > 60


def attributions(parts: Iterable[dict[str, Any]]) -> dict[tuple[int, int], float]:
    """The attribution of each part by its start and end."""
    return {(part["start"], part["end"]): part["attribution"] for part in parts}


def with_words(parts: dict[str, dict[tuple[int, int], float]]) -> set[tuple[int, int]]:
    """The sentences whose words have an attribution."""
    return {
        (start, end)
        for start, end in parts["sentences"]
        if any(start <= word < end for word, _ in parts["words"])
    }


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


# The files of the model that the browser keeps.
KEPT_FILES = """async () => (await (await caches.open("transformers-cache")).keys())
  .map((request) => request.url).sort()"""
# The same; then one of another revision is added.
KEEP_OLD_REVISION = """async () => {
  const { endpoint, model } = document.documentElement.dataset;
  const cache = await caches.open("transformers-cache");
  const kept = (await cache.keys()).map((request) => request.url).sort();
  await cache.put(`${endpoint}/${model}/resolve/old/config.json`, new Response("{}"));
  return kept;
}"""


def test_page_works_without_a_network(browser: Any, run: Path, tmp_path: Path) -> None:
    for page in open_page(browser):
        with published(run, tmp_path / "home") as site:
            visit(page, site.url)
            page.evaluate("navigator.serviceWorker.ready")
            page.get_by_role("tab", name="About").click()
            page.get_by_text("Passed. On 10 reviews").wait_for()
            kept = page.evaluate(KEEP_OLD_REVISION)
            page.reload()
            page.get_by_text("Passed. On 10 reviews").wait_for()
            assert page.evaluate(KEPT_FILES) == kept
        page.goto(f"{site.url}/#file")  # the hub and the page's server are gone
        page.reload()
        page.get_by_text(f"Model: {MODEL} (").wait_for()
        page.get_by_role("button", name="Try a sample file").click()
        score(page)
        page.get_by_role("tab", name="Review").click()
        analyze(page, REVIEW)
        page.get_by_label("Effect of each sentence").get_by_text("dreadful").first.wait_for()
        page.failures.clear()  # the browser reports each file that the network did not answer


def test_about_tells_if_the_page_needs_a_network(page: Any, site: Site) -> None:
    reject = "() => Promise.reject(new Error('refused by a test'))"
    page.add_init_script(f"navigator.serviceWorker.register = {reject}")
    visit(page, site.url)
    page.get_by_role("tab", name="About").click()
    page.get_by_text("needs a network: its files could not be kept (refused by a test)").wait_for()


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
    deadline = time.monotonic() + 240  # the page compares two runtimes in the background
    while "slower or different" not in page.evaluate("Object.values(localStorage)"):
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.get_by_role("tab", name="About").click()
    page.get_by_text("WebAssembly", exact=True).wait_for()
    page.failures.clear()


def test_benchmark_measures_the_page(run: Path, tmp_path: Path) -> None:
    command = ["-m", "benchmarks.static", "--model", str(run), "--rounds", "1"]
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
