"""Training sentences: split like a reader would, kept where the model is confident."""

import json
from pathlib import Path

import pytest
from conftest import fit_toy_run

from train import run_folder
from train.augmentation import sentences
from train.data import preparation
from train.errors import RunError
from train.publishing import export


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit_toy_run(tmp_path_factory.mktemp("runs"), tiny_base)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A fine film. Go and see it!", ["A fine film.", "Go and see it!"]),
        ("It cost 2.5 million, e.g. too much.", ["It cost 2.5 million, e.g. too much."]),
        ("One two three<br /><br />four five six", ["One two three", "four five six"]),
        ('He said "so what?" And I left it.', ['He said "so what?"', "And I left it."]),
        ("Too short. Also. " + "word " * 41, []),
        ("I met Mr. Smith there. He was nice.", ["I met Mr. Smith there.", "He was nice."]),
        ("", []),
    ],
)
def test_split_sentences(text: str, expected: list[str]) -> None:
    assert sentences.split_sentences(text) == expected


def test_run_without_onnx_files_is_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="python -m train export"):
        sentences.write(run, tmp_path / "out.jsonl")


def test_writes_confident_sentences_of_the_training_reviews(run: Path, tmp_path: Path) -> None:
    export.export(run)
    out = tmp_path / "new" / "out.jsonl"
    count = sentences.write(run, out, min_confidence=0.6, max_sentences=20)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == count == 20
    train = preparation.load(run_folder.load_recipe(run))["train"]
    labels = run_folder.load_recipe(run).labels
    truth = {text: labels[label] for text, label in zip(train.texts, train.labels, strict=True)}
    assert all(truth[row["text"]] == row["label"] for row in rows)
    assert all(row["score"] >= 0.6 for row in rows)
    assert len({row["text"] for row in rows}) == 20
    assert [row["label"] for row in rows].count("POSITIVE") == 10
    again = tmp_path / "again.jsonl"
    sentences.write(run, again, min_confidence=0.6, max_sentences=20)
    assert again.read_bytes() == out.read_bytes()


def test_no_confident_sentence_is_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="lower --min-confidence"):
        sentences.write(run, tmp_path / "out.jsonl", min_confidence=1.0)
    assert not (tmp_path / "out.jsonl").exists()
