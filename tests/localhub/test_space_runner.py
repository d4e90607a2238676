"""Spaces: their routes, and their processes."""

import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hubserver import READ, call, running_hub
from localhub_wire import (
    APP,
    FAMILY,
    commit,
    create_space,
    is_alive,
    ndjson,
    space_environment,
    text_file,
    wait_until_built,
)

from localhub.validate import validate_card


def test_space_routes(hub):
    secret = "hf_very_secret_value"
    repo = create_space(
        hub,
        "rooms",
        hardware="zero-a10g",
        secrets=[{"key": "HF_TOKEN", "value": secret}],
        variables=[{"key": "MODEL", "value": "demo/m", "description": "d"}],
    )
    readme = call(hub, "GET", "/spaces/demo/rooms/resolve/main/README.md").body.decode()
    assert validate_card(readme, "space") == ([], [])
    variables = call(hub, "GET", f"/api/{repo}/variables").json
    assert (variables["MODEL"]["value"], variables["MODEL"]["description"]) == ("demo/m", "d")
    secrets = call(hub, "POST", f"/api/{repo}/secrets", {"key": "OTHER", "value": secret}).json
    assert set(secrets) == {"HF_TOKEN", "OTHER"} and "value" not in secrets["OTHER"]
    for file in hub.root.rglob("*"):
        assert file.is_dir() or secret.encode() not in file.read_bytes()
    assert call(hub, "DELETE", f"/api/{repo}/secrets", {"key": "OTHER"}).status == 200
    assert set(call(hub, "GET", f"/api/{repo}/secrets").json) == {"HF_TOKEN"}
    assert call(hub, "DELETE", f"/api/{repo}/variables", {"key": "NONE"}).status == 404
    assert call(hub, "GET", f"/api/{repo}/secrets", token=READ).status == 403
    assert call(hub, "POST", f"/api/{repo}/variables", {"key": 3}).status == 400

    def runtime() -> Any:
        return call(hub, "GET", f"/api/{repo}/runtime").json

    assert runtime()["stage"] == "NO_APP_FILE"
    commit(hub, repo, text_file("app.py", "print()"))
    why = "This hub does not run it: start localhub with --run-spaces demo/rooms"
    assert (runtime()["stage"], runtime()["errorMessage"]) == ("PAUSED", why)
    assert runtime()["hardware"] == {"current": None, "requested": "zero-a10g"}
    assert "errorMessage" not in call(hub, "POST", f"/api/{repo}/pause").json
    assert call(hub, "POST", f"/api/{repo}/restart?factory=true").json["errorMessage"] == why
    changed = call(hub, "POST", f"/api/{repo}/hardware", {"flavor": "t4-small"}).json
    assert changed["hardware"]["requested"] == "t4-small"
    assert call(hub, "POST", f"/api/{repo}/hardware", {"flavor": "tpu"}).status == 400
    info = call(hub, "GET", f"/api/{repo}").json
    assert (info["sdk"], info["subdomain"]) == ("gradio", "demo-rooms")
    assert call(hub, "GET", "/api/models/demo/rooms/runtime").status == 404
    docker = create_space(hub, "boxed", sdk="docker")
    commit(hub, docker, text_file("Dockerfile", "FROM scratch"))
    state = call(hub, "GET", f"/api/{docker}/runtime").json
    assert (state["stage"], state["errorMessage"]) == (
        "PAUSED",
        "localhub runs only Gradio and static Spaces, the SDK of this is docker.",
    )


@pytest.fixture(scope="module")
def running():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_of_whoever_started_the_hub")
        patch.setenv("MODEL_ID", "of/whoever-started-the-hub")
        spaces = [f"demo/{name}" for name in ("runs", "anew", "ends", "stops", "page", "full")]
        with running_hub(arguments=["--run-spaces", *spaces]) as hub:
            yield hub


