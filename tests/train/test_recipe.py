"""Recipes: validation, error messages, overrides, and the round trip through YAML."""

from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from train import plain_yaml
from train import recipe as recipes
from train.errors import RecipeError
from train.recipe import Recipe
from train.sections import Dataset

MINIMAL: dict[str, Any] = {
    "name": "tiny",
    "datasets": [{"source": "reviews.csv"}],
    "base_model": "user/base",
}


def parse(**changes: Any) -> Recipe:
    return recipes.parse({**MINIMAL, **changes})


def dataset(**changes: Any) -> dict[str, Any]:
    return {"datasets": [{"source": "reviews.csv", **changes}]}


@pytest.fixture
def minimal_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "name: tiny\nbase_model: user/base\ndatasets:\n- source: one.csv\n- source: two.csv\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rat": 1e-5}, "'learning_rat' — did you mean 'learning_rate'?"),
        ({"epoch": 1}, "'epoch' — did you mean 'epochs'?"),
        (dataset(labels="y"), "'datasets.0.labels' — did you mean 'label'?"),
    ],
    ids=["recipe", "singular", "dataset"],
)
def test_unknown_key_suggests_nearest_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(**changes)
    assert f"unknown key {message}" in str(caught.value)


def test_unknown_key_without_match_has_no_suggestion() -> None:
    with pytest.raises(RecipeError) as caught:
        parse(zzz=1)
    assert str(caught.value) == "recipe:\n  unknown key 'zzz'"


