"""Reviews: labels of every kind become ours, bad rows are named, and splits share nothing."""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from conftest import toy_reviews
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from train import recipe as recipes
from train.data import preparation
from train.data.splits import Split
from train.errors import DataError
from train.recipe import Recipe
from train.sections import Dataset

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write rows as JSONL; a new file each time."""

    def write(rows: list[dict], name: str = "reviews.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def recipe_for(*sources: Path | dict[str, Any], **changes: Any) -> Recipe:
    described = [s if isinstance(s, dict) else {"source": str(s)} for s in sources]
    values: dict[str, Any] = {
        "name": "tiny",
        "base_model": "none",
        "datasets": [{"label_map": {"neg": "NEGATIVE", "pos": "POSITIVE"}, **d} for d in described],
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
    }
    return recipes.parse({**values, **changes})


def numbers_of(path: Path, **changes: Any) -> list[int]:
    """The label numbers of a file's rows, in their order."""
    recipe = recipe_for({"source": str(path), "label_map": None, **changes})
    return preparation.read_split(recipe.datasets[0], "train", recipe.labels).labels


def texts_of(splits: dict[str, Split]) -> list[str]:
    return [text for split in splits.values() for text in split.texts]


@pytest.mark.parametrize(
    ("values", "label_map"),
    [
        ([0, 1, 1], None),
        (["0", "1", "1"], None),
        ([0.0, 1.0, 1.0], None),
        (["NEGATIVE", "POSITIVE", "POSITIVE"], None),
        (["negative", "Positive", " POSITIVE "], None),
        ([1, 4, 5], {1: "NEGATIVE", 4: "POSITIVE", 5: "POSITIVE"}),
        ([1.0, 4.0, 5.0], {1: "NEGATIVE", 4: "POSITIVE", 5: "POSITIVE"}),
        ([1, 4, 5], {1.0: "NEGATIVE", 4.0: "POSITIVE", 5.0: "POSITIVE"}),
        ([False, True, True], {False: "NEGATIVE", True: "POSITIVE"}),
        (["bad", "GOOD", "good"], {"bad": "NEGATIVE", "good": "POSITIVE"}),
        ([1.5, 4.5, 4.5], {1.5: "NEGATIVE", 4.5: "POSITIVE"}),
    ],
    ids=[
        "integers",
        "digits",
        "floats",
        "names",
        "names-in-any-case",
        "stars",
        "float-stars",
        "float-keys",
        "booleans",
        "mapped-in-any-case",
        "half-stars",
    ],
)
def test_labels_become_numbers(
    write: Write, values: list[Any], label_map: dict[Any, str] | None
) -> None:
    path = write([{"text": f"review {i}", "label": label} for i, label in enumerate(values)])
    assert numbers_of(path, label_map=label_map) == [0, 1, 1]


def test_yes_and_no_are_labels_too(tmp_path: Path) -> None:
    # YAML 1.1 reads a bare `no` as false.
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\ndull,no\ngrand,yes\n", encoding="utf-8")
    (tmp_path / "r.yaml").write_text(
        f"name: r\nbase_model: none\ndatasets:\n- source: {path}\n"
        "  label_map: {no: NEGATIVE, yes: POSITIVE}\n",
        encoding="utf-8",
    )
    recipe = recipes.load(tmp_path / "r.yaml")
    assert preparation.read_split(recipe.datasets[0], "train", recipe.labels).labels == [0, 1]


def test_class_label_in_another_order_keeps_its_meaning(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["positive", "negative"]),
        }
    )
    rows = {"text": ["grand", "dull"], "label": ["positive", "negative"]}
    path = tmp_path / "reviews.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    assert numbers_of(path) == [1, 0]


def test_label_map_to_null_leaves_rows_out(write: Write) -> None:
    path = write([{"text": f"review {i}", "label": i} for i in range(1, 6)])
    label_map = {1: "NEGATIVE", 2: "NEGATIVE", 3: None, 4: "POSITIVE", 5: "POSITIVE"}
    recipe = recipe_for({"source": str(path), "label_map": label_map})
    split = preparation.read_split(recipe.datasets[0], "train", recipe.labels)
    assert split.texts == ["review 1", "review 2", "review 4", "review 5"]
    assert split.dropped == {"mapped to null": 1}


