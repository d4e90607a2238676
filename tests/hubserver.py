"""A running localhub for the tests: a real server, in a subprocess, on a free port."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parent.parent
WRITE, READ, ADMIN = "hf_test_write", "hf_test_read", "hf_test_admin"
TOKENS = [
    {"token": WRITE, "name": "demo", "role": "write"},
    {"token": READ, "name": "demo", "role": "read"},
    {"token": ADMIN, "name": "admin", "role": "write", "orgs": ["*"]},
]


@dataclass(frozen=True)
class RunningHub:
    """Where the hub is, where it stores things, and its process."""

    endpoint: str
    root: Path
    process: subprocess.Popen[str]

    def env(self, home: Path, token: str | None = WRITE, xet: bool = True) -> dict[str, str]:
        """The environment of a client process: this hub, an empty cache, and nothing else's."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        env |= {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home)}
        env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        env |= {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"} if token is None else {"HF_TOKEN": token}
        return env if xet else env | {"HF_HUB_DISABLE_XET": "1"}


def run_python(
    code: str, env: dict[str, str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run code in a process of its own, warnings as errors; it must succeed."""
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
        arguments: More of the command line, such as `["--fault", "POST /api/repos/create=402"]`.
        tokens: What its tokens.json holds; with None it has none, and makes random tokens.
        stderr: Where its warnings go.
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
