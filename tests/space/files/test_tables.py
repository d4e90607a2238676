"""Uploaded files: valid and damaged files of each kind are read and written back."""

import csv
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
from conftest import REPOSITORY, sample_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from space.files import InvalidFile, downloads, tables
from space.files.columns import Columns
from space.files.dates import parse_dates
from space.inference.classifier import Prediction

ROWS = [
    ("The harbour scenes alone are worth the ticket.", 1, "The Long Harbour"),
    ('He calls it "slow", and so it is; blame the cut.', 0, "Salt"),
    ("Two lines:\nand a comma, a tab\t, a bar | and a semicolon;", 1, "Salt"),
]

RUSSIAN = "text\nfine\nОчень хороший фильм\n"
CUT_OFF = gzip.compress(b"text\nfine" * 99, mtime=0)[:-9]


def read(folder: Path, name: str, content: bytes | str) -> tables.Table:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tables.read(path)


def refusal(folder: Path, name: str, content: bytes | str) -> str:
    with pytest.raises(InvalidFile) as caught:
        read(folder, name, content)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_detects_separator_and_encoding(
    tmp_path: Path, separator: str, encoding: str, quoting: Any
) -> None:
    path = tmp_path / "reviews.csv"
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=separator, quoting=quoting)
        writer.writerows([("text", "label", "film"), *ROWS])
    table = tables.read(path)
    assert list(table.frame.itertuples(index=False, name=None)) == ROWS
    assert table.columns == Columns("text", title="film", label="label")
    assert table.name == "reviews.csv"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
def test_detects_encodings_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    texts = ["A naïve, touching film – “fine”, says Zoë.", "Ein schöner Film, äußerst gut."]
    content = "".join(f'{i};"{text}"\r\n' for i, text in enumerate(["text", *texts]))
    frame = read(tmp_path, "a.csv", content.encode(encoding)).frame
    assert frame["text"].tolist() == texts


def test_reads_excels_separator_line(tmp_path: Path) -> None:
    for line in ["sep=;", '"sep=;"', "SEP=;"]:
        frame = read(tmp_path, "a.csv", f"{line}\r\ntext;a,b\r\nfine, truly;1,2\r\n").frame
        assert frame.to_dict("list") == {"text": ["fine, truly"], "a,b": ["1,2"]}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_reads_any_line_ending(tmp_path: Path, ending: str) -> None:
    content = ending.join(["text,stars", "fine,3", "", "weak,1", ""])
    assert read(tmp_path, "a.csv", content).frame["text"].tolist() == ["fine", "weak"]
    lines = ending.join(["fine", "", "weak"])
    assert read(tmp_path, "a.txt", lines).frame["text"].tolist() == ["fine", "weak"]


def test_content_counts_more_than_the_suffix(tmp_path: Path) -> None:
    frame = pandas.DataFrame(ROWS, columns=["text", "label", "film"])
    frame.to_parquet(tmp_path / "a.csv")
    frame.to_csv(tmp_path / "a.parquet", index=False)
    frame.to_csv(tmp_path / "a.json", index=False)
    frame.to_csv(tmp_path / "a", index=False)
    frame.to_json(tmp_path / "b.csv", orient="records", lines=True)
    frame.to_json(tmp_path / "b.txt", orient="records")
    frame.to_json(tmp_path / "b.jsonl", orient="records", indent=2)
    (tmp_path / "c.csv").write_bytes(gzip.compress((tmp_path / "a.json").read_bytes()))
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress((tmp_path / "b.csv").read_bytes()))
    for path in tmp_path.iterdir():
        table = tables.read(path)
        assert list(table.frame.itertuples(index=False, name=None)) == ROWS, path
        assert list(table.frame.columns) == ["text", "label", "film"]


