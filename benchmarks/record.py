"""The results of record: a recipe on the real reviews, as a user with an account would run it.

In: a recipe, and folders of the real data, which this repository does not contain: IMDb as
`train.parquet`, `test.parquet` and, for an adaptation, `unsupervised.parquet`; for
`reviews-any-length` SST-5 as `train.parquet`, `dev.parquet` and `test.parquet`. Out: `NAME.json`
and `NAME-test-predictions.parquet` in `results/`. The data and the base model are put on a local
Hub under their own names; then what the recipe's header asks for is made, where it isn't there yet,
and the recipe is run and published. What was interrupted goes on.

    python -m benchmarks.record imdb-small --imdb DIR [--sst5 DIR] [--set KEY=VALUE …] [--out DIR]
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import REPOSITORY, RESULTS, add_out, record_run
from train import quickstart, recipe, runs

# What each recipe's header asks for before it, in order: what it makes -> the command.
BEFORE = {
    "imdb-small": {
        "runs/imdb-small-plain-adapted/results.json": "python -m train adapt imdb-small-plain",
        "runs/imdb-small-plain/results.json": "python -m train fit imdb-small-plain",
        "runs/imdb-small-plain/onnx/model.onnx": "python -m train export runs/imdb-small-plain",
        "runs/pseudo/train.jsonl": "python -m train pseudo-label runs/imdb-small-plain "
        "stanfordnlp/imdb --out runs/pseudo/train.jsonl",
        "runs/imdb-small-adapted": "cp -r runs/imdb-small-plain-adapted runs/imdb-small-adapted",
    },
    "reviews-any-length": {
        "runs/patterns/train.jsonl": "python -m train.patterns --out runs/patterns",
        "runs/sentences/train.jsonl": "python -m train sentences runs/imdb-small "
        "--most 6000 --out runs/sentences/train.jsonl",
    },
    "teacher": {
        "runs/patterns/train.jsonl": "python -m train.patterns --out runs/patterns",
    },
    "movie-sentiment": {
        "runs/patterns/train.jsonl": "python -m train.patterns --out runs/patterns",
        "runs/teacher/results.json": "python -m train fit teacher",
        "runs/cut-sentences/train.jsonl": "python -m train cut-sentences stanfordnlp/imdb "
        "--out runs/cut-sentences/train.jsonl",
        "runs/teacher-probabilities.parquet": "python -m train teach movie-sentiment "
        "--teacher runs/teacher",
    },
}
Client = dict[str, str]  # the environment of a client of some Hub
SST5 = {"train": "train", "dev": "validation", "test": "test"}  # file -> split


def main() -> None:
    """Seed, run, copy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--imdb", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--sst5", type=Path, help="folder of the Parquet files")
    parser.add_argument("--base", type=Path, help="folder of the base model, if it isn't MiniLM-L6")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    add_out(parser, RESULTS)
    given = parser.parse_args()
    chosen = recipe.load(given.recipe, given.set)
    folder = REPOSITORY / "runs" / chosen.name
    with hub_with(chosen, given.imdb, given.sst5, given.base) as client:
        for made, command in BEFORE.get(Path(given.recipe).stem, {}).items():
            if not (REPOSITORY / made).exists():
                prepare(client, command, given.set)
        options = sets(given.set)
        begun = folder.exists() or runs.adapted_folder(folder).exists()
        options += ["--resume"] * begun
        train_command(client, "run", given.recipe, "--to", f"demo/{chosen.name}", *options)
    record_run(folder, given.out)
    shutil.copy(
        folder / "test-predictions.parquet", given.out / f"{chosen.name}-test-predictions.parquet"
    )


@contextmanager
def hub_with(
    chosen: recipe.Recipe,
    imdb: Path | None = None,
    sst5: Path | None = None,
    base: Path | None = None,
) -> Iterator[Client]:
    """A local Hub that holds what of the recipe is at hand; the environment of its clients."""
    with quickstart.local_hub() as endpoint:
        for dataset in chosen.datasets:
            if dataset.source == "stanfordnlp/imdb" and imdb:
                seed(endpoint, dataset, imdb, ["train", "test", "unsupervised"])
            elif dataset.source == "SetFit/sst5" and sst5:
                seed(endpoint, dataset, sst5, list(SST5))
        if not chosen.base_is_local:
            quickstart.seed_base(endpoint, chosen, base)
        yield quickstart.client_environment(endpoint)


def seed(endpoint: str, dataset: recipe.Dataset, folder: Path, files: list[str]) -> None:
    """Put the Parquet files on the Hub under the dataset's name and revision.

    All splits get the same columns, as a Hub dataset has them: labels that are missing are -1.
    """
    import pandas
    import yaml
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(endpoint=endpoint, token=quickstart.token("token-admin"))
    api.create_repo(dataset.source, repo_type="dataset", exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        operations, splits = [], []
        for file in files:
            if not (folder / f"{file}.parquet").exists():
                continue
            rows = pandas.read_parquet(folder / f"{file}.parquet")
            for column in {"label", "rating"} - set(rows.columns):
                rows[column] = -1
            path = Path(scratch) / f"{file}.parquet"
            rows[sorted(rows.columns)].to_parquet(path, index=False)
            split = SST5.get(file, file)
            operations.append(CommitOperationAdd(f"plain_text/{split}.parquet", path))
            splits.append({"split": split, "path": f"plain_text/{split}.parquet"})
        # A split of another name than train, validation or test must be named in the card.
        card = yaml.safe_dump({"configs": [{"config_name": "plain_text", "data_files": splits}]})
        operations.append(CommitOperationAdd("README.md", f"---\n{card}---\n".encode()))
        api.create_commit(
            dataset.source, repo_type="dataset", operations=operations, commit_message="Data"
        )
    assert dataset.revision
    names = [tag.name for tag in api.list_repo_refs(dataset.source, repo_type="dataset").tags]
    if dataset.revision in names:  # of an earlier seeding, perhaps with fewer files
        api.delete_tag(dataset.source, repo_type="dataset", tag=dataset.revision)
    api.create_tag(dataset.source, repo_type="dataset", tag=dataset.revision)


def prepare(client: Client, command: str, settings: list[str]) -> None:
    """Run a command that comes before a recipe; what was interrupted goes on.

    A recipe that it names gets the settings of the first dataset, which the two have in common.
    """
    program, *arguments = shlex.split(command)
    if arguments[:2] == ["-m", "train"] and arguments[2] in {"adapt", "fit"}:
        ours = [setting for setting in settings if setting.startswith("datasets.0.")]
        arguments += sets(ours)
        folder = REPOSITORY / "runs" / arguments[3]
        begun = runs.adapted_folder(folder) if arguments[2] == "adapt" else folder
        arguments += ["--resume"] * begun.exists()
    _run(client, sys.executable if program == "python" else program, *arguments)


def train_command(client: Client, *arguments: str) -> None:
    """Run `python -m train` in the environment of a client of some Hub."""
    _run(client, sys.executable, "-m", "train", *arguments)


def sets(settings: Sequence[str]) -> list[str]:
    """The arguments that change these keys of a recipe."""
    return [part for setting in settings for part in ("--set", setting)]


def _run(client: Client, *command: str) -> None:
    subprocess.run(command, env={**os.environ, **client}, cwd=REPOSITORY, check=True)


if __name__ == "__main__":
    main()
