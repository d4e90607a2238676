"""A model in a cache that can't be written, as in a read-only image."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hubserver import RunningHub, run_python, running_hub
from test_app import MODEL, push

from space.inference import download

# Loads the model and prints its commit, or why there is none. Root can write to any folder, so that
# for root the first write fails as on a read-only file system.
LOAD = """
import errno, json, os, sys
from space.inference import download
from space.inference.classifier import Classifier, ModelUnavailable
if sys.argv[1] == "read-only" and os.geteuid() == 0:
    snapshot_download = download.snapshot_download
    def fail_on_write(*arguments, local_files_only, **options):
        if not local_files_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/models/hub")
        return snapshot_download(*arguments, local_files_only=True, **options)
    download.snapshot_download = fail_on_write
classifier = Classifier("demo/tiny", sys.argv[2] or None)
try:
    classifier.load()
    print(json.dumps(classifier.commit))
except ModelUnavailable as reason:
    print(json.dumps(str(reason)))
"""


def load(env: dict[str, str], mode: str, revision: str = "") -> tuple[str, str]:
    """The commit or the reason, and the log."""
    done = run_python(LOAD, env, mode, revision)
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def set_mode(folder: Path, mode: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(mode)


def push_changed(hub: RunningHub, source: Path, target: Path) -> str:
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | {"unsure_below": 0.9}))
    return push(hub, target)


def test_read_only_cache_gives_its_copy_when_the_hub_has_a_newer_one(
    tiny_classifier: Path, tmp_path: Path
) -> None:
    with running_hub() as hub:
        old = push(hub, tiny_classifier)
        env = hub.env(tmp_path / "home", token=None)
        assert load(env, "writable")[0] == old
        new = push_changed(hub, tiny_classifier, tmp_path / "new")
        set_mode(tmp_path / "home", 0o555)
        try:
            loaded, logged = load(env, "read-only")
            other, _ = load(env, "read-only", new)
        finally:
            set_mode(tmp_path / "home", 0o755)
        assert loaded == old
        assert "the cache can't be written" in logged and f"{MODEL} stays at {old}" in logged
        assert "HF_HOME must name a folder that can be written" in other  # this one is no copy
        assert load(env, "writable")[0] == new


@pytest.mark.parametrize("missing", [[], ["onnx/model.onnx"], ["tokenizer.json"]])
def test_copy_that_lacks_a_file_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: list[str]
) -> None:
    for name in {*download.REQUIRED_FILES, "onnx/model.onnx"} - set(missing):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def snapshot(*_: Any, local_files_only: bool, **options: Any) -> str:
        if local_files_only:
            return str(tmp_path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "snapshot_download", snapshot)
    if not missing:
        assert download.download(MODEL, None) == tmp_path
        return
    with pytest.raises(OSError, match="No space left"):
        download.download(MODEL, None)
