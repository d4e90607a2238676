"""Files that visitors bring: real files of every kind and every fault, read and written back."""

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

from space.files import downloads, tables
from space.files.tables import InvalidFile
from space.inference.classifier import InvalidText, Prediction

LABELS = ["NEGATIVE", "POSITIVE"]
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


def column(cells: list[Any]) -> pandas.Series:
    return pandas.Series(cells, name="date")


def days(cells: list[Any]) -> list[str | None]:
    found = tables.dates(column(cells))
    assert found.dtype.kind == "M"
    return [None if pandas.isna(day) else f"{day:%Y-%m-%d}" for day in found]


def verdict(positive: float, unsure: bool = False) -> Prediction:
    shares = {"NEGATIVE": 1 - positive, "POSITIVE": positive}
    return Prediction(probabilities=shares, tokens_read=3, tokens=4, unsure=unsure)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_finds_separator_and_encoding(
    tmp_path: Path, separator: str, encoding: str, quoting: Any
) -> None:
    path = tmp_path / "reviews.csv"
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=separator, quoting=quoting)
        writer.writerows([("text", "label", "film"), *ROWS])
    table = tables.read(path)
    assert list(table.frame.itertuples(index=False, name=None)) == ROWS
    assert (table.text, table.label, table.title, table.date) == ("text", "label", "film", None)
    assert table.name == "reviews.csv"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
def test_finds_encodings_without_a_mark(tmp_path: Path, encoding: str) -> None:
    texts = ["A naïve, touching film – “fine”, says Zoë.", "Ein schöner Film, äußerst gut."]
    content = "".join(f'{i};"{text}"\r\n' for i, text in enumerate(["text", *texts]))
    frame = read(tmp_path, "a.csv", content.encode(encoding)).frame
    assert frame["text"].tolist() == texts


def test_excel_may_name_the_separator(tmp_path: Path) -> None:
    for line in ["sep=;", '"sep=;"', "SEP=;"]:
        frame = read(tmp_path, "a.csv", f"{line}\r\ntext;a,b\r\nfine, truly;1,2\r\n").frame
        assert frame.to_dict("list") == {"text": ["fine, truly"], "a,b": ["1,2"]}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_takes_every_line_ending(tmp_path: Path, ending: str) -> None:
    content = ending.join(["text,stars", "fine,3", "", "weak,1", ""])
    assert read(tmp_path, "a.csv", content).frame["text"].tolist() == ["fine", "weak"]
    lines = ending.join(["fine", "", "weak"])
    assert read(tmp_path, "a.txt", lines).frame["text"].tolist() == ["fine", "weak"]


def test_the_content_decides_where_the_suffix_lies(tmp_path: Path) -> None:
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


def test_plain_text_is_a_review_a_line(tmp_path: Path) -> None:
    table = read(tmp_path, "a.txt", "A fine, fine film\n\n  \n=1+1\n")
    assert table.frame["text"].tolist() == ["A fine, fine film", "=1+1"]
    assert (table.text, list(table.frame.columns)) == ("text", ["text"])


