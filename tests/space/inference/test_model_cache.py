"""The models that users name for a comparison: which are downloaded, and why others are not."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubserver import WRITE, RunningHub, run_python, running_hub
from test_app import push

from space.inference import sandbox
from space.inference.classifier import ModelUnavailable
from space.inference.model_cache import _onnx_file

OWN = "demo/tiny"
# Gets the models named on the command line; prints their answers and which models are cached.
ASK = """
import json, sys
from pathlib import Path
from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.model_cache import ModelCache, ModelName
cache = ModelCache(Classifier("demo/tiny"))
answers = []
for argument in sys.argv[1:]:
    repo_id, revision, file = [*argument.split("@"), "", ""][:3]
    try:
        with cache.acquire(ModelName(repo_id, revision or None, file or None)) as model:
            (prediction,) = model.predict_batch(["a wonderful film"])
        answer = ["own" if model is cache.own else "named", prediction.tokens]
    except ModelUnavailable as reason:
        answer = str(reason)
    folders = [Path(idle.folder.name) for idle in cache._idle.values()]
    assert all(folder.is_dir() for folder in folders)
    answers.append([answer, cache.idle, list(map(str, folders))])
print(json.dumps(answers))
"""


def ask_cache(env: dict[str, str], *models: str) -> list[Any]:
    done = run_python(ASK, env, *models)
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def hub(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    from huggingface_hub import HfApi

    with running_hub() as running:
        for name in ["tiny", "second", "third", "private"]:
            push(running, tiny_classifier, f"demo/{name}")
        api = HfApi(endpoint=running.endpoint, token=WRITE)
        api.update_repo_settings("demo/private", private=True)
        broken = tmp_path_factory.mktemp("broken")
        shutil.copytree(tiny_classifier, broken, dirs_exist_ok=True)
        config = json.loads((broken / "config.json").read_text(encoding="utf-8"))
        (broken / "config.json").write_text(json.dumps({**config, "text_pairs": True}))
        push(running, broken, "demo/pairs")
        (broken / "onnx/model.onnx").write_bytes(b"no model")
        push(running, broken, "demo/broken")
        shutil.rmtree(broken / "onnx")
        push(running, broken, "demo/headless")
        yield running


def test_holds_two_models_besides_its_own(hub: RunningHub, tmp_path: Path):
    env = {**hub.env(tmp_path / "home", token=None), "TMPDIR": str(tmp_path)}
    asked = ["demo/tiny", "demo/second", "demo/third@main", "demo/second", OWN + "@main"]
    *first, last = ask_cache(env, *asked, "demo/headless", "demo/broken", "demo/third")
    assert [answer for answer, _, _ in first[:5]] == [
        ["own", 3], ["named", 3], ["named", 3], ["named", 3], ["own", 3],
    ]  # fmt: skip
    assert [held for _, held, _ in first[:5]] == [
        [],
        ["demo/second"],
        ["demo/second", "demo/third"],
        ["demo/third", "demo/second"],
        ["demo/third", "demo/second"],
    ]
    headless, broken = (answer for answer, _, _ in first[5:])
    assert headless.startswith("demo/headless has no onnx/model.onnx, which this app needs.")
    assert broken.startswith("demo/broken is not a text classifier that this app can load")
    assert "/" not in broken.partition("demo/broken")[2]  # no path of the server's
    assert last[1] == ["demo/second", "demo/third"]
    assert not list(tmp_path.glob("compared-*"))  # nothing is left on the disk
    cached = {path.name for path in (tmp_path / "home/hub").glob("models--*")}
    assert cached == {"models--demo--tiny"}


def test_the_own_model_is_known_by_any_of_its_names(hub: RunningHub, tmp_path: Path):
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    commit = str(api.model_info(OWN).sha)
    api.create_tag(OWN, tag="v1", exist_ok=True)
    answers = ask_cache(hub.env(tmp_path, token=None), OWN, f"{OWN}@{commit}", f"{OWN}@v1")
    assert [answer[0] for answer, _, _ in answers] == ["own"] * 3


def test_one_model_can_be_compared_in_two_precisions(
    hub: RunningHub, tiny_classifier: Path, tmp_path: Path
):
    both = tmp_path / "both"
    shutil.copytree(tiny_classifier, both)
    shutil.copy(both / "onnx/model.onnx", both / "onnx/model_quantized.onnx")
    push(hub, both, "demo/both")
    env = {**hub.env(tmp_path / "home", token=None), "TMPDIR": str(tmp_path)}
    code = ASK.replace('Classifier("demo/tiny")', 'Classifier("demo/both")')
    files = ["", "onnx/model_quantized.onnx", "onnx/model.onnx"]
    done = run_python(code, env, *(f"demo/both@@{file}" for file in files))
    answers = [answer[0] for answer, _, _ in json.loads(done.stdout.splitlines()[-1])]
    assert answers == ["own", "own", "named"]


def test_says_why_a_model_can_not_be_compared(hub: RunningHub, tmp_path: Path):
    # The app may read what is private; its visitors may not.
    models = ["demo/nothing", f"{OWN}@v9", "../../etc/passwd", "x" * 300, "demo/private"]
    models.append("demo/second@@onnx/model_quantized.onnx")
    unknown, revision, malformed, endless, private, file = (
        answer for answer, _, _ in ask_cache(hub.env(tmp_path), *models)
    )
    assert unknown == (
        f"The Hub at {hub.endpoint} has no public model demo/nothing. Private ones can't be "
        "compared here."
    )
    assert private == unknown.replace("nothing", "private")
    assert revision == f"{OWN} has no revision v9."
    assert malformed == "A model is named user/name on the Hub, got '../../etc/passwd'."
    assert endless == "The name and revision of a model may have at most 200 characters."
    assert file == "demo/second has no onnx/model_quantized.onnx. Choose another model."


def test_model_of_text_pairs_can_not_be_compared(hub: RunningHub, tmp_path: Path):
    ((answer, _, _),) = ask_cache(hub.env(tmp_path), "demo/pairs")
    assert answer.startswith("demo/pairs classifies pairs of texts")


def test_looks_at_sizes_before_it_pulls(tiny_classifier: Path, tmp_path: Path):
    from huggingface_hub import HfApi

    with running_hub(tmp_path / "hub") as hub:
        push(hub, tiny_classifier, OWN)
        push(hub, tiny_classifier, "demo/large")
        api = HfApi(endpoint=hub.endpoint, token=WRITE)
        config = b'{"padding": "' + b" " * 50_999_000 + b'"}'
        api.upload_file(path_or_fileobj=config, path_in_repo="config.json", repo_id="demo/large")
        env = {**hub.env(tmp_path / "home", token=None), "TMPDIR": str(tmp_path)}
        [[answer, held, _]] = ask_cache(env, "demo/large")
    assert answer == (
        "demo/large is too large to be compared here: its config.json is 51 MB; the limit is 50 MB."
    )
    assert held == []
    assert not list(tmp_path.glob("compared-*"))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"onnx/model.onnx": 600_000_000}, None),
        ({"onnx/model.onnx": 900_000_000, "onnx/model_quantized.onnx": 300_000_000}, None),
        ({"onnx/model.onnx": 612_000_000}, "model.onnx is 612 MB; the limit is 600 MB."),
        ({"onnx/model.onnx": 1, "tokenizer.json": 70_000_000}, "is 70 MB; the limit is 50 MB."),
        ({"onnx/model.onnx": None}, "is of unknown size; the limit is 600 MB."),
    ],
)
def test_what_is_too_large(sizes: dict[str, int | None], message: str | None):
    from huggingface_hub import ModelInfo

    files = [{"rfilename": name, "size": size} for name, size in sizes.items()]
    info = ModelInfo(id="demo/large", siblings=files)
    if message is None:
        assert _onnx_file(info, "demo/large") in sizes
    else:
        with pytest.raises(ModelUnavailable, match=message):
            _onnx_file(info, "demo/large")


def test_without_a_hub_there_is_a_sentence(hub: RunningHub, tmp_path: Path):
    env = {**hub.env(tmp_path, token=None), "HF_ENDPOINT": "http://127.0.0.1:9"}
    [[answer, _, _]] = ask_cache(env, "demo/second")
    assert answer == (
        "The Hub at http://127.0.0.1:9 can't provide demo/second right now. Try again later."
    )


def test_says_what_keeps_this_app_from_pulling_a_model(hub: RunningHub, tmp_path: Path):
    env = hub.env(tmp_path / "home", token=None)
    ask_cache(env, OWN)
    [[own, *_], [other, *_]] = ask_cache(env | {"HF_HUB_OFFLINE": "1"}, OWN, "demo/second")
    assert own == ["own", 3]
    assert other == ("This app is offline (HF_HUB_OFFLINE), so it can't download demo/second.")
    full = (
        "import errno\n"
        "from space.inference import sandbox\n"
        "def full(*arguments, **options):\n"
        "    raise OSError(errno.ENOSPC, 'No space left on device', '/tmp/x')\n"
        "sandbox.TemporaryDirectory = full\n"
    )
    done = run_python(ASK.replace("cache = ", full + "cache = "), env, "demo/second")
    [[message, *_]] = json.loads(done.stdout.splitlines()[-1])
    assert message == sandbox.NO_SPACE
    assert "/tmp/x: No space left on device. TMPDIR must name a folder" in done.stderr
    # The worker can't write into the folder that it gets.
    gone = full.replace("def full", "real = sandbox.TemporaryDirectory\ndef full").replace(
        "    raise OSError(errno.ENOSPC, 'No space left on device', '/tmp/x')\n",
        "    folder = real(*arguments, **options)\n"
        "    Path(folder.name).rmdir()\n"
        "    Path(folder.name).write_text('')\n"
        "    return folder\n",
    )
    done = run_python(ASK.replace("cache = ", gone + "cache = "), env, "demo/second")
    [[message, *_]] = json.loads(done.stdout.splitlines()[-1])
    assert message == sandbox.NO_SPACE and "TMPDIR" in done.stderr
