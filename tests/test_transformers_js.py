"""transformers.js loads what is published by its id, and gives the scores that Python gives."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ASPECTS, REPOSITORY, sample_rows
from hubserver import RunningHub, running_hub
from test_app import push

JS = REPOSITORY / "tests" / "js"
LIBRARIES = ["transformers-3", "@huggingface/transformers"]  # 3.8 and 4.3, see package.json
MODEL = "demo/for-javascript"
TEXTS = [
    *(" ".join(row["text"].split()[:15]) for row in sample_rows("test")[:47]),
    "Good",
    "a wonderful<br />film<br/>with <BR> a dreadful end",
    "wonderful dreadful " * 20,
]


@pytest.fixture(scope="module")
def folder(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier with an int8 form as well."""
    from train.publishing import export

    folder = tmp_path_factory.mktemp("javascript") / "model"
    shutil.copytree(tiny_classifier, folder)
    onnx = folder / "onnx"
    export.quantize(onnx / "model.onnx", onnx / "model_quantized.onnx", ["MatMul", "Gather"])
    return folder


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[RunningHub]:
    with running_hub() as running:
        push(running, folder, MODEL)
        yield running


def install(package: str) -> None:
    """Bring the packages of `tests/js` where they are missing; skip the test where npm is."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    if not (JS / "node_modules" / package).exists():
        # Nothing is compiled, and no CUDA is fetched: the CPU's binary is in the package.
        command = [npm, "ci", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"]
        subprocess.run(command, cwd=JS, check=True, timeout=300)


def in_javascript(
    library: str, hub: RunningHub, tmp_path: Path, dtype: str, **changes: Any
) -> dict[str, list[float]]:
    """Probabilities of a label, of the texts alone and in batches of 8."""
    job = {"model": MODEL, "dtype": dtype, "texts": TEXTS, "rows": 8, "cache": str(tmp_path)}
    job |= {"library": library, "label": "POSITIVE", **changes}
    probabilities: dict[str, list[float]] = run_node("transformers.mjs", job, hub, tmp_path)
    return probabilities


def run_node(script: str, job: dict[str, Any], hub: RunningHub, tmp_path: Path) -> Any:
    """What a script of `tests/js` answers to a job."""
    install(job["library"])
    done = subprocess.run(
        ["node", script],
        cwd=JS,
        env={**os.environ, **hub.env(tmp_path / "home", token=None)},
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("library", LIBRARIES)
def test_fp32_gives_the_scores_of_pipeline(
    library: str, hub: RunningHub, folder: Path, tmp_path: Path
) -> None:
    from transformers import pipeline

    classify: Any = pipeline("sentiment-analysis", model=str(folder))
    expected = [
        next(answer["score"] for answer in answers if answer["label"] == "POSITIVE")
        for answers in classify(TEXTS, top_k=None)
    ]
    probabilities = in_javascript(library, hub, tmp_path, "fp32")
    assert probabilities["alone"] == pytest.approx(expected, abs=1e-4)
    assert probabilities["together"] == pytest.approx(expected, abs=1e-4)
    assert min(expected) < 0.4 < 0.6 < max(expected)


@pytest.mark.parametrize("library", LIBRARIES)
def test_stars_have_the_scores_of_pipeline(
    library: str, hub: RunningHub, star_run: Path, tmp_path: Path
) -> None:
    from transformers import pipeline

    push(hub, star_run, "demo/stars")
    classify: Any = pipeline("sentiment-analysis", model=str(star_run))
    for label in ["1 star", "5 stars"]:
        expected = [
            next(answer["score"] for answer in answers if answer["label"] == label)
            for answers in classify(TEXTS, top_k=None)
        ]
        job = {"model": "demo/stars", "label": label}
        probabilities = in_javascript(library, hub, tmp_path, "fp32", **job)
        assert probabilities["alone"] == pytest.approx(expected, abs=1e-4)
        assert probabilities["together"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_text_pairs_have_the_scores_of_pipeline(
    library: str, hub: RunningHub, aspect_run: Path, tmp_path: Path
) -> None:
    from scipy.special import softmax
    from transformers import pipeline

    push(hub, aspect_run, "demo/aspects")
    classify: Any = pipeline("text-classification", model=str(aspect_run), top_k=None)
    pairs = [(text, aspect) for text in TEXTS[:10] for aspect in ASPECTS]
    job = {"library": library, "model": "demo/aspects", "dtype": "fp32", "pairs": pairs}
    answer = run_node("pairs.mjs", {**job, "cache": str(tmp_path)}, hub, tmp_path)
    labels = [answer["labels"][str(i)] for i in range(len(answer["labels"]))]
    for (text, aspect), logits in zip(pairs, answer["answers"], strict=True):
        scores = {a["label"]: a["score"] for a in classify({"text": text, "text_pair": aspect})}
        shares = softmax(logits).tolist()
        assert shares == pytest.approx([scores[label] for label in labels], abs=1e-4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_int8_gives_the_labels_of_the_space_alone_and_in_batches(
    library: str, hub: RunningHub, folder: Path, tmp_path: Path
) -> None:
    from space.inference.classifier import Classifier

    classifier = Classifier.from_folder(folder)
    expected = [classifier.predict(text).label for text in TEXTS]
    probabilities = in_javascript(library, hub, tmp_path, "q8")
    assert ["POSITIVE" if p > 0.5 else "NEGATIVE" for p in probabilities["alone"]] == expected
    assert probabilities["together"] == probabilities["alone"]
