"""The File tab in a browser: Chromium on the running app."""

import csv
import io
import time
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas
import pytest
from conftest import toy_reviews
from test_browser import (  # noqa: F401  # fixtures
    analyze,
    browser,
    files_of,
    go_to,
    page,
    phone,
    playwright,
    pytestmark,
    review,
    serious_violations,
    space,
    stored,
)

ANALYZE = "#analyze-file"


def toy_rows(count: int = 80) -> list[dict[str, Any]]:
    """Toy reviews with dates, titles, labels and stars; one is blank, one looks like a formula."""
    rows = [
        {"day": f"2026-{1 + i // 7 % 12:02}-{1 + i % 28:02}", **row, "stars": [1, 5][i % 2]}
        for i, row in enumerate(toy_reviews(count))
    ]
    rows[3]["text"] = ""
    rows[4]["text"] = "=wonderful film number 4"
    return rows


def write_reviews(path: Path, count: int = 80) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["day", "text", "label", "title", "stars"])
        writer.writeheader()
        writer.writerows(toy_rows(count))
    return path


def upload(page: Any, space: str, path: Path) -> None:  # noqa: F811
    go_to(page, space, "File")
    page.locator("input[type=file]").first.set_input_files(path)


def score(page: Any, space: str, path: Path) -> None:  # noqa: F811
    upload(page, space, path)
    page.locator(ANALYZE).click()
    page.locator("#results").wait_for()
    page.get_by_label("Text column").wait_for(state="hidden")  # else the page collapses it later


def download(page: Any, name: str) -> Any:  # noqa: F811
    with page.expect_download() as started:
        page.get_by_role("button", name=name).click()
    return started.value


def test_scores_a_file_draws_charts_and_opens_rows(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    tmp_path: Path,
):
    upload(page, space, write_reviews(tmp_path / "cinema.csv"))
    page.get_by_text("cinema.csv: 80 rows, 5 columns.").wait_for()
    columns = {"text": "text", "date": "day", "title": "title", "label": "label", "rating": "stars"}
    for kind, column in columns.items():
        assert page.get_by_label(f"{kind.capitalize()} column").input_value() == column
    page.locator(ANALYZE).click()
    page.get_by_text("accuracy on 79 labeled reviews").wait_for()
    page.get_by_text("The cell is empty.").last.wait_for()
    page.locator(".vega-embed").nth(4).wait_for()  # over time twice, by stars, by title, confusion
    page.get_by_label("year", exact=True).check()
    page.get_by_text("film number 5 was wonderful").first.click()
    page.get_by_text("tokens read").wait_for()
    assert review(page).input_value().startswith("film number 5 was wonderful")


def test_sample_file_fills_the_tab_and_leaves_no_copy(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    stored: Path,  # noqa: F811
):
    go_to(page, space, "File")
    page.get_by_role("button", name="Try a sample file").click()
    page.get_by_text("sample.csv: 60 rows, 5 columns.").wait_for()
    columns = {"text": "text", "date": "date", "title": "title", "label": "label"}
    for kind, column in {**columns, "rating": "stars"}.items():
        field = page.get_by_label(f"{kind.capitalize()} column").first
        assert field.input_value() == column
    page.locator(ANALYZE).click()
    page.get_by_text("accuracy on 51 labeled reviews").wait_for()
    assert [path.name for path in files_of(stored).rglob("sample*")] == []
    go_to(page, space, "File")  # the file is still there for the next user
    page.get_by_role("button", name="Try a sample file").click()
    page.get_by_text("sample.csv: 60 rows, 5 columns.").wait_for()


# The words of headers that break, or are wider than their cell.
BROKEN_HEADERS = """() => [...document.querySelectorAll(".rows th span")].flatMap((span) => {
  const walker = document.createTreeWalker(span, NodeFilter.SHOW_TEXT);
  const cell = span.closest("th").getBoundingClientRect();
  const broken = [];
  while (walker.nextNode()) {
    for (const word of walker.currentNode.data.matchAll(/[^ ]+/g)) {
      const range = document.createRange();
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      const isCut = range.getBoundingClientRect().right > cell.right + 1;
      if (range.getClientRects().length > 1 || isCut) broken.push(word[0]);
    }
  }
  return broken;
})"""


