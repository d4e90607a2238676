"""User feedback on predictions, stored as JSON lines; disabled unless the Space's owner enables it.

In: a review, its prediction, and whether the user agrees. Out: a line in a folder and, every few
minutes, in a dataset on the Hub if one is configured.
"""

import json
import logging
import os
import time
import uuid
from concurrent.futures import TimeoutError as CommitTimeout
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock, Thread
from typing import Self

from huggingface_hub import CommitInfo, CommitScheduler, constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx2's
    HFValidationError,
    HTTPError,
)

from space.inference.classifier import Prediction
from space.inference.texts import MAX_CHARACTERS

MAX_BYTES = 50 * 2**20  # of all feedback in the folder
COMMIT_MINUTES = 5
COMMIT_TIMEOUT_SECONDS = 20  # of a commit that the user waits for
MAX_CHANGEABLE = 10_000  # newest answers that their users can change
FILES = "feedback-*.jsonl"
ANSWER_END = b"}\n"  # of a line, after the answer
PERSISTENT_STORAGE = Path("/data")  # of a Space that has any
STORED = "Thank you, your feedback is stored."
PENDING = (
    "Thank you. Your feedback is kept in this app until the Hub accepts it. A restart before then "
    "loses it."
)

log = logging.getLogger(__name__)


class Feedback:
    """Stores feedback in a folder and in a dataset on the Hub; disabled if neither is given.

    Each process writes its own file, so that processes never overwrite each other's feedback.
    Feedback that an earlier process left in the folder is committed at the start. If the folder
    does not survive a restart, `record` commits before it reports success.

    Args:
        folder: Where the lines are stored. Default: see `dataset_folder`.
        dataset: `user/name` of a dataset on the Hub. A missing one is created as private. The
            token that `huggingface_hub` finds needs write access.
    """

    def __init__(self, folder: Path | None = None, dataset: str | None = None) -> None:
        self._survives_restart = True
        if dataset and folder is None:
            folder, self._survives_restart = dataset_folder(dataset)
        self.folder, self.dataset = folder, dataset or None
        self._file_name = FILES.replace("*", uuid.uuid4().hex)
        self._writing, self._connecting = Lock(), Lock()
        self._answer_positions: dict[bytes, int] = {}  # in this process's file, of answers
        self._commits: _Commits | None = None
        if self.dataset:
            Thread(target=self._keep_connecting, daemon=True).start()

    @classmethod
    def from_environment(cls) -> Self:
        """Feedback as configured by `FEEDBACK_DIR` and `FEEDBACK_DATASET`."""
        folder = os.environ.get("FEEDBACK_DIR")
        return cls(Path(folder) if folder else None, os.environ.get("FEEDBACK_DATASET"))

    @property
    def enabled(self) -> bool:
        """Whether feedback is stored."""
        return self.folder is not None

    @property
    def notice(self) -> str:
        """What is stored and where; shown before the user gives feedback."""
        if not self.enabled:
            return "Feedback is disabled: nothing is stored."
        place = "on this server's disk"
        if self.dataset:
            place += f" and in the dataset {self.dataset} on the Hub at {constants.ENDPOINT}"
        return (
            "Your feedback is stored with the review's text, the prediction, the model and its "
            f"revision, and the time, {place}. Your name and address are not stored."
        )

    def record(
        self,
        text: str,
        prediction: Prediction,
        correct: bool,
        model: str | None,
        commit: str | None,
        session: str = "",
    ) -> str:
        """Store the feedback on one prediction.

        A session has one line for each prediction: a later answer changes it.

        Args:
            text: The review, at most `MAX_CHARACTERS` characters.
            prediction: Of the model.
            correct: Whether the user agrees with the prediction.
            model: Repo id of the model.
            commit: Revision of the model.
            session: Of the user; it is not stored. Without it, each answer has its own line.

        Returns:
            A message for the user, also if the feedback is not stored.
        """
        if self.folder is None:
            return self.notice
        if len(text) > MAX_CHARACTERS:
            return (
                f"Not stored: a review may have at most {MAX_CHARACTERS:,} characters; this one "
                f"has {len(text):,}."
            )
        line = _to_json_line(text, prediction, correct, model, commit)
        path = self.folder / self._file_name
        key = sha256(repr((session, text, model, commit)).encode("utf-8", "replace")).digest()
        try:
            with self._writing, self._commit_lock():
                if session and key in self._answer_positions and path.is_file():
                    _write(path, self._answer_positions[key], _answer(correct))
                else:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    stored_bytes = sum(file.stat().st_size for file in self.folder.glob(FILES))
                    if stored_bytes + len(line) > MAX_BYTES:
                        limit = f"{MAX_BYTES // 2**20} MB"
                        return f"Not stored: the {limit} reserved for feedback is full."
                    end = _append(path, line)
                    self._remember(key, end - len(ANSWER_END) - len(_answer(correct)))
        except OSError as error:
            log.warning("Feedback can't be stored in %s: %s", self.folder, error)
            return "Not stored: this server can't write to its disk."
        return STORED if self._survives_restart or self.commit_now() else PENDING

    def _remember(self, key: bytes, position: int) -> None:
        self._answer_positions[key] = position
        if len(self._answer_positions) > MAX_CHANGEABLE:
            del self._answer_positions[next(iter(self._answer_positions))]

    def commit_now(self) -> bool:
        """Commit stored feedback without waiting for the schedule; failures are logged.

        Returns:
            Whether all stored feedback is in the dataset.
        """
        commits = self._connect()
        return commits is not None and commits.commit()

    def _commit_lock(self) -> AbstractContextManager[object]:
        """Keeps a commit from reading an incomplete line."""
        return self._commits.lock if self._commits else nullcontext()

    def _keep_connecting(self) -> None:
        while not self._connect():
            time.sleep(COMMIT_MINUTES * 60)

    def _connect(self) -> "_Commits | None":
        """The commit scheduler; None while the Hub does not answer."""
        with self._connecting:
            if self._commits is None and self.dataset and self.folder:
                try:
                    self._commits = _Commits(
                        repo_id=self.dataset,
                        repo_type="dataset",
                        private=True,
                        folder_path=self.folder,
                        allow_patterns=FILES,
                        every=COMMIT_MINUTES,
                    )
                except (HTTPError, OSError, HFValidationError) as error:
                    log.warning(
                        "Feedback stays in %s for now: the dataset %s is not available: %s",
                        *(self.folder, self.dataset, error),
                    )
            return self._commits


