"""Files of users: folders for what they download."""

import os
import time
from pathlib import Path

import pytest

from space.tabs.session_files import KEPT_SECONDS, PREFIX, ResultFolders


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def test_download_of_one_kind_keeps_the_file_of_another(root: Path) -> None:
    folders = ResultFolders()
    csv, workbook = folders.create("first", "csv"), folders.create("first", "workbook")
    other = folders.create("second", "csv")
    newer = folders.create("first", "csv")
    assert not csv.exists()
    assert all(folder.is_dir() for folder in (workbook, other, newer))
    folders.delete("first")
    assert list(root.iterdir()) == [other]
    folders.delete(None)
    assert other.exists()


def test_old_folders_of_any_session_are_deleted(root: Path) -> None:
    folders = ResultFolders()
    old = folders.create("first", "csv")
    foreign = root / f"{PREFIX}of-an-earlier-process"
    foreign.mkdir()
    for folder in (old, foreign):
        os.utime(folder, (0, time.time() - KEPT_SECONDS - 1))
    new = folders.create("second", "csv")
    assert list(root.iterdir()) == [new]
    folders.delete("first")  # its folder is gone
