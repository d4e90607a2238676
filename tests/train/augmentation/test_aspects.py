"""Pairs of texts and aspects: from rated reviews, and from sentences that a teacher labels."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLES, fit_toy_run, sample_rows, toy_settings

from train import recipe as recipes
from train.augmentation import aspects
from train.data import preparation
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
def teacher(tmp_path: Path, tiny_base: Path) -> Path:
    """A run that knows `wonderful` from `dreadful`."""
    return fit_toy_run(tmp_path, tiny_base)


def test_teacher_labels_sentences_with_one_aspect(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sure(_: Path, texts: list[str]) -> Any:
        shares = {"wonderful": [0.01, 0.99], "dreadful": [0.99, 0.01]}
        return np.array(
            [next((s for word, s in shares.items() if word in t), [0.5, 0.5]) for t in texts]
        )

    monkeypatch.setattr(aspects, "_probabilities", sure)
    source = write(tmp_path / "reviews.jsonl", [{"text": text} for text in REVIEWS])
    step = AspectSentences(step="aspect-sentences", source=str(source), teacher=str(teacher))
    out = tmp_path / "deep" / "train.jsonl"
    assert aspects.write_sentences(step, out) == 6
    rows = rows_of(out)
    labeled = {(r["text"], r["aspect"], r["label"]) for r in rows if r["label"] != "NOT_MENTIONED"}
    assert labeled == {
        ("The acting is wonderful.", "acting", "POSITIVE"),
        ("The plot is dreadful.", "story", "NEGATIVE"),
        ("The songs are wonderful here.", "music", "POSITIVE"),
    }
    absent = [row for row in rows if row["label"] == "NOT_MENTIONED"]
    words = aspects.load_words()
    assert len(absent) == 3
    assert not [row for row in absent if words[row["aspect"]].search(row["text"])]
    own = [row for row in absent if any(p.search(row["text"]) for p in words.values())]
    assert 1 <= len(own) <= 2  # the others name no aspect at all


def test_teacher_is_called_and_its_labels_are_checked(tmp_path: Path, teacher: Path) -> None:
    shares = aspects._probabilities(teacher, ["a wonderful film, wonderful", "dreadful, dreadful"])
    assert shares.shape == (2, 2)
    assert shares[0, 1] > 0.5 > shares[1, 1]
    recipe = teacher / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("- NEGATIVE", "- BAD").replace(
        "NEGATIVE", "BAD"))  # fmt: skip
    source = write(tmp_path / "reviews.jsonl", [{"text": text} for text in REVIEWS])
    step = AspectSentences(step="aspect-sentences", source=str(source), teacher=str(teacher))
    with pytest.raises(DataError, match="must be NEGATIVE and POSITIVE, got"):
        aspects.write_sentences(step, tmp_path / "out.jsonl")


def test_recipe_plans_its_steps() -> None:
    tasks = plan.plan("aspects")
    titles = [task.title for task in tasks]
    assert titles[-3:] == ["aspect-pairs", "aspect-sentences", "run of aspects"]
    assert "run of teacher" in titles
    assert tasks[titles.index("run of teacher")] in tasks[-2].inputs


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
