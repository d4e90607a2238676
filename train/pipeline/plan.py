"""The pipeline: a recipe to all steps that it requires, in their order, and what is there of them.

In: a recipe and overrides. Out: `Task`s, the last of which is the recipe's own run;
`train.pipeline.steps` does them. What an output was made from is kept with it: in a run folder its
recipe, beside any other output `.NAME.step`. What was made from something else is noticed by that.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from train import recipe as recipes
from train import run_folder
from train.errors import RecipeError
from train.recipe import FILES, Recipe, is_path
from train.sections import DataStep, RunStep, Step, Teach

RUNS = Path("runs")
# Settings that reach a required recipe where it has the same values, together.
COMMON = [["labels"], ["language"], ["validation_fraction"], ["test_fraction"], ["split_seed"]]
COMMON += [["base_model", "base_revision"]]
TAUGHT = {"labels", "datasets", "validation_fraction", "test_fraction", "split_seed", "max_train"}


@dataclass(frozen=True)
class Task:
    """A step, and all that its output is made from."""

    step: Step
    out: Path
    arguments: dict[str, Any]  # as JSON has them
    recipe: Recipe | None = None  # of a run its own, of `teach` the student's
    after: tuple["Task", ...] = ()  # whose outputs it reads

    @property
    def is_run(self) -> bool:
        """Whether it is a run of a recipe."""
        return isinstance(self.step, RunStep)

    @property
    def title(self) -> str:
        """The step in words."""
        return f"run of {self.arguments['name']}" if self.is_run else str(self.arguments["step"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that it is made from, the steps before it included."""
        return _sha256([self.arguments, self.after_sha256])

    @property
    def after_sha256(self) -> str | None:
        """SHA-256 of the steps before it; None where there are none."""
        return _sha256([task.digest for task in self.after]) if self.after else None

    @property
    def is_done(self) -> bool:
        """Whether its output is there, whole."""
        return (self.out / "results.json").is_file() if self.is_run else self.out.exists()

    @property
    def is_begun(self) -> bool:
        """Whether there is a part of its output, from which it goes on."""
        if self.is_done:
            return False
        if self.is_run:
            return self.out.exists() or run_folder.adapted_folder(self.out).exists()
        return any(self.out.parent.glob(f"{self.out.name}.*part*"))

    def changes(self) -> str:
        """How what is there differs from what is asked for; empty where nothing does."""
        if self.is_run:
            assert self.recipe is not None
            is_there = (self.out / "recipe.yaml").is_file()
            return (
                run_folder.describe_changes(run_folder.load_recipe(self.out), self.recipe)
                if is_there
                else ""
            )
        if not self.is_done:
            return ""
        made = _record(self.out)
        if not made or made["sha256"] != _sha256_of_files(self.out):
            return "there is no record of how it was made"
        changed = run_folder.describe_differences(made["arguments"], self.arguments)
        is_stale = made["after"] not in {None, self.after_sha256}
        return changed or "a step before it has changed" * is_stale

    def write_record(self) -> None:
        """Keep what the output was made from."""
        made = {"arguments": self.arguments, "after": self.after_sha256}
        made["sha256"] = _sha256_of_files(self.out)
        _record_file(self.out).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def plan(name: str, overrides: list[str] | None = None, out: Path | None = None) -> list[Task]:
    """All steps of a recipe in the order in which they are done, the last its own run.

    Args:
        name: A YAML file, or the name of a shipped recipe.
        overrides: `key=value` pairs, as `recipe.load` takes them. What they change in a dataset
            or a corpus is changed wherever a required step reads the same one (but for `weight`);
            labels, language, fractions, split_seed and the base model are changed in required
            recipes that had the same. All else concerns this recipe alone.
        out: The run folder; by default `runs/NAME`.

    Raises:
        RecipeError: A recipe is unknown or wrong, requires itself, or reads what no step makes.
    """
    asked = recipes.load(name, overrides)
    before = recipes.load(name) if asked.requires and overrides else asked
    values = asked.model_dump()
    _share_sources(values["requires"], before, asked)
    return _tasks(recipes.parse(values), out or RUNS / asked.name, before, ())


def step_task(step: DataStep, recipe: Recipe | None = None, after: Sequence[Task] = ()) -> Task:
    """The task of a step that is no run; of `teach` with the student's recipe."""
    arguments = json.loads(step.model_dump_json(exclude={"out"}))
    if "run" in arguments:
        arguments["run"] = str(Path(arguments["run"]))
    if not isinstance(step, Teach):
        return Task(step, Path(step.out), arguments, None, tuple(after))
    assert recipe is not None and recipe.distillation is not None
    arguments["teachers"] = [str(Path(teacher)) for teacher in step.teachers]
    arguments |= json.loads(recipe.model_dump_json(include=TAUGHT))
    for dataset in arguments["datasets"]:
        del dataset["weight"]  # how often a text is met, not which texts there are
    return Task(step, Path(recipe.distillation.probabilities), arguments, recipe, tuple(after))


