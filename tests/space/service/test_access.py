"""Keys, rates, hosts, origins and bodies of the web service, in process."""

from pathlib import Path
from typing import Any

import pytest
from service_app import ADMIN_KEY, KEY, OTHER_KEY, assert_problem, client, loaded

from space.inference.classifier import Classifier
from space.service import access

BODY = {"inputs": "a wonderful film"}
API = ["/predict", "/v1/classify", "/v1/explain"]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def classifier(tiny_classifier: Path) -> Classifier:
    return loaded(tiny_classifier)


@pytest.mark.parametrize("path", API)
def test_api_needs_one_of_the_keys(classifier: Classifier, path: str):
    http = client(classifier, api_keys=f"{KEY}, {OTHER_KEY}")
    response = http.post(path, json=BODY)
    assert_problem(response, 401, "needs an API key", "no key", "Authorization: Bearer")
    assert "Bearer" in response.headers["www-authenticate"]
    for wrong in ("", KEY[:-1], KEY + "x", f"{KEY}, {OTHER_KEY}", "é" * 16):
        header = {"Authorization": f"Bearer {wrong}".encode()}
        assert_problem(http.post(path, json=BODY, headers=header), 401, "an unknown key")  # type: ignore[arg-type]
    for key in (KEY, OTHER_KEY):
        assert http.post(path, json=BODY, headers=bearer(key)).status_code == 200


def test_all_keys_are_compared_in_constant_time(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
):
    compared: list[bytes] = []
    compare = access.hmac.compare_digest

    def record(left: bytes, right: bytes) -> bool:
        compared.append(right)
        assert len(left) == len(right) == 32  # digests: the length of a key doesn't show
        return compare(left, right)

    monkeypatch.setattr(access.hmac, "compare_digest", record)
    http = client(classifier, api_keys=f"{KEY},{OTHER_KEY}")
    http.post("/predict", json=BODY, headers=bearer(KEY))
    assert len(set(compared)) == 2  # also after the first match


def test_one_switch_opens_or_closes_probes_and_documentation(classifier: Classifier):
    for path in ("/health", "/ready", "/docs", "/docs/static/swagger-ui.css", "/openapi.json"):
        assert client(classifier, api_keys=KEY).get(path).status_code == 200, path
        closed = client(classifier, api_keys=KEY, api_keys_protect="all")
        assert_problem(closed.get(path), 401)
        assert closed.get(path, headers=bearer(KEY)).status_code == 200
        assert closed.get(path, auth=("any", KEY)).status_code == 200  # as a browser asks for it
        broken = {"Authorization": "Basic !"}
        assert_problem(closed.get(path, headers=broken), 401)
    for path in ("/info", "/metrics"):
        assert_problem(client(classifier, api_keys=KEY).get(path), 401)
    closed = client(classifier, api_keys=KEY, api_keys_protect="all")
    for path in ("/", "/gradio_api/call/classify"):  # here without the page
        assert client(classifier, api_keys=KEY).get(path).status_code == 404
        response = closed.get(path)
        assert_problem(response, 401)
        assert response.headers["www-authenticate"].startswith("Basic")  # browsers ask for it


def test_without_keys_the_api_is_open(classifier: Classifier):
    assert client(classifier).post("/predict", json=BODY).status_code == 200


def test_admin_needs_its_own_key(classifier: Classifier):
    assert_problem(client(classifier).post("/admin/reload"), 403, "ADMIN_API_KEYS")
    http = client(classifier, api_keys=KEY, admin_api_keys=ADMIN_KEY)
    assert_problem(http.post("/admin/reload", headers=bearer(KEY)), 401, "an unknown key")
    assert_problem(http.post("/admin/other", headers=bearer(ADMIN_KEY)), 404)
    assert_problem(http.post("/predict", json=BODY, headers=bearer(ADMIN_KEY)), 401)


def test_rate_is_limited_per_key(classifier: Classifier):
    http = client(classifier, api_keys=f"{KEY},{OTHER_KEY}", rate_limit="3/hour")
    for _ in range(3):
        assert http.post("/predict", json=BODY, headers=bearer(KEY)).status_code == 200
    response = http.post("/predict", json=BODY, headers=bearer(KEY))
    assert_problem(response, 429, "3/hour")
    assert 0 < int(response.headers["retry-after"]) <= 3600
    assert http.post("/predict", json=BODY, headers=bearer(OTHER_KEY)).status_code == 200
    assert http.get("/info", headers=bearer(KEY)).status_code == 200  # costs nothing


def test_rate_is_limited_per_address_without_a_key(classifier: Classifier):
    http = client(classifier, rate_limit="2/hour")
    for key in ("made-up-key-number-1", "made-up-key-number-2"):  # opens no count of its own
        assert http.post("/predict", json=BODY, headers=bearer(key)).status_code == 200
    assert_problem(http.post("/predict", json=BODY), 429)


def test_other_hosts_are_refused(classifier: Classifier):
    http = client(classifier, allowed_hosts="example.com,*.example.org")
    for host, status in [("example.com", 200), ("a.example.org", 200), ("evil.com", 400)]:
        response = http.post("/predict", json=BODY, headers={"Host": host})
        assert response.status_code == status
    assert_problem(response, 400)
    assert_problem(http.get("/v1/x", headers={"Host": "evil.com"}), 400)
    assert http.get("/health", headers={"Host": "10.0.0.7:7860"}).status_code == 200  # a probe


def preflight(http: Any, origin: str) -> Any:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return http.options("/predict", headers=headers)


def test_cors_is_off_unless_set(classifier: Classifier):
    origin = {"Origin": "https://a.example"}
    response = client(classifier).post("/predict", json=BODY, headers=origin)
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert_problem(preflight(client(classifier), "https://a.example"), 405)
    http = client(classifier, cors_origins="https://a.example")
    response = http.post("/predict", json=BODY, headers=origin)
    assert response.headers["access-control-allow-origin"] == "https://a.example"
    assert preflight(http, "https://a.example").status_code == 200
    assert_problem(preflight(http, "https://b.example"), 400)


@pytest.mark.parametrize("path", API)
def test_bodies_are_limited(classifier: Classifier, path: str):
    http = client(classifier, max_body_bytes=1000)
    text = "a wonderful film " * 100
    assert_problem(http.post(path, json={"inputs": text}), 413, "the limit is 1,000", "Split it")
    chunks = iter([b'{"inputs": "', b"x" * 2000])  # of unknown length
    response = http.post(path, content=chunks, headers={"Content-Type": "application/json"})
    assert_problem(response, 413, "the limit is 1,000")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 60 + b"]" * 60, b'{"inputs": NaN'])
def test_bodies_must_be_json(classifier: Classifier, body: bytes):
    headers = {"Content-Type": "application/json"}
    assert_problem(client(classifier).post("/predict", content=body, headers=headers), 400)


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("/predict", "text/plain", "application/json"),
        ("/predict", "", "application/json"),
        ("/v1/classify", "application/x-ndjson", "application/json"),
        ("/v1/classify/stream", "application/json", "application/x-ndjson"),
    ],
)
def test_bodies_have_a_type(classifier: Classifier, path: str, kind: str, expected: str):
    response = client(classifier).post(path, content=b'"x"', headers={"Content-Type": kind})
    assert_problem(response, 415, f"must be {expected}")
