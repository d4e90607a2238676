"""Spaces as processes: the files and variables of a Space → `python app.py` on a free port.

The files of a static Space are served by static_server.py in place of an app.

Runs only the Gradio and static Spaces that `--run-spaces` names. Nothing confines their apps, so
this is for your own Spaces: anyone who has a token that may write to one can run any program as the
user who started the hub.

- A commit that has the app file, a changed variable or secret, and a restart start the process
  again. A pause and the end of the hub end it, with all processes it has started (see launcher.py).
  A Space that exists when the hub starts sleeps until then.
- It runs under the hub's Python, which must have what the app needs: requirements.txt,
  python_version and hardware are ignored.
- Its environment has no token unless one is set as its secret. Secrets are kept in memory only and
  have to be set again after the hub restarts.
- The page on 127.0.0.1 answers everyone, even if the Space is private.
"""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .commits import Commit
from .hub import Hub
from .repos import Repo

ERROR_LINES = 20  # lines of a failed app's output shown in its runtime
LOG_BYTES = 100_000  # maximum size of an app's log
LAUNCHER = Path(__file__).with_name("launcher.py")
STATIC_SERVER = Path(__file__).with_name("static_server.py")
RUNNABLE = {"gradio", "static"}
# https://huggingface.co/docs/hub/spaces-config-reference
CUSTOM_HEADERS = {f"cross-origin-{kind}-policy" for kind in ("embedder", "opener", "resource")}
# What a process needs. Other variables could be settings of the app.
_INHERITED = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV"}
_INHERITED_PREFIXES = ("COVERAGE_", "LC_", "OMP_", "PYTHON")


@dataclass(frozen=True)
class State:
    """The state of a Space: its stage as the Hub names it, its URL and its commit."""

    stage: str
    host: str | None = None
    sha: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Launch:
    """What a process is started from. When it changes, the process is replaced."""

    commit: Commit
    command: list[str]  # arguments of Python
    environment: dict[str, str]  # variables and secrets


def sdk_and_app_file(settings: dict[str, Any], card: dict[str, Any]) -> tuple[str, str]:
    """The SDK and the main file of a Space: from its README.md, or else its creation."""
    sdk = str(card.get("sdk") or settings["sdk"])
    if sdk == "docker":
        return sdk, "Dockerfile"
    return sdk, str(card.get("app_file") or ("index.html" if sdk == "static" else "app.py"))


class _App:
    """The process of one Space.

    Args:
        launch: What to start.
        folder: Holds `files/` (replaced at each start), `home/` (kept) and the output.
        contents: The file of each path's content.
        port: The port to listen on.
        endpoint: The hub to load from.
    """

    def __init__(
        self, launch: Launch, folder: Path, contents: dict[str, Path], port: int, endpoint: str
    ) -> None:
        self.launch, self.port = launch, port
        self.host = f"http://127.0.0.1:{port}"
        self.output = folder / "output.txt"
        self.started = time.time()
        self._has_answered = False
        files = folder / "files"
        shutil.rmtree(files, ignore_errors=True)
        for name, content in contents.items():
            (files / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(content, files / name)
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(LAUNCHER), *launch.command],
                cwd=files,
                env=_environment(launch.environment, folder, port, endpoint),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the hub
            )

    def state(self) -> State:
        """The current state."""
        sha = self.launch.commit.sha
        status = self.process.poll()
        if status is not None:
            lines = self.log().splitlines()[-ERROR_LINES:]
            error = "\n".join([f"Exit code: {status}", *lines])
            return State("RUNTIME_ERROR", self.host, sha, error)
        self._has_answered = self._has_answered or _answers(self.port)
        return State("RUNNING" if self._has_answered else "BUILDING", self.host, sha)

    def log(self) -> str:
        """The end of its output; empty after its repository was removed."""
        try:
            with open(self.output, "rb") as output:
                output.seek(max(0, os.fstat(output.fileno()).st_size - LOG_BYTES))
                return output.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def stop(self) -> None:
        """End it, with all processes it has started."""
        assert self.process.stdin is not None
        self.process.stdin.close()  # the launcher then ends the app
        self.process.wait()


