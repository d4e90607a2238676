# ruff: noqa: F401, F811  # fixtures are imported, and are the names of arguments
"""The Review and the File tab of the static page, in a browser."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from test_browser import (
    TWO_SIDES,
    check_scale,
    check_strongest_sentences,
    serious_violations,
)
from test_languages import CAUTION, FRENCH, SPANISH
from test_page import (
    REVIEW,
    Site,
    analyze,
    browser,
    classifier,
    page,
    phone,
    pytestmark,
    run,
    score,
    site,
    upload,
    visit,
    write_reviews,
)

from space.analysis import statistics
from space.examples import select
from space.inference.attribution import explain
from space.inference.classifier import Classifier
from space.inference.serving import EXPLANATION, Service
from space.views.explanation import attribution

# What the page shows when the analysis of a text that is not typed has begun.
ANALYZE_ANOTHER = """(text) => {
  const [box, button] = [document.querySelector("#review"), document.querySelector("#analyze")];
  box.value = text;
  button.click();
  return ["stale" in document.querySelector("#result").dataset, button.textContent];
}"""


def downloaded(page: Any) -> list[dict[str, str]]:
    """The rows of the scored file."""
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


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


def test_strongest_sentences_lead_to_their_place_and_a_tap_shows_the_effect(
    phone: Any, site: Site, classifier: Classifier
) -> None:
    visit(phone, site.url)
    analyze(phone, TWO_SIDES)
    check_strongest_sentences(phone)

    # The words are those of the Gradio page.
    html = attribution(explain(Service(classifier).request(EXPLANATION), TWO_SIDES))
    for selector in [".legend", ".attribution thead", ".strongest p"]:
        words = phone.locator(selector).first.text_content().strip()
        assert words in re.sub("<[^>]+>", "", html), selector


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
    check_scale(card)


def test_card_says_what_the_model_does_not_know(page: Any, site: Site) -> None:
    visit(page, site.url)
    analyze(page, "good film \U0001f37f")
    page.get_by_text("The model doesn't know 1 of the 3 tokens: “\U0001f37f”.").wait_for()


def test_other_language_gets_a_caution(page: Any, site: Site) -> None:
    visit(page, site.url)
    card = page.get_by_label("Prediction")
    for text, caution in [(FRENCH, CAUTION), (SPANISH, CAUTION.replace("French", "Spanish"))]:
        analyze(page, text)
        card.get_by_text(f"{caution} Do not rely on this prediction.").wait_for()
        assert card.locator(".label").inner_text().startswith("Uncertain")
    assert serious_violations(page) == []
    for text in [REVIEW, "Très bien", "Leonardo DiCaprio"]:
        analyze(page, text)
        page.locator(".subject", has_text=text.partition("<")[0]).wait_for()
        assert "trained on" not in card.inner_text()


def test_file_counts_reviews_in_other_languages(page: Any, site: Site, tmp_path: Path) -> None:
    (tmp_path / "reviews.txt").write_text(f"{FRENCH}\nA wonderful film.\n", encoding="utf-8")
    visit(page, site.url)
    upload(page, tmp_path / "reviews.txt")
    score(page)
    assert [row["language_caution"] for row in downloaded(page)] == [CAUTION, ""]
    counted = page.get_by_label("Summary").locator("div", has_text="seem to be in a language")
    assert counted.locator(".big").inner_text() == "1"


def test_arrow_keys_move_the_focus_through_the_tabs(page: Any, site: Site) -> None:
    visit(page, site.url)
    page.get_by_role("tab", name="Review").focus()
    for key, name in [("ArrowRight", "File"), ("ArrowRight", "About"), ("ArrowRight", "Review"),
                      ("End", "About"), ("Home", "Review"), ("ArrowRight", "File")]:  # fmt: skip
        page.keyboard.press(key)
        focused = page.evaluate("document.activeElement.textContent")
        assert focused == name and page.get_by_role("tabpanel", name=name).is_visible()
        assert page.url.endswith(f"#{name.lower()}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.go_back()
    page.get_by_role("tabpanel", name="Review").wait_for()


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
    assert page.locator("#result[data-stale]").count() == 0
    page.locator("#review").fill("Another text.")
    assert page.locator("#result[data-stale]").count() == 1


def test_prediction_stays_if_its_sentences_can_not_be_analyzed(page: Any, site: Site) -> None:
    refused = []

    def refuse(route: Any) -> None:
        refused.append(route.request.url)
        route.abort()

    pattern = "**/sentencex_wasm_bg.wasm.gz"
    page.context.route(pattern, refuse)
    page.goto(site.url)
    page.get_by_text("The rest of the analysis failed. Try again.").wait_for()
    assert refused and page.get_by_label("Prediction").is_visible()
    page.failures.clear()
    page.context.unroute(pattern)
    analyze(page, REVIEW)
    page.get_by_label("Effect of each sentence").get_by_text("dreadful").first.wait_for()


def test_page_shows_that_it_works_and_forgets_the_review_of_its_link(page: Any, site: Site) -> None:
    visit(page, f"{site.url}/#review=A%20dull%20film.%20And%20long.")
    page.get_by_label("Effect of each sentence").wait_for()
    idle = page.get_by_role("button", name="Analyze", exact=True)
    idle.click()
    idle.wait_for()
    page.get_by_label("Effect of each sentence").wait_for()
    assert "#review=" in page.url
    shown = page.evaluate(ANALYZE_ANOTHER, "A wonderful film with a dreadful end!")
    assert shown == [True, "Analyzing…"]  # an example sets the box so, too
    page.locator(".subject").get_by_text("A wonderful film").wait_for()
    assert "#review=" not in page.url


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
        ("long " * 3000, "more than 8,000"),
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
    column = page.get_by_label("Text column")
    results = page.locator("#file-results")
    results.get_by_text("File: cinema.csv, column: text").wait_for()
    column.select_option("title")
    assert results.get_attribute("data-stale") is not None
    column.select_option("text")
    assert results.get_attribute("data-stale") is None
    check_summary(page, rows)
    page.get_by_text("The cell is empty.").wait_for()
    page.get_by_role("link", name="film number 6 was dreadful").click()
    page.locator(".subject").get_by_text("film number 6").wait_for()
    page.go_back()
    page.get_by_role("link", name="Download as CSV").wait_for()


def test_commas_below_a_single_name_are_text_and_a_missing_header_is_said(
    page: Any, site: Site, tmp_path: Path
) -> None:
    visit(page, site.url)
    (tmp_path / "single.csv").write_text("review\ngreat, lovely film\nbad, dull film\n")
    upload(page, tmp_path / "single.csv")
    page.get_by_text("single.csv: 2 rows, 1 column.").wait_for()
    remark = page.get_by_text("The first line was read as the names of the columns.")
    assert remark.count() == 0
    (tmp_path / "bare.csv").write_text("A great film that I loved,1\nA bad one,0\n")
    upload(page, tmp_path / "bare.csv")
    remark.wait_for()


def check_summary(page: Any, rows: list[dict[str, str]]) -> None:
    """The bar, the share with its interval, and the filter say what the downloaded rows say."""
    verdicts = [
        "Not analyzed" if row["error"] else "Uncertain" if row["unsure"] == "True"
        else row["prediction"].capitalize()
        for row in rows
    ]  # fmt: skip
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    legend = [line.strip() for line in page.locator(".verdicts li").all_inner_texts()]
    scored = len(rows) - counts["Not analyzed"]
    for line in legend:
        verdict, count = line.split()[:2]
        assert int(count) == counts.get(verdict, 0)
    assert legend[0].startswith("Positive") and legend[-1].startswith("Negative")
    share = statistics.proportion(counts["Positive"], scored)
    interval = f"of {scored} reviews (95% interval {share.low:.1%} to {share.high:.1%})"
    page.get_by_label("Summary").get_by_text(interval).wait_for()
    for verdict, count in counts.items():
        page.get_by_label(f"{verdict} {count}", exact=True).check()
        assert page.locator("#file-results tbody tr").count() == count
    page.get_by_label(f"All {len(rows)}", exact=True).check()
    assert page.locator("#file-results tbody tr").count() == len(rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("excel.csv", 'text;note\r\n"a wonderful; film";"é"\r\na café;2\r\n'.encode("cp1252")),
        ("unicode.txt", "text\tnote\r\na wonderful; film\té\r\na café\t2\r\n".encode("utf-16")),
        ("single.csv", "text\na wonderful; film\na café\n".encode()),
        ("lines.txt", "a wonderful; film\n\na café".encode()),
        ("table.txt", "text,label\na wonderful; film,1\na café,2\n".encode()),
    ],
)
def test_reads_dialects_and_encodings(
    page: Any, site: Site, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    visit(page, site.url)
    upload(page, tmp_path / name)
    columns = "1 column" if name in {"lines.txt", "single.csv"} else "2 columns"
    page.get_by_text(f"{name}: 2 rows, {columns}.").wait_for()
    assert page.get_by_text("was read as Windows-1252").count() == (name == "excel.csv")
    score(page)
    assert [row["text"] for row in downloaded(page)] == ["a wonderful; film", "a café"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not a text file"),
        ("empty.csv", b"", "empty.csv is empty."),
        ("header.csv", b"text,n\n", "has no rows below its header"),
        ("rows.json", b'[{"text": "a"}]', "rows.json must end in .csv, .tsv, .tab, .txt."),
        (
            "wide.csv",
            b",".join([b"x"] * 300) + b"\n" + b",".join([b"x"] * 300),
            "has 300 columns; the limit is 200.",
        ),
        (
            "comma.csv",
            b"text,n\na good film,1\na bad, boring film,2\n",
            "row 2 of the table: it has 3 cells, but the first line names 2 columns.",
        ),
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
    assert page.get_by_role("link", name="Download as CSV").count() == 0
