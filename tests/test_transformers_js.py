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
    from train import export

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


def in_javascript(hub: RunningHub, tmp_path: Path, dtype: str) -> list[float]:
    install("@huggingface/transformers")
    job = {"model": MODEL, "dtype": dtype, "texts": TEXTS, "cache": str(tmp_path)}
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
    found: list[float] = json.loads(done.stdout)
    return found


def test_fp32_gives_the_scores_of_pipeline(hub: RunningHub, folder: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    classify: Any = pipeline("sentiment-analysis", model=str(folder))
    expected = [
        next(answer["score"] for answer in answers if answer["label"] == "POSITIVE")
        for answers in classify(TEXTS, top_k=None)
    ]
    assert in_javascript(hub, tmp_path, "fp32") == pytest.approx(expected, abs=1e-4)
    assert min(expected) < 0.4 < 0.6 < max(expected)


def test_int8_gives_the_labels_of_the_space(hub: RunningHub, folder: Path, tmp_path: Path) -> None:
    from space.classifier import Classifier

    classifier = Classifier.from_folder(folder)
    expected = [classifier(text).label for text in TEXTS]
    found = in_javascript(hub, tmp_path, "q8")
    assert ["POSITIVE" if p > 0.5 else "NEGATIVE" for p in found] == expected
