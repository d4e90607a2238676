"""Accuracy on single sentences: SST-5's test sentences, and patterns that are not trained on.

In: names of runs in `runs/`, the patterns in `runs/patterns`, and SST-5 as `test.parquet`, which
this repository does not contain. Out: `sst5-NAME.json`, `patterns-NAME.json` (kinds of base.yaml)
and `patterns-extended-NAME.json` (kinds of extended.yaml) in `results/`.

    python -m benchmarks.short teacher movie-sentiment --sst5 DIR [--out FOLDER]
"""

import argparse
import json
from pathlib import Path

from benchmarks import RESULTS, add_out
from benchmarks.record import hub_with, sets, train_command
from train import recipe

SPLITS = {"validation": "patterns", "extended_validation": "patterns-extended"}


def main() -> None:
    """Upload SST-5 to a local Hub and evaluate every run on both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="NAME")
    parser.add_argument("--sst5", type=Path, required=True, help="folder of the Parquet files")
    add_out(parser, RESULTS)
    options = parser.parse_args()
    mixture = recipe.load("movie-sentiment")
    sst5 = next(dataset for dataset in mixture.datasets if dataset.source == "SetFit/sst5")
    settings = sets([f"revision={sst5.revision}", f"label_map={json.dumps(sst5.label_map)}"])
    with hub_with([mixture], sst5=options.sst5) as client:
        for name in options.runs:
            command = ("evaluate", f"runs/{name}", "--dataset")
            out = str(options.out / f"sst5-{name}.json")
            train_command(client, *command, sst5.source, *settings, "--out", out)
            for split, result in SPLITS.items():
                out = str(options.out / f"{result}-{name}.json")
                split_options = ["--split", split, *sets(["slice_by=[kind, words]"])]
                train_command(client, *command, "./runs/patterns", *split_options, "--out", out)


if __name__ == "__main__":
    main()
