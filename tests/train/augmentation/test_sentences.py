"""Training sentences: split like a reader would, drawn without duplicates."""

import json
from pathlib import Path

import pytest

from train.augmentation import sentences
from train.sections import CutSentences


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


def test_cut_draws_distinct_sentences_of_a_corpus(tmp_path: Path) -> None:
    text = "The plot is thin. The songs are lovely!<br />The plot is thin. Go."
    source = tmp_path / "reviews.jsonl"
    rows = [{"text": text}, {"text": None}, {"text": "I slept well. The PLOT is thin."}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    step = CutSentences(step="cut-sentences", source=str(source), split="train", max_sentences=10)
    out = tmp_path / "deep" / "out.jsonl"
    assert sentences.cut(step, out) == 3
    written = [json.loads(line)["text"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert written == ["The plot is thin.", "The songs are lovely!", "I slept well."]
    assert sentences.cut(step.model_copy(update={"max_sentences": 2}), out) == 2
