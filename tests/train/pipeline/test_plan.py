"""Required steps: the plan, their order, resuming, and outdated outputs."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, toy_reviews, toy_settings, write_toy_csv
from test_training import launched

from train import plain_yaml, recipe, run_folder
from train.errors import RecipeError, RunError
from train.modeling import checkpoints
from train.pipeline import costs, plan, publication, steps, training_run
from train.sections import Patterns

LABELS = {"neg": "NEGATIVE", "pos": "POSITIVE"}
UNLABELED = 40


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
    texts = [json.dumps({"text": row["text"] + ". A fine day."}) for row in toy_reviews(UNLABELED)]
    Path("more/train.jsonl").write_text("\n".join(texts), encoding="utf-8")
    patterns = {"step": "patterns", "max_rows": 30}
    labeled = {"source": "reviews.csv", "label_map": LABELS, "group": "title"}
    made = {"source": "./runs/patterns", "splits": ["train"]}
    write_recipe("teacher", tiny_base, datasets=[labeled, made], requires=[patterns])
    write_recipe(
        "student",
        tiny_base,
        datasets=[labeled, {"source": "./more", "splits": ["train"], "label": None}, made],
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


def start_train(*arguments: str) -> "subprocess.Popen[str]":
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
def test_steps_run_once_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    fit()
    first = modified()
    assert sorted(first.values()) == list(first.values())
    output = capsys.readouterr().out
    assert [line.strip() for line in output.splitlines() if ": missing" in line] == [
        "1. patterns → runs/patterns: missing",
        "2. run of teacher → runs/teacher: missing",
        "3. teach → runs/probabilities.parquet: missing",
        "4. run of student → runs/student: missing",
    ]
    fit()
    assert modified() == first
    output = capsys.readouterr().out
    assert output.count(": finished, ") == 4
    assert "runs/student is finished — rename or remove it to train again" in output
    Path("runs/probabilities.parquet").unlink()
    fit("--set", "epochs=3")  # changes the student only
    again = modified()
    assert [again[file] == first[file] for file in first] == [True, True, False, False]


@pytest.mark.usefixtures("toy_folder")
def test_interrupted_steps_are_resumed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command resumes a required run and the recipe's own run."""
    change("teacher", "epochs: 2", "epochs: 10\ncheckpoint_every: 1")
    with start_train("fit", "student.yaml") as process:
        while not list(Path("runs/teacher/checkpoints").glob("step-????????")):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()  # kill -9
        output, _ = process.communicate()
    assert not Path("runs/teacher/results.json").exists(), output
    save = checkpoints.save

    def power_cut(folder: Path, *state: object) -> None:
        save(folder, *state)
        if folder.name == "student":
            raise ConnectionAbortedError

    with monkeypatch.context() as patched, pytest.raises(ConnectionAbortedError):
        patched.setattr(checkpoints, "save", power_cut)
        fit()
    output = capsys.readouterr().out
    assert "2. run of teacher → runs/teacher: started, will be resumed" in output
    assert output.count("resuming from update") == 1
    fit()
    output = capsys.readouterr().out
    assert "4. run of student → runs/student: started, will be resumed" in output
    assert output.count("resuming from update") == 1
    assert not list(Path("runs").glob("*-2*"))  # no earlier run was renamed


@pytest.mark.usefixtures("toy_folder")
def test_killed_step_leaves_no_partial_output(monkeypatch: pytest.MonkeyPatch) -> None:
    from train.augmentation import patterns

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


def change(name: str, before: str, now: str) -> None:
    """Edit `NAME.yaml`."""
    text = Path(f"{name}.yaml").read_text(encoding="utf-8")
    assert before in text
    Path(f"{name}.yaml").write_text(text.replace(before, now), encoding="utf-8")


