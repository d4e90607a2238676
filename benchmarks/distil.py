"""The released model on one GPU: trains teachers, labels all texts, and trains students.

In: the folders of IMDb and SST-5 as for `benchmarks.record`, of MiniLM-L6 and of MPNet-base. Out,
each as soon as it exists: `teacher-probabilities.parquet`; of each student
`student-SEED.json`, its test predictions, and its run folder with fp16 weights in parts of at most
16 MiB, `student-SEED.tar.00` and so on (`cat student-0.tar.* | tar -x`); then the teachers' test
results.

Every step is a process that reads its texts first and then waits for the outputs of the others, so
the GPU doesn't wait for the CPU. Finished steps in `--work` are not repeated.

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
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmarks import REPOSITORY, children, output_folder, record
from train import quickstart, recipe

STUDENT, TEACHER = "movie-sentiment", "teacher"
SENTENCES = Path("runs/cut-sentences/train.jsonl")
PART_BYTES = 16 * 2**20
# On a fast GPU Python is the bottleneck: fewer, larger updates; one checkpoint, at the end.
ON_GPU = ["batch_tokens=32768", "learning_rate=3e-4", "checkpoint_every=1000"]
TEACHER_ON_GPU = ["checkpoint_every=1000"]
TINY = ["epochs=1", "batch_tokens=1024", "max_tokens=64"]
DAY_SECONDS = 86_400.0  # LIMIT_SECONDS of on_gpu.sh is the real limit
STARTED = time.monotonic()


def main() -> None:
    """Serve data and base models as a local Hub, and run the chain as its client."""
    options = parse_arguments()
    if options.as_client:
        chain(options)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    quickstart.HUB = options.work / "hub"  # a separate local Hub with its own cache
    recipes = {STUDENT: options.base, TEACHER: options.teacher_base}
    bases = {recipe.load(name).base_model: str(folder) for name, folder in recipes.items()}
    loaded = [recipe.load(name) for name in recipes]
    with record.hub_with(loaded, options.imdb, options.sst5, bases) as client:
        command = [sys.executable, "-m", "benchmarks.distil", *sys.argv[1:], "--as-client"]
        subprocess.run(command, env={**os.environ, **client}, check=True)


def parse_arguments() -> argparse.Namespace:
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
    parser.add_argument("--teachers", type=int, default=2, help="number of teachers")
    parser.add_argument("--students", type=int, default=2, help="number of students")
    parser.add_argument("--sentences", type=int, default=100_000, help="maximum number")
    for name in ["teacher", "student"]:
        parser.add_argument(
            f"--set-{name}",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="overrides a recipe key",
        )
    parser.add_argument("--tiny", action="store_true", help="toy sizes, for tests")
    parser.add_argument("--as-client", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def chain(options: argparse.Namespace) -> None:
    """Run all steps in `options.work`; exits if no student can be trained or a step failed."""
    os.chdir(options.work)
    deadline = time.monotonic() + DAY_SECONDS
    tiny = TINY if options.tiny else []
    teacher_settings = [*TEACHER_ON_GPU, *tiny, *options.set_teacher]
    student_settings = [*ON_GPU, *tiny, *options.set_student]
    write_patterns(["--max-rows", "40"] if options.tiny else [])
    children.preload()
    teachers = {
        seed: children.start(fit, TEACHER, teacher_settings, seed)
        for seed in range(options.teachers)
    }
    if not SENTENCES.exists():
        children.call(cut_sentences, options.sentences, seconds=DAY_SECONDS)
    log("sentences are cut")
    labels = {
        seed: children.start(label, seed, teacher_settings, student_settings) for seed in teachers
    }
    students = {
        seed: children.start(fit, STUDENT, student_settings, seed)
        for seed in range(options.students)
    }
    for seed, succeeded in children.finished(teachers, deadline):
        log(f"teacher {seed}: {'trained' if succeeded else 'FAILED'}")
        if not succeeded:
            children.stop([labels[seed]])
    labeled = sorted(seed for seed, succeeded in children.finished(labels, deadline) if succeeded)
    if not labeled:
        children.stop(students.values())
        sys.exit("no teacher's probabilities were computed, so no student can be trained")
    merge([probabilities(seed) for seed in labeled], options.out)
    log(f"probabilities of teachers {labeled} are merged")
    students_done = copy_finished(STUDENT, students, deadline, options.out)
    # Last, because no other step needs them: MPNet in fp32 on all test reviews is slow.
    evaluations = {seed: children.start(evaluate, TEACHER, seed) for seed in labeled}
    teachers_done = copy_finished(TEACHER, evaluations, deadline, options.out)
    if not (students_done and teachers_done and len(labeled) == options.teachers):
        sys.exit("not every step finished; the same command resumes")


def log(text: str) -> None:
    """Print a line with the seconds since the start of this process."""
    print(f"[{time.monotonic() - STARTED:.0f} s] {text}", flush=True)


def write_patterns(settings: list[str]) -> None:
    """Write the patterns of the recipe's training data."""
    module = [sys.executable, "-m", "train.augmentation.patterns"]
    subprocess.run([*module, "--out", "runs/patterns", *settings], check=True)


def copy_finished(name: str, processes: dict[int, BaseProcess], deadline: float, out: Path) -> bool:
    """Copy the results of each run when its process has finished.

    Returns:
        Whether all processes succeeded before the deadline.
    """
    complete = True
    for seed, succeeded in children.finished(processes, deadline):
        if succeeded:
            copy_results(name, seed, out)
        log(f"{name} {seed}: {'results written' if succeeded else 'FAILED'}")
        complete &= succeeded
    return complete