INVALID: list[tuple[dict[str, Any], list[str]]] = [
    ({"learning_rate": 5.0}, ["learning_rate must be", "1", "got 5.0", "did you mean 5e-5?"]),
    ({"head_learning_rate": 2}, ["head_learning_rate", "got 2", "did you mean 2e-5?"]),
    ({"learning_rate": 0}, ["learning_rate must be greater than 0", "got 0", "2e-5 to 2e-4"]),
    ({"learning_rate": float("nan")}, ["learning_rate must be", "finite", "got nan"]),
    ({"learning_rate": "fast"}, ["learning_rate must be a valid number", "got 'fast'"]),
    ({"epochs": 0}, ["epochs must be greater than or equal to 1", "got 0", "passes"]),
    ({"epochs": 1001}, ["epochs must be less than or equal to 1000", "got 1001"]),
    ({"epochs": 1.5}, ["epochs must be a valid integer", "got 1.5"]),
    ({"epochs": None}, ["epochs must be a valid integer", "got None"]),
    ({"batch_tokens": 8}, ["batch_tokens must be", "16", "got 8"]),
    (
        {"max_position_embeddings": 100},
        ["max_position_embeddings must be a multiple of 8", "got 100"],
    ),
    ({"max_position_embeddings": 65536}, ["max_position_embeddings must be", "32768", "got 65536"]),
    ({"validation_fraction": 0}, ["validation_fraction must be greater than 0", "got 0"]),
    ({"test_fraction": 1}, ["test_fraction must be less than", "got 1"]),
    ({"test_fraction": 0.9}, ["test_fraction must be less than or equal to 0.5", "got 0.9"]),
    ({"warmup_fraction": 1}, ["warmup_fraction must be less than 1", "got 1"]),
    ({"weight_decay": -0.1}, ["weight_decay must be", "got -0.1"]),
    ({"max_grad_norm": 0}, ["max_grad_norm must be greater than 0", "got 0"]),
    ({"early_stopping_patience": 0}, ["early_stopping_patience must be", "got 0"]),
    ({"seed": -1}, ["seed must be greater than or equal to 0", "got -1"]),
    ({"seed": 2**32}, ["seed must be less than or equal to 4294967295", "got 4294967296"]),
    ({"split_seed": 2**32}, ["split_seed must be", "got 4294967296"]),
    ({"precision": "fp8"}, ["precision must be", "'fp16'", "got 'fp8'"]),
    ({"truncation": "tail"}, ["truncation must be", "'head_tail'", "got 'tail'"]),
    ({"labels": ["GOOD"]}, ["labels must have at least 2 items", "got ['GOOD']"]),
    ({"labels": ["GOOD", "good"]}, ["labels must be different", "got ['GOOD', 'good']"]),
    ({"labels": ["GOOD", " "]}, ["labels must be names", "empty one in ['GOOD', ' ']"]),
    (
        {"ordered": True},
        ["labels must begin with ascending numbers if ordered", "got ['NEGATIVE', 'POSITIVE']"],
    ),
    (
        {"ordered": True, "labels": ["3 stars", "2 stars", "1 star"]},
        ["labels must begin with ascending numbers", "got ['3 stars', '2 stars', '1 star']"],
    ),
    ({"base_model": "https://hub/a/b"}, ["base_model must be an id", "the URL https://hub/a/b"]),
    (dataset(source="https://a.b/x.csv"), ["source must be an id", "the URL https://a.b/x.csv"]),
    ({"name": "../escape"}, ["name must match", "got '../escape'"]),
    ({"base_model": ""}, ["base_model must have at least 1 character", "got ''"]),
    ({"datasets": []}, ["datasets must have at least 1 item", "got []"]),
    (dataset(on_empty="drop"), ["datasets.0.on_empty must be", "'skip'", "got 'drop'"]),
    (dataset(source=""), ["datasets.0.source must have at least 1 character", "got ''"]),
    (
        {"max_tokens": 512, "max_position_embeddings": 256},
        ["max_tokens must be at most max_position_embeddings (256)", "got 512"],
    ),
    (
        {"micro_batch_tokens": 8},
        ["micro_batch_tokens must be greater than or equal to 16", "got 8"],
    ),
    ({"dropout": 1}, ["dropout must be less than 1", "got 1"]),
    (
        dataset(label_map={"1": "BAD"}),
        ["label_map must map to one of ['NEGATIVE', 'POSITIVE'] or null", "got ['BAD']"],
    ),
    (
        dataset(label_map={"1": {"BAD": 0.9}}),
        ["label_map must map to one of ['NEGATIVE', 'POSITIVE'] or null", "got ['BAD']"],
    ),
    (
        dataset(label_map={"1": {"POSITIVE": 1.5}}),
        ["datasets.0.label_map must map to a label name", "got {'POSITIVE': 1.5}"],
    ),
    (
        dataset(label_map={"1": {"POSITIVE": 0.9, "NEGATIVE": 0.2}}),
        ["to several that add up to 1, or to null", "'NEGATIVE': 0.2}"],
    ),
    (dataset(label_map={"1": 1}), ["datasets.0.label_map must map to a label name", "got 1"]),
    (
        {"datasets": [{"source": "a.csv", "text_pair": "aspect"}, {"source": "b.csv"}]},
        ["text_pair must be set for all datasets or for none"],
    ),
    (
        {**dataset(text_pair="aspect"), "truncation": "head"},
        ["truncation must be head_tail for text pairs"],
    ),
]


def changes_id(changes: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}"[:40] for key, value in changes.items())


@pytest.mark.parametrize(
    ("changes", "parts"), INVALID, ids=[changes_id(changes) for changes, _ in INVALID]
)
def test_invalid_value_reports_key_rule_and_value(
    changes: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(**changes)
    for part in parts:
        assert part in str(caught.value)


def test_missing_key_reports_its_description() -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.parse({"name": "tiny", "datasets": [{}]})
    assert "base_model is missing (Hub id or folder of the pre-trained encoder)" in str(
        caught.value
    )
    assert "datasets.0.source is missing (a Hub dataset id" in str(caught.value)


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.parse({**MINIMAL, "epochs": 0, "seeed": 1, "learning_rate": 3}, "my.yaml")
    first, *errors = str(caught.value).splitlines()
    assert first == "my.yaml:"
    assert len(errors) == 3


def test_recipe_is_immutable() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        parse().epochs = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("epochs=7", "epochs", 7),
        ("learning_rate=5e-5", "learning_rate", 5e-5),
        ("learning_rate=3E-4", "learning_rate", 3e-4),
        ("base_revision=null", "base_revision", None),
        ("labels=[BAD, SO-SO, GOOD]", "labels", ["BAD", "SO-SO", "GOOD"]),
        ("base_model=folder=odd", "base_model", "folder=odd"),
    ],
    ids=["integer", "5e-5", "3E-4", "null", "list", "equals-sign"],
)
def test_set_parses_value_as_yaml(
    minimal_yaml: Path, override: str, key: str, value: object
) -> None:
    assert getattr(recipes.load(minimal_yaml, [override]), key) == value


