"""Labels: names before numbers, nothing guessed in silence, and remedies that can be pasted."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from conftest import toy_reviews
from datasets import ClassLabel, Features, List, Value
from hubserver import ADMIN, run_python, running_hub

from train import plain_yaml
from train import recipe as recipes
from train.data import labels, preparation, sources
from train.errors import DataError, RecipeError
from train.recipe import Recipe
from train.sections import Dataset

BINARY = ["NEGATIVE", "POSITIVE"]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write columns of the given types as Parquet, as `datasets` does on the Hub."""

    def write(columns: dict[str, list[Any]], name: str = "data.parquet", **types: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        count = len(next(iter(columns.values())))
        columns = {"text": [f"review {i}" for i in range(count)], **columns}
        features = Features({key: types.get(key, Value("string")) for key in columns})
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
        return path

    return write


def recipe_for(source: Path, label_map: Any = None, names: Any = None, **changes: Any) -> Recipe:
    dataset = {"source": str(source), "label_map": label_map, **changes}
    values = {"name": "t", "base_model": "none", "labels": names or BINARY, "datasets": [dataset]}
    return recipes.parse(values)


def numbers_of(source: Path, *arguments: Any, **changes: Any) -> list[int]:
    recipe = recipe_for(source, *arguments, **changes)
    return preparation.read_split(recipe.datasets[0], "train", recipe.labels).labels


IMDB_MAP = {0: "NEGATIVE", 1: "POSITIVE", "neg": "NEGATIVE", "pos": "POSITIVE"}


@pytest.mark.parametrize(
    ("classes", "label_map"),
    [
        (["pos", "neg"], None),
        (["pos", "neg"], IMDB_MAP),
        (["POSITIVE", "NEGATIVE"], None),
        (["Positive", "Negative"], None),
        (["True", "False"], None),
        (["1", "0"], None),
        (["good", "bad"], {"bad": "NEGATIVE", "good": "POSITIVE"}),
        (["good", "bad"], {"Bad": "NEGATIVE", "GOOD": "POSITIVE"}),
        (["good", "bad"], {0: "POSITIVE", 1: "NEGATIVE"}),
        (["pos", "neg"], {0: "POSITIVE", 1: "NEGATIVE"}),
        (["5", "1"], {1: "NEGATIVE", 5: "POSITIVE"}),
    ],
)
def test_class_is_read_by_its_name(write: Write, classes: list[str], label_map: Any) -> None:
    path = write({"label": [0, 1, 1]}, label=ClassLabel(names=classes))
    assert numbers_of(path, label_map) == [1, 0, 0]


def test_classes_of_three_are_read_by_their_names(write: Write) -> None:
    path = write({"label": [0, 1, 2]}, label=ClassLabel(names=["neg", "neu", "pos"]))
    assert numbers_of(path, {"neg": "NEGATIVE", "neu": None, "pos": "POSITIVE"}) == [0, 1]
    assert numbers_of(path, names=["POSITIVE", "NEUTRAL", "NEGATIVE"]) == [2, 1, 0]
    for label_map in [None, IMDB_MAP]:
        with pytest.raises(DataError) as caught:
            numbers_of(path, label_map)
        assert "got ['neu'] in row 2, its classes are ['neg', 'neu', 'pos']" in str(caught.value)
        label_map = pasted(caught.value)["label_map"]
        assert label_map.items() >= {"neg": "NEGATIVE", "neu": None, "pos": "POSITIVE"}.items()
        assert numbers_of(path, label_map) == [0, 1]


def test_class_numbers_that_contradict_the_names_are_refused(write: Write) -> None:
    path = write({"label": [0, 1]}, label=ClassLabel(names=["pos", "neg"]))
    with pytest.raises(DataError) as caught:
        numbers_of(path, {0: "NEGATIVE", 1: "POSITIVE"})
    assert "has the classes ['pos', 'neg'], and label_map makes class 0, 'pos', NEGATIVE" in str(
        caught.value
    )
    assert pasted(caught.value)["label_map"] == {"pos": "POSITIVE", "neg": "NEGATIVE"}


def test_unknown_class_lists_all_classes(write: Write) -> None:
    path = write({"label": [0, 1]}, label=ClassLabel(names=["A", "B b"]))
    with pytest.raises(DataError) as caught:
        numbers_of(path)
    assert "got ['A', 'B b'] in rows 1, 2, its classes are ['A', 'B b']" in str(caught.value)
    assert str(caught.value).endswith(
        "what ['A', 'B b'] mean is not known: give each one label, or null, in --set "
        "'datasets.label_map={A: NEGATIVE or POSITIVE, B b: NEGATIVE or POSITIVE}' (null leaves "
        "rows out)"
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["neg", "pos"], "string"),
        (["Neg", "POS"], "large_string"),
        (["negative", "Positive"], "string"),
        (["False", "True"], "string"),
        (["false", "TRUE"], "string"),
        ([False, True], "bool"),
        ([0, 1], "int8"),
        (["0", "1.0"], "string"),
        ([0.0, 1.0], "float32"),
    ],
)
def test_obvious_values_need_no_map(write: Write, values: list[Any], kind: str) -> None:
    assert numbers_of(write({"label": values}, label=Value(kind))) == [0, 1]


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (["POSITIVE", "NEGATIVE"], [0, 1]),
        (["POSITIVE", "NEUTRAL", "NEGATIVE"], [0, 1, 2]),
        (["1 star", "2 stars", "3 stars"], [0, 1, 2]),
        (["1", "2", "3"], [0, 1, 2]),
        (["A", "B", "C"], [False, True]),
    ],
)
def test_ambiguous_numbers_are_refused(write: Write, names: list[str], values: list[Any]) -> None:
    kind = "bool" if isinstance(values[0], bool) else "int64"
    with pytest.raises(DataError, match="(for example:|or null, in) --set 'datasets.label_map="):
        numbers_of(write({"label": values}, label=Value(kind)), None, names)


