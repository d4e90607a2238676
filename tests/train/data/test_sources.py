"""Sources: the same rows out of every kind of file, and a plain sentence where that fails."""

import csv
import gzip
import json
import os
from pathlib import Path

import datasets
import pyarrow
import pytest
import xlsxwriter
from conftest import toy_reviews
from pyarrow import parquet

from train import recipe
from train.data import preparation, sources
from train.errors import DataError
from train.pipeline import plan
from train.sections import Dataset, Source

ROWS = toy_reviews(12)


def write_csv(path: Path, rows: list[dict], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_tsv(path: Path, rows: list[dict]) -> Path:
    return write_csv(path, rows, delimiter="\t")


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict]) -> Path:
    datasets.Dataset.from_list(rows).to_parquet(path)
    return path


WRITERS = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
each_format = pytest.mark.parametrize("suffix", WRITERS)


@each_format
def test_file_is_one_split_called_train(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"reviews.{suffix}", ROWS)
    splits = sources.read(Dataset(source=str(path)))
    assert list(splits) == ["train"]
    assert splits["train"].to_list() == ROWS


@each_format
def test_folder_has_a_split_for_each_file(tmp_path: Path, suffix: str) -> None:
    WRITERS[suffix](tmp_path / f"train.{suffix}", ROWS[:8])
    WRITERS[suffix](tmp_path / f"test.{suffix}", ROWS[8:])
    splits = sources.read(Dataset(source=str(tmp_path)))
    assert {name: split.to_list() for name, split in splits.items()} == {
        "train": ROWS[:8],
        "test": ROWS[8:],
    }


def test_csv_keeps_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    texts = ["a, b", 'she said "no"', "one\ntwo", "naïve — café 🎬"]
    path = write_csv(tmp_path / "odd.csv", [{"text": text, "label": 1} for text in texts])
    assert sources.read(Dataset(source=str(path)))["train"]["text"][:] == texts


def test_csv_of_a_spreadsheet_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_text("text,label\ngood,1\n", encoding="utf-8-sig")
    assert sources.read(Dataset(source=str(path)))["train"].column_names == ["text", "label"]


def test_missing_file_is_named() -> None:
    with pytest.raises(DataError, match="no file or folder at nowhere/reviews.csv — give "):
        sources.read(Dataset(source="nowhere/reviews.csv"))


@pytest.mark.parametrize("name", [path.stem for path in sorted(recipe.RECIPES.glob("*.yaml"))])
def test_missing_folder_of_a_recipe_has_a_remedy(name: str) -> None:
    """A folder that no step writes, and that is not in the repository, is the user's to get."""
    *steps, run = plan.plan(name)
    written = {path for step in steps for path in (step.out, step.out.parent)}
    assert run.recipe
    for dataset in run.recipe.datasets:
        path = Path(dataset.source)
        if dataset.is_local and path not in written and path != Path("train/samples"):
            missing = Dataset(source=f"./nowhere/{path.name}")
            with pytest.raises(DataError, match="at nowhere/.* — (download|convert) .* nowhere/"):
                sources.check_exists(missing)


def test_remedy_for_the_ratings_of_imdb_is_a_command() -> None:
    with pytest.raises(DataError) as caught:
        sources.check_exists(Dataset(source="./nowhere/imdb-ratings"))
    command = "python -m train data imdb-archive aclImdb_v1.tar.gz --out nowhere/imdb-ratings"
    assert f"`{command}`" in str(caught.value)


@pytest.mark.parametrize("source", ["./" + "a" * 5000, "~nobody-here/reviews.csv"])
def test_message_about_an_impossible_path_is_short(source: str) -> None:
    with pytest.raises(DataError, match="can't be read: |no file or folder at ") as caught:
        sources.read(Dataset(source=source))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["IN.CSV", "a.csv.gz", "reviews", "a.parquet"])
def test_content_determines_the_format(tmp_path: Path, name: str) -> None:
    content = b"text;label\ngood, truly;1\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    rows = sources.read(Dataset(source=str(path)))["train"].to_list()
    assert rows == [{"text": "good, truly", "label": "1"}]


@pytest.mark.parametrize("suffix", ["json", "ndjson", "JSONL"])
def test_json_has_several_suffixes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text(json.dumps(ROWS) if suffix == "json" else "\n".join(map(json.dumps, ROWS)))
    assert sources.read(Dataset(source=str(path)))["train"].to_list() == ROWS


