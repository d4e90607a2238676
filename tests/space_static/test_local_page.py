"""`make space-static`: the page of a model on this machine, until Ctrl-C."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from conftest import REPOSITORY
from hubserver import running_hub
from test_app import MODEL, free_port, push

from train.publishing import npm_packages, static_space

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
SERVE = """
import signal, sys
from train import quickstart
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
quickstart._open_static(*sys.argv[1:3], int(sys.argv[3]))
"""


def test_serves_the_page_with_its_manifest_until_it_is_interrupted(
    tiny_classifier: Path, tmp_path: Path
) -> None:
    npm_packages.fetch(static_space.PINS)
    port = free_port()
    with running_hub() as hub:
        push(hub, tiny_classifier)
        command = [sys.executable, "-c", SERVE, MODEL, hub.endpoint, str(port)]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=hub.env(tmp_path), stdout=subprocess.DEVNULL
        )

        def answers() -> bool:
            assert process.poll() is None
            try:
                return httpx.get(f"http://127.0.0.1:{port}/").is_success
            except httpx.TransportError:
                return False

        try:
            deadline = time.monotonic() + 120
            while not answers():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            page = httpx.get(f"http://127.0.0.1:{port}/").text
            assert f'data-model="{MODEL}"' in page and f'data-endpoint="{hub.endpoint}"' in page
            manifest = httpx.get(f"http://127.0.0.1:{port}/published.json").json()
            assert "main.js" in str(manifest)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.wait()
