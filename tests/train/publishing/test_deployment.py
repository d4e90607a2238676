"""Deployment and smoke test of a Space, on a local Hub that runs it; mostly a small app."""

import importlib.metadata
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from hubserver import WRITE, RunningHub, running_hub
from huggingface_hub import HfApi

from train.publishing import deployment, smoke_test_space

# Answers as the real app does, as far as the smoke test checks.
APP = """
import os
from tabs import review
import gradio

def classify(text: str) -> dict:
    assert os.environ["MODEL_ID"] == "demo/model"
    return {"label": review.LABEL, "probability": 0.97}

with gradio.Blocks() as page:
    gradio.api(classify, api_name="classify")
page.launch()
"""
SLEEPER = "import time\nprint('waking up', flush=True)\ntime.sleep(600)\n"
# Deploys a folder and waits for it: FOLDER SPACE HARDWARE SECONDS [FAULTS.JSON FAULT].
DEPLOY = """
import json, signal, sys
from pathlib import Path
from train.errors import TrainError
from train.publishing import deployment, hub, smoke_test_space

# As in a terminal, also where a shell has started the tests in the background, without Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder, space, hardware, seconds, *fault = sys.argv[1:]
deployment.SPACE = Path(folder)
smoke_test_space.CALL_ATTEMPTS = 1
model = hub.Published("demo/model", "0" * 40, "", frozenset(["onnx/model_quantized.onnx"]))
try:
    deployed = deployment.deploy(space, model, hardware=hardware or None)
    if fault:
        Path(fault[0]).write_text(json.dumps(fault[1:]))
    print(smoke_test_space.smoke_test_space(deployed, ["NEGATIVE", "POSITIVE"], float(seconds)))
except TrainError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
"""
CHECK = """
import sys
from train.publishing import deployment
from train.errors import HubError

try:
    space, hardware, kind, *private = sys.argv[1:]
    deployment.check_target(space, bool(private), hardware or None, kind)
except HubError as error:
    sys.exit(str(error))
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    spaces = [f"demo/{name}" for name in ["live", "ends", "slow", "left", "zero"]]
    with running_hub(arguments=["--run-spaces", *spaces]) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Space of our own, with what running it at home leaves behind."""
    files = {
        "app.py": APP,
        "tabs/__init__.py": "",
        "tabs/review.py": "LABEL = 'POSITIVE'\n",
        "README.md": "---\nsdk: gradio\npython_version: '3.11'\n"
        "app_file: space/app.py\n---\n# Page\n",
        "requirements.txt": "gradio[mcp]==6.31.0\n",
        "tabs/__pycache__/review.pyc": "cache",
        ".gradio/certificate.pem": "of this machine",
        "feedback/feedback.jsonl": "feedback of users",
        "reviews.csv": "uploaded",
        "uploads/visitor.parquet": "uploaded",
        "uploads/notes.py": "not in a package",
        ".env": "HF_TOKEN=secret",
    }
    for name, content in files.items():
        (tmp_path / "space" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "space" / name).write_text(content, encoding="utf-8")
    return tmp_path / "space"


def api_of(hub: RunningHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=WRITE)


def front_matter(hub: RunningHub, space: str) -> dict:
    return api_of(hub).space_info(space).card_data.to_dict()


def content(hub: RunningHub, space: str, path: str) -> str:
    with urllib.request.urlopen(f"{hub.endpoint}/spaces/{space}/resolve/main/{path}") as response:
        return str(response.read().decode())


def python(hub: RunningHub, folder: Path, code: str, *arguments: str):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env=hub.env(home=folder.parent / "home"),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )


def deploy(hub: RunningHub, folder: Path, space: str, seconds: int, hardware: str = "", *fault):
    return python(hub, folder, DEPLOY, str(folder), space, hardware, str(seconds), *fault)


def printed_stages(output: str) -> list[str]:
    """The stages in lines such as `demo/live: RUNNING after 3 s`."""
    return re.findall(r"^\S+: ([A-Z]+) after ", output, re.MULTILINE)


