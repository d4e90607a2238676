"""Scored files keep the cells of any table, in any dialect and encoding, or refuse the file."""

import csv
import errno
import gzip
import io
import json
import math
import os
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from space.inference.classifier import Classifier, Prediction
from space.inference.texts import check_text
from train.data import sources
from train.errors import DataError, ModelError, RunError
from train.scoring import parts, predictions, score
from train.sections import Dataset

PREDICTION = Prediction({"NEGATIVE": 0.25, "POSITIVE": 0.75}, 3, 3)
ANSWER = ["POSITIVE", 0.75, False, False, None]


class Fake:
    """A classifier that predicts POSITIVE, and refuses what the real one refuses."""

    labels = list(PREDICTION.probabilities)
    engine = "none"

    def load(self) -> "Fake":
        return self

    def predict_batch(self, texts: list[Any]) -> list[Any]:
        return [check_text(text) or PREDICTION for text in texts]


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(model: str, revision: str | None, text: str, *pairs: None) -> predictions.Predictor:
        return predictions.Predictor(cast(Classifier, Fake()), text)

    monkeypatch.setattr(predictions, "load", load)
    monkeypatch.setattr(score, "_identity", lambda model, predictor: {"name": model})
    monkeypatch.setattr(score, "PART_ROWS", 2)


def scored(content: bytes, name: str, out: str, folder: Path, **options: Any) -> Path:
    (folder / name).write_bytes(content)
    (folder / out).unlink(missing_ok=True)
    score.score(str(folder / name), "user/model", folder / out, **options)
    return folder / out


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(parquet.ParquetFile(path).read().to_pylist())
    with path.open(encoding="utf-8", newline="") as stream:
        if path.suffix == ".csv":
            return list(csv.DictReader(stream, strict=True))
        return [json.loads(line, parse_constant=pytest.fail) for line in stream]


@pytest.mark.parametrize(
    ("cells", "type_name"),
    [
        ([b"good", b"\xff"], "binary"),
        ([["good"], []], "list"),
        ([{"a": "good"}], "struct"),
        ([1, None], "int64"),
        ([1.5], "float64"),
        (pyarrow.array([1]).dictionary_encode(), "int64"),
    ],
)
def test_text_column_of_another_type_is_refused(tmp_path: Path, cells: Any, type_name: str) -> None:
    file = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": cells}), file)
    message = refusal(file.read_bytes(), "a.parquet", tmp_path)
    assert f"column 'text' must hold text, got the type {type_name} — name the column" in message


def test_binary_cells_are_written_in_hexadecimal_and_read_back(tmp_path: Path) -> None:
    cells = [b"\xff\x00", b"\0\r\n", b"a", b"", None]
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["fine"] * 5, "raw": cells}), sink)
    for suffix in (".csv", ".jsonl"):
        out = scored(sink.getvalue(), "in.parquet", f"out{suffix}", tmp_path)
        rows = sources.read(Dataset(source=str(out), label="label"))["train"].to_list()
        assert [bytes.fromhex(row["raw"] or "") for row in rows] == [cell or b"" for cell in cells]


def test_json_numbers_are_refused_as_text(tmp_path: Path) -> None:
    message = refusal(b'{"text": 1}\n{"text": 2}\n', "a.jsonl", tmp_path)
    assert "column 'text' must hold text, got the type int64" in message


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for source in ("/dev/null", f"{tmp_path}/pipe.csv"):
        with pytest.raises(DataError, match="is not a regular file, but a folder, pipe or device"):
            score.score(source, "m", tmp_path / "out.csv")


def refusal(content: bytes, name: str, folder: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        scored(content, name, "out.jsonl", folder, **options)
    assert sorted(path.name for path in folder.iterdir()) == [name]
    return str(caught.value)


odd = ["", " ", "1.50", "007", "=1+1", "None", "nan", "NULL", '"', '\\"', "\r", "\r\n", "\n", ";"]
texts = st.one_of(
    st.sampled_from(odd),
    st.text(st.sampled_from("ab,;|\t\"'\r\n=\\\u2028\x85é🎬 "), max_size=12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)
tables = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.lists(texts, min_size=width, max_size=width).filter(any), min_size=1, max_size=7
    )
)
few = settings(deadline=None, max_examples=40, derandomize=True)