def test_no_header_breaks_inside_a_word(page: Any, space: str, tmp_path: Path):  # noqa: F811
    frame = pandas.DataFrame(toy_rows())
    frame = frame.rename(columns={"label": "sentiment", "day": "submission_date_of_the_review"})
    frame.to_csv(tmp_path / "cinema.csv", index=False)
    score(page, space, tmp_path / "cinema.csv")
    table = page.locator(".rows").filter(has_text="select one to open it")
    for name in ["prediction", "probability", "submission_date_of_the_review"]:
        table.get_by_text(name, exact=True).first.wait_for()
    assert page.evaluate(BROKEN_HEADERS) == []
    page.get_by_role("button", name="Columns and first rows").click()
    page.get_by_label("Text column").wait_for()
    assert page.evaluate(BROKEN_HEADERS) == []


# The labels of each axis: their texts and places.
AXIS_LABELS = """() => [...document.querySelectorAll(".vega-embed .role-axis")].map((axis) =>
  [...axis.querySelectorAll(".role-axis-label text")]
    .filter((label) => label.textContent && label.getAttribute("opacity") !== "0")
    .map((label) => {
      const { left, right, top } = label.getBoundingClientRect();
      return { text: label.textContent, left, right, top };
    }))"""


@pytest.mark.parametrize("kind", ["phone", "page"])
def test_labels_of_charts_are_complete_and_apart(
    request: pytest.FixtureRequest,
    space: str,  # noqa: F811
    tmp_path: Path,
    kind: str,
):
    view = request.getfixturevalue(kind)
    rows = toy_rows(300)
    for i, row in enumerate(rows):
        row["day"] = f"{2021 + i // 60}-{1 + i // 5 % 12:02}-{1 + i % 28:02}"
        row["title"] = f"The remarkably long name of film {i % 12}"
    pandas.DataFrame(rows).to_csv(tmp_path / "cinema.csv", index=False)
    score(view, space, tmp_path / "cinema.csv")
    view.locator(".vega-embed summary").nth(4).wait_for()
    for period in ["the one that is chosen", "day"]:
        if period == "day":
            view.get_by_label("day", exact=True).check()
            view.get_by_text("Reviews per day").nth(1).wait_for()  # of both charts
        for labels in view.evaluate(AXIS_LABELS):
            for label, following in pairwise(sorted(labels, key=lambda place: place["left"])):
                if abs(label["top"] - following["top"]) < 5:
                    assert label["right"] <= following["left"], (label, following)
            if kind == "page":
                assert not any("…" in label["text"] for label in labels)


def test_results_scroll_into_view_and_columns_collapse(
    phone: Any,  # noqa: F811
    space: str,  # noqa: F811
    tmp_path: Path,
):
    score(phone, space, write_reviews(tmp_path / "cinema.csv"))
    phone.locator("#results .verdicts").wait_for()
    phone.wait_for_function("document.querySelector('#results').getBoundingClientRect().top < 200")
    assert not phone.get_by_label("Text column").is_visible()
    assert phone.get_by_text("Preparing the results").count() == 0
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_counts_of_verdicts_agree(page: Any, space: str, tmp_path: Path):  # noqa: F811
    score(page, space, write_reviews(tmp_path / "cinema.csv"))
    scored = download(page, "Download as CSV").path().read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(scored)))
    certain = [row["prediction"] for row in rows if row["unsure"] == "False"]
    positive, negative = certain.count("POSITIVE"), certain.count("NEGATIVE")
    unsure = sum(row["unsure"] == "True" for row in rows)
    legend = page.locator(".verdicts li").all_inner_texts()
    counts = {line.split()[0]: int(line.split()[1]) for line in legend}
    assert counts == {
        "Positive": positive, "Negative": negative, **({"Uncertain": unsure} if unsure else {})
    }  # fmt: skip
    assert sum(counts.values()) == 79
    chips = page.locator(".chips label").all_inner_texts()
    assert chips == [
        "All 80", *(f"{name} {count}" for name, count in counts.items()), "Not analyzed 1"
    ]  # fmt: skip
    page.locator(".chips label").filter(has_text="Negative").click()
    table = page.locator(".rows").filter(has_text="select one to open it")
    playwright.expect(table.locator(".verdict.for")).to_have_count(0)
    assert table.locator(".verdict.against").count() > 0


