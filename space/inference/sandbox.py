"""Foreign models: each runs in a worker process with limits on time, memory, files and output.

In: a repository on the Hub whose sizes are known to be small enough. Out: verdicts, or a sentence
for the page why there is none. A worker that goes beyond a limit is killed, and nothing else is.
Time, output and the isolation hold on every system, memory on Linux alone (see `worker`).
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
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from huggingface_hub import constants

from space.inference.classifier import (
    CONFIG,
    TOKENIZER,
    UNWRITABLE,
    InvalidText,
    ModelUnavailable,
    Prediction,
    unwritable,
)

PULL_SECONDS = 300
LOAD_SECONDS = 60  # with two short texts
ANSWER_SECONDS = 30  # for one text, or as many as there are cores
# Bytes beyond what the libraries take: weights of 600 MB twice, and attention over 4,096 tokens.
MAX_MEMORY = 4 * 2**30
MAX_FILE_BYTES = 650_000_000
MAX_LINE_BYTES = 1_000_000  # of an answer
MAX_TOKENS = 4096  # of a text: memory grows with the square of it
LOOK_SECONDS = 0.2  # between two looks at whether the answer is still wanted
SECRET = re.compile("TOKEN|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)
TEMPORARY = "temporary folder", "TMPDIR"
ROOT = Path(__file__).parent.parent.parent  # from which the worker imports this package

log = logging.getLogger(__name__)


class Sandboxed:
    """A classifier in a worker process of its own; for one caller at a time.

    Args:
        repo_id: `user/name` of a public model on the Hub.
        commit: Its revision.
        file: The ONNX file to run.
        stopped: Whether its answers are not wanted any more: it is killed then. Whoever asks it
            next may set another one.

    Raises:
        ModelUnavailable: The Hub does not give it, it is no classifier, or it goes beyond a limit.
    """

    def __init__(
        self,
        repo_id: str,
        commit: str,
        file: str,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.repo_id, self.commit, self.stopped = repo_id, commit, stopped
        try:
            self.folder = TemporaryDirectory(prefix="compared-", ignore_cleanup_errors=True)
        except OSError as error:
            raise ModelUnavailable(unwritable(error, *TEMPORARY)) from error
        self._process = subprocess.Popen(
            [sys.executable, "-m", "space.inference.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        atexit.register(self.close)
        self._late: float | None = None  # the limit of time that was passed
        first = {
            "repo_id": repo_id, "commit": commit, "file": file, "folder": self.folder.name,
            "max_file": MAX_FILE_BYTES, "max_memory": MAX_MEMORY, "max_tokens": MAX_TOKENS,
        }  # fmt: skip
        with self._closed_on_failure():
            self._send(first, PULL_SECONDS)
            self._receive(PULL_SECONDS, "to be pulled")
            self.labels: list[str] = self._receive(LOAD_SECONDS, "to load")["labels"]

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def many(self, texts: Sequence[Any]) -> list[Prediction | InvalidText]:
        """For each text a verdict, or the reason why it has none.

        Raises:
            ModelUnavailable: The model fails on a text or goes beyond a limit; it is closed then.
        """
        with self._closed_on_failure():
            self._send({"texts": list(texts)}, ANSWER_SECONDS)
            return [self._verdict(self._receive(ANSWER_SECONDS, "for a text")) for _ in texts]

    def close(self) -> None:
        """Kill the worker and remove its files."""
        atexit.unregister(self.close)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:
                pass  # what was not sent is not needed any more
        self.folder.cleanup()

    def _verdict(self, answer: dict[str, Any]) -> Prediction | InvalidText:
        if "unreadable" in answer:
            return InvalidText(answer["unreadable"])
        return Prediction(**answer)

    def _send(self, request: dict[str, Any], seconds: float) -> None:
        assert self._process.stdin is not None
        with self._limited(seconds):
            try:
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
            except OSError:
                pass  # it has ended, as `_receive` tells

    def _receive(self, seconds: float, doing: str) -> dict[str, Any]:
        """The next answer.

        Raises:
            ModelUnavailable: There is none; why.
        """
        assert self._process.stdout is not None
        with self._limited(seconds):
            line = self._process.stdout.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ModelUnavailable(self._ended(line, doing))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            log.warning("%s fails: %s", self.repo_id, answer["error"].replace("\n", " "))
            raise ModelUnavailable(self._failed(answer))
        return answer

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """Kill the worker when the block takes longer or is stopped: reads and writes end then."""
        ends, done = time.monotonic() + seconds, Event()

        def watch() -> None:
            while not done.wait(max(0.0, min(LOOK_SECONDS, ends - time.monotonic()))):
                late = time.monotonic() >= ends
                if late or self.stopped():
                    self._late = seconds if late else None
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

    def _ended(self, line: bytes, doing: str) -> str:
        """Why the worker gave no whole line."""
        if len(line) >= MAX_LINE_BYTES:
            reason = f"an answer of it has more than {MAX_LINE_BYTES / 1e6:,.0f} MB"
        elif self._late is not None:
            reason = f"it took more than {self._late:,.0f} seconds {doing}"
        elif self.stopped():
            reason = "its answers are not waited for any more"
        else:
            code = self._process.wait()
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            reason = (
                f"its process broke down ({how}); it may need more than "
                f"{MAX_MEMORY / 2**30:,.0f} GB of memory, or be damaged"
            )
        log.warning("%s was stopped: %s", self.repo_id, reason)
        return f"{self.repo_id} was stopped: {reason}."

    def _failed(self, answer: dict[str, Any]) -> str:
        """What to say of an error that the worker reports."""
        if answer["step"] == "pull":
            if answer["errno"] in UNWRITABLE:
                error = OSError(answer["errno"], os.strerror(answer["errno"]), self.folder.name)
                return unwritable(error, *TEMPORARY)
            return str(away(self.repo_id))
        if answer["memory"]:
            limit = f"{MAX_MEMORY / 2**30:,.0f} GB"
            return f"{self.repo_id} was stopped: it needs more than {limit} of memory."
        if answer["step"] == "load":
            return (
                f"{self.repo_id} is not a text classifier that this app can load: it needs a "
                f"{CONFIG} with named labels, a {TOKENIZER}, and ONNX files that give logits."
            )
        return f"{self.repo_id} fails on these texts; the log says how."


def away(repo_id: str) -> ModelUnavailable:
    """What to say where the Hub does not answer."""
    return ModelUnavailable(
        f"The Hub at {constants.ENDPOINT} does not give {repo_id} at this moment. Try again later."
    )


def _environment() -> dict[str, str]:
    """That of the app without its secrets, and with little memory for each thread."""
    known = {name: value for name, value in os.environ.items() if not SECRET.search(name)}
    return known | {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
