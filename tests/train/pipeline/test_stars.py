"""A model of ordered labels, end to end: metrics, card, gate, ONNX, scoring, Hub, `pipeline()`.

Its five labels are learned from toy reviews, with soft labels between neighbors.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run_train
from conftest import (
    REPOSITORY,
    STARS,
    assert_card_tells_the_truth,
    fit_toy_run,
    toy_settings,
    toy_star_reviews,
)
from hubserver import RunningHub
from huggingface_hub import ModelCard
from pyarrow import parquet

from train import recipe as recipes
from train import run_folder
from train.errors import ModelError
from train.evaluation import row_results
from train.modeling import model
from train.pipeline import training_run
from train.publishing import card, release_gate
from train.scoring import score as scoring
from train.sections import Dataset

ORDERED = ["within_one", "mae", "quadratic_weighted_kappa", "spearman", "verdict_accuracy"]
TEXTS = [
    "film number 3 was wonderful, with 3 wonderful songs and a wonderful end",
    "film number 3 was dreadful, with 3 dreadful songs and a dreadful end",
    "film number 3 was so so, with 3 so so songs and a so so end",
]


@pytest.fixture(scope="module")
def results(star_run: Path) -> dict[str, Any]:
    return run_folder.load_results(star_run)


def test_results_have_the_ordered_metrics(results: dict[str, Any]) -> None:
    for split in ["validation", "test"]:
        measured = results["metrics"][split]
        assert set(ORDERED) <= set(measured)
        assert measured["within_one"] >= 0.9
        assert measured["mae"] < 0.6
        assert measured["spearman"] > 0.8
        assert [star["share"] for star in measured["calibration"]] == pytest.approx([0.2] * 5)


def test_spearman_uses_the_ratings_of_the_label_column(
    star_run: Path, results: dict[str, Any]
) -> None:
    """With ten ratings for five labels, no model of the labels can reach 1."""
    assert results["metrics"]["test"]["spearman"] < 0.99


def test_threshold_counts_a_neighbor_as_right(results: dict[str, Any]) -> None:
    unsure = results["error_analysis"]["unsure"]
    inside, outside = unsure["accuracy_inside"] or 0.0, unsure["accuracy_outside"] or 0.0
    mean = unsure["share"] * inside + (1 - unsure["share"]) * outside
    assert mean == pytest.approx(results["metrics"]["test"]["within_one"])
    far = [error["label"] - error["predicted"] for error in
           results["error_analysis"]["confident_errors"]]  # fmt: skip
    assert all(abs(steps) > 1 for steps in far)


def test_behavior_suite_is_run_by_the_verdict(star_run: Path, results: dict[str, Any]) -> None:
    assert results["error_analysis"]["behavior"]["sentences"]["all"]["n"] >= 300
    parts = set(row_results.load(star_run / row_results.FILE)["part"])
    assert parts == {"sentences", "pairs", "test"}


def test_card_has_the_ordered_metrics(star_run: Path, results: dict[str, Any]) -> None:
    text = card.render(results, "demo/stars")
    measured = results["metrics"]["test"]
    for line in [
        f"{100 * measured['within_one']:.2f}% of the predictions are within one step of the label",
        f"the expected stars differ from the rating by {measured['mae']:.2f} on average",
        "| MAE of the expected value |",
        "| quadratic weighted kappa |",
        "whether its expected value is above or below 3;",
        "| label | mean probability | test reviews with it | ECE |",
        "Expected stars above 3 count as positive, others as negative.",
        "its expected stars differ by",
        "are within one step of the label",
    ]:
        assert line in text or line.startswith("are within") and "No prediction on" in text, line
    indexed = {r.metric_type: r.metric_value for r in ModelCard(text).data.eval_results}
    for ours, theirs in [("mae", "mae"), ("spearman", "spearmanr"), ("within_one", "within_one")]:
        assert indexed[theirs] == pytest.approx(measured[ours], abs=1e-6)
    assert assert_card_tells_the_truth(text, star_run) == len(results["examples"])


def test_plots_are_drawn(star_run: Path) -> None:
    names = {file.name for file in (star_run / "plots").iterdir()}
    assert names == {"confusion.png", "reliability.png", "training.png"}


def test_int8_is_kept_by_the_expected_value(star_run: Path, results: dict[str, Any]) -> None:
    int8 = results["export"]["int8"]
    assert int8["published"]
    assert int8["expected_shift"] <= 0.05
    assert (star_run / "onnx/model_quantized.onnx").is_file()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_scored_files_have_the_expected_stars(star_run: Path, tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "in.jsonl"
    rows = [*({"text": text} for text in TEXTS), {"text": ""}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = tmp_path / f"out{suffix}"
    scoring.score(str(source), str(star_run), out, prefix="our_")
    if suffix == ".parquet":
        values = parquet.read_table(out)["our_expected_stars"].to_pylist()
    elif suffix == ".jsonl":
        lines = out.read_text(encoding="utf-8").splitlines()
        values = [json.loads(line)["our_expected_stars"] for line in lines]
    else:
        head, *lines = out.read_text(encoding="utf-8").splitlines()
        assert head.endswith(",our_reason,our_expected_stars")
        values = [float(line.rpartition(",")[2] or "nan") for line in lines]
    wonderful, dreadful, average, empty = values
    assert 1 <= dreadful < average < wonderful <= 5
    assert empty is None or np.isnan(empty)


def test_release_gate_compares_the_labels(star_run: Path, capsys: Any) -> None:
    release_gate.check(star_run, star_run / row_results.FILE, "demo/stars")
    printed = capsys.readouterr().out
    assert "release gate, test rows of reviews.csv: " in printed
    assert "behavior suite, sentences" in printed


def test_any_star_model_is_evaluated_with_ordered_metrics(star_run: Path, tmp_path: Path) -> None:
    rows = [
        {"text": row["text"], "stars": (row["rating"] + 1) // 2} for row in toy_star_reviews(20)
    ]
    file = tmp_path / "stars.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    label_map = dict(zip("12345", STARS, strict=True))
    dataset = Dataset(source=str(file), label="stars", label_map=label_map)
    found = training_run.evaluate_elsewhere(str(star_run), None, dataset, "train", None)
    assert set(ORDERED) <= set(found["metrics"]["train"])


def test_binary_model_is_a_base_for_stars(tiny_base: Path, tmp_path: Path) -> None:
    """The head is new, the rest is kept."""
    binary = fit_toy_run(tmp_path, tiny_base, "epochs=1")
    settings = [*toy_settings("x.csv", binary), f"labels={json.dumps(STARS)}"]
    built, _ = model.build(recipes.load("quickstart", [*settings, "datasets.label_map=null"]))
    trained, _ = model.load(str(binary))
    assert built.classifier.out_features == 5
    ours, theirs = built.base_model.state_dict(), trained.base_model.state_dict()
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    config = json.loads((binary / "config.json").read_text(encoding="utf-8"))
    (binary / "config.json").write_text(json.dumps({**config, "intermediate_size": 32}))
    with pytest.raises(ModelError, match="its weights don't fit its config.json"):
        model.build(recipes.load("quickstart", [*settings, "datasets.label_map=null"]))


CALL = """
import json, sys
from transformers import pipeline
classify = pipeline("sentiment-analysis", model="demo/stars")
json.dump([classify(text, top_k=None) for text in json.load(sys.stdin)], sys.stdout)
"""


@pytest.fixture(scope="module")
def published(
    star_run: Path, hub: RunningHub, tmp_path_factory: pytest.TempPathFactory
) -> RunningHub:
    """A Hub with the run as `demo/stars`, and its Space."""
    home = tmp_path_factory.mktemp("publisher")
    run = shutil.copytree(star_run, home / "toy-stars")
    command = ["publish", str(run), "--to", "demo/stars", "--space", "demo/page"]
    done = run_train(*command, env=hub.env(home))
    assert done.returncode == 0, done.stderr
    assert "files are identical, and pipeline() works" in done.stdout
    return hub


@pytest.mark.parametrize("older", [False, True], ids=["transformers 5", "transformers 4"])
def test_pipeline_calls_the_published_model(
    older: bool, star_run: Path, published: RunningHub, tmp_path: Path
) -> None:
    from space.inference.classifier import Classifier

    python = REPOSITORY / ".venv-transformers4/bin/python" if older else Path(sys.executable)
    if not python.exists() and os.environ.get("CI") != "true":
        pytest.skip("`make setup-tests` creates .venv-transformers4")
    done = subprocess.run(
        [python, "-c", CALL],
        env=published.env(tmp_path, token=None) | {"OMP_NUM_THREADS": "1"},
        input=json.dumps(TEXTS), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = [Classifier.from_folder(star_run).predict(text).probabilities for text in TEXTS]
    for answers, probabilities in zip(json.loads(done.stdout), expected, strict=True):
        scores = {answer["label"]: answer["score"] for answer in answers}
        assert list(scores) == sorted(scores, key=scores.__getitem__, reverse=True)
        assert set(scores) == set(STARS)
        for label, probability in probabilities.items():
            assert scores[label] == pytest.approx(probability, abs=0.03)  # int8 in the Space
