"""The Review tab in a browser, on a slow app: its result is always of the newest analysis."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hubserver import running_hub
from test_app import MODEL, push, running_space
from test_browser import (  # noqa: F401  # `browser`, `page`, `phone` are fixtures
    CHROMIUM,
    analyze,
    browser,
    go_to,
    leave,
    page,
    phone,
    pytestmark,
    review,
    start_analysis,
    stored,
    visit,
)
from test_browser_files import upload, write_reviews

from space.examples import CANDIDATES

# The app, with predictions that take a while; a text with "slowest" takes seconds.
SLOW_APP = """
import random, runpy, sys, time
sys.path.insert(0, {root!r})
from space.inference.classifier import Classifier
from space.inference.onnx_model import OnnxModel
predict, encode = Classifier.predict_tokens, OnnxModel.encode
def slow_encode(self, texts):
    for text in texts:
        time.sleep(2.5 if "slowest" in text else 0)
        if "fails" in text:
            raise RuntimeError(text)
    return encode(self, texts)
def slow_predict(self, *arguments, **options):
    time.sleep(random.choice([0, 0, 0.02, 0.2]))
    return predict(self, *arguments, **options)
Classifier.predict_tokens, OnnxModel.encode = slow_predict, slow_encode
runpy.run_path({app!r}, run_name="__main__")
"""
TEXTS = [
    "A wonderful film.",
    "A dreadful film. And a dreadful end!",
    "Wonderful songs. Then a dreadful end.",
    "Nothing happens at all.",
]
# What a user sees, in one moment: the box, the result, its text and whether it is dimmed.
STATE = """() => {
  const result = document.querySelector("#result");
  return {
    box: document.querySelector("#review textarea").value,
    subject: result.querySelector(".subject")?.textContent ?? null,
    prediction: result.querySelector(".prediction")?.innerText ?? null,
    sentences: result.querySelector(".attribution .review")?.innerText ?? null,
    stale: result.hasAttribute("data-stale"),
    busy: result.hasAttribute("aria-busy"),
    button: document.querySelector("#analyze").innerText,
    problem: document.querySelector("#result .problem")?.innerText ?? null,
  };
}"""


@pytest.fixture(scope="module")
def slow_space(
    finished_run: Path,
    stored: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("slow")
    app = Path(__file__).parents[2] / "space" / "app.py"
    script = folder / "slow_app.py"
    script.write_text(SLOW_APP.format(root=str(app.parents[1]), app=str(app)))
    with running_hub() as hub:
        push(hub, finished_run)
        env = {**hub.env(folder / "home", token=None), "MODEL_ID": MODEL}
        env["FEEDBACK_DIR"] = str(stored)
        with running_space(env, folder, script=script) as url:
            yield url


def wait_until_idle(page: Any) -> dict[str, Any]:  # noqa: F811
    page.locator("#result:not([aria-busy])").wait_for()
    page.get_by_role("button", name="Analyze", exact=True).first.wait_for()
    return dict(page.evaluate(STATE))


def is_about(state: dict[str, Any], text: str) -> bool:
    return (state["subject"] or "?").rstrip("…") in " ".join(text.split())


@pytest.fixture(scope="module")
def expected(browser: Any, slow_space: str) -> dict[str, str]:  # noqa: F811
    """The prediction of each text and example, analyzed one after the other."""
    page = browser.new_page()  # noqa: F811
    visit(page, slow_space)
    wait_until_idle(page)
    predictions = {}
    for text in TEXTS:
        analyze(page, text)
        predictions[text] = wait_until_idle(page)["prediction"]
    for button in page.locator("[data-example]").all():
        button.click()
        predictions[button.get_attribute("data-example")] = wait_until_idle(page)["prediction"]
    page.close()
    assert len(set(predictions.values())) > 3
    return predictions


def test_opens_with_an_analyzed_example(page: Any, slow_space: str):  # noqa: F811
    visit(page, slow_space)
    page.locator("#result details").wait_for()
    state = wait_until_idle(page)
    kinds = page.locator("[data-example]").all_inner_texts()
    assert set(kinds) <= set(CANDIDATES) and len(kinds) >= 2
    assert state["box"] == page.locator("[data-example]").first.get_attribute("data-example")
    assert is_about(state, state["box"]) and not state["stale"]
    # Typing replaces the example.
    review(page).click()
    page.keyboard.type("Mine.")
    assert review(page).input_value() == "Mine."


def test_loading_never_erases_a_result(page: Any, slow_space: str):  # noqa: F811
    """The page's own events are delayed by four seconds."""
    delayed = []

    def delay(route: Any) -> None:
        if "trigger_id" in route.request.post_data and not delayed:
            delayed.append(route)
            page.wait_for_timeout(4_000)
        route.continue_()

    page.route("**/queue/join*", delay)
    page.goto(slow_space)
    review(page).wait_for()
    start_analysis(page, TEXTS[0])
    page.get_by_text(f"Model: {MODEL} (").wait_for()
    page.locator("[data-example]").first.wait_for()
    page.wait_for_timeout(300)
    state = wait_until_idle(page)
    page.unroute_all(behavior="ignoreErrors")
    assert delayed
    assert state["box"] == TEXTS[0] and is_about(state, TEXTS[0]) and not state["stale"]
    assert state["sentences"] == TEXTS[0]


