"""The command line: `python -m train COMMAND`.

In: arguments. Out: calls of the pipeline, or an error as one line with an exit status. Commands
import what they need themselves, so that `--help` is fast.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from train import network
from train import recipe as recipes
from train.data import commands
from train.errors import RecipeError, RunError, TrainError, UsageError
from train.options import (
    AllowRegression,
    AspectModel,
    Aspects,
    CheckpointsTo,
    Out,
    Overrides,
    Private,
    RecipeName,
    Resume,
    Space,
    SpaceHardware,
    SpaceKind,
    SpaceWait,
    TextColumn,
    TextPairColumn,
    To,
)
from train.recipe import Recipe
from train.sections import FILES, FORMATS

app = typer.Typer(
    help="Train, evaluate and publish a sentiment model for movie reviews.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(commands.app, name="data")
SOURCE = f"a file ({FORMATS}, or text with a review per line), or a Hub id"


def _examples(*commands: str) -> str:
    """The end of a help text; click keeps its line breaks."""
    return "\n".join(["\b", "Examples:", *(f"  python -m train {c}" for c in commands)])


@app.command(epilog=_examples("plan movie-sentiment"))
def plan(recipe: RecipeName, set_: Overrides = None, out: Out = None) -> None:
    """Print the steps of a recipe, with their state and cost."""
    from train.pipeline import costs, plan

    costs.print_plan(plan.plan(recipe, set_, out))


@app.command(
    epilog=_examples(
        "fit imdb-small",
        "fit imdb-small --set datasets.source=my.csv --out runs/mine",
    )
)
def fit(
    recipe: RecipeName,
    set_: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    checkpoints_to: CheckpointsTo = None,
) -> None:
    """Fine-tune a model, after the steps that it requires.

    Interrupted steps are resumed, finished steps are skipped.
    """
    from train import run_folder
    from train.pipeline import costs, plan, steps

    tasks = plan.plan(recipe, set_, out)
    with run_folder.locked(tasks[-1].out):
        costs.print_plan(tasks)
        steps.run_all(tasks, resume, checkpoints_to)
    steps.leave_processes()


@app.command(
    epilog=_examples(
        "evaluate runs/imdb-small",
        "evaluate user/movie-sentiment --dataset my.csv --set label=stars",
    )
)
def evaluate(
    run_or_repo: Annotated[str, typer.Argument(metavar="RUN_OR_REPO")],
    dataset: Annotated[
        str | None, typer.Option(help="another dataset: a Hub id, a file or a folder")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="its split; default: test, and `train` for a file")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="columns and other keys of `datasets`"),
    ] = None,
    max_rows: Annotated[
        int | None, typer.Option(min=1, help="maximum number of rows, sampled at random")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="commit or tag of a Hub model")] = None,
    out: Annotated[Path | None, typer.Option(help="write the metrics to this JSON file")] = None,
) -> None:
    """Evaluate a run or any model. Without options, on its own test split."""
    from train import run_folder

    if dataset is None:
        if not Path(run_or_repo).is_dir():
            raise RunError(
                f"no run folder at {run_or_repo} — add --dataset to evaluate a Hub model"
            )
        if any([split, set_, max_rows, revision, out]):
            raise UsageError(
                "--split, --set, --max-rows, --revision and --out need --dataset: without it a "
                "run is evaluated on its own test split, by its own recipe"
            )
        _evaluate(Path(run_or_repo))
        return
    source = recipes.parse_dataset(dataset, set_ or [])
    split = split or _default_split(dataset, "test")
    from train.data import sources

    sources.check_exists(source)
    from train.pipeline import training_run

    results = training_run.evaluate_elsewhere(run_or_repo, revision, source, split, max_rows)
    _print_metrics(results["metrics"])
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        run_folder.save_results(out, results)


@app.command(epilog=_examples("export runs/imdb-small"))
def export(run: Annotated[Path, typer.Argument(help="a finished run folder")]) -> None:
    """Write the ONNX files in fp32 and int8. The Space and transformers.js read them."""
    from train import run_folder

    run_folder.load_results(run)
    from train.pipeline import release
    from train.publishing import export

    if release.is_release(run):
        release.unpack(run)
        return
    with run_folder.locked(run):
        export.export(run)


@app.command(
    epilog=_examples(
        "publish runs/imdb-small --to user/movie-sentiment",
        "publish runs/imdb-small --to user/m --space user/m --space-kind static",
        "publish runs/imdb-small --to user/m --space user/m --space-hardware zero-a10g",
        "publish models/movie-sentiment --to user/movie-sentiment",
    )
)
def publish(
    run: Annotated[Path, typer.Argument(help="an evaluated and exported run folder, or a release")],
    to: To,
    private: Private = False,
    space: Space = None,
    space_kind: SpaceKind = "gradio",
    space_hardware: SpaceHardware = None,
    space_wait: SpaceWait = 10,
    aspect_model: AspectModel = None,
    allow_regression: AllowRegression = False,
) -> None:
    """Publish a run folder to the Hub, and a Space. It is one commit, and is checked there."""
    from train import run_folder
    from train.pipeline import publication, release

    if space:
        publication.check_space_model(run_folder.load_recipe(run))
    targets = (to, private, space, space_hardware, None, space_kind, aspect_model)
    if release.is_release(run):
        publication.check_targets(*targets)  # before the copy, which takes a minute
        run = release.working_copy(run)
    run_folder.check_complete(run)
    with run_folder.locked(run):
        publication.check_targets(*targets)
        deployment = (space, space_hardware, space_wait, space_kind, aspect_model)
        publication.publish(run, to, private, allow_regression, *deployment)


@app.command(epilog=_examples("release runs/movie-sentiment models/movie-sentiment"))
def release(
    run: Annotated[Path, typer.Argument(help="an evaluated and exported run folder")],
    out: Annotated[Path, typer.Argument(help="the folder to write")],
) -> None:
    """Write a run in the form that is committed: fp16, no ONNX.

    The evaluated split is scored again with the weights in fp32, fp16 and bf16. A release can be
    evaluated, exported, published and scored with like a run.
    """
    from train import run_folder
    from train.pipeline import release

    with run_folder.locked(run):
        release.write(run, out)


@app.command(
    epilog=_examples(
        "run imdb --to user/movie-sentiment --space user/movie-sentiment --space-kind static"
    )
)
def run(
    recipe: RecipeName,
    to: To,
    set_: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    checkpoints_to: CheckpointsTo = None,
    private: Private = False,
    space: Space = None,
    space_kind: SpaceKind = "gradio",
    space_hardware: SpaceHardware = None,
    space_wait: SpaceWait = 10,
    aspect_model: AspectModel = None,
    allow_regression: AllowRegression = False,
) -> None:
    """Train as `fit` does, then evaluate, export and publish.

    Write permission on the Hub is checked first. Interrupted steps are resumed.
    """
    from train import console, run_folder
    from train.pipeline import costs, plan, publication, steps

    tasks = plan.plan(recipe, set_, out)
    own, folder = tasks[-1].recipe, tasks[-1].out
    if space and own:
        publication.check_space_model(own)
    with run_folder.locked(folder):
        costs.print_plan(tasks)
        if console.is_first_process():
            publication.check_targets(
                to, private, space, space_hardware, checkpoints_to, space_kind, aspect_model
            )
        steps.run_all(tasks, resume, checkpoints_to)
        steps.leave_processes()
        if console.is_first_process():
            results = run_folder.load_results(folder)
            if "error_analysis" not in results or not (folder / "README.md").exists():
                _evaluate(folder)
            if not results["export"]:
                export(folder)
            deployment = (space, space_hardware, space_wait, space_kind, aspect_model)
            publication.publish(folder, to, private, allow_regression, *deployment)


@app.command(
    epilog=_examples(
        "score reviews.csv --model user/movie-sentiment --out scored.csv",
        "score user/reviews --split train --model runs/imdb-small --out scored.parquet",
        "score reviews.csv --model user/movie-aspects --aspects all --out aspects.csv",
    )
)
def score(
    source: Annotated[str, typer.Argument(metavar="INPUT", help=SOURCE)],
    model: Annotated[str, typer.Option(metavar="USER/REPO", help="a Hub id, or a run folder")],
    out: Annotated[Path, typer.Option(help="the file to write: .csv, .jsonl or .parquet")],
    revision: Annotated[str | None, typer.Option(help="commit or tag of the model")] = None,
    text: TextColumn = "text",
    text_pair_column: TextPairColumn = None,
    aspects: Aspects = None,
    split: Annotated[str, typer.Option(help="of a Hub dataset")] = "test",
    config: Annotated[str | None, typer.Option(help="of a Hub dataset with several")] = None,
    prefix: Annotated[str, typer.Option(help="prefix of the added columns")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an existing output")
    ] = False,
) -> None:
    """Predict the label of every row of a file or dataset. The same command resumes."""
    from train.pipeline import release
    from train.scoring.score import score

    if Path(model).is_dir():
        model = str(release.working_copy(Path(model)))
    score(
        source, model, out, revision=revision, text=text, text_pair=text_pair_column,
        aspects=aspects, split=split, config=config, prefix=prefix, overwrite=overwrite,
    )  # fmt: skip


@app.command(epilog=_examples("teach movie-sentiment --teacher runs/teacher"))
def teach(
    recipe: RecipeName,
    teacher: Annotated[
        list[Path], typer.Option(help="a run folder; repeatable: several teachers are averaged")
    ],
    set_: Overrides = None,
) -> None:
    """Write a teacher's probabilities for training texts. The same command resumes."""
    student = recipes.load(recipe, set_)
    if student.distillation is None:
        raise RecipeError(f"{student.name} has no `distillation` section — add one")
    _run_data_step("teach", student, teachers=list(map(str, teacher)))