def fit(name: str, settings: list[str], seed: int) -> None:
    """Train a run, and evaluate it if it is a student; in its own process."""
    from train import run_folder
    from train.augmentation import distillation
    from train.pipeline import training_run

    folder = run_of(name, seed)
    if not (folder / "results.json").exists():
        run_recipe = recipe.load(name, [f"seed={seed}", *settings])
        resume = (folder / "recipe.yaml").exists() and run_folder.load_recipe(folder) == run_recipe
        if run_recipe.distillation:
            file = Path(run_recipe.distillation.probabilities)
            distillation.targets = after(file, distillation.targets)
        training_run.fit(run_recipe, folder, resume=resume)
    if name == STUDENT:
        evaluate(name, seed)


def evaluate(name: str, seed: int) -> None:
    """Evaluate a run on its test reviews; in its own process."""
    from train import run_folder
    from train.pipeline import training_run

    folder = run_of(name, seed)
    if "test" not in run_folder.load_results(folder)["metrics"]:
        training_run.evaluate(folder)


def cut_sentences(max_sentences: int) -> None:
    """Cut sentences from the unlabeled reviews, as `train cut-sentences` does."""
    from train.augmentation import sentences
    from train.sections import CutSentences

    [step] = [s for s in recipe.load(STUDENT).requires if isinstance(s, CutSentences)]
    sentences.cut(step.model_copy(update={"max_sentences": max_sentences}), SENTENCES)


def label(seed: int, teacher_settings: list[str], student_settings: list[str]) -> None:
    """Compute one teacher's probabilities, as `train teach` does; in its own process."""
    from train.augmentation import distillation
    from train.data import preparation

    if probabilities(seed).exists():
        return
    preparation.load = cached(preparation.load)
    student = recipe.load(STUDENT, student_settings)
    for run_recipe in [student, recipe.load(TEACHER, [f"seed={seed}", *teacher_settings])]:
        preparation.load(run_recipe)  # while the teacher trains
    wait_for(run_of(TEACHER, seed) / "results.json")
    distillation.teach([run_of(TEACHER, seed)], student, probabilities(seed))


def cached(load: Callable[[recipe.Recipe], Any]) -> Callable[[recipe.Recipe], Any]:
    """The same function; it reads the texts of equal recipes once."""
    known: list[tuple[recipe.Recipe, Any]] = []

    def loaded(run_recipe: recipe.Recipe) -> Any:
        for other, splits in known:
            if other == run_recipe:
                return splits
        known.append((run_recipe, load(run_recipe)))
        return known[-1][1]

    return loaded


def after(file: Path, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; it first waits until a file exists."""

    def waiting(*arguments: Any) -> Any:
        wait_for(file)
        return function(*arguments)

    return waiting


def wait_for(file: Path) -> None:
    """Wait until another process has written a file."""
    while not file.exists():
        time.sleep(children.POLL_SECONDS)


def merge(files: Sequence[Path], out: Path) -> None:
    """Write the teachers' mean probabilities to `out` and where the student's recipe reads them.

    The file appears only when complete, because the students wait for it.
    """
    import pyarrow
    from pyarrow import parquet

    student = recipe.load(STUDENT)
    assert student.distillation
    tables = [parquet.read_table(file) for file in files]
    assert all(table["key"].equals(tables[0]["key"]) for table in tables)
    columns = {"key": tables[0]["key"]}
    for name in student.labels:
        shares = sum(table[name].to_numpy().astype("float32") for table in tables) / len(tables)
        columns[name] = pyarrow.array(shares.astype("float16"))
    complete = Path(student.distillation.probabilities)
    draft = complete.with_suffix(".draft")
    parquet.write_table(pyarrow.table(columns), draft)
    shutil.copy(draft, out / complete.name)
    draft.replace(complete)


def copy_results(name: str, seed: int, out: Path) -> None:
    """Copy a run's results and predictions and, for a student, its folder with fp16 weights."""
    run, stem = run_of(name, seed), f"{name if name == TEACHER else 'student'}-{seed}"
    shutil.copy(run / "results.json", out / f"{stem}.json")
    shutil.copy(run / "test-predictions.parquet", out / f"{stem}-test-predictions.parquet")
    if name == STUDENT:
        pack(run, out, stem)


def pack(run: Path, out: Path, stem: str) -> None:
    """Write a run folder as a tar in parts, without checkpoints and with fp16 weights."""
    from safetensors.torch import load_file, save_file

    with tempfile.TemporaryDirectory() as scratch:
        half, whole = Path(scratch) / "model.safetensors", Path(scratch) / "whole.tar"
        weights = {key: value.half() for key, value in load_file(run / half.name).items()}
        save_file(weights, half, metadata={"format": "pt"})
        with tarfile.open(whole, "w") as archive:
            for file in sorted(run.iterdir()):
                if file.name not in {"checkpoints", half.name}:
                    archive.add(file, f"{stem}/{file.name}")
            archive.add(half, f"{stem}/{half.name}")
        with whole.open("rb") as stream:
            for number in range(-(-whole.stat().st_size // PART_BYTES)):
                part = out / f"{stem}.tar.{number:02}"
                part.write_bytes(stream.read(PART_BYTES))


def run_of(name: str, seed: int) -> Path:
    """The run folder of a seed, in the working folder."""
    return Path("runs") / f"{name}-{seed}"


def probabilities(seed: int) -> Path:
    """The file of one teacher's probabilities, in the working folder."""
    return Path("runs") / f"teacher-{seed}.parquet"


if __name__ == "__main__":
    main()
