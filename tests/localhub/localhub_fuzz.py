"""Invalid requests to a localhub: complete HTTP messages with wrong values, types and headers.

`odd_requests` generates them from templates of every route; `answer` sends one, on a new
connection.
"""

import http.client
import json
import random
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

REPO = "demo/fuzz"
SHA = "ab" * 32
TIMEOUT_SECONDS = 5


class Raw(str):
    """Text to insert into JSON unchanged."""


ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**30, Raw("9" * 5000), Raw("1e999"), Raw("NaN"), "", "x", "\0",
    "a\0b", "é", "²", "\ud83d", "a\nb", "..", "../..", "/etc/passwd", "main", "refs/pr/1", REPO,
    "e" * 300, "é" * 190, "ab/" * 2000, "%00", "\x1b[0m", "gradio", "private", "model", "space",
    [], {}, [[]], [None], [1], ["x"], {"a": 1}, {"key": 1}, [{"key": "A", "value": "\0"}],
    [{"key": "A=B", "value": "x"}], [{"key": "A", "value": {}}], {"oid": SHA}, [{"oid": None}],
    Raw("[" * 100_000), Raw('{"a":' * 100_000), Raw("[" * 900 + "]" * 900), Raw('"\\ud83d"'),
    Raw('"\\udc00x"'), Raw('"\\u0000"'), SHA, "a" * 40,
]  # fmt: skip
ODD_TEXTS = [
    "", "x", "%00", "a%00b", "%ED%A0%BD", "%FF", "%C3%A9", "..%2F..", "%2e%2e", "refs%2Fpr%2F1",
    "9" * 5000, "%C2%B2", "-1", "1e3", "e" * 300, "%C3%A9" * 190, "%0d%0aX:%20y", "%1b", "a=b", "~",
    "main", "%5c", "*", "%", "%zz", ".git", "refs%2F", SHA, "a" * 40, "1;2", "[::1]", "HEAD",
]  # fmt: skip
YAMLS = [
    "x: 1" + ":59" * 180 + ".5",  # to the base of 60, and too large for a float
    "license: mit", "a: 2026-02-31", "a: 2026-13-45T99:99:99Z", "a: " + "9" * 5000,
    "a: 0x" + "f" * 5000, "0x" + "f" * 5000 + ": 1", "a: " + "[" * 5000, "a: " + "{a: " * 2000,
    "- " * 3000 + "x", "a: !!int x", "a: !!float x", "a: !!bool x", "a: !!timestamp x",
    "a: !!binary é", "a: !!python/object:os.system x", "a: !x y", "a: !!null {}", "{[1]: 2}: 3",
    "a: !!set {a, b}",
    "a: !!omap [a: 1]", "a: !!pairs [a: 1]", "a: &a [*a]", "&a a: *a", "? [a, b]\n: c",
    "? {a: 1}\n: 2", 'a: "\\ud83d"', 'a: "\\0"', "a: \0", "a: .inf", ".nan: .inf", "a: -1e9999",
    "<<: 3", "<<: [1, 2]", "a: 190:20:30", "a: 1" + ":59" * 900, "tags: {a: b}", "tags: [[1]]",
    "license: [[x]]", "sdk: [gradio]", "sdk_version: .nan", "model-index: [[]]", "app_file: [x]",
    "model-index: [{name: x, results: [{metrics: [x]}]}]", "configs: [[]]", "sdk: {a: b}",
    "x0: &x0 [a]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 60)),
    "x0: &x0 {a: a}\n"
    + "".join(f"x{i}: &x{i} {{<<: [*x{i - 1}, *x{i - 1}]}}\n" for i in range(1, 60)),
    "tags: [2026-01-01, 1, null]", "\ta: b", "a: b: c", "%YAML 9.9", "--- a\n--- b", "a: |\n\ttext",
]  # fmt: skip
ODD_HEADERS = [
    "Range: bytes=0-4", "Range: bytes=-5", "Range: bytes=9-1", "Range: bytes=" + "9" * 5000 + "-",
    "Range: bytes=0-" + "9" * 5000, "Range: bytes=0-1,3-4", "Range: bytes=a-b", "Range: lines=1",
    "Range: bytes=" + "0-0," * 500 + "1-1", "Range: \xb2", "If-Range: x", "Origin: http://evil.test",
    "Origin: null", "Sec-Fetch-Site: cross-site", "Upgrade: websocket", "Accept-Encoding: \xff",
    "Content-Type: application/json", "Content-Type: \xe9", "Authorization: x",
    "X-Forwarded-Proto: javascript", "X-Forwarded-For: \xe9", "X-Forwarded-Host: evil.test",
    "Cookie: a=\xe9; b", "Accept: */*", "Expect: 100-continue", "Connection: close",
    "Connection: Upgrade", "Content-Encoding: gzip", "Access-Control-Request-Method: POST",
    "If-None-Match: *", "X: " + "y" * 9000, "Transfer-Encoding: gzip", "X:",
    "Authorization: \xe9",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "BREW"]
