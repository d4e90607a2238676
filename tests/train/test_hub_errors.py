"""Hub errors: every command that reads or writes a repository, with every kind of failure."""

import errno
import json
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from commands import run_code
from conftest import toy_settings, write_toy_csv
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
from train.sections import is_path

# COMMAND NAME -> the arguments of a command that reads or writes the repository NAME.
COMMANDS = {
    "score --model": "score {csv} --model {name} --prefix s_ --out {out}.csv",
    "score INPUT": "score {name} --model {run} --prefix s_ --out {out}.csv",
    "evaluate": "evaluate {name} --dataset {csv} --split train",
    "evaluate --dataset": "evaluate {run} --dataset {name} --split train",
    "fit base_model": "fit quickstart {fit} --set base_model={name} --out {out}",
    "fit datasets": "fit quickstart {fit} --set datasets.source={name} --out {out}",
    "cut-sentences": "cut-sentences {name} --split train --out {out}.jsonl",
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
# Runs all commands in one process, because their imports take seconds.
DRIVER = """
import json, sys, time, traceback
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from train import __main__; from train import network
time.sleep = lambda seconds: None  # between huggingface_hub's retries
outcomes = []
for arguments in json.loads(sys.argv[1]):
    output = StringIO()
    sys.argv = ["train", *arguments]
    with redirect_stderr(output), redirect_stdout(StringIO()):
        try:
            __main__.main()
        except SystemExit as error:
            status = error.code or 0
        except BaseException:
            traceback.print_exc()
            status = "trace"
    outcomes.append([status, output.getvalue()])
print(json.dumps(outcomes))
"""


@dataclass(frozen=True)
class HubWithModel:
    """A Hub with a model and a dataset, and local copies of both."""

    hub: RunningHub
    run: Path
    csv: Path
    base: Path

    def run_all(
        self, pairs: Iterable[tuple[str, str]], folder: Path, **environment: str
    ) -> list[tuple[str, object, str]]:
        """Run pairs of command and repository name; returns command line, status and output."""
        fit = shlex.join(f"--set={setting}" for setting in toy_settings(self.csv, self.base))
        lines = [
            (COMMANDS | CACHED)[command].format(
                csv=self.csv, run=self.run, name=name, out=folder / f"out{number}", fit=fit
            )
            for number, (command, name) in enumerate(pairs)
        ]
        commands = json.dumps([shlex.split(line) for line in lines])
        done = run_code(DRIVER, commands, env=self.hub.env(folder / "home") | environment)
        assert done.returncode == 0, done.stderr
        outcomes = zip(lines, json.loads(done.stdout.splitlines()[-1]), strict=True)
        return [(line, status, output.strip()) for line, (status, output) in outcomes]


@pytest.fixture(scope="module")
def place(
    tiny_base: Path, finished_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HubWithModel]:
    folder = tmp_path_factory.mktemp("place")
    run = Path(shutil.copytree(finished_run, folder / "tiny"))
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
        yield HubWithModel(hub, run, csv, tiny_base)


def last_line(output: str) -> str:
    assert "Traceback" not in output, output
    return output.splitlines()[-1]


def test_unreachable_hub_is_reported_by_every_command(place: HubWithModel, tmp_path: Path) -> None:
    pairs = [(command, "demo/nosuch") for command in COMMANDS]
    for command, status, output in place.run_all(pairs, tmp_path, HF_ENDPOINT="http://127.0.0.1:9"):
        assert status == 1, (command, output)
        line = last_line(output)
        assert "the connection to http://127.0.0.1:9 failed" in line, (command, line)
        assert "check the network and HF_ENDPOINT" in line
        assert "the run folder is complete" not in line, (command, line)
        reads = not any(option in command for option in WRITES)
        assert ("there is no local file or folder demo/nosuch" in line) is reads, (command, line)
        names_the_base = "base model 'demo/nosuch'" in line
        assert names_the_base is ("--set base_model=demo/nosuch" in command), (command, line)


def test_offline_without_cache_is_reported(place: HubWithModel, tmp_path: Path) -> None:
    pairs = [(command, "demo/nosuch") for command in COMMANDS]
    for command, status, output in place.run_all(pairs, tmp_path, HF_HUB_OFFLINE="1"):
        assert status == 1, (command, output)
        assert "HF_HUB_OFFLINE is set" in last_line(output), (command, output)
        assert "check the network" not in last_line(output)


def test_unwritable_cache_is_reported(place: HubWithModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = str(tmp_path / "file/home")
    pairs = [
        ("score --model", "demo/tiny"),
        ("evaluate", "demo/tiny"),
        ("evaluate --dataset", "demo/reviews"),
        ("fit base_model", "demo/base"),
        ("fit datasets", "demo/reviews"),
    ]
    for command, status, output in place.run_all(pairs, tmp_path, HF_HOME=home):
        assert status == 1, (command, output)
        line = last_line(output)
        assert "HF_HOME must be a writable folder" in line, (command, line)
        assert home in line and "Not a directory" in line


def test_invalid_repository_names_are_reported(place: HubWithModel, tmp_path: Path) -> None:
    reads = [command for command in COMMANDS if command.rpartition(" ")[2] not in WRITES]
    pairs = [(command, "demo/été") for command in COMMANDS]
    pairs += [(command, name) for command in reads for name in ["./nosuch", "runs/mine/nosuch"]]
    for command, status, output in place.run_all(pairs, tmp_path, HF_ENDPOINT="http://127.0.0.1:9"):
        assert status == 1, (command, output)
        line = last_line(output)
        if "nosuch" in command:
            assert "no file or folder at" in line or "no file at" in line, (command, line)
            assert "nosuch" in line and "connection" not in line, (command, line)
        else:
            assert "must be named user/name, in letters without accents" in line, (command, line)
            assert "'demo/été'" in line


def test_offline_with_complete_cache_succeeds(place: HubWithModel, tmp_path: Path) -> None:
    api = HfApi(endpoint=place.hub.endpoint, token=WRITE)
    commit = str(api.dataset_info("demo/reviews").sha)
    home, offline = str(tmp_path / "home"), {"HF_HUB_OFFLINE": "1"}
    for mode in [{}, offline]:
        folder = tmp_path / f"offline{len(mode)}"
        folder.mkdir()
        pairs = [(command, commit) for command in CACHED]
        for command, status, output in place.run_all(pairs, folder, HF_HOME=home, **mode):
            assert status == 0, (mode, command, output)
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


def test_offline_with_partial_cache_is_reported(place: HubWithModel, tmp_path: Path) -> None:
    """For example what the Space or `score` downloads of a model: no safetensors."""
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
    complete, *partial = zip(*[iter(done.stdout.splitlines())] * 2, strict=True)
    assert all(line.startswith("loaded") for line in complete)
    for missing, lines in zip(parts, partial, strict=True):
        for line in lines:
            assert "HF_HUB_OFFLINE is set, and " in line, line
            assert f"holds no {missing} of it — unset HF_HUB_OFFLINE" in line, line


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "http://127.0.0.1:9/api"))


