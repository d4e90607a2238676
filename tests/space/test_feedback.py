"""Feedback: what is stored, what is not, and how it is committed to a real Hub."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hubserver import WRITE, RunningHub, run_python, running_hub

from space.feedback import MAX_BYTES, PENDING, STORED, Feedback
from space.inference.classifier import Prediction

DATASET = "demo/feedback"
PREDICTION = Prediction({"NEGATIVE": 0.25, "POSITIVE": 0.75}, 3, 3)
# Records feedback as the app does, commits it, and prints the messages for the user.
RECORD = """
import logging, sys
logging.basicConfig(level=logging.WARNING)
from space.inference.classifier import Prediction
from space.feedback import Feedback
feedback = Feedback.from_environment()
prediction = Prediction({"NEGATIVE": 0.25, "POSITIVE": 0.75}, 3, 3)
print(feedback.notice, file=sys.stderr)
for text in sys.argv[1:]:
    print(feedback.record(text, prediction, True, "demo/tiny", "c0ffee"))
    feedback.commit_now()
"""

# Records feedback and is killed at once, minutes before the next scheduled commit.
KILLED = """
import os, signal, sys
from pathlib import Path
from space import feedback
from space.inference.classifier import Prediction
feedback.PERSISTENT_STORAGE = Path(os.environ["PERSISTENT"])
kept = feedback.Feedback.from_environment()
kept.commit_now()
prediction = Prediction({"NEGATIVE": 0.25, "POSITIVE": 0.75}, 3, 3)
print(kept.record(sys.argv[1], prediction, True, "demo/tiny", "c0ffee"), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted(folder.rglob("feedback-*.jsonl"))
        for line in file.read_text(encoding="utf-8").split("\n")[:-1]
    ]


def record(env: dict[str, str], *texts: str) -> "subprocess.CompletedProcess[str]":
    return run_python(RECORD, env, *texts)


def environment(hub: RunningHub, folder: Path) -> dict[str, str]:
    return {**hub.env(folder / "home"), "FEEDBACK_DATASET": DATASET, "TMPDIR": str(folder)}


def fetch_dataset(hub: RunningHub, folder: Path) -> list[dict[str, Any]]:
    from huggingface_hub import snapshot_download

    snapshot_download(
        DATASET, repo_type="dataset", local_dir=folder, endpoint=hub.endpoint, token=WRITE
    )
    return lines(folder)


def test_feedback_is_disabled_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("FEEDBACK_DIR", raising=False)
    monkeypatch.setenv("FEEDBACK_DATASET", "")
    monkeypatch.chdir(tmp_path)
    feedback = Feedback.from_environment()
    assert not feedback.enabled
    assert feedback.notice == "Feedback is disabled: nothing is stored."
    assert feedback.record("A joy.", PREDICTION, True, "demo/tiny", "c0ffee") == feedback.notice
    assert os.listdir(tmp_path) == []


def test_stores_exactly_what_the_notice_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEEDBACK_DIR", str(tmp_path / "kept"))
    feedback = Feedback.from_environment()
    assert feedback.enabled
    parts = [
        "text",
        "prediction",
        "model",
        "revision",
        "time",
        "Your name",
        "on this server's disk",
    ]
    for part in parts:
        assert part in feedback.notice
    assert "dataset" not in feedback.notice
    text = 'two\nlines, "quoted", \u2028 and half a pair \ud83d'
    assert feedback.record(text, PREDICTION, False, "demo/tiny", "c0ffee") == (
        "Thank you, your feedback is stored."
    )
    (row,) = lines(tmp_path)
    stored = datetime.fromisoformat(row.pop("time"))
    assert abs((datetime.now(UTC) - stored).total_seconds()) < 60
    assert row == {
        "text": text.replace("\ud83d", "?"),
        "label": "POSITIVE",
        "probability": 0.75,
        "correct": False,
        "model": "demo/tiny",
        "revision": "c0ffee",
    }


