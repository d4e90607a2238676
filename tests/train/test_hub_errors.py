"""hub_errors.py: every command that names a repository, with each way in which it can't be had."""

import errno
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from conftest import REPOSITORY, fit_toy_run, toy_settings, write_toy_csv
from hubserver import WRITE, RunningHub, run_python, running_hub
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from train import hub_errors
from train.errors import DataError, HubError
from train.recipe import is_path

# COMMAND NAME -> the arguments of a command that reads or writes the repository NAME.
COMMANDS = {
    "score --model": "score {csv} --model {name} --prefix s_ --out {out}.csv",
    "score INPUT": "score {name} --model {run} --prefix s_ --out {out}.csv",
    "evaluate": "evaluate {name} --dataset {csv} --split train",
    "evaluate --dataset": "evaluate {run} --dataset {name} --split train",
    "fit base_model": "fit quickstart {fit} --set base_model={name} --out {out}",
    "fit datasets": "fit quickstart {fit} --set datasets.source={name} --out {out}",
    "adapt corpora": "adapt quickstart {fit} --out {out} "
    "--set 'adaptation={{corpora: [{{source: {name}, split: train}}], validation_texts: 5}}'",
    "fit --checkpoints-to": "fit quickstart {fit} --checkpoints-to {name} --out {out}",
    "run --checkpoints-to": "run quickstart {fit} --to demo/ok --checkpoints-to {name} --out {out}",
    "publish --to": "publish {run} --to {name}",
    "publish --space": "publish {run} --to demo/ok --space {name}",
}
CACHED = {
    "cached fit": "fit quickstart {fit} --set base_model=demo/base --set base_revision=main "
    "--set datasets.source=demo/reviews --set datasets.revision={name} --set epochs=1 --out {out}",
    "cached evaluate": "evaluate demo/tiny --dataset demo/reviews --split train "
    "--set 'label_map={{neg: NEGATIVE, pos: POSITIVE}}'",
    "cached score": "score demo/reviews --split train --model demo/tiny --prefix s_ "
    "--out {out}.csv",
}
WRITES = {"--checkpoints-to", "--to", "--space"}
# Runs one command after the other in one process, as each pays seconds for its imports.
DRIVER = """
import json, sys, time, traceback
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from train import __main__; from train import network
time.sleep = lambda seconds: None  # between huggingface_hub's retries
ends = []
for arguments in json.load(sys.stdin):
    said = StringIO()
    sys.argv = ["train", *arguments]
    with redirect_stderr(said), redirect_stdout(StringIO()):
        try:
            __main__.main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
            status = "trace"
    ends.append([status, said.getvalue()])
print(json.dumps(ends))
"""


@dataclass(frozen=True)
class Place:
    """A Hub with a model and a dataset, and a cache that holds both."""

    hub: RunningHub
    run: Path
    csv: Path
    base: Path

    def run_all(
        self, asked: Iterable[tuple[str, str]], folder: Path, **environment: str
    ) -> list[tuple[str, object, str]]:
        """Command, exit status and output of each command about a repository's name."""
        fit = shlex.join(f"--set={setting}" for setting in toy_settings(self.csv, self.base))
        lines = [
            (COMMANDS | CACHED)[command].format(
                csv=self.csv, run=self.run, name=name, out=folder / f"out{number}", fit=fit
            )
            for number, (command, name) in enumerate(asked)
        ]
        done = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=json.dumps([shlex.split(line) for line in lines]),
            env=self.hub.env(folder / "home") | environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        ends = zip(lines, json.loads(done.stdout.splitlines()[-1]), strict=True)
        return [(line, status, said.strip()) for line, (status, said) in ends]