def test_one_column_needs_no_quotes(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", 'review\nGood, really\n"Bad; ""very"", I say"\n')
    assert table.frame["review"].tolist() == ["Good, really", 'Bad; "very", I say']
    commas = "review;stars\nGood, really, and long, too;4\nBad;1\n"
    assert list(read(tmp_path, "a.csv", commas).frame.columns) == ["review", "stars"]


def test_plain_text_has_one_review_per_line(tmp_path: Path) -> None:
    table = read(tmp_path, "a.txt", "A fine, fine film\n\n  \n=1+1\n")
    assert table.frame["text"].tolist() == ["A fine, fine film", "=1+1"]
    assert (table.columns.text, list(table.frame.columns)) == ("text", ["text"])


def test_reads_backslashes_before_quotes(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", 'text,label\n"He said \\"no\\", and left",neg\nplain,pos\n')
    assert table.frame["text"].tolist() == ['He said "no", and left', "plain"]


def test_csv_numbers_are_written_back_unchanged(tmp_path: Path) -> None:
    content = (
        "text,whole,gaps,real,zeros,price,empty,big\n"
        "fine,1,7,0.5,007,4.50,,123456789012345678901\n"
        "weak,-2,,1.25,010,5.00,,1\n"
    )
    frame = read(tmp_path, "a.csv", content).frame
    assert frame.dtypes.astype(str).to_dict() == {
        "text": "str", "whole": "int64", "gaps": "Int64", "real": "float64", "zeros": "str",
        "price": "str", "empty": "str", "big": "str",
    }  # fmt: skip
    downloads.write_csv(frame, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text(encoding="utf-8-sig") == content


def test_words_like_none_and_nan_are_texts(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", "text,label\nNA,1\nNone,0\n,1\nnan,0\n")
    assert tables.texts(table.frame, "text") == ["NA", "None", None, "nan"]


def test_gives_columns_unique_names(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", ",text, text ,text_2,\n0,a,b,c,d\n")
    assert list(table.frame.columns) == ["column 1", "text", "text_2", "text_2_2", "column 5"]
    assert table.frame.iloc[0].tolist() == [0, "a", "b", "c", "d"]


def test_reads_json_lines_with_different_and_nested_keys(tmp_path: Path) -> None:
    lines = [
        {"text": "fine", "stars": 4, "tags": ["a", {"b": "é"}]},
        {"text": None, "seen": True},
        {"stars": 2, "text": 7, "half": "\ud83d", "odd": 1.5},
    ]
    frame = read(tmp_path, "a.jsonl", "\n\n".join(map(json.dumps, lines))).frame
    assert list(frame.columns) == ["text", "stars", "tags", "seen", "half", "odd"]
    assert tables.texts(frame, "text") == ["fine", None, 7]
    assert tables.texts(frame, "stars") == [4, None, 2]
    assert tables.texts(frame, "tags") == ['["a", {"b": "é"}]', None, None]
    assert tables.texts(frame, "seen") == [None, True, None]
    assert tables.texts(frame, "half")[2] == "?"
    downloads.write_csv(frame, tmp_path / "b.csv")
    written = (tmp_path / "b.csv").read_text(encoding="utf-8-sig").splitlines()
    assert written[-1] == "7,2,,,?,1.5"


def test_reads_parquet_of_usual_types(tmp_path: Path) -> None:
    frame = pyarrow.table(
        {
            "text": pyarrow.array(["fine", None, "weak"]).dictionary_encode(),
            "when": pyarrow.array([0, 86_400, None], pyarrow.timestamp("s", "UTC")),
            "day": pyarrow.array([0, None, 1], pyarrow.date32()),
            "raw": pyarrow.array([b"ok", b"\xff", None]),
            "list": pyarrow.array([[1, 2], None, []]),
            "whole": pyarrow.array([1, None, 3]),
            "real": pyarrow.array([1.5, None, 3]),
            "flag": [True, False, True],
            "none": pyarrow.nulls(3),
        }
    )
    parquet.write_table(frame, tmp_path / "a.parquet")
    table = tables.read(tmp_path / "a.parquet")
    assert (table.columns.text, table.columns.date) == ("text", "when")
    assert tables.texts(table.frame, "text") == ["fine", None, "weak"]
    assert tables.texts(table.frame, "day") == ["1970-01-01", None, "1970-01-02"]
    assert tables.texts(table.frame, "raw") == ["6f6b", "ff", None]
    assert tables.texts(table.frame, "list") == ["[1, 2]", None, "[]"]
    assert tables.texts(table.frame, "whole") == [1, None, 3]
    assert table.frame["real"].dtype == table.frame["real"].dtype == "float64"
    assert table.frame["flag"].tolist() == [True, False, True]
    assert table.frame["none"].isna().all()
    assert parse_dates(table.frame["when"]).dt.day.tolist()[:2] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "a.csv is empty."),
        ("a.csv", b" \n\n", "a.csv is empty."),
        ("a.csv", b"\xef\xbb\xbf", "a.csv is empty."),
        ("a.csv", b"text,label\n", "a.csv has column names, but no rows."),
        ("a.jsonl", b"[]", "a.jsonl has no rows."),
        ("a.jsonl", b"{}", "a.jsonl has no columns: its objects are empty."),
        ("a.csv", b"\x89PNG\r\n\x1a\n\0", "a.csv is a PNG image, not a table."),
        ("a.csv", b"PK\x03\x04", "a.csv is a broken ZIP archive: File is not a zip file."),
        ("a.csv", b"<!DOCTYPE html><p>", "a.csv is a web page or XML, not a table."),
        ("a.csv", RUSSIAN.encode("cp1251"), "a.csv is not in UTF-8: line 3 has the byte 0xCE"),
        ("a.csv", RUSSIAN.encode() + b"caf\xe9", "a.csv is not in UTF-8: line 4 has the byte 0xE9"),
        ("a.csv", b"text\n\x81\x8d\x8f", "a.csv is not in UTF-8: line 2 has the byte 0x81"),
        ("a.csv", b"text\nfine\nw\0rse\n", "a.csv has a NUL character on line 3, so"),
        ("a.csv", "text\nfine".encode("utf-32-le"), "a.csv has a NUL character on line 1"),
        ("a.csv", b"\xff\xfet", "a.csv is not in UTF-8"),
        ("a.csv.gz", b"\x1f\x8b\x08broken", "a.csv.gz is a broken gzip file:"),
        ("a.csv.gz", CUT_OFF, "a.csv.gz is a broken gzip file:"),
        ("a.parquet", b"PAR1 not at all PAR1", "a.parquet is a broken Parquet file:"),
        ("a.parquet", b"PAR1", "a.parquet is a broken Parquet file:"),
        (
            "a.csv",
            b'text,n\n"one\ntwo",1\nfine,1\nbad, worse,2\n',
            'a.csv, line 5: the row has 3 cells, but the first line names 2 columns. '
            'Columns are separated by ",": put quotes',
        ),
        ("a.tsv", b"text\tn\nfine\n", "a.tsv, line 2: the row has 1 cell,"),
        ("a.csv", b"text\ngood\rbad\nweak\n", "a.csv, line 2: a carriage return without"),
        ("a.csv", b"text,a,text,a\n1", "a.csv has more than one column named 'text', 'a'."),
        ("a.json", b'[{"a": 1, "a": 2}]', "a.json is broken JSON: an object has more than one key"),
        ("a.csv", b"sep=;\n", "a.csv has no columns."),
        (".csv", b"", ".csv is empty."),
        ("a.csv", b'text,n\nfine,1\n"weak,2\nfine,3\n', "a.csv, line 3: a quote opens"),
        ("a.csv", b'text,n\n"so" it goes,1\n', "a.csv, line 2: text follows a closing"),
        ("a.csv", b"I liked it.\nI did not.\n", "The first line of a.csv must name its columns,"),
        ("a.csv", b"long " * 30 + b"\nfine", "The first line of a.csv must name its columns,"),
        ("a.json", b'[{"text": "a"},', "a.json is broken JSON:"),
        ("a.jsonl", b'{"text": "a"}\n{"text"\n', "a.jsonl, line 2 is broken JSON: Expecting ':' "),
        ("a.json", b'{\n"text": "a"\n}\n', "a.json, line 1: an object continues on the next line."),
        ("a.json", b'{"text": "a",\n"b": 1}', "a.json, line 1: an object continues on the next"),
        ("a.jsonl", b"5\n6\n", "a.jsonl, line 1: a row must be an object"),
        ("a.jsonl", b'"a"\n"b"\n', "a.jsonl, line 1: a row must be an object"),
        ("a.ndjson", b"null\n", "a.ndjson, line 1: a row must be an object"),
        ("a.json.gz", b"true\n", "a.json.gz, line 1: a row must be an object"),
        ("a.jsonl", b'["a"]\n["b"]\n', "a.jsonl is broken JSON: Extra data at line 2, column 1. A"),
        ("a.jsonl", b'{"text": "a"}\n\n"b"\n', "a.jsonl, line 3: a row must be an object"),
        ("a.json", b'["a", "b"]', "a.json, entry 1: a row must be an object"),
        ("a.json", b"[" * 100_000, "a.json is nested too deeply."),
        ("a.jsonl", b'{"a": ' * 100_000, "a.jsonl, line 1 is nested too deeply."),
        ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}", "a.jsonl, line 1: a whole number has"),
        ("a.json", b'[{}, {"a": ' + b"9" * 5000 + b"}]", "a.json, entry 2: a whole number has"),
    ],
)  # fmt: skip
def test_invalid_file_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    message = refusal(tmp_path, name, content)
    assert message.startswith(sentence)
    assert message.endswith((".", ")", "…")) and "\n" not in message


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "a,b\n" + "," * 5_000_001, "a.csv has more than 5,000,000 cells, the limit"),
        ("a.json", "[" * 5_000_001, "a.json has more than 5,000,000 cells, the limit"),
        ("a.csv", "a" * (50 * 2**20 + 1), "a.csv is 51 MB; the limit is 50 MB"),
    ],
)
def test_large_file_is_refused_with_a_remedy(
    tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    message = refusal(tmp_path, name, content)
    assert message.startswith(sentence)
    assert message.endswith("Keep only the columns that you need, or split the file.")


@pytest.mark.parametrize("rows", [10_000, 12_000])
def test_longer_file_offers_its_first_rows_or_a_sample(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,n\n" + "".join(f"fine,{n}\n" for n in range(rows)))
    pandas.read_csv(path).to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        first, sample = tables.read(tmp_path / name), tables.read(tmp_path / name, sample=True)
        assert first.total == sample.total == rows
        assert first.frame["n"].tolist() == list(range(10_000))
        assert (
            sample.frame["n"].tolist()
            == sample.frame.index.tolist()
            == sorted(set(sample.frame["n"]))
        )
        assert len(sample.frame) == 10_000
        # 10,000 of 12,000 rows: about 1,667 of the last 2,000, with a deviation of 17
        assert abs((sample.frame["n"] >= 10_000).sum() - 10_000 * (1 - 10_000 / rows)) < 100


def test_compressed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(b"0" * 2**20, 1, mtime=0) * 1000  # a gigabyte
    message = refusal(tmp_path, "a.csv.gz", bomb)
    assert message.startswith("a.csv.gz unpacks to more than the limit of 50 MB.")
    long = pyarrow.array(["x" * 2**20])
    repeated = pyarrow.DictionaryArray.from_arrays(np.zeros(10_000, np.int8), long)
    parquet.write_table(pyarrow.table({"text": long}), tmp_path / "one.parquet")
    parquet.write_table(pyarrow.table({"text": repeated}), tmp_path / "b")  # ten gigabytes
    assert (tmp_path / "b").stat().st_size < 2**22
    with pytest.raises(InvalidFile, match="unpacks to more than the limit of 50 MB"):
        tables.read(tmp_path / "b")
    assert tables.read(tmp_path / "one.parquet").columns.text == "text"


def test_refuses_1k_columns(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(1000)]
    row = dict.fromkeys(names, "x")
    pandas.DataFrame([row]).to_parquet(tmp_path / "wide.parquet")
    wide = f"{','.join(names)}\n{','.join(row.values())}\n"
    message = refusal(tmp_path, "a.csv", wide)
    assert message.startswith("a.csv has 1,000 columns; the limit is 200.")
    assert "the limit is 200." in refusal(tmp_path, "a.jsonl", json.dumps(row))
    with pytest.raises(InvalidFile, match="1,000 columns"):
        tables.read(tmp_path / "wide.parquet")


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_reads_the_csv_it_writes(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("written") / "a.csv"
    rows = [("text", "a, or b"), *rows]
    downloads.write_csv(pandas.DataFrame(rows, columns=["text", "other"]), path)
    frame = tables.read(path).frame
    for name, cells in zip(["text", "other"], zip(*rows, strict=True), strict=True):
        ends = {"first": name == "text", "last": name == "other"}
        expected = [downloads.escape_formula(cell, **ends) or None for cell in cells]
        assert tables.texts(frame, name) == expected


def test_invalid_characters_are_replaced(tmp_path: Path) -> None:
    downloads.write_csv(pandas.DataFrame({"text": pandas.Series(["a\0b", "\ud83d"], dtype=object)}),
                 tmp_path / "a.csv")  # fmt: skip
    assert tables.read(tmp_path / "a.csv").frame["text"].tolist() == ["a\ufffdb", "?"]


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.jsonl", "a.parquet", "a.txt", "a.gz"]))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    for start in (b"", b"PAR1", b"\x1f\x8b\x08", b"\xff\xfe", b'{"a":', b"[{", b"a,b\n"):
        path = tmp_path_factory.mktemp("bytes") / name
        path.write_bytes(start + content)
        try:
            assert len(tables.read(path).frame)
        except InvalidFile as reason:
            assert str(reason)


def test_damaged_parquet_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pandas.DataFrame({"text": ["fine", "weak"] * 50, "n": range(100)}).to_parquet(path)
    intact = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(intact)
        for at in rng.integers(4, len(intact), 3):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            tables.read(path)
        except InvalidFile:
            pass


def test_parquet_of_rare_types_intact_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    strings = pyarrow.array(["fine", "weak", None])
    table = pyarrow.table(
        {
            "text": strings,
            "far": pyarrow.array([10**7, 0, None], pyarrow.date32()),
            "nanos": pyarrow.array([1, 10**18, None], pyarrow.timestamp("ns", "Asia/Tokyo")),
            "price": pyarrow.array(["1.50", "2", None]).cast(pyarrow.decimal128(9, 2)),
            "long": pyarrow.array([1, 2, None], pyarrow.duration("ns")),
            "half": pyarrow.array([1.5, float("nan"), None], pyarrow.float16()),
            "view": strings.cast(pyarrow.string_view()),
            "map": pyarrow.array(
                [[("k", 1)], None, []], pyarrow.map_(pyarrow.string(), pyarrow.int64())
            ),
        }
    )
    parquet.write_table(table, path)
    frame = read(tmp_path, "a.parquet", path.read_bytes()).frame
    assert tables.texts(frame, "far") == ["29349-01-26", "1970-01-01", None]
    assert tables.texts(frame, "price") == ["1.50", "2.00", None]
    assert tables.texts(frame, "map") == ['[["k", 1]]', None, "[]"]
    downloads.write_csv(frame, tmp_path / "b.csv")
    intact = path.read_bytes()
    rng = np.random.default_rng(0)
    for number in range(100):
        broken = bytearray(intact[: None if number % 2 else rng.integers(len(intact))])
        for at in rng.integers(len(broken), size=3) if len(broken) else ():
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            downloads.write_csv(tables.read(path).frame, tmp_path / "b.csv")
        except InvalidFile as reason:
            assert str(reason).startswith("a.parquet")


def test_reads_and_writes_10k_reviews_quickly(tmp_path: Path) -> None:
    reviews = [row["text"] for row in sample_rows("train")]
    rows = [reviews[i % len(reviews)] for i in range(10_000)]
    frame = pandas.DataFrame(
        {"text": rows, "date": ["31/12/2024 10:00"] * 10_000, "label": [0, 1] * 5000}
    )
    downloads.write_csv(frame, tmp_path / "a.csv")
    start = time.process_time()
    table = tables.read(tmp_path / "a.csv")
    assert parse_dates(table.frame["date"]).notna().all()
    answer = Prediction({"NEGATIVE": 0.3, "POSITIVE": 0.7}, tokens_read=3, tokens=4)
    added = downloads.prediction_frame([answer] * 10_000, list(answer.probabilities))
    scored = downloads.append_columns(table.frame, added)
    downloads.write_csv(scored, tmp_path / "b.csv")
    assert time.process_time() - start < 10  # it takes a tenth


def test_binary_columns_are_not_guessed_as_text(tmp_path: Path) -> None:
    cells = {"raw": [b"\xff\xab" * 50], "text": ["fine"]}
    parquet.write_table(pyarrow.table(cells), tmp_path / "in")
    table = read(tmp_path, "a.parquet", (tmp_path / "in").read_bytes())
    assert (table.frame["raw"][0], table.columns.text) == ("ffab" * 50, "text")
    parquet.write_table(pyarrow.table({"text": cells["raw"]}), tmp_path / "in")
    assert read(tmp_path, "b.parquet", (tmp_path / "in").read_bytes()).columns.text is None


def test_imports_pyarrow_only_for_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,n\nfine,1\n")
    code = (
        "import sys\n"
        "from space.files import tables\n"
        "from pathlib import Path\n"
        "tables.read(Path(sys.argv[1]))\n"
        "assert 'pyarrow.parquet' not in sys.modules\n"
        "assert not {'train', 'torch', 'gradio', 'altair'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tmp_path / "a.csv"], cwd=REPOSITORY, check=True
    )