def test_backslashes_before_quotes(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", 'text,label\n"He said \\"no\\", and left",neg\nplain,pos\n')
    assert table.frame["text"].tolist() == ['He said "no", and left', "plain"]


def test_numbers_stay_as_they_are(tmp_path: Path) -> None:
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
    downloads.write(frame, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text(encoding="utf-8-sig") == content


def test_words_for_nothing_stay_words(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", "text,label\nNA,1\nNone,0\n,1\nnan,0\n")
    assert tables.texts(table.frame, "text") == ["NA", "None", None, "nan"]


def test_names_columns_that_have_no_name_of_their_own(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", ",text, text ,text_2,\n0,a,b,c,d\n")
    assert list(table.frame.columns) == ["column 1", "text", "text_2", "text_2_2", "column 5"]
    assert table.frame.iloc[0].tolist() == [0, "a", "b", "c", "d"]


def test_json_lines_may_differ_and_nest(tmp_path: Path) -> None:
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
    downloads.write(frame, tmp_path / "b.csv")
    written = (tmp_path / "b.csv").read_text(encoding="utf-8-sig").splitlines()
    assert written[-1] == "7,2,,,?,1.5"


def test_parquet_of_every_type(tmp_path: Path) -> None:
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
    assert (table.text, table.date) == ("text", "when")
    assert tables.texts(table.frame, "text") == ["fine", None, "weak"]
    assert tables.texts(table.frame, "day") == ["1970-01-01", None, "1970-01-02"]
    assert tables.texts(table.frame, "raw") == ["ok", "\\xff", None]
    assert tables.texts(table.frame, "list") == ["[1, 2]", None, "[]"]
    assert tables.texts(table.frame, "whole") == [1, None, 3]
    assert table.frame["real"].dtype == table.frame["real"].dtype == "float64"
    assert table.frame["flag"].tolist() == [True, False, True]
    assert table.frame["none"].isna().all()
    assert days(table.frame["when"].tolist()) == ["1970-01-01", "1970-01-02", None]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "a.csv is empty."),
        ("a.csv", b" \n\n", "a.csv is empty."),
        ("a.csv", b"\xef\xbb\xbf", "a.csv is empty."),
        ("a.csv", b"text,label\n", "a.csv names its columns, but has no rows."),
        ("a.jsonl", b"[]", "a.jsonl has no rows."),
        ("a.jsonl", b"{}", "a.jsonl has no columns: its objects are empty."),
        ("a.csv", b"\x89PNG\r\n\x1a\n\0", "a.csv is a PNG image, not a table."),
        ("a.csv", b"PK\x03\x04", "a.csv is an Excel workbook or a ZIP archive, not a table."),
        ("a.csv", b"<!DOCTYPE html><p>", "a.csv is a web page or XML, not a table."),
        ("a.csv", RUSSIAN.encode("cp1251"), "a.csv is not in UTF-8: line 3 has the byte 0xCE"),
        ("a.csv", RUSSIAN.encode() + b"caf\xe9", "a.csv is not in UTF-8: line 4 has the byte 0xE9"),
        ("a.csv", b"text\n\x81\x8d\x8f", "a.csv is not in UTF-8: line 2 has the byte 0x81"),
        ("a.csv", b"text\nfine\nw\0rse\n", "a.csv has a NUL on line 3, as no text has."),
        ("a.csv", "text\nfine".encode("utf-32-le"), "a.csv has a NUL on line 1"),
        ("a.csv", b"\xff\xfet", "a.csv is not in UTF-8"),
        ("a.csv.gz", b"\x1f\x8b\x08broken", "a.csv.gz is a broken gzip file:"),
        ("a.csv.gz", CUT_OFF, "a.csv.gz is a broken gzip file:"),
        ("a.parquet", b"PAR1 not at all PAR1", "a.parquet is a broken Parquet file:"),
        ("a.parquet", b"PAR1", "a.parquet is a broken Parquet file:"),
        (
            "a.csv",
            b'text,n\n"one\ntwo",1\nfine,1\nbad, worse,2\n',
            "a.csv, line 5: the row has 3 cells, but the first line names 2 columns. Cells are "
            'parted by ",": put quotes',
        ),
        ("a.tsv", b"text\tn\nfine\n", "a.tsv, line 2: the row has 1 cells,"),
        ("a.csv", b"text\ngood\rbad\nweak\n", "a.csv, line 2: a carriage return without"),
        ("a.csv", b"text,a,text,a\n1", "a.csv has more than one column of the name 'text', 'a'."),
        ("a.json", b'[{"a": 1, "a": 2}]', "a.json is broken JSON: an object has more than one key"),
        ("a.csv", b"sep=;\n", "a.csv has no columns."),
        (".csv", b"", ".csv is empty."),
        ("a.csv", b'text,n\nfine,1\n"weak,2\nfine,3\n', "a.csv, line 3: a quote opens"),
        ("a.csv", b'text,n\n"so" it goes,1\n', "a.csv, line 2: text goes on behind a closing"),
        ("a.csv", b"I liked it.\nI did not.\n", "The first line of a.csv must name its columns,"),
        ("a.csv", b"long " * 30 + b"\nfine", "The first line of a.csv must name its columns,"),
        ("a.json", b'[{"text": "a"},', "a.json is broken JSON:"),
        ("a.jsonl", b'{"text": "a"}\n{"text"\n', "a.jsonl, line 2 is broken JSON:"),
        ("a.jsonl", b'{"text": "a"}\n\n"b"\n', "a.jsonl, line 3: a row must be an object"),
        ("a.json", b'["a", "b"]', "a.json, entry 1: a row must be an object"),
        ("a.json", b"[" * 100_000, "a.json is nested too deeply."),
        ("a.jsonl", b'{"a": ' * 100_000, "a.jsonl, line 1 is nested too deeply."),
        ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}", "a.jsonl, line 1: a whole number has"),
        ("a.json", b'[{}, {"a": ' + b"9" * 5000 + b"}]", "a.json, entry 2: a whole number has"),
    ],
)  # fmt: skip
def test_says_what_is_wrong(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    said = refusal(tmp_path, name, content)
    assert said.startswith(sentence)
    assert said.endswith((".", ")", "…")) and "\n" not in said


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "text\n" + "fine\n" * 10_001, "a.csv has more than 10,000 rows: this page"),
        ("a.txt", "fine\n" * 10_001, "a.txt has more than 10,000 lines: this page"),
        ("a.jsonl", '{"text": "a"}\n' * 10_001, "a.jsonl has more than 10,000 rows: this page"),
        ("a.json", f"[{'{},' * 10_000}{{}}]", "a.json has more than 10,000 rows: this page"),
        ("a.csv", "a,b\n" + "," * 5_000_001, "a.csv has more cells than fit: this page"),
        ("a.json", "[" * 5_000_001, "a.json has more cells than fit: this page"),
        ("a.csv", "a" * (50 * 2**20 + 1), "a.csv has 50 MB: this page takes at most"),
    ],
)
def test_names_what_takes_more(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    said = refusal(tmp_path, name, content)
    assert said.startswith(sentence)
    assert "`python -m train score FILE`" in said


def test_ten_thousand_rows_are_taken(tmp_path: Path) -> None:
    assert len(read(tmp_path, "a.csv", "text\n" + "fine\n" * 10_000).frame) == 10_000


def test_a_bomb_is_unpacked_no_further_than_needed(tmp_path: Path) -> None:
    bomb = gzip.compress(b"0" * 2**20, 1, mtime=0) * 1000  # a gigabyte
    said = refusal(tmp_path, "a.csv.gz", bomb)
    assert said.startswith("a.csv.gz unpacks to more than 50 MB: this page takes at most")
    long = pyarrow.array(["x" * 2**20])
    repeated = pyarrow.DictionaryArray.from_arrays(np.zeros(10_000, np.int8), long)
    parquet.write_table(pyarrow.table({"text": long}), tmp_path / "one.parquet")
    parquet.write_table(pyarrow.table({"text": repeated}), tmp_path / "b")  # ten gigabytes
    assert (tmp_path / "b").stat().st_size < 2**22
    with pytest.raises(InvalidFile, match="unpacks to more than 50 MB"):
        tables.read(tmp_path / "b")
    assert tables.read(tmp_path / "one.parquet").text == "text"


def test_refuses_a_thousand_columns(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(1000)]
    row = dict.fromkeys(names, "x")
    pandas.DataFrame([row]).to_parquet(tmp_path / "wide.parquet")
    wide = f"{','.join(names)}\n{','.join(row.values())}\n"
    said = refusal(tmp_path, "a.csv", wide)
    assert said.startswith("a.csv has 1,000 columns, and at most 200 are taken.")
    assert "at most 200 are taken" in refusal(tmp_path, "a.jsonl", json.dumps(row))
    with pytest.raises(InvalidFile, match="1,000 columns"):
        tables.read(tmp_path / "wide.parquet")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("id,text,label,date,title\n1,fine film,pos,2024-05-01,Salt\n2,weak,neg,2024-05-02,Salt",
         ("text", "date", "title", "label")),
        ("Review Text,Rating,Movie Title\nfine film,4,Salt\nweak,1,Salt\nso so,2,Otter",
         ("Review Text", None, "Movie Title", None)),
        ("summary,content,rating\nThe very best of films,good,0\nnothing,bad,1",
         ("content", None, None, "rating")),
        ("who,said,created_at\nAnn,It is a long and lovely film,1714521600\nBo,No,1714521601",
         ("said", "created_at", None, None)),
        ("when,a\n2024-05-01T10:00:00Z,fine\n2024-05-02T10:00:00Z,weak", ("a", "when", None, None)),
        ("date,sentiment,text\nsoon,same,a\nlater,same,b", ("text", None, None, None)),
        ("text,body\n1,this is the text\n2,another", ("body", None, None, None)),
        ("a,b\n1,2\n3,4", (None, None, None, None)),
        ("text,product,title\na,Kiosk,Lovely\nb,Kiosk,Awful", ("text", None, "product", None)),
    ],
)  # fmt: skip
def test_guesses_the_columns(tmp_path: Path, content: str, found: tuple[Any, ...]) -> None:
    table = read(tmp_path, "a.csv", content)
    assert (table.text, table.date, table.title, table.label) == found


