"""The behaviour suite: enough rows of every kind, balanced, varied, and none of it trained on."""

import json
import re
from collections import Counter
from difflib import SequenceMatcher
from itertools import chain

import pytest
from conftest import REPOSITORY, sample_rows

SUITE = REPOSITORY / "train" / "evaluation" / "behaviour"
LABELS = {"POSITIVE", "NEGATIVE"}
MARKS = {
    "capitals": r"\b[A-Z]{3,}\b",
    "emoji": r"[\u2600-\u2bff\U0001f300-\U0001faff]|:-?[()]",
    "html": r"<[^>]+>|&#?\w+;",
    "question": r"\?",
}


def suite_rows(name: str) -> list[dict[str, str]]:
    """The rows of one file of the suite."""
    lines = (SUITE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def folded(text: str) -> str:
    return " ".join(text.casefold().split())


def words(text: str) -> list[str]:
    return re.sub(r"<[^>]+>", " ", text).split()


SENTENCES = suite_rows("sentences")
PAIRS = suite_rows("pairs")
FLIPS = [row for row in PAIRS if row["kind"].startswith("flip_")]
SAMES = [row for row in PAIRS if row["kind"].startswith("same_")]
SIDES = [row[side] for row in PAIRS for side in ("text", "edited")]
TEXTS = [row["text"] for row in SENTENCES] + SIDES
KINDS = sorted({row["kind"] for row in SENTENCES + PAIRS})


def test_columns_are_the_same_everywhere() -> None:
    assert {tuple(row) for row in SENTENCES} == {("kind", "text", "label")}
    assert {tuple(row) for row in PAIRS} == {("kind", "text", "label", "edited", "edited_label")}


def test_labels_are_of_the_two() -> None:
    assert {row["label"] for row in SENTENCES + PAIRS} == LABELS
    assert {row["edited_label"] for row in PAIRS} == LABELS


def test_there_are_enough_rows() -> None:
    assert len(SENTENCES) >= 300
    assert len(FLIPS) >= 60
    assert len(SAMES) >= 40
    assert len(FLIPS) + len(SAMES) == len(PAIRS)
    assert min(Counter(row["kind"] for row in SENTENCES).values()) >= 20


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_a_kind_are_balanced(kind: str) -> None:
    labels = [row["label"] for row in SENTENCES + PAIRS if row["kind"] == kind]
    assert 0.35 <= labels.count("POSITIVE") / len(labels) <= 0.65


def test_counts_in_the_readme_are_right() -> None:
    readme = (SUITE / "README.md").read_text(encoding="utf-8")
    stated = {kind: int(rows) for kind, rows in re.findall(r"\| `(\w+)` \| (\d+) \|", readme)}
    assert stated == Counter(row["kind"] for row in SENTENCES + PAIRS)


def test_lengths_are_of_sentences_and_of_short_reviews() -> None:
    assert not [row for row in SENTENCES if not 3 <= len(words(row["text"])) <= 30]
    assert not [text for text in SIDES if not 25 <= len(words(text)) <= 90]


@pytest.mark.parametrize("kind", MARKS)
def test_kind_has_what_it_is_named_after(kind: str) -> None:
    texts = [row["text"] for row in SENTENCES if row["kind"] == kind]
    assert not [text for text in texts if not re.search(MARKS[kind], text)]


def test_no_text_stands_twice() -> None:
    counts = Counter(map(folded, TEXTS))
    assert not [text for text, count in counts.items() if count > 1]


def test_no_two_sentences_differ_in_one_word() -> None:
    templates: Counter[tuple[str, ...]] = Counter()
    for row in SENTENCES:
        parts = re.findall(r"[^\W_]+", row["text"].casefold())
        templates.update({(*parts[:i], "", *parts[i + 1 :]) for i in range(len(parts))})
    assert not [template for template, count in templates.items() if count > 1]


def test_verdicts_flip_where_they_should_and_nowhere_else() -> None:
    assert not [row for row in FLIPS if row["label"] == row["edited_label"]]
    assert not [row for row in SAMES if row["label"] != row["edited_label"]]


def test_edits_are_small() -> None:
    for row in PAIRS:
        matcher = SequenceMatcher(None, row["text"].split(), row["edited"].split(), autojunk=False)
        assert 0.6 <= matcher.ratio() < 1, row["text"]


def test_no_text_is_in_the_samples() -> None:
    samples = [folded(row["text"]) for row in chain(sample_rows("train"), sample_rows("test"))]
    assert not [text for text in TEXTS if any(folded(text) in sample for sample in samples)]


@pytest.mark.parametrize("character", ["\ufffd", "\x00", "\t", "Ã", "â€", "  ", "[", "|"])
def test_text_is_clean(character: str) -> None:
    assert not [text for text in TEXTS if character in text or text != text.strip()]
