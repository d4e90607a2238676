"""Bulk scoring with models of text pairs: a column of second texts, or aspects for each text."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ASPECTS
from pyarrow import parquet

from train.errors import DataError, ModelError, UsageError
from train.scoring import score as scoring

GOOD, BAD = "film 7 was wonderful", "film 8 was dreadful"


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_model_knows_its_aspects(aspect_run: Path) -> None:
    config = json.loads((aspect_run / "config.json").read_text(encoding="utf-8"))
    assert config["aspects"] == ASPECTS


def test_rows_with_both_texts(aspect_run: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    rows = [
        {"id": 1, "text": GOOD, "part": "acting"},
        {"id": 2, "text": BAD, "part": "story"},
        {"id": 3, "text": GOOD, "part": "music"},
        {"id": 4, "text": GOOD, "part": ""},
        {"id": 5, "text": "😍😍", "part": "acting"},
    ]
    out = tmp_path / "out.jsonl"
    source = write(tmp_path / "in.jsonl", rows)
    scoring.score(source, str(aspect_run), out, text_pair="part")
    scored = read(out)
    labels = ["POSITIVE", "NEGATIVE", "NOT_MENTIONED", None, None]
    assert [row["label"] for row in scored] == labels
    assert [bool(row["reason"]) for row in scored] == [False] * 3 + [True] * 2
    classify = pipeline("text-classification", model=str(aspect_run))
    for row in scored[:3]:
        answer = classify({"text": row["text"], "text_pair": row["part"]})
        assert (answer["label"], answer["score"]) == (
            row["label"], pytest.approx(row["score"], abs=1e-4),
        )  # fmt: skip


@pytest.mark.parametrize("aspects", ["all", " story, acting ,story"])
def test_each_text_gets_columns_for_each_aspect(
    aspect_run: Path, tmp_path: Path, aspects: str
) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": t} for t in (GOOD, "", BAD, "good " * 5000)])
    out = tmp_path / "out.parquet"
    scoring.score(source, str(aspect_run), out, aspects=aspects, prefix="ai_")
    names = ASPECTS if aspects == "all" else ["story", "acting"]
    columns = [f"ai_{name}_{cell}" for name in names for cell in ("label", "score")]
    table = parquet.read_table(out)
    assert table.column_names == ["text", *columns, "ai_caution", "ai_truncated", "ai_reason"]
    good, empty, bad, long = table.to_pylist()
    assert (good["ai_story_label"], bad["ai_acting_label"]) == ("POSITIVE", "NEGATIVE")
    assert 1 / 3 < good["ai_story_score"] <= 1
    assert empty["ai_story_label"] is None and empty["ai_reason"] == "The cell is empty."
    assert (good["ai_truncated"], long["ai_truncated"]) == (False, True)
    if aspects == "all":
        assert good["ai_music_label"] == "NOT_MENTIONED"


def test_stopped_job_resumes_only_with_the_same_aspects(aspect_run: Path, tmp_path: Path) -> None:
    from train.errors import RunError
    from train.scoring import parts

    source, out = write(tmp_path / "in.jsonl", [{"text": GOOD}]), tmp_path / "out.csv"
    scoring.score(source, str(aspect_run), out, aspects="acting")
    folder = parts.folder_of(out)
    folder.mkdir()
    out.unlink()
    (folder / "job.json").write_text("{}")
    with pytest.raises(RunError, match="another .* and aspects"):
        scoring.score(source, str(aspect_run), out, aspects="acting")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ModelError, "reads pairs of texts, .* --text-pair-column, .* acting,story,music"),
        ({"aspects": "popcorn"}, ModelError, "all, or names .* of acting, story, music, got 'popc"),
        ({"aspects": " , "}, ModelError, "--aspects must be all, or names"),
        ({"aspects": "all", "text_pair": "id"}, UsageError, "or --aspects, got both"),
        ({"text_pair": "nothing"}, DataError, "no column 'nothing' .* with --text-pair-column"),
        ({"text_pair": "id"}, DataError, "--text-pair-column"),
    ],
)
def test_what_does_not_fit_a_model_of_pairs(
    aspect_run: Path, tmp_path: Path, options: dict[str, str], error: Any, message: str
) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": GOOD, "id": 1}])
    with pytest.raises(error, match=message):
        scoring.score(source, str(aspect_run), tmp_path / "out.csv", **options)


def test_taken_column_is_named(aspect_run: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": GOOD, "story_label": "x"}])
    with pytest.raises(DataError, match="already has a column 'story_label' .* --prefix"):
        scoring.score(source, str(aspect_run), tmp_path / "out.csv", aspects="all")


def test_model_without_a_list_of_aspects(aspect_run: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(aspect_run, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    del config["aspects"]
    (model / "config.json").write_text(json.dumps(config))
    source, out = write(tmp_path / "in.jsonl", [{"text": GOOD}]), tmp_path / "out.jsonl"
    with pytest.raises(ModelError, match="--aspects all needs a model whose config.json lists"):
        scoring.score(source, str(model), out, aspects="all")
    scoring.score(source, str(model), out, aspects="story")
    assert read(out)[0]["story_label"] == "POSITIVE"


@pytest.mark.parametrize("options", [{"aspects": "all"}, {"text_pair": "part"}])
def test_model_of_single_texts(
    tiny_classifier: Path, tmp_path: Path, options: dict[str, str]
) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": GOOD, "part": "story"}])
    with pytest.raises(ModelError, match="need a model of text pairs, got .* single texts"):
        scoring.score(source, str(tiny_classifier), tmp_path / "out.csv", **options)