@pytest.mark.parametrize(
    ("bad_label", "seen", "proposed"),
    [
        (2, "2", "{0: NEGATIVE, 1: null, 2: POSITIVE}"),
        ("meh", "meh", "{NEGATIVE: NEGATIVE, POSITIVE: POSITIVE, meh: null}"),
        (None, "an empty cell", '{"": null, 0: NEGATIVE, 1: POSITIVE}'),
        (-1, "-1", "{-1: null, 0: NEGATIVE, 1: POSITIVE}"),
    ],
    ids=["number", "name", "none", "minus-one"],
)
def test_label_outside_the_set_is_named_with_its_row(
    write: Write, bad_label: object, seen: str, proposed: str
) -> None:
    labels = [0, 1, bad_label, 0]
    if isinstance(bad_label, str):
        labels = ["NEGATIVE", "POSITIVE", bad_label, "NEGATIVE"]
    path = write([{"text": f"review {i}", "label": label} for i, label in enumerate(labels)])
    with pytest.raises(DataError) as caught:
        numbers_of(path)
    assert f"got ['{seen}'] in row 3 —" in str(caught.value)
    assert "must hold one of ['0', '1', 'false', 'neg', 'negative', 'pos'" in str(caught.value)
    assert f"datasets.label_map={proposed}'" in str(caught.value)


def test_message_about_many_bad_labels_is_short(write: Write) -> None:
    path = write([{"text": f"review {i}", "label": 7} for i in range(9)])
    with pytest.raises(DataError, match="in rows 1, 2, 3, 4, 5, … —"):
        numbers_of(path)


@pytest.mark.parametrize("empty", ["", " \n\t", None, "\u00a0"], ids=["", "space", "null", "nbsp"])
def test_empty_review_is_named_by_row(write: Write, empty: str | None) -> None:
    rows = toy_reviews(4)
    rows[2]["text"] = empty
    with pytest.raises(DataError) as caught:
        preparation.load(recipe_for(write(rows)))
    assert "1 empty reviews, row 3 — fill or remove them" in str(caught.value)
    assert "--set datasets.on_empty=skip" in str(caught.value)


def test_empty_reviews_are_skipped_on_demand(write: Write) -> None:
    rows = toy_reviews(40)
    rows[2]["text"] = rows[7]["text"] = " "
    splits = preparation.load(recipe_for({"source": str(write(rows)), "on_empty": "skip"}))
    assert sum(map(len, splits.values())) == 38
    assert splits["train"].dropped == {"empty": 2}


def test_one_class_only_is_refused(write: Write) -> None:
    rows = [row for row in toy_reviews(80) if row["label"] == "pos"]
    with pytest.raises(DataError, match=r"must hold every label, got none of \['NEGATIVE'\]"):
        preparation.load(recipe_for(write(rows)))


def test_too_few_reviews_to_split_off_names_the_number_needed(write: Write) -> None:
    with pytest.raises(DataError, match="the rarest label has 2, .* at least 5 of each are needed"):
        preparation.load(recipe_for(write(toy_reviews(4))))


def test_splits_taken_from_train_are_stratified_and_of_the_set_size(write: Write) -> None:
    rows = toy_reviews(200)
    for row in rows[:80]:
        row["label"] = "neg"  # 140 of 200
    splits = preparation.load(recipe_for(write(rows), test_fraction=0.25, validation_fraction=0.2))
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 120,
        "validation": 30,
        "test": 50,
    }
    for split in splits.values():
        assert abs(split.labels.count(0) / len(split) - 0.7) < 0.04


def test_own_splits_are_used_as_they_are(write: Write, tmp_path: Path) -> None:
    rows = toy_reviews(60)
    for name, part in [("train", rows[:40]), ("validation", rows[40:50]), ("test", rows[50:])]:
        write(part, f"data/{name}.jsonl")
    splits = preparation.load(recipe_for(tmp_path / "data"))
    assert splits["validation"].texts == [row["text"] for row in rows[40:50]]
    assert splits["test"].texts == [row["text"] for row in rows[50:]]


