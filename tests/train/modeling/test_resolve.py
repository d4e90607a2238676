"""Precision and commits are resolved before training, stored, and kept by a resumed run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import toy_reviews, toy_settings, write_toy_csv
from hubserver import ADMIN, RunningHub, run_python, running_hub
from huggingface_hub import HfApi

from train import recipe as recipes
from train import run_folder
from train.errors import RunError
from train.modeling import cpu, resolve
from train.pipeline import training_run
from train.recipe import Recipe

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def fresh_accelerator() -> Iterator[None]:
    """accelerate keeps one precision per process: reset it before and after."""
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def bf16_is_faster(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    """Simulate a machine by whether its bf16 is faster."""
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr(cpu, "bf16_is_faster", lambda: answer)


def auto_recipe(folder: Path, base: Path) -> Recipe:
    source = write_toy_csv(folder / "reviews.csv")
    settings = ["precision=auto", "epochs=1", "checkpoint_every=2"]
    return recipes.load("quickstart", [*toy_settings(source, base), *settings])


def interrupt(checkpoint: Path) -> None:
    raise ConnectionAbortedError


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto is fp16 on a GPU")
@pytest.mark.usefixtures("fresh_accelerator")
@pytest.mark.parametrize("first", [True, False], ids=["bf16", "fp32"])
def test_resumed_run_keeps_its_precision(
    first: bool, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = auto_recipe(tmp_path, tiny_base), tmp_path / "run"
    bf16_is_faster(monkeypatch, first)
    with pytest.raises(ConnectionAbortedError):
        training_run.fit(recipe, run, after_checkpoint=interrupt)
    bf16_is_faster(monkeypatch, not first)
    training_run.fit(recipe, run, resume=True)
    expected = "bf16" if first else "fp32"
    assert run_folder.load_results(run)["training"]["precision"] == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_resuming_in_an_unsupported_precision_is_an_error(tiny_base: Path, tmp_path: Path) -> None:
    recipe = auto_recipe(tmp_path, tiny_base)
    run = tmp_path / "run"
    run_folder.prepare(run, recipe)
    resolve.store(recipe.model_copy(update={"precision": "fp16"}), run)
    with pytest.raises(RunError, match="was started in fp16, which this machine doesn't support"):
        training_run.fit(recipe, run, resume=True)


def test_resuming_with_another_precision_is_an_error(tiny_base: Path, tmp_path: Path) -> None:
    recipe = auto_recipe(tmp_path, tiny_base)
    run_folder.prepare(tmp_path / "run", recipe)
    other = recipe.model_copy(update={"precision": "fp32"})
    with pytest.raises(RunError, match="precision was 'auto', now 'fp32'"):
        training_run.fit(other, tmp_path / "run", resume=True)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"precision": "fp32"}'])
def test_damaged_resolved_file_is_an_error(tiny_base: Path, tmp_path: Path, content: str) -> None:
    recipe = auto_recipe(tmp_path, tiny_base)
    file = tmp_path / "run" / resolve.FILE
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=f"{file} can't be read .* remove it"):
        resolve.resolve(recipe, tmp_path / "run", resume=True)


def test_resumed_run_gets_the_stored_resolution(tiny_base: Path, tmp_path: Path) -> None:
    recipe = auto_recipe(tmp_path, tiny_base)
    run = tmp_path / "run"
    run_folder.prepare(run, recipe)
    datasets = [d.model_copy(update={"revision": COMMIT[::-1]}) for d in recipe.datasets]
    resolved = recipe.model_copy(
        update={"precision": "fp32", "base_revision": COMMIT, "datasets": datasets}
    )
    resolve.store(resolved, run)
    assert resolve.resolve(recipe, run, resume=True) == resolved


def write_rows(path: Path, count: int) -> Path:
    rows = [json.dumps(row) + "\n" for row in toy_reviews(count)]
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def hub(tiny_base: Path, tmp_path: Path) -> Iterator[RunningHub]:
    """A Hub with a dataset of 80 rows and a base model."""
    with running_hub() as running:
        api = HfApi(endpoint=running.endpoint, token=ADMIN)
        api.create_repo("demo/base")
        api.upload_folder(repo_id="demo/base", folder_path=tiny_base)
        api.create_repo("demo/toy", repo_type="dataset")
        api.upload_file(
            repo_id="demo/toy",
            repo_type="dataset",
            path_in_repo="train.jsonl",
            path_or_fileobj=write_rows(tmp_path / "train.jsonl", 80),
        )
        yield running


FIT_WITHOUT_HUB = """
import os, signal, sys
from pathlib import Path
from huggingface_hub import HfApi
from train import recipe, run_folder
from train.pipeline import training_run
from train.publishing import export

run, hub, rows = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
asked = recipe.load("quickstart", sys.argv[4:])

def interrupt(checkpoint):
    raise ConnectionAbortedError

def hub_is_gone(checkpoint):
    os.kill(hub, signal.SIGKILL)

try:
    training_run.fit(asked, run, after_checkpoint=interrupt)
except ConnectionAbortedError:
    HfApi().upload_file(
        repo_id="demo/toy", repo_type="dataset", path_in_repo="train.jsonl", path_or_fileobj=rows
    )
    training_run.fit(asked, run, resume=True, after_checkpoint=hub_is_gone)
    training_run.evaluate(run)
    export.export(run)
"""


def test_hub_is_read_at_one_commit_and_only_before_training(
    hub: RunningHub, tmp_path: Path
) -> None:
    """A run stops, the dataset changes, the run resumes, and then the Hub disappears."""
    api = HfApi(endpoint=hub.endpoint, token=ADMIN)
    commits = [api.dataset_info("demo/toy").sha], api.model_info("demo/base").sha
    run, rows = tmp_path / "run", write_rows(tmp_path / "more.jsonl", 200)
    settings = [*toy_settings("demo/toy", "demo/base"), "epochs=1", "checkpoint_every=2"]
    env, process = hub.env(tmp_path / "home"), str(hub.process.pid)
    run_python(FIT_WITHOUT_HUB, env, str(run), process, str(rows), *settings)
    assert hub.process.wait() < 0
    results = run_folder.load_results(run)
    assert results["metrics"].keys() == {"validation", "test"}
    assert results["export"]
    assert (results["data"]["revision"], results["training"]["base_revision"]) == commits
    assert sum(split["rows"] for split in results["data"]["splits"].values()) == 80
    assert run_folder.load_recipe(run).datasets[0].revision is None  # as requested
