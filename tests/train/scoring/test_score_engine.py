"""Bulk scoring runs on the engine of ENGINE, names it, and never mixes two in one output."""

import csv
import shutil
from pathlib import Path

import pytest
from conftest import write_toy_csv

from space.inference.engine import ONNXRUNTIME_FP32, OPENVINO_BF16
from train.errors import ModelError, RunError
from train.scoring import parts
from train.scoring import score as scoring


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write_toy_csv(tmp_path / "reviews.csv")


def score(
    reviews: Path, model: Path, engine: str, monkeypatch: pytest.MonkeyPatch, name: str = ""
) -> list[dict[str, str]]:
    monkeypatch.setenv("ENGINE", engine)
    out = reviews.with_name(f"{name or engine}.csv")
    try:
        scoring.score(str(reviews), str(model), out, prefix="added_")
    except ModelError as error:
        if "needs a CPU with bf16" in str(error):
            pytest.skip("this CPU has no bf16")
        raise
    with out.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_openvino_scores_as_onnxruntime_does_and_is_named(
    toy_classifier: Path,
    reviews: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = score(reviews, toy_classifier, ONNXRUNTIME_FP32, monkeypatch)
    found = score(reviews, toy_classifier, OPENVINO_BF16, monkeypatch)
    printed = capsys.readouterr()
    for engine in (ONNXRUNTIME_FP32, OPENVINO_BF16):
        assert f"engine: {engine} (ENGINE={engine})" in printed.out + printed.err
    assert len(found) == 80
    for row, other in zip(found, expected, strict=True):
        assert (row["text"], row["added_label"]) == (other["text"], other["added_label"])
        assert float(row["added_score"]) == pytest.approx(float(other["added_score"]), abs=0.05)


def test_parts_of_another_engine_are_not_resumed(
    toy_classifier: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "join", lambda out: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        score(reviews, toy_classifier, ONNXRUNTIME_FP32, monkeypatch, "scored")
    with pytest.raises(RunError, match="parts of a job with another model.* --overwrite"):
        score(reviews, toy_classifier, OPENVINO_BF16, monkeypatch, "scored")


def test_engine_that_can_not_run_is_an_error_before_any_row(
    toy_classifier: Path, tmp_path: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(toy_classifier, tmp_path / "copy"))
    (copy / "onnx/model.onnx").unlink()
    with pytest.raises(ModelError, match="ENGINE must be one of auto.*got 'fast'"):
        score(reviews, toy_classifier, "fast", monkeypatch)
    with pytest.raises(ModelError, match="has no onnx/model.onnx"):
        score(reviews, copy, OPENVINO_BF16, monkeypatch)