def test_reads_a_workbook_as_it_reads_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([["text", "label"], ["Café", 1], ["", 0]]):
            sheet.write_row(number, 0, row)
    found = sources.read(Dataset(source=str(path)))["train"].to_list()
    assert found == [{"text": "Café", "label": "1"}, {"text": None, "label": "0"}]
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="is a broken ZIP archive"):
        sources.read(Dataset(source=str(path)))


def test_cells_of_csv_are_texts_and_empty_ones_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label,n\nnan,1.50,007\nNone,,NULL\n,NA,1\n", encoding="utf-8")
    assert sources.read(Dataset(source=str(path)))["train"].to_list() == [
        {"text": "nan", "label": "1.50", "n": "007"},
        {"text": "None", "label": None, "n": "NULL"},
        {"text": None, "label": "NA", "n": "1"},
    ]


def test_json_columns_of_mixed_types_keep_their_values(tmp_path: Path) -> None:
    rows: list[dict] = [
        {"text": "a", "n": 1, "mixed": 1, "big": 1, "whole": 2**53 + 1, "deep": [1], "empty": {}},
        *[{"text": "b", "n": 2.5, "mixed": "x", "big": 2**70, "flag": True} for _ in range(1500)],
        {"text": "half \ud83d", "whole": 0.5, "mixed": None, "deep": [{"a": "b"}], "flag": 1},
    ]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    split = sources.read(Dataset(source=str(path), label="n"))["train"]
    first, second, last = split[0], split[1], split[1501]
    assert first["n"] == 1 and second["n"] == 2.5
    assert (first["mixed"], second["mixed"], last["mixed"]) == ("1", "x", None)
    assert (first["big"], second["big"]) == ("1", str(2**70))
    assert (first["whole"], last["whole"]) == (str(2**53 + 1), "0.5")
    assert (first["deep"], last["deep"]) == ("[1]", '[{"a": "b"}]')
    assert (second["flag"], last["flag"]) == ("True", "1")
    assert (first["empty"], last["text"]) == ("{}", "half ?")


def test_class_names_and_types_of_parquet_stay(tmp_path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])}
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    rows.to_parquet(tmp_path / "a.parquet")
    assert sources.read(Dataset(source=str(tmp_path / "a.parquet")))["train"].features == features
    category = pyarrow.table({"text": ["a"], "label": pyarrow.array(["x"]).dictionary_encode()})
    parquet.write_table(category, tmp_path / "b.parquet")
    categories = sources.read(Dataset(source=str(tmp_path / "b.parquet")))["train"]
    assert categories.to_list() == [{"text": "a", "label": "x"}]


def test_readme_of_a_folder_declares_files_and_classes(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for number in (1, 2):
        write_csv(tmp_path / f"parts/{number}.csv", [{"text": f"t{number}", "label": number - 1}])
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n"
        "    path: parts/*.csv\ndataset_info:\n  features:\n  - name: text\n    dtype: string\n"
        "  - name: label\n    dtype:\n      class_label:\n        names:\n          '0': pos\n"
        "          '1': neg\n---\n",
        encoding="utf-8",
    )
    rows = sources.read(Dataset(source=str(tmp_path)))["train"]
    assert rows.to_list() == [{"text": "t1", "label": 0}, {"text": "t2", "label": 1}]
    assert rows.features["label"].names == ["pos", "neg"]


@pytest.mark.parametrize("key", ["text", "label", "text_pair", "group"])
def test_missing_column_lists_those_there_are(toy_csv: Path, key: str) -> None:
    with pytest.raises(
        DataError, match="no column 'nope' — it has: text, label, title; name yours"
    ):
        sources.read(Dataset.model_validate({"source": str(toy_csv), key: "nope"}))


@pytest.mark.parametrize("key", ["train", "validation", "test"])
def test_missing_split_lists_those_there_are(toy_csv: Path, key: str) -> None:
    with pytest.raises(DataError, match="has no split 'nope' — it has: train"):
        sources.read(Dataset.model_validate({"source": str(toy_csv), key: "nope"}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,label\ngood,1\nbad, dull,0\n",
            "a.csv, line 3: the row has 3 cells, .* 2 columns.* row 2 of",
        ),
        (
            "a.csv",
            "text,label\ngood,1\nbad\n",
            "a.csv, line 3: the row has 1 cell, .* 2 columns.* row 2 of",
        ),
        ("a.csv", 'text,label\n"a\nb",1\nx,y,z\n', "a.csv, line 4: the row has 3 cells.* row 2 of"),
        (
            "a.tsv",
            "text\tlabel\ngood\t1\t1\n",
            "a.tsv, line 2: the row has 3 cells.* separated by tabs.* row 1 of",
        ),
    ],
    ids=["too-many", "too-few", "after-a-line-break", "tsv"],
)
def test_ragged_row_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        sources.read(Dataset(source=str(tmp_path / name)))


