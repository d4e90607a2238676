"""The sample reviews: enough of them, varied, balanced, and no film or sentence used twice."""

import re
from collections import Counter, defaultdict
from itertools import chain

import datasets
import pytest
from conftest import SAMPLES, sample_rows

ROWS = {split: sample_rows(split) for split in ("train", "test")}
ALL = list(chain.from_iterable(ROWS.values()))
ASPECTS = {"acting", "story", "visuals", "music", "pacing", "dialogue", "direction"}
POLARITIES = {"positive", "negative", "neutral"}


def words(text: str) -> list[str]:
    return re.sub(r"<br\s*/?>", " ", text).split()


def sentences(text: str) -> set[str]:
    """Sentences as lower-case letters and digits; what has no two words is no sentence."""
    parts = re.split(r"[.!?…]+|<br\s*/?>", text)
    plain = (" ".join(re.findall(r"[^\W_]+", part.casefold())) for part in parts)
    return {sentence for sentence in plain if sum(word.isalpha() for word in sentence.split()) >= 2}


def test_there_are_enough_reviews() -> None:
    assert len(ALL) >= 400
    assert len(ROWS["test"]) >= 100


def test_columns_are_the_same_everywhere() -> None:
    assert {tuple(row) for row in ALL} == {("text", "stars", "aspects", "title")}


@pytest.mark.parametrize("split", ROWS)
def test_loads_with_datasets(split: str) -> None:
    loaded = datasets.load_dataset(str(SAMPLES))
    assert set(loaded) == {"train", "test"}
    assert loaded[split]["text"][:] == [row["text"] for row in ROWS[split]]
    assert loaded[split]["stars"][:] == [row["stars"] for row in ROWS[split]]


def test_size_in_the_dataset_card_is_right() -> None:
    from huggingface_hub import DatasetCard

    [category] = DatasetCard.load(SAMPLES / "README.md").data.size_categories
    assert category == ("n<1K" if len(ALL) < 1000 else "1K<n<10K")


def test_stars_are_balanced() -> None:
    counts = Counter(row["stars"] for row in ALL)
    assert set(counts) == {1, 2, 3, 4, 5}
    assert max(counts.values()) - min(counts.values()) <= 0.05 * len(ALL)


@pytest.mark.parametrize("split", ROWS)
def test_split_has_all_stars(split: str) -> None:
    counts = Counter(row["stars"] for row in ROWS[split])
    assert min(counts[star] for star in range(1, 6)) >= 0.1 * len(ROWS[split])


def test_lengths_are_of_real_reviews_and_a_few_essays() -> None:
    lengths = [len(words(row["text"])) for row in ALL]
    assert sum(length > 600 for length in lengths) >= 10
    odd = [n for n in lengths if not 40 <= n <= 200 and n <= 600]
    assert not odd


def test_aspects_are_of_the_seven() -> None:
    aspects = [aspect for row in ALL for aspect in row["aspects"]]
    assert {aspect["aspect"] for aspect in aspects} == ASPECTS
    assert {aspect["polarity"] for aspect in aspects} == POLARITIES
    assert {tuple(aspect) for aspect in aspects} == {("aspect", "polarity")}


def test_no_aspect_is_named_twice_in_a_review() -> None:
    for row in ALL:
        names = [aspect["aspect"] for aspect in row["aspects"]]
        assert len(names) == len(set(names))


def test_aspects_agree_with_the_stars_at_the_ends() -> None:
    against = {1: "positive", 5: "negative"}
    for star, polarity in against.items():
        rows = [row for row in ALL if row["stars"] == star]
        share = sum(
            all(aspect["polarity"] == polarity for aspect in row["aspects"]) for row in rows
        ) / len(rows)
        assert share < 0.02


def test_no_two_reviews_share_a_sentence() -> None:
    rows_of_sentence = defaultdict(set)
    for i, row in enumerate(ALL):
        for sentence in sentences(row["text"]):
            rows_of_sentence[sentence].add(i)
    shared = {sentence: rows for sentence, rows in rows_of_sentence.items() if len(rows) > 1}
    assert not shared


def test_films_of_test_are_not_in_train() -> None:
    films = [{row["title"].casefold() for row in rows} for rows in ROWS.values()]
    assert not films[0] & films[1]


def test_some_have_line_break_tags() -> None:
    assert sum("<br />" in row["text"] for row in ALL) >= 20


@pytest.mark.parametrize("character", ["\ufffd", "\x00", "\t", "Ã", "â€"])
def test_text_is_clean(character: str) -> None:
    assert not [row["text"][:60] for row in ALL if character in row["text"]]
