"""The behavior suite: its rows are balanced, varied and never trained on; how it is scored."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from conftest import sample_rows

from train.errors import DataError
from train.evaluation import behavior_suite
from train.evaluation.metrics import FloatArray

LABELS = {"POSITIVE", "NEGATIVE"}
MARKS = {
    "capitals": r"\b[A-Z]{3,}\b",
    "emoji": r"[\u2600-\u2bff\U0001f300-\U0001faff]|:-?[()]",
    "html": r"<[^>]+>|&#?\w+;",
    "question": r"\?",
}


def normalized(text: str) -> str:
    return " ".join(text.casefold().split())


def words(text: str) -> list[str]:
    return re.sub(r"<[^>]+>", " ", text).split()


SENTENCES, PAIRS = behavior_suite.load()
FLIPS = [row for row in PAIRS if row["kind"].startswith("flip_")]
SAMES = [row for row in PAIRS if row["kind"].startswith("same_")]
SIDES = [row[side] for row in PAIRS for side in ("text", "edited")]
TEXTS = [row["text"] for row in SENTENCES] + SIDES
KINDS = sorted({row["kind"] for row in SENTENCES + PAIRS})


def test_all_rows_have_the_same_columns() -> None:
    assert {tuple(row) for row in SENTENCES} == {("kind", "text", "label")}
    assert {tuple(row) for row in PAIRS} == {("kind", "text", "label", "edited", "edited_label")}


def test_labels_are_positive_and_negative() -> None:
    assert {row["label"] for row in SENTENCES + PAIRS} == LABELS
    assert {row["edited_label"] for row in PAIRS} == LABELS


def test_suite_has_enough_rows() -> None:
    assert len(SENTENCES) >= 300
    assert len(FLIPS) >= 60
    assert len(SAMES) >= 40
    assert len(FLIPS) + len(SAMES) == len(PAIRS)
    assert min(Counter(row["kind"] for row in SENTENCES).values()) >= 20


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_a_kind_are_balanced(kind: str) -> None:
    labels = [row["label"] for row in SENTENCES + PAIRS if row["kind"] == kind]
    assert 0.35 <= labels.count("POSITIVE") / len(labels) <= 0.65


def test_readme_states_the_row_counts() -> None:
    readme = (behavior_suite.FOLDER / "README.md").read_text(encoding="utf-8")
    stated = {kind: int(rows) for kind, rows in re.findall(r"\| `(\w+)` \| (\d+) \|", readme)}
    assert stated == Counter(row["kind"] for row in SENTENCES + PAIRS)


def test_texts_have_the_stated_lengths() -> None:
    assert not [row for row in SENTENCES if not 3 <= len(words(row["text"])) <= 30]
    assert not [text for text in SIDES if not 25 <= len(words(text)) <= 90]


@pytest.mark.parametrize("kind", MARKS)
def test_texts_have_the_marks_of_their_kind(kind: str) -> None:
    texts = [row["text"] for row in SENTENCES if row["kind"] == kind]
    assert not [text for text in texts if not re.search(MARKS[kind], text)]


def test_texts_are_unique() -> None:
    counts = Counter(map(normalized, TEXTS))
    assert not [text for text, count in counts.items() if count > 1]


def test_no_two_sentences_differ_in_one_word_only() -> None:
    templates: Counter[tuple[str, ...]] = Counter()
    for row in SENTENCES:
        parts = re.findall(r"[^\W_]+", row["text"].casefold())
        templates.update({(*parts[:i], "", *parts[i + 1 :]) for i in range(len(parts))})
    assert not [template for template, count in templates.items() if count > 1]


def test_only_flip_edits_change_the_label() -> None:
    assert not [row for row in FLIPS if row["label"] == row["edited_label"]]
    assert not [row for row in SAMES if row["label"] != row["edited_label"]]


def test_edits_are_small() -> None:
    for row in PAIRS:
        matcher = SequenceMatcher(None, row["text"].split(), row["edited"].split(), autojunk=False)
        assert 0.6 <= matcher.ratio() < 1, row["text"]


def test_no_text_is_in_the_samples() -> None:
    samples = [normalized(row["text"]) for row in chain(sample_rows("train"), sample_rows("test"))]
    assert not [text for text in TEXTS if any(normalized(text) in sample for sample in samples)]


@pytest.mark.parametrize("character", ["\ufffd", "\x00", "\t", "Ã", "â€", "  ", "[", "|"])
def test_text_is_clean(character: str) -> None:
    assert not [text for text in TEXTS if character in text or text != text.strip()]


def by_word(texts: Sequence[str]) -> FloatArray:
    """Logits of a model that predicts by one word."""
    positive = np.array([0.95 if "good" in text else 0.05 for text in texts])
    return np.log(np.stack([1 - positive, positive], axis=1)).astype(np.float32)


def write_suite(folder: Path, sentences: list[dict[str, str]], pairs: list[dict[str, str]]) -> Path:
    for name, rows in [("sentences", sentences), ("pairs", pairs)]:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


TOY_SENTENCES = [
    {"kind": "plain", "text": "good", "label": "POSITIVE"},
    {"kind": "plain", "text": "poor", "label": "NEGATIVE"},
    {"kind": "negation", "text": "not good", "label": "NEGATIVE"},
]
TOY_PAIR = {"kind": "flip", "text": "good", "label": "POSITIVE"}
TOY_PAIRS = [
    {**TOY_PAIR, "edited": "poor", "edited_label": "NEGATIVE"},
    {**TOY_PAIR, "edited": "not good", "edited_label": "NEGATIVE"},
]


def test_pair_passes_only_if_both_sides_are_right(tmp_path: Path) -> None:
    suite = behavior_suite.load(write_suite(tmp_path, TOY_SENTENCES, TOY_PAIRS))
    rows = behavior_suite.run(by_word, ["NEGATIVE", "POSITIVE"], suite)
    assert [row.correct for row in rows] == [True, True, False, True, False]
    assert len({row.row for row in rows}) == 5
    result = behavior_suite.pass_rates(rows)
    assert result["sentences"] == {
        "plain": {"n": 2, "accuracy": 1.0},
        "negation": {"n": 1, "accuracy": 0.0},
        "all": {"n": 3, "accuracy": pytest.approx(2 / 3)},
    }
    assert result["pairs"]["all"] == {"n": 2, "accuracy": 0.5}
    assert behavior_suite.run(by_word, ["BAD", "GOOD"], suite) == []
    assert behavior_suite.pass_rates([]) == {}


def test_row_id_does_not_depend_on_the_kind(tmp_path: Path) -> None:
    def ids(sentences: list[dict[str, str]]) -> list[str]:
        suite = behavior_suite.Suite(sentences, TOY_PAIRS)
        return [row.row for row in behavior_suite.run(by_word, ["NEGATIVE", "POSITIVE"], suite)]

    assert ids([{**row, "kind": "other"} for row in TOY_SENTENCES]) == ids(TOY_SENTENCES)
    corrected = [*TOY_SENTENCES[:2], {**TOY_SENTENCES[2], "label": "POSITIVE"}]
    assert [a == b for a, b in zip(ids(corrected), ids(TOY_SENTENCES), strict=True)] == [
        True, True, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["sentences", "pairs"])
@pytest.mark.parametrize("content", [None, "", "{"], ids=["missing", "empty", "no JSON"])
def test_missing_empty_or_broken_suite_file_is_an_error(
    tmp_path: Path, name: str, content: str | None
) -> None:
    write_suite(tmp_path, TOY_SENTENCES, TOY_PAIRS)
    file = tmp_path / f"{name}.jsonl"
    if content is None:
        file.unlink()
    else:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="restore .* from the repository") as caught:
        behavior_suite.load(tmp_path)
    assert str(file) in str(caught.value)


ASPECTS = behavior_suite.load_aspects()
ASPECT_NAMES = {"acting", "story", "direction", "visuals", "music", "pacing", "dialogue"}


def test_aspect_sentences_have_two_different_aspects() -> None:
    assert len(ASPECTS) == 200
    assert {tuple(row) for row in ASPECTS} == {("text", "positive", "negative")}
    assert all({row["positive"], row["negative"]} <= ASPECT_NAMES for row in ASPECTS)
    assert all(row["positive"] != row["negative"] for row in ASPECTS)
    assert len({normalized(row["text"]) for row in ASPECTS} - set(map(normalized, TEXTS))) == 200
    counts = Counter(row[side] for row in ASPECTS for side in ("positive", "negative"))
    assert min(counts.values()) >= 40
    for name in ASPECT_NAMES:  # an aspect alone doesn't tell the polarity
        assert sum(row["positive"] == name for row in ASPECTS) / counts[name] == pytest.approx(
            0.5, abs=0.1
        )


def test_aspect_sentence_passes_if_both_aspects_are_right() -> None:
    labels = ["NOT_MENTIONED", "NEGATIVE", "POSITIVE"]
    rows = ASPECTS[:3]

    def predict(texts: Sequence[str], aspects: Sequence[str]) -> FloatArray:
        """All right but the second's negative aspect, which is missed."""
        logits = np.zeros((len(texts), 3), dtype=np.float32)
        for i, (text, aspect) in enumerate(zip(texts, aspects, strict=True)):
            row = next(row for row in rows if row["text"] == text)
            right = 2 if row["positive"] == aspect else 1
            logits[i, 0 if text == rows[1]["text"] and right == 1 else right] = 1
        return logits

    results = behavior_suite.run_aspects(predict, labels, rows)
    assert [result.correct for result in results] == [True, False, True]
    assert {(result.part, result.kind) for result in results} == {("aspects", "opposite")}
    assert len({result.row for result in results}) == 3
    assert behavior_suite.run_aspects(predict, ["negative", "positive"], rows) == []
    assert behavior_suite.pass_rates(results)["aspects"]["all"] == {
        "n": 3, "accuracy": pytest.approx(2 / 3)
    }  # fmt: skip
