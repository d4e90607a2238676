"""The command line: help, invalid input, and a complete run on a local Hub."""

import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_train
from conftest import REPOSITORY, SAMPLES, toy_reviews, toy_settings
from hubserver import ADMIN, running_hub
from typer.testing import CliRunner

from train import __main__ as command_line
from train import recipe as recipes
from train.__main__ import app
from train.data import preparation
from train.errors import DataError, RecipeError, UsageError


def sets(settings: list[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


@pytest.mark.parametrize("command", ["fit", "evaluate", "publish", "run"])
def test_every_command_has_help_with_examples(command: str) -> None:
    arguments = [sys.executable, "-m", "train", command, "--help"]
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0
    assert f"python -m train {command}" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['train', '--help']\n"
        "from train.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'accelerate', 'huggingface_hub', 'gradio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("evaluate nosuch", "error: no run folder at nosuch — add --dataset"),
        ("evaluate nosuch --dataset nosuch.csv", "error: no file or folder at nosuch.csv"),
        ("export nosuch", "error: no run folder at nosuch"),
        ("publish nosuch --to user/name", "error: no run folder at nosuch"),
        ("cut-sentences nosuch.csv --out {out}", "error: no file or folder at nosuch.csv"),
        ("score nosuch.csv --model runs/none --out {out}.csv", "error: no file at nosuch.csv"),
        ("fit nosuch", "error: nosuch is no recipe"),
    ],
)
def test_missing_input_is_found_before_torch_is_imported(
    command: str, message: str, tmp_path: Path
) -> None:
    code = (
        "import sys; from train.__main__ import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    arguments = command.format(out=tmp_path / "out").split()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode in {1, 2}
    assert done.stderr.startswith(message), done.stderr
    assert "requires" not in done.stderr
    assert done.stdout.splitlines()[-1] == "False"


def test_full_disk_is_reported_for_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command_line, "app", write)
    with pytest.raises(SystemExit):
        command_line.main()
    message = capsys.readouterr().err
    assert message.startswith("error: the disk is full")
    assert message.endswith("then run the same command again\n")


