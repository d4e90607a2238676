"""environment.py, and the rule by it that a record is of code that is committed."""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from train import environment

X86 = (
    "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx512_bf16 amx_tile amx_bf16\n"
)
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 svebf16\nCPU part\t: 0xd4f\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with code and one record, all of it committed; it takes the place of ours."""
    records = tmp_path / environment.RECORDS
    records.mkdir(parents=True)
    (records / "train.json").write_text("{}")
    (tmp_path / "code.py").write_text("1")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in [["init", "-q"], ["add", "."], [*who, "commit", "-qm", "First"]]:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    monkeypatch.setattr(environment, "REPOSITORY", tmp_path)
    monkeypatch.setattr(benchmarks, "RESULTS", records)
    return tmp_path


def test_it_names_versions_device_cpu_and_code() -> None:
    found = environment.describe("cpu: test")
    assert found["device"] == "cpu: test"
    assert {"python", *environment.PACKAGES} == set(found["versions"])
    assert found["cpu"]
    assert found["cpu_flags"] is None or all(isinstance(flag, str) for flag in found["cpu_flags"])
    assert len(found["git_sha"]) == 40
    assert found["dirty"] in {True, False}
    json.dumps(found)


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
def test_cpu_and_its_flags(
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


def test_code_is_dirty_by_tracked_files_alone(repository: Path) -> None:
    assert environment.describe("cpu")["dirty"] is False
    (repository / "notes.txt").write_text("untracked")
    (repository / environment.RECORDS / "train.json").write_text('{"measured": 1}')
    assert environment.describe("cpu")["dirty"] is False
    (repository / "code.py").write_text("2")
    assert environment.describe("cpu")["dirty"] is True
    assert environment.changed_files() == ["code.py"]
    subprocess.run(["git", "-C", str(repository), "add", "code.py"], check=True)
    assert environment.changed_files() == ["code.py"]


def test_where_there_is_no_repository_the_state_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "REPOSITORY", tmp_path)
    found = environment.describe("cpu")
    assert (found["git_sha"], found["dirty"]) == (None, None)


COMMANDS = {
    "ablations": ["--imdb", "none"],
    "bulk": [],
    "export": [],
    "imdb_small": ["--imdb", "none"],
    "precision": [],
    "record": ["imdb-small", "--imdb", "none"],
    "serve": [],
    "short": ["imdb-small", "--sst5", "none"],
    "space": [],
    "train": [],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_record_of_changed_code_is_refused_before_any_work(
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
    said = capsys.readouterr().err
    assert "tracked files have changed: 1 file: code.py — commit them" in said


def test_the_folder_of_records_by_default_is_refused_as_well(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    benchmarks.add_out(parser, benchmarks.RESULTS)
    assert parser.parse_args([]).out == benchmarks.RESULTS
    (repository / "code.py").unlink()
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "1 file: code.py" in capsys.readouterr().err


def test_results_of_changed_code_may_go_elsewhere(repository: Path, tmp_path: Path) -> None:
    (repository / "code.py").write_text("2")
    parser = benchmarks.parser_of("Measure.")
    elsewhere = tmp_path / "elsewhere"
    assert parser.parse_args(["--out", str(elsewhere)]).out == elsewhere
    benchmarks.save(elsewhere / "x.json", {"a": 1})
    assert json.loads((elsewhere / "x.json").read_text())["dirty"] is True


@pytest.mark.parametrize("dirty", [True, False])
def test_a_run_of_changed_code_is_no_record(repository: Path, tmp_path: Path, dirty: bool) -> None:
    run = tmp_path / "runs" / "tiny"
    run.mkdir(parents=True)
    (run / "results.json").write_text(json.dumps({"environment": {"dirty": dirty}}))
    benchmarks.record_run(run, tmp_path / "elsewhere")
    if dirty:
        with pytest.raises(SystemExit, match="was trained while tracked files had changed"):
            benchmarks.record_run(run, benchmarks.RESULTS)
    else:
        benchmarks.record_run(run, benchmarks.RESULTS)
    assert (benchmarks.RESULTS / "tiny.json").exists() is not dirty
    assert (tmp_path / "elsewhere/tiny.json").exists()
