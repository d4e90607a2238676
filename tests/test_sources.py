"""Sources: the same rows out of every kind of file, and a plain sentence where that fails."""

import csv
import json
from pathlib import Path

import datasets
import pytest
from conftest import toy_reviews

from train import sources
from train.errors import DataError
from train.recipe import Dataset

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
    found = sources.read(Dataset(source=str(path)))
    assert list(found) == ["train"]
    assert found["train"].to_list() == ROWS


@each_format
def test_folder_has_a_split_for_each_file(tmp_path: Path, suffix: str) -> None:
    WRITERS[suffix](tmp_path / f"train.{suffix}", ROWS[:8])
    WRITERS[suffix](tmp_path / f"test.{suffix}", ROWS[8:])
    found = sources.read(Dataset(source=str(tmp_path)))
    assert {name: split.to_list() for name, split in found.items()} == {
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
    with pytest.raises(DataError, match="no file or folder at nowhere/reviews.csv — give its path"):
        sources.read(Dataset(source="nowhere/reviews.csv"))


@pytest.mark.parametrize("source", ["./" + "a" * 5000, "~nobody-here/reviews.csv"])
def test_path_that_cannot_be_is_named_in_short(source: str) -> None:
    with pytest.raises(DataError, match="can't be read: ") as caught:
        sources.read(Dataset(source=source))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["reviews.xlsx", "reviews"], ids=["xlsx", "no-suffix"])
def test_wrong_suffix_lists_the_right_ones(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("text,label\n", encoding="utf-8")
    got = path.suffix or "no suffix"
    with pytest.raises(DataError, match=rf"must be one of .csv, .tsv, .jsonl, .parquet, got {got}"):
        sources.read(Dataset(source=str(path)))


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
    ("name", "content", "said"),
    [
        ("a.csv", "text,label\ngood,1\nbad, dull,0\n", r"row 2 \(line 3\) has 3 fields.*has 2"),
        ("a.csv", "text,label\ngood,1\nbad\n", r"row 2 \(line 3\) has 1 fields.*header has 2"),
        ("a.csv", 'text,label\n"a\nb",1\nx,y,z\n', r"row 2 \(line 4\) has 3 fields"),
        ("a.tsv", "text\tlabel\ngood\t1\t1\n", r"row 1 \(line 2\) has 3 fields"),
    ],
    ids=["too-many", "too-few", "after-a-line-break", "tsv"],
)
def test_ragged_row_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        sources.read(Dataset(source=str(tmp_path / name)))


def test_ragged_file_of_a_folder_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    (tmp_path / "test.csv").write_text("text,label,title\nonly one\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test.csv row 1 \(line 2\)"):
        sources.read(Dataset(source=str(tmp_path)))


@pytest.mark.parametrize("before", [0, 30_000], ids=["near", "far"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_byte_that_is_not_utf8_is_named_with_the_remedy(
    tmp_path: Path, suffix: str, before: int
) -> None:
    path = tmp_path / f"old.{suffix}"
    start = b"text\n" + b"plain words\n" * (before // 12)
    path.write_bytes(start + "café".encode("windows-1252") + b"\n")
    at = len(start) + 3
    with pytest.raises(DataError) as caught:
        sources.read(Dataset(source=str(path), label="text"))
    assert f"must be UTF-8, byte {at} is 0xe9" in str(caught.value)
    assert f"iconv -f WINDOWS-1252 -t UTF-8 old.{suffix} > utf8.{suffix}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", "{not json\n"), ("a.parquet", "PAR? no"), ("a.csv", "")],
    ids=["jsonl", "parquet", "empty-csv"],
)
def test_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=f"{path} can't be read: ."):
        sources.read(Dataset(source=str(path)))


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path} can't be read"):
        sources.read(Dataset(source=str(tmp_path)))


def test_hub_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between huggingface_hub's retries
    with pytest.raises(DataError) as caught:
        sources.read(Dataset(source="stanfordnlp/imdb", revision="abc"))
    said = str(caught.value)
    assert "dataset 'stanfordnlp/imdb' (revision abc) can't be loaded" in said
    assert "http://127.0.0.1:9" in said
    assert "or name a local file" in said


@pytest.mark.parametrize(
    ("source", "revision"), [("reviews.csv", None), ("user/reviews", "v1.0")], ids=["local", "pin"]
)
def test_revision_of_local_and_pinned_sources_needs_no_hub(
    source: str, revision: str | None
) -> None:
    assert sources.revision(Dataset(source=source, revision=revision)) == revision


def test_line_separators_inside_a_review_are_no_new_rows(tmp_path: Path) -> None:
    """Scraped reviews hold U+2028 and U+0085; only line feeds end a row of a CSV."""
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\none\u2028line\x85more,pos\ntwo,neg\n", encoding="utf-8")
    assert len(sources.read(Dataset(source=str(path)))["train"]) == 2
