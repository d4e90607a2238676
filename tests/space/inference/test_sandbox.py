"""Models that hang, grow, panic, abort or return nonsense: each gets a message."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hubserver import RunningHub, run_python, running_hub
from test_app import push

from space.inference.download import ONNX_FILES, REQUIRED_FILES

# Compares each model on the command line with the Space's own, and prints the results. The first
# argument is the time limit in seconds.
COMPARE = """
import json, sys
from pathlib import Path
from space.inference import sandbox
from space.inference.classifier import Classifier, ModelUnavailable
from space.analysis.comparison import compare
from space.inference.model_cache import ModelCache, ModelName
seconds, *models = sys.argv[1:]
sandbox.LOAD_SECONDS, sandbox.MAX_MEMORY = float(seconds), 2**30
cache = ModelCache(Classifier("demo/tiny"))
answers = []
for model in models:
    try:
        pair = [ModelName("demo/tiny"), ModelName(model)]
        *_, last = compare(cache, pair, ["a wonderful film", "weak"])
        answer = [dict(last.skipped), last.second.labels]
    except ModelUnavailable as reason:
        answer = str(reason)
    answers.append(answer)
print(json.dumps([answers, cache.idle]))
"""
NO_CLASSIFIER = " is not a text classifier that this app can load: it needs a config.json with "
GB = 10**9


def save_graph(path: Path, nodes: list[Any], kind: int = 1, values: dict[str, Any] | None = None):
    """An ONNX file of a graph from `input_ids` to `logits`."""
    from onnx import helper, numpy_helper, save

    sequence = helper.make_tensor_value_info("input_ids", 7, [1, "n"])
    logits = helper.make_tensor_value_info("logits", kind, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in (values or {}).items()]
    graph = helper.make_graph(nodes, "foreign", [sequence], [logits], tensors)
    opset = helper.make_opsetid("", 17)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def constant(path: Path, logits: Any):
    """A model that gives the same for every text."""
    import numpy as np
    from onnx import helper

    value = np.array(logits, dtype=object if isinstance(logits, str) else None)
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    save_graph(path, [helper.make_node("Identity", ["value"], ["logits"])], kind, {"value": value})


def never_ending(path: Path):
    """A loop of 2**62 rounds."""
    import numpy as np
    from onnx import helper

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_still"]),
            helper.make_node("Add", ["sum", "sum"], ["doubled"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", 7, []),
            helper.make_tensor_value_info("go_on", 9, []),
            helper.make_tensor_value_info("sum", 1, [1, 1]),
        ],
        [
            helper.make_tensor_value_info("go_on_still", 9, []),
            helper.make_tensor_value_info("doubled", 1, [1, 1]),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=1),
        helper.make_node("ReduceSum", ["numbers"], ["start"]),
        helper.make_node("Loop", ["rounds", "true", "start"], ["end"], body=body),
        helper.make_node("Concat", ["end", "end"], ["logits"], axis=1),
    ]
    save_graph(path, nodes, 1, {"rounds": np.array(2**62), "true": np.array(True)})


def gigabytes(path: Path):
    """It fills 32 GB for a text of two words."""
    import numpy as np
    from onnx import helper

    nodes = [
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Mul", ["shape", "many"], ["large"]),
        helper.make_node("ConstantOfShape", ["large"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"]),
        helper.make_node("Concat", ["sum", "sum"], ["logits"], axis=1),
    ]
    save_graph(path, nodes, 1, {"many": np.array([1, 2 * GB])})


def large_output(path: Path):
    """Logits of 2 GB, which are no scores of two labels."""
    import numpy as np
    from onnx import helper

    nodes = [helper.make_node("Expand", ["one", "shape"], ["logits"])]
    save_graph(
        path, nodes, 1, {"one": np.ones((1, 1), np.float32), "shape": np.array([1, GB // 2])}
    )


def strange_card(onnx: Path):
    """huggingface_hub takes this key for an argument of its own."""
    card = "---\nignore_metadata_errors: true\nlicense: mit\n---\n"
    (onnx.parent.parent / "README.md").write_text(card)


def nest_config(onnx: Path):
    (onnx.parent.parent / "config.json").write_text("[" * 100_000)


def change(name: str, **values: Any) -> Callable[[Path], None]:
    """Set keys of a JSON file of the repository."""

    def apply(onnx: Path):
        path = onnx.parent.parent / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return apply


GROWTH = {"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 100}
PANIC = {"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}
ABORT = {"type": "Precompiled", "precompiled_charsmap": "/////w=="}
BAD_MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "gigabytes": (gigabytes, " was stopped: it needs more than 1 GB of memory."),
    "output": (large_output, " was stopped: it needs more than 1 GB of memory."),
    "growth": (
        change("tokenizer.json", normalizer={"type": "Sequence", "normalizers": [GROWTH] * 5}),
        " was stopped: its process crashed (SIGABRT); it may need more than 1 GB of memory",
    ),
    "panic": (change("tokenizer.json", normalizer=PANIC), NO_CLASSIFIER),
    "abort": (change("tokenizer.json", normalizer=ABORT), " was stopped: its process crashed"),
    "nested": (lambda path: constant(path, [[[0.0], [1.0]]]), NO_CLASSIFIER),
    "words": (lambda path: constant(path, "none"), NO_CLASSIFIER),
    "labels": (change("config.json", id2label={"0": {"a": 1}, "1": 7}), NO_CLASSIFIER),
    "half-labels": (change("config.json", id2label={"0": "neg\ud83d", "1": "b"}), NO_CLASSIFIER),
    "many-labels": (
        change("config.json", id2label={str(i): f"L{i}" for i in range(5_000)}), NO_CLASSIFIER,
    ),
    "deep": (nest_config, NO_CLASSIFIER),
}  # fmt: skip


@pytest.fixture(scope="module")
def hub(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    made: dict[str, Callable[[Path], None]] = {
        "tiny": lambda path: None,
        "good": lambda path: None,
        "nan": lambda path: constant(path, [[float("nan"), 1.0]]),
        "endless": never_ending,
        "card": strange_card,
        **{name: make for name, (make, _) in BAD_MODELS.items()},
    }
    with running_hub() as running:
        for name, make in made.items():
            folder = tmp_path_factory.mktemp(name)
            (folder / "onnx").mkdir()
            for file in [*REQUIRED_FILES, ONNX_FILES[-1]]:
                shutil.copy(tiny_classifier / file, folder / file)
            make(folder / "onnx" / "model.onnx")
            push(running, folder, f"demo/{name}")
        yield running


def environment(hub: RunningHub, folder: Path) -> dict[str, str]:
    return {**hub.env(folder / "home"), "TMPDIR": str(folder)}


def compared(hub: RunningHub, folder: Path, seconds: float, *names: str) -> list[Any]:
    """The result of each comparison with the own model; no file may remain on the disk."""
    models = [f"demo/{name}" for name in names]
    done = run_python(COMPARE, environment(hub, folder), str(seconds), *models)
    assert not list(folder.glob("compared-*"))
    assert "Traceback" not in done.stderr
    answers, idle = json.loads(done.stdout.splitlines()[-1])
    assert idle == [f"demo/{name}" for name in names if name in ("good", "nan")]
    return list(answers)


def test_bad_model_gets_a_message_and_the_next_one_works(hub: RunningHub, tmp_path: Path):
    *answers, good = compared(hub, tmp_path, 60, *BAD_MODELS, "good")
    for (name, (_, sentence)), answer in zip(BAD_MODELS.items(), answers, strict=True):
        assert isinstance(answer, str) and answer.startswith(f"demo/{name}{sentence}"), answer
        assert answer.endswith(".") and str(tmp_path) not in answer
    assert good == [{}, ["NEGATIVE", "POSITIVE"]]


def test_nan_scores_are_reported_per_text(hub: RunningHub, tmp_path: Path):
    [[skipped, labels]] = compared(hub, tmp_path, 60, "good", "nan")[1:]
    assert skipped == {"The model's score for this review is not a number.": 2}
    assert labels == ["NEGATIVE", "POSITIVE"]


def test_endless_model_is_killed(hub: RunningHub, tmp_path: Path):
    [answer, card] = compared(hub, tmp_path, 3, "endless", "card")
    assert answer == "demo/endless was stopped: it took more than 3 seconds to load."
    assert card == "The Hub's information on demo/card can't be read."


def test_endless_answer_closes_only_its_own_model(hub: RunningHub, tmp_path: Path):
    code = (
        "import os, signal, sys\n"
        "from space.inference import sandbox\n"
        "from space.inference.classifier import Classifier, ModelUnavailable\n"
        "from space.inference.model_cache import ModelCache, ModelName\n"
        "cache = ModelCache(Classifier('demo/tiny'))\n"
        "good = ModelName('demo/good')\n"
        "with cache.acquire(good) as model, cache.acquire(good) as copy:\n"
        "    assert model is not copy and cache.idle == []\n"
        "    os.kill(copy._process.pid, signal.SIGSTOP)\n"
        "    sandbox.ANSWER_SECONDS = 1\n"
        "    try:\n"
        "        copy.predict_batch(['fine'])\n"
        "    except ModelUnavailable as reason:\n"
        "        print(reason)\n"
        "    sandbox.ANSWER_SECONDS = 60\n"
        "    print(model.predict_batch(['fine', None, '\\ud83d', 7]))\n"
        "assert cache.idle == ['demo/good'] and not copy.alive\n"
        "os.kill(model._process.pid, signal.SIGKILL)\n"
        "model._process.wait()\n"
        "with cache.acquire(ModelName('demo/good')) as again:\n"
        "    print(len(again.predict_batch(['fine'])))\n"
        "sandbox.MAX_FILE_BYTES = 1000  # as if the Hub had reported other sizes\n"
        "try:\n"
        "    with cache.acquire(ModelName('demo/nan')):\n"
        "        pass\n"
        "except ModelUnavailable as reason:\n"
        "    print(reason)\n"
    )
    out = run_python(code, environment(hub, tmp_path)).stdout.splitlines()
    assert out[0] == "demo/good was stopped: it took more than 1 seconds for a text."
    assert "InvalidText('Write or paste a review first.')" in out[1]
    assert "InvalidText('A review must be text, got int.')" in out[1]
    assert out[2] == "1"
    assert "can't provide demo/nan right now" in out[3]


# Comparisons of clients at several addresses, each in a thread.
CLIENTS = """
import sys, threading, time
from types import SimpleNamespace
from space.inference import sandbox
from space.inference.classifier import Classifier
from gradio.context import LocalContext
from space.inference.model_cache import ModelCache, ModelName
from space.tabs import compare
sandbox.LOAD_SECONDS = 600
run = compare._comparison_task(ModelCache(Classifier("demo/tiny")))
def compared(model, address):
    request = SimpleNamespace(client=SimpleNamespace(host=address), headers={}, session_hash="")
    LocalContext.request.set(request)
    return [html for html, *_ in run("demo/tiny", "", model, "", "fine", None, "", "")]