def test_newest_analysis_wins_over_a_slow_one(
    page: Any,  # noqa: F811
    slow_space: str,
    expected: dict[str, str],
):
    visit(page, slow_space)
    wait_until_idle(page)
    start_analysis(page, "The slowest film. " * 3)
    page.get_by_role("button", name="Analyzing…").wait_for()
    assert page.evaluate(STATE)["busy"]
    start_analysis(page, TEXTS[1])
    page.locator("#result .subject", has_text=TEXTS[1][:20]).wait_for()
    page.wait_for_timeout(4_000)  # the slow one ends
    state = wait_until_idle(page)
    assert state["prediction"] == expected[TEXTS[1]]
    assert " ".join(state["sentences"].split()) == TEXTS[1]


def test_failure_belongs_to_its_text_and_takes_the_feedback_away(
    page: Any,  # noqa: F811
    slow_space: str,
):
    visit(page, slow_space)
    wait_until_idle(page)
    analyze(page, TEXTS[0])
    feedback = page.get_by_text("Is this prediction right?")
    feedback.wait_for()
    failing = "The slowest film fails."
    start_analysis(page, failing)
    page.get_by_role("button", name="Analyzing…").wait_for()
    review(page).fill("Typed meanwhile.")
    page.get_by_text("The analysis failed. Try again.").wait_for()
    feedback.wait_for(state="hidden")
    assert wait_until_idle(page)["stale"]
    review(page).fill(failing)
    assert not page.evaluate(STATE)["stale"]
    # The newest fails while an older one runs.
    analyze(page, TEXTS[0])
    start_analysis(page, "The slowest film. " * 3)
    page.get_by_role("button", name="Analyzing…").wait_for()
    start_analysis(page, "This fails.")
    page.get_by_text("The analysis failed. Try again.").wait_for()
    assert wait_until_idle(page)["problem"] == "The analysis failed. Try again."
    analyze(page, TEXTS[1])
    assert is_about(wait_until_idle(page), TEXTS[1])
    feedback.wait_for()


def test_another_file_ends_the_analysis_of_the_first(
    page: Any,  # noqa: F811
    slow_space: str,
    tmp_path: Path,
):
    (tmp_path / "first.csv").write_text("text\n" + "the slowest film\n" * 2, encoding="utf-8")
    go_to(page, slow_space, "File")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "first.csv")
    page.get_by_text("first.csv: 2 rows").wait_for()
    page.locator("#analyze-file").click()
    page.get_by_role("button", name="Cancel", exact=True).wait_for()
    page.get_by_role("button", name="Try a sample file").click()
    page.get_by_text("sample.csv: 60 rows").wait_for()
    page.get_by_role("button", name="Cancel", exact=True).wait_for(state="hidden")
    page.wait_for_timeout(6_000)  # in which the first file would be analyzed
    assert not page.locator("#results").is_visible()
    page.locator("#analyze-file").click()
    page.locator("#results .subject", has_text="File: sample.csv, column: text").wait_for()
    assert page.locator("#results[data-stale]").count() == 0
    page.locator(".vega-embed").first.wait_for()
    page.get_by_label("Text column").wait_for(state="hidden")
    page.get_by_text("Columns and first rows").click()
    page.get_by_label("Date column").click()
    page.get_by_role("option").last.click()
    page.locator("#results[data-stale]").wait_for(state="attached")


