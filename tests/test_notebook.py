"""train/colab.ipynb, executed cell by cell against a localhub with the quick start's recipe.

The base model is `tiny_base` under its real name, the dataset a part of `train/samples`.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import REPOSITORY, sample_rows
from gradio_client import Client
from hubserver import ADMIN, WRITE, RunningHub, running_hub
from huggingface_hub import HfApi
from IPython.display import Markdown, display
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from train import recipe as recipes

NOTEBOOK = REPOSITORY / "train" / "colab.ipynb"
LABELS = {"NEGATIVE", "POSITIVE", "NOT_MENTIONED"}
MODEL, CHECKPOINTS = "demo/colab-model", "demo/colab-model-quickstart-checkpoints"


@dataclass(frozen=True)
class Ran:
    """A notebook that ran to its end, and what could be asked while its kernel lived."""

    notebook: Any
    run: Path
    spoken: Any  # what the page answered
    on_hub: dict[str, Any]


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def run_cells(env: dict[str, str], last: str = "page") -> tuple[Any, Any]:
    """Execute the notebook up to a cell; with the page of the last cell still open, ask it."""
    notebook, spoken = read(), None
    # Opened in place, as Jupyter and VS Code do: the kernel starts in train/.
    client = NotebookClient(
        notebook,
        timeout=240,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    with client.setup_kernel(env=env):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
            if cell.id == last:
                break
        if last == "page":
            url = re.search(r"http://127\.0\.0\.1:\d+", text_of(notebook.cells[-1]))
            assert url, text_of(notebook.cells[-1])
            page = Client(url[0], verbose=False)
            spoken = page.predict("What a wonderful film.", api_name="/classify")
            page.close()
    return notebook, spoken


def text_of(cell: Any) -> str:
    """All that the outputs of a cell say."""
    return json.dumps(cell.get("outputs", []), ensure_ascii=False)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Iterator[RunningHub]:
    """A localhub that holds what the recipe of the quick start names, in small."""
    reviews = tmp_path_factory.mktemp("reviews")
    for split, count in [("train", 200), ("test", 40)]:
        rows = [json.dumps(row) for row in sample_rows(split)[:count]]
        (reviews / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = recipes.load("quickstart")
    with running_hub() as running:
        api = HfApi(endpoint=running.endpoint, token=ADMIN)
        for repo_id, kind, folder in [
            (recipe.base_model, "model", tiny_base),
            (recipe.datasets[0].source, "dataset", reviews),
        ]:
            api.create_repo(repo_id, repo_type=kind)
            api.upload_folder(repo_id=repo_id, repo_type=kind, folder_path=folder)
        # A tag by the name of the pinned commit, so that the recipe finds it.
        api.create_tag(recipe.base_model, tag=str(recipe.base_revision))
        yield running


def environment(hub: RunningHub, folder: Path, **settings: str) -> dict[str, str]:
    """What the notebook's kernel sees: the hub, and the choices that its form would make."""
    mine = {"RECIPE": "quickstart", "REPO": MODEL, "RUN": str(folder / "quickstart")}
    mine |= {"IPYTHONDIR": str(folder / "ipython"), "OMP_NUM_THREADS": "1"}  # a tiny model
    return hub.env(folder / "home") | mine | settings


def on_hub(hub: RunningHub, repo_id: str) -> tuple[list[str], set[str], bool]:
    """Commit titles, newest first, the files, and whether the repository is private."""
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    titles = [commit.title for commit in api.list_repo_commits(repo_id)]
    return titles, set(api.list_repo_files(repo_id)), bool(api.model_info(repo_id).private)


