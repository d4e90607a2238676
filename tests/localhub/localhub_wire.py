"""Helpers of the localhub's tests: commits and Spaces."""

import base64
import http.client
import json
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import psutil
from hubserver import REPOSITORY, Answer, RunningHub, call

Operation = tuple[str, dict[str, Any]]


def ndjson(*operations: Operation, summary: str = "a change", **header: str) -> bytes:
    lines = [("header", {"summary": summary, **header}), *operations]
    return "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in lines).encode()


def text_file(path: str, content: str) -> Operation:
    encoded = base64.b64encode(content.encode()).decode()
    return "file", {"path": path, "content": encoded, "encoding": "base64"}


def commit(hub: RunningHub, repo: str, *operations: Operation, **header: str) -> Answer:
    return call(hub, "POST", f"/api/{repo}/commit/main", ndjson(*operations, **header))


def create_space(hub: RunningHub, name: str, **fields: object) -> str:
    body = {"name": name, "type": "space", "sdk": "gradio", **fields}
    assert call(hub, "POST", "/api/repos/create", body).status == 200
    return f"spaces/demo/{name}"


# Answers with its environment, one variable per line, its process id and its files.
APP = """
import glob, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        files = ",".join(sorted(glob.glob("**/*.py", recursive=True)))
        values = {**os.environ, "PID": os.getpid(), "FILES": files}
        lines = [f"{name}={value}" for name, value in values.items()]
        self.wfile.write("\\n".join(lines).encode())

address = os.environ["GRADIO_SERVER_NAME"], int(os.environ["GRADIO_SERVER_PORT"])
print("listening at", *address, file=sys.stderr)
HTTPServer(address, Page).serve_forever()
"""


def wait_until_built(hub: RunningHub, repo: str) -> Any:
    """The runtime of a Space after its build has ended."""
    deadline = time.monotonic() + 60
    while (state := call(hub, "GET", f"/api/{repo}/runtime").json)["stage"] == "BUILDING":
        assert time.monotonic() < deadline, state
        time.sleep(0.05)
    return state


def space_environment(hub: RunningHub, repo: str) -> dict[str, str]:
    """The environment of a running Space's process."""
    assert wait_until_built(hub, repo)["stage"] == "RUNNING"
    host = urlsplit(call(hub, "GET", f"/api/{repo}").json["host"])
    connection = http.client.HTTPConnection(host.hostname, host.port, timeout=30)
    try:
        connection.request("GET", "/")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return dict(line.partition("=")[::2] for line in lines if "=" in line)


# Starts processes that survive their parent: in its group, in a new session, and as a daemon.
FAMILY = """
import os, signal, subprocess, sys

def sleeper(**how):
    return subprocess.Popen(["sleep", "600"], preexec_fn=deaf, **how).pid

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

end, start = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.write(start, str(sleeper(start_new_session=True)).encode())
    os._exit(0)
daemon = os.read(end, 99).decode()
os.environ["FAMILY"] = f"{sleeper()},{sleeper(start_new_session=True)},{daemon}"
"""


def is_alive(pid: str) -> bool:
    """Whether a process runs. A zombie does not."""
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def localhub(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a free port until it exits."""
    command = [sys.executable, "-m", "localhub", "--port", "0", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30)
