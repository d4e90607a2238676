"""The web service in this process, for tests: the API on a tiny model, without the page."""

import re
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from space.inference.classifier import Classifier
from space.inference.serving import Service
from space.service import app
from space.service.lifecycle import Lifecycle
from space.service.settings import Settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KEY, OTHER_KEY, ADMIN_KEY = "key-of-the-tests-1", "key-of-the-tests-2", "admin-key-of-tests"


def loaded(folder: Path) -> Classifier:
    """The classifier of a folder, as if it came from the Hub."""
    classifier = Classifier("demo/tiny", pairs=True)
    classifier._model = classifier._open(folder, commit=COMMIT)
    return classifier


def client(
    classifier: Classifier,
    lifecycle: Lifecycle | None = None,
    service: Service | None = None,
    page: Any = None,
    **settings: Any,
) -> TestClient:
    """A client of a new service; settings are those of `Settings`."""
    lifecycle = lifecycle or Lifecycle(classifier)
    service = service or Service(classifier)
    return TestClient(app.create(Settings(**settings), service, lifecycle, page))


def assert_natural(detail: str) -> None:
    """The detail of a problem is not made of whole sentences or states as its rule and value."""
    for fault in (".:", "..", ", got more", ": Left out"):
        assert fault not in detail, detail
    assert not re.search(r", got (a (?!pair of|single)|[A-Z/])", detail), detail
    assert re.match(r"[A-Z/]", detail), detail


def assert_problem(response: Any, status: int, *parts: str) -> dict[str, Any]:
    """The response is a complete problem; its texts contain the parts."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    for key in ("type", "title", "detail", "rule", "value", "remedy"):
        assert problem[key], key
    told = " ".join(problem[key] for key in ("detail", "rule", "value", "remedy"))
    for part in parts:
        assert part in told, told
    assert problem["error"] == problem["detail"] and problem["error_type"]
    assert_natural(problem["detail"])
    return problem
