"""The run folder: an earlier run is never lost, and nothing in it is half written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
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
    """A folder with everything that is published."""
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
    """Another process that holds the lock of a path."""
    code = (
        "import sys, time; from pathlib import Path; from train import run_folder as runs\n"
        "with runs.locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


VERBS = {
    "fit": "fit imdb-small --out RUN",
    "fit-resume": "fit imdb-small --out RUN --resume",
    "run": "run imdb-small --to user/model --out RUN",
    "adapt": "adapt imdb-small --out TO-BE",
    "evaluate": "evaluate RUN",
    "export": "export RUN",
    "publish": "publish RUN --to user/model",
    "sentences": "sentences SOME --out RUN",
    "pseudo-label": "pseudo-label SOME corpus.csv --out RUN",
}


def test_second_process_is_refused_until_the_first_is_killed(complete: Path) -> None:
    """By every command that writes there, before it reads or asks for anything."""
    from train.__main__ import app

    adapted = complete.with_name("to-be-adapted")
    before = contents(complete)
    with held(complete) as first, held(adapted):
        for words in VERBS.values():
            names = {"RUN": str(complete), "TO-BE": str(complete.with_name("to-be"))}
            arguments = [names.get(word, word) for word in words.split()]
            with pytest.raises(RunError, match="is in use by another process — wait until"):
                app(arguments, standalone_mode=False)
        first.kill()  # kill -9
        first.wait()
        with run_folder.locked(complete), run_folder.locked(complete):  # once more inside
            assert contents(complete) == before


def test_lock_is_that_of_the_folder_and_not_of_its_name(complete: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(complete)
    with held(tmp_path / "link"), pytest.raises(RunError, match=f"{complete} is in use"):
        with run_folder.locked(complete):
            pass
    with held(tmp_path / "other"), run_folder.locked(complete):
        pass


def test_other_processes_of_a_launch_take_no_lock(
    complete: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of them holds it for all."""
    monkeypatch.setenv("RANK", "1")
    with held(complete), run_folder.locked(complete):
        pass


def test_lock_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="nothing can be written at .* choose another place"):
        with run_folder.locked(tmp_path / "file" / "run"):
            pass


def test_lock_of_a_folder_whose_parent_is_closed_lies_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose volume is the run folder."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path.parent)
    with run_folder.locked(tmp_path):
        run_folder.prepare(tmp_path, recipe_for())
        files = {path.name for path in tmp_path.iterdir()}
    assert files == {"recipe.yaml", f".{tmp_path.name}.lock"}


def test_prepare_makes_a_folder_with_the_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    run_folder.prepare(folder, recipe_for(epochs=7))
    assert run_folder.load_recipe(folder) == recipe_for(epochs=7)


def test_earlier_run_is_moved_aside(complete: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(complete)
    run_folder.prepare(complete, recipe_for(seed=1))
    assert [file.name for file in complete.iterdir()] == ["recipe.yaml"]
    [kept] = complete.parent.glob("run-*")
    assert contents(kept) == before
    assert f"the earlier run is kept in {kept}" in capsys.readouterr().out


def test_three_runs_in_a_moment_are_all_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for seed in range(3):
        run_folder.prepare(folder, recipe_for(seed=seed))
    kept = {run_folder.load_recipe(path).seed for path in tmp_path.iterdir()}
    assert kept == {0, 1, 2}


def test_empty_folder_is_used_as_it_is(tmp_path: Path) -> None:
    run_folder.prepare(tmp_path, recipe_for())
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_same_recipe_can_be_resumed(complete: Path) -> None:
    before = contents(complete)
    run_folder.check_resumable(complete, recipe_for())
    assert contents(complete) == before


def test_resume_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"nothing to resume in {tmp_path} — start without --resume"):
        run_folder.check_resumable(tmp_path, recipe_for())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 9}, "(epochs was 3, now 9)"),
        ({"seed": 1, "epochs": 9}, "(seed was 0, now 1; epochs was 3, now 9)"),
        ({"datasets": [{"source": "other.csv"}]}, "'source': 'other.csv'"),
    ],
    ids=["one", "two", "dataset"],
)
def test_resume_with_another_recipe_names_what_differs(
    complete: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunError) as caught:
        run_folder.check_resumable(complete, recipe_for(**changes))
    assert said in str(caught.value)
    assert "resume with the same one, or train anew" in str(caught.value)


