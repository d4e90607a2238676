"""train.environment, and the rule that benchmark results come from committed code."""

import argparse
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import benchmarks
from train import environment
from train.errors import RunError

X86 = (
    "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx512_bf16 amx_tile amx_bf16\n"
)
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 svebf16\nCPU part\t: 0xd4f\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed repository with code and one results file, used in place of this one."""
    results = tmp_path / environment.RESULTS
    results.mkdir(parents=True)
    (results / "train.json").write_text("{}")
    (tmp_path / "code.py").write_text("1")
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in [["init", "-q"], ["add", "."], [*author, "commit", "-qm", "First"]]:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    monkeypatch.setattr(environment, "REPOSITORY", tmp_path)
    monkeypatch.setattr(benchmarks, "RESULTS", results)
    return tmp_path


def test_describe_returns_versions_device_cpu_and_git_state() -> None:
    described = environment.describe("cpu: test")
    assert described["device"] == "cpu: test"
    assert {"python", *environment.PACKAGES} == set(described["versions"])
    assert described["cpu"]
    assert described["cpu_flags"] is None or all(
        isinstance(flag, str) for flag in described["cpu_flags"]
    )
    assert len(described["git_sha"]) == 40
    assert described["dirty"] in {True, False}
    json.dumps(described)


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        (None, None),
        ("https://github.com/user/movie-sentiment", "https://github.com/user/movie-sentiment"),
        ("https://name:secret@github.com/user/m.git", "https://github.com/user/m"),
        ("git@github.com:user/m.git", "https://github.com/user/m"),
        ("ssh://git@github.com/user/m/", "https://github.com/user/m"),
        ("https://example.org/user/m", None),
        ("https://notgithub.com/user/m", None),
        ("/srv/git/m.git", None),
    ],
)
def test_repository_url_is_the_github_remote_without_credentials(
    repository: Path, remote: str | None, url: str | None
) -> None:
    if remote:
        git = ["git", "-C", str(repository), "remote", "add", "origin", remote]
        subprocess.run(git, check=True)
    assert environment.repository_url() == url
    assert environment.describe("cpu")["repository"] == url


@pytest.mark.parametrize(
    ("cpuinfo", "name", "flags"),
    [
        pytest.param(X86, "Some CPU @ 2 GHz", ["amx_bf16", "amx_tile", "avx512_bf16"], id="x86"),
        pytest.param(ARM, "aarch64", ["bf16", "svebf16"], id="ARM"),
        pytest.param("", "aarch64", [], id="nothing"),
        pytest.param(None, "aarch64", None, id="another system"),
    ],
)
def test_cpu_parses_name_and_flags(
    monkeypatch: pytest.MonkeyPatch, cpuinfo: str | None, name: str, flags: list[str] | None
) -> None:
    def read_text(path: Path, encoding: str) -> str:
        assert str(path) == "/proc/cpuinfo"
        if cpuinfo is None:
            raise FileNotFoundError
        return f"{cpuinfo}\n{cpuinfo.replace('bf16', 'other')}"  # the second core of another kind

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(environment.platform, "processor", lambda: "")
    monkeypatch.setattr(environment.platform, "machine", lambda: "aarch64")
    assert environment.cpu() == {"cpu": name, "cpu_flags": flags}


def test_untracked_files_and_results_are_not_dirty(repository: Path) -> None:
    assert environment.describe("cpu")["dirty"] is False
    (repository / "notes.txt").write_text("untracked")
    (repository / environment.RESULTS / "train.json").write_text('{"measured": 1}')
    assert environment.describe("cpu")["dirty"] is False
    (repository / "code.py").write_text("2")
    assert environment.describe("cpu")["dirty"] is True
    assert environment.changed_files() == ["code.py"]
    subprocess.run(["git", "-C", str(repository), "add", "code.py"], check=True)
    assert environment.changed_files() == ["code.py"]


def test_git_state_is_none_outside_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "REPOSITORY", tmp_path)
    described = environment.describe("cpu")
    assert (described["git_sha"], described["dirty"]) == (None, None)


def test_check_disk_reports_needed_and_free_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        checked.append(path)
        return SimpleNamespace(free=5_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(RunError) as caught:
        environment.check_disk(tmp_path / "not/yet/there", needed_bytes=1_234_000_000)
    assert "needs 1,234 MB for weights and checkpoints" in str(caught.value)
    assert "has 5 MB free — free some, or choose another disk with --out" in str(caught.value)
    assert checked == [tmp_path]  # the nearest folder that exists
    environment.check_disk(tmp_path, needed_bytes=5_000_000)


def test_check_disk_passes_on_this_machine(tmp_path: Path) -> None:
    environment.check_disk(tmp_path, needed_bytes=1)


def test_peak_memory_is_in_megabytes() -> None:
    assert 20 < environment.peak_memory_mb() < 50_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process inherits its parent's")
def test_peak_memory_excludes_the_parent_process() -> None:
    code = "from train import environment; print(environment.peak_memory_mb())"
    buffer = bytearray(400_000_000)
    buffer[::4096] = b"\1" * len(buffer[::4096])
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 < float(child.stdout) < 200
    assert environment.peak_memory_mb() > 400


COMMANDS = {
    "ablations": ["--imdb", "none"],
    "bulk": [],
    "distil": [f"--{name}=none" for name in ["imdb", "sst5", "base", "teacher-base"]],
    "export": [],
    "imdb_small": ["--imdb", "none"],
    "on_gpu": ["--imdb", "none", "--base", "none"],
    "precision": [],
    "record": ["imdb-small", "--imdb", "none"],
    "serve": [],
    "short": ["imdb-small", "--sst5", "none"],
    "space": [],
    "train": [],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_benchmark_refuses_results_folder_with_changed_code(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    (repository / "code.py").write_text("2")
    command = importlib.import_module(f"benchmarks.{name}")
    out = ["--out", str(benchmarks.RESULTS / "again")]
    monkeypatch.setattr(sys, "argv", [name, *COMMANDS[name], *out])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 2
    assert "tracked files have changed: 1 file: code.py — commit them" in capsys.readouterr().err


def test_default_results_folder_is_refused_with_changed_code(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    benchmarks.add_out(parser, benchmarks.RESULTS)
    assert parser.parse_args([]).out == benchmarks.RESULTS
    (repository / "code.py").unlink()
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "1 file: code.py" in capsys.readouterr().err


def test_other_folder_is_allowed_with_changed_code(repository: Path, tmp_path: Path) -> None:
    (repository / "code.py").write_text("2")
    parser = benchmarks.parser_of("Measure.")
    elsewhere = tmp_path / "elsewhere"
    assert parser.parse_args(["--out", str(elsewhere)]).out == elsewhere
    benchmarks.save(elsewhere / "x.json", {"a": 1})
    assert json.loads((elsewhere / "x.json").read_text())["dirty"] is True


def test_untracked_files_do_not_hinder_a_record(repository: Path) -> None:
    (repository / "notes.txt").write_text("untracked")
    out = benchmarks.output_folder(str(benchmarks.RESULTS))
    benchmarks.save(out / "x.json", {"a": 1})
    assert json.loads((out / "x.json").read_text())["dirty"] is False


def test_results_name_the_cpu_with_its_bf16_and_amx_flags(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda path, **options: X86 if "cpuinfo" in str(path) else read_text(path, **options),
    )
    benchmarks.save(tmp_path / "x.json", {"a": 1})
    written = json.loads((tmp_path / "x.json").read_text())
    for described in (written, environment.describe("cpu")):
        assert described["cpu"] == "Some CPU @ 2 GHz"
        assert described["cpu_flags"] == ["amx_bf16", "amx_tile", "avx512_bf16"]


@pytest.mark.parametrize(
    ("dirty", "verb"), [("environment", "trained"), ("evaluation", "evaluated"), (None, None)]
)
def test_run_of_changed_code_is_not_recorded(
    repository: Path, tmp_path: Path, dirty: str | None, verb: str | None
) -> None:
    run = tmp_path / "runs" / "tiny"
    run.mkdir(parents=True)
    results = {name: {"dirty": name == dirty} for name in ["environment", "evaluation"]}
    (run / "results.json").write_text(json.dumps(results))
    benchmarks.record_run(run, tmp_path / "elsewhere")
    if dirty:
        with pytest.raises(SystemExit, match=f"was {verb} while tracked files had changed"):
            benchmarks.record_run(run, benchmarks.RESULTS)
    else:
        benchmarks.record_run(run, benchmarks.RESULTS)
    assert (benchmarks.RESULTS / "tiny.json").exists() is not bool(dirty)
    assert (tmp_path / "elsewhere/tiny.json").exists()