PAIR = {"key": "A", "value": "b", "description": "d"}
API = "/api/KIND/demo/fuzz"
# Each route with a valid body. `KIND` stands for models, datasets or spaces.
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/", None),
    ("GET", "/api", None),
    ("GET", "/api/KIND?limit=5&search=a&author=demo&filter=x", None),
    ("GET", "/api/whoami-v2", None),
    ("POST", "/api/repos/create", {
        "name": "other", "organization": None, "type": "space", "visibility": "public",
        "private": False, "sdk": "gradio", "hardware": "cpu-basic",
        "secrets": [PAIR], "variables": [PAIR]}),
    ("DELETE", "/api/repos/delete", {"name": "other", "organization": "demo", "type": "space"}),
    ("POST", "/api/validate-yaml", {"content": "---\nlicense: mit\n---\n", "repoType": "model"}),
    ("GET", API, None),
    ("GET", API + "?blobs=true", None),
    ("GET", API + "/revision/main", None),
    ("PUT", API + "/settings", {"visibility": "public", "private": False, "gated": False}),
    ("GET", API + "/auth-check", None),
    ("GET", API + "/auth-check/write", None),
    ("GET", API + "/refs?include_prs=1", None),
    ("POST", API + "/tag/main", {"tag": "v1"}),
    ("DELETE", API + "/tag/v1", None),
    ("GET", API + "/tree/main?recursive=1&limit=5&cursor=a", None),
    ("GET", API + "/tree/main/sub", None),
    ("GET", API + "/commits/main?p=0", None),
    ("POST", API + "/paths-info/main", {"paths": ["a.txt", "sub"], "expand": True}),
    ("POST", API + "/paths-info/main", b"paths=a.txt&paths=sub&expand=1"),
    ("POST", API + "/preupload/main", {"files": [{"path": "a", "size": 1, "sample": "eA=="}]}),
    ("POST", API + "/lfs-verify", {"oid": SHA, "size": 3}),
    ("POST", API + "/commit/main?create_pr=1", ("file", {
        "path": "README.md", "content": "---\na: b\n---\n", "encoding": "utf-8"})),
    ("POST", API + "/commit/main", ("file", {
        "path": "sub/é.txt", "content": "eA==", "encoding": "base64"})),
    ("POST", API + "/commit/main", ("lfsFile", {"path": "m.bin", "oid": SHA, "size": 3})),
    ("POST", API + "/commit/main", ("deletedFile", {"path": "a.txt"})),
    ("POST", API + "/commit/main", ("deletedFolder", {"path": "sub/"})),
    ("GET", API + "/xet-write-token/main", None),
    ("POST", "/demo/fuzz.git/info/lfs/objects/batch", {
        "operation": "upload", "transfers": ["basic"], "objects": [{"oid": SHA, "size": 3}]}),
    ("POST", "/SITE/demo/fuzz.git/info/lfs/objects/batch", {
        "operation": "upload", "objects": [{"oid": SHA, "size": 3}]}),
    ("PUT", f"/lfs/{SHA}?grant=GRANT", b"abc"),
    ("GET", "/demo/fuzz/resolve/main/a.txt", None),
    ("GET", "/SITE/demo/fuzz/raw/main/sub/b.txt", None),
    ("GET", "/demo/fuzz/tree/main", None),
    ("GET", "/SITE/demo/fuzz", None),
    ("GET", "/demo/fuzz", None),
    ("GET", "/SITE/demo/fuzz/commit/main", None),
    ("GET", "/api/spaces/demo/fuzz/runtime", None),
    ("GET", "/api/spaces/demo/fuzz/logs/run", None),
    ("POST", "/api/spaces/demo/fuzz/hardware", {"flavor": "cpu-basic"}),
    ("POST", "/api/spaces/demo/fuzz/pause", {}),
    ("POST", "/api/spaces/demo/fuzz/restart", {}),
    ("GET", "/api/spaces/demo/fuzz/variables", None),
    ("POST", "/api/spaces/demo/fuzz/variables", PAIR),
    ("DELETE", "/api/spaces/demo/fuzz/variables", {"key": "A"}),
    ("POST", "/api/spaces/demo/fuzz/secrets", PAIR),
    ("DELETE", "/api/spaces/demo/fuzz/secrets", {"key": "A"}),
    ("POST", f"/xet/x/v1/xorbs/default/{SHA}?grant=GRANT", b"\0\3\0\0\0\3\0\0abc"),
    ("POST", "/xet/x/v1/shards?grant=GRANT", b"\1" * 96 + b"\xff" * 48),
]  # fmt: skip


