"""transformers.js loads what is published by its id, and gives the scores that Python gives."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, sample_rows
from hubserver import WRITE, RunningHub, running_hub

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
    from huggingface_hub import HfApi

    with running_hub() as running:
        api = HfApi(endpoint=running.endpoint, token=WRITE)
        api.create_repo(MODEL)
        api.upload_folder(repo_id=MODEL, folder_path=folder)
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
    library: str, hub: RunningHub, tmp_path: Path, dtype: str, **changes: str
) -> dict[str, list[float]]:
    """Probabilities of a label, of the texts alone and in batches of 8."""
    install(library)
    job = {"model": MODEL, "dtype": dtype, "texts": TEXTS, "rows": 8, "cache": str(tmp_path)}
    job |= {"library": library, "label": "POSITIVE", **changes}
    done = subprocess.run(
        ["node", "transformers.mjs"],
        cwd=JS,
        env={**os.environ, **hub.env(tmp_path / "home", token=None)},
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    probabilities: dict[str, list[float]] = json.loads(done.stdout)
    return probabilities


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
    from huggingface_hub import HfApi
    from transformers import pipeline

    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo("demo/stars", exist_ok=True)
    patterns = ["*.json", "onnx/*"]
    api.upload_folder(repo_id="demo/stars", folder_path=star_run, allow_patterns=patterns)
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
def test_int8_gives_the_labels_of_the_space_alone_and_in_batches(
    library: str, hub: RunningHub, folder: Path, tmp_path: Path
) -> None:
    from space.inference.classifier import Classifier

    classifier = Classifier.from_folder(folder)
    expected = [classifier.predict(text).label for text in TEXTS]
    probabilities = in_javascript(library, hub, tmp_path, "q8")
    assert ["POSITIVE" if p > 0.5 else "NEGATIVE" for p in probabilities["alone"]] == expected
    assert probabilities["together"] == probabilities["alone"]