def test_a_title_that_never_returns_ranks_nothing(tmp_path: Path) -> None:
    rows = "".join(f"text {i},name {i}\n" for i in range(21))
    assert read(tmp_path, "a.csv", f"text,title\n{rows}").title is None
    assert read(tmp_path, "a.csv", f"text,title\n{rows}again,name 3").title == "title"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2024-05-01", "2024/5/2", "2024.05.03 10:00", "2024-05"],
         ["2024-05-01", "2024-05-02", "2024-05-03", "2024-05-01"]),
        (["2024-05-01T23:59:59.123+02:00", " 2024-05-01T23:59Z "], ["2024-05-01", "2024-05-01"]),
        (["2024-02-30", "2024-13-01", "soon", "", None, "12", "5/2024", "2024"], [None] * 8),
        (["31/12/2024", "1/2/2024", "1-2-24"], ["2024-12-31", "2024-02-01", "2024-02-01"]),
        (["12/31/2024", "1/2/99 10:00 PM"], ["2024-12-31", "1999-01-02"]),
        (["1/2/2024", "3/4/2024"], [None, None]),
        (["13/1/2024", "1/13/2024"], [None, None]),
        (["1.2.2024"], ["2024-02-01"]),
        (["1 May 2024", "May 1, 2024", "1-may-2024", "Wed, 1st May 2024 10:00", "Sept 2024"],
         ["2024-05-01"] * 4 + ["2024-09-01"]),
        (["maybe 2024", "1 Moy 2024"], [None, None]),
        ([1714521600, 1714521600.5, None, 7], ["2024-05-01", "2024-05-01", None, None]),
        (["1714521600000", "1714521600", "20240501"], ["2024-05-01"] * 3),
        ([20240501, float("inf")], ["2024-05-01", None]),
        ([pandas.Timestamp("2024-05-01T23:00-0500"), None], ["2024-05-01", None]),
        ([True, False], [None, None]),
        ([None, None], [None, None]),
    ],
)  # fmt: skip
def test_reads_dates_where_there_is_no_doubt(cells: list[Any], expected: list[Any]) -> None:
    assert days(cells) == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.booleans())))