def _dump(value: Any) -> str:
    """A value as JSON, with `Raw` texts unchanged."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{json.dumps(key)}:{_dump(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    return json.dumps(value)


def _mutated(value: Any, chance: random.Random) -> Any:
    """A JSON value with one of its parts replaced, removed or repeated."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        left = {name: item for name, item in value.items() if name != key}
        if chance.random() < 0.1:
            return left
        return left | {key: _mutated(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.6:
        return [_mutated(value[0], chance), *value]
    if isinstance(value, str) and "---" in value and chance.random() < 0.9:
        return f"---\n{chance.choice(YAMLS)}\n---\n"
    return chance.choice(ODD_VALUES)


def _garbled(data: bytes, chance: random.Random) -> bytes:
    """Data with some bytes changed, removed or repeated."""
    at, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:at] + chance.randbytes(chance.randrange(4)) + data[end:] * chance.randrange(3)


def _body(body: Any, chance: random.Random) -> bytes:
    if body is None:
        return chance.choice([b"", b"", b"", b"x", b"{}"])
    if isinstance(body, bytes):
        return _garbled(body, chance)
    if isinstance(body, tuple):
        key, value = body
        header = _mutated({"key": "header", "value": {"summary": "s", "description": "d"}}, chance)
        lines = [
            header if chance.random() < 0.2 else {"key": "header", "value": {"summary": "s"}},
            _mutated({"key": key, "value": _mutated(value, chance)}, chance)
            if chance.random() < 0.3
            else {"key": key, "value": _mutated(value, chance)},
        ]
        text = "\n".join(map(_dump, lines))
    else:
        text = _dump(_mutated(body, chance))
    data = text.encode("utf-8", "surrogatepass")
    return _garbled(data, chance) if chance.random() < 0.1 else data


def _target(path: str, chance: random.Random, grants: dict[str, str]) -> str:
    kind = chance.choice(["models", "models", "datasets", "spaces"])
    path = path.replace("KIND", kind).replace("SITE", chance.choice(["datasets", "spaces"]))
    path = path.replace("GRANT", grants["lfs" if path.startswith("/lfs") else "xet"])
    if chance.random() < 0.3:
        parts = path.split("/")
        at = chance.randrange(1, len(parts))
        where, _, query = parts[at].partition("?")
        if query and chance.random() < 0.7:
            fields = query.split("&")
            field = chance.randrange(len(fields))
            name = fields[field].split("=")[0]
            fields[field] = f"{name}={chance.choice(ODD_TEXTS)}"
            parts[at] = f"{where}?{'&'.join(fields)}"
        else:
            parts[at] = chance.choice(ODD_TEXTS) + (f"?{query}" if query else "")
        path = "/".join(parts)
    return f"http://127.0.0.1{path}" if chance.random() < 0.02 else path


def odd_requests(seed: int, count: int, token: str, grants: dict[str, str]) -> Iterator[bytes]:
    """Complete HTTP requests, each with a valid length or chunked encoding.

    Args:
        seed: Determines the requests.
        count: Their number.
        token: A token that may write to `demo/*`.
        grants: Grants for the storage: `lfs` and `xet`.
    """
    chance = random.Random(seed)
    for _ in range(count):
        method, path, body = chance.choice(ROUTES)
        if chance.random() < 0.05:
            method = chance.choice(METHODS)
        data = _body(body, chance)
        headers = [f"Host: {chance.choice(['127.0.0.1', 'localhost:80', '[::1]:8765'])}"]
        if chance.random() < 0.9:
            headers.append(f"Authorization: Bearer {token}")
        if isinstance(body, dict):
            headers.append("Content-Type: application/json")
        if chance.random() < 0.25:
            headers += chance.sample(ODD_HEADERS, chance.randrange(1, 3))
        if chance.random() < 0.1:
            pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
            data = (
                b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            )
            headers.append("Transfer-Encoding: chunked")
        elif data or method not in ("GET", "HEAD"):
            headers.append(f"Content-Length: {len(data)}")
        head = [f"{method} {_target(path, chance, grants)} HTTP/1.1", *headers, "", ""]
        yield "\r\n".join(head).encode("latin-1") + data


def answer(endpoint: str, request: bytes) -> tuple[int, bytes]:
    """Send a request. Returns the status and the body of the answer, or status 0 without one."""
    url = urlsplit(endpoint)
    with socket.create_connection((url.hostname, url.port), timeout=TIMEOUT_SECONDS) as client:
        try:
            client.sendall(request)
            response = http.client.HTTPResponse(client, method=request.split(b" ")[0].decode())
            response.begin()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