def test_exponent_without_dot_is_a_number_in_a_file(minimal_yaml: Path) -> None:
    with minimal_yaml.open("a", encoding="utf-8") as stream:
        stream.write("learning_rate: 5e-5\n")  # a string in YAML 1.1
    assert recipes.load(minimal_yaml).learning_rate == 5e-5


@pytest.mark.parametrize(
    ("override", "sources"),
    [
        ("datasets.source=x.csv", ["x.csv", "x.csv"]),
        ("datasets.0.source=x.csv", ["x.csv", "two.csv"]),
        ("datasets.1.source=x.csv", ["one.csv", "x.csv"]),
        ("datasets=[{source: x.csv}]", ["x.csv"]),
    ],
    ids=["every", "first", "second", "whole"],
)
def test_set_reaches_into_datasets(minimal_yaml: Path, override: str, sources: list[str]) -> None:
    datasets = recipes.load(minimal_yaml, [override]).datasets
    assert [dataset.source for dataset in datasets] == sources


def test_another_base_model_has_no_pinned_commit(minimal_yaml: Path) -> None:
    pinned = ["base_revision=v1"]
    assert recipes.load(minimal_yaml, pinned).base_revision == "v1"
    other = recipes.load("imdb", ["base_model=user/other"])
    assert recipes.load("imdb").base_revision and other.base_revision is None
    assert recipes.load("imdb", ["base_model=user/other", *pinned]).base_revision == "v1"


def test_error_of_a_set_names_the_option(minimal_yaml: Path) -> None:
    with pytest.raises(RecipeError, match=r"tiny\.yaml with --set epochs, seed:\n  epochs must"):
        recipes.load(minimal_yaml, ["epochs=x", "seed=1"])


def test_later_set_wins(minimal_yaml: Path) -> None:
    assert recipes.load(minimal_yaml, ["epochs=2", "epochs=3"]).epochs == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "--set takes key=value, got 'epochs' — for example --set epochs=2"),
        ("=3", "--set takes key=value, got '=3'"),
        ("epochs=[", "--set epochs: '[' is not a YAML value"),
        ("datasets.2.source=x", "--set datasets.2.source: the recipe has no '2' there"),
        ("nowhere.epochs=1", "--set nowhere.epochs: the recipe has no 'nowhere' there"),
        ("name.first=x", "--set name.first: 'first' is not inside a section of the recipe"),
        ("epoch=3", "unknown key 'epoch' — did you mean 'epochs'?"),
    ],
    ids=["no-equals", "no-key", "broken-yaml", "beyond", "no-section", "not-a-section", "unknown"],
)
def test_invalid_set_is_refused(minimal_yaml: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load(minimal_yaml, [override])
    assert message in str(caught.value)


def test_missing_recipe_lists_shipped_recipes() -> None:
    with pytest.raises(
        RecipeError,
        match="imbd is no recipe .*aspects, aspects-mams, imdb, imdb-small, movie-sentiment, "
        "movie-sentiment-labels, multilingual, "
        "quickstart, stars, teacher",
    ):
        recipes.load("imbd")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [", "is not valid YAML"),
        (b"name: caf\xe9", "is not valid YAML"),
        (b"- epochs", "must hold `key: value` lines, got list"),
        (b"", "must hold `key: value` lines, got NoneType"),
    ],
    ids=["unclosed", "latin-1", "a-list", "empty"],
)
def test_unreadable_file_is_reported(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        recipes.load(path)
    assert str(caught.value).startswith(f"{path} {message}")


@pytest.mark.parametrize(
    ("yaml_map", "keys"),
    [
        ("{0: NEGATIVE, 1: POSITIVE}", ["0", "1"]),
        ("{neg: NEGATIVE, pos: POSITIVE}", ["neg", "pos"]),
        ("{1.0: NEGATIVE, 5.0: POSITIVE}", ["1", "5"]),
        ("{'no': NEGATIVE, 'yes': POSITIVE}", ["no", "yes"]),
    ],
    ids=["integers", "names", "floats", "quoted"],
)
def test_label_map_keys_are_text(minimal_yaml: Path, yaml_map: str, keys: list[str]) -> None:
    recipe = recipes.load(minimal_yaml, [f"datasets.label_map={yaml_map}"])
    assert list(recipe.datasets[0].label_map or {}) == keys


@pytest.mark.parametrize(
    ("source", "local"),
    [
        ("stanfordnlp/imdb", False),
        ("imdb", False),
        ("reviews.csv", True),
        ("reviews.xlsx", True),
        ("reviews.zip", True),
        ("data/reviews.parquet", True),
        ("./imdb", True),
        ("/data/imdb", True),
        ("~/imdb", True),
    ],
)
def test_is_local_distinguishes_path_and_hub_id(source: str, local: bool) -> None:
    assert Dataset(source=source).is_local is local


# No control characters: PyYAML reads U+0085 back as a space.
printable = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12)
name = printable.filter(bool)
label_names = st.lists(name.filter(str.strip), min_size=2, max_size=5, unique_by=str.casefold)