@pytest.mark.parametrize(
    ("values", "proposed"),
    [
        ([1, 2], {"1": "NEGATIVE", "2": "POSITIVE"}),
        ([1, 2, 3, 4, 5], {"1": "NEGATIVE", "2": "NEGATIVE", "3": None} | dict.fromkeys("45", "P")),
        ([-1, 0, 1], {"-1": None, "0": "NEGATIVE", "1": "POSITIVE"}),
        ([-1, 1], {"-1": "NEGATIVE", "1": "POSITIVE"}),
        (["neg", "meh", "pos"], {"neg": "NEGATIVE", "meh": None, "pos": "POSITIVE"}),
        (["neg", None, "pos"], {"": None, "neg": "NEGATIVE", "pos": "POSITIVE"}),
    ],
)
def test_proposed_map_can_be_pasted_and_calls_nothing_by_a_wrong_name(
    write: Write, values: list[Any], proposed: dict[str, Any]
) -> None:
    proposed = {k: "POSITIVE" if v == "P" else v for k, v in proposed.items()}
    path = write(
        {"label": values}, label=Value("string" if isinstance(values[0], str) else "int64")
    )
    with pytest.raises(DataError) as caught:
        numbers_of(path)
    label_map = pasted(caught.value)["label_map"]
    assert label_map == proposed
    assert numbers_of(path, label_map) == [BINARY.index(n) for n in proposed.values() if n]


def test_proposed_map_keeps_what_was_mapped(write: Write) -> None:
    path = write({"label": ["bad", "so", "good"]})
    with pytest.raises(DataError) as caught:
        numbers_of(path, {"bad": {"NEGATIVE": 0.9}, "good": "POSITIVE"})
    label_map = pasted(caught.value)["label_map"]
    assert label_map == {"bad": {"NEGATIVE": 0.9}, "good": "POSITIVE", "so": None}


EITHER = "NEGATIVE or POSITIVE"


