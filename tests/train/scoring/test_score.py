"""Bulk scoring keeps every row exactly once, in every format and after every interruption."""

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from commands import run_train
from conftest import REPOSITORY, sample_rows
from hubserver import WRITE, running_hub
from pyarrow import parquet

from train.errors import DataError, ModelError, RunError
from train.scoring import parts, predictions
from train.scoring import score as scoring

ADDED_COLUMNS = list(predictions.COLUMNS)
ROWS = [
    {"id": f"{i:03d}", "text": text, "note": note}
    for i, (text, note) in enumerate(
        [
            ("A joy, from the first minute.", "007"),
            ("", "1.50"),
            ('He said: "dull",\nand left.', "=1+1"),
            ("Ébloui ✨", " padded "),
            ("word " * 200, ""),
        ]
    )
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
            writer = csv.DictWriter(stream, list(rows[0]), dialect=dialect)
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(parquet.read_table(path).to_pylist())
    with path.open(encoding="utf-8", newline="") as stream:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in stream]
        return list(csv.DictReader(stream))


def many(path: Path, count: int) -> Path:
    texts = [row["text"].partition(".")[0] for row in sample_rows("train")]
    return write(path, [{"id": i, "text": texts[i % len(texts)]} for i in range(count)])


@pytest.mark.parametrize("suffix", parts.OUTPUTS)
@pytest.mark.parametrize("source_suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_keeps_every_value(
    tiny_classifier: Path, tmp_path: Path, source_suffix: str, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    scoring.score(str(write(tmp_path / f"in{source_suffix}", ROWS)), str(tiny_classifier), out)
    rows = read(out)
    is_missing = source_suffix in (".csv", ".tsv") and suffix != ".csv"
    empty = None if is_missing else ""
    expected = [{key: cell or empty for key, cell in row.items()} for row in ROWS]
    assert [{k: row[k] for k in ("id", "text", "note")} for row in rows] == expected
    assert list(rows[0]) == ["id", "text", "note", *ADDED_COLUMNS]
    assert [row["label"] in {"NEGATIVE", "POSITIVE"} for row in rows] == [1, 0, 1, 1, 1]
    assert [str(row["truncated"]) for row in rows if row["label"]] == ["False"] * 3 + ["True"]
    assert [row["reason"] or None for row in rows] == [
        None, "The cell is empty.", None, None, None,
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir() if "parts" in path.name] == []


def test_scores_equal_those_of_the_space(tiny_classifier: Path, tmp_path: Path) -> None:
    from space.inference.classifier import Classifier

    scoring.score(
        str(write(tmp_path / "in.jsonl", ROWS)), str(tiny_classifier), tmp_path / "out.jsonl"
    )
    prediction = Classifier.from_folder(tiny_classifier).predict(ROWS[0]["text"])
    first = read(tmp_path / "out.jsonl")[0]
    assert (first["label"], first["score"]) == (
        prediction.label,
        max(prediction.probabilities.values()),
    )


def test_unsure_and_unreadable_rows_are_marked(tiny_classifier: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_classifier, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps({**config, "unsure_below": 1.1}))
    rows = [{"id": 1, "text": "A good film."}, {"id": 2, "text": "😍😍"}, {"id": 3, "text": "?"}]
    scoring.score(str(write(tmp_path / "in.jsonl", rows)), str(model), tmp_path / "out.parquet")
    found = read(tmp_path / "out.parquet")
    assert [row["unsure"] for row in found] == [True, None, None]
    assert [row["label"] is None for row in found] == [False, True, True]
    assert found[1]["reason"].startswith("The model can't read this review")


@pytest.mark.parametrize("suffix", parts.OUTPUTS)
def test_text_in_another_language_gets_a_caution(
    tiny_classifier: Path, tmp_path: Path, suffix: str
) -> None:
    rows = [
        {"text": "Ce film est vraiment très ennuyeux, et les acteurs jouent mal."},
        {"text": "A film that I saw with my mother, and that I would see again."},
    ]
    out = tmp_path / f"out{suffix}"
    scoring.score(str(write(tmp_path / "in.jsonl", rows)), str(tiny_classifier), out)
    french, english = read(out)
    caution = "The model was trained on English, and this text looks like French."
    assert (french["caution"], str(french["unsure"])) == (caution, "True")
    assert not english["caution"]


def test_keeps_types_and_nested_columns_of_parquet(tiny_classifier: Path, tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "text": ["good", "bad"],
            "tags": pyarrow.array([["a", "b"], None], pyarrow.list_(pyarrow.string())),
            "small": pyarrow.array([1, None], pyarrow.int8()),
            "when": pyarrow.array([0, 1], pyarrow.timestamp("us")),
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    scoring.score(str(tmp_path / "in.parquet"), str(tiny_classifier), tmp_path / "out.parquet")
    scored = parquet.read_table(tmp_path / "out.parquet")
    assert scored.select(table.column_names).equals(table)


@pytest.mark.parametrize("suffix", parts.OUTPUTS)
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_full_parts_and_no_rows(
    tiny_classifier: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    rows: int,
) -> None:
    monkeypatch.setattr(scoring, "PART_ROWS", 1)
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "good\n" * rows, encoding="utf-8")
    scoring.score(str(source), str(tiny_classifier), tmp_path / f"out{suffix}")
    assert [row["text"] for row in read(tmp_path / f"out{suffix}")] == ["good"] * rows


def command(source: Path, model: Path, out: Path, *more: str) -> list[str]:
    # Smaller parts than usual, so that there are many moments to be killed in.
    code = (
        "from train.scoring import score; score.PART_ROWS = 20\n"
        "from train.__main__ import main; main()"
    )
    return [sys.executable, "-c", code, "score", str(source), "--model", str(model)] + [
        "--out", str(out), *more,
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", parts.OUTPUTS)
def test_resumes_after_kills_with_identical_output(
    tiny_classifier: Path, tmp_path: Path, suffix: str
) -> None:
    source = many(tmp_path / "in.csv", 2010)
    whole, killed = tmp_path / f"whole{suffix}", tmp_path / f"killed{suffix}"
    subprocess.run(command(source, tiny_classifier, whole), cwd=REPOSITORY, check=True)
    kept = killed.with_name(killed.name + ".parts")
    kills = 0
    for seed in range(4):
        process = subprocess.Popen(command(source, tiny_classifier, killed), cwd=REPOSITORY)
        before = len(list(kept.glob("0*"))) if kept.exists() else 0
        while process.poll() is None and len(list(kept.glob("0*"))) <= before:
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0, 0.2))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 2
    if kept.exists():  # even if all that was left was to remove it
        subprocess.run(command(source, tiny_classifier, killed), cwd=REPOSITORY, check=True)
    assert killed.read_bytes() == whole.read_bytes()
    assert len(read(whole)) == 2010
    assert not kept.exists()


