"""The released model: what the documents, the card and the page say about it is true."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY, assert_card_tells_the_truth
from test_hub import fingerprint
from test_pipeline_call import CALLERS
from test_quickstart import shown

from space.inference.classifier import Classifier
from train import quickstart, run_folder
from train.pipeline import release

MODEL = quickstart.RELEASE
CALL = """
import json, sys
from transformers import pipeline

model, texts = json.loads(sys.argv[1])
print(json.dumps(pipeline("sentiment-analysis", model=model)(texts)))
"""
NO_OPINION = [
    "hi",
    "12345",
    "The film was shot in Lisbon in 1998 and runs for 112 minutes.",
    "A young doctor moves to a village on the coast. She meets a fisherman whose brother went "
    "missing at sea, and together they search the islands for him.",
]


def test_release_is_complete_committed_and_small() -> None:
    assert release.is_release(MODEL)
    release.check_files(MODEL)
    run_folder.check_committed(MODEL)
    recorded = run_folder.load_results(MODEL)["release"]
    assert recorded["sha256"] == fingerprint(MODEL)["model.safetensors"]
    assert recorded["changed"]["fp16"] <= release.MAX_CHANGED
    files = [path for path in (REPOSITORY / "models").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= release.MAX_BYTES


def test_card_tells_the_truth() -> None:
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    assert assert_card_tells_the_truth(card, MODEL) > 0
    for source in ["stanfordnlp/imdb", "SetFit/sst5"]:  # of its training data
        assert source in card
    assert "license: apache-2.0" in card


def test_results_are_on_record() -> None:
    results = run_folder.load_results(MODEL)
    name = results["recipe"]["name"]
    record = (REPOSITORY / "benchmarks/results" / f"{name}.json").read_text(encoding="utf-8")
    assert results["metrics"] == json.loads(record)["metrics"]


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_pipeline_gives_the_answers_that_documents_show(caller: Path) -> None:
    if not caller.exists():
        pytest.skip("`make setup-tests` creates .venv-transformers4")
    expected = dict([*shown("README.md"), *shown("space/README.md")])
    expected |= dict(zip(quickstart.REVIEWS, ["POSITIVE", "NEGATIVE", "POSITIVE"], strict=True))
    arguments = json.dumps([str(MODEL), list(expected)])
    answers = subprocess.check_output([caller, "-c", CALL, arguments], text=True)
    labels = [answer["label"] for answer in json.loads(answers.splitlines()[-1])]
    assert dict(zip(expected, labels, strict=True)) == expected


def test_page_has_an_example_of_each_kind(on_page: Classifier) -> None:
    from space.examples import CANDIDATES, select

    assert list(select(on_page)) == list(CANDIDATES)


@pytest.fixture(scope="module")
def on_page(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """The ONNX file of a working copy, as the page reads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "COPIES", tmp_path_factory.mktemp("copies"))
        return Classifier.from_folder(release.working_copy(MODEL))


@pytest.mark.parametrize("text", NO_OPINION)
def test_text_without_an_opinion_gets_no_verdict(text: str, on_page: Classifier) -> None:
    """No leaning, or an uncertain one."""
    prediction = on_page.predict(text)
    assert prediction.neutral or prediction.unsure, prediction.probabilities
