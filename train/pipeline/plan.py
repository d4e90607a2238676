"""The plan: all steps that a recipe requires, in order, and the state of their outputs.

In: a recipe and overrides. Out: `Task`s, the last of which is the recipe's own run;
`train.pipeline.steps` executes them. The inputs of an output are recorded with it, in a run folder
as recipe.yaml, beside any other output as `.NAME.step`, so that outdated outputs are detected.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from train import recipe as recipes
from train import run_folder
from train.errors import RecipeError
from train.recipe import Recipe
from train.sections import (
    FILES,
    AspectPairs,
    AspectSentences,
    CutSentences,
    DataStep,
    RunStep,
    Step,
    Teach,
    is_path,
)

RUNS = Path("runs")
# An override of these keys also applies to a required recipe that had the same values.
SHARED = [["labels"], ["language"], ["validation_fraction"], ["test_fraction"], ["split_seed"]]
SHARED += [["base_model", "base_revision"]]
# The student's keys that decide which texts the teachers label.
TEACH_KEYS = {
    "labels", "datasets", "validation_fraction", "test_fraction", "split_seed", "max_train",
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A step with everything that determines its output."""

    step: Step
    out: Path
    arguments: dict[str, Any]  # plain JSON values
    recipe: Recipe | None = None  # of a run: its own; of `teach`: the student's
    inputs: tuple["Task", ...] = ()  # the tasks whose outputs it reads

    @property
    def is_run(self) -> bool:
        """Whether the step is a run of a recipe."""
        return isinstance(self.step, RunStep)

    @property
    def title(self) -> str:
        """The step's name for messages."""
        return f"run of {self.arguments['name']}" if self.is_run else str(self.arguments["step"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the arguments and of all inputs."""
        return _sha256([self.arguments, self.inputs_sha256])

    @property
    def inputs_sha256(self) -> str | None:
        """SHA-256 of the inputs; None without any."""
        return _sha256([task.digest for task in self.inputs]) if self.inputs else None

    @property
    def is_done(self) -> bool:
        """Whether the output is complete."""
        return (self.out / "results.json").is_file() if self.is_run else self.out.exists()

    @property
    def is_started(self) -> bool:
        """Whether there is a partial output, which can be resumed."""
        if self.is_done:
            return False
        if self.is_run:
            return self.out.exists()
        return any(self.out.parent.glob(f"{self.out.name}.*part*"))

    def changes(self) -> str:
        """The differences between the existing output and the requested one; empty if none."""
        if self.is_run:
            assert self.recipe is not None
            if not (self.out / "recipe.yaml").is_file():
                return ""
            return run_folder.describe_changes(run_folder.load_recipe(self.out), self.recipe)
        if not self.is_done:
            return ""
        record = _read_record(self.out)
        if not record or record["sha256"] != _sha256_of_files(self.out):
            return "there is no record of how it was made"
        differences = run_folder.describe_differences(record["arguments"], self.arguments)
        is_stale = record["after"] not in {None, self.inputs_sha256}
        return differences or "an input has changed" * is_stale

    def write_record(self) -> None:
        """Record what the output was made from, beside the output."""
        record = {"arguments": self.arguments, "after": self.inputs_sha256}
        record["sha256"] = _sha256_of_files(self.out)
        _record_file(self.out).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def plan(name: str, overrides: list[str] | None = None, out: Path | None = None) -> list[Task]:
    """All tasks of a recipe in order; the last is its own run.

    Args:
        name: A YAML file, or the name of a shipped recipe.
        overrides: `key=value` pairs as in `recipe.load`. A change to a source of rows, except
            its `weight`, applies to all required steps that read the same one. A change to a key
            in `SHARED` applies to required recipes that had the same value. Other changes apply to
            this recipe only.
        out: The run folder; default: `runs/NAME`.

    Raises:
        RecipeError: A recipe is unknown or invalid, requires itself, or reads a path that neither
            exists nor is the output of an earlier step.
    """
    requested = recipes.load(name, overrides)
    original = recipes.load(name) if requested.requires and overrides else requested
    values = requested.model_dump()
    _share_sources(values["requires"], original, requested)
    return _tasks(recipes.parse(values), out or RUNS / requested.name, original, ())


def data_task(step: DataStep, recipe: Recipe | None = None, inputs: Sequence[Task] = ()) -> Task:
    """The task of a data step; `teach` needs the student's recipe."""
    arguments = json.loads(step.model_dump_json(exclude={"out"}))
    if not isinstance(step, Teach):
        return Task(step, Path(step.out), arguments, None, tuple(inputs))
    assert recipe is not None and recipe.distillation is not None
    arguments["teachers"] = [str(Path(teacher)) for teacher in step.teachers]
    arguments |= json.loads(recipe.model_dump_json(include=TEACH_KEYS))
    for dataset in arguments["datasets"]:
        del dataset["weight"]  # changes how often a text is used, not which texts there are
    return Task(step, Path(recipe.distillation.probabilities), arguments, recipe, tuple(inputs))


def _tasks(recipe: Recipe, out: Path, original: Recipe, parents: tuple[Recipe, ...]) -> list[Task]:
    """See `plan`.

    Args:
        recipe: The recipe, with overrides.
        out: Its run folder.
        original: The recipe that `plan` was called with, without overrides.
        parents: The recipes from that one to this one, with overrides.
    """
    names = [*(parent.name for parent in parents), recipe.name]
    if recipe.name in names[:-1]:
        raise RecipeError(f"requires must not be circular, got {' → '.join(names)}")
    tasks: dict[Path, Task] = {}
    for step in recipe.requires:
        if isinstance(step, RunStep):
            chain = (*parents, recipe)
            required = _required(step, recipe.name, original, chain[0])
            new_tasks = _tasks(required, RUNS / required.name, original, chain)
        else:
            paths = list(_paths_of_step(step, recipe))
            _check_available(paths, tasks, f"the step {step.step} of {recipe.name}")
            new_tasks = [data_task(step, recipe, _producers(paths, tasks.values()))]
        for task in new_tasks:
            _add(task, tasks, recipe.name)
    if recipe.requires:
        _check_available(_paths_of_recipe(recipe), tasks, f"the recipe {recipe.name}")
    inputs = tuple(tasks.values())
    left_out = {"requires", "requires_sha256", "base_note"}  # a note changes no output
    # Outputs from before this key existed keep their digest.
    left_out |= set() if recipe.ordered else {"ordered"}
    arguments = json.loads(recipe.model_dump_json(exclude=left_out))
    own = Task(RunStep(step="run", recipe=recipe.name), out, arguments, None, inputs)
    recipe = recipe.model_copy(update={"requires_sha256": own.inputs_sha256})
    return [*inputs, replace(own, recipe=recipe)]


def _required(step: RunStep, by: str, original: Recipe, requested: Recipe) -> Recipe:
    """A required recipe with the shared overrides, which turned `original` into `requested`."""
    try:
        values = recipes.load(step.recipe, step.set).model_dump()
        for keys in SHARED:
            if all(values[key] == getattr(original, key) for key in keys):
                values |= {key: getattr(requested, key) for key in keys}
        _share_sources([values], original, requested)
        return recipes.parse(values, step.recipe)
    except RecipeError as error:
        raise RecipeError(f"{by} requires {step.recipe}: {error}") from error


def _share_sources(values: Any, original: Recipe, requested: Recipe) -> None:
    """Apply overrides of a source, in place, to all sections that read the same source."""
    sources = _sources(original.model_dump()), _sources(requested.model_dump())
    pairs = [(old, new) for old, new in zip(*sources, strict=False) if old != new]
    for source in list(_sources(values)):
        identity = _identity(source)
        for old, new in pairs:
            if _identity(old) == identity:
                # A dataset has its split as `train`, a step as `split`.
                split = new.get("split", new.get("train"))
                after = {**new, "split": split, "train": split}
                before = {**old, "split": identity[-1], "train": identity[-1]}
                shared = source.keys() & after.keys() & before.keys() - {"weight", "step", "out"}
                source |= {key: after[key] for key in shared if after[key] != before[key]}


def _sources(values: Any) -> Iterator[dict[str, Any]]:
    """All sections in plain values that have a `source`."""
    if isinstance(values, dict) and "source" in values:
        yield values
    elif isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _sources(value)


def _identity(source: dict[str, Any]) -> tuple[Any, ...]:
    split = source.get("split", source.get("train"))
    return source["source"], source["revision"], source["config"], split


def _add(task: Task, tasks: dict[Path, Task], by: str) -> None:
    """Add a task unless the same one is planned already."""
    planned = tasks.setdefault(task.out, task)
    if planned.digest != task.digest:
        differences = run_folder.describe_differences(planned.arguments, task.arguments)
        raise RecipeError(
            f"two steps that {by} requires must not write different outputs to {task.out} "
            f"({differences or 'their inputs differ'}) — give one of them another `out`, or its "
            "recipe another `name`"
        )


def _paths_of_step(step: DataStep, recipe: Recipe) -> Iterator[str]:
    """The local paths that a step reads."""
    if isinstance(step, Teach):
        yield from step.teachers
        yield from _local(dataset.source for dataset in recipe.datasets)
    elif isinstance(step, CutSentences | AspectPairs | AspectSentences):
        yield from _local([step.source])
    if isinstance(step, AspectSentences):
        yield step.teacher


def _paths_of_recipe(recipe: Recipe) -> Iterator[str]:
    """The local paths that the run of a recipe reads."""
    yield from _local([recipe.base_model, *(dataset.source for dataset in recipe.datasets)])
    if recipe.distillation:
        yield recipe.distillation.probabilities


def _local(sources: Iterable[str]) -> Iterator[str]:
    return (s for s in sources if is_path(s) or Path(s).suffix.lower() in FILES)


def _check_available(paths: Iterable[str], tasks: Mapping[Path, Task], by: str) -> None:
    """Raise `RecipeError` for a path that neither exists nor is the output of a task."""
    for path in paths:
        if not Path(path).expanduser().exists() and not _producers([path], tasks.values()):
            raise RecipeError(
                f"{by} reads {path}, which doesn't exist and is not the output of a step before it "
                "in `requires` — add such a step, or correct the path"
            )


def _producers(paths: Iterable[str], tasks: Iterable[Task]) -> list[Task]:
    wanted = {Path(path) for path in paths}
    return [task for task in tasks if wanted & _outputs(task)]


def _outputs(task: Task) -> set[Path]:
    """The paths under which a recipe can read the output: a JSONL file also by its folder."""
    return {task.out} | ({task.out.parent} if task.out.suffix == ".jsonl" else set())


def _record_file(out: Path) -> Path:
    return out.with_name(f".{out.name}.step")


def _read_record(out: Path) -> dict[str, Any] | None:
    """The record that `write_record` wrote; None without a valid one."""
    try:
        record = json.loads(_record_file(out).read_text(encoding="utf-8"))
        return {key: record[key] for key in ["arguments", "after", "sha256"]}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha256_of_files(path: Path) -> str:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
