"""Benchmarks: each module is a command that prints a table and writes a results file."""

import argparse
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"


def add_out(parser: argparse.ArgumentParser, default: Path) -> None:
    """Add `--out`, the folder that the results go to; see `output_folder`."""
    parser.add_argument("--out", type=output_folder, default=str(default))


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add `--model`, the folder of the model to measure; see `model_folder`."""
    parser.add_argument("--model", type=Path, default=REPOSITORY / "runs" / "quickstart")


def model_folder(folder: Path) -> Path:
    """A run folder with ONNX files; of a release, such as `models/NAME`, its working copy."""
    from space.inference.download import FP32_FILE
    from train.pipeline import release

    folder = release.working_copy(folder)
    if not (folder / FP32_FILE).is_file():
        raise SystemExit(
            f"the folder must have {FP32_FILE}, got {folder} — run `make quickstart`, or "
            f"`python -m train export {folder}`"
        )
    return folder


def print_engine(model: Path) -> dict[str, str]:
    """Print the engine that runs a model here; returns its `name` and `reason`."""
    from space.inference.classifier import Classifier

    engine = Classifier.from_folder(model).load().engine
    print(f"engine: {engine}")
    return {"name": engine.name, "reason": engine.reason}


def file_name(benchmark: str, data: str | None) -> str:
    """The name of a results file: benchmark, kind of machine and, for own data, the data file."""
    from benchmarks import machine

    return "-".join([benchmark, machine.kind()] + ([Path(data).stem] if data else []))


def output_folder(path: str) -> Path:
    """The output folder; `results/` only if all tracked files are committed."""
    from train import console, environment

    folder = Path(path)
    if folder.resolve().is_relative_to(RESULTS) and (changed := environment.changed_files()):
        raise argparse.ArgumentTypeError(
            "published results must come from committed code, but tracked files have changed: "
            f"{console.summarize_names(changed)} — commit them, or write elsewhere with --out"
        )
    return folder


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """The parser of a command that measures on invented reviews, or on the file of `--data`.

    Args:
        doc: The module's docstring; its first line describes the command.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--data", help="CSV, TSV, JSONL or Parquet with `text` and `label`")
    add_out(parser, REPOSITORY / "runs" / "bench")
    return parser


def save(file: Path, results: dict[str, Any]) -> None:
    """Write a results file, with the CPU and the state of the code."""
    from train import environment, run_folder

    file.parent.mkdir(parents=True, exist_ok=True)
    run_folder.save_results(file, {**results, **environment.cpu(), **environment.code()})
    print(f"wrote {file}")


def record_run(run: Path, out: Path, results: dict[str, Any] | None = None) -> None:
    """Write the results of a run as `NAME.json`; to `results/` only if its code was committed.

    Args:
        run: The run folder.
        out: The folder, from `output_folder`.
        results: Results to write instead of the run's own.
    """
    from train import run_folder
    from train.errors import RunError

    results = results or run_folder.load_results(run)
    if out.resolve().is_relative_to(RESULTS):
        try:
            run_folder.check_committed(run)
        except RunError as error:
            raise SystemExit(f"{error}, or write elsewhere with --out") from error
    out.mkdir(parents=True, exist_ok=True)
    run_folder.save_results(out / f"{run.name}.json", results)
    print(f"wrote {out / run.name}.json")