@pytest.mark.parametrize(
    ("values", "unknown", "proposed"),
    [
        (["-1", "0"], ["-1", "0"], {"-1": EITHER, "0": EITHER}),
        (["yes", "no"], ["no", "yes"], {"no": EITHER, "yes": EITHER}),
        (["yes", "no", ""], ["no", "yes"], {"": None, "no": EITHER, "yes": EITHER}),
        (["neg", "meh"], ["meh"], {"meh": EITHER, "neg": "NEGATIVE"}),
        (["7"], ["7"], {"7": EITHER}),
        (
            ["a: b", "it's", "null"],
            ["a: b", "it's", "null"],
            {"a: b": EITHER} | dict.fromkeys(["it's", "null"], EITHER),
        ),
    ],
)
def test_user_must_choose_labels_of_unknown_values(
    write: Write, values: list[str], unknown: list[str], proposed: dict[str, Any]
) -> None:
    path = write({"label": values})
    with pytest.raises(DataError) as caught:
        numbers_of(path)
    assert f"what {unknown} mean is not known: give each one label, or null" in str(caught.value)
    label_map = pasted(caught.value, labels=[*BINARY, EITHER])["label_map"]
    assert label_map == proposed
    with pytest.raises(DataError, match="label_map must lead to one of .* got .'NEGATIVE or POS"):
        labels.read(
            sources.read(Dataset(source=str(path)))["train"],
            Dataset(source="x", label_map=label_map), BINARY, values, "x", "datasets", "",
        )  # fmt: skip
    chosen = {
        key: value.partition(" or ")[0] if value else None for key, value in label_map.items()
    }
    assert len(numbers_of(path, chosen)) == len([value for value in values if value])


def test_remedy_of_a_mixture_names_its_dataset(write: Write) -> None:
    first = write({"label": ["neg", "pos"] * 20})
    other = write({"label": ["x", "y"] * 20}, "other.parquet")
    values: dict[str, Any] = {"name": "t", "base_model": "none"}
    values["datasets"] = [{"source": str(path)} for path in [first, other]]
    with pytest.raises(DataError, match="--set 'datasets.1.label_map="):
        preparation.load(recipes.parse(values))


def test_column_of_many_values_asks_for_the_label_column(write: Write) -> None:
    with pytest.raises(DataError, match="there are 30 different values; if it isn't the column"):
        numbers_of(write({"label": [f"id {i}" for i in range(30)]}))


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        (List(Value("string")), ["pos"], "list"),
        ({"name": Value("string")}, {"name": "pos"}, "struct"),
        (List(ClassLabel(names=["neg", "pos"])), [1], "list"),
        (Value("binary"), b"pos", "binary"),
        (Value("timestamp[ms]"), 0, r"timestamp\[ms\]"),
    ],
)
@pytest.mark.parametrize("column", ["text", "label", "aspect"])
def test_column_of_another_type_is_refused(
    write: Write, column: str, kind: Any, value: Any, name: str
) -> None:
    columns: dict[str, list[Any]] = {"label": ["pos"], "aspect": ["plot"], column: [value]}
    path = write(columns, **{column: kind})
    rule = "one label a row, a text or a number" if column == "label" else "text"
    with pytest.raises(DataError, match=rf"'{column}' must hold {rule}, got the type {name} — "):
        numbers_of(path, text_pair="aspect")


@pytest.mark.parametrize(("cell", "name"), [(["a"], "list"), ({"a": 1}, "dict"), (7, "int")])
def test_json_whose_texts_are_sometimes_something_else_is_refused(
    tmp_path: Path, cell: Any, name: str
) -> None:
    rows = [{"text": row["text"], "label": row["label"]} for row in toy_reviews(20)]
    rows[12]["text"] = cell
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(
        DataError, match=f"row 13: column 'text' must hold text, got the type {name}"
    ):
        numbers_of(path)


