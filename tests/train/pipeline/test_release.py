"""Releases: fp16 weights in the repository, from which everything works, and is never changed."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from commands import run_train
from conftest import toy_reviews
from hubserver import RunningHub
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file
from test_hub import fingerprint
from test_pipeline_call import CALLERS

from train import run_folder
from train.errors import RunError
from train.evaluation import row_results
from train.modeling import model
from train.pipeline import release
from train.publishing import export


@pytest.fixture(scope="module")
def written(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of that run; all rows were compared."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "SURE", 1)  # the toy model is sure of all rows
        release.write(finished_run, folder)
    return folder


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return Path(shutil.copytree(finished_run, tmp_path / "tiny"))


@pytest.fixture
def released(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the release; the test fails if anything in its folder or beside it changes."""
    folder = Path(shutil.copytree(written, tmp_path / "models/toy"))
    before = fingerprint(folder.parent)
    monkeypatch.chdir(tmp_path)
    yield folder
    assert fingerprint(folder.parent) == before


def train(*arguments: str) -> None:
    """The command line in this process."""
    from train.__main__ import app

    app(list(arguments), standalone_mode=False)


def change_results(folder: Path, section: str, **values: Any) -> None:
    results = run_folder.load_results(folder)
    results[section] = {**results[section], **values}
    run_folder.save_results(folder / "results.json", results)


def test_release_has_the_files_of_the_run_in_half_the_size(
    finished_run: Path, written: Path
) -> None:
    names = {name for name in fingerprint(finished_run) if not name.startswith("onnx/")}
    assert set(fingerprint(written)) == names
    weights = load_file(written / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    original = load_file(finished_run / "model.safetensors")
    assert weights.keys() == original.keys()
    assert all(torch.equal(weights[key], original[key].half()) for key in weights)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (written, finished_run)]
    assert sizes[0] < 0.6 * sizes[1]
    assert "license: apache-2.0" in (written / "README.md").read_text(encoding="utf-8")


def test_results_record_what_each_storage_changes(finished_run: Path, written: Path) -> None:
    results = run_folder.load_results(written)
    recorded = results.pop("release")
    assert results == run_folder.load_results(finished_run)
    assert recorded["storage"] == "fp16"
    assert recorded["rows"] == results["metrics"]["test"]["n"]
    assert recorded["changed"] == {"fp32": 0, "fp16": 0, "bf16": 0}
    assert recorded["compared"] == recorded["rows"]
    changes = recorded["largest_change"]
    assert changes["fp32"] <= 2**-11  # the recorded probabilities are rounded to fp16
    assert 0 < changes["bf16"] < 0.1 and changes["bf16"] != changes["fp32"]
    assert recorded["sha256"] == fingerprint(written)["model.safetensors"]