ASPECT_CONFIG = {
    "text_pairs": True,
    "aspects": ["acting"],
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE", "2": "NOT_MENTIONED"},
}


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        (ASPECT_CONFIG, "gradio", ""),
        ({**ASPECT_CONFIG, "aspects": []}, "gradio", "whose config.json lists `aspects`"),
        ({**ASPECT_CONFIG, "id2label": {"0": "BAD"}}, "gradio", "has the label NOT_MENTIONED"),
        ({**ASPECT_CONFIG, "id2label": {}}, "gradio", "has the label NOT_MENTIONED"),
        ({**ASPECT_CONFIG, "text_pairs": False}, "gradio", "must be a model of text pairs"),
        (None, "gradio", "demo/missing"),
        (ASPECT_CONFIG, "static", "a static Space shows no aspects"),
    ],
    ids=["aspects", "unlisted", "all-mentioned", "unlabeled", "single", "missing", "static"],
)
def test_aspect_model_is_checked_and_set(
    hub: RunningHub, folder: Path, config: dict | None, kind: str, message: str
) -> None:
    api, name = api_of(hub), "demo/missing" if config is None else "demo/aspects"
    if config is not None:
        api.create_repo(name, exist_ok=True)
        content = json.dumps(config).encode()
        api.upload_file(path_or_fileobj=content, path_in_repo="config.json", repo_id=name)
    code = f"""
import sys
from pathlib import Path
from train.errors import HubError
from train.pipeline import publication
from train.publishing import deployment, hub

deployment.SPACE = Path({str(folder)!r})
try:
    publication.check_targets("demo/m", False, "demo/pairs", None, kind={kind!r},
                              aspect_model={name!r})
    model = hub.Published("demo/m", "0" * 40, "", frozenset())
    deployment.deploy("demo/pairs", model, aspect_model={name!r})
except HubError as error:
    sys.exit(str(error))
"""
    done = python(hub, folder, code)
    if message:
        assert done.returncode == 1 and message in done.stderr, done.stderr
        return
    assert done.returncode == 0, done.stderr
    variables = {key: item.value for key, item in api.get_space_variables("demo/pairs").items()}
    assert variables == {
        "MODEL_ID": "demo/m", "MODEL_REVISION": "0" * 40,
        "ASPECT_MODEL_ID": name, "ASPECT_MODEL_REVISION": api.model_info(name).sha,
    }  # fmt: skip


def test_space_is_reported_live_after_a_successful_call(hub: RunningHub, folder: Path) -> None:
    done = deploy(hub, folder, "demo/live", 120)
    assert done.returncode == 0, done.stderr
    host = api_of(hub).space_info("demo/live").host
    *_, last = done.stdout.splitlines()
    assert printed_stages(done.stdout) == ["BUILDING", "RUNNING"]
    assert last == (
        f"live at {hub.endpoint}/spaces/demo/live and {host}: "
        f"/classify({smoke_test_space.REVIEW!r}) → POSITIVE (0.970)"
    )
    pushed = set(api_of(hub).list_repo_files("demo/live", repo_type="space"))
    wanted = {
        "space/app.py",
        "space/tabs/__init__.py",
        "space/tabs/review.py",
        "README.md",
        "requirements.txt",
    }
    wanted.add("published.json")
    assert pushed - {".gitattributes"} == wanted

    # The same again changes nothing; what answers with another model's label, or not at all, is
    # not live.
    commit = api_of(hub).space_info("demo/live").sha
    done = deploy(hub, folder, "demo/live", 120)
    assert done.returncode == 0, done.stderr
    assert printed_stages(done.stdout) == ["RUNNING"]
    assert api_of(hub).space_info("demo/live").sha == commit
    (folder / "tabs/review.py").write_text("LABEL = 'LABEL_1'\n")
    done = deploy(hub, folder, "demo/live", 120)
    assert done.returncode == 1
    assert "must answer with one of NEGATIVE, POSITIVE, got {'label': 'LABEL_1'" in done.stderr
    (folder / "tabs/review.py").write_text("")
    done = deploy(hub, folder, "demo/live", 120)
    assert done.returncode == 1
    assert "the Space demo/live runs, but calling its /classify fails" in done.stderr
    assert "AppError" in done.stderr