def test_stops_on_sigterm_and_resumes(tiny_classifier: Path, tmp_path: Path) -> None:
    source, out = many(tmp_path / "in.csv", 4000), tmp_path / "out.csv"
    process = subprocess.Popen(
        command(source, tiny_classifier, out), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    kept = out.with_name("out.csv.parts")
    while not list(kept.glob("0*.csv")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "run the same command to resume" in errors
    done = subprocess.run(
        command(source, tiny_classifier, out), cwd=REPOSITORY, capture_output=True, text=True
    )
    assert "resuming after" in done.stdout
    assert [row["id"] for row in read(out)] == [str(i) for i in range(4000)]


def test_does_not_resume_another_job(tiny_classifier: Path, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.csv", ROWS), tmp_path / "out.csv"
    scoring._start(
        out.with_name("out.csv.parts"), {"input": {}, "model": {}, "text": "text"}, False
    )
    with pytest.raises(RunError, match="a job with another input and .*model.* --overwrite"):
        scoring.score(str(source), str(tiny_classifier), out)
    scoring.score(str(source), str(tiny_classifier), out, overwrite=True)
    assert len(read(out)) == len(ROWS)


def test_invalid_arguments_are_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", ROWS)
    (tmp_path / "notes.md").touch()
    (tmp_path / "there.csv").touch()
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("text,label\none\n", encoding="utf-8")
    clash = write(tmp_path / "clash.csv", [{"text": "good", "score": "5"}])
    out = tmp_path / "out.csv"
    cases: list[tuple[str, Path, dict[str, Any], type[Exception], str]] = [
        (str(tmp_path / "no.csv"), out, {}, DataError, "no file at"),
        (str(tmp_path / "notes.md"), out, {}, DataError, "notes.md is empty"),
        (str(tmp_path), out, {}, DataError, "is a folder — name one of its files"),
        (str(source), tmp_path / "out.xlsx", {}, RunError, "--out must end in one of"),
        (str(source), tmp_path / "there.csv", {}, RunError, "already exists.* --overwrite"),
        (str(source), out, {"text": "review"}, DataError, "no column 'review' — it has: id, text"),
        (str(clash), out, {}, DataError, "already has a column 'score'.* --prefix"),
        (
            str(source),
            out,
            {},
            ModelError,
            "there is no local file or folder demo/nothing, and the connection to",
        ),
    ]
    for path, target, options, kind, message in cases:
        with pytest.raises(kind, match=message):
            scoring.score(path, "demo/nothing", target, **options)
    assert not out.exists()


def test_names_the_line_of_a_row_of_another_length(tiny_classifier: Path, tmp_path: Path) -> None:
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("id,text\n1,one\n2\n", encoding="utf-8")
    with pytest.raises(DataError, match="ragged.csv, line 3: the row has 1 cell, .* row 2 of"):
        scoring.score(str(ragged), str(tiny_classifier), tmp_path / "out.csv")


def test_prefix_keeps_an_existing_label_column(tiny_classifier: Path, tmp_path: Path) -> None:
    rows = [{"text": "good", "label": "mine"}]
    out = tmp_path / "out.csv"
    scoring.score(
        str(write(tmp_path / "in.csv", rows)), str(tiny_classifier), out, prefix="sentiment_"
    )
    (row,) = read(out)
    assert row["label"] == "mine"
    assert row["sentiment_label"] in {"NEGATIVE", "POSITIVE"}


def test_scores_a_dataset_with_a_model_from_the_hub(tiny_classifier: Path, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    with running_hub() as hub:
        api = HfApi(endpoint=hub.endpoint, token=WRITE)
        api.create_repo("demo/tiny")
        api.upload_folder(repo_id="demo/tiny", folder_path=tiny_classifier)
        api.create_repo("demo/reviews", repo_type="dataset")
        for suffix in ["train", "test"]:
            write(tmp_path / f"{suffix}.parquet", ROWS)
            api.upload_file(
                path_or_fileobj=tmp_path / f"{suffix}.parquet",
                path_in_repo=f"data/{suffix}-00000-of-00001.parquet",
                repo_id="demo/reviews",
                repo_type="dataset",
            )
        out = tmp_path / "out.parquet"
        arguments = ["--model", "demo/tiny", "--out", out]
        done = run_train(
            "score", "demo/reviews", *arguments, env=hub.env(tmp_path / "home", token=None)
        )
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in read(out)] == [row["text"] for row in ROWS]