def test_says_that_sentences_are_analyzed(page: Any, slow_space: str):  # noqa: F811
    visit(page, slow_space)
    wait_until_idle(page)
    start_analysis(page, "The slowest film. A dreadful end!")
    page.locator("#result .prediction").get_by_text("% probability").wait_for()
    page.locator("#result").get_by_text("Analyzing sentences…").wait_for()
    wait_until_idle(page)
    assert page.locator("#result").get_by_text("Analyzing sentences…").count() == 0
    assert page.locator("#result .review > span").count() == 2


def test_result_is_dimmed_while_the_box_has_another_text(page: Any, slow_space: str):  # noqa: F811
    visit(page, slow_space)
    wait_until_idle(page)
    opacity = "element => Number(getComputedStyle(element).opacity)"
    text = review(page).input_value()
    review(page).fill(f"{text}!")
    assert page.locator("#result").evaluate(opacity) < 1
    review(page).fill(text)
    assert page.locator("#result").evaluate(opacity) == 1


class User:
    """Random actions on the page, and what they must lead to."""

    def __init__(self, page: Any, rng: random.Random, examples: list[str]) -> None:  # noqa: F811
        self.page, self.rng, self.examples = page, rng, examples
        self.box = self.requested = review(page).input_value()

    def act(self) -> None:
        rng, page = self.rng, self.page  # noqa: F811
        action = rng.choice(["type", "type", "click", "click", "key", "example", "link", "tab"])
        if action == "type":
            self.box = rng.choice([*TEXTS, ""])
            review(page).fill(self.box)
        elif action == "click":
            page.locator("#analyze").click()
            self.requested = self.box
        elif action == "key":
            review(page).press("Control+Enter")
            self.requested = self.box
        elif action == "example":
            button = rng.choice(page.locator("[data-example]").all())
            button.click()
            self.box = self.requested = button.get_attribute("data-example")
        elif action == "link":
            text = rng.choice([text for text in TEXTS if quote(text) not in page.url])
            page.evaluate("hash => { location.hash = hash; }", f"review={quote(text)}")
            page.wait_for_timeout(50)  # the event of the address
            self.box = self.requested = text
        else:
            page.get_by_role("tab", name="About").click()
            page.get_by_role("tab", name="Review").click()


@pytest.mark.parametrize("seed", range(20))
def test_result_belongs_to_its_text_whatever_happens(
    page: Any,  # noqa: F811
    slow_space: str,
    expected: dict[str, str],
    seed: int,
):
    rng = random.Random(seed)

    def delay(route: Any) -> None:
        page.wait_for_timeout(rng.choice([0, 0, 30, 150]))
        route.continue_()

    visit(page, slow_space)
    wait_until_idle(page)
    page.route("**/queue/join*", delay)
    user = User(page, rng, list(expected))
    for _ in range(12):
        user.act()
        page.wait_for_timeout(rng.choice([0, 0, 50, 200, 500]))
        assert_consistent(page.evaluate(STATE), expected)
    state = wait_until_idle(page)
    page.unroute_all(behavior="ignoreErrors")
    assert_consistent(state, expected)
    assert state["box"] == user.box
    assert state["stale"] == (user.box != user.requested)
    if user.requested:
        assert is_about(state, user.requested)
        assert " ".join(state["sentences"].split()) == " ".join(user.requested.split())
    else:
        assert state["problem"] == "Write or paste a review first."


def assert_consistent(state: dict[str, Any], expected: dict[str, str]) -> None:
    """The shown prediction is that of the shown text."""
    if state["prediction"] is None:
        return
    (text,) = [text for text in expected if is_about(state, text)]
    assert state["prediction"] == expected[text]
    if state["sentences"] is not None:
        assert " ".join(state["sentences"].split()) == " ".join(text.split())
    assert state["stale"] == (state["box"] != text)


