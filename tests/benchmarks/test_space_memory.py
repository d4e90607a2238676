"""The benchmark of the Space's memory and disk, with fewer and smaller files."""

from pathlib import Path

import pytest
from hubserver import running_hub
from test_app import MODEL, push

from benchmarks import space, space_memory


def test_users_leave_no_file(
    tiny_classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space_memory, "UPLOADS", 5)
    monkeypatch.setattr(space_memory, "ROWS", 300)
    temporary = tmp_path / "files"
    with running_hub() as hub:
        for repo_id in (MODEL, space.OTHER):
            push(hub, tiny_classifier, repo_id)
        env = {**hub.env(tmp_path / "home", token=None), "MODEL_ID": MODEL}
        env |= {"GRADIO_TEMP_DIR": str(temporary), "TMPDIR": str(tmp_path)}
        with space.running(env) as (url, process, _):
            space._ask(url, "classify", "a wonderful film")
            results = space_memory.measure(url, process.pid, temporary, MODEL, space.OTHER)
            assert not list(temporary.glob("results-*"))  # nor a folder
    assert results["files_left"] == 0
    assert 50 < results["peak_rss_mb"] < results["peak_total_mb"]
    assert not list(tmp_path.glob("compared-*"))  # the app ended its worker
