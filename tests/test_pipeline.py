"""What a recipe requires is planned, done in order, resumed, and refused where it has changed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, toy_reviews, toy_settings, write_toy_csv

from train import pipeline, plain_yaml, recipe, runs
from train.errors import RecipeError, RunError

LABELS = {"neg": "NEGATIVE", "pos": "POSITIVE"}
UNLABELLED = 40


def write_recipe(name: str, base: Path, **changes: object) -> None:
    """`NAME.yaml` in the current folder: a run of a second or two on the toy reviews."""
    values = plain_yaml.read(recipe.RECIPES / "quickstart.yaml")
    for setting in [*toy_settings("reviews.csv", base), "epochs=2"]:
        plain_yaml.override(values, setting)
    values |= {"name": name, **changes}
    Path(f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


@pytest.fixture
def toy_folder(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with reviews, `teacher.yaml` and `student.yaml`, which requires it."""
    monkeypatch.chdir(tmp_path)
    write_toy_csv(tmp_path / "reviews.csv")
    (tmp_path / "more").mkdir()
    texts = [json.dumps({"text": row["text"] + ". A fine day."}) for row in toy_reviews(UNLABELLED)]
    Path("more/train.jsonl").write_text("\n".join(texts), encoding="utf-8")
    patterns = {"step": "patterns", "train_rows": 30, "validation_rows": 20}
    labelled = {"source": "reviews.csv", "label_map": LABELS, "group": "title"}
    made = {"source": "./runs/patterns", "splits": ["train"]}
    write_recipe("teacher", tiny_base, datasets=[labelled, made], requires=[patterns])
    write_recipe(
        "student",
        tiny_base,
        datasets=[labelled, {"source": "./more", "splits": ["train"], "label": None}, made],
        distillation={"probabilities": "runs/probabilities.parquet"},
        requires=[
            {"step": "run", "recipe": "teacher.yaml"},
            patterns,
            {"step": "teach", "teachers": ["runs/teacher"]},
        ],
    )
    return tmp_path


def fit(*arguments: str) -> None:
    """`train fit student.yaml` in this process."""
    from train.__main__ import app

    app(["fit", "student.yaml", *arguments], standalone_mode=False)


