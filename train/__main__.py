"""The command line: `python -m train VERB`; what they are stands below, each with its options.

The rooms are imported inside the verbs, so that `--help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from train import network, plain_yaml
from train import recipe as recipes
from train.errors import HubError, RecipeError, TrainError
from train.recipe import Dataset, Recipe

app = typer.Typer(
    help="Movie reviews in, a published sentiment model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _examples(*commands: str) -> str:
    """The end of a help text, whose lines click keeps as they are."""
    return "\n".join(["\b", "Examples:", *(f"  python -m train {c}" for c in commands)])


RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="a YAML file, or a name in train/recipes")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="change a key of the recipe; repeatable"),
]
Out = Annotated[Path | None, typer.Option(help="the run folder; runs/NAME by default")]
Resume = Annotated[bool, typer.Option("--resume", help="refuse to begin anew: go on")]
CheckpointsTo = Annotated[
    str | None,
    typer.Option(metavar="USER/REPO", help="keep checkpoints in this private Hub repository too"),
]
To = Annotated[str, typer.Option("--to", metavar="USER/REPO", help="the model repository")]
Private = Annotated[bool, typer.Option("--private", help="create the repositories private")]
AllowWorse = Annotated[
    bool,
    typer.Option("--allow-worse", help="publish without the release gate, even if worse"),
]
Space = Annotated[
    str | None, typer.Option(metavar="USER/SPACE", help="deploy the app as this Space as well")
]
_Hardware = Literal["cpu-basic", "zero-a10g"]  # as in deployment, which is slow to import
SpaceHardware = Annotated[
    _Hardware | None,
    typer.Option(
        help="what the Space runs on: zero-a10g (ZeroGPU) is free for two Spaces of a personal"
        " account, cpu-basic needs a PRO or Team plan; left out, what it has or the Hub's default"
    ),
]
SpaceWait = Annotated[
    float,
    typer.Option(
        min=0, metavar="MINUTES", help="how long to wait until the Space runs; then call it once"
    ),
]


@app.command(
    epilog=_examples(
        "adapt imdb-small-plain",
        "adapt imdb --set 'adaptation={corpora: [{source: unlabelled.csv, split: train}]}'",
    )
)
def adapt(
    recipe: RecipeName, set_: Overrides = None, out: Out = None, resume: Resume = False
) -> None:
    """Let the base model read unlabelled reviews first: what `fit` then starts from."""
    from train.pipeline import steps

    chosen = recipes.load(recipe, set_)
    steps.adapt(chosen, out or Path("runs") / chosen.name, resume)
    steps.leave_processes()


@app.command(epilog=_examples("plan movie-sentiment"))
def plan(recipe: RecipeName, set_: Overrides = None, out: Out = None) -> None:
    """Show the steps that a recipe needs, what they cost, and what is there of them."""
    from train.pipeline import costs, plan

    costs.show(plan.plan(recipe, set_, out))


@app.command(
    epilog=_examples(
        "fit imdb-small-plain",
        "fit imdb-small-plain --set adaptation=null --set datasets.source=my.csv --out runs/mine",
    )
)
def fit(
    recipe: RecipeName,
    set_: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    checkpoints_to: CheckpointsTo = None,
) -> None:
    """Fine-tune a model: reviews to a run folder; what its recipe requires comes first.

    What was interrupted goes on. A finished step is not done again.
    """
    from train import run_folder
    from train.pipeline import costs, plan, steps

    tasks = plan.plan(recipe, set_, out)
    with run_folder.locked(tasks[-1].out):
        costs.show(tasks)
        steps.run(tasks, resume, checkpoints_to)
    steps.leave_processes()


@app.command(
    epilog=_examples(
        "evaluate runs/imdb-small",
        "evaluate user/movie-sentiment --dataset my.csv --split train --set label=stars",
    )
)
def evaluate(
    run_or_repo: Annotated[str, typer.Argument(metavar="RUN_OR_REPO")],
    dataset: Annotated[
        str | None, typer.Option(help="another dataset: a Hub id, a file or a folder")
    ] = None,
    split: Annotated[str, typer.Option(help="its split; a single file is `train`")] = "test",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="columns and so on, as under `datasets`"),
    ] = None,
    max_rows: Annotated[int | None, typer.Option(min=1, help="at most so many, at random")] = None,
    revision: Annotated[str | None, typer.Option(help="of a model on the Hub")] = None,
    out: Annotated[Path | None, typer.Option(help="write the figures to this JSON file")] = None,
) -> None:
    """Measure a model: a run on its own test reviews, or any model on any dataset."""
    from train import run_folder
    from train.pipeline import training_run

    if dataset is None:
        if not Path(run_or_repo).is_dir():
            raise RecipeError(
                f"no run folder at {run_or_repo} — for a model on the Hub name --dataset as well"
            )
        _evaluate(Path(run_or_repo))
        return
    described = _dataset(dataset, set_ or [])
    results = training_run.evaluate_elsewhere(run_or_repo, revision, described, split, max_rows)
    _show(results["metrics"])
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        run_folder.save_results(out, results)


@app.command(epilog=_examples("export runs/imdb-small"))
def export(
    run: Annotated[Path, typer.Argument(help="a run folder that fit has finished")],
) -> None:
    """Write the ONNX files, fp32 and int8, that the Space and transformers.js load."""
    from train import run_folder
    from train.publishing import export

    run_folder.load_results(run)
    with run_folder.locked(run):
        export.export(run)


@app.command(
    epilog=_examples(
        "publish runs/imdb-small --to user/movie-sentiment",
        "publish runs/imdb-small --to user/movie-sentiment --space user/movie-sentiment",
        "publish runs/imdb-small --to user/m --space user/m --space-hardware zero-a10g",
    )
)
def publish(
    run: Annotated[Path, typer.Argument(help="a run folder, evaluated and exported")],
    to: To,
    private: Private = False,
    space: Space = None,
    space_hardware: SpaceHardware = None,
    space_wait: SpaceWait = 10,
    allow_regression: AllowWorse = False,
) -> None:
    """Push a run folder to the Hub in one commit and check what arrived; the Space likewise."""
    from train import run_folder

    run_folder.check_complete(run)
    with run_folder.locked(run):
        _check_targets(to, private, space, space_hardware)
        _publish(run, to, private, allow_regression, space, space_hardware, space_wait)


@app.command(
    epilog=_examples(
        "run imdb --to user/movie-sentiment --space user/movie-sentiment",
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
    space_hardware: SpaceHardware = None,
    space_wait: SpaceWait = 10,
    allow_regression: AllowWorse = False,
) -> None:
    """Fit as `fit` does, with all that comes before; then evaluate, export and publish.

    That the token may write is checked first. What was interrupted goes on.
    """
    from train import run_folder
    from train.pipeline import costs, plan, steps

    tasks = plan.plan(recipe, set_, out)
    folder = tasks[-1].out
    with run_folder.locked(folder):
        costs.show(tasks)
        if run_folder.is_first_process():
            _check_targets(to, private, space, space_hardware, checkpoints_to)
        steps.run(tasks, resume, checkpoints_to)
        steps.leave_processes()
        if run_folder.is_first_process():
            results = run_folder.load_results(folder)
            if "weaknesses" not in results or not (folder / "README.md").exists():
                _evaluate(folder)
            if not results["export"]:
                export(folder)
            _publish(folder, to, private, allow_regression, space, space_hardware, space_wait)


@app.command(
    epilog=_examples(
        "score reviews.csv --model user/movie-sentiment --out scored.csv",
        "score user/reviews --split train --model runs/imdb-small --out scored.parquet",
    )
)
def score(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="a CSV, TSV, JSON, Parquet file, or a Hub id")
    ],
    model: Annotated[str, typer.Option(metavar="USER/REPO", help="on the Hub, or a run folder")],
    out: Annotated[Path, typer.Option(help="the file to write: .csv, .jsonl or .parquet")],
    revision: Annotated[str | None, typer.Option(help="of the model")] = None,
    text: Annotated[str, typer.Option(help="the column to judge")] = "text",
    split: Annotated[str, typer.Option(help="of a Hub dataset")] = "test",
    config: Annotated[str | None, typer.Option(help="of a Hub dataset that has several")] = None,
    prefix: Annotated[str, typer.Option(help="before the names of the added columns")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the output")] = False,
) -> None:
    """Predict the label of every row of a file or dataset; the same command resumes.

    In .csv and .jsonl output, JSON numbers keep their value but not their spelling (1.10 becomes
    1.1), Infinity becomes the text "Infinity" ("inf" in CSV), NaN becomes null or an empty cell,
    a lone surrogate becomes "?", and binary cells become hexadecimal digits.
    """
    from train.scoring.score import score

    score(
        source, model, out, revision=revision, text=text, split=split, config=config,
        prefix=prefix, overwrite=overwrite,
    )  # fmt: skip


@app.command(epilog=_examples("sentences runs/imdb-small --out runs/sentences/train.jsonl"))
def sentences(
    run: Annotated[Path, typer.Argument(help="a run folder, exported")],
    out: Annotated[Path, typer.Option(help="the JSONL file to write")],
    least: Annotated[
        float, typer.Option(min=0.5, max=1, help="probability from which the model is sure")
    ] = 0.98,
    each: Annotated[int, typer.Option(min=1, help="sentences of a review, at most")] = 2,
    most: Annotated[int, typer.Option(min=2, help="sentences in all, at most")] = 20_000,
) -> None:
    """Cut labelled sentences from a run's training reviews, to train on short input."""
    _step("sentences", run=run, out=out, least=least, each=each, most=most)


