"""Spaces as processes: the files and variables of a Space → `python app.py` on a free port.

Only the Spaces that `--run-spaces` names, and only Gradio ones. Whoever has a token that may write
to such a Space can run any program as the user who started the hub. A commit that has the app file,
a changed variable or secret, and a restart start the process anew; a pause and the end of the hub
end it. It runs under the interpreter that runs the hub, which must have what the app needs:
requirements.txt is not installed, python_version and hardware are not looked at. Nothing keeps the
app inside its folder, so this is for one's own Spaces. Its environment holds no token but one that
is set as its own secret. The page answers on 127.0.0.1 to whoever calls, also where the Space is
private. A Space that is there when the hub starts sleeps until one of the above happens. The values
of secrets are kept in memory alone, so after the hub has been started again they have to be set
again. An app ends with its hub, also with one that is killed, and so does what it has started;
launcher.py has the limits.
"""

import http.client
import os
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

ERROR_LINES = 20  # of the output of an app that ended, in its runtime
LOG_BYTES = 100_000  # of the output of an app, at most, in its logs
LAUNCHER = Path(__file__).with_name("launcher.py")
# What a process needs here; whatever an app could take for a setting of its own stays out.
_INHERITED = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV"}
_INHERITED_PREFIXES = ("COVERAGE_", "LC_", "OMP_", "PYTHON")


@dataclass(frozen=True)
class State:
    """How a Space is: a stage as the Hub names it, its address, the commit that it runs."""

    stage: str
    host: str | None = None
    sha: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Launch:
    """What a process is started from; when that changes, so must the process."""

    commit: Commit
    app_file: str
    variables: dict[str, str]  # and secrets


def sdk_and_app_file(settings: dict[str, Any], card: dict[str, Any]) -> tuple[str, str]:
    """How a Space runs, by its README.md or else by how it was created, and which file."""
    sdk = str(card.get("sdk") or settings["sdk"])
    if sdk == "docker":
        return sdk, "Dockerfile"
    return sdk, str(card.get("app_file") or ("index.html" if sdk == "static" else "app.py"))


class _App:
    """One process of a Space.

    Args:
        launch: What it is started from.
        folder: Holds `files/` (fresh at each start), `home/` (kept) and the output.
        contents: Where the content of each file lies.
        port: What it should listen on.
        endpoint: The hub that it pulls from.
    """

    def __init__(
        self, launch: Launch, folder: Path, contents: dict[str, Path], port: int, endpoint: str
    ) -> None:
        self.launch, self.port = launch, port
        self.host = f"http://127.0.0.1:{port}"
        self.output = folder / "output.txt"
        self.started = time.time()
        self._answered = False
        files = folder / "files"
        shutil.rmtree(files, ignore_errors=True)
        for name, content in contents.items():
            (files / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(content, files / name)
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(LAUNCHER), launch.app_file],
                cwd=files,
                env=_environment(launch.variables, folder, port, endpoint),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the hub
            )

    def state(self) -> State:
        """How it is now."""
        sha = self.launch.commit.sha
        status = self.process.poll()
        if status is not None:
            lines = self.log().splitlines()[-ERROR_LINES:]
            error = "\n".join([f"Exit code: {status}", *lines])
            return State("RUNTIME_ERROR", self.host, sha, error)
        self._answered = self._answered or _answers(self.port)
        return State("RUNNING" if self._answered else "BUILDING", self.host, sha)

    def log(self) -> str:
        """The end of what it has printed; nothing once it was removed with its repository."""
        try:
            with open(self.output, "rb") as output:
                output.seek(max(0, os.fstat(output.fileno()).st_size - LOG_BYTES))
                return output.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def stop(self) -> None:
        """End it, with all that it has started."""
        assert self.process.stdin is not None
        self.process.stdin.close()  # its launcher does the rest
        self.process.wait()