def test_session_has_one_line_for_each_prediction_and_can_change_it(tmp_path: Path):
    feedback = Feedback(tmp_path)

    def answer(text: str, correct: bool, session: str) -> None:
        assert feedback.record(text, PREDICTION, correct, "demo/tiny", "c0ffee", session) == STORED

    for correct in (True, True, False, True, False):
        answer('a "true" joy, {"correct": true}', correct, "first")
    answer("Another \u2028 text.", True, "first")
    answer('a "true" joy, {"correct": true}', True, "second")
    answer("Another \u2028 text.", False, "first")
    assert [(row["text"][0], row["correct"]) for row in lines(tmp_path)] == [
        ("a", False),
        ("A", False),
        ("a", True),
    ]


def test_each_process_writes_its_own_file(tmp_path: Path):
    for _ in range(2):
        Feedback(tmp_path).record("A joy.", PREDICTION, True, "demo/tiny", None)
    assert len(list(tmp_path.iterdir())) == 2


def test_concurrent_feedback_loses_no_line(tmp_path: Path):
    feedback = Feedback(tmp_path)

    def send(i: int) -> str:
        return feedback.record(f"{i} " * 5000, PREDICTION, True, "demo/tiny", "c0ffee")

    with ThreadPoolExecutor(16) as users:
        assert set(users.map(send, range(100))) == {"Thank you, your feedback is stored."}
    assert sorted(int(row["text"].split()[0]) for row in lines(tmp_path)) == list(range(100))


def test_rejects_too_long_text(tmp_path: Path):
    answer = Feedback(tmp_path).record("x" * 100_001, PREDICTION, True, "demo/tiny", None)
    assert answer == (
        "Not stored: a review may have at most 100,000 characters; this one has 100,001."
    )
    assert lines(tmp_path) == []


def test_reports_full_storage(tmp_path: Path):
    (tmp_path / "feedback-earlier.jsonl").touch()
    os.truncate(tmp_path / "feedback-earlier.jsonl", MAX_BYTES - 100)
    feedback = Feedback(tmp_path)
    answer = feedback.record("A joy.", PREDICTION, True, "demo/tiny", None)
    assert answer == "Not stored: the 50 MB reserved for feedback is full."
    assert [file.name for file in tmp_path.iterdir()] == ["feedback-earlier.jsonl"]


def test_write_error_is_reported_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").touch()
    answer = Feedback(tmp_path / "file").record("A joy.", PREDICTION, True, "demo/tiny", None)
    assert answer == "Not stored: this server can't write to its disk."
    assert "Feedback can't be stored in" in caplog.text


def test_partial_write_is_rolled_back(tmp_path: Path):
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n" + RECORD
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "short", "x" * 2000, "short again"],
        cwd=REPOSITORY,
        env={**os.environ, "FEEDBACK_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [answer.partition(":")[0] for answer in done.stdout.splitlines()] == [
        "Thank you, your feedback is stored.",
        "Not stored",
        "Thank you, your feedback is stored.",
    ]
    assert [row["text"] for row in lines(tmp_path)] == ["short", "short again"]


def test_commits_feedback_to_a_private_dataset(tmp_path: Path):
    with running_hub() as hub:
        env = environment(hub, tmp_path)
        kept = {**env, "FEEDBACK_DIR": str(tmp_path / "kept")}
        record(kept, "A joy.", "A bore.")
        notice = record(env, "Kept nowhere else.").stderr
        assert f"and in the dataset {DATASET} on the Hub at {hub.endpoint}. Your name" in notice
        rows = fetch_dataset(hub, tmp_path / "dataset")
        assert sorted(row["text"] for row in rows) == ["A bore.", "A joy.", "Kept nowhere else."]
        assert {row["model"] for row in rows} == {"demo/tiny"}
        assert [row["text"] for row in lines(tmp_path / "kept")] == ["A joy.", "A bore."]

        from huggingface_hub import HfApi

        api = HfApi(endpoint=hub.endpoint, token=WRITE)
        info = api.dataset_info(DATASET)
        assert info.private
        names = {sibling.rfilename for sibling in info.siblings or []}
        assert len([name for name in names if name.startswith("feedback-")]) == 2


