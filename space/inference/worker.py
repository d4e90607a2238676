"""The process of one foreign model: it pulls, loads and runs the model within limits.

In: JSON lines on standard input: what to load, then lists of texts. Out: JSON lines on standard
output: `{"pulled": true}`, `{"labels": [...]}`, then a line per text; or `{"error": reason}`.
`sandbox` starts this file and stops it when it takes too long.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from huggingface_hub import snapshot_download

from space.inference.classifier import NEEDED, Classifier, Prediction

MAX_LABELS, MAX_LABEL_CHARACTERS = 1_000, 200
MAX_REASON_CHARACTERS = 500
SAMPLE = ["A film.", "Another film, and not a short one."]  # that it runs at all

Request = dict[str, Any]


def main() -> None:
    """Answer requests until the other end is closed."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    requests: SimpleQueue[Request] = SimpleQueue()
    first = json.loads(sys.stdin.buffer.readline())
    Thread(target=_receive, args=[requests, Path(first["folder"])], daemon=True).start()
    step = "pull"
    try:
        for answer in _answers(first, requests):
            step = "run" if "labels" in answer else "load" if "pulled" in answer else step
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()
    except BaseException as error:  # a panic of Rust's is no Exception
        cause = error.__cause__ or error
        reason = f"{type(cause).__name__}: {cause}"
        memory = isinstance(cause, MemoryError) or "alloc" in reason
        told = {
            "error": reason[:MAX_REASON_CHARACTERS], "step": step, "memory": memory,
            "errno": getattr(cause, "errno", None),
        }  # fmt: skip
        answers.write(json.dumps(told).encode() + b"\n")
        answers.flush()
        os._exit(1)


def _receive(requests: "SimpleQueue[Request]", folder: Path) -> None:
    """Read requests; end the process with its parent, whatever the model is doing."""
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _answers(first: Request, requests: "SimpleQueue[Request]") -> Iterator[dict[str, Any]]:
    limit(first["max_file"])
    snapshot_download(
        first["repo_id"],
        revision=first["commit"],
        allow_patterns=[*NEEDED, first["file"]],
        local_dir=first["folder"],
        token=False,
    )
    yield {"pulled": True}
    limit_memory(first["max_memory"])
    classifier = _load(Path(first["folder"]), first["max_tokens"])
    yield {"labels": classifier.labels}
    with ThreadPoolExecutor(classifier.load().threads) as pool:
        while True:
            yield from pool.map(lambda text: _answer(classifier, text), requests.get()["texts"])


def _load(folder: Path, max_tokens: int) -> Classifier:
    classifier = Classifier.from_folder(folder)
    reader = classifier.load()
    reader.limit = min(reader.limit, max_tokens)
    labels = reader.labels
    if not 0 < len(set(labels)) == len(labels) <= MAX_LABELS:
        raise ValueError(f"1 to {MAX_LABELS:,} different labels are needed, got {len(labels):,}")
    for label in labels:
        if not isinstance(label, str) or len(label) > MAX_LABEL_CHARACTERS:
            raise ValueError(f"a label is text of at most {MAX_LABEL_CHARACTERS} characters")
        label.encode("utf-8")  # a ValueError where it holds half a surrogate pair
    classifier.many(SAMPLE)
    return classifier


def _answer(classifier: Classifier, text: Any) -> dict[str, Any]:
    (answer,) = classifier.many([text])
    return vars(answer) if isinstance(answer, Prediction) else {"unreadable": str(answer)}


def limit(max_file: int) -> None:
    """Bound what a file may hold, give way to the app, and leave no core dump.

    On Windows there are no such limits.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file, max_file))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)
    with suppress(OSError):  # where memory ends, the kernel ends this process and not the app
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_memory(extra: int) -> None:
    """Let the process map `extra` bytes more than it has now.

    Only Linux enforces it: macOS ignores RLIMIT_AS, and Windows has none.
    """
    if sys.platform != "linux":
        return
    import resource

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + extra, mapped + extra))


if __name__ == "__main__":
    main()