@pytest.mark.usefixtures("toy_folder")
def test_changed_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    fit()
    before = modified()
    for name in ["teacher", "student"]:
        change(name, "max_rows: 30", "max_rows: 28")
    changed = r"\(max_rows was 30, now 28\)"
    with pytest.raises(
        RunError,
        match=rf"runs/patterns was not made by the patterns as it is now {changed} — rename or "
        "remove it to make it again, or use all existing outputs with --set",
    ):
        fit()
    assert re.search(f"1. patterns .* renamed or removed first {changed}", capsys.readouterr().out)
    Path("runs/patterns").rename("runs/patterns-old")
    with pytest.raises(RunError, match="runs/teacher .*a required step has changed"):
        fit()
    Path("runs/teacher").rename("runs/teacher-old")
    with pytest.raises(RunError, match="probabilities.parquet .*an input has changed"):
        fit()
    Path("runs/probabilities.parquet").unlink()
    fit()  # renames the student's own earlier run
    assert not set(before.values()) & set(modified().values())
    assert len(list(Path("runs").glob("student-2*"))) == 1


@pytest.mark.usefixtures("toy_folder")
def test_changed_recipe_of_required_run_is_refused() -> None:
    fit()
    change("teacher", "epochs: 2", "epochs: 1")
    with pytest.raises(RunError, match=r"runs/teacher was not .* \(epochs was 2, now 1\)"):
        fit()
    fit("--set", "requires=[]", "--set", "epochs=1")  # as the message says


ONE_STEP = ["--set", "requires=[{step: patterns, max_rows: 30}]", "--set", "distillation=null"]
ONE_STEP += ["--set", "datasets=[{source: reviews.csv}, {source: ./runs/patterns}]"]


@pytest.mark.usefixtures("toy_folder")
@pytest.mark.parametrize("origin", ["edited", "unknown"])
def test_edited_or_unknown_output_is_refused(origin: str) -> None:
    steps.run_data_step(plan.data_task(Patterns(step="patterns", max_rows=30)))
    fit(*ONE_STEP, "--set", "epochs=1")
    if origin == "edited":
        Path("runs/patterns/train.jsonl").write_text("{}", encoding="utf-8")
    else:
        Path("runs/.patterns.step").unlink()
    with pytest.raises(RunError, match="runs/patterns .*there is no record of how it was made"):
        fit(*ONE_STEP)


@pytest.mark.usefixtures("toy_folder")
@pytest.mark.parametrize(
    ("requires", "message"),
    [
        pytest.param(
            "[{step: run, recipe: techer}]",
            "student requires techer: techer is no recipe — give a YAML file, or one of: aspects",
            id="unknown recipe",
        ),
        pytest.param(
            "[{step: run, recipe: student.yaml}]", "circular, got student → student", id="circle"
        ),
        pytest.param(
            "[{step: run, recipe: back.yaml}]", "got student → back → student", id="long circle"
        ),
        pytest.param(
            "[{step: run, recipe: teacher.yaml}]",
            "the recipe student reads runs/probabilities.parquet, which doesn't exist",
            id="file that no step makes",
        ),
        pytest.param(
            "[{step: teach, teachers: [runs/teacher]}, {step: run, recipe: teacher.yaml}]",
            "the step teach of student reads runs/teacher, which doesn't exist and is not",
            id="wrong order",
        ),
        pytest.param(
            "[{step: run, recipe: teacher.yaml}, {step: patterns}]",
            "different outputs to runs/patterns .*max_rows was 30, now None.* another `out`",
            id="two of one output",
        ),
        pytest.param(
            "[{step: fit, recipe: imdb}]", "`step` that is one of run, patterns, ", id="no step"
        ),
        pytest.param(
            "[{step: patterns, rows: 3}]", "unknown key 'requires.0.patterns.rows'", id="no key"
        ),
    ],
)
def test_invalid_requirements_raise_recipe_error(
    requires: str, message: str, tiny_base: Path
) -> None:
    write_recipe("back", tiny_base, requires=[{"step": "run", "recipe": "student.yaml"}])
    with pytest.raises(RecipeError, match=message):
        plan.plan("student.yaml", [f"requires={requires}"])
    assert not Path("runs").exists()


def test_teach_without_distillation_is_refused() -> None:
    with pytest.raises(RecipeError, match="has a step `teach`: this needs a `distillation`"):
        recipe.load("imdb", ["requires=[{step: teach, teachers: [runs/a]}]"])