def test_anything_may_stand_in_a_column_of_dates(cells: list[Any]) -> None:
    found = tables.dates(pandas.Series(cells, dtype="object"))
    assert len(found) == len(cells) and found.dtype.kind == "M"


def test_scores_stand_behind_all_that_was_there(tmp_path: Path) -> None:
    frame = read(tmp_path, "a.csv", "verdict,text\nmine,fine\n,weak\nhis,\n").frame
    before = frame.copy()
    answers = [verdict(0.75), verdict(0.4, unsure=True), InvalidText("Write a review first.")]
    scored = tables.add_scores(frame, answers, LABELS)
    pandas.testing.assert_frame_equal(frame, before)
    assert list(scored.columns) == [
        "verdict", "text", "verdict_2", "probability", "p(NEGATIVE)", "p(POSITIVE)", "unsure",
        "tokens_read", "tokens", "not scored",
    ]  # fmt: skip
    assert list(scored.columns[2:]) == list(tables.names(frame.columns, LABELS).values())
    assert scored["verdict_2"].tolist() == ["POSITIVE", "NEGATIVE", ""]
    assert scored["probability"].tolist()[:2] == [0.75, 0.6] and np.isnan(scored["probability"][2])
    assert scored["unsure"].tolist() == [False, True, False]
    assert tables.texts(scored, "tokens") == [4, 4, None]
    assert scored["not scored"].tolist() == ["", "", "Write a review first."]
    again = tables.add_scores(scored, answers, LABELS)
    assert list(again.columns[-8:]) == [
        "verdict_3", "probability_2", "p(NEGATIVE)_2", "p(POSITIVE)_2", "unsure_2",
        "tokens_read_2", "tokens_2", "not scored_2",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="Length of values"):
        tables.add_scores(frame, answers[:2], LABELS)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("written") / "a.csv"
    rows = [("text", "a, or b"), *rows]
    downloads.write(pandas.DataFrame(rows, columns=["text", "other"]), path)
    frame = tables.read(path).frame
    for name, cells in zip(["text", "other"], zip(*rows, strict=True), strict=True):
        ends = {"first": name == "text", "last": name == "other"}
        expected = [downloads.harmless(cell, **ends) or None for cell in cells]
        assert tables.texts(frame, name) == expected