def test_ragged_file_of_a_folder_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    (tmp_path / "test.csv").write_text("text,label,title\nonly one\n", encoding="utf-8")
    with pytest.raises(DataError, match="test.csv, line 2: the row has 1 cell,"):
        sources.read(Dataset(source=str(tmp_path)))


@pytest.mark.parametrize("before", [0, 30_000], ids=["near", "far"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_byte_of_an_unknown_encoding_is_named_with_the_remedy(
    tmp_path: Path, suffix: str, before: int
) -> None:
    path = tmp_path / f"old.{suffix}"
    start = b"text\n" + b"plain words\n" * (before // 12)
    path.write_bytes(start + "Хороший фильм".encode("windows-1251") + b"\n")
    line = start.count(b"\n") + 1
    with pytest.raises(DataError, match=f"not in UTF-8: line {line:,} has the byte 0xD5. Save it"):
        sources.read(Dataset(source=str(path), label="text"))


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16", "utf-16-le"])
def test_other_encodings_are_read_and_reported(
    tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    review = "It’s a cliché, but the café scenes – all of them – are “naïve” in the best sense."
    path.write_bytes(f"text;label\r\n{review};pos\r\n".encode(encoding))
    rows = sources.read(Dataset(source=str(path)))["train"].to_list()
    assert rows == [{"text": review, "label": "pos"}]
    output = capsys.readouterr().out
    assert ("is read as Windows-1252" in output) == (encoding == "windows-1252")


@pytest.mark.parametrize(
    "text",
    ["Café", "Größe", "cliché", "¿Qué?", "Äußerst gut", "schöner Film", "Señor", "“fine”", "où"],
)
def test_short_text_in_windows_1252_is_read_and_reported(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"text\n{text}\n".encode("cp1252"))
    assert sources.read(Dataset(source=str(path), label="text"))["train"]["text"][:] == [text]
    assert capsys.readouterr().out.count(f"{path} is read as Windows-1252: it is not in UTF-8") == 1


@pytest.mark.parametrize(
    ("encoding", "texts"),
    [
        ("cp1250", ["Skvělý film", "Świetny film", "łódź", "příšera", "Český"]),
        ("cp1251", ["Хороший фильм", "Я", "Да", "ё"]),
        ("cp1253", ["καλή ταινία", "και"]),
        ("cp1254", ["değil", "şahane", "ağaç", "yağmur"]),
        ("cp1255", ["סרט טוב"]),
        ("cp1256", ["فيلم جيد"]),
        ("cp1257", ["šis", "šuo", "ąžuolas"]),
        ("koi8_r", ["Хороший фильм"]),
        ("cp866", ["Хороший фильм"]),
        ("mac_roman", ["Café", "naïve", "It’s fine", "schöner", "“fine”", "Fête"]),
        ("cp850", ["Café", "naïve", "schöner Film"]),
        ("gbk", ["好电影", "很好"]),
        ("big5", ["好電影"]),
        ("shift_jis", ["いい映画", "映画"]),
        ("euc_jp", ["いい映画"]),
        ("euc_kr", ["좋은 영화"]),
    ],
)
def test_a_short_text_in_another_encoding_is_refused(
    tmp_path: Path, encoding: str, texts: list[str]
) -> None:
    path = tmp_path / "a.csv"
    for text in texts:
        path.write_bytes(f"text\n{text}\n".encode(encoding))
        with pytest.raises(DataError, match=f"{path} is not in UTF-8: line 2 has the byte"):
            sources.read(Dataset(source=str(path), label="text"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "{not json\n", "a.jsonl, line 1 is broken JSON"),
        ("a.parquet", "PAR? n\0", "a.parquet is a broken Parquet file: it doesn't begin with"),
        ("a.parquet", "PAR1 no", "a.parquet is a broken Parquet file"),
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", 'text,label\n1,"He said wow\n2,fine\n', "line 2: a quote opens in this row"),
        ("a.csv", "text,text\na,b\n", "more than one column named 'text'"),
        ("a.jsonl", '{"text": 1}\n["a"]\n', "line 2: a row must be an object"),
        ("a.jsonl", '{"text": 1, "text": 2}\n', "more than one key of the name 'text'"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        sources.read(Dataset(source=str(path)))


NO_ROWS = {
    "a.csv": "text,label\n",
    "a.tsv": "text\tlabel",
    "a.jsonl": " [ ] ",
    "a.json": "[]",
}


@pytest.mark.parametrize("name", NO_ROWS)
def test_file_without_rows_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_text(NO_ROWS[name], encoding="utf-8")
    dataset = Dataset(source=str(path))
    raw = {"name": "t", "base_model": "none", "datasets": [dataset.model_dump()]}
    for read in [
        lambda: preparation.load(recipe.parse(raw)),
        lambda: preparation.read_split(dataset, "train", ["NEGATIVE", "POSITIVE"]),
    ]:
        with pytest.raises(DataError, match=f"{name} split 'train' has no rows — "):
            read()
    assert "is read as" not in capsys.readouterr().out


def test_empty_validation_split_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    (tmp_path / "validation.csv").write_text("text,label,title\n", encoding="utf-8")
    dataset = {"source": str(tmp_path), "splits": ["train", "validation"]}
    raw = {"name": "t", "base_model": "none", "datasets": [dataset]}
    with pytest.raises(DataError, match="split 'validation' has no rows"):
        preparation.load(recipe.parse(raw))


def test_evaluation_needs_labeled_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS)
    dataset = Dataset(source=str(path), label_map={"neg": None, "pos": None})
    with pytest.raises(DataError, match="no review is left in .*: 12 mapped to null. — name"):
        preparation.read_split(dataset, "train", ["NEGATIVE", "POSITIVE"])


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("form", ["lines", "list", "surrogates"])
def test_number_of_too_many_digits_is_named_with_its_row(
    tmp_path: Path, form: str, deep: bool
) -> None:
    number = "-" + "9" * 5000
    cell = f'[{{"x": {number}}}]' if deep else number
    last = f'{{"text": "b", "n": {cell}}}'
    rows = ['{"text": "a \\ud83d"}' if form == "surrogates" else '{"text": "a"}', last]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(rows) if form == "lines" else f"[{','.join(rows)}]")
    where = "line 2" if form == "lines" else "entry 2"
    with pytest.raises(DataError) as caught:
        sources.read(Dataset(source=str(path)))
    assert str(caught.value) == (
        f"{path}, {where}: a whole number has more than 4,300 digits. Put quotes around it, so "
        "that it is read as text."
    )
    path.write_text(f'{{"text": "a", "label": "pos", "n": {number[:4301]}}}')
    assert sources.read(Dataset(source=str(path)))["train"]["n"][0] == number[:4301]


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for source in ("/dev/null", f"{tmp_path}/pipe.csv"):
        with pytest.raises(DataError, match="is not a regular file, but a folder, pipe or device"):
            sources.read(Dataset(source=source))


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path} holds no table: looked for"):
        sources.read(Dataset(source=str(tmp_path)))


def test_folder_without_tables_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.json", "results.json", "onnx/settings.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"a": 1}, indent=2))
    (tmp_path / "model.safetensors").write_bytes(b"0")
    with pytest.raises(DataError, match="holds no table: looked for files that end in .csv, .tsv"):
        sources.read(Dataset(source=str(tmp_path)))
    write_csv(tmp_path / "train.csv", ROWS)
    assert sources.read(Dataset(source=str(tmp_path)))["train"].to_list() == ROWS
    monkeypatch.setattr(sources, "MAX_FILES", 5)
    with pytest.raises(DataError, match="holds more than 5 files and folders, too many to search"):
        sources.read(Dataset(source=str(tmp_path)))


def test_unicode_line_separators_do_not_end_rows(tmp_path: Path) -> None:
    """Scraped reviews hold U+2028 and U+0085; only line feeds end a row of a CSV."""
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\none\u2028line\x85more,pos\ntwo,neg\n", encoding="utf-8")
    assert len(sources.read(Dataset(source=str(path)))["train"]) == 2


def test_texts_of_another_type_are_an_error(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "corpus.jsonl", [{"text": ["a", "b"]}])
    with pytest.raises(DataError, match="'text' must hold text, got the type list"):
        sources.texts(Source(source=str(path)), "train", "text")


def test_missing_split_and_column_of_texts_are_named(tmp_path: Path) -> None:
    corpus = Source(source=str(write_jsonl(tmp_path / "corpus.jsonl", [{"text": "a"}])))
    with pytest.raises(DataError, match=r"no split 'unsupervised' — it has: train"):
        sources.texts(corpus, "unsupervised", "text")
    with pytest.raises(DataError, match=r"no column 'body' — it has: text"):
        sources.texts(corpus, "train", "body")