def test_no_remedy_asks_for_resume() -> None:
    """The same command resumes; `score`, `export` and `publish` have no `--resume`."""
    files = [*(REPOSITORY / "train").rglob("*.py")]
    assert files
    assert not [f for f in files if "same command with --resume" in f.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    ("source", "options", "split"),
    [
        ("reviews.csv", [], "train"),
        ("reviews.csv", ["--split", "other"], "other"),
        ("plain", [], "train"),
        ("user/reviews", [], "test"),
    ],
)
def test_split_of_a_file_is_train(
    source: str,
    options: list[str],
    split: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from train.pipeline import training_run

    monkeypatch.chdir(tmp_path)
    for name in ["reviews.csv", "plain"]:
        (tmp_path / name).touch()
    splits = []

    def evaluate(model: str, revision: str | None, dataset: object, split: str, rows: int) -> dict:
        splits.append(split)
        return {"metrics": {}}

    monkeypatch.setattr(training_run, "evaluate_elsewhere", evaluate)
    arguments = ["evaluate", "user/model", "--dataset", source, *options]
    app(arguments, standalone_mode=False)
    assert splits == [split]


def test_sentences_are_cut_from_a_file_without_a_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.csv").write_text("text\nA film with three acts.\n", encoding="utf-8")
    app(["cut-sentences", "texts.csv", "--out", "cut/train.jsonl"], standalone_mode=False)
    assert len(Path("cut/train.jsonl").read_text("utf-8").splitlines()) == 1


@pytest.mark.parametrize("key", ["label", "datasets.label", "datasets.0.label"])
def test_evaluate_accepts_keys_with_datasets_prefix(key: str) -> None:
    assert recipes.parse_dataset("reviews.csv", [f"{key}=stars"]).label == "stars"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed=3", "unknown key 'seed' — valid keys: source, revision, config, text, "),
        ("datasets.seed=3", "unknown key 'seed' — valid keys: source, "),
        ("lable=stars", "unknown key 'lable' — did you mean 'label'?"),
        ("weight=0", "  weight must be greater than 0, got 0"),
        ("labels.x=1", "--set labels.x: the recipe has no 'labels' there"),
        ("label", "--set takes key=value, got 'label'"),
        ("label=null", "label must name a column to evaluate on, got null"),
    ],
)
def test_evaluate_reports_the_invalid_key(setting: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.parse_dataset("reviews.csv", [setting])
    assert message in str(caught.value)
    assert "datasets.0" not in str(caught.value)


def test_evaluate_checks_label_map_against_model_labels(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("text,label\nfine,A\nso,B\n", encoding="utf-8")
    dataset = recipes.parse_dataset(str(source), ["label_map={A: GOOD, B: SO}"])
    assert preparation.read_split(dataset, "train", ["BAD", "SO", "GOOD"]).labels == [2, 1]
    with pytest.raises(
        DataError, match=r"must lead to one of \['BAD', 'GOOD'\] or null, got \['SO'\]"
    ):
        preparation.read_split(dataset, "train", ["BAD", "GOOD"])


def test_card_and_hub_import_no_torch() -> None:
    code = "import sys, train.publishing.card, train.publishing.hub; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("settings", "status", "message"),
    [
        pytest.param(["lerning_rate=1e-5"], 2, "did you mean 'learning_rate'", id="unknown key"),
        pytest.param(["learning_rate=5"], 2, "did you mean 5e-5?", id="invalid value"),
        pytest.param(["precision=fp16"], 2, "needs a CUDA GPU", id="fp16 on a CPU"),
        pytest.param(["datasets.source=none.csv"], 1, "no file or folder", id="missing file"),
        pytest.param(["datasets.text=review"], 1, "no column 'review'", id="missing column"),
        pytest.param(
            ["datasets.label_map={neg: NEGATIVE}"], 1, "got ['pos'] in rows 2, 4", id="label"
        ),
    ],
)
def test_invalid_input_prints_one_line_without_stack_trace(
    toy_csv: Path, tiny_base: Path, tmp_path: Path, settings: list[str], status: int, message: str
) -> None:
    out = tmp_path / "run"
    all_settings = sets([*toy_settings(toy_csv, tiny_base), *settings])
    done = run_train("fit", "quickstart", "--out", out, *all_settings)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (out / "checkpoints").exists()


def test_training_again_keeps_the_earlier_run(
    toy_csv: Path, tiny_base: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    settings = sets([*toy_settings(toy_csv, tiny_base), "epochs=1"])
    assert run_train("fit", "quickstart", "--out", out, *settings).returncode == 0
    first = (out / "model.safetensors").read_bytes()
    again = run_train("fit", "quickstart", "--out", out, *settings, "--set", "seed=1")
    assert "moved the earlier run to" in again.stdout
    (backup,) = tmp_path.glob("run-*")
    assert (backup / "model.safetensors").read_bytes() == first


def test_run_trains_publishes_and_resumes_on_a_hub(tiny_base: Path, tmp_path: Path) -> None:
    """`run` with a dataset and a base model from the Hub, and checkpoints kept there."""
    from huggingface_hub import HfApi

    with running_hub() as hub:
        api = HfApi(endpoint=hub.endpoint, token=ADMIN)
        api.create_repo("demo/tiny-base")
        api.upload_folder(repo_id="demo/tiny-base", folder_path=tiny_base)
        rows = [json.dumps(row) for row in toy_reviews()]
        api.create_repo("demo/toy", repo_type="dataset")
        for split, part in [("train", rows[:60]), ("test", rows[60:])]:
            content = "\n".join(part).encode()
            api.upload_file(
                path_or_fileobj=content,
                path_in_repo=f"{split}.jsonl",
                repo_id="demo/toy",
                repo_type="dataset",
            )
        settings = toy_settings("demo/toy", "demo/tiny-base")
        arguments = ["run", "quickstart", *sets(settings), "--to", "demo/toy-model"]
        arguments += ["--checkpoints-to", "demo/toy-checkpoints"]
        environment = hub.env(home=tmp_path / "home")
        first = run_train(*arguments, "--out", tmp_path / "one", env=environment)
        assert first.returncode == 0, first.stderr
        results = json.loads((tmp_path / "one/results.json").read_text())
        assert results["data"]["splits"]["test"]["rows"] == 20
        assert results["metrics"]["test"]["accuracy"] > 0.9
        # The commits of dataset and base model are recorded although none was pinned.
        assert re.fullmatch("[0-9a-f]{40}", results["data"]["revision"][0])
        assert re.fullmatch("[0-9a-f]{40}", results["training"]["base_revision"])
        files = api.list_repo_files("demo/toy-checkpoints")
        assert "recipe.yaml" in files
        assert api.model_info("demo/toy-checkpoints").private
        # The same command on a second machine resumes from there: all updates are done already.
        second = run_train(*arguments, "--out", tmp_path / "two", env=environment)
        assert second.returncode == 0, second.stderr
        assert "resuming from update" in second.stdout
        weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ["one", "two"]]
        assert weights[0] == weights[1]
        # Neither another recipe's checkpoint nor a missing one lets a run start from zero.
        third = ["--out", tmp_path / "three"]
        other = run_train(*arguments, "--set", "seed=1", *third, env=environment)
        assert other.returncode == 1
        assert "demo/toy-checkpoints has the checkpoint of another recipe (seed was" in other.stderr
        empty = ["--checkpoints-to", "demo/empty", "--resume", *third]
        missing = run_train(*arguments[:-2], *empty, env=environment)
        assert missing.returncode == 1
        assert f"nothing to resume in {tmp_path / 'three'}" in missing.stderr
        assert not (tmp_path / "three").exists()

        elsewhere = run_train(
            "evaluate", "demo/toy-model", "--dataset", SAMPLES, "--split", "test",
            "--max-rows", "20", "--out", tmp_path / "elsewhere.json",
            "--set", "label=stars",
            "--set", "label_map={1: NEGATIVE, 2: NEGATIVE, 3: null, 4: POSITIVE, 5: POSITIVE}",
            env=environment,
        )  # fmt: skip
        assert elsewhere.returncode == 0, elsewhere.stderr
        assert json.loads((tmp_path / "elsewhere.json").read_text())["metrics"]["test"]["n"] == 20


@pytest.mark.parametrize("options", [["--set", "label=x"], ["--max-rows", "5"], ["--split", "a"]])
def test_evaluate_refuses_options_that_need_a_dataset(options: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), *options])
    assert isinstance(done.exception, UsageError)
    assert "need --dataset" in str(done.exception)