results = {}
def start(address, model="demo/endless"):
    number = len(results)
    results[number] = None
    def work():
        results[number] = compared(model, address)[-1]
    threading.Thread(target=work, daemon=True).start()
def stuck(count):
    while True:  # the endless models that run
        values = [cell.cell_contents for cell in run.__closure__]
        (limiter,) = [value for value in values if hasattr(value, "slots")]
        if sum(not call.waiting for call in limiter._calls) == count:
            return
        time.sleep(0.05)
"""


def test_client_with_many_endless_models_does_not_delay_others(hub: RunningHub, tmp_path: Path):
    """It fills all slots and the queue; other clients are served."""
    code = (
        "for _ in range(11): start('8.8.8.8')\n"
        "stuck(3)\n"
        "for address in ('9.9.9.9', '1.1.1.1'):\n"
        "    html = compared('demo/good', address)[-1]\n"
        "    assert '<table>' in html, html\n"
        "assert any(html is None for html in results.values())\n"
        "ended = ' '.join(filter(None, results.values()))\n"
        "assert 'because others were waiting' in ended and 'too many requests' in ended, ended\n"
        "import os; os._exit(0)\n"
    )
    run_python(CLIENTS + code, environment(hub, tmp_path))


def test_endless_models_of_several_clients_end_when_another_client_waits(
    hub: RunningHub, tmp_path: Path
):
    code = (
        "for address in ('8.8.8.8', '8.8.4.4', '9.9.9.9'): start(address)\n"
        "stuck(3)\n"
        "html = compared('demo/good', '1.1.1.1')[-1]\n"
        "assert '<table>' in html, html\n"
        "while not any(results.values()): time.sleep(0.05)\n"
        "(html,) = filter(None, results.values())\n"
        "assert 'because others were waiting. Try again later' in html, html\n"
        "import os; os._exit(0)\n"
    )
    quick = CLIENTS.replace("run = ", "compare.SLOT_SECONDS = 1\nrun = ")
    run_python(quick + code, environment(hub, tmp_path))


def test_model_is_killed_when_its_client_has_gone(hub: RunningHub, tmp_path: Path):
    code = (
        "import threading\n"
        "from space.inference.classifier import ModelUnavailable\n"
        "gone = threading.Event()\n"
        "threading.Timer(4, gone.set).start()\n"
        "cache = ModelCache(Classifier('demo/tiny'))\n"
        "try:\n"
        "    with cache.acquire(ModelName('demo/endless'), gone.is_set):\n"
        "        pass\n"
        "except ModelUnavailable as reason:\n"
        "    print(reason)\n"
    )
    done = run_python(CLIENTS + code, environment(hub, tmp_path))
    assert done.stdout.strip() == ("demo/endless was stopped: the request was cancelled.")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_worker_ends_with_the_app_and_gets_no_secret(hub: RunningHub, tmp_path: Path):
    """Even after kill -9 while its model is in an endless loop."""
    code = (
        "import sys\n"
        "from space.inference import sandbox\n"
        "popen = sandbox.subprocess.Popen\n"
        "def print_pid(*arguments, **options):\n"
        "    process = popen(*arguments, **options)\n"
        "    print(process.pid, flush=True)\n"
        "    return process\n"
        "sandbox.subprocess.Popen = print_pid\n"
        "sandbox.SandboxedClassifier('demo/endless', 'main', 'onnx/model.onnx')\n"
    )
    env = {**environment(hub, tmp_path), "OPENAI_API_KEY": "x"}
    assert "HF_TOKEN" in env
    app = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, text=True
    )
    assert app.stdout is not None
    worker = Path("/proc") / app.stdout.readline().strip()
    wait(lambda: used_seconds(worker) > 1.5)  # in the loop: imports and loading take less
    names = {part.partition(b"=")[0] for part in (worker / "environ").read_bytes().split(b"\0")}
    assert b"HF_ENDPOINT" in names and not {b"HF_TOKEN", b"OPENAI_API_KEY"} & names
    app.send_signal(signal.SIGKILL)
    app.wait()
    app.stdout.close()
    wait(lambda: not worker.exists() or ") Z " in (worker / "stat").read_text())
    assert not list(tmp_path.glob("compared-*"))


def used_seconds(process: Path) -> float:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait(done: Callable[[], bool]):
    for _ in range(300):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("condition not met within 30 seconds")