@pytest.fixture(scope="module")
def ran(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("colab")
    notebook, spoken = run_cells(environment(hub, folder))
    repos = {repo_id: on_hub(hub, repo_id) for repo_id in [MODEL, CHECKPOINTS]}
    return Ran(notebook, folder / "quickstart", spoken, repos)


def test_one_commit_holds_weights_and_card(ran: Ran) -> None:
    titles, files, private = ran.on_hub[MODEL]
    assert [title.partition(" ")[0] for title in titles] == ["Publish", "initial"]
    assert {"README.md", "config.json", "model.safetensors", "results.json"} <= files
    assert not private


def test_checkpoints_are_kept_in_private(ran: Ran) -> None:
    _, files, private = ran.on_hub[CHECKPOINTS]
    assert private
    assert "recipe.yaml" in files
    assert any(name.endswith("optimizer.safetensors") for name in files)


def test_results_and_answers_are_shown(ran: Ran) -> None:
    cells = {cell.id: text_of(cell) for cell in ran.notebook.cells}
    test = json.loads((ran.run / "results.json").read_text())["metrics"]["test"]
    assert f"{test['accuracy']:.1%} accuracy" in cells["results"]
    assert f"on {test['n']:,} test reviews" in cells["results"]
    assert "image/png" in cells["results"]
    assert cells["ask"].count("POSITIVE |") + cells["ask"].count("NEGATIVE |") == 3


def test_results_of_a_recipe_without_a_test_split_are_those_of_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    measured = {"accuracy": 0.9, "accuracy_ci95": [0.8, 0.95], "f1": 0.912, "n": 200}
    (tmp_path / "results.json").write_text(json.dumps({"metrics": {"validation": measured}}))
    (source,) = [cell.source for cell in read().cells if cell.id == "results"]
    exec(source, {"RUN": tmp_path, "REPO": MODEL})
    assert "**90.0% accuracy** (95% interval 80.0% to 95.0%)" in shown[0].data
    assert "on 200 validation reviews" in shown[0].data


def test_model_of_text_pairs_is_asked_about_each_aspect(aspect_run: Path) -> None:
    sources = {cell.id: cell.source for cell in read().cells}
    names: dict[str, Any] = {"os": os, "REPO": str(aspect_run)}
    names |= {"Markdown": Markdown, "display": display}
    names["results"] = json.loads((aspect_run / "results.json").read_text(encoding="utf-8"))
    exec(sources["ask"], names)
    assert names["READS_PAIRS"] and len(names["rows"]) == 6
    assert "| acting: I came for" in names["rows"][0] and "| story: " in names["rows"][1]
    assert all(row.split(" | ")[0].strip("| ") in LABELS for row in names["rows"])
    exec(sources["page"], names)
    assert names["service"] is None  # no page without a model of single reviews


def test_archive_is_converted_before_the_training(tmp_path: Path) -> None:
    (source,) = [cell.source for cell in read().cells if cell.id == "run"]
    names = {"IMDB_ARCHIVE": "aclImdb_v1.tar.gz", "REPO": MODEL, "RUN": tmp_path, "Path": Path}
    names |= {"sys": sys, "RECIPE": "stars", "PRIVATE": False, "SPACE": False}
    commands: list[tuple[str, ...]] = []
    exec(source, names | {"sh": lambda *command: commands.append(command)})
    assert [command[3] for command in commands] == ["data", "run"]


def test_space_of_the_notebook_is_free() -> None:
    (source,) = [cell.source for cell in read().cells if cell.id == "run"]
    assert '["--space", REPO, "--space-kind", "static"] * SPACE' in source


def test_page_of_the_last_cell_answers(ran: Ran) -> None:
    assert ran.spoken["label"] in {"NEGATIVE", "POSITIVE"}


def test_no_token_in_source_or_outputs(ran: Ran) -> None:
    for text in [NOTEBOOK.read_text(encoding="utf-8"), json.dumps(ran.notebook)]:
        assert WRITE not in text
        assert not re.search(r"hf_[A-Za-z0-9]{20,}", text)


@pytest.mark.usefixtures("ran")
def test_a_new_runtime_goes_on_from_the_checkpoint(hub: RunningHub, tmp_path: Path) -> None:
    # The run folder and the cache are gone, as after a disconnect; the repositories are there.
    notebook, _ = run_cells(environment(hub, tmp_path), "run")
    cells = {cell.id: text_of(cell) for cell in notebook.cells}
    assert "resuming from update" in cells["run"]


def test_failing_command_stops_run_all(hub: RunningHub, tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="failed"):
        run_cells(environment(hub, tmp_path, REPO="not a repository"), "run")


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="not a git checkout: no clone")
def test_first_cell_clones_and_installs_outside_a_checkout(tmp_path: Path) -> None:
    notebook = read()
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    # All requirements are met here, so pip has nothing to fetch.
    settings = {"REPOSITORY": str(REPOSITORY), "PIP_NO_INDEX": "1", "IPYTHONDIR": str(tmp_path)}
    with client.setup_kernel(env=os.environ | settings):
        index = [cell.id for cell in notebook.cells].index("code")
        notebook.cells[index].source += "\nos.getcwd()"
        client.execute_cell(notebook.cells[index], index)
    assert (tmp_path / "movie-sentiment" / "train" / "recipes").is_dir()
    assert str(tmp_path / "movie-sentiment") in text_of(notebook.cells[index])


def test_stored_without_outputs() -> None:
    raw = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (raw["nbformat"], raw["nbformat_minor"]) == (4, 5)
    nbformat.validate(read())
    for cell in raw["cells"]:
        assert re.fullmatch(r"[a-z-]+", cell["id"])  # by hand: it doesn't change on saving
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_no_command_can_fail_unseen() -> None:
    # `!command` and `%pip` go on after a failure; `sh` and `subprocess` with check=True don't.
    for cell in read().cells:
        if cell.cell_type == "code":
            assert not re.search(r"^\s*[!%]", cell.source, flags=re.MULTILINE), cell.id
