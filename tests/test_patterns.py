"""The pattern sentences: balanced, without repeats, and two sets with nothing in common."""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import chain, product
from pathlib import Path

import pytest

from train import patterns

GRAMMAR = patterns.GRAMMAR
ROWS = {split: patterns.make(split, rows) for split, rows in patterns.ROWS.items()}
LIST_NAMES = set(chain.from_iterable(GRAMMAR.pools.values()))
# Roots are five letters; these words are too common to belong to either split.
COMMON = set("a an the to for in of out with from at by on over up away through about its".split())
COMMON |= set("during get got fall feel felt give have real grow grew down find film work".split())
TEMPLATES = [
    pytest.param(split, template, id=f"{split}: {template}")
    for split, kinds in GRAMMAR.templates.items()
    for template in dict.fromkeys(chain.from_iterable(kinds.values()))
]
NEGATORS = {
    "not": r"n['’]?t\b|\bcannot\b|\bnot\b",
    "never": r"\bnever\b",
    "no": r"\bno\b",
    "nothing": r"\bnothing\b",
    "nobody": r"\bnobody\b|\bno one\b",
}


def opinions(split: str) -> set[str]:
    """Every form of every opinion word, with articles left out."""
    lists = chain.from_iterable(GRAMMAR.words[split].values())
    assert set(lists) == LIST_NAMES | {"closer"}
    found = set()
    for label in GRAMMAR.words[split].values():
        for name in LIST_NAMES:
            for word in label[name]:
                found |= {re.sub(r"^an? ", "", form) for form in word.split("/")}
    return found


def frames(split: str) -> set[str]:
    """The templates with all clauses in place and no other words, without repeats."""
    found = set()
    for template in chain.from_iterable(GRAMMAR.templates[split].values()):
        clauses = [
            GRAMMAR.clauses.get(name, (whole,))
            for whole, name in re.findall(r"(\{([\w']+)[=!]?\})", template)
        ]
        for chosen in product(*clauses) if clauses else [()]:
            filled = iter(chosen)
            whole = re.sub(r"\{.*?\}", lambda _, filled=filled: next(filled), template)
            found.add(re.sub(r"\{.*?\}", "{}", whole))
    return found


def roots(split: str) -> set[str]:
    return {
        word[:5]
        for phrase in opinions(split)
        for word in re.findall(r"[a-z]+", phrase.removeprefix("un"))
        if word not in COMMON and len(word) > 3
    }


def sample(split: str, template: str, number: int) -> list[str]:
    chance = random.Random(template)
    return [patterns.fill(template, split, patterns.LABELS[i % 2], chance) for i in range(number)]


@pytest.mark.parametrize("split", ROWS)
def test_the_same_seed_gives_the_same_rows(split: str) -> None:
    assert patterns.make(split, 200) == patterns.make(split, 200)
    assert patterns.make(split, 200) != patterns.make(split, 200, seed=1)


@pytest.mark.parametrize("split", ROWS)
def test_rows_have_text_label_kind_and_words(split: str) -> None:
    assert {tuple(row) for row in ROWS[split]} == {("text", "label", "kind", "words")}
    assert {row["label"] for row in ROWS[split]} == {"POSITIVE", "NEGATIVE"}
    assert {row["kind"] for row in ROWS[split]} == set(GRAMMAR.templates[split])
    assert not [row for row in ROWS[split] if re.search(r"[\[\]{}<>|=_]|  ", row["text"])]


@pytest.mark.parametrize("split", ROWS)
def test_labels_are_balanced_in_each_kind(split: str) -> None:
    for kind in GRAMMAR.templates[split]:
        labels = Counter(row["label"] for row in ROWS[split] if row["kind"] == kind)
        assert 0.45 <= labels["POSITIVE"] / labels.total() <= 0.55, kind


def test_validation_has_known_and_new_words_alike() -> None:
    assert {row["words"] for row in ROWS["train"]} == {"known"}
    of_kind = Counter((row["kind"], row["words"]) for row in ROWS["validation"])
    for kind in GRAMMAR.templates["validation"]:
        assert (
            0.45 <= of_kind[kind, "new"] / (of_kind[kind, "new"] + of_kind[kind, "known"]) <= 0.55
        )