def test_commits_no_other_files_of_the_folder(tmp_path: Path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "secret.txt").write_text("not for the Hub")
    with running_hub() as hub:
        env = environment(hub, tmp_path)
        record({**env, "FEEDBACK_DIR": str(tmp_path / "kept")}, "A joy.")
        assert len(fetch_dataset(hub, tmp_path / "dataset")) == 1
    assert not list((tmp_path / "dataset").rglob("secret.txt"))


def test_next_commit_includes_what_a_failed_one_missed(tmp_path: Path):
    with running_hub(arguments=["--fault", "POST /api/datasets/.*/commit/=500*1"]) as hub:
        env = environment(hub, tmp_path)
        done = record(env, "A joy.", "A bore.")
        assert "for now: the commit to demo/feedback failed" in done.stderr
        assert "Traceback" not in done.stderr
        texts = [row["text"] for row in fetch_dataset(hub, tmp_path / "dataset")]
    assert texts == ["A joy.", "A bore."]
    assert done.stdout.count("Thank you") == 2


def test_stores_feedback_while_the_hub_is_down(tmp_path: Path):
    env = {**os.environ, "FEEDBACK_DATASET": DATASET, "FEEDBACK_DIR": str(tmp_path)}
    done = record({**env, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, "A joy.")
    assert done.stdout == "Thank you, your feedback is stored.\n"
    assert "the dataset demo/feedback is not available" in done.stderr
    assert "Traceback" not in done.stderr
    assert [row["text"] for row in lines(tmp_path)] == ["A joy."]
    (file,) = tmp_path.glob("feedback-*.jsonl")
    assert stat.S_ISREG(file.stat().st_mode)


def record_and_kill(env: dict[str, str], text: str) -> str:
    """The message for the user from an app that is killed right after it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLED, text],
        cwd=REPOSITORY,
        env={"PERSISTENT": "/nowhere", **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("place", ["at home", "on a Space with storage", "in a folder"])
def test_next_start_commits_feedback_of_a_killed_app(tmp_path: Path, place: str):
    (tmp_path / "data").mkdir()
    with running_hub() as hub:
        env = environment(hub, tmp_path)
        if place == "on a Space with storage":
            env |= {"SPACE_ID": "demo/space", "PERSISTENT": str(tmp_path / "data")}
        elif place == "in a folder":
            env |= {"SPACE_ID": "demo/space", "FEEDBACK_DIR": str(tmp_path / "kept")}
        assert record_and_kill(env, "A joy.") == "Thank you, your feedback is stored."
        assert fetch_dataset(hub, tmp_path / "before") == []
        assert record_and_kill(env, "A bore.") == "Thank you, your feedback is stored."
        assert [row["text"] for row in fetch_dataset(hub, tmp_path / "after")] == ["A joy."]


def test_commits_before_reporting_success_without_persistent_storage(tmp_path: Path):
    with running_hub(arguments=["--fault", "POST /api/datasets/.*/commit/=500*1"]) as hub:
        env = {**environment(hub, tmp_path), "SPACE_ID": "demo/space"}
        assert record_and_kill(env, "A joy.") == PENDING
        shutil.rmtree(tmp_path / "home")  # a Space starts with an empty disk
        assert record_and_kill(env, "A bore.") == "Thank you, your feedback is stored."
        assert [row["text"] for row in fetch_dataset(hub, tmp_path / "dataset")] == ["A bore."]
    assert record_and_kill(env, "No Hub.") == PENDING


def test_each_line_changes_the_modification_time(tmp_path: Path):
    feedback, times = Feedback(tmp_path), set()
    for _ in range(20):
        feedback.record("A joy.", PREDICTION, True, "demo/tiny", None)
        (file,) = tmp_path.iterdir()
        times.add(file.stat().st_mtime)
    assert len(times) == 20