def _tasks(recipe: Recipe, out: Path, before: Recipe, parents: tuple[Recipe, ...]) -> list[Task]:
    """See `plan`; `parents` lead from the recipe that was asked for to this one."""
    names = [*(parent.name for parent in parents), recipe.name]
    if recipe.name in names[:-1]:
        raise RecipeError(f"requires must not lead back to a recipe, got {' → '.join(names)}")
    found: dict[Path, Task] = {}
    for step in recipe.requires:
        if isinstance(step, RunStep):
            asked = (*parents, recipe)
            required = _required(step.recipe, recipe.name, before, asked[0])
            new = _tasks(required, RUNS / required.name, before, asked)
        else:
            used = list(_paths_of_step(step, recipe))
            _check_made(used, found, f"the step {step.step} of {recipe.name}")
            new = [step_task(step, recipe, _makers(used, found.values()))]
        for task in new:
            _add(task, found, recipe.name)
    if recipe.requires:
        _check_made(_paths_of_recipe(recipe), found, f"the recipe {recipe.name}")
    after = tuple(found.values())
    arguments = json.loads(recipe.model_dump_json(exclude={"requires", "requires_sha256"}))
    own = Task(RunStep(step="run", recipe=recipe.name), out, arguments, None, after)
    recipe = recipe.model_copy(update={"requires_sha256": own.after_sha256})
    return [*after, Task(own.step, out, arguments, recipe, after)]


def _required(name: str, by: str, before: Recipe, asked: Recipe) -> Recipe:
    """A required recipe, with what was changed of data that it shares with the one asked for."""
    try:
        values = recipes.load(name).model_dump()
        for keys in COMMON:
            if all(values[key] == getattr(before, key) for key in keys):
                values |= {key: getattr(asked, key) for key in keys}
        _share_sources([values], before, asked)
        return recipes.parse(values, name)
    except RecipeError as error:
        raise RecipeError(f"{by} requires {name}: {error}") from error


def _share_sources(values: Any, before: Recipe, asked: Recipe) -> None:
    """Change in place what was changed of the same source, wherever it is read in the values."""
    pairs = [
        (old, new)
        for old, new in zip(
            _sources(before.model_dump()), _sources(asked.model_dump()), strict=False
        )
        if old != new
    ]
    for source in list(_sources(values)):
        identity = _identity(source)
        for old, new in pairs:
            if _identity(old) == identity:
                split = new.get("split", new.get("train"))
                now = {**new, "split": split, "train": split}
                was = {**old, "split": identity[-1], "train": identity[-1]}
                shared = source.keys() & now.keys() & was.keys() - {"weight", "step", "out"}
                source |= {key: now[key] for key in shared if now[key] != was[key]}


def _sources(values: Any) -> Iterator[dict[str, Any]]:
    """All sections of plain values that say where rows come from."""
    if isinstance(values, dict) and "source" in values:
        yield values
    elif isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _sources(value)


def _identity(source: dict[str, Any]) -> tuple[Any, ...]:
    split = source.get("split", source.get("train"))
    return source["source"], source["revision"], source["config"], split


def _add(task: Task, found: dict[Path, Task], by: str) -> None:
    same = found.setdefault(task.out, task)
    if same.digest != task.digest:
        changed = (
            run_folder.describe_differences(same.arguments, task.arguments)
            or "a step before it differs"
        )
        raise RecipeError(
            f"two steps that {by} requires must not write different things to {task.out} "
            f"({changed}) — give one of them another `out`, or its recipe another `name`"
        )


def _paths_of_step(step: DataStep, recipe: Recipe) -> Iterator[str]:
    """What the step reads here."""
    if isinstance(step, Teach):
        yield from step.teachers
        yield from _local(dataset.source for dataset in recipe.datasets)
    elif run := getattr(step, "run", None):
        yield run
    yield from _local([getattr(step, "source", "")])


def _paths_of_recipe(recipe: Recipe) -> Iterator[str]:
    """What the run of a recipe reads here."""
    yield from _local([recipe.base_model, *(dataset.source for dataset in recipe.datasets)])
    if recipe.adaptation:
        yield from _local(corpus.source for corpus in recipe.adaptation.corpora)
    if recipe.distillation:
        yield recipe.distillation.probabilities


def _local(sources: Iterable[str]) -> Iterator[str]:
    return (s for s in sources if is_path(s) or Path(s).suffix.lower() in FILES)


def _check_made(paths: Iterable[str], found: Mapping[Path, Task], by: str) -> None:
    for path in paths:
        if not Path(path).expanduser().exists() and not _makers([path], found.values()):
            raise RecipeError(
                f"{by} reads {path}, which isn't there and which no step before it in `requires` "
                "makes — add one that does, or correct the path"
            )


def _makers(paths: Iterable[str], tasks: Iterable[Task]) -> list[Task]:
    wanted = {Path(path) for path in paths}
    return [task for task in tasks if wanted & _outputs(task)]


def _outputs(task: Task) -> set[Path]:
    """The paths by which a recipe may name the output: a JSONL file by its folder, too."""
    beside = {task.out.parent} if task.out.suffix == ".jsonl" else set()
    return {task.out} | beside | ({run_folder.adapted_folder(task.out)} if task.is_run else set())


def _record_file(out: Path) -> Path:
    return out.with_name(f".{out.name}.step")


def _record(out: Path) -> dict[str, Any] | None:
    """What the output was made from, as `write_record` has kept it."""
    try:
        made = json.loads(_record_file(out).read_text(encoding="utf-8"))
        return {key: made[key] for key in ["arguments", "after", "sha256"]}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha256_of_files(path: Path) -> str:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()
