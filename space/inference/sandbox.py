"""Other people's models: each runs in a worker process with limits on time, memory and output.

In: a repository on the Hub whose file sizes were checked. Out: predictions, or a sentence for the
page why there are none. A worker that exceeds a limit is killed; the app and the others go on.
The memory limit holds on Linux alone (see `worker`), the others on every system.
"""

import atexit
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from huggingface_hub import constants

from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.download import (
    UNWRITABLE,
    failure_message,
    not_a_classifier_message,
    pair_model_message,
    unwritable_message,
)

DOWNLOAD_SECONDS = 300
LOAD_SECONDS = 60  # and to classify two short texts
ANSWER_SECONDS = 30  # for one text, or as many as there are cores
# Bytes beyond what the libraries take: weights of 600 MB twice, and attention over 4,096 tokens.
MAX_MEMORY = 4 * 2**30
MAX_FILE_BYTES = 650_000_000
MAX_LINE_BYTES = 1_000_000  # of an answer
MAX_TOKENS = 4096  # of a text: memory grows with its square
POLL_SECONDS = 0.2  # between two checks of whether the client has gone
SECRET = re.compile("TOKEN|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)
NO_SPACE = "This app can't store another model at the moment. Try again later."
ROOT = Path(__file__).parent.parent.parent  # from which the worker imports this package

log = logging.getLogger(__name__)


class SandboxedClassifier:
    """A classifier in a worker process of its own; one caller at a time may use it.

    Args:
        repo_id: `user/name` of a public model on the Hub.
        commit: Its revision.
        file: The ONNX file to run.
        cancelled: Whether the client has gone: the worker is killed then. The next caller may set
            another function.

    Raises:
        ModelUnavailable: The download failed, the model is no classifier, or it exceeds a limit.
    """

    def __init__(
        self,
        repo_id: str,
        commit: str,
        file: str,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.repo_id, self.commit, self.cancelled = repo_id, commit, cancelled
        try:
            self.folder = TemporaryDirectory(prefix="compared-", ignore_cleanup_errors=True)
        except OSError as error:
            raise ModelUnavailable(_no_space(error)) from error
        self._process = subprocess.Popen(
            [sys.executable, "-m", "space.inference.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        atexit.register(self.close)
        self._exceeded_seconds: float | None = None
        first = {
            "repo_id": repo_id, "commit": commit, "file": file, "folder": self.folder.name,
            "max_file": MAX_FILE_BYTES, "max_memory": MAX_MEMORY, "max_tokens": MAX_TOKENS,
        }  # fmt: skip
        with self._closed_on_failure():
            self._send(first, DOWNLOAD_SECONDS)
            self._receive(DOWNLOAD_SECONDS, "to download")
            loaded = self._receive(LOAD_SECONDS, "to load")
        self.labels: list[str] = loaded["labels"]
        self.unsure_below: float = loaded["unsure_below"]

    @property
    def alive(self) -> bool:
        """Whether the worker process is running."""
        return self._process.poll() is None

    def predict_batch(self, texts: Sequence[Any]) -> list[Prediction | InvalidText]:
        """As `Classifier.predict_batch`.

        Raises:
            ModelUnavailable: The model fails on a text or exceeds a limit; it is closed then.
        """
        with self._closed_on_failure():
            self._send({"texts": list(texts)}, ANSWER_SECONDS)
            answers = [self._receive(ANSWER_SECONDS, "for a text") for _ in texts]
        return [
            InvalidText(answer["invalid"]) if "invalid" in answer else Prediction(**answer)
            for answer in answers
        ]

    def close(self) -> None:
        """Kill the worker and remove its files."""
        atexit.unregister(self.close)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was not sent is not needed any more
                pipe.close()
        self.folder.cleanup()

    def _send(self, request: dict[str, Any], seconds: float) -> None:
        assert self._process.stdin is not None
        with self._time_limit(seconds), suppress(OSError):  # `_receive` reports a dead worker
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def _receive(self, seconds: float, action: str) -> dict[str, Any]:
        """The next answer.

        Raises:
            ModelUnavailable: There is none; the message says why.
        """
        assert self._process.stdout is not None
        with self._time_limit(seconds):
            line = self._process.stdout.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ModelUnavailable(self._stop_message(line, action))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            log.warning("%s failed: %s", self.repo_id, answer["error"].replace("\n", " "))
            raise ModelUnavailable(self._error_message(answer))
        return answer

    @contextmanager
    def _time_limit(self, seconds: float) -> Iterator[None]:
        """Kill the worker after `seconds` or if the client has gone: that ends a read or write."""
        end, done = time.monotonic() + seconds, Event()

        def watch() -> None:
            while not done.wait(max(0.0, min(POLL_SECONDS, end - time.monotonic()))):
                late = time.monotonic() >= end
                if late or self.cancelled():
                    self._exceeded_seconds = seconds if late else None
                    self._process.kill()
                    return

        Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            done.set()

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _stop_message(self, line: bytes, action: str) -> str:
        """Why the worker sent no complete line."""
        if len(line) >= MAX_LINE_BYTES:
            reason = f"an answer has more than {MAX_LINE_BYTES / 1e6:,.0f} MB"
        elif self._exceeded_seconds is not None:
            reason = f"it took more than {self._exceeded_seconds:,.0f} seconds {action}"
        elif self.cancelled():
            reason = "the request was cancelled"
        else:
            code = self._process.wait()
            cause = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            reason = (
                f"its process crashed ({cause}); it may need more than "
                f"{MAX_MEMORY / 2**30:,.0f} GB of memory, or be damaged"
            )
        log.warning("%s was stopped: %s", self.repo_id, reason)
        return f"{self.repo_id} was stopped: {reason}."

    def _error_message(self, answer: dict[str, Any]) -> str:
        """The message for an error that the worker reports."""
        if answer["step"] == "download":
            if answer["errno"] in UNWRITABLE:
                error = OSError(answer["errno"], os.strerror(answer["errno"]), self.folder.name)
                return _no_space(error)
            return hub_unavailable_message(self.repo_id)
        if answer["memory"]:
            limit = f"{MAX_MEMORY / 2**30:,.0f} GB"
            return f"{self.repo_id} was stopped: it needs more than {limit} of memory."
        if answer["pairs"]:
            return pair_model_message(self.repo_id)
        if answer["step"] == "load":
            return not_a_classifier_message(self.repo_id)
        return failure_message(self.repo_id)


def _no_space(error: OSError) -> str:
    """The message for a user; the log has the cause and the remedy."""
    log.warning("%s", unwritable_message(error, "temporary folder", "TMPDIR"))
    return NO_SPACE


def hub_unavailable_message(repo_id: str) -> str:
    """The message for a Hub that does not answer or fails."""
    return f"The Hub at {constants.ENDPOINT} can't provide {repo_id} right now. Try again later."


def _environment() -> dict[str, str]:
    """The app's environment without its secrets, and with little memory per thread."""
    public = {name: value for name, value in os.environ.items() if not SECRET.search(name)}
    return public | {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
