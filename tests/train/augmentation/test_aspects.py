"""Pairs of texts and aspects: from rated reviews, and from sentences that a teacher labels."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLES, sample_rows, toy_settings

from train import recipe as recipes
from train.augmentation import aspects, distillation
from train.data import preparation
from train.data.splits import Split
from train.errors import DataError
from train.pipeline import plan, steps
from train.sections import AspectPairs, AspectSentences

NAMES = ["acting", "story", "direction", "visuals", "music", "pacing", "dialogue"]


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_words_name_the_aspects_of_the_samples() -> None:
    assert list(aspects.load_words()) == NAMES
    rated = {item["aspect"] for row in sample_rows("train") for item in row["aspects"]}
    assert rated == set(NAMES)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The acting is fine.", ["acting"]),
        ("The ACTORS and the score.", ["acting", "music"]),
        ("An interactive evening.", []),
        ("Fast-paced and slow-paced.", ["pacing"]),
        ("The one-liners work.", ["dialogue"]),
    ],
)
def test_aspects_are_found_by_whole_words(sentence: str, expected: list[str]) -> None:
    words = aspects.load_words()
    assert [aspect for aspect, pattern in words.items() if pattern.search(sentence)] == expected


def test_each_review_gets_a_pair_for_each_aspect(tmp_path: Path) -> None:
    step = AspectPairs(step="aspect-pairs", source=str(SAMPLES))
    out = tmp_path / "pairs"
    reviews = len(sample_rows("train")) + len(sample_rows("test"))
    assert aspects.write_pairs(step, out) == 7 * reviews
    assert sorted(file.name for file in out.iterdir()) == ["test.jsonl", "train.jsonl"]
    first, pairs = sample_rows("train")[0], rows_of(out / "train.jsonl")[:7]
    rated = {item["aspect"]: item["polarity"].upper() for item in first["aspects"]}
    assert {pair["aspect"]: pair["label"] for pair in pairs} == {
        name: rated.get(name, "NOT_MENTIONED") for name in NAMES
    }
    assert {pair["text"] for pair in pairs} == {first["text"]}
    assert {pair["title"] for pair in pairs} == {first["title"]}


@pytest.mark.parametrize(
    "rated",
    [
        [{"aspect": "popcorn", "polarity": "positive"}],
        [{"aspect": "acting", "polarity": "great"}],
        [{"aspect": "acting", "polarity": p} for p in ("positive", "negative")],
    ],
)
def test_other_contents_are_refused(tmp_path: Path, rated: list[dict[str, str]]) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": "x", "title": "t", "aspects": rated}])
    step = AspectPairs(step="aspect-pairs", source=str(source))
    with pytest.raises(DataError, match="row 1: an aspect must be one of acting, story, .* got"):
        aspects.write_pairs(step, tmp_path / "out")


def test_missing_column_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": "x", "title": "t"}])
    step = AspectPairs(step="aspect-pairs", source=str(source))
    with pytest.raises(DataError, match="has no column 'aspects' — it has: text, title"):
        aspects.write_pairs(step, tmp_path / "out")


REVIEWS = [
    "The acting is wonderful. The plot is dreadful. I saw it in May.",
    "The songs are wonderful here. The acting and the music are dreadful. He left early then.",
    "The pacing is odd somehow. Nobody in my row slept.",
]


@pytest.fixture
def teacher(fitted_run: Path, tmp_path: Path) -> Path:
    """A run that knows `wonderful` from `dreadful`."""
    return Path(shutil.copytree(fitted_run, tmp_path / "tiny"))


def test_teacher_labels_sentences_with_one_aspect(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sure(_: Any, texts: Split, folder: Path, __: str) -> Any:
        folder.mkdir(parents=True)
        shares = {"wonderful": [0.01, 0.99], "dreadful": [0.99, 0.01]}
        return np.array(
            [next((s for word, s in shares.items() if word in t), [0.5, 0.5]) for t in texts.texts]
        )

    monkeypatch.setattr(distillation, "predict_in_parts", sure)
    source = write(tmp_path / "reviews.jsonl", [{"text": text} for text in REVIEWS])
    step = AspectSentences(step="aspect-sentences", source=str(source), teacher=str(teacher))
    out = tmp_path / "deep" / "train.jsonl"
    assert aspects.write_sentences(step, out) == 8
    assert [file.name for file in out.parent.iterdir()] == ["train.jsonl"]
    rows = rows_of(out)
    rated = [row for row in rows if row["label"] != "NOT_MENTIONED"]
    labeled = {(r["text"], r["aspect"], r["label"]) for r in rated}
    joined = [row for row in rated if row["text"].count(".") == 2]
    assert len(joined) == 2 and joined[0]["text"] == joined[1]["text"]
    assert all(
        (sentence in row["text"]) for row in joined
        for sentence, aspect, _ in labeled if aspect == row["aspect"]
    )  # fmt: skip
    assert labeled - {tuple(row.values()) for row in joined} == {
        ("The acting is wonderful.", "acting", "POSITIVE"),
        ("The plot is dreadful.", "story", "NEGATIVE"),
        ("The songs are wonderful here.", "music", "POSITIVE"),
    }
    absent = [row for row in rows if row["label"] == "NOT_MENTIONED"]
    words = aspects.load_words()
    assert len(absent) == 3
    assert not [row for row in absent if words[row["aspect"]].search(row["text"])]
    assert all(any(p.search(row["text"]) for p in words.values()) for row in absent)


def test_teacher_reads_single_sentences_and_is_resumed(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    real = distillation._logits

    def interrupted(classifier: Any, tokenizer: Any, part: Split, *rest: Any) -> Any:
        texts.extend(part.texts)
        if len(texts) == 3:
            raise KeyboardInterrupt
        return real(classifier, tokenizer, part, *rest)

    monkeypatch.setattr(distillation, "PART_TEXTS", 1)
    monkeypatch.setattr(distillation, "_logits", interrupted)
    source, out = write(tmp_path / "reviews.jsonl", [{"text": t} for t in REVIEWS]), "out.jsonl"
    step = AspectSentences(step="aspect-sentences", source=str(source), teacher=str(teacher),
                           min_confidence=0.51, out=str(tmp_path / out))  # fmt: skip
    task = plan.data_task(step)
    with pytest.raises(KeyboardInterrupt):
        steps.run_data_step(task)
    assert task.is_started and not task.is_done
    steps.run_data_step(task)
    assert task.is_done and not task.changes()
    named = ["The acting is wonderful.", "The plot is dreadful.", "The songs are wonderful here.",
             "The pacing is odd somehow."]  # fmt: skip
    assert sorted([*texts[:2], *texts[3:]]) == sorted(named)  # each once, the third twice
    labeled = {(row["text"], row["aspect"], row["label"]) for row in rows_of(tmp_path / out)}
    assert ("The plot is dreadful.", "story", "NEGATIVE") in labeled
    assert ("The acting is wonderful.", "acting", "POSITIVE") in labeled


def test_other_teachers_and_texts_are_errors(tmp_path: Path, teacher: Path) -> None:
    source = write(tmp_path / "reviews.jsonl", [{"text": "I saw it in May, and left early."}])
    step = AspectSentences(step="aspect-sentences", source=str(source), teacher=str(teacher))
    with pytest.raises(DataError, match="exactly one of acting, .* got none in 1 texts"):
        aspects.write_sentences(step, tmp_path / "out.jsonl")
    recipe = teacher / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("- NEGATIVE", "- BAD").replace(
        "NEGATIVE", "BAD"))  # fmt: skip
    with pytest.raises(DataError, match="must be NEGATIVE and POSITIVE, got"):
        aspects.write_sentences(step, tmp_path / "out.jsonl")


def test_recipe_plans_its_steps() -> None:
    """The released model labels the sentences, so no other run is needed."""
    tasks = plan.plan("aspects")
    titles = ["aspect-pairs", "aspect-contrasts", "aspect-sentences", "run of aspects"]
    assert [task.title for task in tasks] == titles


def test_step_writes_what_the_recipe_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_base: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    step = AspectPairs(step="aspect-pairs", source=str(SAMPLES))
    task = plan.data_task(step)
    steps.run_data_step(task)
    assert task.is_done and not task.changes()
    settings = toy_settings("unused", tiny_base)[3:]
    recipe = recipes.load("aspects", [*settings, "requires=[]"])
    own = recipe.model_copy(update={"datasets": recipe.datasets[:1]})
    splits = preparation.load(own)
    counts = Counter(recipe.labels[label] for label in splits["test"].labels)
    assert set(counts) == set(recipe.labels)
    assert set(splits["test"].slice_columns or {}) == {"aspect"}
    assert not set(splits["train"].groups or []) & set(splits["test"].groups or [])