@few
@given(
    tables,
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
    st.sampled_from(parts.OUTPUTS),
)
def test_keeps_cells_of_every_csv_dialect(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    separator: str,
    encoding: str,
    ending: str,
    quoting: Any,
    packed: bool,
    suffix: str,
) -> None:
    stream = io.StringIO(newline="")
    # With "\r\n" csv quotes each cell that has a line end of any kind in it.
    writer = csv.writer(stream, delimiter=separator, quoting=quoting, lineterminator="\r\n")
    columns = ["text", "b", "c"][: len(rows[0])]
    writer.writerow(columns)
    lines = [stream.getvalue()]
    for row in rows:
        stream.seek(0)
        stream.truncate()
        writer.writerow(row)
        lines.append(stream.getvalue())
    content = "".join(line.removesuffix("\r\n") + ending for line in lines).encode(encoding)
    if len(columns) == 1:
        content = f"sep={separator}{ending}".encode(encoding) + content.removeprefix(
            b"\xef\xbb\xbf" if encoding == "utf-8-sig" else "".encode(encoding)
        )
    name = "IN.CSV.gz" if packed else "in.csv"
    folder = tmp_path_factory.mktemp("scored")
    out = scored(gzip.compress(content) if packed else content, name, f"out{suffix}", folder)
    empty = "" if suffix == ".csv" else None
    assert [[row[c] for c in columns] for row in read(out)] == [
        [cell or empty for cell in row] for row in rows
    ]
    again = sources.read(Dataset(source=str(folder / name), label="text"))["train"].to_list()
    assert again == [dict(zip(columns, [c or None for c in row], strict=True)) for row in rows]


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(-(2**80), 2**80),
        st.floats(allow_nan=False), st.text(max_size=5), st.sampled_from(["\ud83d", "x\udc00"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)  # fmt: skip


def known(value: Any) -> Any:
    """A value as JSON without half pairs and infinite numbers has it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [known(item) for item in value]
    if isinstance(value, dict):
        return {key: known(item) for key, item in value.items()}
    return value


@few
@given(
    st.lists(st.dictionaries(st.sampled_from(["text", "x", "ü"]), values), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_keeps_json_values(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict], listed: bool, ascii_: bool
) -> None:
    rows = [{"text": "fine"}, *rows]
    folder = tmp_path_factory.mktemp("scored")
    lines = [json.dumps(row) for row in rows]
    content = (f"[{','.join(lines)}]" if listed else "\n".join(lines)).encode()
    scored_rows = read(scored(content, "in.json", "out.jsonl", folder))
    assert [
        {k: v for k, v in row.items() if k not in predictions.COLUMNS} for row in scored_rows
    ] == [known(row) for row in rows]
    for suffix in (".csv", ".parquet"):
        scored_rows = read(scored(content, "in.json", f"out{suffix}", folder))
        assert len(scored_rows) == len(rows)
        for row, old in zip(scored_rows, rows, strict=True):
            for key, value in old.items():
                if isinstance(value, str) and (suffix == ".csv" or isinstance(row[key], str)):
                    assert row[key] == known(value)
                elif type(value) is int:
                    assert str(row[key]) == str(value) or row[key] == value


def every_type() -> pyarrow.Table:
    return pyarrow.table(
        {
            "text": pyarrow.array(["fine", None, ""]).dictionary_encode(),
            "when": pyarrow.array([datetime(2024, 5, 1, 10, tzinfo=UTC), None, None]),
            "day": pyarrow.array([date(2024, 5, 1), None, None]),
            "hour": pyarrow.array([time(10, 30), None, None]),
            "long": pyarrow.array([timedelta(hours=1), None, None]),
            "price": pyarrow.array([Decimal("1.50"), None, Decimal("12345678901234567890.10")]),
            "raw": pyarrow.array([b"ok", b"\xff", None]),
            "real": pyarrow.array([math.nan, math.inf, 1.5]),
            "far": pyarrow.array([0, 10**7, None], pyarrow.date32()),
            "nanos": pyarrow.array([1, None, 10**18 + 1], pyarrow.timestamp("ns")),
            "big": pyarrow.array([2**64 - 1, None, 1], pyarrow.uint64()),
            "deep": pyarrow.array([[{"at": datetime(2024, 5, 1), "x": math.nan}], None, []]),
            "map": pyarrow.array(
                [[("k", 1)], None, []], pyarrow.map_(pyarrow.string(), pyarrow.int64())
            ),
        }
    )


def test_keeps_parquet_values_of_every_type(tmp_path: Path) -> None:
    table = every_type()
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    out = scored(sink.getvalue(), "in.parquet", "out.parquet", tmp_path)
    scored_table = parquet.ParquetFile(out).read().select(table.column_names)
    assert scored_table.schema == table.schema
    for name in set(table.column_names) - {"real", "deep"}:  # NaN equals nothing
        assert scored_table[name].combine_chunks().equals(table[name].combine_chunks())
    for name in ("real", "deep"):
        assert str(scored_table[name].to_pylist()) == str(table[name].to_pylist())
    first, second, third = read(scored(sink.getvalue(), "in.parquet", "out.jsonl", tmp_path))
    assert [first[key] for key in table.column_names] == [
        "fine", "2024-05-01T10:00:00+00:00", "2024-05-01", "10:30:00", "1:00:00", "1.50", "6f6b",
        None, "1970-01-01", "1970-01-01T00:00:00.000000001", 2**64 - 1,
        [{"at": "2024-05-01T00:00:00", "x": None}], [["k", 1]],
    ]  # fmt: skip
    assert (second["real"], second["far"], second["raw"]) == ("Infinity", "29349-01-26", "ff")
    assert third["price"] == "12345678901234567890.10"
    rows = read(scored(sink.getvalue(), "in.parquet", "out.csv", tmp_path))
    assert rows[0]["real"] == "" and rows[0]["price"] == "1.50" and rows[0]["map"] == '[["k", 1]]'


def test_integers_beyond_64_bits_and_numbers_beyond_floats(tmp_path: Path) -> None:
    content = (
        b'{"text": "a", "n": 36893488147419103232, "x": 1e999}\n{"text": "b", "n": 7, "y": NaN}'
    )
    for suffix in parts.OUTPUTS:
        rows = read(scored(content, "in.jsonl", f"out{suffix}", tmp_path))
        assert [str(row["n"]) for row in rows] == [str(2**65), "7"]
        assert rows[0]["x"] == "1e999" and not rows[1]["y"]


def test_a_lone_carriage_return_and_a_prefix_with_a_line_break(tmp_path: Path) -> None:
    content = b'text,id\r\n"a\rb",1.50\r\n"c\r\nd",2\r\n'
    out = scored(content, "in.csv", "out.csv", tmp_path, prefix="a\rb\n")
    assert [(row["text"], row["id"]) for row in read(out)] == [("a\rb", "1.50"), ("c\r\nd", "2")]
    assert list(read(out)[0])[2:] == [f"a\rb\n{name}" for name in predictions.COLUMNS]
    with pytest.raises(RunError, match="--prefix must be text in UTF-8"):
        scored(content, "in.csv", "new.csv", tmp_path, prefix="\udcff")


def test_later_rows_may_have_other_keys(tmp_path: Path) -> None:
    content = b'{"text": "a"}\n{"text": "b"}\n{"text": "c", "extra": 2}\n{"n": "x"}'
    for suffix in parts.OUTPUTS:
        rows = read(scored(content, "in.jsonl", f"out{suffix}", tmp_path))
        assert [row.get("extra") or None for row in rows[:2]] == [None, None]
        assert (str(rows[2]["extra"]), rows[3]["n"]) == ("2", "x")
        assert rows[3]["reason"] == "The cell is empty."
    clash = b'{"text":"a"}\n{"text":"b","label":1,"extra":2}'
    assert "already has a column 'label'" in refusal(clash, "in.jsonl", new(tmp_path))


def new(folder: Path) -> Path:
    (folder / "new").mkdir()
    return folder / "new"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'id,text\n1,"He said wow\n2,fine\n3,weak\n', "line 2: a quote opens in this row and is"),
        (b"id,text\n" + b"1,fine\n" * 9 + b"2\n", "line 11: the row has 1 cell.* row 10 of"),
        (b"text,text\na,b\n", "more than one column named 'text'"),
        (b"text,a,a\na,b,c\n", "more than one column named 'a'"),
        (b"text\na\rb\nc\n", "line 2: a carriage return without a line feed"),
        (b'{"text": "a", "text": "b"}\n', "more than one key of the name 'text'"),
        (b'{"text": "a"}\n{"text": \n', "line 2 is broken JSON"),
        (b"", "is empty"),
        (b"PAR1 no", "is a broken Parquet file"),
        (gzip.compress(b"text\na\n" * 999, mtime=0)[:-9], "is a broken gzip file"),
    ],
)
def test_damaged_files_are_refused_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.setattr(predictions, "load", lambda *_: pytest.fail("loaded"))
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(refusal(content, "in.csv", tmp_path))


def test_output_never_replaces_the_input(tmp_path: Path) -> None:
    source, content = tmp_path / "r.csv", b"text\nfine\n"
    source.write_bytes(content)
    (tmp_path / "soft.csv").symlink_to(source)
    os.link(source, tmp_path / "hard.csv")
    (tmp_path / "o.csv.parts").mkdir()
    (tmp_path / "o.csv.parts/000000000.csv").write_bytes(content)
    within = tmp_path / "o.csv.parts/000000000.csv"
    cases = [(source, "r.csv"), (source, "soft.csv"), (source, "hard.csv"), (within, "o.csv")]
    for given_, out in cases:
        with pytest.raises(RunError, match="would replace .* which is read"):
            score.score(str(given_), "m", tmp_path / out, overwrite=True)
        assert given_.read_bytes() == content
    with pytest.raises(RunError, match="is needed for parts, but has other content"):
        score.score(str(source), "m", tmp_path / "o.csv", overwrite=True)
    assert within.read_bytes() == content


@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
def test_output_may_be_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    (tmp_path / "in.csv").write_text("text\n" + "fine\n" * 5)
    (tmp_path / "far").mkdir()
    target, link, hop = tmp_path / "far/target.csv", tmp_path / "link.csv", tmp_path / "hop.csv"
    link.symlink_to("hop.csv")
    hop.symlink_to("far/target.csv")
    if there:
        target.write_text("yesterday's")
        with pytest.raises(RunError, match="target.csv already exists"):
            score.score(str(tmp_path / "in.csv"), "m", link)
    with monkeypatch.context() as patch:
        patch.setattr(parts.os, "fsync", raises(OSError(errno.ENOSPC, "No space left"), after=2))
        with pytest.raises(RunError, match="the disk is full"):
            score.score(str(tmp_path / "in.csv"), "m", link, overwrite=True)
    assert (target.read_text() == "yesterday's") if there else not target.exists()
    assert len(parts.finished_parts(tmp_path / "far/target.csv.parts")) == 1
    score.score(str(tmp_path / "in.csv"), "m", link, overwrite=True)  # resumes
    assert link.readlink() == Path("hop.csv") and hop.readlink() == Path("far/target.csv")
    assert len(read(target)) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "far",
        "hop.csv",
        "in.csv",
        "link.csv",
    ]
    assert [path.name for path in target.parent.iterdir()] == ["target.csv"]


def test_refuses_links_to_other_formats_and_folders(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\nfine\n")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    for name, target, message in [
        ("to-folder.csv", "folder.csv", "folder.csv is a folder — name a file"),
        ("itself.csv", "itself.csv", "itself.csv is a link to itself"),
        ("other.csv", "x.parquet", "both must end in the same suffix"),
        ("to-source.csv", "in.csv", "would replace .*, which is read"),
        ("to-link.csv", "to-source.csv", "would replace .*, which is read"),
        ("nowhere.csv", "in.csv/x/y.csv", "can't be written"),
    ]:
        (tmp_path / name).symlink_to(target)
        with pytest.raises(RunError, match=message):
            score.score(str(source), "m", tmp_path / name, overwrite=True)
        assert (tmp_path / name).readlink() == Path(target)
    assert source.read_text() == "text\nfine\n"
    assert (tmp_path / "x.parquet").read_bytes() == b"PAR1"


def test_input_without_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(scored(b"text,label_\n", "in.csv", "out.csv", tmp_path)) == []
    assert "the input has no rows: the output has none either" in capsys.readouterr().out
    assert "has no rows and names no columns" in refusal(b"[]", "in.json", new(tmp_path))


def test_keeps_the_old_output_until_the_new_one_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("yesterday's")

    def fails(kind: type[Exception], source: str, **options: Any) -> None:
        with pytest.raises(kind):
            score.score(str(tmp_path / source), "m", out, overwrite=True, **options)
        assert out.read_text() == "yesterday's"

    (tmp_path / "in.csv").write_text("text\n" + "fine\n" * 9)
    (tmp_path / "bad.csv").write_text("text,a\n1\n")
    fails(DataError, "no.csv")
    fails(DataError, "bad.csv")
    fails(DataError, "in.csv", text="review")
    with monkeypatch.context() as patch:
        patch.setattr(predictions, "load", raises(ModelError("no model")))
        fails(ModelError, "in.csv")
    with monkeypatch.context() as patch:
        patch.setattr(parts.os, "fsync", raises(OSError(errno.ENOSPC, "No space left"), after=3))
        with pytest.raises(RunError, match="the disk is full — finished rows are in .*parts;"):
            score.score(str(tmp_path / "in.csv"), "m", out, overwrite=True)
    assert out.read_text() == "yesterday's"
    assert len(parts.finished_parts(parts.folder_of(out))) == 2
    with pytest.raises(RunError, match="already exists"):
        score.score(str(tmp_path / "in.csv"), "m", out)
    score.score(str(tmp_path / "in.csv"), "m", out, overwrite=True)  # resumes
    assert len(read(out)) == 9 and not parts.folder_of(out).exists()


def test_impossible_file_names(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\nfine\n")
    with pytest.raises(DataError, match="no file at x"):
        score.score(f"{'x' * 5000}.csv", "m", tmp_path / "out.csv")
    for out in (tmp_path / f"{'x' * 5000}.csv", source / "out.csv", tmp_path / "folder.csv"):
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        with pytest.raises(RunError, match="can't be written|is a folder"):
            score.score(str(source), "m", out)
    with pytest.raises(DataError, match="no file or folder at"):
        sources.read(Dataset(source=f"{'x' * 5000}.csv"))


def raises(error: Exception, after: int = 0) -> Callable[..., Any]:
    calls = iter(range(10**6))

    def function(*args: Any) -> None:
        if next(calls) >= after:
            raise error

    return function


class Killed(BaseException):
    """As a kill, which no code of ours can catch."""


@pytest.mark.parametrize("step", range(7))
def test_resumes_after_a_kill_while_removing_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\n" + "fine\n" * 9)
    unlink, calls = Path.unlink, iter(range(10))

    def killed(path: Path) -> None:
        if next(calls) == step:
            raise Killed
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(Killed):
            score.score(str(source), "m", out)
    assert len(read(out)) == 9
    score.score(str(source), "m", out)
    assert len(read(out)) == 9 and not parts.folder_of(out).exists()


def mutants(whole: bytes, count: int, begin: int = 0) -> list[bytes]:
    chance = random.Random(0)
    broken_files = [whole[: chance.randrange(begin, len(whole))] for _ in range(count)]
    for _ in range(count):
        broken = bytearray(whole)
        for _ in range(3):
            broken[chance.randrange(begin, len(whole))] = chance.randrange(256)
        broken_files.append(bytes(broken))
    return broken_files


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "gz", "parquet"])
def test_mutated_files_are_scored_or_refused(tmp_path: Path, kind: str) -> None:
    rows = [{"text": f"fine é {i}", "label": str(i % 2), "note": 'a "b"\n'} for i in range(30)]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    sink = io.BytesIO()
    parquet.write_table(every_type(), sink)
    whole = {
        "csv": stream.getvalue().encode(),
        "jsonl": "\n".join(json.dumps(row) for row in rows).encode(),
        "json": json.dumps(rows, ensure_ascii=False).encode(),
        "gz": gzip.compress(stream.getvalue().encode(), mtime=0),
        "parquet": sink.getvalue(),
    }[kind]
    refused = 0
    for number, content in enumerate(mutants(whole, 40)):
        out = f"out{parts.OUTPUTS[number % 3]}"
        try:
            assert read(scored(content, f"in.{kind}", out, tmp_path)) is not None
        except DataError as error:
            assert str(error)
            refused += 1
        try:
            sources.read(Dataset(source=str(tmp_path / f"in.{kind}"), label="text"))
        except DataError as error:
            assert str(error)
    assert refused > 10