@pytest.fixture(scope="module")
def place(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    from train.pipeline import training_run
    from train.publishing import card, export

    folder = tmp_path_factory.mktemp("place")
    run = fit_toy_run(folder, tiny_base)
    results = training_run.evaluate(run)
    (run / "README.md").write_text(card.render(results, "user/tiny"), encoding="utf-8")
    export.export(run)
    csv = write_toy_csv(folder / "toy.csv")
    with running_hub() as hub:
        api = HfApi(endpoint=hub.endpoint, token=WRITE)
        for name, source in {"base": tiny_base, "tiny": run}.items():
            api.create_repo(f"demo/{name}")
            api.upload_folder(
                repo_id=f"demo/{name}", folder_path=source, ignore_patterns=["checkpoints/*"]
            )
        api.create_repo("demo/reviews", repo_type="dataset")
        api.upload_file(
            repo_id="demo/reviews",
            repo_type="dataset",
            path_in_repo="train.csv",
            path_or_fileobj=csv,
        )
        yield Place(hub, run, csv, tiny_base)


def last_line(said: str) -> str:
    assert "Traceback" not in said, said
    return said.splitlines()[-1]


def test_a_hub_that_cannot_be_reached(place: Place, tmp_path: Path) -> None:
    asked = [(command, "demo/nosuch") for command in COMMANDS]
    for command, status, said in place.run_all(asked, tmp_path, HF_ENDPOINT="http://127.0.0.1:9"):
        assert status == 1, (command, said)
        line = last_line(said)
        assert "the connection to http://127.0.0.1:9 failed" in line, (command, line)
        assert "check the network and HF_ENDPOINT" in line
        assert "the run folder is complete" not in line, (command, line)
        reads = not any(option in command for option in WRITES)
        assert ("there is no file or folder demo/nosuch here" in line) is reads, (command, line)


def test_offline_without_a_copy(place: Place, tmp_path: Path) -> None:
    asked = [(command, "demo/nosuch") for command in COMMANDS]
    for command, status, said in place.run_all(asked, tmp_path, HF_HUB_OFFLINE="1"):
        assert status == 1, (command, said)
        assert "HF_HUB_OFFLINE is set" in last_line(said), (command, said)
        assert "check the network" not in last_line(said)


def test_a_cache_that_cannot_be_written(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = str(tmp_path / "file/home")
    asked = [
        ("score --model", "demo/tiny"),
        ("evaluate", "demo/tiny"),
        ("evaluate --dataset", "demo/reviews"),
        ("fit base_model", "demo/base"),
        ("fit datasets", "demo/reviews"),
    ]
    for command, status, said in place.run_all(asked, tmp_path, HF_HOME=home):
        assert status == 1, (command, said)
        line = last_line(said)
        assert "HF_HOME must name a folder that can be written" in line, (command, line)
        assert home in line and "Not a directory" in line


def test_names_that_are_no_repositorys(place: Place, tmp_path: Path) -> None:
    reads = [command for command in COMMANDS if command.rpartition(" ")[2] not in WRITES]
    asked = [(command, "demo/été") for command in COMMANDS]
    asked += [(command, name) for command in reads for name in ["./nosuch", "runs/mine/nosuch"]]
    for command, status, said in place.run_all(asked, tmp_path, HF_ENDPOINT="http://127.0.0.1:9"):
        assert status == 1, (command, said)
        line = last_line(said)
        if "nosuch" in command:
            assert "no file or folder at" in line or "no file at" in line, (command, line)
            assert "nosuch" in line and "connection" not in line, (command, line)
        else:
            assert "is named user/name, in letters without accents" in line, (command, line)
            assert "'demo/été'" in line


def test_offline_with_everything_in_the_cache(place: Place, tmp_path: Path) -> None:
    api = HfApi(endpoint=place.hub.endpoint, token=WRITE)
    commit = str(api.dataset_info("demo/reviews").sha)
    home, offline = str(tmp_path / "home"), {"HF_HUB_OFFLINE": "1"}
    for mode in [{}, offline]:
        folder = tmp_path / f"offline{len(mode)}"
        folder.mkdir()
        asked = [(command, commit) for command in CACHED]
        for command, status, said in place.run_all(asked, folder, HF_HOME=home, **mode):
            assert status == 0, (mode, command, said)
    call = "from transformers import pipeline; pipeline('sentiment-analysis', 'demo/tiny')('Fine')"
    run_python(call, place.hub.env(tmp_path / "home") | offline)


PARTS = """
import sys
from pathlib import Path
from train.modeling import model
from train.errors import ModelError
from train import recipe
for name in sys.argv[2:]:
    raw = {"name": "t", "base_model": name, "datasets": [{"source": "x"}]}
    for load in [lambda: model.load(name), lambda: model.build(recipe.parse(raw))]:
        try:
            print("loaded", len(load()[1]))
        except ModelError as error:
            print(error)
"""


def test_offline_with_a_part_in_the_cache(place: Place, tmp_path: Path) -> None:
    """For instance what the Space or `score` has left of a model: no safetensors."""
    parts = {
        "config.json": ["config.json"],
        "model.safetensors": ["model.safetensors"],
        "tokenizer.json": ["tokenizer.json"],
        "config.json, model.safetensors, tokenizer.json": [
            "config.json", "model.safetensors", "tokenizer.json",
        ],
    }  # fmt: skip
    home, names = tmp_path / "home", []
    for number, lacking in enumerate([[], *parts.values()]):
        names.append(f"demo/part{number}")
        folder = home / f"hub/models--demo--part{number}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs/main").write_text("a" * 40)
        snapshot = folder / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        kept = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
        for name in kept - set(lacking):
            (snapshot / name).symlink_to(place.run / name)
    done = run_python(PARTS, place.hub.env(home) | {"HF_HUB_OFFLINE": "1"}, "", *names)
    whole, *broken = zip(*[iter(done.stdout.splitlines())] * 2, strict=True)
    assert all(line.startswith("loaded") for line in whole)
    for missing, lines in zip(parts, broken, strict=True):
        for line in lines:
            assert "HF_HUB_OFFLINE is set, and " in line, line
            assert f"holds no {missing} of it — unset HF_HUB_OFFLINE" in line, line


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "http://127.0.0.1:9/api"))


