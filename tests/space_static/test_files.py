"""The files of the static Space: where they come from, and what the page may do."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from localhub.validate import validate_card
from train.errors import HubError
from train.publishing import npm_packages, static_space

HUGGING_FACE = "https://huggingface.co"
MODEL = "user/movie-sentiment"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path | bytes]:
    """The files of a page, without the libraries."""
    monkeypatch.setattr(static_space, "_libraries", dict)
    names = frozenset(["config.json", static_space.QUANTIZED])
    return static_space.files(MODEL, "0" * 40, names, HUGGING_FACE)


def index_of(page: dict[str, Path | bytes]) -> str:
    content = page[static_space.INDEX]
    assert isinstance(content, bytes)
    return content.decode()


def test_index_names_the_model_and_the_hub(page: dict[str, Path | bytes]) -> None:
    index = index_of(page)
    assert f'data-model="{MODEL}" data-revision="{"0" * 40}" data-dtype="q8"' in index
    assert f'data-endpoint="{HUGGING_FACE}"' in index
    assert "$" not in index


def test_model_without_int8_is_loaded_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_space, "_libraries", dict)
    page = static_space.files(MODEL, "0" * 40, frozenset([static_space.FULL]), HUGGING_FACE)
    assert 'data-dtype="fp32"' in index_of(page)


def test_policy_allows_the_page_and_the_hub_only(page: dict[str, Path | bytes]) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', index_of(page))
    rules = {name: values for name, *values in map(str.split, policy.split(";"))}
    assert rules["default-src"] == ["'none'"]
    hosts = set(rules["connect-src"]) - {"'self'"}
    assert all(re.fullmatch(r"https://(\*\.)?(huggingface\.co|hf\.co)", host) for host in hosts)
    assert not {"'unsafe-inline'", "'unsafe-eval'"} & {
        value for rule in rules.values() for value in rule
    }


def test_page_has_no_address_of_another_server() -> None:
    for file in [*static_space.FOLDER.glob("*.js"), static_space.FOLDER / static_space.INDEX]:
        lines = file.read_text(encoding="utf-8").splitlines()
        code = "\n".join(line for line in lines if not line.lstrip().startswith(("//", "*")))
        assert not re.findall(r"https?://(?!www\.w3\.org)", code), file.name


def test_service_worker_is_a_classic_script() -> None:
    """Firefox before 147 refuses a service worker that is a module."""
    register = (static_space.FOLDER / "main.js").read_text(encoding="utf-8")
    assert 'serviceWorker.register("service_worker.js");' in register
    worker = (static_space.FOLDER / "service_worker.js").read_text(encoding="utf-8")
    assert not re.findall(r"^(import|export)\b", worker, flags=re.MULTILINE)


def test_front_matter_is_valid(page: dict[str, Path | bytes]) -> None:
    content = page["README.md"]
    assert isinstance(content, bytes)
    assert validate_card(content.decode(), "space") == ([], [])
    front = yaml.safe_load(content.decode().split("---")[1])
    assert (front["sdk"], front["models"]) == ("static", [MODEL])
    assert front["custom_headers"]["cross-origin-opener-policy"] == "same-origin"


def test_all_tracked_files_are_deployed(page: dict[str, Path | bytes]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "space_static"], cwd=REPOSITORY, capture_output=True, text=True
    )
    names = {Path(name).name for name in listed.stdout.split()}
    assert names - {"packages.json"} <= page.keys()


def test_every_vendored_file_that_the_page_uses_is_pinned() -> None:
    pins = json.loads(static_space.PINS.read_text(encoding="utf-8"))
    pinned = {Path(name).name for pin in pins.values() for name in pin["files"]}
    source = "".join(
        file.read_text(encoding="utf-8")
        for file in static_space.FOLDER.iterdir()
        if file.suffix in {".js", ".html"}
    )
    used = set(re.findall(r"vendor/([\w.-]+\.m?js)", source)) | set(
        re.findall(r'"([\w.-]+\.wasm)\.gz"', source)
    )
    assert {"transformers.min.js", "papaparse.min.js", "sentencex_wasm_bg.wasm"} <= used <= pinned


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    """Pins of a package that `fake_npm` delivers."""
    pin = {"version": "1.0.0", "integrity": "sha512-of-another", "files": ["a.js"]}
    (tmp_path / "pins.json").write_text(json.dumps({"@scope/a": pin}))
    return tmp_path / "pins.json"


def fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program `npm` first in the PATH."""
    program = folder / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_package_with_another_content_is_refused(
    pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path, monkeypatch, 'echo other > a-1.0.0.tgz; echo "a-1.0.0.tgz"')
    with pytest.raises(HubError, match="must have the integrity sha512-of-another, got sha512-"):
        npm_packages.fetch(pins, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_failed_download_names_the_remedy(
    pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(tmp_path, monkeypatch, "echo ENOTFOUND >&2; exit 1")
    with pytest.raises(HubError, match=r"failed \(ENOTFOUND\) — check the network"):
        npm_packages.fetch(pins, tmp_path / "cache")


def test_missing_npm_names_the_remedy(
    pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HubError, match="needs npm to download @scope/a@1.0.0 — install Node.js"):
        npm_packages.fetch(pins, tmp_path / "cache")
