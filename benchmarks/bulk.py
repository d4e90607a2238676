"""Memory and speed of bulk scoring over the number of rows.

A tiny model with random weights, so that reading, writing and storing parts dominate. Out: a
table, a plot and `bulk.json`.

    python -m benchmarks.bulk [--rows 1000 --rows 10000 …] [--out FOLDER]
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import REPOSITORY, add_out, machine, plots, print_engine, save

MEASURED = """
import sys
from pathlib import Path
from benchmarks import machine
from train.scoring.score import score
score(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
print(machine.peak_memory_mb())
"""


def main() -> None:
    """Score files of increasing length, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, action="append", help="repeatable")
    add_out(parser, REPOSITORY / "runs" / "bench")
    options = parser.parse_args()
    rows = options.rows or [1_000, 10_000, 100_000]
    described = machine.describe()  # before the cores are busy
    peaks, speeds = [], []
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_model(Path(folder))
        engine = print_engine(model)
        for count in rows:
            peak, speed = _measure(Path(folder), model, count)
            peaks.append(peak)
            speeds.append(speed)
            print(f"{count:,} rows: at most {peak:,.0f} MB, {speed:,.0f} rows/s", flush=True)
    results = {"rows": rows, "peak_mb": peaks, "rows_per_second": speeds}
    results |= {"engine": engine, "machine": described}
    save(options.out / "bulk.json", results)
    plots.bulk(options.out / "bulk.png", results)


def tiny_model(folder: Path) -> Path:
    """Two layers of width 32 with the quick start's tokenizer, exported."""
    import shutil

    from transformers import AutoConfig, AutoModel

    from train import quickstart, recipe
    from train.modeling import model
    from train.publishing import export

    base, out = folder / "base", folder / "model"
    source = quickstart.base_folder()
    config = AutoConfig.from_pretrained(source)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config.update({**sizes, "num_attention_heads": 2})
    AutoModel.from_config(config).save_pretrained(base)
    for file in source.glob("*token*"):
        shutil.copy(file, base)
    shutil.copy(source / "vocab.txt", base)
    values = {"name": "tiny", "base_model": str(base), "datasets": [{"source": "none"}]}
    classifier, tokenizer = model.build(recipe.parse(values))
    model.save(classifier, tokenizer, out)
    (out / "onnx").mkdir()
    export.write(classifier.eval(), False, out / "onnx" / "model.onnx")
    return out


def _measure(folder: Path, model: Path, count: int) -> tuple[float, float]:
    """Peak memory in MB, and rows/s with start-up included."""
    source, out = folder / f"{count}.csv", folder / f"{count}-scored.csv"
    with source.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text"])
        writer.writerows((i, f"film {i} was not a minute too long") for i in range(count))
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(source), str(model), str(out)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    speed = count / (time.perf_counter() - started)
    with out.open(encoding="utf-8") as stream:
        assert sum(1 for _ in stream) == count + 1
    return float(done.stdout.splitlines()[-1]), speed


if __name__ == "__main__":
    main()
