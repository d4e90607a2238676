"""A localhub for the tests: a real server in a subprocess, on a free port, and requests to it."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent
WRITE, READ, ADMIN = "hf_test_write", "hf_test_read", "hf_test_admin"
TOKENS = [
    {"token": WRITE, "name": "demo", "role": "write"},
    {"token": READ, "name": "demo", "role": "read"},
    {"token": ADMIN, "name": "admin", "role": "write", "orgs": ["*"]},
]


@dataclass(frozen=True)
class RunningHub:
    """A hub's URL, its folder and its process."""

    endpoint: str
    root: Path
    process: subprocess.Popen[str]

    def env(self, home: Path, token: str | None = WRITE, xet: bool = True) -> dict[str, str]:
        """A client's environment: this hub, a cache in `home`, no other HF_ setting."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        env |= {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home)}
        env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        env |= {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"} if token is None else {"HF_TOKEN": token}
        return env if xet else env | {"HF_HUB_DISABLE_XET": "1"}


def run_python(
    code: str, env: dict[str, str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run code in a new process with warnings as errors. It must succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


@contextmanager
def running_hub(
    root: Path | None = None,
    arguments: Sequence[str] = (),
    tokens: object = TOKENS,
    stderr: IO[str] | None = None,
) -> Iterator[RunningHub]:
    """Serve `root` (a new folder when left out) until the block ends.

    Args:
        root: The folder of the hub.
        arguments: More command-line arguments, such as `["--fault", "POST /api/repos/create=402"]`.
        tokens: The content of its tokens.json; None for random tokens.
        stderr: The file for its warnings.
    """
    with tempfile.TemporaryDirectory(prefix="localhub-") as folder:
        root = root or Path(folder) / "hub"
        if tokens is not None:
            root.mkdir(parents=True, exist_ok=True)
            (root / "tokens.json").touch(0o600)
            (root / "tokens.json").write_text(json.dumps(tokens))
        process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                "localhub",
                "--root",
                str(root),
                "--port",
                "0",
                *arguments,
            ],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("localhub: serving "), f"the server did not start: {line!r}"
            yield RunningHub(line.split()[-1], root, process)
        finally:
            process.terminate()
            process.wait(timeout=20)
            process.stdout.close()


@dataclass
class Answer:
    """An HTTP response, read completely."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.headers["X-Error-Code"]


def call(
    hub: RunningHub,
    method: str,
    path: str,
    body: object = None,
    token: str | None = WRITE,
    **headers: str,
) -> Answer:
    """Send one request. A body that isn't bytes is sent as JSON."""
    url = urlsplit(hub.endpoint)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        connection.request(method, path.removeprefix(hub.endpoint), data, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()
