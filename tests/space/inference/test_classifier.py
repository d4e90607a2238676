"""The Space's classifier: ONNX Runtime gives what the original gives, for one text and for many."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import sample_rows

from space.inference import classifier as room
from space.inference.classifier import Classifier, InvalidText, ModelUnavailable, Prediction

TEXTS = [row["text"] for row in sample_rows("test")[:20]]


@pytest.fixture(scope="module")
def loaded(tiny_classifier: Path) -> Classifier:
    return Classifier.from_folder(tiny_classifier)


@pytest.fixture
def original(tiny_classifier: Path) -> Any:
    from train.modeling import model

    return model.load(str(tiny_classifier))


def positive(verdict: Prediction | InvalidText) -> float:
    assert isinstance(verdict, Prediction)
    assert sum(verdict.probabilities.values()) == pytest.approx(1)
    return verdict.probabilities["POSITIVE"]


def test_probabilities_are_those_of_the_original(loaded: Classifier, original: Any) -> None:
    model, tokenizer = original
    short = [text.partition(".")[0] for text in TEXTS]
    encoded = tokenizer(short, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**encoded).logits.softmax(1)[:, 1].numpy()
    found = [positive(verdict) for verdict in loaded.many(short)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len({round(p, 4) for p in found}) > 10


def test_many_give_what_each_gives_alone_in_their_order(loaded: Classifier) -> None:
    together = loaded.many(TEXTS)
    assert together == [loaded(text) for text in TEXTS]
    assert loaded.many(TEXTS[::-1]) == together[::-1]


def test_a_long_text_is_read_at_its_beginning_and_its_end(loaded: Classifier) -> None:
    words = " ".join(f"film{i}" for i in range(100))
    verdict = loaded(words)
    assert verdict.tokens_read == 62  # and [CLS] and [SEP]
    assert verdict.tokens > 100
    head, tail, middle = (words.replace(f"film{i} ", "dull ") for i in (0, 98, 50))
    assert positive(loaded(head)) != positive(verdict)
    assert positive(loaded(tail)) != positive(verdict)
    assert positive(loaded(middle)) == positive(verdict)


@pytest.mark.parametrize("text", ["", " \n", None, 7, "x" * 100_001, "\x00"])
def test_what_cannot_be_judged_has_its_reason_and_spoils_nothing(
    loaded: Classifier, text: Any
) -> None:
    before, reason, after = loaded.many(["A joy.", text, "A bore."])
    assert isinstance(reason, InvalidText)
    assert str(reason).endswith(".")
    assert [before, after] == [loaded("A joy."), loaded("A bore.")]
    with pytest.raises(InvalidText, match=str(reason)):
        loaded(text)


def test_nothing_in_nothing_out(loaded: Classifier) -> None:
    assert loaded.many([]) == []


def test_int8_is_preferred_where_there_is_one(tiny_classifier: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(tiny_classifier, tmp_path / "copy"))
    (copy / "onnx/model_quantized.onnx").write_bytes(b"no model")
    with pytest.raises(ModelUnavailable, match="is not a text classifier"):
        Classifier.from_folder(copy)


def test_a_folder_without_onnx_files_says_how_to_add_them(tiny_base: Path) -> None:
    with pytest.raises(ModelUnavailable, match="python -m train export RUN"):
        Classifier.from_folder(tiny_base)


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(room, "CGROUPS", tmp_path)
    monkeypatch.setattr(room.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    yield tmp_path


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1)],
)
def test_threads_follow_the_quota_of_cgroups_v2(cgroups: Path, quota: str, expected: int) -> None:
    (cgroups / "cpu.max").write_text(f"{quota}\n")
    assert room.cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("300000", 3)])
def test_threads_follow_the_quota_of_cgroups_v1(cgroups: Path, quota: str, expected: int) -> None:
    (cgroups / "cpu").mkdir()
    (cgroups / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (cgroups / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert room.cores() == expected


def test_threads_are_the_cores_without_cgroups(cgroups: Path) -> None:
    assert room.cores() == 8
