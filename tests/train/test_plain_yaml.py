"""YAML of any content gives a `Recipe` or a short error, from a file, `--set` or a run folder."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from train import plain_yaml, run_folder
from train import recipe as recipes
from train.errors import RecipeError, TrainError
from train.sections import Dataset

MINIMAL = "name: tiny\nbase_model: user/base\ndatasets:\n- source: one.csv\n"
BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
# Unsupported value -> error message.
REFUSED = {
    "tag": ("!!int x", "a recipe has no tags, got 'tag:yaml.org,2002:int'"),
    "python-tag": ("!!python/object/apply:os.system [ls]", "a recipe has no tags"),
    "own-tag": ("!x y", "a recipe has no tags, got '!x'"),
    "digits": ("9" * 5000, "a recipe has numbers of at most 100 digits, got 5000"),
    "deep-list": ("[" * 5000, "a recipe has at most 16 levels of nesting"),
    "deep-map": ("{a: " * 5000, "a recipe has at most 16 levels of nesting"),
    "itself": ("&a [*a]", "a recipe has at most 20 aliases, none of them inside an anchor"),
    "unknown-alias": ("*nowhere", "found undefined alias"),
    "list-key": ("{[a]: b}", "found unhashable key"),
    "escape": (r'"\UFFFFFFFF"', "not a YAML value|not valid YAML"),
    "surrogate": (r'"\ud83d"', "surrogates not allowed"),
    "twice": ("{a: 1, 'a': 2}", "a recipe has each key once, got 'a' twice"),
    "cut": ("[1, 2", "expected ',' or ']'"),
}
# Special values in YAML 1.1, plain text here.
TEXTS = ["2024-13-45", "2024-02-30 25:61:61", "12:30:45", "1:30", "0x10", "=", "<<", "no", "yes"]
values = pytest.mark.parametrize(("value", "message"), REFUSED.values(), ids=REFUSED)


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


@values
def test_unsupported_value_is_refused_in_a_file(
    recipe_file: Path, value: str, message: str
) -> None:
    recipe_file.write_text(f"{MINIMAL}language: {value}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as caught:
        recipes.load(recipe_file)
    assert str(caught.value).startswith(f"{recipe_file} is not valid YAML: ")
    assert len(str(caught.value)) < 1000


@values
def test_unsupported_value_is_refused_in_a_set(recipe_file: Path, value: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        recipes.load(recipe_file, [f"language={value}"])
    assert str(caught.value).startswith("--set language: ")
    assert len(str(caught.value)) < 1000


@values
def test_unsupported_value_is_refused_in_a_saved_recipe(
    recipe_file: Path, value: str, message: str
) -> None:
    saved = recipe_file.with_name("recipe.yaml")
    saved.write_text(f"{MINIMAL}language: {value}\n", encoding="utf-8")
    with pytest.raises(TrainError, match=message):
        run_folder.load_recipe(recipe_file.parent)


@pytest.mark.parametrize("text", TEXTS)
def test_plain_words_are_text(text: str) -> None:
    assert plain_yaml.parse(text) == text
    assert plain_yaml.parse(f"{{{text}: 1}}") == {text: 1}


@pytest.mark.parametrize(
    "text", [*TEXTS, "1.5e5", "+.5", ".5", "1_0", "~", "null", "true", "-", "é", "*a", "x" * 300]
)
def test_saved_text_round_trips(tmp_path: Path, text: str) -> None:
    dataset = {"source": "a.csv", "label_map": {text: "NEGATIVE"}}
    recipe = recipes.parse({"name": "t", "base_model": text, "datasets": [dataset] * 3})
    (tmp_path / "recipe.yaml").write_text(recipes.dump(recipe), encoding="utf-8")
    assert run_folder.load_recipe(tmp_path) == recipe


@pytest.mark.parametrize(
    ("text", "value"),
    [("1_000", 1000), ("-7", -7), ("5.0e-5", 5e-5), ("5e-5", "5e-5"), ("true", True), ("", None)],
)
def test_numbers_booleans_and_null_are_parsed(text: str, value: object) -> None:
    assert plain_yaml.parse(text) == value


def test_alias_bomb_is_refused_quickly(recipe_file: Path) -> None:
    recipe_file.write_text(MINIMAL + BOMB, encoding="utf-8")
    with pytest.raises(RecipeError, match="at most 20 aliases, none of them inside an anchor"):
        recipes.load(recipe_file)


def test_many_aliases_are_refused(recipe_file: Path) -> None:
    recipe_file.write_text(f"{MINIMAL}labels: [&a x{', *a' * 30}]\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="at most 20 aliases"):
        recipes.load(recipe_file)


@pytest.mark.parametrize(
    "key", ["datasets.².source", f"datasets.{'9' * 5000}.source", "²", "a" * 9]
)
def test_set_of_missing_section_is_refused(recipe_file: Path, key: str) -> None:
    with pytest.raises(RecipeError, match="--set|unknown key") as caught:
        recipes.load(recipe_file, [f"{key}=x"])
    assert len(str(caught.value)) < 1000


def test_paths_without_recipe_are_reported(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"{tmp_path} is a folder — give a YAML file, or one"):
        recipes.load(tmp_path)
    for odd in ["a" * 5000, "a\0b", "", "\ud83d"]:
        with pytest.raises(RecipeError, match="give a YAML file, or one of: aspects") as caught:
            recipes.load(odd)
        assert len(str(caught.value)) < 1000


def test_unreadable_file_is_reported(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read all
    with pytest.raises(RecipeError, match=f"{recipe_file} can't be read: Permission denied"):
        recipes.load(recipe_file)


def test_too_large_file_is_reported(recipe_file: Path) -> None:
    recipe_file.write_text(MINIMAL + "#" * plain_yaml.MAX_BYTES, encoding="utf-8")
    with pytest.raises(RecipeError, match="must have at most 500,000 bytes"):
        recipes.load(recipe_file)


def test_too_long_name_is_refused(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match="name must have at most 50 characters") as caught:
        recipes.load(recipe_file, [f"name={'a' * 5000}"])
    assert len(str(caught.value)) < 1000


def test_alias_is_replaced_by_its_value(recipe_file: Path) -> None:
    recipe_file.write_text(
        "name: tiny\nbase_model: user/base\ndatasets:\n"
        "- {source: a.csv, label_map: &map {n: NEGATIVE, p: POSITIVE}}\n"
        "- {source: b.csv, label_map: *map}\n",
        encoding="utf-8",
    )
    first, second = recipes.load(recipe_file).datasets
    assert first.label_map == second.label_map == {"n": "NEGATIVE", "p": "POSITIVE"}
    changed = recipes.load(recipe_file, ["datasets.1.label_map.x=null"]).datasets
    assert changed[0] == first
    assert changed[1].label_map == {"n": "NEGATIVE", "p": "POSITIVE", "x": None}


FRAGMENTS = [
    *(value[:40] for value, _ in REFUSED.values()), *TEXTS, *recipes.Recipe.model_fields, "null",
    *Dataset.model_fields, ": ", "- ", "\n", "\n  ", "[", "]", "{", "}", ", ", "'", '"',
    "&a ", "*a", "#", "|", ">", "?", "%YAML 1.1\n", "---\n", "true", "-1", "1e999", ".nan", "-.inf",
    "\t", "\0", "é", "²", "NEGATIVE", "tiny", "one.csv",
]  # fmt: skip
yaml_text = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)
fuzz = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def load_or_raise_recipe_error(read: Any, *arguments: Any) -> None:
    try:
        assert isinstance(read(*arguments), recipes.Recipe)
    except TrainError as error:
        assert str(error).strip()


@fuzz
@given(st.binary(max_size=60) | yaml_text.map(str.encode), st.booleans())
def test_any_bytes_are_a_recipe_or_a_recipe_error(
    recipe_file: Path, content: bytes, has_prefix: bool
) -> None:
    saved = recipe_file.with_name("recipe.yaml")
    for file in [recipe_file, saved]:
        file.write_bytes(MINIMAL.encode() * has_prefix + content)
    load_or_raise_recipe_error(recipes.load, recipe_file)
    load_or_raise_recipe_error(run_folder.load_recipe, saved.parent)


keys = st.sampled_from(
    [*recipes.Recipe.model_fields, *(f"datasets.{key}" for key in Dataset.model_fields)]
    + ["datasets.0", "distillation.weight", "requires.0.step"]
)


@fuzz
@given(st.lists(st.tuples(keys | st.text(max_size=5), yaml_text | st.text(max_size=8)), max_size=4))
def test_any_set_is_a_recipe_or_a_recipe_error(
    recipe_file: Path, settings_: list[tuple[str, str]]
) -> None:
    recipe_file.write_text(MINIMAL, encoding="utf-8")
    load_or_raise_recipe_error(
        recipes.load, recipe_file, [f"{key}={value}" for key, value in settings_]
    )


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@fuzz
@given(
    st.dictionaries(st.sampled_from(list(recipes.Recipe.model_fields)) | st.text(), plain),
    st.dictionaries(st.sampled_from(list(Dataset.model_fields)) | st.text(), plain),
)
def test_any_values_are_a_recipe_or_a_recipe_error(
    values: dict[str, Any], dataset: dict[str, Any]
) -> None:
    minimal = {"datasets": [{"source": "a.csv", **dataset}]}
    load_or_raise_recipe_error(recipes.parse, {"name": "t", "base_model": "b", **minimal, **values})