def test_what_no_file_can_hold_is_replaced(tmp_path: Path) -> None:
    downloads.write(pandas.DataFrame({"text": pandas.Series(["a\0b", "\ud83d"], dtype=object)}),
                 tmp_path / "a.csv")  # fmt: skip
    assert tables.read(tmp_path / "a.csv").frame["text"].tolist() == ["a\ufffdb", "?"]


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.jsonl", "a.parquet", "a.txt", "a.gz"]))
def test_no_bytes_do_worse_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    for start in (b"", b"PAR1", b"\x1f\x8b\x08", b"\xff\xfe", b'{"a":', b"[{", b"a,b\n"):
        path = tmp_path_factory.mktemp("bytes") / name
        path.write_bytes(start + content)
        try:
            assert len(tables.read(path).frame)
        except InvalidFile as reason:
            assert str(reason)


def test_damaged_parquet_never_gets_through_as_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pandas.DataFrame({"text": ["fine", "weak"] * 50, "n": range(100)}).to_parquet(path)
    whole = path.read_bytes()
    randomness = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(whole)
        for at in randomness.integers(4, len(whole), 3):
            broken[at] = randomness.integers(256)
        path.write_bytes(broken)
        try:
            tables.read(path)
        except InvalidFile:
            pass


def test_parquet_of_odd_types_whole_and_damaged(tmp_path: Path) -> None:
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
    downloads.write(frame, tmp_path / "b.csv")
    whole = path.read_bytes()
    chance = np.random.default_rng(0)
    for number in range(100):
        broken = bytearray(whole[: None if number % 2 else chance.integers(len(whole))])
        for at in chance.integers(len(broken), size=3) if len(broken) else ():
            broken[at] = chance.integers(256)
        path.write_bytes(broken)
        try:
            downloads.write(tables.read(path).frame, tmp_path / "b.csv")
        except InvalidFile as reason:
            assert str(reason).startswith("a.parquet")


def test_ten_thousand_reviews_are_no_work(tmp_path: Path) -> None:
    reviews = [row["text"] for row in sample_rows("train")]
    rows = [reviews[i % len(reviews)] for i in range(10_000)]
    frame = pandas.DataFrame(
        {"text": rows, "date": ["31/12/2024 10:00"] * 10_000, "label": [0, 1] * 5000}
    )
    downloads.write(frame, tmp_path / "a.csv")
    began = time.process_time()
    table = tables.read(tmp_path / "a.csv")
    assert tables.dates(table.frame["date"]).notna().all()
    scored = tables.add_scores(table.frame, [verdict(0.7)] * 10_000, LABELS)
    downloads.write(scored, tmp_path / "b.csv")
    assert time.process_time() - began < 10  # ten times what it takes


def test_needs_pyarrow_for_parquet_only(tmp_path: Path) -> None:
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
