"""Steps: what a pipeline has planned is done, in order, each step resumable.

In: the tasks of `train.pipeline.plan`. Out: their outputs. Each is done by the function that its
own command of the command line calls. A finished step is not done again; what was made from
something else is refused, neither used nor overwritten. Under `accelerate launch` all processes
train; while the first does a step of another kind, the others wait.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from train import run_folder
from train.errors import RunError, TrainError
from train.pipeline.plan import Task
from train.recipe import Recipe
from train.sections import CutSentences, Patterns, PseudoLabels, Sentences, Teach

PUSH_EVERY_SECONDS = 300
POLL_SECONDS = 0.5


def run(tasks: Sequence[Task], resume: bool = False, checkpoints_to: str | None = None) -> None:
    """Do what is missing, in order.

    Args:
        tasks: From `pipeline.plan`.
        resume: The last of them, the recipe's own run, must go on rather than begin.
        checkpoints_to: A Hub repository that keeps the checkpoints of that run too.

    Raises:
        RunError: An output was made from something else.
    """
    *required, own = tasks
    for task in required:
        check_unchanged(task)
    folders = [task.out for task in required if task.is_run]
    for task in required:
        if task.is_run:
            _fit(task, folders)
        elif not run_folder.is_first_process():
            while not task.is_done or task.changes():
                time.sleep(POLL_SECONDS)
        elif not task.is_done:
            if isinstance(task.step, PseudoLabels | Sentences):
                _export_if_missing(Path(task.step.run))
            do(task)
    _fit(own, folders, resume, checkpoints_to)


def check_unchanged(task: Task) -> None:
    """Raise `RunError` where a required output was made from something else than is asked for."""
    if changed := task.changes():
        raise RunError(
            f"{task.out} was not made by the {task.title} as it is now ({changed}) — rename or "
            "remove it to make it anew, or use all that is there with --set requires=[]"
        )


def do(task: Task) -> None:
    """Do a step that is no run, whatever is there of it; a stopped one goes on or begins anew."""
    with run_folder.locked(task.out):
        said = _make(task)
        task.write_record()
    run_folder.print_line(f"wrote {task.out}: {said}")


def adapt(recipe: Recipe, folder: Path, resume: bool) -> None:
    """Adapt the base model of the recipe whose run folder this is; see `train.modeling.mlm`."""
    from train.modeling import mlm

    adapted = run_folder.adapted_folder(folder)
    run_folder.reset_peak_memory()
    with run_folder.locked(adapted):
        results = mlm.adapt(recipe, adapted, resume=resume)
    if run_folder.is_first_process():
        before, after = (results["perplexity"][key] for key in ["before", "after"])
        run_folder.print_line(
            f"perplexity {before:,.1f} before, {after:,.1f} after; the base is in {adapted}"
        )


def leave_processes() -> None:
    """Part from the other processes of `accelerate launch`, at the end of all that trains."""
    from accelerate import PartialState

    PartialState().destroy_process_group()


def _make(task: Task) -> str:
    """Write the output of a step that is no run, whole or not at all; what there is to say."""
    from train.augmentation import distillation, patterns, pseudo_labels, sentences

    out, step, draft = task.out, task.step, task.out.with_name(f".{task.out.name}.draft")
    if isinstance(step, Teach):
        assert task.recipe is not None
        count = distillation.teach([Path(teacher) for teacher in step.teachers], task.recipe, out)
        return f"probabilities for {count:,} texts"
    if isinstance(step, PseudoLabels):
        done = pseudo_labels.write(Path(step.run), step, out)
        judged = [
            f"\nvalidation, {name}: {found['accuracy']:.4f}, loss {found['nll']:.4f}"
            for name, found in done["validation"].items()
        ]
        return f"{done['texts']:,} texts{''.join(judged)}"
    if isinstance(step, Patterns):
        shutil.rmtree(draft, ignore_errors=True)
        count = patterns.write(draft, step.seed, step.max_rows)
    elif isinstance(step, CutSentences):
        count = sentences.sample(step, draft, max_sentences=step.max_sentences)
    else:
        assert isinstance(step, Sentences)
        count = sentences.write(
            Path(step.run),
            draft,
            min_confidence=step.min_confidence,
            max_per_review=step.max_per_review,
            max_sentences=step.max_sentences,
        )
    draft.replace(out)
    return f"{count:,} sentences"


def _export_if_missing(folder: Path) -> None:
    from train.publishing import export

    if not run_folder.load_results(folder)["export"]:
        with run_folder.locked(folder):
            export.export(folder)


def _fit(
    task: Task, required: Sequence[Path], resume: bool = False, checkpoints_to: str | None = None
) -> None:
    """Train a recipe, unless its run is finished; one that was interrupted goes on."""
    from train.modeling.resolve import on_main_process
    from train.pipeline import training_run

    recipe, folder = task.recipe, task.out
    assert recipe is not None
    after: Callable[[Path], None] | None = None
    with run_folder.locked(folder):
        if on_main_process(lambda: task.is_done and not task.changes()):
            run_folder.print_line(f"{folder} is finished — rename or remove it to train it anew")
            return
        if checkpoints_to:
            pulled = checkpoints_to
            resume = on_main_process(lambda: _pull(pulled, folder, resume))
            after = _pusher(checkpoints_to)
        _adapt_if_missing(recipe, folder, required)
        # Where there are steps before this one, they may be all that there is to resume.
        alone = not required and recipe.adaptation is None
        asked = resume
        resume = on_main_process(
            lambda: _is_begun(recipe, folder) or (asked and (alone or folder.exists()))
        )
        run_folder.reset_peak_memory()
        training_run.fit(recipe, folder, resume=resume, after_checkpoint=after)
    run_folder.print_line(f"model and validation figures are in {folder}")


def _is_begun(recipe: Recipe, folder: Path) -> bool:
    """Whether a run of this very recipe, or its adaptation, was interrupted there."""
    is_there = (folder / "recipe.yaml").is_file() and not (folder / "results.json").is_file()
    return is_there and not run_folder.changes(run_folder.load_recipe(folder), recipe)


def _adapt_if_missing(recipe: Recipe, folder: Path, required: Sequence[Path]) -> None:
    """Adapt the base model; where a required run has adapted the same in the same way, copy it."""
    from train.modeling.resolve import on_main_process

    adapted = run_folder.adapted_folder(folder)

    def is_there() -> bool:
        for other in map(run_folder.adapted_folder, required):
            same = run_folder.is_adapted(other) and not run_folder.adapted_otherwise(other, recipe)
            if same and not adapted.exists():
                draft = adapted.with_name(f".{adapted.name}.draft")
                shutil.rmtree(draft, ignore_errors=True)
                shutil.copytree(other, draft, ignore=shutil.ignore_patterns("checkpoints"))
                draft.rename(adapted)
                run_folder.print_line(f"{adapted} is a copy of {other}")
        return run_folder.is_adapted(adapted)

    if recipe.adaptation:
        with run_folder.locked(adapted):
            if not on_main_process(is_there):
                adapt(recipe, folder, on_main_process(lambda: _is_begun(recipe, adapted)))


def _pull(checkpoints_to: str, folder: Path, resume: bool) -> bool:
    """Bring the checkpoint from the Hub where none is here; whether there is one to resume."""
    from train.publishing import hub

    hub.check_target(checkpoints_to, private=True)
    if not resume or (folder / "recipe.yaml").exists():
        return resume
    found = hub.pull_checkpoint(checkpoints_to, folder)
    run_folder.print_line(
        f"{'going on from the' if found else 'no'} checkpoint on {checkpoints_to}"
    )
    return found


def _pusher(repo_id: str) -> Callable[[Path], None]:
    """Pushes the first checkpoint and then one every five minutes: they are three models large."""
    pushed = -math.inf

    def push(checkpoint: Path) -> None:
        import typer

        from train.publishing import hub

        nonlocal pushed
        if time.monotonic() - pushed < PUSH_EVERY_SECONDS:
            return
        pushed = time.monotonic()
        # A Hub that is away for a moment must not end hours of training.
        try:
            hub.push_checkpoint(checkpoint, repo_id)
        except TrainError as error:
            typer.echo(f"checkpoint stays at home for now: {error}", err=True)

    return push