def required(tasks: list[plan.Task], name: str) -> recipe.Recipe:
    """The recipe of a run among the tasks."""
    task = next(task for task in tasks if task.title == f"run of {name}")
    assert task.recipe
    return task.recipe


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that the overrides name; a plan checks only that they exist."""
    monkeypatch.chdir(tmp_path)
    for name in ["mine.csv", "more.csv", "sst.csv", "other"]:
        Path(name).touch()


@pytest.mark.usefixtures("toy_folder")
def test_required_runs_of_one_recipe_differ_by_their_changes(tiny_base: Path) -> None:
    runs = [
        {"step": "run", "recipe": "teacher.yaml", "set": [f"name=teacher-{n}", f"epochs={n}"]}
        for n in (2, 3)
    ]
    write_recipe("two-teachers", tiny_base, requires=runs)
    *teachers, own = [task for task in plan.plan("two-teachers.yaml") if task.is_run]
    assert [task.out for task in teachers] == [Path("runs/teacher-2"), Path("runs/teacher-3")]
    assert [task.arguments["epochs"] for task in teachers] == [2, 3]
    assert own.arguments["epochs"] == 2
    write_recipe("wrong", tiny_base, requires=[{**runs[0], "set": ["epoch=2"]}])
    with pytest.raises(RecipeError, match=r"wrong requires teacher.yaml: .*epoch"):
        plan.plan("wrong.yaml")


@pytest.mark.usefixtures("own_files")
def test_overrides_of_shared_data_apply_to_required_recipes() -> None:
    settings = ["datasets.0.source=mine.csv", "datasets.0.revision=null", "datasets.0.weight=2"]
    settings += ["datasets.1.source=more.csv", "datasets.1.train=train", "split_seed=3"]
    settings += ["datasets.2.source=sst.csv", "base_model=./other", "base_revision=null"]
    tasks = plan.plan("movie-sentiment", [*settings, "epochs=9", "requires.2.max_sentences=5"])
    teacher, student = (required(tasks, name) for name in ["teacher", "movie-sentiment"])
    assert [d.source for d in teacher.datasets][:3] == ["mine.csv", "sst.csv", "./runs/patterns"]
    assert (teacher.datasets[0].revision, teacher.datasets[0].weight) == (None, 1)
    assert (teacher.split_seed, teacher.epochs) == (3, recipe.load("teacher").epochs)
    assert teacher.base_model == recipe.load("teacher").base_model  # another than the student's
    assert student.base_model == "./other"
    [cut] = [task.arguments for task in tasks if task.title == "cut-sentences"]
    assert (cut["source"], cut["split"], cut["max_sentences"]) == ("more.csv", "train", 5)


@pytest.mark.usefixtures("toy_folder")
def test_overrides_apply_to_indirectly_required_recipes(tiny_base: Path) -> None:
    chain = [{"step": "run", "recipe": "student.yaml"}]
    labeled = {"source": "reviews.csv", "label_map": LABELS, "group": "title"}
    write_recipe("next", tiny_base, datasets=[labeled], requires=chain)
    Path("other").touch()
    settings = ["datasets.0.group=movie", "datasets.0.weight=2", "base_model=./other"]
    tasks = plan.plan("next.yaml", settings)
    for name in ["teacher", "student"]:
        assert required(tasks, name).datasets[0].group == "movie"
        assert required(tasks, name).datasets[0].weight == 1
        assert required(tasks, name).base_model == "./other"


def test_plan_prints_only_measured_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = json.loads((costs.RESULTS / "quickstart.json").read_text(encoding="utf-8"))
    measured["training"] |= {"seconds": 4700, "peak_memory_mb": 1234.5}
    (tmp_path / "teacher.json").write_text(json.dumps(measured), encoding="utf-8")
    monkeypatch.setattr(costs, "RESULTS", tmp_path)
    monkeypatch.chdir(tmp_path)  # without the runs of this checkout
    costs.print_plan(plan.plan("movie-sentiment"))
    patterns, teacher, *others = re.findall(r"\d\. .*\n +(.*)", capsys.readouterr().out)
    assert teacher.startswith("time 1 h 18 min, memory 1,234 MB, disk ")
    assert {patterns, *others} == {"time, memory and disk not measured"}


@pytest.mark.parametrize("name", ["quickstart", "movie-sentiment"])
def test_plan_shows_no_cost_of_a_run_with_other_settings(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither what was measured nor what the header of the recipe says."""
    monkeypatch.chdir(tmp_path)  # without the runs of this checkout
    for settings, is_known in [([], True), (["max_train=60", "epochs=1"], False)]:
        costs.print_plan(plan.plan(name, settings)[-1:])
        shown = capsys.readouterr().out
        assert ("as measured" in shown or "cost: " in shown) == is_known
        assert ("not measured" in shown) >= (not is_known)