def test_crash_is_reported_with_the_log_of_the_app(hub: RunningHub, folder: Path) -> None:
    (folder / "app.py").write_text(
        "import os\n"
        "with open(os.environ['HF_HOME'] + '/starts', 'a+') as starts:\n"
        "    starts.write('x')\n"
        "    starts.seek(0)\n"
        "    raise RuntimeError(f'no tokenizer at start {len(starts.read())}')\n"
    )
    done = deploy(hub, folder, "demo/ends", 120)
    assert done.returncode == 1
    assert "the Space demo/ends is pushed, but does not run (RUNTIME_ERROR)" in done.stderr
    assert "`make space` runs it on your machine" in done.stderr
    assert "/spaces/demo/ends?logs=container" in done.stderr
    assert done.stderr.count("RuntimeError: no tokenizer at start 1") == 1
    assert "Traceback" in done.stderr.partition("Exit code: 1")[2]
    # Deployed again unchanged it is started again: what failed may have been the machine.
    done = deploy(hub, folder, "demo/ends", 120)
    assert done.returncode == 1
    assert "RuntimeError: no tokenizer at start 2" in done.stderr


def test_build_error_is_reported(folder: Path) -> None:
    with running_hub() as hub:
        api_of(hub).create_repo("demo/unbuilt", repo_type="space", space_sdk="gradio")
        settings = hub.root / "spaces/demo/unbuilt/settings.json"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"stage": "BUILD_ERROR"}))
        done = deploy(hub, folder, "demo/unbuilt", 1)
    assert done.returncode == 1
    assert "BUILD_ERROR) — fix space/requirements.txt" in done.stderr
    assert "?logs=build" in done.stderr and "the Hub gives no reason" in done.stderr


def test_slow_or_paused_space_is_no_error(hub: RunningHub, folder: Path) -> None:
    (folder / "app.py").write_text(SLEEPER)
    done = deploy(hub, folder, "demo/slow", 1)
    assert done.returncode == 0, done.stderr
    assert "was still BUILDING after 0.0166667 minutes and was not called" in done.stdout
    api_of(hub).pause_space("demo/slow")
    done = deploy(hub, folder, "demo/slow", 60)
    assert "is PAUSED and was not called" in done.stdout