def test_complete_run_passes(complete: Path) -> None:
    run_folder.check_complete(complete)


@pytest.mark.parametrize("name", [*run_folder.MODEL_FILES, "recipe.yaml", "results.json"])
def test_missing_file_is_named(complete: Path, name: str) -> None:
    (complete / name).unlink()
    with pytest.raises(RunError, match=f"is incomplete, it lacks {name} — finish it with"):
        run_folder.check_complete(complete)


def test_all_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        run_folder.check_complete(tmp_path)
    for name in [*run_folder.MODEL_FILES, "recipe.yaml", "results.json"]:
        assert name in str(caught.value)
    assert f"python -m train fit RECIPE --out {tmp_path} --resume" in str(caught.value)


def test_run_that_was_never_evaluated_says_the_command(complete: Path) -> None:
    run_folder.save_results(complete / "results.json", {"metrics": {"validation": {}}})
    with pytest.raises(RunError, match=f"`python -m train evaluate {complete}` comes first"):
        run_folder.check_complete(complete)


def test_run_that_was_never_exported_says_the_command(complete: Path) -> None:
    (complete / "onnx/model.onnx").unlink()
    with pytest.raises(RunError, match=f"`python -m train export {complete}` comes first"):
        run_folder.check_complete(complete)


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    results = {"share": 0.1 + 0.2, "title": "Amélie — «naïve»", "none": None}
    run_folder.save_results(tmp_path / "results.json", results)
    assert run_folder.load_results(tmp_path) == results
    assert "Amélie" in (tmp_path / "results.json").read_text(encoding="utf-8")


def test_results_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    run_folder.save_results(tmp_path / "results.json", RESULTS)
    with pytest.raises(TypeError):
        run_folder.save_results(tmp_path / "results.json", {"good": 1, "bad": object()})
    assert run_folder.load_results(tmp_path) == RESULTS


@pytest.mark.parametrize("content", [None, "", "{", "[1, 2"], ids=["no", "empty", "cut", "cut-2"])
def test_results_that_cannot_be_read_are_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=f"{tmp_path} has no results that can be read"):
        run_folder.load_results(tmp_path)


def test_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=f"{tmp_path} is not a run folder: .*recipe.yaml can.t be read"
    ):
        run_folder.load_recipe(tmp_path)


@pytest.mark.parametrize("base", ["./" + "a" * 5000, "./a\0b", "/nowhere"])
def test_base_that_cannot_be_there_has_no_lineage(base: str) -> None:
    assert run_folder.lineage(recipe_for(base_model=base)) == []


def test_disk_too_small_says_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=5_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(RunError) as caught:
        run_folder.check_disk(tmp_path / "not/yet/there", needed_bytes=1_234_000_000)
    assert "needs 1,234 MB for weights and checkpoints" in str(caught.value)
    assert "has 5 MB free — make room, or choose another disk with --out" in str(caught.value)
    assert asked == [tmp_path]  # the nearest folder that exists
    run_folder.check_disk(tmp_path, needed_bytes=5_000_000)


def test_disk_of_this_machine_holds_a_byte(tmp_path: Path) -> None:
    run_folder.check_disk(tmp_path, needed_bytes=1)


def test_peak_memory_is_in_megabytes() -> None:
    assert 20 < run_folder.peak_memory_mb() < 50_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process inherits its parent's")
def test_peak_memory_is_of_this_process_alone() -> None:
    code = "from train import run_folder as runs; print(runs.peak_memory_mb())"
    held = bytearray(400_000_000)
    held[::4096] = b"\1" * len(held[::4096])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 < float(done.stdout) < 200
    assert run_folder.peak_memory_mb() > 400