@st.composite
def any_recipe(draw: st.DrawFn) -> Recipe:
    labels = draw(label_names)
    probabilities = st.floats(0, 1, exclude_min=True)
    targets = (
        st.none()
        | st.sampled_from(labels)
        | st.dictionaries(st.sampled_from(labels), probabilities, min_size=1, max_size=1)
    )
    dataset_values = st.fixed_dictionaries(
        {"source": name},
        optional={
            "text": printable,
            "group": st.none() | printable,
            "revision": st.none() | printable,
            "label_map": st.none() | st.dictionaries(printable, targets, max_size=4),
        },
    )
    return parse(
        labels=labels,
        datasets=draw(st.lists(dataset_values, min_size=1, max_size=3)),
        learning_rate=draw(st.floats(0, 1, exclude_min=True)),
        weight_decay=draw(st.floats(0, 1, exclude_max=True)),
        seed=draw(st.integers(0, 2**32 - 1)),
        early_stopping_patience=draw(st.none() | st.integers(1, 9)),
        max_position_embeddings=8 * draw(st.integers(64, 4096)),
    )


@settings(deadline=None)
@given(any_recipe())
def test_dump_and_load_round_trip(recipe: Recipe) -> None:
    assert recipes.parse(plain_yaml.parse(recipes.dump(recipe))) == recipe


def test_dump_includes_every_default() -> None:
    assert set(yaml.safe_load(recipes.dump(parse()))) == set(Recipe.model_fields)


def test_label_map_refuses_two_spellings_of_a_value() -> None:
    """4 and 4.0 are the same value."""
    for keys in ["4: POSITIVE, 2: NEGATIVE, 4.0", "'4': POSITIVE, 2: NEGATIVE, 4.0"]:
        with pytest.raises(RecipeError, match="each (key|value) once, got .* spellings"):
            recipes.load("quickstart", [f"datasets.label_map={{{keys}: NEGATIVE}}"])


def test_infinite_learning_rate_has_no_suggestion() -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load("quickstart", ["learning_rate=.inf"])
    assert "did you mean" not in str(caught.value)


def test_values_are_the_numbers_of_ordered_labels() -> None:
    labels = ["1 star", "2 stars", "3 stars"]
    assert parse(labels=labels, ordered=True).values == [1, 2, 3]
    assert parse(labels=labels).values is None


def test_languages_are_those_of_the_datasets_each_once() -> None:
    datasets = [{"source": "a.csv"}, {"source": "b.csv", "language": "fr"}, {"source": "c.csv"}]
    values = {"name": "x", "base_model": "./base", "datasets": datasets}
    assert recipes.parse(values).languages == ["en", "fr"]
    assert recipes.parse(values | {"language": "de"}).languages == ["de", "fr"]


@pytest.mark.parametrize("language", ["French", "fr-CA", ""])
def test_language_of_a_dataset_must_be_a_code(language: str) -> None:
    dataset = {"source": "a.csv", "language": language}
    with pytest.raises(
        RecipeError, match=r"datasets\.0\.language must match pattern .*language code"
    ):
        recipes.parse({"name": "x", "base_model": "./base", "datasets": [dataset]})