def dataset_folder(dataset: str) -> tuple[Path, bool]:
    """Default folder for the feedback of a dataset, and whether it survives a restart.

    A Space loses its disk at a restart, except for its persistent storage.
    """
    on_space = "SPACE_ID" in os.environ
    persistent = on_space and PERSISTENT_STORAGE.is_dir() and os.access(PERSISTENT_STORAGE, os.W_OK)
    root = PERSISTENT_STORAGE if persistent else Path(constants.HF_HOME)
    return root / "feedback" / dataset.replace("/", "--"), persistent or not on_space


class _Commits(CommitScheduler):
    """A scheduler that logs failures as warnings; the next commit includes what they missed."""

    def commit(self) -> bool:
        """Commit after any running commit; returns whether it succeeded in time."""
        try:
            return bool(self.api.run_as_future(self._push).result(COMMIT_TIMEOUT_SECONDS))
        except CommitTimeout:
            return False

    def push_to_hub(self) -> CommitInfo | None:
        self._push()
        return None

    def _push(self) -> bool:
        try:
            super().push_to_hub()
        except (HTTPError, OSError, RuntimeError) as error:
            log.warning(
                "Feedback stays in %s for now: the commit to %s failed: %s",
                *(self.folder_path, self.repo_id, error),
            )
            return False
        return True


def _to_json_line(
    text: str, prediction: Prediction, correct: bool, model: str | None, commit: str | None
) -> bytes:
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "text": text,
        "label": prediction.label,
        "probability": prediction.probabilities[prediction.label],
        "model": model,
        "revision": commit,
    }
    # JSON requests can contain lone surrogates, which UTF-8 can't encode.
    start = json.dumps(row, ensure_ascii=False)[:-1].encode("utf-8", "replace")
    return start + b', "correct": ' + _answer(correct) + ANSWER_END


def _answer(correct: bool) -> bytes:
    """JSON of the same length for either answer, so that one can replace the other."""
    return b"true " if correct else b"false"


def _append(path: Path, line: bytes) -> int:
    """Append a complete line, or leave the file unchanged; returns the file's size."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            if file.write(line) < len(line):
                raise OSError(f"no space for {len(line)} bytes")
        except OSError:
            file.truncate(size)
            raise
    _touch(path)
    return size + len(line)


def _write(path: Path, position: int, content: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(position)
        file.write(content)
    _touch(path)


def _touch(path: Path) -> None:
    """Commits detect changed files by mtime, and the file system's clock can be too coarse."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))