def test_no_file_of_a_user_is_left(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    stored: Path,  # noqa: F811
    tmp_path: Path,
):
    upload(page, space, write_reviews(tmp_path / "private.csv"))
    page.get_by_text("is deleted from the server's disk as soon as it is read").first.wait_for()
    page.get_by_text("private.csv: 80 rows").wait_for()
    files = files_of(stored)
    assert [path for path in files.rglob("*") if "private" in path.name] == []
    page.locator(ANALYZE).click()
    page.locator("#results").wait_for()
    download(page, "Download as CSV")
    download(page, "Download for Excel")
    kept = sorted(path.name for path in files.rglob("private*"))
    assert kept == ["private-scored.csv", "private-scored.xlsx"]
    page.close()
    for _ in range(300):
        if not any(path.is_file() or path.name.startswith("results-") for path in files.rglob("*")):
            return
        time.sleep(0.1)
    raise AssertionError(list(files.rglob("*")))


def test_scored_file_keeps_columns_and_escapes_formulas(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    tmp_path: Path,
):
    score(page, space, write_reviews(tmp_path / "cinema.csv"))
    scored = download(page, "Download as CSV")
    assert scored.suggested_filename == "cinema-scored.csv"
    text = Path(scored.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 80
    assert list(rows[0])[:5] == ["day", "text", "label", "title", "stars"]
    assert rows[4]["text"] == "'=wonderful film number 4"
    assert rows[3]["error"] == "The cell is empty."
    assert {row["prediction"] for row in rows} == {"", "NEGATIVE", "POSITIVE"}
    names = zipfile.ZipFile(download(page, "Download charts").path()).namelist()
    assert {Path(name).suffix for name in names} == {".png", ".svg"}
    workbook = download(page, "Download for Excel")
    assert workbook.suggested_filename == "cinema-scored.xlsx"


def test_words_of_both_sides_and_of_one_title(page: Any, space: str, tmp_path: Path):  # noqa: F811
    score(page, space, write_reviews(tmp_path / "cinema.csv"))
    words = page.locator(".words")
    words.wait_for()
    assert "wonderful" in words.locator("ul.for").inner_text()
    assert "dreadful" in words.locator("ul.against").inner_text()
    page.get_by_label("Titles").click()
    page.get_by_role("option", name="film 4").click()
    page.get_by_text(
        "Characteristic words need at least 5 positive and 5 negative reviews."
    ).wait_for()


def test_scoring_can_be_cancelled(page: Any, space: str, tmp_path: Path):  # noqa: F811
    path = tmp_path / "long.txt"
    path.write_text("\n".join(["a wonderful film with a dreadful end " * 60] * 5_000))
    upload(page, space, path)
    page.locator(ANALYZE).click()
    page.get_by_text("of 5,000 reviews, about").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled. No results were kept.").wait_for()
    assert page.locator(ANALYZE).is_enabled()
    assert not page.get_by_role("button", name="Download as CSV").is_visible()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
        ("empty.csv", b""),
        ("broken.parquet", b"PAR1 and nothing else"),
        ("broken.xlsx", b"PK\x03\x04 and nothing else"),
        (
            "wide.csv",
            (",".join(f"c{i}" for i in range(1000)) + "\n" + ",".join("x" * 1000)).encode(),
        ),
    ],
)
def test_unreadable_file_gets_a_message(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    tmp_path: Path,
    name: str,
    content: bytes,
):
    (tmp_path / name).write_bytes(content)
    upload(page, space, tmp_path / name)
    problem = page.locator(".problem:visible")
    problem.wait_for()
    assert problem.inner_text().endswith((".", "?"))
    assert not page.locator(ANALYZE).is_visible()
    page.get_by_role("tab", name="Review").click()
    analyze(page, "a wonderful film")  # the server still works
    page.get_by_text("tokens read").wait_for()


