"""The shipped recipes: each loads, and its header has cost and command."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import REPOSITORY

from train import recipe as recipes
from train.pipeline import plan
from train.recipe import RECIPES

SHIPPED = sorted(RECIPES.glob("*.yaml"))
each_recipe = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)


def test_all_recipes_are_shipped() -> None:
    names = {
        "aspects",
        "aspects-mams",
        "imdb",
        "imdb-small",
        "multilingual",
        "teacher",
        "movie-sentiment",
        "movie-sentiment-labels",
        "quickstart",
        "stars",
    }
    assert names == {path.stem for path in SHIPPED}


@each_recipe
def test_name_equals_file_name(path: Path) -> None:
    assert recipes.load(path.stem).name == path.stem


@each_recipe
def test_header_has_cost_hardware_expected_and_command(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert list(recipes.read_header(path)) == ["cost", "hardware", "expected", "command"]


@each_recipe
def test_command_in_header_runs_the_recipe(path: Path) -> None:
    command = recipes.read_header(path)["command"]
    if command.startswith("make "):
        target = re.split(r"[\s,;]", command.removeprefix("make "))[0]
        makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
        assert target == path.stem
        return
    python, flag, module, verb, named, *_ = shlex.split(command)
    assert (python, flag, module) == ("python", "-m", "train")
    assert verb in {"fit", "run"}
    assert recipes.load(REPOSITORY / named) == recipes.load(path)


@each_recipe
def test_required_steps_are_planned_not_described_in_comments(path: Path) -> None:
    """Each path in `runs/` that a recipe reads is made by a step, or the plan is refused."""
    tasks = plan.plan(path.stem)
    assert len({task.out for task in tasks}) == len(tasks)
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
    instructions = [line for line in comments if "python -m" in line]
    assert instructions in ([], [f"# command:   {recipes.read_header(path)['command']}"])


@each_recipe
def test_hub_inputs_are_pinned(path: Path) -> None:
    recipe = recipes.load(path)
    pinned = [] if recipe.base_is_local else [recipe.base_revision]
    # demo/ is the local Hub's: it is filled from this very checkout.
    # runs/ holds what commands of this checkout have written, train/ is in it.
    ours = ("demo/", "./runs/", "./train/")
    pinned += [d.revision for d in recipe.datasets if not d.source.startswith(ours)]
    assert all(re.fullmatch("[0-9a-f]{40}", revision or "") for revision in pinned)