@app.command(
    epilog=_examples(
        "pseudo-label runs/imdb-small-plain stanfordnlp/imdb --out runs/pseudo-labels/train.jsonl",
        "pseudo-label runs/mine unlabelled.csv --split train --out runs/mine-labels/train.jsonl",
    )
)
def pseudo_label(
    run: Annotated[Path, typer.Argument(help="a run folder, exported")],
    source: Annotated[
        str, typer.Argument(metavar="CORPUS", help="a CSV, TSV, JSON, Parquet file, or a Hub id")
    ],
    out: Annotated[Path, typer.Option(help="the JSONL file to write")],
    split: Annotated[
        str, typer.Option(help="its split; a single file is `train`")
    ] = "unsupervised",
    text: Annotated[str, typer.Option(help="the column of the texts")] = "text",
    revision: Annotated[
        str | None, typer.Option(help="of a Hub dataset; else the run's, where it has the same")
    ] = None,
) -> None:
    """Label texts by a run's model and a bag of n-grams, to train on; the same command resumes."""
    corpus: dict[str, Any] = {"source": source, "split": split, "text": text, "revision": revision}
    _step("pseudo-labels", run=run, out=out, **corpus)


@app.command(epilog=_examples("teach movie-sentiment --teacher runs/teacher"))
def teach(
    recipe: RecipeName,
    teacher: Annotated[
        list[Path], typer.Option(help="a run folder; repeat it to average several teachers")
    ],
    set_: Overrides = None,
) -> None:
    """Write teachers' probabilities for a recipe's training texts; the same command resumes."""
    chosen = recipes.load(recipe, set_)
    if chosen.distillation is None:
        raise RecipeError(f"{chosen.name} has no `distillation` section, which names the file")
    _step("teach", chosen, teachers=list(map(str, teacher)))


