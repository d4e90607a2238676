"""Executes planned steps in order; every step can be resumed.

In: the tasks of `train.pipeline.plan`. Out: their outputs. Finished steps are skipped. An output
that was made from other inputs is an error: it is neither used nor overwritten. Under
`accelerate launch` all processes train; the first one runs the other steps while the rest wait.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from train import console, environment, run_folder
from train.errors import RunError, TrainError
from train.pipeline.plan import Task
from train.recipe import Recipe
from train.sections import (
    AspectContrasts,
    AspectPairs,
    AspectSentences,
    CutSentences,
    Patterns,
    Teach,
)

PUSH_EVERY_SECONDS = 300
POLL_SECONDS = 0.5


def run_all(tasks: Sequence[Task], resume: bool = False, checkpoints_to: str | None = None) -> None:
    """Execute all tasks that are not done, in order.

    Args:
        tasks: From `plan.plan`; the last one is the recipe's own run.
        resume: Fail if the recipe's own run can't be resumed, here or from `checkpoints_to`.
        checkpoints_to: A Hub repository that also stores the checkpoints of that run, and from
            which it is resumed on another machine.

    Raises:
        RunError: An output was made from other inputs.
    """
    *required, own = tasks
    for task in required:
        check_unchanged(task)
    for task in required:
        if task.is_run:
            _fit(task)
        elif not console.is_first_process():
            while not task.is_done or task.changes():
                time.sleep(POLL_SECONDS)
        elif not task.is_done:
            run_data_step(task)
    is_only_run = not any(task.is_run for task in required)
    _fit(own, is_only_run, resume, checkpoints_to)


def check_unchanged(task: Task) -> None:
    """Raise `RunError` if the output of a task was made from other inputs."""
    if changes := task.changes():
        raise RunError(
            f"{task.out} was not made by the {task.title} as it is now ({changes}) — rename or "
            "remove it to make it again, or use all existing outputs with --set requires=[]"
        )


def run_data_step(task: Task) -> None:
    """Execute a step that is not a run; a stopped one is resumed or starts again."""
    with run_folder.locked(task.out):
        summary = _write_output(task)
        task.write_record()
    console.print_line(f"wrote {task.out}: {summary}")


def leave_processes() -> None:
    """Leave the process group of `accelerate launch`, after all training."""
    from accelerate import PartialState

    PartialState().destroy_process_group()


def _write_output(task: Task) -> str:
    """Write the output of a data step atomically; returns a summary for the terminal."""
    out, step, draft = task.out, task.step, task.out.with_name(f".{task.out.name}.draft")
    if isinstance(step, Teach):
        from train.augmentation import distillation

        assert task.recipe is not None
        count = distillation.teach([Path(teacher) for teacher in step.teachers], task.recipe, out)
        return f"probabilities for {count:,} texts"
    if isinstance(step, AspectSentences):
        from train.augmentation import aspects

        return f"{aspects.write_sentences(step, out):,} pairs"
    if isinstance(step, Patterns):
        from train.augmentation import patterns

        shutil.rmtree(draft, ignore_errors=True)
        count = patterns.write(draft, step.seed, step.max_rows)
    elif isinstance(step, AspectPairs | AspectContrasts):
        from train.augmentation import aspects, contrasts

        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(step, AspectPairs):
            count = aspects.write_pairs(step, draft)
        else:
            count = contrasts.write(draft, step.texts, step.seed)
        draft.replace(out)
        return f"{count:,} pairs"
    else:
        from train.augmentation import sentences

        assert isinstance(step, CutSentences)
        count = sentences.cut(step, draft)
    draft.replace(out)
    return f"{count:,} sentences"


def _fit(
    task: Task, is_only_run: bool = False, resume: bool = False, checkpoints_to: str | None = None
) -> None:
    """Train a recipe unless its run is finished; an interrupted run is resumed.

    Args:
        task: The run.
        is_only_run: Whether the plan has no other run.
        resume: Fail if the run can't be resumed; with other runs, only if it has started.
        checkpoints_to: A Hub repository that also stores the checkpoints; see `run_all`.
    """
    from train.modeling.resolve import on_main_process
    from train.pipeline import training_run

    recipe, folder = task.recipe, task.out
    assert recipe is not None
    push_checkpoint: Callable[[Path], None] | None = None
    with run_folder.locked(folder):
        if on_main_process(lambda: task.is_done and not task.changes()):
            console.print_line(f"{folder} is finished — rename or remove it to train again")
            return
        if checkpoints_to:
            repo_id = checkpoints_to
            on_main_process(lambda: _pull_checkpoint(repo_id, recipe, folder))
            push_checkpoint = _checkpoint_pusher(repo_id)
        must_resume = resume and (is_only_run or folder.exists())
        resume = on_main_process(lambda: _is_started(recipe, folder) or must_resume)
        environment.reset_peak_memory()
        training_run.fit(recipe, folder, resume=resume, after_checkpoint=push_checkpoint)
    console.print_line(f"model and validation metrics are in {folder}")


def _is_started(recipe: Recipe, folder: Path) -> bool:
    """Whether the folder has an interrupted run of this recipe."""
    is_partial = (folder / "recipe.yaml").is_file() and not (folder / "results.json").is_file()
    return is_partial and not run_folder.describe_changes(run_folder.load_recipe(folder), recipe)


def _pull_checkpoint(repo_id: str, recipe: Recipe, folder: Path) -> None:
    """Download the checkpoint, if there is one, unless the folder has the run already."""
    from train.publishing import hub

    hub.check_target(repo_id, private=True)
    if not _is_started(recipe, folder):
        has_checkpoint = hub.pull_checkpoint(repo_id, recipe, folder)
        state = "resuming from the" if has_checkpoint else "no"
        console.print_line(f"{state} checkpoint on {repo_id}")


def _checkpoint_pusher(repo_id: str) -> Callable[[Path], None]:
    """A function that uploads the first checkpoint and then at most one every five minutes.

    A checkpoint is three times as large as the model.
    """
    last_push_seconds = -math.inf

    def push(checkpoint: Path) -> None:
        import typer

        from train.publishing import hub

        nonlocal last_push_seconds
        if time.monotonic() - last_push_seconds < PUSH_EVERY_SECONDS:
            return
        last_push_seconds = time.monotonic()
        # A temporary failure of the Hub must not end a long training.
        try:
            hub.push_checkpoint(checkpoint, repo_id)
        except TrainError as error:
            typer.echo(f"checkpoint not uploaded, training continues: {error}", err=True)

    return push
