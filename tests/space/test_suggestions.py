"""Ready comparisons: offered only with models that the Hub has."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hubserver import run_python, running_hub
from test_app import push

from space import suggestions
from space.files import tables
from space.suggestions import Suggestion, Suggestions
from space.tabs.compare import parse_model
from space.tabs.upload import NO_HEADER, SAMPLE_FILE, read_upload

# Prints what is offered, before and after the model is loaded.
OFFER = """
import json, sys
from space import suggestions
from space.inference.classifier import Classifier
suggestions.OTHERS = json.loads(sys.argv[2])
classifier = Classifier(sys.argv[1])
offered = suggestions.Suggestions(classifier)
assert offered.get() == []
classifier.load()
print(json.dumps([[one.caption, one.models, bool(one.review)] for one in offered.get()]))
"""


def test_each_suggested_model_is_on_the_hub(tiny_classifier: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(tiny_classifier, both)
    shutil.copy(both / "onnx/model.onnx", both / "onnx/model_quantized.onnx")
    with running_hub() as hub:
        commit = push(hub, both, "demo/both")
        push(hub, tiny_classifier, "demo/alone")
        push(hub, tiny_classifier, "demo/other")
        env = hub.env(tmp_path / "home", token=None)
        known = {"a dead one": "demo/nothing", "another": "demo/other", "itself": "demo/both"}
        shown = json.loads(run_python(OFFER, env, "demo/both", json.dumps(known)).stdout)
        alone = json.loads(run_python(OFFER, env, "demo/alone", "{}").stdout)
        precisions = json.loads(run_python(OFFER, env, "demo/both", "{}").stdout)
    assert alone == []
    with_other, with_precision = shown
    assert with_other == ["Try another on the sample file", ["demo/both", "demo/other"], False]
    caption, models, has_review = with_precision
    assert (caption, has_review) == ("Try its full-precision version on one review", True)
    assert [parse_model(model, "") for model in models] == [
        ("demo/both", commit, file) for file in ("onnx/model_quantized.onnx", "onnx/model.onnx")
    ]
    assert [caption for caption, *_ in precisions] == [
        "Try its full-precision version on the sample file",
        "Try its full-precision version on one review",
    ]


def test_sample_file_has_a_column_of_each_kind_and_is_kept() -> None:
    (table,), message = read_upload(str(SAMPLE_FILE))
    assert NO_HEADER not in message
    columns = table.columns
    assert "sample.csv: 60 rows, 5 columns." in message
    assert (columns.text, columns.date, columns.title) == ("text", "date", "title")
    assert (columns.label, columns.rating) == ("label", "stars")
    assert table.total == len(table.frame) < tables.MAX_ROWS
    assert SAMPLE_FILE.is_file()


def test_suggestions_are_those_of_the_model_after_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = SimpleNamespace(commit="first")
    found = lambda model: [Suggestion(model.commit, ("demo/a", "demo/b"))]  # noqa: E731
    monkeypatch.setattr(suggestions, "suggest", found)
    shown = Suggestions(model)
    assert [one.caption for one in shown.get()] == ["first"]
    model.commit = "second"
    assert [one.caption for one in shown.get()] == ["second"]
    assert shown.get() is shown.get()


def test_first_line_that_may_be_a_review_is_remarked_on(tmp_path: Path):
    (tmp_path / "bare.csv").write_text("A great film that I loved,1\nA bad one,0\n")
    (_,), message = read_upload(str(tmp_path / "bare.csv"))
    assert NO_HEADER in message
