"""The released model on one GPU: trains teachers, labels all texts, and trains students.

In: the folders of IMDb and SST-5 as for `benchmarks.record`, of MiniLM-L6 and of MPNet-base. Out,
each as soon as it is finished: `teacher-probabilities.parquet`; of each student
`student-SEED.json`, its test predictions, and its run folder with fp16 weights in parts of at most
16 MiB, `student-SEED.tar.00` and so on (`cat student-0.tar.* | tar -x`); then the teachers' test
results.

Every step is a process. It reads its texts first and then waits for the outputs of the others, so
that the GPU doesn't wait for the CPU. Finished steps in `--work` are not repeated.

    benchmarks/on_gpu.sh distil --imdb DIR --sst5 DIR --base DIR --teacher-base DIR --out DIR
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import REPOSITORY, children, output_folder, record
from train import quickstart, recipe

STUDENT, TEACHER = "movie-sentiment", "teacher"
SENTENCES = Path("runs/cut-sentences/train.jsonl")
PART_BYTES = 16 * 2**20
# Of a GPU that is far faster than Python is: fewer, larger updates; one checkpoint, at the end.
ON_GPU = ["batch_tokens=32768", "learning_rate=3e-4", "checkpoint_every=1000"]
TEACHER_ON_GPU = ["checkpoint_every=1000"]
TINY = ["epochs=1", "batch_tokens=1024", "max_tokens=64"]
DAY_SECONDS = 86_400.0  # what limits the whole is LIMIT_SECONDS of on_gpu.sh


def main() -> None:
    """Serve data and base models as a local Hub, and run the chain as its client."""
    given = arguments()
    if given.as_client:
        chain(given)
        return
    given.out.mkdir(parents=True, exist_ok=True)
    given.work.mkdir(parents=True, exist_ok=True)
    quickstart.HUB = given.work / "hub"  # a Hub of one's own, with its cache
    recipes = {STUDENT: given.base, TEACHER: given.teacher_base}
    bases = {recipe.load(name).base_model: str(folder) for name, folder in recipes.items()}
    loaded = [recipe.load(name) for name in recipes]
    with record.hub_with(loaded, given.imdb, given.sst5, bases) as client:
        command = [sys.executable, "-m", "benchmarks.distil", *sys.argv[1:], "--as-client"]
        subprocess.run(command, env={**os.environ, **client}, check=True)


def arguments() -> argparse.Namespace:
    """The command line."""

    def folder(text: str) -> Path:
        return Path(text).resolve()

    parser = argparse.ArgumentParser(
        prog="benchmarks/on_gpu.sh distil", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--imdb", type=folder, required=True, help="folder of the Parquet files")
    parser.add_argument("--sst5", type=folder, required=True, help="folder of the Parquet files")
    parser.add_argument("--base", type=folder, required=True, help="folder of MiniLM-L6")
    parser.add_argument("--teacher-base", type=folder, required=True, help="folder of MPNet-base")
    parser.add_argument("--out", type=lambda text: output_folder(folder(text)), required=True)
    parser.add_argument("--work", type=folder, default=REPOSITORY / "runs" / "on-gpu")
    parser.add_argument("--teachers", type=int, default=2, help="seeds")
    parser.add_argument("--students", type=int, default=2, help="seeds")
    parser.add_argument("--sentences", type=int, default=100_000, help="cut ones, at most")
    for name in ["teacher", "student"]:
        parser.add_argument(
            f"--set-{name}", action="append", default=[], metavar="KEY=VALUE", help="of its recipe"
        )
    parser.add_argument("--tiny", action="store_true", help="the same way with toy sizes: a test")
    parser.add_argument("--as-client", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def chain(given: argparse.Namespace) -> None:
    """All steps in `given.work`; raises where no student can be made."""
    os.chdir(given.work)
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"[{time.monotonic() - began:.0f} s] {text}", flush=True)

    tiny = TINY if given.tiny else []
    taught = [*TEACHER_ON_GPU, *tiny, *given.set_teacher]
    learning = [*ON_GPU, *tiny, *given.set_student]
    patterns = ["--max-rows", "40"] if given.tiny else []
    command = [
        sys.executable,
        "-m",
        "train.augmentation.patterns",
        "--out",
        "runs/patterns",
        *patterns,
    ]
    subprocess.run(command, check=True)
    children.preload()
    teachers = {seed: children.start(fit, TEACHER, taught, seed) for seed in range(given.teachers)}
    if not SENTENCES.exists():
        children.call(cut_sentences, given.sentences, seconds=DAY_SECONDS)
    tell("sentences are cut")
    labels = {seed: children.start(label, seed, taught, learning) for seed in teachers}
    students = {
        seed: children.start(fit, STUDENT, learning, seed) for seed in range(given.students)
    }
    for seed, well in children.finished(teachers, began + DAY_SECONDS):
        tell(f"teacher {seed}: {'trained' if well else 'FAILED'}")
        if not well:
            children.stop([labels[seed]])
    done = [seed for seed, well in children.finished(labels, began + DAY_SECONDS) if well]
    if not done:
        children.stop(students.values())
        sys.exit("no teacher's probabilities are there, so no student can be trained")
    merge([probabilities(seed) for seed in sorted(done)], given.out)
    tell(f"probabilities of teachers {sorted(done)}")
    failed = len(done) < given.teachers
    for seed, well in children.finished(students, began + DAY_SECONDS):
        failed |= not well
        if well:
            deliver(STUDENT, seed, given.out)
        tell(f"student {seed}: {'delivered' if well else 'FAILED'}")
    # Last, as nothing waits for them: MPNet in fp32 on all test reviews takes a while.
    scored = {seed: children.start(evaluate, TEACHER, seed) for seed in done}
    for seed, well in children.finished(scored, began + DAY_SECONDS):
        failed |= not well
        if well:
            deliver(TEACHER, seed, given.out)
        tell(f"teacher {seed}: {'evaluated' if well else 'FAILED'}")
    if failed:
        sys.exit("not all was finished; the same command continues")


def fit(name: str, settings: list[str], seed: int) -> None:
    """Train a run, and measure it if it is a student; in a process of its own."""
    from train import run_folder
    from train.augmentation import distillation
    from train.pipeline import training_run

    folder = run_of(name, seed)
    if not (folder / "results.json").exists():
        chosen = recipe.load(name, [f"seed={seed}", *settings])
        resume = (folder / "recipe.yaml").exists() and run_folder.load_recipe(folder) == chosen
        if chosen.distillation:
            file = Path(chosen.distillation.probabilities)
            distillation.targets = after(file, distillation.targets)
        training_run.fit(chosen, folder, resume=resume)
    if name == STUDENT:
        evaluate(name, seed)


def evaluate(name: str, seed: int) -> None:
    """Measure a run on its test reviews; in a process of its own."""
    from train import run_folder
    from train.pipeline import training_run

    folder = run_of(name, seed)
    if "test" not in run_folder.load_results(folder)["metrics"]:
        training_run.evaluate(folder)


def cut_sentences(max_sentences: int) -> None:
    """Sentences of the unlabelled reviews, as `train cut-sentences` cuts them."""
    from train.augmentation import sentences
    from train.sections import CutSentences

    [step] = [s for s in recipe.load(STUDENT).requires if isinstance(s, CutSentences)]
    sentences.cut(step.model_copy(update={"max_sentences": max_sentences}), SENTENCES)


def label(seed: int, taught: list[str], learning: list[str]) -> None:
    """One teacher's probabilities, as `train teach` gives them; in a process of its own."""
    from train.augmentation import distillation
    from train.data import preparation

    if probabilities(seed).exists():
        return
    preparation.load = remembered(preparation.load)
    student = recipe.load(STUDENT, learning)
    for chosen in [student, recipe.load(TEACHER, [f"seed={seed}", *taught])]:
        preparation.load(chosen)  # while the teacher is trained
    wait_for(run_of(TEACHER, seed) / "results.json")
    distillation.teach([run_of(TEACHER, seed)], student, probabilities(seed))


