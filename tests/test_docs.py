"""The documents tell the truth: paths exist, commands parse, figures are those of the results."""

import argparse
import ast
import importlib
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

from train import recipe as recipes
from train.data import preparation
from train.publishing.card import METRIC_NAMES

DOCUMENTS = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").glob("*.md"))]
    if path.name != "model_card.md"
}
README = DOCUMENTS["README.md"]
COMMANDS = [
    line.strip()
    for text in DOCUMENTS.values()
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
BENCHMARKS = sorted(
    {
        command
        for text in DOCUMENTS.values()
        for command in re.findall(r"python -m (benchmarks\.[a-z_]+[^`\n]*)", text)
    }
)
TRACKED_TEXT = [
    path
    for pattern in ["*.md", "*.py", "*.yaml", "*.toml", "*.txt", "*.ipynb", "*.mjs", "*.json"]
    for path in REPOSITORY.glob(f"[!.]*/**/{pattern}")
    if "node_modules" not in path.parts and path.parts[len(REPOSITORY.parts)] not in {"runs", "hub"}
]


def test_the_readme_fits_on_one_page() -> None:
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_to_a_file_leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", DOCUMENTS[document])
    missing = [link for link in links if not (REPOSITORY / document).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize("folder", ["train/samples", "space", "space_static"])
def test_uploaded_readmes_link_to_nothing_outside_their_folder(folder: str) -> None:
    readme = (REPOSITORY / folder / "README.md").read_text(encoding="utf-8")
    assert not re.findall(r"\]\((\.\.[^)]*)\)", readme)


def test_the_file_tree_is_the_tree() -> None:
    layout = DOCUMENTS["docs/architecture.md"]
    (tree,) = re.findall(r"```\n(train/.*?)```", layout, flags=re.DOTALL)
    folder = ""
    for line in tree.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split(", ")
        if not line.startswith(" "):
            folder = names[0] if names[0].endswith("/") else ""
            assert (REPOSITORY / names[0]).exists(), names[0]
        else:
            for name in names:
                assert (REPOSITORY / folder / name).exists(), f"{folder}{name}"


@pytest.mark.parametrize("package", ["train", "space"])
def test_the_file_tree_lists_each_module(package: str) -> None:
    layout = DOCUMENTS["docs/architecture.md"]
    (tree,) = re.findall(rf"^{package}/(.*?)^\S", layout, flags=re.DOTALL | re.MULTILINE)
    listed = {
        name
        for line in tree.splitlines()[1:]
        for name in re.split(r"\s{2,}", line.strip())[0].split(", ")
    }
    modules = {path.name for path in (REPOSITORY / package).glob("[!_]*.py")}
    packages = {path.parent.name for path in (REPOSITORY / package).glob("*/__init__.py")}
    assert modules | packages <= listed


def test_imports_point_the_documented_way() -> None:
    below: dict[str, set[str]] = {}  # package -> what it may import
    for chain in re.findall(r"`([^`]* ← [^`]*)`", DOCUMENTS["docs/architecture.md"]):
        layers = [layer.split(", ") for layer in chain.split(" ← ")]
        for lower, upper in itertools.pairwise(layers):
            for name in upper:
                reached = set(lower).union(*(below.get(package, set()) for package in lower))
                below[name] = below.get(name, set()) | reached
    assert {"data", "scoring", "__main__"} <= set(below)
    for path in (REPOSITORY / "train").rglob("*.py"):
        package = path.relative_to(REPOSITORY / "train").parts[0].removesuffix(".py")
        if package != "quickstart":
            imports = set(_imports_of_train(path)) & set(below)
            assert imports <= below.get(package, set()) | {package}, path


def _imports_of_train(path: Path) -> Iterator[str]:
    """The packages and modules of `train` that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("train."):
                yield name.split(".")[1]


def test_no_main_command_needs_a_paid_space() -> None:
    sources = [path.read_text("utf-8") for path in [*(REPOSITORY / "train").glob("*.py")]]
    sources += [(REPOSITORY / "space/usage.py").read_text("utf-8")]
    shown = [line for text in sources for line in re.sub(r'"\n\s+f?"', "", text).splitlines()]
    deploying = [line for line in [*COMMANDS, *shown] if re.search(r"--space \w+/", line)]
    assert len(deploying) >= 8
    for command in deploying:
        assert "--space-kind static" in command or "--space-hardware zero-a10g" in command, command


@pytest.mark.parametrize(
    "path",
    ["README.md", "docs/data.md", "space/README.md", "space/files/__init__.py"]
    + ["space/tabs/batch.py", "train/sections.py"],
)
def test_every_list_of_file_formats_is_the_same(path: str) -> None:
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    assert re.search(r"CSV, TSV, JSON, JSONL, Parquet, Excel( \(\.xlsx\))?(,| or) ZIP", text)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "-m train" in c])
def test_every_train_command_parses(command: str) -> None:
    from typer.main import get_command

    from train import recipe
    from train.__main__ import app

    words = shlex.split(command)
    words = words[words.index("train") + 1 :]
    verb = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    context = verb.make_context(words[0], words[1:], resilient_parsing=False)
    if "recipe" in context.params:
        recipe.load(context.params["recipe"], context.params["set_"])


def test_the_command_for_own_data_has_all_splits(tmp_path: Path) -> None:
    """A table with the columns that the command names, in one file without splits."""
    (command,) = (c for c in COMMANDS if "datasets.text=review" in c)
    words = shlex.split(command)
    table = tmp_path / "reviews.csv"
    rows = [f"{word} film {i},{word},film {i}\n" for i in range(100) for word in ("good", "bad")]
    table.write_text("review,verdict,film\n" + "".join(rows), encoding="utf-8")
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    own = [f"datasets.source={table}" if "datasets.source=" in o else o for o in overrides]
    splits = preparation.load(recipes.load("imdb-small", own))
    assert [len(splits[name]) >= 10 for name in ("train", "validation", "test")] == [True] * 3


@pytest.mark.parametrize("command", BENCHMARKS)
def test_every_benchmark_command_parses(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from train import environment, recipe

    name, *words = shlex.split(command)
    module = importlib.import_module(name)
    parse_args = argparse.ArgumentParser.parse_args
    parsed: list[Any] = []

    def parse(parser: argparse.ArgumentParser) -> None:
        parsed.append(parse_args(parser, words))
        raise InterruptedError  # before the measurement

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    monkeypatch.setattr(environment, "changed_files", list)  # `--out` refuses a changed tree
    if "argparse" not in vars(module) and "parser_of" not in vars(module):
        assert not words and callable(module.main)
        return
    with pytest.raises(InterruptedError):
        module.main()
    if "recipe" in parsed[0]:
        recipe.load(parsed[0].recipe, parsed[0].set)


def test_every_program_is_the_one_of_the_virtual_environment() -> None:
    words = [[w for w in shlex.split(c) if not re.match(r"[A-Z_]+=", w)] for c in COMMANDS]
    programs = {line[0] for line in words if line}
    assert ".venv/bin/python" in programs
    assert not programs & {"python", "python3", "pip", "hf", "accelerate", "pytest", "ruff", "mypy"}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_command_is_a_target(command: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{command.split()[1]}:", makefile, flags=re.MULTILINE)


def test_tables_and_numbers_are_those_of_the_results_files() -> None:
    from benchmarks import documents, tables

    used = re.findall(r"<!-- table (\S+) -->", "".join(DOCUMENTS.values()))
    assert set(used) == set(tables.TABLES)
    for path in documents.DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        assert documents.updated(text) == text, f"run python -m benchmarks.documents: {path.name}"


def test_a_number_is_replaced_by_the_value_in_its_results_file() -> None:
    from benchmarks import documents

    marked = "at 12.3%<!-- imdb-adapted metrics.test.accuracy .2% -->, (5<!-- imdb-adapted {} -->)"
    marked = marked.format("metrics.test.n /1000 .0f")
    assert documents.updated(marked).startswith("at 92.59%<!-- imdb-adapted")
    assert "(25<!--" in documents.updated(marked)
    with pytest.raises(KeyError):
        documents.updated("1<!-- imdb-adapted metrics.nothing d -->")


def test_the_number_of_invented_reviews_is_right() -> None:
    rows = sum(
        len((REPOSITORY / "train/samples" / f"{split}.jsonl").read_text("utf-8").splitlines())
        for split in ["train", "test"]
    )
    assert f"{rows:,} invented reviews" in README
    card = (REPOSITORY / "train/samples/README.md").read_text(encoding="utf-8")
    assert card.partition("\n# ")[2].find(f"{rows:,} reviews") > 0


FLAT = {  # what programs read at the top of a file
    "serve": "ratio_pipeline_batch1 ratio_pipeline_batch32 p50_ms_250_words "
    "cold_first_answer_seconds rss_mb int8_accuracy_drop_points",
    "train": "ratio_trainer_default ratio_trainer_best fraction_of_peak peak_memory_mb",
    "space": "cold_start_seconds prediction_p50_ms review_300_words_seconds "
    "review_3000_words_seconds rss_mb load_users load_errors load_p95_seconds",
}


KINDS = ["", "-epyc", "-xeon", "-avx2", "-amx", "-other"]  # see benchmarks/machine_tables.py
MEASUREMENTS = [
    path
    for name, kind in itertools.product(FLAT, KINDS)
    if (path := REPOSITORY / "benchmarks/results" / f"{name}{kind}.json").exists()
]


@pytest.mark.parametrize("path", MEASUREMENTS, ids=lambda path: path.stem)
def test_measurements_begin_with_their_flat_keys(path: Path) -> None:
    results = json.loads(path.read_text(encoding="utf-8"))
    keys = FLAT[path.stem.partition("-")[0]].split()
    assert list(results)[: len(keys)] == keys
    assert all(isinstance(results[key], float | int) for key in keys)


def test_every_kind_of_measurement_is_found() -> None:
    assert {path.stem.partition("-")[0] for path in MEASUREMENTS} == set(FLAT)


def test_results_files_have_the_schema() -> None:
    files = sorted((REPOSITORY / "benchmarks/results").glob("*.json"))
    files = [path for path in files if path.stem.startswith(("quickstart", "imdb"))]
    assert files
    for path in files:
        results = json.loads(path.read_text(encoding="utf-8"))
        parts = ["recipe", "environment", "data", "training", "metrics", "slices", "export"]
        assert set(parts) <= set(results), path
        for split in ["validation", "test"]:
            measured = set(results["metrics"][split])  # of an earlier run: without newer metrics
            assert {"n", "accuracy", "accuracy_ci95", "f1", "ece"} <= measured, path
            assert measured <= {*METRIC_NAMES, "confusion", "calibration"}, path


def test_results_of_uncommitted_code_are_named() -> None:
    folder = REPOSITORY / "benchmarks/results"
    dirty = set()
    for path in folder.rglob("*.json"):
        results = json.loads(path.read_text(encoding="utf-8"))
        code = results if "git_sha" in results else results["environment"]
        if code["dirty"]:
            dirty.add(path.relative_to(folder).with_suffix("").as_posix())
        assert re.fullmatch(r"[0-9a-f]{40}", code["git_sha"]), path
    (listed,) = re.findall(r"Files with `dirty` = true .*", DOCUMENTS["docs/results.md"])
    assert set(re.findall(r"`([^`]+)`", listed)) - {"dirty"} == dirty


@pytest.mark.parametrize("path", TRACKED_TEXT, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_no_token_stands_anywhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bhf_[A-Za-z]{30,}\b", text)


def test_the_space_front_matter_is_valid() -> None:
    front = yaml.safe_load((REPOSITORY / "space/README.md").read_text("utf-8").split("---")[1])
    pins = (REPOSITORY / "space/requirements.txt").read_text(encoding="utf-8")
    assert f"gradio[mcp]=={front['sdk_version']}" in pins
    assert (REPOSITORY / front["app_file"]).exists()
    assert len(front["short_description"]) <= 60  # the Hub's limit