@app.command(
    epilog=_examples(
        "cut-sentences stanfordnlp/imdb --out runs/cut-sentences/train.jsonl",
        "cut-sentences unlabeled.csv --out runs/my-sentences/train.jsonl",
    )
)
def cut_sentences(
    source: Annotated[str, typer.Argument(metavar="CORPUS", help=SOURCE)],
    out: Annotated[Path, typer.Option(help="the JSONL file to write")],
    max_sentences: Annotated[
        int, typer.Option(min=1, help="maximum sentences, drawn at random")
    ] = 100_000,
    split: Annotated[
        str | None, typer.Option(help="its split; default: unsupervised, and `train` for a file")
    ] = None,
    text: TextColumn = "text",
    revision: Annotated[str | None, typer.Option(help="of a Hub dataset")] = None,
) -> None:
    """Cut sentences from unlabeled texts, for a teacher to label."""
    _run_data_step(
        "cut-sentences", source=source, out=str(out), max_sentences=max_sentences,
        split=split or _default_split(source, "unsupervised"), text=text, revision=revision,
    )  # fmt: skip


def _default_split(source: str, default: str) -> str:
    """The only split of a file is `train`."""
    is_file = Path(source).suffix.lower() in FILES or os.path.isfile(source)
    return "train" if is_file else default