@app.command(
    epilog=_examples(
        "cut-sentences stanfordnlp/imdb --most 100000 --out runs/sentences/train.jsonl"
    )
)
def cut_sentences(
    source: Annotated[
        str, typer.Argument(metavar="CORPUS", help="a CSV, TSV, JSONL, Parquet file, or a Hub id")
    ],
    out: Annotated[Path, typer.Option(help="the JSONL file to write")],
    most: Annotated[int, typer.Option(min=1, help="sentences at most, at random")] = 100_000,
    split: Annotated[
        str, typer.Option(help="its split; a single file is `train`")
    ] = "unsupervised",
    text: Annotated[str, typer.Option(help="the column of the texts")] = "text",
    revision: Annotated[str | None, typer.Option(help="of a Hub dataset")] = None,
) -> None:
    """Cut sentences from texts without labels, for a teacher to label."""
    corpus: dict[str, Any] = {"source": source, "split": split, "text": text, "revision": revision}
    _step("cut-sentences", out=out, most=most, **corpus)


def _step(kind: str, student: Recipe | None = None, **arguments: Any) -> None:
    """Do a step by itself, whose arguments are those that it has under `requires`."""
    from train.pipeline import plan, steps

    values = {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()}
    steps.do(plan.step_task(recipes.parse_step({"step": kind, **values}), student))