def test_scores_a_workbook_and_a_letterboxd_export(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    tmp_path: Path,
):
    frame = pandas.DataFrame(toy_rows(20))
    frame.to_excel(tmp_path / "cinema.xlsx", index=False, engine="xlsxwriter")
    score(page, space, tmp_path / "cinema.xlsx")
    page.get_by_text("cinema.xlsx, Sheet1: 20 rows, 5 columns.").wait_for()
    with zipfile.ZipFile(tmp_path / "letterboxd.zip", "w") as archive:
        exported = frame.rename(columns={"text": "Review", "stars": "Rating", "title": "Name"})
        archive.writestr("reviews.csv", exported.to_csv(index=False))
        archive.writestr("diary.csv", "Date,Name\n")
    score(page, space, tmp_path / "letterboxd.zip")
    page.get_by_text("letterboxd.zip, reviews.csv: 20 rows, 5 columns.").wait_for()


def test_longer_file_offers_a_sample(page: Any, space: str, tmp_path: Path):  # noqa: F811
    path = tmp_path / "long.csv"
    path.write_text("text\n" + "".join(f"a wonderful film {i}\n" for i in range(12_000)))
    upload(page, space, path)
    page.get_by_text(
        "long.csv: 12,000 rows, 1 column. Choose which 10,000 of them to analyze."
    ).wait_for()
    page.get_by_label("A random sample of 10,000 rows").check()
    page.locator(ANALYZE).click()
    page.get_by_text("of 10,000 reviews").first.wait_for()


def test_words_and_stars_that_disagree_are_listed(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    tmp_path: Path,
):
    rows = pandas.DataFrame(toy_rows())
    rows.loc[10, "stars"] = 5  # its words are dreadful
    rows.to_csv(tmp_path / "cinema.csv", index=False)
    score(page, space, tmp_path / "cinema.csv")
    table = page.locator(".rows").filter(has_text="Words and stars disagree")
    table.wait_for()
    assert "film number 10 was dreadful" in table.inner_text()
    assert "film number 12 was dreadful" not in table.inner_text()


def test_scored_file_has_no_serious_accessibility_violation(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    tmp_path: Path,
):
    score(page, space, write_reviews(tmp_path / "cinema.csv"))
    page.locator(".vega-embed summary").nth(4).wait_for()
    page.locator(".words").wait_for()
    assert serious_violations(page) == []


@pytest.mark.parametrize("tab", ["File", "Compare"])
def test_too_large_file_is_refused_before_it_is_uploaded(
    page: Any,  # noqa: F811
    space: str,  # noqa: F811
    tmp_path: Path,
    tab: str,
):
    with (tmp_path / "huge.csv").open("wb") as stream:
        stream.truncate(51 * 2**20)
    go_to(page, space, tab)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.locator(".upload-area:visible input[type=file]").set_input_files(tmp_path / "huge.csv")
    page.get_by_text("huge.csv is 51 MB; the limit is 50 MB.").wait_for()
    assert [url for url in requests if "upload" in url] == []
    small = write_reviews(tmp_path / "cinema.csv")
    page.locator(".upload-area:visible input[type=file]").set_input_files(small)
    page.get_by_text("cinema.csv: 80 rows").wait_for()
    assert (
        page.get_by_text("huge.csv has").count() == 0
        or not page.get_by_text("huge.csv has").is_visible()
    )
