"""Published results: train a recipe on the real datasets, as a user with a Hub account would.

In: a recipe, and folders of the datasets, which this repository does not contain: IMDb as
`train.parquet`, `test.parquet` and `unsupervised.parquet`, SST-5 as `train.parquet`, `dev.parquet`
and `test.parquet`, base models other than MiniLM-L6, and for other datasets the beginning of the
paths of such files, with columns `text` and `label` (0 or 1). Out: `NAME.json` and
`NAME-test-predictions.parquet` in `results/`. Datasets and base models are uploaded to a local Hub
under their own names; `train run` does the rest, with the required steps. The same command resumes
after an interruption.

    python -m benchmarks.record movie-sentiment --imdb DIR [--sst5 DIR] [--base HUB_ID=DIR …]
        [--dataset HUB_ID=DIR/fr_ …] [--set KEY=VALUE …] [--out DIR]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import REPOSITORY, RESULTS, add_out, record_run
from train import quickstart, recipe, run_folder
from train.pipeline import plan
from train.sections import Dataset, Source

Client = dict[str, str]  # the environment of a client of some Hub
SPLITS = {  # file -> split
    "train": "train", "dev": "validation", "test": "test", "unsupervised": "unsupervised",
}  # fmt: skip


def main() -> None:
    """Fill the local Hub, run the recipe, copy its results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--imdb", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--sst5", type=Path, help="folder of the Parquet files")
    parser.add_argument(
        "--base", action="append", default=[], metavar="HUB_ID=DIR", help="folder of a base model"
    )
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="HUB_ID=PREFIX",
        help="beginning of the paths of a dataset's Parquet files",
    )  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    add_out(parser, RESULTS)
    options = parser.parse_args()
    tasks = plan.plan(options.recipe, options.set)
    recipes = [task.recipe for task in tasks if task.is_run and task.recipe]
    run_recipe, folder = recipes[-1], REPOSITORY / tasks[-1].out
    bases, others = (
        dict(text.split("=", 1) for text in texts) for texts in (options.base, options.dataset)
    )
    if run_recipe.base_model in bases and not run_recipe.base_note:
        parser.error(
            "a base model from a folder must be described in the results, got --base "
            f"{run_recipe.base_model}: add --set 'base_note=How its weights were made.'"
        )
    recipes = with_ancestors(recipes)
    known = _prefixes(options.imdb, options.sst5, others)
    if lacking := {s.source for s in _sources(recipes) if not s.is_local} - known.keys():
        parser.error(
            "each dataset that the recipe or an ancestor of its base model reads must have files, "
            f"got none for {', '.join(sorted(lacking))}: add --sst5 or --dataset"
        )
    with hub_with(recipes, options.imdb, options.sst5, bases, others) as client:
        to = f"demo/{run_recipe.name}"
        train_command(client, "run", options.recipe, "--to", to, *sets(options.set))
    record_run(folder, options.out)
    shutil.copy(
        folder / "test-predictions.parquet",
        options.out / f"{run_recipe.name}-test-predictions.parquet",
    )


def with_ancestors(recipes: Sequence[recipe.Recipe]) -> list[recipe.Recipe]:
    """The recipes, and those of the runs that their base models come from, whose data is read."""
    folders = [folder for run_recipe in recipes for folder in run_folder.lineage(run_recipe)]
    return [*recipes, *map(run_folder.load_recipe, folders)]


