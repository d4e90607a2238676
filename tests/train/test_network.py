"""Network settings: loopback addresses bypass proxies, and transfers give up early."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from hubserver import run_python, running_hub

from train import network

DEAD = "http://127.0.0.1:9"
PROXIES = {name: DEAD for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"]}


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables that name a proxy without a server."""
    for name in ["NO_PROXY", "no_proxy"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "corp.example"}, "corp.example,localhost,127.0.0.1,::1"),
        ({"no_proxy": " a , b", "NO_PROXY": "b,::1"}, "a,b,::1,localhost,127.0.0.1"),
        ({"no_proxy": "*"}, "*,localhost,127.0.0.1,::1"),
    ],
)
def test_prepare_adds_loopback_to_no_proxy(before: dict[str, str], after: str) -> None:
    environment = dict(before)
    for _ in range(2):
        network.prepare(environment)
        assert (environment["no_proxy"], environment["NO_PROXY"]) == (after, after)


def test_prepare_keeps_limits_set_by_the_user() -> None:
    environment = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "9"}
    network.prepare(environment)
    assert environment["HF_XET_CLIENT_RETRY_MAX_ATTEMPTS"] == "9"
    assert environment["HF_XET_CLIENT_RETRY_MAX_DURATION"] == "20s"


def test_local_hub_space_and_client_work_with_dead_proxy(tmp_path: Path, proxies: None) -> None:
    """A local Hub runs a Space, and the smoke test calls it, with proxy variables set."""
    app = (
        "import gradio\n"
        "def classify(text: str) -> dict:\n"
        "    return {'label': text}\n"
        "with gradio.Blocks() as page:\n"
        "    gradio.api(classify, api_name='classify')\n"
        "page.launch()\n"
    )
    code = (
        "import sys, time\n"
        "from train import network\n"
        "network.prepare()\n"
        "from huggingface_hub import HfApi\n"
        "api = HfApi()\n"
        "api.create_repo('demo/s', repo_type='space', space_sdk='gradio')\n"
        "api.upload_file(repo_id='demo/s', repo_type='space', path_in_repo='app.py',"
        " path_or_fileobj=sys.argv[1].encode())\n"
        "while (stage := str(api.get_space_runtime('demo/s').stage)) == 'BUILDING':\n"
        "    time.sleep(0.2)\n"
        "assert stage == 'RUNNING', api.get_space_runtime('demo/s').raw\n"
    )
    with running_hub(arguments=["--run-spaces", "demo/s"]) as hub:
        environment = hub.env(tmp_path / "home")
        assert environment["HTTP_PROXY"] == DEAD and "NO_PROXY" not in environment
        for command in [
            ["-c", code, app],
            ["-m", "train.publishing.smoke_test_space", "demo/s", "fine"],
        ]:
            done = subprocess.run(
                [sys.executable, *command],
                env=environment,
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
    assert '"label": "fine"' in done.stdout


def test_quickstart_works_with_dead_proxy(tmp_path: Path, proxies: None) -> None:
    """`make quickstart`, `make space` and `make hub` run this module."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from train import quickstart; from train import recipe\n"
        "quickstart.HUB = Path(sys.argv[1])\n"
        "def seed():\n"
        "    with quickstart.local_hub() as endpoint:\n"
        "        quickstart.seed(endpoint, recipe.load('quickstart'))\n"
        "quickstart.app = seed\n"
        "quickstart.main()\n"
    )
    done = run_python(code, dict(os.environ), str(tmp_path / "hub"))
    assert "is on the local Hub" in done.stdout


def test_local_hub_warns_clients_behind_a_proxy(proxies: None) -> None:
    with running_hub() as hub:
        hub.process.terminate()
        hub.process.wait(timeout=20)
        lines = hub.process.stdout.readlines()
    assert lines[-1] == "export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1\n"