def test_named_split_is_the_test(write: Write, tmp_path: Path) -> None:
    rows = toy_reviews(60)
    write(rows[:50], "data/train.jsonl")
    write(rows[50:], "data/holdout.jsonl")
    files = [{"split": name, "path": f"{name}.jsonl"} for name in ("train", "holdout")]
    front = f"---\nconfigs:\n- config_name: default\n  data_files: {json.dumps(files)}\n---\n"
    (tmp_path / "data/README.md").write_text(front, encoding="utf-8")
    splits = preparation.load(recipe_for({"source": str(tmp_path / "data"), "test": "holdout"}))
    assert splits["test"].texts == [row["text"] for row in rows[50:]]


@pytest.mark.parametrize("repeat", ["as-it-is", "other-case-and-spacing"])
def test_texts_of_test_are_dropped_from_train(write: Write, tmp_path: Path, repeat: str) -> None:
    rows = toy_reviews(60)
    again = dict(rows[55])
    if repeat == "other-case-and-spacing":
        again["text"] = "  " + again["text"].upper().replace(" ", "  ")
    write([*rows[:50], again], "data/train.jsonl")
    write(rows[50:], "data/test.jsonl")
    splits = preparation.load(recipe_for(tmp_path / "data"))
    assert len(splits["test"]) == 10
    assert again["text"] not in splits["train"].texts + splits["validation"].texts
    dropped = Counter(splits["train"].dropped) + Counter(splits["validation"].dropped)
    assert sum(dropped.values()) == 1


def test_train_within_test_says_what_is_wrong(write: Write, tmp_path: Path) -> None:
    write(toy_reviews(60), "data/train.jsonl")
    write(toy_reviews(60), "data/test.jsonl")
    with pytest.raises(DataError) as caught:
        preparation.load(recipe_for(tmp_path / "data"))
    assert "no review is left in" in str(caught.value)
    assert "texts held out" in str(caught.value)
    assert "train_fraction" not in str(caught.value)  # there is no such key


rows_with_repeats = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 14), st.booleans()), min_size=60, max_size=90
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows_with_repeats, st.booleans(), st.integers(0, 9))
def test_splits_share_no_text_and_no_group(
    write: Write, drawn: list[tuple[int, int, bool]], grouped: bool, split_seed: int
) -> None:
    rows = [
        {"text": f"review {text}", "label": "pos" if good else "neg", "title": f"film {film}"}
        for text, film, good in drawn
    ]
    # Enough of both labels and of films for a carving to be possible.
    rows += [{**row, "text": row["text"] + " indeed"} for row in toy_reviews(120)]
    path = write(rows, f"{random.getrandbits(64)}.jsonl")
    group = "title" if grouped else None
    splits = preparation.load(
        recipe_for({"source": str(path), "group": group}, split_seed=split_seed)
    )
    for first, second in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert not set(splits[first].keys()) & set(splits[second].keys())
        groups = [set(splits[name].groups or []) for name in (first, second)]
        assert not groups[0] & groups[1]
    assert set(texts_of(splits)) == {row["text"] for row in rows} - _left_out(splits, rows)


def _left_out(splits: dict[str, Split], rows: list[dict]) -> set[str]:
    """Texts may go missing only where a repeat was taken out."""
    repeated = {text for text, n in Counter(row["text"] for row in rows).items() if n > 1}
    missing = {row["text"] for row in rows} - set(texts_of(splits))
    assert missing <= repeated
    return missing


def test_group_in_two_datasets_is_in_one_split(write: Write) -> None:
    rows = toy_reviews(80)
    others = [{**row, "text": row["text"] + "!"} for row in reversed(rows)][:70]
    described = [
        {"source": str(write(part, f"{i}.jsonl")), "group": "title"}
        for i, part in enumerate([rows, others])
    ]
    splits = preparation.load(recipe_for(*described))
    films = {name: set(split.groups or []) for name, split in splits.items()}
    assert not films["train"] & (films["validation"] | films["test"])
    assert not films["validation"] & films["test"]


