"""Generated texts of opinions about different aspects."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from train import recipe as recipes
from train.augmentation import aspects, contrasts
from train.data import preparation
from train.pipeline import plan, steps
from train.sections import AspectContrasts

DATA = contrasts.load()
OPINIONS = [
    (aspect, polarity, kind, opinion)
    for aspect, polarities in DATA["opinions"].items()
    for polarity, kinds in polarities.items()
    for kind, opinions in kinds.items()
    for opinion in opinions
]
SUITE = REPOSITORY / "train/evaluation/behavior"


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def normalize(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower().replace("’", "'").replace("'", "")))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("contrasts") / "pairs"
    contrasts.write(out, 3_000, seed=0)
    return out


def test_opinions_are_complete_and_distinct() -> None:
    assert list(DATA["opinions"]) == list(aspects.load_words())
    counts = Counter(opinion[:3] for opinion in OPINIONS)
    assert len(counts) == 7 * 2 * 2 and min(counts.values()) >= 25
    assert len({normalize(opinion[3]) for opinion in OPINIONS}) == len(OPINIONS)


@pytest.mark.parametrize("opinion", [pytest.param(o[3], id=o[3][:40]) for o in OPINIONS[::20]])
def test_opinion_is_part_of_a_sentence(opinion: str) -> None:
    assert opinion == opinion.strip() and not re.search(r"[,;:.!?\"\d]", opinion)


def test_no_opinion_is_in_the_behavior_suite() -> None:
    """An opinion of four words or more; a shorter one, such as `great music`, is anybody's."""
    suite = " | ".join(
        normalize(" ".join(str(value) for value in row.values()))
        for name in ["aspects", "sentences", "pairs"]
        for row in rows_of(SUITE / f"{name}.jsonl")
    )
    long = [text for *_, opinion in OPINIONS if (text := normalize(opinion)).count(" ") >= 3]
    assert len(long) > 500
    assert not [text for text in long if f" {text} " in f" {suite} "]


def test_labels_are_those_of_the_opinions(written: Path) -> None:
    for split in ["train", "validation"]:
        rows = rows_of(written / f"{split}.jsonl")
        for row in rows:
            text = f" {normalize(row['text'])} "
            found = {
                normalize(opinion): polarity.upper()
                for aspect, polarity, _, opinion in OPINIONS
                if aspect == row["aspect"] and f" {normalize(opinion)} " in text
            }  # an opinion may be a part of another one: "good music" of "not very good music"
            if found:
                assert row["label"] == found[max(found, key=len)], row
        counts = Counter(row["label"] for row in rows)
        assert counts["NEGATIVE"] == pytest.approx(counts["POSITIVE"], rel=0.2)
        assert counts["NOT_MENTIONED"] == len({row["text"] for row in rows}) or split == "train"
    assert len(rows_of(written / "validation.jsonl")) < 0.1 * len(rows_of(written / "train.jsonl"))


def test_most_texts_hold_opposite_opinions(written: Path) -> None:
    labels: dict[str, set[str]] = {}
    for row in rows_of(written / "train.jsonl"):
        labels.setdefault(row["text"], set()).add(row["label"])
    opposite = [text for text, found in labels.items() if {"NEGATIVE", "POSITIVE"} <= found]
    assert len(opposite) > 0.7 * len(labels)


def test_validation_shares_no_opinion_with_training(written: Path) -> None:
    def used(split: str) -> set[str]:
        texts = " | ".join({normalize(row["text"]) for row in rows_of(written / f"{split}.jsonl")})
        found = {normalize(o[3]) for o in OPINIONS}
        return {o for o in found if o.count(" ") >= 4 and f" {o} " in f" {texts} "}

    train, validation = used("train"), used("validation")
    assert train and validation and not train & validation


def test_same_seed_gives_the_same_texts(written: Path, tmp_path: Path) -> None:
    for seed, is_same in [(0, True), (1, False)]:
        contrasts.write(tmp_path / str(seed), 3_000, seed)
        same = [
            (tmp_path / str(seed) / f"{split}.jsonl").read_bytes()
            == (written / f"{split}.jsonl").read_bytes()
            for split in ["train", "validation"]
        ]
        assert same == [is_same, is_same]


def test_step_writes_what_the_recipe_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = plan.data_task(AspectContrasts(step="aspect-contrasts", texts=200))
    steps.run_data_step(task)
    assert task.is_done and not task.changes()
    recipe = recipes.load("aspects", ["requires=[]"])
    own = recipe.model_copy(update={"datasets": recipe.datasets[1:2]})
    splits = preparation.load(own)
    assert set(splits["train"].pairs or []) == set(aspects.load_words())
    assert len(splits["validation"]) > 20
    assert not len(splits["test"])  # a held-out text would share its opinions with training