def started(*arguments: str) -> "subprocess.Popen[str]":
    """`train …` in a process of its own, in the current folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "train", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def modified() -> dict[str, int]:
    """When each output was written, by its path."""
    files = ["runs/patterns/train.jsonl", "runs/teacher/model.safetensors"]
    files += ["runs/probabilities.parquet", "runs/student/model.safetensors"]
    return {file: Path(file).stat().st_mtime_ns for file in files}


@pytest.mark.usefixtures("toy_folder")
def test_steps_are_done_in_order_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    fit()
    first = modified()
    assert sorted(first.values()) == list(first.values())
    said = capsys.readouterr().out
    assert [line.strip() for line in said.splitlines() if ": missing" in line] == [
        "1. patterns → runs/patterns: missing",
        "2. run of teacher → runs/teacher: missing",
        "3. teach → runs/probabilities.parquet: missing",
        "4. run of student → runs/student: missing",
    ]
    runs.load_results(Path("runs/student"))
    fit()
    assert modified() == first
    said = capsys.readouterr().out
    assert said.count(": finished, ") == 4
    assert "runs/student is finished — rename or remove it to train it anew" in said
    Path("runs/probabilities.parquet").unlink()
    fit("--set", "epochs=3")  # of the student: the steps before are the same
    again = modified()
    assert [again[file] == first[file] for file in first] == [True, True, False, False]


@pytest.mark.usefixtures("toy_folder")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("where", ["teacher", "student"])
def test_what_was_interrupted_goes_on(where: str, number: signal.Signals, tiny_base: Path) -> None:
    """In the middle of a required run, and of the recipe's own, the same command resumes it."""
    for name in ["teacher", "student"]:
        values = plain_yaml.read(Path(f"{name}.yaml"))
        values |= {"epochs": 30 if name == where else 1, "checkpoint_every": 1}
        Path(f"{name}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with started("fit", "student.yaml") as process:
        while not list(Path("runs", where, "checkpoints").glob("step-????????")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        said, _ = process.communicate()
    assert process.returncode, said
    assert not Path("runs", where, "results.json").exists()
    with started("fit", "student.yaml") as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert said.count("resuming from update") == 1
    assert f"run of {where} → runs/{where}: begun, will go on" in said
    assert not list(Path("runs").glob("*-2*"))  # no earlier run was moved aside


@pytest.mark.usefixtures("toy_folder")
def test_a_killed_step_leaves_no_half_output(monkeypatch: pytest.MonkeyPatch) -> None:
    from train import patterns

    def power_cut(folder: Path, *_: object) -> None:
        folder.mkdir()
        (folder / "train.jsonl").write_text("half", encoding="utf-8")
        raise ConnectionAbortedError

    with monkeypatch.context() as patched:
        patched.setattr(patterns, "write", power_cut)
        with pytest.raises(ConnectionAbortedError):
            fit()
    assert not Path("runs/patterns").exists()
    fit("--set", "epochs=1")
    assert len(Path("runs/patterns/train.jsonl").read_text().splitlines()) == 30


def change_patterns() -> None:
    for name in ["teacher", "student"]:
        text = Path(f"{name}.yaml").read_text(encoding="utf-8")
        changed = text.replace("train_rows: 30", "train_rows: 28")
        Path(f"{name}.yaml").write_text(changed, encoding="utf-8")


def test_a_changed_step_is_refused(toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit()
    before = modified()
    change_patterns()
    with pytest.raises(
        RunError, match=r"runs/patterns was not made by the patterns as it is now \(train_rows was "
        r"30, now 28\) — rename or remove it to make it anew, or use all that is there with --set"
    ):  # fmt: skip
        fit()
    assert "something else is there and must be renamed or removed first (train_rows" in capsys.readouterr().out
    Path("runs/patterns").rename("runs/patterns-old")
    with pytest.raises(RunError, match="runs/teacher .* a step that it requires has changed"):
        fit()
    Path("runs/teacher").rename("runs/teacher-old")
    with pytest.raises(RunError, match="probabilities.parquet .* step before it has changed"):
        fit()
    Path("runs/probabilities.parquet").unlink()
    fit()  # the student's own earlier run is moved aside
    assert not set(before.values()) & set(modified().values())
    assert len(list(Path("runs").glob("student-2*"))) == 1


@pytest.mark.usefixtures("toy_folder")
def test_a_changed_recipe_of_a_required_run_is_refused() -> None:
    fit()
    text = Path("teacher.yaml").read_text(encoding="utf-8")
    Path("teacher.yaml").write_text(text.replace("epochs: 2", "epochs: 1"), encoding="utf-8")
    with pytest.raises(RunError, match=r"runs/teacher was not .* \(epochs was 2, now 1\)"):
        fit()
    fit("--set", "requires=[]", "--set", "epochs=1")  # as the message says


@pytest.mark.usefixtures("toy_folder")
@pytest.mark.parametrize("change", ["edit", "forget"])
def test_an_output_of_unknown_origin_is_refused(change: str) -> None:
    fit("--set", "requires=[{step: patterns, train_rows: 30}]", "--set", "distillation=null",
        "--set", "datasets=[{source: reviews.csv}, {source: ./runs/patterns, splits: [train]}]")  # fmt: skip
    if change == "edit":
        Path("runs/patterns/train.jsonl").write_text("{}", encoding="utf-8")
    else:
        Path("runs/.patterns.step").unlink()
    with pytest.raises(RunError, match="runs/patterns .*there is no record of how it was made"):
        fit("--set", "requires=[{step: patterns, train_rows: 30}]")