def test_no_text_is_there_twice() -> None:
    texts = [re.sub("[^a-z]", "", row["text"].lower()) for rows in ROWS.values() for row in rows]
    assert len(texts) == len(set(texts)) == 51_600


def test_there_are_enough_words() -> None:
    assert len({*GRAMMAR.slots["one_part"], *GRAMMAR.slots["more_parts"]}) >= 60
    for label in patterns.LABELS:
        lists = [GRAMMAR.words[split][label] for split in ROWS]
        for names, fewest in [("soft film strong", 80), ("like love", 30), ("mild grand", 30)]:
            found = [word for words in lists for name in names.split() for word in words[name]]
            assert len(found) == len(set(found)) >= fewest


@pytest.mark.parametrize(
    ("split", "in_all", "in_a_kind"), [("train", 600, 20), ("validation", 40, 4)]
)
def test_there_are_enough_templates(split: str, in_all: int, in_a_kind: int) -> None:
    kinds = GRAMMAR.templates[split]
    assert len(set(chain.from_iterable(kinds.values()))) >= in_all
    assert min(len(set(templates)) for templates in kinds.values()) >= in_a_kind


def test_both_splits_have_the_same_kinds() -> None:
    assert set(GRAMMAR.templates["train"]) == set(GRAMMAR.templates["validation"])


def test_no_template_is_in_both_splits() -> None:
    assert not frames("train") & frames("validation")


def test_no_opinion_word_is_in_both_splits() -> None:
    assert not opinions("train") & opinions("validation")
    assert not roots("train") & roots("validation")


@pytest.mark.parametrize(("words", "texts"), [("train", "validation"), ("validation", "train")])
def test_no_opinion_word_is_in_the_texts_of_the_other_split(words: str, texts: str) -> None:
    phrases = "|".join(map(re.escape, opinions(words)))
    found = Counter(
        match
        for row in ROWS[texts]
        if texts == "train" or row["words"] == "new"
        for match in re.findall(rf"\b(?:{phrases})\b", row["text"].lower())
    )
    assert not found


@pytest.mark.parametrize(("split", "template"), TEMPLATES)
def test_articles_and_verbs_agree(split: str, template: str) -> None:
    parts = [GRAMMAR.slots[name] for name in ("one_part", "more_parts")]
    one, more = ("|".join(map(re.escape, names)) for names in parts)
    for text in sample(split, template, 40):
        assert not re.search(r"\ba (?!one\b|useful\b|unique\b)[aeiou]", text), text
        assert not re.search(r"\ban (?!hour\b|honest\b)[^aeiou]", text), text
        assert not re.search(rf"the (?:{more}) (?:was|is|wasn't|isn't)\b", text), text
        assert not re.search(rf"the (?:{one}) (?:were|are|weren't|aren't)\b", text), text


@pytest.mark.parametrize("negator", NEGATORS)
def test_a_negator_does_not_give_the_label_away(negator: str) -> None:
    labels = Counter(
        row["label"] for row in ROWS["train"] if re.search(NEGATORS[negator], row["text"].lower())
    )
    assert labels.total() >= 100
    assert 0.4 <= labels["POSITIVE"] / labels.total() <= 0.6


def test_opinion_words_mostly_mean_what_they_say() -> None:
    for label in patterns.LABELS:
        words = [
            word for name in ("soft", "strong") for word in GRAMMAR.words["train"][label][name]
        ]
        wanted = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b")
        labels = Counter(
            row["label"] for row in ROWS["train"] if wanted.search(row["text"].lower())
        )
        assert 0.5 <= labels[label] / labels.total() <= 0.75


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRAMMAR.templates, "validation", {"plain": ("it is {mild=}",)})
    with pytest.raises(ValueError, match="rows must be fewer, got 2000 — plain has no more"):
        patterns.make("validation", 2000)


def test_the_command_writes_both_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train.patterns", "--out", str(tmp_path / "new")]
    subprocess.run([*command, "--train-rows", "300", "--validation-rows", "100"], check=True)
    for split, number in [("train", 300), ("validation", 100)]:
        lines = (tmp_path / "new" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == patterns.make(split, number)
    assert len(list((tmp_path / "new").iterdir())) == 2