class Runner:
    """The processes of a hub's Spaces.

    Args:
        endpoint: The URL of the hub.
        temporary: Holds their files while the hub runs.
        allowed: The ids of the Spaces that may run.
    """

    def __init__(self, endpoint: str, temporary: Path, allowed: Collection[str]) -> None:
        self.endpoint, self.allowed = endpoint, allowed
        self._folder = temporary / f"spaces-{uuid.uuid4().hex}"
        self._apps: dict[str, _App] = {}
        self._failed: dict[str, State] = {}
        self._secrets: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def sync(self, hub: Hub, repo: Repo, restart: bool = False) -> None:
        """Start, replace or end the process of a Space after a change of its repository."""
        with self._lock:
            launch = self._launch(hub, repo)
            old = self._apps.get(repo.id)
            if self._is_closed or (old and old.launch == launch and not restart):
                return
            if old:
                old.stop()
                del self._apps[repo.id]
            self._failed.pop(repo.id, None)
            if launch:
                # The same port, so that open pages reconnect.
                port = _free_port(old.port if old else 0)
                try:
                    self._apps[repo.id] = self._start(hub, repo, launch, port)
                except OSError as error:  # for example if the variables exceed the system's limit
                    self._failed[repo.id] = State(
                        "RUNTIME_ERROR",
                        sha=launch.commit.sha,
                        error=f"It can't be started: {error}",
                    )

    def _start(self, hub: Hub, repo: Repo, launch: Launch, port: int) -> _App:
        self._folder.mkdir(0o700, exist_ok=True)
        folder = self._app_folder(repo)
        (folder / "home").mkdir(parents=True, exist_ok=True)
        contents = {name: hub.path(entry) for name, entry in launch.commit.files.items()}
        return _App(launch, folder, contents, port, self.endpoint)

    def _app_folder(self, repo: Repo) -> Path:
        return self._folder / repo.id.replace("/", "--")  # ids never contain two hyphens

    def _launch(self, hub: Hub, repo: Repo) -> Launch | None:
        """What to start for a Space, or None when it should not run."""
        if repo.id not in self.allowed:
            return None
        settings, commit = repo.settings, repo.revision("main")
        card = hub.card(commit)
        sdk, app_file = sdk_and_app_file(settings, card)
        if sdk not in RUNNABLE or settings["paused"] or app_file not in commit.files:
            return None
        variables = {key: row["value"] for key, row in settings["variables"].items()}
        variables |= self._secrets.get(repo.id, {})
        command = [app_file]
        if sdk == "static":
            command = [str(STATIC_SERVER), json.dumps(_custom_headers(card))]
        return Launch(commit, command, {"SPACE_ID": repo.id, **variables})

    def state(self, space_id: str) -> State:
        """The state of a Space that is not paused."""
        if space_id not in self.allowed:
            reason = f"This hub does not run it: start localhub with --run-spaces {space_id}"
            return State("PAUSED", error=reason)
        if app := self._apps.get(space_id):
            return app.state()
        return self._failed.get(space_id, State("SLEEPING"))

    def log(self, space_id: str) -> tuple[float, str]:
        """The start time of a Space, in seconds since 1970, and the end of its output."""
        app = self._apps.get(space_id)
        return (app.started, app.log()) if app else (0.0, "")

    def set_secret(self, space_id: str, key: str, value: str | None) -> None:
        """Keep a secret of a Space that may run, or remove it if the value is None."""
        if space_id not in self.allowed:
            return
        with self._lock:
            secrets = self._secrets.setdefault(space_id, {})
            secrets.pop(key, None)
            if value is not None:
                secrets[key] = value

    def remove(self, hub: Hub, repo: Repo) -> None:
        """Remove a Space's repository, process, secrets and files."""
        with self._lock:
            hub.remove(repo)
            self._secrets.pop(repo.id, None)
            self._failed.pop(repo.id, None)
            if app := self._apps.pop(repo.id, None):
                app.stop()
            shutil.rmtree(self._app_folder(repo), ignore_errors=True)

    def close(self) -> None:
        """End all processes. No process is started afterwards."""
        with self._lock:
            self._is_closed = True
            for app in self._apps.values():
                app.stop()
            self._apps.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def _custom_headers(card: dict[str, Any]) -> dict[str, str]:
    """The headers that a static Space asks for, of those that the Hub allows."""
    headers = card.get("custom_headers")
    return {
        name: value
        for name, value in (headers.items() if isinstance(headers, dict) else ())
        if name in CUSTOM_HEADERS and re.fullmatch(r"[a-z-]+", str(value))
    }


def _environment(
    variables: dict[str, str], folder: Path, port: int, endpoint: str
) -> dict[str, str]:
    """The environment of an app: its variables, the hub's endpoint and its own cache."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {
        **inherited,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",  # so that the log has the last lines of a crash
        **variables,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "home"),
        "GRADIO_TEMP_DIR": str(folder / "home" / "gradio"),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
    }


def _free_port(preferred: int) -> int:
    """A free port: the preferred one if possible."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise OSError("no port is free on 127.0.0.1")


def _answers(port: int) -> bool:
    """Whether a server on this port answers HTTP requests, with any status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse().read(1)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