def test_pushed_space_runs_with_its_variables_and_secrets(running):
    secret = {"key": "HF_TOKEN", "value": "hf_secret_of_the_space"}
    variable = {"key": "GREETING", "value": "one"}
    repo = create_space(running, "runs", secrets=[secret], variables=[variable])
    assert call(running, "GET", f"/api/{repo}/runtime").json["stage"] == "NO_APP_FILE"
    made = commit(running, repo, text_file("app.py", APP), text_file("tabs/a.py", "")).json
    first = call(running, "GET", f"/api/{repo}/runtime").json
    assert (first["stage"], first["sha"]) == ("BUILDING", made["commitOid"])
    environment = space_environment(running, repo)
    assert environment["HF_ENDPOINT"] == running.endpoint
    assert environment["GREETING"] == "one"
    assert environment["HF_TOKEN"] == "hf_secret_of_the_space"
    assert environment["SPACE_ID"] == "demo/runs"
    assert "MODEL_ID" not in environment
    assert environment["HF_HOME"] != os.environ["HF_HOME"]
    assert environment["FILES"] == "app.py,tabs/a.py"
    for file in running.root.rglob("*"):
        assert file.is_dir() or b"hf_secret_of_the_space" not in file.read_bytes()
    log = call(running, "GET", f"/api/{repo}/logs/run").body.decode()
    assert '{"data": "listening at 127.0.0.1' in log
    assert call(running, "GET", f"/api/{repo}/logs/build").body == b""
    assert call(running, "GET", f"/api/{repo}/logs/run", token=READ).status == 403


def test_space_restarts_only_when_it_changes(running):
    repo = create_space(running, "anew")
    commit(running, repo, text_file("app.py", APP))
    before = space_environment(running, repo)
    # Neither its owner's token nor the one of whoever started the hub: it has not asked for one.
    assert not [name for name, value in before.items() if "hf_" in value or name == "HF_TOKEN"]
    home = Path(before["HF_HOME"])

    def starts_anew(*request: Any) -> dict[str, str]:
        nonlocal before
        old, (method, path, body) = before, request
        assert call(running, method, path, body).status == 200
        before = space_environment(running, repo)
        assert before["PID"] != old["PID"] and not is_alive(old["PID"])
        assert before["GRADIO_SERVER_PORT"] == old["GRADIO_SERVER_PORT"]
        return before

    variable = {"key": "GREETING", "value": "two"}
    assert starts_anew("POST", f"/api/{repo}/variables", variable)["GREETING"] == "two"
    assert call(running, "POST", f"/api/{repo}/variables", variable).status == 200
    assert call(running, "POST", f"/api/{repo}/hardware", {"flavor": "t4-small"}).status == 200
    assert commit(running, repo, text_file("app.py", APP)).status == 200
    assert space_environment(running, repo)["PID"] == before["PID"]
    assert "GREETING" not in starts_anew("DELETE", f"/api/{repo}/variables", {"key": "GREETING"})
    secret = {"key": "KEY", "value": "lock"}
    assert starts_anew("POST", f"/api/{repo}/secrets", secret)["KEY"] == "lock"
    assert "KEY" not in starts_anew("DELETE", f"/api/{repo}/secrets", {"key": "KEY"})
    starts_anew("POST", f"/api/{repo}/restart", {})
    changed = ndjson(text_file("app.py", f"{APP}# changed"))
    starts_anew("POST", f"/api/{repo}/commit/main", changed)
    assert Path(before["HF_HOME"]) == home and home.is_dir()  # what was pulled is kept


def test_crashed_space_reports_its_output(running):
    repo = create_space(running, "ends")
    commit(running, repo, text_file("app.py", "print('in the log')\nraise ValueError('no model')"))
    state = wait_until_built(running, repo)
    assert state["stage"] == "RUNTIME_ERROR"
    assert state["errorMessage"].startswith("Exit code: 1\nin the log\nTraceback")
    assert state["errorMessage"].endswith("ValueError: no model")
    commit(running, repo, text_file("app.py", APP))
    assert space_environment(running, repo)
    assert "errorMessage" not in call(running, "GET", f"/api/{repo}/runtime").json


def test_space_stops_on_pause_and_deletion(running):
    repo = create_space(running, "stops")
    commit(running, repo, text_file("app.py", APP))
    pid = space_environment(running, repo)["PID"]
    assert call(running, "POST", f"/api/{repo}/pause").json["stage"] == "PAUSED"
    assert not is_alive(pid)
    commit(running, repo, text_file("app.py", f"{FAMILY}\nprint(os.environ['FAMILY'])"))
    call(running, "POST", f"/api/{repo}/restart")
    family = wait_until_built(running, repo)["errorMessage"].splitlines()[-1].split(",")
    assert len(family) == 3 and not any(map(is_alive, family))
    call(running, "POST", f"/api/{repo}/pause")
    commit(running, repo, text_file("app.py", f"{APP}# changed"))
    assert call(running, "GET", f"/api/{repo}").json["host"] is None
    assert call(running, "POST", f"/api/{repo}/restart").json["stage"] == "BUILDING"
    pid = space_environment(running, repo)["PID"]
    assert call(running, "DELETE", "/api/repos/delete", {"name": "stops", "type": "space"}).status
    assert not is_alive(pid)


