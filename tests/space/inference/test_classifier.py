"""The classifier: ONNX Runtime gives what PyTorch gives, for one text and for many."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import sample_rows

from space.inference import cpu
from space.inference.classifier import Classifier, InvalidText, ModelUnavailable, Prediction

TEXTS = [row["text"] for row in sample_rows("test")[:20]]


@pytest.fixture(scope="module")
def loaded(tiny_classifier: Path) -> Classifier:
    return Classifier.from_folder(tiny_classifier)


@pytest.fixture
def original(tiny_classifier: Path) -> Any:
    from train.modeling import model

    return model.load(str(tiny_classifier))


def positive(result: Prediction | InvalidText) -> float:
    assert isinstance(result, Prediction)
    assert sum(result.probabilities.values()) == pytest.approx(1)
    return result.probabilities["POSITIVE"]


def test_probabilities_equal_those_of_pytorch(loaded: Classifier, original: Any) -> None:
    model, tokenizer = original
    short = [text.partition(".")[0] for text in TEXTS]
    encoded = tokenizer(short, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**encoded).logits.softmax(1)[:, 1].numpy()
    probabilities = [positive(result) for result in loaded.predict_batch(short)]
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    assert len({round(p, 4) for p in probabilities}) > 10


def test_batch_gives_the_predictions_of_single_texts_in_order(loaded: Classifier) -> None:
    together = loaded.predict_batch(TEXTS)
    assert together == [loaded.predict(text) for text in TEXTS]
    assert loaded.predict_batch(TEXTS[::-1]) == together[::-1]


def test_beginning_and_end_of_a_long_text_are_read(loaded: Classifier) -> None:
    words = " ".join(f"film{i}" for i in range(100))
    prediction = loaded.predict(words)
    assert prediction.tokens_read == 62  # and [CLS] and [SEP]
    assert prediction.tokens > 100
    head, tail, middle = (words.replace(f"film{i} ", "dull ") for i in (0, 98, 50))
    assert positive(loaded.predict(head)) != positive(prediction)
    assert positive(loaded.predict(tail)) != positive(prediction)
    assert positive(loaded.predict(middle)) == positive(prediction)


@pytest.mark.parametrize("text", ["", " \n", None, 7, "x" * 100_001, "\x00"])
def test_invalid_text_gets_a_reason_and_does_not_affect_others(
    loaded: Classifier, text: Any
) -> None:
    before, reason, after = loaded.predict_batch(["A joy.", text, "A bore."])
    assert isinstance(reason, InvalidText)
    assert str(reason).endswith(".")
    assert [before, after] == [loaded.predict("A joy."), loaded.predict("A bore.")]
    with pytest.raises(InvalidText, match=str(reason)):
        loaded.predict(text)


def test_empty_batch_gives_no_predictions(loaded: Classifier) -> None:
    assert loaded.predict_batch([]) == []


def test_int8_file_is_preferred(tiny_classifier: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(tiny_classifier, tmp_path / "copy"))
    (copy / "onnx/model_quantized.onnx").write_bytes(b"no model")
    with pytest.raises(ModelUnavailable, match="is not a text classifier"):
        Classifier.from_folder(copy)


def test_folder_without_onnx_file_is_refused_with_the_remedy(tiny_base: Path) -> None:
    with pytest.raises(ModelUnavailable, match="python -m train export RUN"):
        Classifier.from_folder(tiny_base)


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(cpu, "CGROUPS", tmp_path)
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    yield tmp_path


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1)],
)
def test_cores_follow_the_quota_of_cgroups_v2(cgroups: Path, quota: str, expected: int) -> None:
    (cgroups / "cpu.max").write_text(f"{quota}\n")
    assert cpu.available_cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("300000", 3)])
def test_cores_follow_the_quota_of_cgroups_v1(cgroups: Path, quota: str, expected: int) -> None:
    (cgroups / "cpu").mkdir()
    (cgroups / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (cgroups / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cpu.available_cores() == expected


def test_cores_follow_the_affinity_without_cgroups(cgroups: Path) -> None:
    assert cpu.available_cores() == 8