class Runner:
    """All processes of a hub.

    Args:
        endpoint: Where the apps find the hub.
        temporary: Where their files lie while the hub runs.
        allowed: The ids of the Spaces that may run.
    """

    def __init__(self, endpoint: str, temporary: Path, allowed: Collection[str]) -> None:
        self.endpoint, self.allowed = endpoint, allowed
        self._folder = temporary / f"spaces-{uuid.uuid4().hex}"
        self._apps: dict[str, _App] = {}
        self._failed: dict[str, State] = {}
        self._secrets: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def sync(self, hub: Hub, repo: Repo, restart: bool = False) -> None:
        """Bring the process of a Space in line with its repository: start, replace or end it."""
        with self._lock:
            launch = self._launch(hub, repo)
            before = self._apps.get(repo.id)
            if self._closed or (before and before.launch == launch and not restart):
                return
            if before:
                before.stop()
                del self._apps[repo.id]
            self._failed.pop(repo.id, None)
            if launch:
                # Whoever has the page open finds it again at the same address.
                port = _free_port(before.port if before else 0)
                try:
                    self._apps[repo.id] = self._start(hub, repo, launch, port)
                except OSError as error:  # such as variables that fill more than an environment
                    self._failed[repo.id] = State(
                        "RUNTIME_ERROR",
                        sha=launch.commit.sha,
                        error=f"It can't be started: {error}",
                    )

    def _start(self, hub: Hub, repo: Repo, launch: Launch, port: int) -> _App:
        self._folder.mkdir(0o700, exist_ok=True)
        folder = self._folder / repo.id.replace("/", "--")  # no id has two hyphens
        (folder / "home").mkdir(parents=True, exist_ok=True)
        contents = {name: hub.content(entry) for name, entry in launch.commit.files.items()}
        return _App(launch, folder, contents, port, self.endpoint)

    def _launch(self, hub: Hub, repo: Repo) -> Launch | None:
        """What the Space should run from, or None when it should not run."""
        if repo.id not in self.allowed:
            return None
        settings, commit = repo.settings, repo.revision("main")
        sdk, app_file = sdk_and_app_file(settings, hub.card(commit))
        if sdk != "gradio" or settings["paused"] or app_file not in commit.files:
            return None
        variables = {key: pair["value"] for key, pair in settings["variables"].items()}
        variables |= self._secrets.get(repo.id, {})
        return Launch(commit, app_file, {"SPACE_ID": repo.id, **variables})

    def state(self, space_id: str) -> State:
        """How a Space is that nobody has paused."""
        if space_id not in self.allowed:
            why = f"This hub does not run it: start localhub with --run-spaces {space_id}"
            return State("PAUSED", error=why)
        if app := self._apps.get(space_id):
            return app.state()
        return self._failed.get(space_id, State("SLEEPING"))

    def log(self, space_id: str) -> tuple[float, str]:
        """When a Space was started, in seconds since 1970, and the end of what it has printed."""
        app = self._apps.get(space_id)
        return (app.started, app.log()) if app else (0.0, "")

    def keep_secret(self, space_id: str, key: str, value: str | None) -> None:
        """Remember the value of a secret of a Space that may run, or forget it where it is None."""
        if space_id not in self.allowed:
            return
        with self._lock:
            secrets = self._secrets.setdefault(space_id, {})
            secrets.pop(key, None)
            if value is not None:
                secrets[key] = value

    def remove(self, hub: Hub, repo: Repo) -> None:
        """Remove a Space with its process and what was kept for it, before there is another."""
        with self._lock:
            hub.remove(repo)
            self._secrets.pop(repo.id, None)
            self._failed.pop(repo.id, None)
            if app := self._apps.pop(repo.id, None):
                app.stop()
            shutil.rmtree(self._folder / repo.id.replace("/", "--"), ignore_errors=True)

    def close(self) -> None:
        """End all processes; none is started after that."""
        with self._lock:
            self._closed = True
            for app in self._apps.values():
                app.stop()
            self._apps.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def _environment(
    variables: dict[str, str], folder: Path, port: int, endpoint: str
) -> dict[str, str]:
    """What an app finds in its environment: its variables, this hub, a cache of its own."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {
        **inherited,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",  # what it printed last is what explains its end
        **variables,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "home"),
        "GRADIO_TEMP_DIR": str(folder / "home" / "gradio"),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
    }


def _free_port(preferred: int) -> int:
    """A port that nobody listens on: the preferred one, if it is one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise OSError("no port is free on 127.0.0.1")


def _answers(port: int) -> bool:
    """Whether something at a port answers HTTP, whatever it says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse().read(1)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