def test_static_space_is_served_with_the_headers_that_it_may_ask_for(running):
    repo = create_space(running, "page", sdk="static")
    headers = "custom_headers:\n  cross-origin-opener-policy: same-origin\n  set-cookie: a=b\n"
    readme = f"---\nsdk: static\n{headers}---\n"
    files = [text_file("index.html", "<p>one"), text_file("code/page.js", "let a;")]
    commit(running, repo, text_file("README.md", readme), *files)
    assert wait_until_built(running, repo)["stage"] == "RUNNING"
    host = call(running, "GET", f"/api/{repo}").json["host"]
    with urllib.request.urlopen(f"{host}/") as answer:
        assert answer.read() == b"<p>one"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["set-cookie"] is None
    with urllib.request.urlopen(f"{host}/code/page.js") as answer:
        assert answer.headers["content-type"] == "text/javascript"
    commit(running, repo, text_file("index.html", "<p>two"))
    assert wait_until_built(running, repo)["stage"] == "RUNNING"
    with urllib.request.urlopen(f"{host}/") as answer:
        assert answer.read() == b"<p>two"
    call(running, "POST", f"/api/{repo}/pause")
    assert call(running, "GET", f"/api/{repo}").json["host"] is None


def test_only_allowed_spaces_run(running):
    repo = create_space(running, "other")
    commit(running, repo, text_file("app.py", "open('ran', 'w')"))
    state = call(running, "POST", f"/api/{repo}/restart").json
    assert (state["stage"], state["errorMessage"]) == (
        "PAUSED",
        "This hub does not run it: start localhub with --run-spaces demo/other",
    )
    assert call(running, "GET", f"/api/{repo}/logs/run").body == b""


def test_space_that_cannot_start_reports_error(running):
    rows = [{"key": f"V{number}", "value": "x" * 30_000} for number in range(300)]
    repo = create_space(running, "full", variables=rows)
    assert commit(running, repo, text_file("app.py", APP)).status == 200
    state = call(running, "GET", f"/api/{repo}/runtime").json
    assert state["stage"] == "RUNTIME_ERROR" and "It can't be started" in state["errorMessage"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_spaces_end_with_the_hub(tmp_path, number):
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    spaces = ["--run-spaces", "demo/parent", "demo/deaf"]
    with running_hub(tmp_path, spaces) as hub:
        repos = [create_space(hub, name) for name in ("parent", "deaf")]
        for repo, extra in zip(repos, [FAMILY, deaf], strict=True):
            commit(hub, repo, text_file("app.py", extra + APP))
        environments = [space_environment(hub, repo) for repo in repos]
        hub.process.send_signal(number)
        assert hub.process.wait(timeout=30) == 0
    assert not any(map(is_alive, environments[0]["FAMILY"].split(",")))
    for environment in environments:
        assert not is_alive(environment["PID"])
        assert not Path(environment["HF_HOME"]).exists()
    with running_hub(tmp_path, spaces) as hub:
        assert call(hub, "GET", f"/api/{repos[0]}/runtime").json["stage"] == "SLEEPING"
        assert call(hub, "POST", f"/api/{repos[0]}/restart").json["stage"] == "BUILDING"
        assert space_environment(hub, repos[0])


def test_spaces_end_with_a_killed_hub(tmp_path):
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    with running_hub(tmp_path, ["--run-spaces", "demo/parent", "demo/deaf"]) as hub:
        repos = [create_space(hub, name) for name in ("parent", "deaf")]
        for repo, extra in zip(repos, [FAMILY, deaf], strict=True):
            commit(hub, repo, text_file("app.py", extra + APP))
        environments = [space_environment(hub, repo) for repo in repos]
        hub.process.kill()
        hub.process.wait()
    pids = [
        *environments[0]["FAMILY"].split(","),
        *(environment["PID"] for environment in environments),
    ]
    assert len(pids) == 5
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, [pid for pid in pids if is_alive(pid)]
        time.sleep(0.05)