def _run_data_step(kind: str, student: Recipe | None = None, **arguments: Any) -> None:
    """Run one data step with the keys that it has under `requires`."""
    from train.pipeline import plan, steps

    step = recipes.parse_step({"step": kind, **arguments})
    steps.run_data_step(plan.data_task(step, student))


def _evaluate(folder: Path) -> None:
    from train import run_folder
    from train.pipeline import release, training_run
    from train.publishing import card

    folder = release.working_copy(folder)
    with run_folder.locked(folder):
        results = training_run.evaluate(folder)
        text = card.render(results, f"user/{results['recipe']['name']}")
        (folder / "README.md").write_text(text, encoding="utf-8")
    _print_metrics(results["metrics"])


def _print_metrics(by_split: dict[str, Any]) -> None:
    from train.evaluation.metrics import describe

    for split, metrics in by_split.items():
        typer.echo(f"{split}: {describe(metrics)}")


def main() -> None:
    """Run the command line; errors that a user can fix are printed without a stack trace."""
    network.prepare()
    try:
        app(standalone_mode=True)
    except TrainError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except OSError as error:
        if error.errno != 28:  # ENOSPC
            raise
        remedy = "free some space, then run the same command again"
        typer.echo(f"error: the disk is full, finished work is kept — {remedy}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