@pytest.mark.parametrize("error", [RuntimeError("tensor size"), OSError(errno.EIO, "x", "/run/y")])
def test_other_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, hub_errors.explained("publishing"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "message", "transient"),
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
def test_diagnose_returns_reason_and_is_transient(
    error: Exception, message: str | None, transient: bool, wrapped: bool
) -> None:
    if wrapped:
        outer = OSError("we couldn't connect")
        outer.__cause__ = error
        error = outer
    reason = hub_errors.diagnose(error)
    assert (reason is None) if message is None else (message in str(reason))
    assert hub_errors.is_transient(error) is transient


def test_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.example")
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.example:3128")
    message = str(hub_errors.diagnose(httpx2.ConnectError("refused")))
    assert "through the proxy proxy.example:3128" in message and "HTTPS_PROXY" in message
    assert "secret" not in message


@given(st.text("ab1-_./\\~é ", min_size=1, max_size=12))
@settings(derandomize=True, max_examples=200)
def test_any_name_is_a_path_or_an_id_or_refused(name: str) -> None:
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


@pytest.mark.parametrize(("after", "end"), [("or a file", "found; or a file"), ("", "found.")])
def test_reason_that_ends_in_a_full_stop_joins_what_follows(after: str, end: str) -> None:
    with (
        pytest.raises(DataError, match=f"reading: it was not {end}$"),
        hub_errors.explained("reading", DataError, expected=(ValueError,), after=after),
    ):
        raise ValueError("it was not found.")
