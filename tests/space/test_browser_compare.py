"""The Compare tab in a browser: labels without names, and ready comparisons."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubserver import running_hub
from test_app import MODEL, push, running_space
from test_browser import (  # noqa: F401  # fixtures
    browser,
    go_to,
    page,
    pytestmark,
)
from test_browser_files import write_reviews

UNNAMED = "demo/unnamed"


@pytest.fixture(scope="module")
def space(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app, and beside its model the same one without names for its labels."""
    folder = tmp_path_factory.mktemp("compare")
    unnamed = folder / "unnamed"
    shutil.copytree(finished_run, unnamed)
    config = json.loads((unnamed / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = {"0": "LABEL_0", "1": "LABEL_1"}
    config["label2id"] = {"LABEL_0": 0, "LABEL_1": 1}
    (unnamed / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with running_hub() as hub:
        push(hub, finished_run)
        push(hub, unnamed, UNNAMED)
        env = {**hub.env(folder / "home", token=None), "MODEL_ID": MODEL}
        with running_space(env, folder) as url:
            yield url


def compare(page: Any) -> None:  # noqa: F811
    page.get_by_role("button", name="Compare", exact=True).click()


def test_labels_without_names_get_a_meaning_from_a_menu(
    page: Any,  # noqa: F811
    space: str,
    tmp_path: Path,
):
    go_to(page, space, "Compare")
    page.get_by_label("Model B").fill(UNNAMED)
    file = write_reviews(tmp_path / "cinema.csv", 40)
    page.locator(".upload-area:visible input[type=file]").set_input_files(file)
    page.get_by_text("cinema.csv: 40 rows").wait_for()
    compare(page)
    page.get_by_text("Their labels differ: A has NEGATIVE, POSITIVE; B has LABEL_0").wait_for()
    menu = page.get_by_label(re.compile("^What LABEL_0, LABEL_1 of demo/unnamed at .* mean$"))
    for meaning, count in [("POSITIVE, NEGATIVE", 0), ("NEGATIVE, POSITIVE", 39)]:
        menu.click()
        page.get_by_role("option", name=meaning, exact=True).click()
        page.get_by_text(f"They agree on {count} of 39 reviews").wait_for()
        page.get_by_role("rowheader", name="Accuracy").wait_for()
    page.get_by_text("1 review was left out: The cell is empty.").wait_for()


def test_ready_comparison_fills_in_the_tab(page: Any, space: str):  # noqa: F811
    go_to(page, space, "Compare")
    page.get_by_text("stay in its memory for at most an hour. Nothing else is kept.").wait_for()
    page.get_by_role("button", name="Try its full-precision version on the sample file").click()
    page.get_by_text("sample.csv: 60 rows, 5 columns.").wait_for()
    assert page.get_by_label("Label column").last.input_value() == "label"
    assert page.get_by_label("Model B").input_value().endswith("/onnx/model.onnx")
    compare(page)
    page.get_by_role("rowheader", name="Accuracy").wait_for()
    page.get_by_text(re.compile(r"They agree on \d+ of 60 reviews")).wait_for()
    page.get_by_role("button", name="Try its full-precision version on one review").click()
    page.get_by_text("sample.csv: 60 rows").wait_for(state="hidden")
    assert "The lead is superb" in page.get_by_label("One review for both models").input_value()
    compare(page)
    page.get_by_role("rowheader", name="Prediction").wait_for()
    page.get_by_text("They agree.").wait_for()
    page.locator("#comparison .subject", has_text="Review: The lead is superb").wait_for()
    opacity = "document.querySelector('#comparison').computedStyleMap().get('opacity').value"
    assert page.evaluate(opacity) == 1
    page.get_by_label("Model B").fill("demo/other")
    page.wait_for_function(f"{opacity} < 1")