def test_unfinished_run_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "onnx")
    with pytest.raises(RunError, match="has no ONNX files"):
        release.write(run, tmp_path / "out")
    results = run_folder.load_results(run)
    del results["metrics"]["test"]
    run_folder.save_results(run / "results.json", results)
    with pytest.raises(RunError, match="is not evaluated"):
        release.write(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("section", "verb"), [("environment", "trained"), ("evaluation", "evaluated")]
)
def test_run_of_changed_code_is_refused(run: Path, tmp_path: Path, section: str, verb: str) -> None:
    change_results(run, section, dirty=True)
    with pytest.raises(RunError, match=f"was {verb} while tracked files had changed"):
        release.write(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_storage_that_changes_predictions_is_refused(run: Path, tmp_path: Path) -> None:
    rows = [row_results.RowResult(*row) for row in row_results.load(run / row_results.FILE).values]
    number = next(i for i, row in enumerate(rows) if row.part == "test")
    rows[number] = rows[number]._replace(correct=not rows[number].correct)
    row_results.save(run / row_results.FILE, rows)
    share = 1 / run_folder.load_results(run)["metrics"]["test"]["n"]
    with pytest.raises(RunError, match=rf"at most 0\.01% .* test predictions, got {share:.4%}"):
        release.write(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_storage_that_could_change_a_sure_row_is_refused(run: Path, tmp_path: Path) -> None:
    file = run / "test-predictions.parquet"
    probabilities = pandas.read_parquet(file)
    first = probabilities.to_numpy()[0]
    wrong = 0.51 if first.max() > 0.635 else 0.74  # the same label, less or more surely
    probabilities.loc[0] = [wrong, 1 - wrong] if first[0] > 0.5 else [1 - wrong, wrong]
    probabilities.astype("float16").to_parquet(file)
    with pytest.raises(RunError, match=r"change a recorded probability by at most 0\.125, got 0"):
        release.write(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_coarser_storage_than_the_released_one_is_only_recorded(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = release._stored

    def coarse(tensor: Any, storage: str) -> Any:
        return torch.zeros_like(tensor) if storage == "bf16" else stored(tensor, storage)

    monkeypatch.setattr(release, "SURE", 1)
    monkeypatch.setattr(release, "_stored", coarse)  # all rows get the same label
    release.write(run, tmp_path / "out")
    changed = run_folder.load_results(tmp_path / "out")["release"]["changed"]
    assert changed["fp16"] == 0 < changed["bf16"]


def test_weights_beyond_fp16_are_refused(run: Path, tmp_path: Path) -> None:
    weights = load_file(run / "model.safetensors")
    weights["bert.embeddings.position_embeddings.weight"][-1] = 1e6  # no review is that long
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match="has weights that fp16 can't store"):
        release.write(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_a_release_is_replaced(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="exists and is not a release"):
        release.write(run, run)
    out = tmp_path / "models/toy"
    release.write(run, out)
    (out / "left-over").touch()
    release.write(run, out)
    assert not (out / "left-over").exists()
    before = fingerprint(out)
    monkeypatch.setattr(release, "MAX_BYTES", 100_000)
    with pytest.raises(RunError, match=r"must have at most 0 MB, .* makes one of \d MB"):
        release.write(run, out)
    assert fingerprint(out.parent) == {f"toy/{name}": digest for name, digest in before.items()}


def test_weights_are_loaded_as_fp32(finished_run: Path, released: Path) -> None:
    classifier, _ = model.load(str(released))
    assert {value.dtype for value in classifier.parameters()} == {torch.float32}
    original = load_file(finished_run / "model.safetensors")
    torch.testing.assert_close(classifier.state_dict(), original, atol=1e-3, rtol=1e-3)


def test_export_makes_a_run_folder_that_is_used_again(
    finished_run: Path, released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("export", "models/toy")
    copy = release.working_copy(Path("models/toy"))
    assert copy == Path("runs/released/toy")
    assert set(fingerprint(copy)) == set(fingerprint(finished_run))
    run_folder.check_complete(copy)
    weights = load_file(copy / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    before, after = (run_folder.load_results(folder) for folder in (finished_run, copy))
    for kind, name in [("fp32", "model"), ("int8", "model_quantized")]:
        size = after["export"][kind].pop("bytes")
        assert size == (copy / f"onnx/{name}.onnx").stat().st_size
        assert before["export"][kind].pop("bytes") == pytest.approx(size, rel=0.01)
    assert after.pop("release")["storage"] == "fp32"
    assert after == before
    assert release.working_copy(copy) == copy

    made: list[Path] = []
    monkeypatch.setattr(release, "unpack", made.append)
    release.working_copy(released)
    assert not made  # of the same weights, exported in the same way
    int8 = after["export"]["int8"]
    change_results(copy, "export", int8={**int8, "scheme": "another"})
    release.working_copy(released)
    assert made == [released]
    change_results(copy, "export", int8=int8)
    change_results(copy, "release", sha256="0" * 64)
    release.working_copy(released)
    assert made == [released] * 2


@pytest.mark.parametrize("form", ["fp32", "int8"])
def test_restored_onnx_with_other_answers_is_an_error(
    form: str, released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = export.predict

    def wrong(file: Path, *arguments: Any, **options: Any) -> Any:
        is_int8 = file.name == "model_quantized.onnx"
        logits = original(file, *arguments, **options)
        return -logits if is_int8 == (form == "int8") else logits

    monkeypatch.setattr(export, "predict", wrong)
    measured = {"fp32": "got: fp32 logits differ by", "int8": r"got: 0\.0% of int8 labels agree"}
    with pytest.raises(RunError, match=measured[form]):
        release.working_copy(released)
    assert not Path("runs/released/toy").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "README.md"])
def test_missing_file_of_a_release_is_an_error(written: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(written, tmp_path / "models/toy"))
    (folder / name).unlink()
    with pytest.raises(RunError, match=rf"incomplete: {name} missing — restore it with `git che"):
        release.working_copy(folder)


def test_evaluate_and_score_use_the_copy(
    finished_run: Path, released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("evaluate", "models/toy")
    copied = run_folder.load_results(Path("runs/released/toy"))
    expected = run_folder.load_results(finished_run)["metrics"]["test"]
    assert copied["metrics"]["test"]["accuracy"] == expected["accuracy"]
    assert f"test: accuracy {expected['accuracy']:.4f}" in capsys.readouterr().out
    Path("reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in toy_reviews(20)))
    columns = ["--set", "label_map={neg: NEGATIVE, pos: POSITIVE}"]
    train("evaluate", "models/toy", "--dataset", "reviews.jsonl", "--split", "train", *columns)
    train("score", "reviews.jsonl", "--model", "models/toy", "--prefix", "p_", "--out", "out.jsonl")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(rows) == 20
    assert np.mean([row["p_label"][:3].lower() == row["label"] for row in rows]) > 0.9


def test_publish_pushes_fp32_weights_and_onnx(
    hub: RunningHub, released: Path, tmp_path: Path
) -> None:
    command = ["publish", "models/toy", "--to", "demo/toy", "--space", "demo/toy"]
    done = run_train(*command, env=hub.env(tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "files are identical, and pipeline() works" in done.stdout
    api = HfApi(endpoint=hub.endpoint, token=False)
    assert {"onnx/model.onnx", "onnx/model_quantized.onnx"} <= set(api.list_repo_files("demo/toy"))
    weights = load_file(api.hf_hub_download("demo/toy", "model.safetensors", cache_dir=tmp_path))
    assert {value.dtype for value in weights.values()} == {torch.float32}
    [title] = [c.title for c in api.list_repo_commits("demo/toy") if c.title.startswith("Publish")]
    assert title.startswith("Publish toy: accuracy ")
    assert api.get_space_runtime("demo/toy").stage


def test_target_is_checked_before_the_copy_is_made(hub: RunningHub, released: Path) -> None:
    folder = released.parent.parent
    command = ["publish", "models/toy", "--to", "other/toy"]
    done = run_train(*command, env=hub.env(folder / "home"), cwd=folder)
    assert done.returncode == 1
    assert "the token may not write there" in done.stderr
    assert not Path("runs").exists()


CALL = """
import json, sys
from transformers import pipeline

answers = []
for folder in sys.argv[1:]:
    classify = pipeline("sentiment-analysis", model=folder)
    assert {str(p.dtype) for p in classify.model.parameters()} == {"torch.float32"}, folder
    answers.append([classify(text)[0] for text in json.load(open("texts.json"))])
print(json.dumps(answers))
"""


@pytest.mark.parametrize("caller", CALLERS)
def test_pipeline_reads_the_weights_as_fp32(
    caller: str, finished_run: Path, released: Path, tmp_path: Path
) -> None:
    python = CALLERS[caller]
    if not python.exists():
        assert os.environ.get("CI") != "true", "run `make setup-tests`"
        pytest.skip(f"{python} is missing — run `make setup-tests`")
    texts = [row["text"] for row in toy_reviews(8)] + ["A film. " * 400]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    done = subprocess.run(
        [python, "-c", CALL, str(finished_run), "models/toy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = json.loads(done.stdout)
    for one, other in zip(ours, theirs, strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
    assert len({answer["label"] for answer in ours}) == 2