def test_a_missing_column_is_named_with_its_own_key(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,pos\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column 'film'") as caught:
        numbers_of(path, group="film")
    message = "--set datasets.group=…, or use none with --set datasets.group=null"
    assert message in str(caught.value)


def test_numbers_are_no_texts(write: Write) -> None:
    path = write({"text": [1.5], "label": ["pos"]}, text=Value("float64"))
    with pytest.raises(DataError, match="must hold text, got the type float64 — name the column"):
        numbers_of(path)


def test_null_words_are_texts_and_empty_cells_are_missing(write: Write) -> None:
    words = ["None", "nan", "NULL", "NA"]
    path = write({"text": words, "label": words})
    label_map = {word: "POSITIVE" for word in words} | {None: None}
    split = preparation.read_split(recipe_for(path, label_map).datasets[0], "train", BINARY)
    assert (split.texts, split.labels) == (words, [1] * 4)
    path = write({"label": ["None", None, "pos"]})
    label_map = {"None": "NEGATIVE", "pos": "POSITIVE"}
    with pytest.raises(DataError, match=r"got \['an empty cell'\] in row 2"):
        numbers_of(path, label_map)
    assert numbers_of(path, label_map | {None: None}) == [0, 1]
    path = write({"label": [0.0, float("nan"), 1.0]}, label=Value("float64"))
    assert numbers_of(path, {0: "NEGATIVE", 1: "POSITIVE", None: None}) == [0, 1]


def test_split_without_labels_says_what_to_set(write: Write) -> None:
    kind = ClassLabel(names=["neg", "pos"])
    rows = {"label": [i % 2 for i in range(60)]}
    folder = write(rows, "data/train.parquet", label=kind).parent
    write({"label": [-1, -1], "text": ["u", "v"]}, "data/test.parquet", label=kind)
    with pytest.raises(DataError) as caught:
        preparation.load(recipe_for(folder))
    assert "split 'test': column 'label' has no labels (each is -1 or empty) — test on" in str(
        caught.value
    )
    for part in [
        "--set datasets.test=validation",
        "--set datasets.test=train",
        "--set 'datasets.splits=[train, validation]'",
    ]:
        assert part in str(caught.value)
    splits = preparation.load(recipe_for(folder, test="train"))
    assert [len(split) for split in splits.values()] == [48, 6, 6]
    without = preparation.load(recipe_for(folder, splits=["train", "validation"]))
    assert [len(split) for split in without.values()] == [54, 6, 0]
    with pytest.raises(DataError, match="has no labels .* — name a split that has .* --split"):
        preparation.read_split(recipe_for(folder).datasets[0], "test", BINARY)
    write({"label": [None, None], "text": ["u", "v"]}, "data/validation.parquet", label=kind)
    with pytest.raises(DataError, match=r"'validation': .* --set datasets.validation=…, or the tr"):
        preparation.load(recipe_for(folder, test="train"))
    with pytest.raises(DataError, match=r"'test': .* — name a split .* --set datasets.train=…"):
        preparation.load(recipe_for(folder, train="test"))


def test_testing_on_validation_splits_off_another_validation(write: Write) -> None:
    folder = write({"label": ["neg", "pos"] * 30}, "data/train.parquet").parent
    write({"label": ["neg", "pos"], "text": ["u", "v"]}, "data/validation.parquet")
    write({"label": ["?"], "text": ["w"]}, "data/test.parquet")
    splits = preparation.load(recipe_for(folder, test="validation"))
    assert splits["test"].texts == ["u", "v"]
    assert [len(splits[name]) for name in ["train", "validation"]] == [54, 6]
    with pytest.raises(RecipeError, match="must be different splits, got 'validation' for both"):
        recipe_for(folder, test="validation", validation="validation")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_column_that_another_split_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    texts = [row["text"] for row in toy_reviews(40)]
    rows = datasets.Dataset.from_dict({"text": texts, "label": ["neg", "pos"] * 20})
    splits = {"train": rows, split: rows.remove_columns("label")}
    monkeypatch.setattr(sources, "read", lambda source: splits)
    with pytest.raises(DataError, match="x split '.*' has no column 'label' — it has: text"):
        preparation.load(recipe_for(Path("x")))


def test_how_labels_were_read_is_printed_with_three_rows(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["A\x1b[31m red\nfilm " + "x" * 300, "fine", "so", "dull"]
    kind = ClassLabel(names=["pos", "neu", "neg"])
    path = write({"text": texts, "label": [0, 0, 1, 2]}, label=kind)
    numbers_of(path, {"pos": "POSITIVE", "neu": None, "neg": {"NEGATIVE": 0.9}})
    first, *examples = capsys.readouterr().out.splitlines()
    assert first == (
        f"{path} split 'train': column 'label' is read as: pos → POSITIVE in 2 rows, "
        "neu → left out in 1 rows, neg → NEGATIVE (0.9) in 1 rows"
    )
    assert [e.split(":")[0] for e in examples] == [
        "  row 1, pos → POSITIVE",
        "  row 3, neu → left out",
        "  row 4, neg → NEGATIVE (0.9)",
    ]
    assert examples[0].startswith("  row 1, pos → POSITIVE: A [31m red film xxx")
    assert examples[1].endswith(": so")


READ = """
import sys
from train import recipe; from train.data import preparation as reviews
from train.errors import DataError
for arguments in sys.argv[1:]:
    try:
        splits = reviews.load(recipe.load("quickstart", arguments.split(";")))
        print("read", {name: sorted(set(zip(s.texts, s.labels)))[:6] for name, s in splits.items()})
    except DataError as error:
        print("error", error)
"""


def test_labels_of_hub_datasets(write: Write, tmp_path: Path) -> None:
    """A flipped ClassLabel, GLUE's test, words for nothing in a CSV, and damaged Parquet."""
    from huggingface_hub import HfApi

    kind = ClassLabel(names=["pos", "neg"])
    texts = [row["text"] for row in toy_reviews(60)]  # of which the first is bad
    train = {"text": texts, "label": [1, 0] * 30}
    folder = write(train, "flipped/train.parquet", label=kind).parent
    write(
        {"text": ["dreadful", "great"], "label": [1, 0]}, "flipped/validation.parquet", label=kind
    )
    write({"text": ["u"], "label": [-1]}, "flipped/test.parquet", label=kind)
    words = tmp_path / "words"
    words.mkdir()
    rows = [f"{text},{'nan' if i % 2 else 'None'}" for i, text in enumerate(["NULL", *texts])]
    (words / "train.csv").write_text("text,label\n" + "\n".join(rows).replace(", ", " "))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "train.parquet").write_bytes((folder / "train.parquet").read_bytes()[:-40])
    with running_hub() as hub:
        api = HfApi(endpoint=hub.endpoint, token=ADMIN)
        for path in [folder, words, broken]:
            api.create_repo(f"demo/{path.name}", repo_type="dataset")
            api.upload_folder(repo_id=f"demo/{path.name}", folder_path=path, repo_type="dataset")
        plain = "datasets.label=label;datasets.group=null;datasets.label_map="
        called = run_python(
            READ,
            hub.env(tmp_path / "home"),
            f"datasets.source=demo/flipped;{plain}null",
            f"datasets.source=demo/flipped;{plain}null;datasets.test=validation",
            f"datasets.source=demo/words;{plain}{{None: NEGATIVE, nan: POSITIVE}}",
            f"datasets.source=demo/broken;{plain}null",
        )
    lines = [line for line in called.stdout.splitlines() if line.startswith(("read", "error"))]
    assert "column 'label' has no labels (each is -1 or empty) — test on the" in lines[0]
    assert lines[1].endswith("'test': [('dreadful', 0), ('great', 1)]}")
    assert "('NULL', 0)" in lines[2]
    assert lines[3].startswith(
        "error dataset 'demo/broken' (revision main) can't be loaded: Parquet"
    )
    assert "neg → NEGATIVE in 30 rows" in called.stdout


def pasted(error: DataError, **changes: Any) -> dict[str, Any]:
    """What the dataset of a recipe is after the `--set` of a message was pasted."""
    words = shlex.split(str(error).partition(" — ")[2])
    raw: dict[str, Any] = {"datasets": [{"source": "a"}]}
    plain_yaml.override(raw, words[words.index("--set") + 1])
    recipe = recipes.parse({"name": "t", "base_model": "b", **raw, **changes})
    return json.loads(json.dumps(recipe.datasets[0].model_dump()))
