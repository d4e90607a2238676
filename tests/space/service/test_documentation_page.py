"""/docs in a browser: Swagger UI comes from the service itself, and its examples can be sent."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from service_app import KEY, loaded

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from test_browser import browser, page, pytestmark  # noqa: F401

from space.inference.serving import Service
from space.service import app
from space.service.lifecycle import Lifecycle
from space.service.settings import Settings


@pytest.fixture(scope="module")
def address(tiny_classifier: Path) -> Iterator[str]:
    """A service that asks for a key, without the page."""
    classifier = loaded(tiny_classifier)
    served = app.create(Settings(api_keys=KEY), Service(classifier), Lifecycle(classifier))
    server = uvicorn.Server(uvicorn.Config(served, log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        yield "http://127.0.0.1:{}".format(*listening.getsockname()[1:])
        server.should_exit = True
        thread.join()


def test_documentation_needs_no_other_host(page: Any, address: str) -> None:  # noqa: F811
    # `page` fails on a request to another host, and on a violation of the page's policy.
    page.goto(f"{address}/docs")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(KEY)
    page.locator(".auth-container button[type=submit]").click()
    page.locator(".auth-container .btn-done").click()
    page.locator(".opblock-summary-path", has_text="/v1/classify").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table").get_by_text('"probabilities"').first.wait_for()
    assert page.locator(".live-responses-table .response-col_status").nth(1).inner_text() == "200"
