"""Accuracy of `imdb-small` after 2,000 IMDb reviews, and of the quick start's model on IMDb.

In: a folder with IMDb as `train.parquet` and `test.parquet` (columns `text` and `label`, 0 or 1),
which this repository does not contain, and `runs/quickstart`. Out: the results of both runs, in
`results/`. The data and the base model are uploaded to a local Hub under their own names, the
recipe is run and published, and the other model is evaluated on the same reviews.

    python -m benchmarks.imdb_small --imdb DIR [--out FOLDER]
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks import REPOSITORY, RESULTS, add_out, record_run
from benchmarks.record import hub_with, sets, train_command
from train import recipe, run_folder

TO = "demo/imdb-small-2k"
# With a twelfth of the reviews, smaller updates are better; results/imdb-small-2k-512.json has the
# metrics with the recipe's own settings.
FEW = ["max_tokens=256", "batch_tokens=4096", "learning_rate=5e-5", "head_learning_rate=5e-4"]


def main() -> None:
    """Train and publish on a local Hub, evaluate both models, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--imdb", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--reviews", type=int, default=2000, help="to train on, and to test on")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="more of the recipe's keys"
    )
    add_out(parser, RESULTS)
    arguments = parser.parse_args()
    run_recipe = recipe.load("imdb-small")
    most = str(arguments.reviews)
    with hub_with([run_recipe], arguments.imdb) as client, tempfile.TemporaryDirectory() as scratch:
        sizes = [f"max_train={most}", f"max_test={most}", f"max_validation={int(most) // 4}"]
        settings = ["name=imdb-small-2k", *sizes, *FEW, *arguments.set]
        train_command(client, "run", "imdb-small", "--to", TO, *sets(settings))
        elsewhere = Path(scratch) / "quickstart.json"
        source = run_recipe.datasets[0].source
        train_command(
            client, "evaluate", "runs/quickstart", "--dataset", source, "--split", "test",
            "--max-rows", most, "--out", str(elsewhere),
            "--set", f"revision={run_recipe.datasets[0].revision}",
            "--set", "label_map={0: NEGATIVE, 1: POSITIVE}",
        )  # fmt: skip
        results = run_folder.load_results(REPOSITORY / "runs/imdb-small-2k")
        results["quickstart_on_the_same_test"] = json.loads(elsewhere.read_text())
    ours = results["data"]["splits"]["test"]["sha256"]
    theirs = results["quickstart_on_the_same_test"]["data"]["sha256"]
    assert ours == theirs, "the two models were measured on different reviews"
    record_run(REPOSITORY / "runs/imdb-small-2k", arguments.out, results)
    record_run(REPOSITORY / "runs/quickstart", arguments.out)


if __name__ == "__main__":
    main()