def test_feedback_counts_once_and_can_be_changed(page: Any, slow_space: str, stored: Path):  # noqa: F811
    visit(page, slow_space)
    wait_until_idle(page)
    analyze(page, TEXTS[2])
    wait_until_idle(page)
    for choice in ("No", "Yes", "No"):
        page.get_by_role("radio", name=choice).check()
        page.get_by_text("Thank you, your feedback is stored.").wait_for()
    analyze(page, TEXTS[3])
    wait_until_idle(page)
    assert page.get_by_role("radio", checked=True).count() == 0
    assert page.get_by_text("Thank you").count() == 0
    analyze(page, TEXTS[2])
    wait_until_idle(page)
    page.get_by_role("radio", name="Yes").check()
    page.get_by_text("Thank you, your feedback is stored.").wait_for()
    (log,) = stored.glob("*.jsonl")
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [row["correct"] for row in rows if row["text"] == TEXTS[2]] == [True]


def test_tabs_have_addresses_and_back_returns_to_the_scored_file(
    page: Any,  # noqa: F811
    slow_space: str,
    tmp_path: Path,
):
    upload(page, slow_space, write_reviews(tmp_path / "cinema.csv", 8))
    assert page.url.endswith("#file")
    page.get_by_text("cinema.csv: 8 rows").wait_for()
    page.get_by_role("button", name=re.compile("^(Score|Analyze)$")).last.click()
    page.get_by_text("film number 5 was wonderful").last.click()
    page.locator("#result .subject", has_text="film number 5").wait_for()
    assert page.get_by_role("tab", selected=True).inner_text() == "Review"
    wait_until_idle(page)
    page.go_back()
    page.get_by_text("film number 6 was dreadful").last.wait_for()
    assert page.get_by_role("tab", selected=True).inner_text() == "File"
    leave(page)
    page.goto(f"{slow_space}/#about")
    page.get_by_text("Train your own model").wait_for()


def test_links_work_in_an_open_page_and_are_refused_with_the_reason(page: Any, slow_space: str):  # noqa: F811
    visit(page, slow_space)
    wait_until_idle(page)
    copy = page.get_by_role("button", name="Copy link")
    copy.click()
    page.get_by_text("Copied. The link contains the whole review.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == f"{slow_space}/#review={quote(review(page).input_value(), safe=chr(39))}"
    review(page).fill("  ")
    copy.click()
    page.get_by_text("Write or paste a review first.").wait_for()
    review(page).fill("A wonderful film. " * 1_400)
    copy.click()
    page.get_by_text("Some apps cut off links of more than 8,000 characters").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == link
    go_to_address = "address => { location.href = address; }"
    page.evaluate(go_to_address, f"{slow_space}/#review={quote(TEXTS[1])}")
    page.locator("#result .subject", has_text=TEXTS[1]).wait_for()
    page.evaluate(go_to_address, f"{slow_space}/#review=A%20film%E2%82")
    problem = page.get_by_text("This link has no review, or was cut off.")
    problem.wait_for()
    assert review(page).input_value() == TEXTS[1]
    analyze(page, TEXTS[2])
    problem.wait_for(state="hidden")


def test_result_follows_the_button_on_a_phone(phone: Any, slow_space: str):  # noqa: F811
    visit(phone, slow_space)
    wait_until_idle(phone)
    button, result = (phone.locator(name).bounding_box() for name in ("#analyze", "#result"))
    assert 0 <= result["y"] - (button["y"] + button["height"]) < 40


def test_tables_have_no_dark_borders_and_plots_follow_the_theme(
    phone: Any,  # noqa: F811
    page: Any,  # noqa: F811
    slow_space: str,
):
    filters = []
    for view in (phone, page):
        go_to(view, slow_space, "About")
        view.locator("figure img").first.wait_for()
        style = "(element, name) => getComputedStyle(element)[name]"
        filters.append(view.locator("figure img").first.evaluate(style, "filter"))
        for row in view.locator(".columns tr, .columns table").all():
            assert row.evaluate(style, "borderTopWidth") == "0px"
            assert row.evaluate(style, "borderLeftWidth") == "0px"
    assert "invert" in filters[0] and filters[1] == "none"