def _evaluate(folder: Path) -> None:
    from train import run_folder
    from train.pipeline import training_run
    from train.publishing import card

    with run_folder.locked(folder):
        results = training_run.evaluate(folder)
        text = card.render(results, f"user/{results['recipe']['name']}")
        (folder / "README.md").write_text(text, encoding="utf-8")
    _show(results["metrics"])


def _check_targets(
    to: str,
    private: bool,
    space: str | None,
    hardware: _Hardware | None,
    checkpoints_to: str | None = None,
) -> None:
    from train.publishing import deployment, hub

    if hardware and not space:
        raise HubError(f"--space-hardware {hardware} is a Space's — name it with --space as well")
    for name in filter(None, [to, space, checkpoints_to]):
        hub.check_named(name)
    hub.check_target(to, private)
    if space:
        deployment.check_target(space, private, hardware)


def _publish(
    folder: Path,
    to: str,
    private: bool,
    allow_regression: bool,
    space: str | None,
    hardware: _Hardware | None,
    wait_minutes: float,
) -> None:
    from train import run_folder
    from train.publishing import deployment, hub, smoke_test_space

    done = hub.publish(folder, to, private, allow_regression)
    typer.echo(f'model  {done.url}\n       pipeline("sentiment-analysis", model="{done.repo_id}")')
    if space:
        deployed = deployment.deploy(space, done, private, hardware)
        typer.echo(f"space  {deployed.url}")
        labels = run_folder.load_results(folder)["recipe"]["labels"]
        typer.echo(
            f"       {smoke_test_space.smoke_test_space(deployed, labels, 60 * wait_minutes)}"
        )


def _dataset(source: str, overrides: list[str]) -> Dataset:
    """A dataset from the command line, checked as those in a recipe are."""
    values: dict[str, Any] = {"source": source}
    for override in overrides:
        # Messages about the datasets of a recipe name a key so.
        in_recipe = override.startswith("datasets.")
        plain_yaml.override({"datasets": [values]} if in_recipe else values, override)
    dataset = recipes.parse_section(Dataset, values, "--dataset with --set")
    if dataset.label is None:
        raise RecipeError("label must name a column to evaluate on, got null — leave it out")
    return dataset


def _show(metrics: dict[str, Any]) -> None:
    for split, found in metrics.items():
        low, high = found["accuracy_ci95"]
        typer.echo(
            f"{split}: accuracy {found['accuracy']:.4f} (95% {low:.4f} to {high:.4f}), "
            f"F1 {found['f1']:.4f}, ECE {found['ece']:.4f}, {found['n']:,} reviews"
        )


def main() -> None:
    """Run the command line; what a user can mend is one plain sentence, not a stack trace."""
    network.prepare()
    try:
        app(standalone_mode=True)
    except TrainError as error:
        typer.echo(f"{'recipe' if isinstance(error, RecipeError) else 'error'}: {error}", err=True)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except OSError as error:
        if error.errno != 28:  # ENOSPC
            raise
        typer.echo(
            "error: the disk is full — the last whole checkpoint is kept; make room, then run the "
            "same command with --resume",
            err=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