@pytest.mark.parametrize("missing", [None, "", float("nan")])
def test_row_without_a_group_is_a_group_of_its_own(
    write: Write, missing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = toy_reviews(160)
    number = isinstance(missing, float)
    for i, row in enumerate(rows):
        film = float(i // 8) if number else f"film {i // 8}"
        row["title"] = missing if i >= 80 else film
    path = write(rows, "missing.jsonl")
    splits = preparation.load(recipe_for({"source": str(path), "group": "title"}))
    films = {name: set(split.groups or []) - {None} for name, split in splits.items()}
    assert not films["train"] & (films["validation"] | films["test"])
    assert films["train"] and films["test"]
    for split in splits.values():  # which rows without a group fill in the same measure
        assert 0.3 < (split.groups or []).count(None) / len(split) < 0.7
    assert sum((split.groups or []).count(None) for split in splits.values()) == 80
    assert "column 'title' is empty in 80 rows, each of which is a group" in capsys.readouterr().out


def test_groups_hold_beside_a_dataset_without_any(write: Write) -> None:
    rows = toy_reviews(80)
    others = [{**row, "text": row["text"] + "!"} for row in reversed(rows)][:70]
    plain = [{**row, "text": row["text"] + "?"} for row in rows]
    described: list[dict[str, Any]] = [
        {"source": str(write(part, f"{i}.jsonl")), "group": "title"}
        for i, part in enumerate([rows, others])
    ]
    described.append({"source": str(write(plain, "plain.jsonl"))})
    splits = preparation.load(recipe_for(*described))
    films = {name: set(split.groups or []) - {None} for name, split in splits.items()}
    assert films["train"] and films["test"]
    assert not films["train"] & (films["validation"] | films["test"])
    assert (splits["train"].groups or []).count(None) > 50


def test_split_seed_repeats_and_differs(write: Write) -> None:
    path = write(toy_reviews(80))
    first, again, other = (
        preparation.load(recipe_for(path, split_seed=seed))["test"].sha256() for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_training_seed_leaves_the_splits_alone(write: Write) -> None:
    path = write(toy_reviews(80))
    digests = {preparation.load(recipe_for(path, seed=seed))["test"].sha256() for seed in range(3)}
    assert len(digests) == 1


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_max_limits_one_split(write: Write, split: str) -> None:
    path = write(toy_reviews(100))
    whole = preparation.load(recipe_for(path))
    fewer = preparation.load(recipe_for(path, **{f"max_{split}": 9}))
    assert len(fewer[split]) == 9
    assert set(fewer[split].texts) < set(whole[split].texts)
    for other in {"train", "validation", "test"} - {split}:
        assert fewer[other] == whole[other]


def test_max_beyond_what_there_is_takes_all(write: Write) -> None:
    path = write(toy_reviews(60))
    assert preparation.load(recipe_for(path, max_train=10_000)) == preparation.load(
        recipe_for(path)
    )


def test_pairs_stay_with_their_texts(write: Write) -> None:
    rows = [{**row, "aspect": row["text"].split()[2]} for row in toy_reviews(60)]
    splits = preparation.load(recipe_for({"source": str(write(rows)), "text_pair": "aspect"}))
    for split in splits.values():
        assert split.pairs == [text.split()[2] for text in split.texts]


def test_same_text_with_another_pair_is_another_review(write: Write, tmp_path: Path) -> None:
    rows = [{**row, "aspect": "story"} for row in toy_reviews(60)]
    write(rows[:50], "data/train.jsonl")
    write([{**row, "aspect": "music"} for row in rows[:10]] + rows[50:], "data/test.jsonl")
    splits = preparation.load(recipe_for({"source": str(tmp_path / "data"), "text_pair": "aspect"}))
    assert len(splits["train"]) + len(splits["validation"]) == 50


def test_several_datasets_become_one(write: Write) -> None:
    one = write(toy_reviews(40), "one.jsonl")
    stars = [
        {"body": f"a {row['text']}", "stars": 5 if row["label"] == "pos" else 1}
        for row in toy_reviews(60)
    ]
    other = {
        "source": str(write(stars, "other.jsonl")),
        "text": "body",
        "label": "stars",
        "label_map": {1: "NEGATIVE", 5: "POSITIVE"},
    }
    splits = preparation.load(recipe_for(one, other))
    assert sum(map(len, splits.values())) == 100
    for split in splits.values():
        assert {text.startswith("a film") for text in split.texts} == {True, False}
        assert all(
            ("wonderful" in t) == bool(n) for t, n in zip(split.texts, split.labels, strict=True)
        )


def test_dataset_is_used_only_in_its_splits(write: Write) -> None:
    whole = write(toy_reviews(), "whole.jsonl")
    rows = [{**row, "text": f"short: {row['text']}"} for row in toy_reviews(20)]
    extra = {"source": str(write(rows, "extra.jsonl")), "splits": ["train"]}
    splits = preparation.load(recipe_for(whole, extra))
    assert [splits["train"].datasets.count(n) for n in (0, 1)][1] == 20  # type: ignore[union-attr]
    for name in ("validation", "test"):
        assert set(splits[name].datasets or []) == {0}
    assert set(texts_of(splits)) == {row["text"] for row in [*toy_reviews(), *rows]}
    measured = {**extra, "splits": ["validation"]}
    splits = preparation.load(recipe_for(whole, measured))
    assert set(splits["train"].datasets or []) == {0}
    assert set(splits["validation"].datasets or []) == {0, 1}


def test_slice_columns_are_kept_where_they_exist(write: Write) -> None:
    first = [{**row, "stars": i % 5} for i, row in enumerate(toy_reviews())]
    second = [{**row, "text": f"b {row['text']}"} for row in toy_reviews()]
    sources = [write(first, "a.jsonl"), write(second, "b.jsonl")]
    recipe = recipe_for(*({"source": str(s), "slice_by": ["stars", "year"]} for s in sources))
    known = {row["text"]: str(row["stars"]) for row in first}
    for split in preparation.load(recipe).values():
        assert set(split.slice_columns or {}) == {"stars"}
        assert (split.slice_columns or {})["stars"] == [
            known.get(text, "none") for text in split.texts
        ]


def test_text_of_one_datasets_test_is_not_in_anothers_train(write: Write) -> None:
    one = write(toy_reviews(80), "one.jsonl")
    other = write(toy_reviews(80)[::-1], "other.jsonl")
    splits = preparation.load(recipe_for(one, other))
    held_out = set(splits["test"].keys()) | set(splits["validation"].keys())
    assert not held_out & set(splits["train"].keys())


STARS = {
    1: "NEGATIVE",
    2: {"NEGATIVE": 0.8},
    3: {"POSITIVE": 0.5},
    4: {"POSITIVE": 0.8},
    5: "POSITIVE",
}


def test_label_map_sets_probabilities(write: Write) -> None:
    stars = write([{"text": f"review {i}", "label": 1 + i % 5} for i in range(100)])
    splits = preparation.load(recipe_for({"source": str(stars), "label_map": STARS}))
    train = splits["train"]
    rows = zip(train.texts, train.labels, train.probabilities or [], strict=True)
    soft = {(int(text.split()[1]) % 5, number, p) for text, number, p in rows}
    assert {(stars, number) for stars, number, _ in soft} == {
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 1),
        (4, 1),
    }
    assert {stars: p for stars, _, p in soft} == {
        0: None, 1: pytest.approx((0.8, 0.2)), 2: (0.5, 0.5), 3: pytest.approx((0.2, 0.8)), 4: None
    }  # fmt: skip
    # What has no verdict is learnt from, but nothing is measured on it.
    for name in ["validation", "test"]:
        assert {int(text.split()[1]) % 5 for text in splits[name].texts} == {0, 1, 3, 4}
        assert splits[name].dropped["undecided"] > 0
        assert splits[name].probabilities is None
    whole = preparation.read_split(
        Dataset(source=str(stars), label_map=STARS), "train", ["NEGATIVE", "POSITIVE"]
    )
    assert (len(whole), whole.dropped) == (80, {"undecided": 20})


FIVE = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]


def test_label_map_names_the_probabilities_of_several_labels(write: Write) -> None:
    """A rating between two stars is divided between them."""
    label_map = {
        1: "1 star",
        2: {"1 star": 0.5, "2 stars": 0.5},
        3: {"2 stars": 0.75, "3 stars": 0.25},
        4: "4 stars",
        5: {"5 stars": 0.6},
        6: "3 stars",
    }
    source = write([{"text": f"review {i}", "label": 1 + i % 6} for i in range(180)])
    recipe = recipe_for({"source": str(source), "label_map": label_map}, labels=FIVE)
    splits = preparation.load(recipe)
    train = splits["train"]
    rows = zip(train.texts, train.labels, train.probabilities or [], strict=True)
    soft = {int(text.split()[1]) % 6 + 1: (label, p) for text, label, p in rows}
    assert {key: label for key, (label, _) in soft.items()} == {1: 0, 2: 0, 3: 1, 4: 3, 5: 4, 6: 2}
    assert soft[1][1] is soft[4][1] is soft[6][1] is None
    assert soft[2][1] == (0.5, 0.5, 0, 0, 0)
    assert soft[3][1] == (0, 0.75, 0.25, 0, 0)
    assert soft[5][1] == pytest.approx((0.1, 0.1, 0.1, 0.1, 0.6))
    # Between two labels there is no right answer; the others are rated by their labels, as 6 is
    # made 3 stars.
    pairs = zip(splits["test"].texts, splits["test"].ratings or [], strict=True)
    rated = {int(text.split()[1]) % 6 + 1: rating for text, rating in pairs}
    assert rated == {1: 1, 3: 2, 4: 4, 5: 5, 6: 3}
    assert splits["test"].dropped["undecided"] > 0


def mapped(*labels: int) -> list[str]:
    return [FIVE[label - 1] for label in labels]


@pytest.mark.parametrize(
    ("label_map", "ratings"),
    [
        (dict(enumerate(FIVE, 1)), [1, 2, 3, 4, 5]),
        (dict(enumerate(FIVE)), [1, 2, 3, 4, 5]),
        ({1: {"1 star": 0.9, "2 stars": 0.1}, 9: "5 stars", 5: "3 stars"}, [1, 5, 3]),
        (dict(zip(range(1, 11), mapped(1, 1, 2, 2, 3, 3, 4, 4, 5, 5), strict=True)),
         [1 + 4 / 9 * step for step in range(10)]),
        (dict(zip([0.5, 1, 1.5, 4.5, 5], mapped(1, 1, 2, 4, 5), strict=True)), [1, 1, 1.5, 4.5, 5]),
        (dict(zip([1, 2, 3, 4, 5], mapped(5, 4, 3, 2, 1), strict=True)), [5, 4, 3, 2, 1]),
        ({"bad": "1 star", "good": "5 stars", 3: "3 stars"}, [1, 5, 3]),
        ({1: None, 2: "1 star", 4: "5 stars"}, [1, 5]),
    ],
    ids=["as they are", "from 0", "soft", "of ten", "halves", "from best", "words", "dropped"],
)  # fmt: skip
def test_ratings_have_their_place_on_the_scale(
    label_map: dict[Any, Any], ratings: list[float], write: Write
) -> None:
    source = str(write([{"text": f"film {key}", "label": str(key)} for key in label_map]))
    split = preparation.read_split(Dataset(source=source, label_map=label_map), "train", FIVE)
    assert split.ratings == pytest.approx(ratings)


def test_rows_have_their_language_if_there_are_several(write: Write) -> None:
    sources = [
        write([{**row, "text": f"{n} {row['text']}"} for row in toy_reviews(40)], f"{n}.jsonl")
        for n in "ab"
    ]
    languages = [{}, {"language": "fr"}]
    described = [{"source": str(s), **d} for s, d in zip(sources, languages, strict=True)]
    for split in preparation.load(recipe_for(*described)).values():
        columns = split.slice_columns or {}
        assert split.datasets
        assert columns["language"] == [["en", "fr"][number] for number in split.datasets]
    alone = preparation.load(recipe_for(described[1]))["test"]
    assert "language" not in (alone.slice_columns or {})
