"""The worker process of one model: it downloads, loads and runs the model within limits.

In: JSON lines on standard input: what to load, then lists of texts. Out: JSON lines on standard
output: `{"downloaded": true}`, `{"labels": [...], "unsure_below": 0.9}`, then a line per text; or
`{"error": reason}`. `sandbox` starts this module and kills it if it takes too long.
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

from space.inference.classifier import Classifier, InvalidText, PairModel, Prediction
from space.inference.download import REQUIRED_FILES
from space.inference.engine import ONNXRUNTIME_INT8
from space.inference.texts import check_text

MAX_LABELS, MAX_LABEL_CHARACTERS = 1_000, 200
MAX_REASON_CHARACTERS = 500
TRIAL_TEXTS = ["A film.", "Another film, and not a short one."]  # the model must run on them

Request = dict[str, Any]


def main() -> None:
    """Answer requests until standard input is closed."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    requests: SimpleQueue[Request] = SimpleQueue()
    first = json.loads(sys.stdin.buffer.readline())
    Thread(target=_receive, args=[requests, Path(first["folder"])], daemon=True).start()
    step = "download"
    try:
        for answer in _answers(first, requests):
            step = "run" if "labels" in answer else "load" if "downloaded" in answer else step
            output.write(json.dumps(answer).encode() + b"\n")
            output.flush()
    except BaseException as error:  # a panic in Rust code is no Exception
        cause = error.__cause__ or error
        reason = f"{type(cause).__name__}: {cause}"
        report = {
            "error": reason[:MAX_REASON_CHARACTERS],
            "step": step,
            "pairs": isinstance(error, PairModel),
            "memory": isinstance(cause, MemoryError) or "alloc" in reason,
            "errno": getattr(cause, "errno", None),
        }
        output.write(json.dumps(report).encode() + b"\n")
        output.flush()
        os._exit(1)


def _receive(requests: "SimpleQueue[Request]", folder: Path) -> None:
    """Read requests; end the process with its parent, whatever the model is doing."""
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _answers(first: Request, requests: "SimpleQueue[Request]") -> Iterator[dict[str, Any]]:
    limit_process(first["max_file"])
    snapshot_download(
        first["repo_id"],
        revision=first["commit"],
        allow_patterns=[*REQUIRED_FILES, first["file"]],
        local_dir=first["folder"],
        token=False,
    )
    yield {"downloaded": True}
    limit_memory(first["max_memory"])
    classifier = _load(Path(first["folder"]), first["max_tokens"])
    yield {"labels": classifier.labels, "unsure_below": classifier.unsure_below}
    with ThreadPoolExecutor(classifier.load().threads) as pool:
        while True:
            texts = requests.get()["texts"]
            alone = len(texts) == 1
            yield from pool.map(lambda text, alone=alone: _answer(classifier, text, alone), texts)


def _load(folder: Path, max_tokens: int) -> Classifier:
    # The limit on memory is measured for ONNX Runtime, whichever file the user chose.
    classifier = Classifier.from_folder(folder, engine=ONNXRUNTIME_INT8)
    model = classifier.load()
    model.max_tokens = min(model.max_tokens, max_tokens)
    labels = model.labels
    if not 0 < len(set(labels)) == len(labels) <= MAX_LABELS:
        raise ValueError(f"1 to {MAX_LABELS:,} different labels are needed, got {len(labels):,}")
    for label in labels:
        if not isinstance(label, str) or len(label) > MAX_LABEL_CHARACTERS:
            raise ValueError(f"a label must be text of at most {MAX_LABEL_CHARACTERS} characters")
        label.encode("utf-8")  # a ValueError if it contains half of a surrogate pair
    classifier.predict_batch(TRIAL_TEXTS)
    return classifier


def _answer(classifier: Classifier, text: Any, alone: bool) -> dict[str, Any]:
    result: Prediction | InvalidText | None = check_text(text)
    if result is None:
        (tokens,) = classifier.load().encode([text])
        result = classifier.predict_tokens(tokens, all_cores=alone)
    return {"invalid": str(result)} if isinstance(result, InvalidText) else vars(result)


def limit_process(max_file: int) -> None:
    """Limit the size of files to `max_file` bytes, lower the priority, and disable core dumps.

    Windows has no such limits.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file, max_file))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)
    with suppress(OSError):  # if memory runs out, the kernel kills this process and not the app
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_memory(max_bytes: int) -> None:
    """Let the process map `max_bytes` more than it has mapped now.

    Only Linux enforces it: macOS ignores RLIMIT_AS, and Windows has no such limit.
    """
    if sys.platform != "linux":
        return
    import resource

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + max_bytes, mapped + max_bytes))


if __name__ == "__main__":
    main()
