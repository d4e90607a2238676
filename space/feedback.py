"""What visitors say of verdicts, kept as JSON lines: off, unless the Space's owner asks for it.

In: a review, its verdict, and whether the visitor calls it right. Out: a line in a folder and,
every few minutes, in a dataset on the Hub where one is named.
"""

import json
import logging
import os
import time
import uuid
from concurrent.futures import TimeoutError as Late
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Self

from huggingface_hub import CommitInfo, CommitScheduler, constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    HFValidationError,
    HTTPError,
)

from space.inference.classifier import MAX_CHARACTERS, Prediction

MAX_BYTES = 50 * 2**20  # of all feedback in the folder
EVERY_MINUTES = 5
FILES = "feedback-*.jsonl"
PERSISTENT = Path("/data")  # where a Space has its persistent storage, if it has any
COMMIT_SECONDS = 20  # that a visitor waits for a commit, where there is none
STORED = "Thank you, your answer is stored."
WAITING = (
    "Thank you. Your answer waits in this app until the Hub takes it; a restart before that loses "
    "it."
)

log = logging.getLogger(__name__)


class Feedback:
    """Where feedback goes; nowhere, unless a folder or a dataset is named.

    Each process writes a file of its own, so that none overwrites another's, on disk or on the
    Hub. What an earlier process left in the folder is committed at the start. Where the folder
    does not outlast the process, an answer is committed before it is said to be stored.

    Args:
        folder: Where the lines are kept; see `waiting_room` when only a dataset is named.
        dataset: `user/name` of a dataset on the Hub; made, as a private one, when absent. The
            token that `huggingface_hub` finds needs the right to write it.
    """

    def __init__(self, folder: Path | None = None, dataset: str | None = None) -> None:
        self._lasts = True  # whether the next start finds the folder
        if dataset and folder is None:
            folder, self._lasts = waiting_room(dataset)
        self.folder, self.dataset = folder, dataset or None
        self._name = FILES.replace("*", uuid.uuid4().hex)
        self._writing, self._connecting = Lock(), Lock()
        self._commits: _Commits | None = None
        if self.dataset:
            Thread(target=self._keep_connecting, daemon=True).start()

    @classmethod
    def from_environment(cls) -> Self:
        """As `FEEDBACK_DIR` and `FEEDBACK_DATASET` say."""
        folder = os.environ.get("FEEDBACK_DIR")
        return cls(Path(folder) if folder else None, os.environ.get("FEEDBACK_DATASET"))

    @property
    def enabled(self) -> bool:
        """Whether anything is ever stored."""
        return self.folder is not None

    @property
    def explains(self) -> str:
        """What is stored, and where: a sentence to show before anyone is asked."""
        if not self.enabled:
            return "Feedback is off: nothing is stored."
        where = "on this server's disk"
        if self.dataset:
            where += f" and in the dataset {self.dataset} on the Hub at {constants.ENDPOINT}"
        return (
            "If you say whether the verdict is right, the review's text, the verdict, the model "
            f"and its revision, your answer and the time are stored {where}; no name and no "
            "address."
        )

    def record(
        self, text: str, verdict: Prediction, right: bool, model: str | None, commit: str | None
    ) -> str:
        """Store one answer; gives a sentence for the page, whatever comes of it.

        Args:
            text: The review, at most `MAX_CHARACTERS` characters.
            verdict: What the model said of it.
            right: Whether the visitor agrees.
            model: The model's repo id.
            commit: The revision that is loaded.
        """
        if self.folder is None:
            return self.explains
        if len(text) > MAX_CHARACTERS:
            return (
                f"Not stored: a review may have at most {MAX_CHARACTERS:,} characters; this one "
                f"has {len(text):,}."
            )
        line = _line(text, verdict, right, model, commit)
        try:
            with self._writing, self._between_commits():
                self.folder.mkdir(parents=True, exist_ok=True)
                stored = sum(file.stat().st_size for file in self.folder.glob(FILES))
                if stored + len(line) > MAX_BYTES:
                    return f"Not stored: the {MAX_BYTES // 2**20} MB kept for feedback are full."
                _append(self.folder / self._name, line)
        except OSError as error:
            log.warning("feedback can't be stored in %s: %s", self.folder, error)
            return "Not stored: this server's disk does not take it. Its log says why."
        return STORED if self._lasts or self.commit_now() else WAITING

    def commit_now(self) -> bool:
        """Commit what is stored, without waiting for the next turn; a failure is logged.

        Returns:
            Whether all that was stored before is in the dataset.
        """
        commits = self._connect()
        return commits is not None and commits.commit()

    def _between_commits(self) -> AbstractContextManager[object]:
        """A commit must not see half a line."""
        return self._commits.lock if self._commits else nullcontext()

    def _keep_connecting(self) -> None:
        while not self._connect():
            time.sleep(EVERY_MINUTES * 60)

    def _connect(self) -> "_Commits | None":
        """The scheduler of commits; it can't be made while the Hub is away."""
        with self._connecting:
            if self._commits is None and self.dataset and self.folder:
                try:
                    self._commits = _Commits(
                        repo_id=self.dataset,
                        repo_type="dataset",
                        private=True,
                        folder_path=self.folder,
                        allow_patterns=FILES,
                        every=EVERY_MINUTES,
                    )
                except (HTTPError, OSError, HFValidationError) as error:
                    log.warning(
                        "feedback stays in %s for now: the dataset %s can't be had: %s",
                        *(self.folder, self.dataset, error),
                    )
            return self._commits


def waiting_room(dataset: str) -> tuple[Path, bool]:
    """The folder of lines for a dataset, the same at every start, and whether it lasts till then.

    A Space's disk is emptied when it starts again, but for its persistent storage.
    """
    on_space = "SPACE_ID" in os.environ
    persistent = on_space and PERSISTENT.is_dir() and os.access(PERSISTENT, os.W_OK)
    root = PERSISTENT if persistent else Path(constants.HF_HOME)
    return root / "feedback" / dataset.replace("/", "--"), persistent or not on_space


class _Commits(CommitScheduler):
    """A scheduler whose failures are a warning: the lines are on disk, the next turn takes them."""

    def commit(self) -> bool:
        """Commit in turn with the scheduled commits; says whether it was done."""
        try:
            return bool(self.api.run_as_future(self._push).result(COMMIT_SECONDS))
        except Late:
            return False

    def push_to_hub(self) -> CommitInfo | None:
        self._push()
        return None

    def _push(self) -> bool:
        try:
            super().push_to_hub()
        except (HTTPError, OSError, RuntimeError) as error:
            log.warning(
                "feedback stays in %s for now: the commit to %s failed: %s",
                *(self.folder_path, self.repo_id, error),
            )
            return False
        return True


def _line(
    text: str, verdict: Prediction, right: bool, model: str | None, commit: str | None
) -> bytes:
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "text": text,
        "label": verdict.label,
        "probability": verdict.probabilities[verdict.label],
        "right": right,
        "model": model,
        "revision": commit,
    }
    # Half a surrogate pair can come by JSON, and would make the file no UTF-8.
    return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _append(path: Path, line: bytes) -> None:
    """All of a line or nothing of it."""
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            if file.write(line) < len(line):
                raise OSError(f"no room for {len(line)} bytes")
        except OSError:
            file.truncate(end)
            raise
    # By its time a commit sees that a file has changed; a file system's own clock ticks slowly.
    now = time.time_ns()
    os.utime(path, ns=(now, now))
