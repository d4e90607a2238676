"""The classifier: ONNX Runtime gives what PyTorch gives, for one text and for many."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import sample_rows

from space.inference import cpu
from space.inference.classifier import (
    MIN_EVIDENCE,
    Classifier,
    InvalidText,
    ModelUnavailable,
    PairModel,
    Prediction,
    log_odds,
)
from space.inference.vocabulary import Vocabulary

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


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("😍😍😍", "emoji or symbols"),
        ("🤮 👍!", "emoji or symbols"),
        ("Отличный фильм, 👍", "Cyrillic letters and emoji or symbols"),
        ("一部好電影。", "Chinese characters"),
        ("映画", "Chinese characters"),
        ("فيلم رائع", "Arabic letters"),
        ("한국 영화", "Hangul letters"),
        ("w" * 200, "these words"),
    ],
)
def test_text_without_a_known_word_gets_no_prediction(
    loaded: Classifier, text: str, kinds: str
) -> None:
    (reason,) = loaded.predict_batch([text])
    assert isinstance(reason, InvalidText)
    assert str(reason).startswith(f"The model can't read this review: it doesn't know {kinds} (“")


@pytest.mark.parametrize("text", ["!!!", "...", "¿?", "<br />", "—"])
def test_punctuation_is_no_word(loaded: Classifier, text: str) -> None:
    assert str(loaded.predict_batch([text])[0]) == "This review has no words."


def test_unknown_tokens_are_counted_and_shown(loaded: Classifier) -> None:
    prediction = loaded.predict("A film 😍😍 for my père, фильм, and 😍😍 again 10/10")
    assert prediction.unreadable == ["😍😍", "фильм"]
    assert 3 <= prediction.unknown_tokens < prediction.tokens
    assert loaded.predict("A film for my père: 10/10.").unknown_tokens == 0
    many = loaded.predict("film " + " ".join(chr(0x1F600 + i) * 50 for i in range(9)))
    assert [len(piece) for piece in many.unreadable] == [20, 20, 20]


def test_unknown_tokens_are_counted_beyond_what_is_read(loaded: Classifier) -> None:
    prediction = loaded.predict("film " * 100 + "😍 " + "film " * 200)
    assert prediction.unknown_tokens == 1 and prediction.tokens_read < prediction.tokens


def test_other_tokenizers_know_their_words() -> None:
    """SentencePiece and byte-level ones, whose tokens are not spelled as in the text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = [row["text"] for row in sample_rows("train")[:200]] + ["Отличный фильм"]
    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    byte_level.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=1_000, initial_alphabet=alphabet, show_progress=False)
    )
    vocabulary = Vocabulary(byte_level, None)
    for text in ("a good film", "😍", "фильм"):  # it reads any byte
        assert vocabulary.has_words(byte_level.encode(text).ids)
        assert vocabulary.count_unknown(byte_level.encode(text).ids) == 0
    pieces = Tokenizer(models.Unigram())
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces.decoder = decoders.Metaspace()
    special = {"unk_token": "<unk>", "special_tokens": ["<unk>"]}
    pieces.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=1_000, show_progress=False, **special)
    )
    vocabulary = Vocabulary(pieces, "<unk>")
    assert vocabulary.count_unknown(pieces.encode("a good film").ids) == 0
    assert vocabulary.unreadable("a good 電影 film") == ["電影"]


@pytest.fixture
def biased(tiny_classifier: Path, tmp_path: Path) -> Classifier:
    """A classifier that is unsure of everything."""
    import shutil

    copy = Path(shutil.copytree(tiny_classifier, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, "unsure_below": 1.1}))
    return Classifier.from_folder(copy)


def test_unsure_text_leans_only_if_it_differs_from_one_without_words(biased: Classifier) -> None:
    leaning = 0
    for text in TEXTS:
        prediction = biased.predict(text)
        label = prediction.label
        evidence = log_odds(prediction.probabilities[label]) - log_odds(
            biased.load().wordless[label]
        )
        assert prediction.unsure
        assert prediction.leaning == (label if evidence >= MIN_EVIDENCE else None)
        leaning += prediction.leaning is not None
    assert 0 < leaning < len(TEXTS)


def test_sure_text_leans_to_its_label(loaded: Classifier) -> None:
    assert all(loaded.predict(text).leaning == loaded.predict(text).label for text in TEXTS[:3])


def test_model_of_text_pairs_is_refused(tiny_classifier: Path, tmp_path: Path) -> None:
    from train.errors import ModelError
    from train.scoring.score import score

    pairs = Path(shutil.copytree(tiny_classifier, tmp_path / "pairs"))
    config = json.loads((pairs / "config.json").read_text(encoding="utf-8"))
    assert config["text_pairs"] is False
    (pairs / "config.json").write_text(json.dumps({**config, "text_pairs": True}))
    with pytest.raises(PairModel, match="classifies pairs of texts"):
        Classifier.from_folder(pairs)
    (tmp_path / "in.csv").write_text("text\ndull\n", encoding="utf-8")
    with pytest.raises(ModelError, match="reads pairs of texts, got only --text text"):
        score(str(tmp_path / "in.csv"), str(pairs), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_model_that_can_not_classify_a_word_is_refused_on_reload(
    tiny_classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its graph has two logits, its config two labels in the old one's words, and a third."""
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        shutil.copytree(tiny_classifier, folder)
    labels = {"0": "NEGATIVE", "1": "POSITIVE", "2": "NEUTRAL"}
    for folder in folders:  # the same labels
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"id2label": labels}))
    classifier = Classifier("demo/tiny")
    monkeypatch.setattr(classifier, "download", lambda revision=None: folders[bool(revision)])
    old = classifier.load()
    with pytest.raises(ModelUnavailable, match="does not answer, and the model stays as it is"):
        classifier.reload("v2")  # although a copy of it is here
    monkeypatch.setattr(classifier, "_newest_commit", str)
    with pytest.raises(ModelUnavailable, match="is not a text classifier"):
        classifier.reload("v2")
    assert classifier.load() is old
    assert (classifier.commit, classifier.loaded_revision) == ("old", None)
