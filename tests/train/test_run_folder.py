"""The run folder: locks, backups of earlier runs, atomic writes, completeness checks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from train import recipe as recipes
from train import run_folder
from train.errors import RunError
from train.recipe import Recipe

RESULTS: dict[str, Any] = {"metrics": {"validation": {}, "test": {}}}


def recipe_for(**changes: Any) -> Recipe:
    values = {"name": "tiny", "base_model": "base", "datasets": [{"source": "reviews.csv"}]}
    return recipes.parse({**values, **changes})


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    """A trained, evaluated and exported run folder."""
    folder = tmp_path / "run"
    run_folder.prepare(folder, recipe_for())
    for name in run_folder.MODEL_FILES:
        (folder / name).touch()
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").touch()
    run_folder.save_results(folder / "results.json", RESULTS)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@contextmanager
def held(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A subprocess that holds the lock of a path."""
    code = (
        "import sys, time; from pathlib import Path; from train import run_folder\n"
        "with run_folder.locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


COMMANDS = {
    "fit": "fit imdb-small --out RUN",
    "fit-resume": "fit imdb-small --out RUN --resume",
    "run": "run imdb-small --to user/model --out RUN",
    "evaluate": "evaluate RUN",
    "export": "export RUN",
    "publish": "publish RUN --to user/model",
    "cut-sentences": "cut-sentences corpus.csv --out RUN",
}


def test_lock_refuses_second_process_until_first_is_killed(complete: Path) -> None:
    """Every command that writes to the folder takes the lock before it reads anything."""
    from train.__main__ import app

    before = contents(complete)
    with held(complete) as first:
        for words in COMMANDS.values():
            arguments = words.replace("RUN", str(complete)).split()
            with pytest.raises(RunError, match="is in use by another process — wait until it ends"):
                app(arguments, standalone_mode=False)
        first.kill()  # kill -9
        first.wait()
        with run_folder.locked(complete), run_folder.locked(complete):  # once more inside
            assert contents(complete) == before


def test_lock_follows_symbolic_links(complete: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(complete)
    with held(tmp_path / "link"), pytest.raises(RunError, match=f"{complete} is in use"):
        with run_folder.locked(complete):
            pass
    with held(tmp_path / "other"), run_folder.locked(complete):
        pass


def test_only_first_process_of_a_launch_locks(
    complete: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with held(complete), run_folder.locked(complete):
        pass


def test_lock_in_unwritable_path_raises_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="can't write to .* choose another path"):
        with run_folder.locked(tmp_path / "file" / "run"):
            pass


def test_lock_file_is_inside_folder_with_read_only_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case of a container whose volume is the run folder."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path.parent)
    with run_folder.locked(tmp_path):
        run_folder.prepare(tmp_path, recipe_for())
        files = {path.name for path in tmp_path.iterdir()}
    assert files == {"recipe.yaml", f".{tmp_path.name}.lock"}


def test_prepare_creates_folder_with_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    run_folder.prepare(folder, recipe_for(epochs=7))
    assert run_folder.load_recipe(folder) == recipe_for(epochs=7)


def test_prepare_renames_earlier_run(complete: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(complete)
    run_folder.prepare(complete, recipe_for(seed=1))
    assert [file.name for file in complete.iterdir()] == ["recipe.yaml"]
    [backup] = complete.parent.glob("run-*")
    assert contents(backup) == before
    assert f"moved the earlier run to {backup}" in capsys.readouterr().out


def test_prepare_keeps_three_runs_of_one_second(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for seed in range(3):
        run_folder.prepare(folder, recipe_for(seed=seed))
    seeds = {run_folder.load_recipe(path).seed for path in tmp_path.iterdir()}
    assert seeds == {0, 1, 2}


def test_prepare_uses_empty_folder(tmp_path: Path) -> None:
    run_folder.prepare(tmp_path, recipe_for())
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_check_resumable_accepts_same_recipe(complete: Path) -> None:
    before = contents(complete)
    run_folder.check_resumable(complete, recipe_for())
    assert contents(complete) == before


def test_check_resumable_refuses_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"nothing to resume in {tmp_path} — start without --resume"):
        run_folder.check_resumable(tmp_path, recipe_for())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 9}, "(epochs was 3, now 9)"),
        ({"seed": 1, "epochs": 9}, "(seed was 0, now 1; epochs was 3, now 9)"),
        ({"datasets": [{"source": "other.csv"}]}, "'source': 'other.csv'"),
    ],
    ids=["one", "two", "dataset"],
)
def test_check_resumable_reports_changed_keys(
    complete: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RunError) as caught:
        run_folder.check_resumable(complete, recipe_for(**changes))
    assert message in str(caught.value)
    assert "resume with the same recipe, or start again" in str(caught.value)


def test_check_complete_accepts_complete_run(complete: Path) -> None:
    run_folder.check_complete(complete)


@pytest.mark.parametrize("name", [*run_folder.MODEL_FILES, "recipe.yaml", "results.json"])
def test_check_complete_reports_missing_file(complete: Path, name: str) -> None:
    (complete / name).unlink()
    with pytest.raises(RunError, match=f"is incomplete: {name} missing — finish it with"):
        run_folder.check_complete(complete)


def test_check_complete_reports_all_missing_files(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        run_folder.check_complete(tmp_path)
    for name in [*run_folder.MODEL_FILES, "recipe.yaml", "results.json"]:
        assert name in str(caught.value)
    assert f"python -m train fit RECIPE --out {tmp_path} --resume" in str(caught.value)


def test_check_complete_requires_evaluation(complete: Path) -> None:
    run_folder.save_results(complete / "results.json", {"metrics": {"validation": {}}})
    with pytest.raises(RunError, match=f"run `python -m train evaluate {complete}` first"):
        run_folder.check_complete(complete)


def test_check_complete_requires_export(complete: Path) -> None:
    (complete / "onnx/model.onnx").unlink()
    with pytest.raises(RunError, match=f"run `python -m train export {complete}` first"):
        run_folder.check_complete(complete)


def test_results_round_trip(tmp_path: Path) -> None:
    results = {"share": 0.1 + 0.2, "title": "Amélie — «naïve»", "none": None}
    run_folder.save_results(tmp_path / "results.json", results)
    assert run_folder.load_results(tmp_path) == results
    assert "Amélie" in (tmp_path / "results.json").read_text(encoding="utf-8")


def test_save_results_is_atomic(tmp_path: Path) -> None:
    run_folder.save_results(tmp_path / "results.json", RESULTS)
    with pytest.raises(TypeError):
        run_folder.save_results(tmp_path / "results.json", {"good": 1, "bad": object()})
    assert run_folder.load_results(tmp_path) == RESULTS


@pytest.mark.parametrize("content", [None, "", "{", "[1, 2"], ids=["no", "empty", "cut", "cut-2"])
def test_load_results_reports_unreadable_file(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=f"{tmp_path} has no readable results"):
        run_folder.load_results(tmp_path)


@pytest.mark.parametrize("read", ["load_recipe", "load_results", "check_complete"])
def test_missing_run_folder_is_reported_as_such(read: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder at .*nosuch — `python -m train fit"):
        getattr(run_folder, read)(tmp_path / "nosuch")


def test_load_recipe_reports_folder_without_recipe(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=f"{tmp_path} is not a run folder: .*recipe.yaml can.t be read"
    ):
        run_folder.load_recipe(tmp_path)


@pytest.mark.parametrize("base", ["./" + "a" * 5000, "./a\0b", "/nowhere"])
def test_impossible_base_model_path_has_no_lineage(base: str) -> None:
    assert run_folder.lineage(recipe_for(base_model=base)) == []