def test_ctrl_c_while_waiting_keeps_what_is_pushed(hub: RunningHub, folder: Path) -> None:
    (folder / "app.py").write_text(SLEEPER)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", DEPLOY, str(folder), "demo/left", "", "120"],
        env=hub.env(home=folder.parent / "home"),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert any("BUILDING" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(signal.SIGINT)
        message = process.stderr.read()
        assert process.wait(timeout=60) == 130, message
    assert message.startswith("stopped waiting; the model and the Space are pushed")
    assert "space/tabs/review.py" in api_of(hub).list_repo_files("demo/left", repo_type="space")


def test_wait_survives_a_short_outage(folder: Path) -> None:
    with running_hub() as hub:
        faults = [str(hub.root / "faults.json"), "GET /api/spaces/.*/runtime=503*1"]
        done = deploy(hub, folder, "demo/away", 30, "", *faults)
        assert done.returncode == 0, done.stderr
        assert "demo/away: unreachable after" in done.stdout
        assert "demo/away: PAUSED after" in done.stdout
        assert "PAUSED and was not called; This hub does not run it: start localhub" in done.stdout
        (hub.root / "faults.json").unlink()
        done = deploy(hub, folder, "demo/away", 30, "", faults[0], faults[1].replace("503", "403"))
        assert done.returncode == 1
        assert "reading the state of the Space demo/away: 403" in done.stderr


def test_deploy_removes_only_own_stale_files(folder: Path) -> None:
    with running_hub() as hub:
        api_of(hub).create_repo("demo/shared", repo_type="space", space_sdk="gradio")
        for name in ["assets/logo.png", "space/app.py"]:
            api_of(hub).upload_file(
                repo_id="demo/shared",
                repo_type="space",
                path_in_repo=name,
                path_or_fileobj=b"theirs",
            )
        first = deploy(hub, folder, "demo/shared", 0)
        assert first.returncode == 0, first.stderr
        assert "in demo/shared this replaces 2 files: README.md, space/app.py\n" in first.stdout
        assert "in demo/shared this keeps 1 file: assets/logo.png\n" in first.stdout
        dropped = ".env, .gradio/certificate.pem, feedback/feedback.jsonl, reviews.csv, "
        dropped += "uploads/notes.py, uploads/visitor.parquet"
        assert dropped in first.stdout
        (folder / "tabs/review.py").unlink()
        again = deploy(hub, folder, "demo/shared", 0)
        assert "in demo/shared this removes 1 file: space/tabs/review.py\n" in again.stdout
        pushed = set(api_of(hub).list_repo_files("demo/shared", repo_type="space"))
        wanted = {
            "space/app.py",
            "space/tabs/__init__.py",
            "README.md",
            "requirements.txt",
            "published.json",
        }
        assert pushed - {".gitattributes"} == {*wanted, "assets/logo.png"}
        assert content(hub, "demo/shared", "space/app.py") == APP


def test_all_tracked_space_files_are_deployed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "space"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    at_root = {f"space/{name}": name for name in deployment.HUB_FILES}
    service = {f"space/{name}" for name in deployment.SERVICE_FILES}
    tracked = {at_root.get(name, name) for name in listed.stdout.split()}
    files = deployment._files("readme", on_zero=False)
    assert tracked - service <= files.keys()
    assert service <= tracked and not service & files.keys()


def test_zero_gpu_space_keeps_its_requirements(hub: RunningHub, folder: Path) -> None:
    (folder / "app.py").write_text(SLEEPER)  # it need not run here
    assert deploy(hub, folder, "demo/zero", 0).returncode == 0
    assert front_matter(hub, "demo/zero")["python_version"] == "3.11"
    assert content(hub, "demo/zero", "requirements.txt") == "gradio[mcp]==6.31.0\n"
    moved = deploy(hub, folder, "demo/zero", 0, "zero-a10g")
    assert "asked the Hub to move demo/zero from cpu-basic to zero-a10g" in moved.stdout
    for hardware in ["zero-a10g", ""]:
        assert deploy(hub, folder, "demo/zero", 0, hardware).returncode == 0
        runtime = api_of(hub).get_space_runtime("demo/zero")
        assert runtime.requested_hardware == "zero-a10g"
        front = front_matter(hub, "demo/zero")
        assert (front["python_version"], front["suggested_hardware"]) == ("3.12.12", "zero-a10g")
        pins = content(hub, "demo/zero", "requirements.txt").splitlines()
        assert pins == ["gradio[mcp]==6.31.0", "spaces==0.51.3"]
    assert deploy(hub, folder, "demo/zero", 0, "cpu-basic").returncode == 0
    assert api_of(hub).get_space_runtime("demo/zero").requested_hardware == "cpu-basic"
    assert "spaces==" not in content(hub, "demo/zero", "requirements.txt")


def test_refused_hardware_change_pushes_nothing(folder: Path) -> None:
    with running_hub(arguments=["--fault", "POST /api/spaces/.*/hardware=402"]) as hub:
        assert deploy(hub, folder, "demo/stays", 0).returncode == 0
        before = api_of(hub).space_info("demo/stays").sha
        done = deploy(hub, folder, "demo/stays", 0, "zero-a10g")
        assert done.returncode == 1
        assert "free for two Spaces of a personal account" in done.stderr
        assert api_of(hub).space_info("demo/stays").sha == before


def test_payment_error_explains_the_options(folder: Path) -> None:
    zero = 'POST /api/repos/create "zero-a10g"=402'
    with running_hub(arguments=["--free-account", "--fault", zero]) as hub:
        for hardware, message in [
            ("", "add `--space-hardware zero-a10g`"),
            ("cpu-basic", "subscribe to a plan and keep `--space-hardware cpu-basic`"),
            ("zero-a10g", "a verified e-mail address that is older than 30 days"),
        ]:
            done = python(hub, folder, CHECK, "demo/paid", hardware, "gradio")
            assert done.returncode == 1
            assert "402" in done.stderr and message in done.stderr
            assert "`make space`" in done.stderr
            assert "`--space-kind static`" in done.stderr
    with running_hub(arguments=["--free-account"]) as hub:
        done = python(hub, folder, CHECK, "demo/static", "", "static")
        assert done.returncode == 0, done.stderr
        assert api_of(hub).space_info("demo/static").sdk == "static"
        done = python(hub, folder, CHECK, "demo/free", "zero-a10g", "gradio")
        assert done.returncode == 0, done.stderr
        assert api_of(hub).get_space_runtime("demo/free").requested_hardware == "zero-a10g"


def test_static_space_has_no_hardware_and_no_private_model(hub: RunningHub, folder: Path) -> None:
    for arguments, message in [
        (["cpu-basic", "static"], "runs on no hardware, got --space-hardware cpu-basic — omit it"),
        (["", "static", "private"], "can't read a private model — omit --private"),
    ]:
        done = python(hub, folder, CHECK, "demo/refused", *arguments)
        assert done.returncode == 1 and message in done.stderr
    assert not api_of(hub).repo_exists("demo/refused", repo_type="space")


def test_static_space_needs_npm_before_the_training(
    hub: RunningHub, folder: Path, tmp_path: Path
) -> None:
    code = f"""
import os, sys
from pathlib import Path
from train.errors import HubError
from train.pipeline import publication
from train.publishing import npm_packages

os.environ["PATH"] = ""
npm_packages.fetch.__defaults__ = (Path({str(tmp_path)!r}),)
try:
    publication.check_targets("demo/m", False, "demo/page", None, kind="static")
except HubError as error:
    sys.exit(str(error))
"""
    done = python(hub, folder, code)
    assert done.returncode == 1 and "the static Space needs npm" in done.stderr, done.stderr


@pytest.mark.parametrize("on_zero", [False, True])
def test_front_matter_of_the_real_space(on_zero: bool) -> None:
    models = ["user/model", "user/aspects"]
    text = deployment.readme(models, "0" * 40, ["config.json"], on_zero)
    front = yaml.safe_load(text.split("---")[1])
    assert front["models"] == models
    assert front["preload_from_hub"] == [f"user/model config.json {'0' * 40}"]
    assert front["sdk"] == "gradio"
    assert front["app_file"] == "space/app.py"
    assert front["python_version"] == ("3.12.12" if on_zero else "3.11")
    assert ("suggested_hardware" in front) == on_zero


def test_zero_gpu_package_is_the_tested_version_and_runs_without_torch() -> None:
    name, _, version = deployment.ZERO_PINS.strip().partition("==")
    assert importlib.metadata.version(name) == version
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # importing it is an ImportError
        "import spaces\n"
        "classify = spaces.GPU(lambda text: text)\n"
        "assert hasattr(classify, 'zerogpu')\n"
    )
    on_zero = {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": "http://127.0.0.1:9"}
    with_hub = {"PATH": "/usr/bin:/bin", "GRADIO_ANALYTICS_ENABLED": "False", **on_zero}
    done = subprocess.run(
        [sys.executable, "-c", code], env=with_hub, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