@pytest.mark.usefixtures("toy_folder")
def test_sentences_are_cut_before_the_teacher_labels_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    student = yaml.safe_load(Path("student.yaml").read_text(encoding="utf-8"))
    cut = {"step": "cut-sentences", "source": "./more", "split": "train", "max_sentences": 7}
    student["requires"].insert(2, cut)
    student["datasets"][1]["source"] = "./runs/cut-sentences"
    Path("student.yaml").write_text(yaml.safe_dump(student), encoding="utf-8")
    fit()
    assert len(Path("runs/cut-sentences/train.jsonl").read_text("utf-8").splitlines()) == 7
    capsys.readouterr()
    costs.print_plan(plan.plan("student.yaml"))
    assert capsys.readouterr().out.count(": finished, ") == 5


@pytest.mark.usefixtures("toy_folder")
@pytest.mark.parametrize(
    ("started", "expected"),
    [
        pytest.param([], False, id="a required run was interrupted"),
        pytest.param(["student"], True, id="its own run was interrupted"),
    ],
)
def test_resume_applies_to_the_started_run(
    started: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--resume` is no error if only a required run has started."""
    for name in started:
        Path("runs", name).mkdir(parents=True)
    resumed: dict[str, bool] = {}
    monkeypatch.setattr(
        training_run,
        "fit",
        lambda recipe, folder, resume, **_: resumed.update({recipe.name: resume}),
    )
    monkeypatch.setattr(steps, "run_data_step", lambda task: None)
    fit("--resume")
    assert resumed == {"teacher": False, "student": expected}


@pytest.mark.usefixtures("toy_folder")
def test_finished_run_is_only_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second `train run`, after a failed upload, neither trains nor evaluates."""
    from train import __main__ as command_line
    from train.publishing import export

    monkeypatch.setattr(publication, "check_targets", lambda *_: None)
    monkeypatch.setattr(publication, "publish", lambda *_: None)
    arguments = ["run", "student.yaml", "--to", "user/name", *ONE_STEP, "--set", "epochs=1"]
    command_line.app(arguments, standalone_mode=False)
    for module, name in [(training_run, "fit"), (training_run, "evaluate"), (export, "export")]:
        monkeypatch.delattr(module, name)
    command_line.app(arguments, standalone_mode=False)


@pytest.mark.usefixtures("toy_folder")
def test_two_processes_run_a_chain_of_steps(tmp_path: Path) -> None:
    """Both train; the first runs the other steps while the second waits."""
    output = launched(tmp_path / "log", ["fit", "student.yaml"], cwd=tmp_path)
    assert output.count("wrote runs/patterns: ") == 1
    assert output.count("wrote runs/probabilities.parquet: ") == 1
    for name in ["teacher", "student"]:
        device = run_folder.load_results(Path("runs", name))["environment"]["device"]
        assert device.endswith("2 processes")


def test_note_about_the_base_makes_no_output_outdated() -> None:
    noted, plain = (plan.plan("quickstart", note)[-1] for note in (["base_note=4 bits"], []))
    assert noted.recipe and noted.recipe.base_note == "4 bits"
    assert noted.digest == plain.digest