def remembered(load: Callable[[recipe.Recipe], Any]) -> Callable[[recipe.Recipe], Any]:
    """The same function, which reads the texts of equal recipes once."""
    known: list[tuple[recipe.Recipe, Any]] = []

    def loaded(chosen: recipe.Recipe) -> Any:
        for other, splits in known:
            if other == chosen:
                return splits
        known.append((chosen, load(chosen)))
        return known[-1][1]

    return loaded


def after(file: Path, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which waits first until a file is there."""

    def waiting(*arguments: Any) -> Any:
        wait_for(file)
        return function(*arguments)

    return waiting


def wait_for(file: Path) -> None:
    """Return when another process has written a file."""
    while not file.exists():
        time.sleep(children.POLL_SECONDS)


def merge(files: Sequence[Path], out: Path) -> None:
    """The mean of the teachers' probabilities, where the student's recipe reads it, and in `out`.

    The students wait for it, so it is there whole or not at all.
    """
    import pyarrow
    from pyarrow import parquet

    chosen = recipe.load(STUDENT)
    assert chosen.distillation
    tables = [parquet.read_table(file) for file in files]
    assert all(table["key"].equals(tables[0]["key"]) for table in tables)
    columns = {"key": tables[0]["key"]}
    for name in chosen.labels:
        shares = sum(table[name].to_numpy().astype("float32") for table in tables) / len(tables)
        columns[name] = pyarrow.array(shares.astype("float16"))
    whole = Path(chosen.distillation.probabilities)
    draft = whole.with_suffix(".draft")
    parquet.write_table(pyarrow.table(columns), draft)
    shutil.copy(draft, out / whole.name)
    draft.replace(whole)


def deliver(name: str, seed: int, out: Path) -> None:
    """Copy a run's figures and predictions and, of a student, its folder with weights in fp16."""
    run, called = run_of(name, seed), f"{name if name == TEACHER else 'student'}-{seed}"
    shutil.copy(run / "results.json", out / f"{called}.json")
    shutil.copy(run / "test-predictions.parquet", out / f"{called}-test-predictions.parquet")
    if name == STUDENT:
        pack(run, out, called)


def pack(run: Path, out: Path, called: str) -> None:
    """A run folder as a tar in parts, without checkpoints and with weights in fp16."""
    from safetensors.torch import load_file, save_file

    with tempfile.TemporaryDirectory() as scratch:
        half, whole = Path(scratch) / "model.safetensors", Path(scratch) / "whole.tar"
        weights = {key: value.half() for key, value in load_file(run / half.name).items()}
        save_file(weights, half, metadata={"format": "pt"})
        with tarfile.open(whole, "w") as archive:
            for file in sorted(run.iterdir()):
                if file.name not in {"checkpoints", half.name}:
                    archive.add(file, f"{called}/{file.name}")
            archive.add(half, f"{called}/{half.name}")
        with whole.open("rb") as stream:
            for number in range(-(-whole.stat().st_size // PART_BYTES)):
                part = out / f"{called}.tar.{number:02}"
                part.write_bytes(stream.read(PART_BYTES))


def run_of(name: str, seed: int) -> Path:
    """The run folder of a seed, in the working folder."""
    return Path("runs") / f"{name}-{seed}"


def probabilities(seed: int) -> Path:
    """Where a teacher's own are, in the working folder."""
    return Path("runs") / f"teacher-{seed}.parquet"


if __name__ == "__main__":
    main()