@pytest.mark.parametrize("error", [RuntimeError("tensor size"), OSError(errno.EIO, "x", "/run/y")])
def test_what_is_not_the_hubs_is_not_called_so(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, hub_errors.explained("publishing"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "said", "transient"),
    [
        (httpx2.ConnectError("refused"), "failed (refused) — check the network", True),
        (httpx2.ProxyError("407"), "failed (407) — check the network", True),
        (httpx2.UnsupportedProtocol("no http://"), "HF_ENDPOINT", True),
        (TimeoutError(), "failed (TimeoutError)", True),
        (OfflineModeIsEnabled(), "unset it", False),
        (HFValidationError("été"), "without accents", False),
        (HfHubHTTPError("x", response=response(503)), "503 from", True),
        (HfHubHTTPError("x", response=response(403)), "403 from", False),
        (ConnectionError("HTTP status client error (403 Forbidden)"), "403 from", False),
        (ConnectionError("HTTP status server error (503 Service)"), "503 from", True),
        (OSError(errno.EROFS, "Read-only", f"{constants.HF_HOME}/x"), "HF_HOME must", False),
        (PermissionError(errno.EACCES, "Denied", constants.HF_HOME), "HF_HOME must", False),
        (LocalEntryNotFoundError("none"), None, False),
        (FileNotFoundError(errno.ENOENT, "none", f"{constants.HF_HOME}/x"), None, False),
        (ValueError("HTTP status server error (503)"), None, False),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_diagnosis(error: Exception, said: str | None, transient: bool, wrapped: bool) -> None:
    if wrapped:
        outer = OSError("we couldn't connect")
        outer.__cause__ = error
        error = outer
    reason = hub_errors.diagnose(error)
    assert (reason is None) if said is None else (said in str(reason))
    assert hub_errors.is_transient(error) is transient


def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.example")
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.example:3128")
    said = str(hub_errors.diagnose(httpx2.ConnectError("refused")))
    assert "through the proxy proxy.example:3128" in said and "HTTPS_PROXY" in said
    assert "secret" not in said


@given(st.text("ab1-_./\\~é ", min_size=1, max_size=12))
@settings(derandomize=True, max_examples=200)
def test_every_name_is_a_path_or_an_id_or_refused(name: str) -> None:
    """What passes neither leaves the Hub's own alphabet nor can be meant as a path."""
    if os.path.exists(os.path.expanduser(name)):
        return
    try:
        hub_errors.check_source(name, DataError)
    except DataError as error:
        assert ("no file or folder" in str(error)) is is_path(name)
    else:
        assert name.isascii() and name.count("/") <= 1 and not set(name) & set(" \\~")
        hub_errors.check_repo_id(name, HubError)