@contextmanager
def hub_with(
    recipes: Sequence[recipe.Recipe],
    imdb: Path | None = None,
    sst5: Path | None = None,
    bases: Mapping[str, str] | None = None,
    others: Mapping[str, str] | None = None,
) -> Iterator[Client]:
    """A local Hub with the datasets and base models of recipes; yields its clients' environment.

    Args:
        recipes: Name the datasets and base models.
        imdb: The folder of IMDb's files.
        sst5: The folder of SST-5's files.
        bases: The folder of each base model that is not MiniLM-L6, by its Hub id.
        others: The beginning of the paths of the files of each other dataset, by its Hub id.
    """
    prefixes = _prefixes(imdb, sst5, others or {})
    datasets = {(source.source, source.revision): source for source in _sources(recipes)}
    on_hub = {
        run_recipe.base_model: run_recipe for run_recipe in recipes if not run_recipe.base_is_local
    }
    missing = on_hub.keys() - (bases or {}).keys() - {recipe.load("quickstart").base_model}
    if missing:
        raise SystemExit(
            "each base model other than MiniLM-L6 must have a folder, but there is none for "
            f"{', '.join(sorted(missing))} — give --base HUB_ID=DIR"
        )
    with quickstart.local_hub() as endpoint:
        for dataset in datasets.values():
            if prefix := prefixes.get(dataset.source):
                seed(endpoint, dataset, prefix)
        for name, run_recipe in on_hub.items():
            folder = (bases or {}).get(name)
            quickstart.seed_base(endpoint, run_recipe, Path(folder) if folder else None)
        yield quickstart.client_environment(endpoint)


def _sources(recipes: Sequence[recipe.Recipe]) -> list[Source]:
    """The datasets that the recipes and their steps read."""
    return [s for r in recipes for s in [*r.requires, *r.datasets] if isinstance(s, Source)]


def _prefixes(imdb: Path | None, sst5: Path | None, others: Mapping[str, str]) -> dict[str, str]:
    """The beginning of the paths of each dataset's files, by its Hub id."""
    known = {"stanfordnlp/imdb": imdb, "SetFit/sst5": sst5}
    return {**others, **{name: f"{folder}/" for name, folder in known.items() if folder}}


def seed(endpoint: str, dataset: Source, prefix: str) -> None:
    """Upload the Parquet files to the Hub under the dataset's name and revision.

    All splits get the same columns, as in a Hub dataset: missing labels are -1.
    """
    import yaml
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(endpoint=endpoint, token=quickstart.token("token-admin"))
    api.create_repo(dataset.source, repo_type="dataset", exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        operations, splits = [], []
        for file, split in SPLITS.items():
            if not Path(f"{prefix}{file}.parquet").exists():
                continue
            path = Path(scratch) / f"{file}.parquet"
            _rows(f"{prefix}{file}.parquet", dataset).to_parquet(path, index=False)
            operations.append(CommitOperationAdd(f"plain_text/{split}.parquet", path))
            splits.append({"split": split, "path": f"plain_text/{split}.parquet"})
        if not splits:
            raise SystemExit(f"no file {prefix}train.parquet: it stands in for {dataset.source}")
        # A split of another name than train, validation or test must be named in the card.
        config = {"config_name": dataset.config or "plain_text", "data_files": splits}
        card = yaml.safe_dump({"configs": [config]})
        operations.append(CommitOperationAdd("README.md", f"---\n{card}---\n".encode()))
        api.create_commit(
            dataset.source, repo_type="dataset", operations=operations, commit_message="Data"
        )
    assert dataset.revision
    names = [tag.name for tag in api.list_repo_refs(dataset.source, repo_type="dataset").tags]
    if dataset.revision in names:  # from an earlier upload, perhaps with fewer files
        api.delete_tag(dataset.source, repo_type="dataset", tag=dataset.revision)
    api.create_tag(dataset.source, repo_type="dataset", tag=dataset.revision)


def _rows(file: str, dataset: Source) -> Any:
    """The rows of a file, with the column names of a dataset on the Hub."""
    import pandas

    rows = pandas.read_parquet(file)
    is_labeled = isinstance(dataset, Dataset)
    names = {"text": dataset.text, "label": dataset.label or "label"} if is_labeled else {}
    rows = rows.rename(columns={old: new for old, new in names.items() if new not in rows.columns})
    for column in {"label", "rating"} - set(rows.columns):
        rows[column] = -1
    return rows[sorted(rows.columns)]


def train_command(client: Client, *arguments: str) -> None:
    """Run `python -m train` in the environment of a client of some Hub."""
    command = [sys.executable, "-m", "train", *arguments]
    subprocess.run(command, env={**os.environ, **client}, cwd=REPOSITORY, check=True)


def sets(settings: Sequence[str]) -> list[str]:
    """The command-line arguments that override these keys of a recipe."""
    return [part for setting in settings for part in ("--set", setting)]


if __name__ == "__main__":
    main()
