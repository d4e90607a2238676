"""xet uploads as bytes, including those of a broken client."""

import hashlib

import lz4.frame
import pytest
from hubserver import Answer, call
from localhub_wire import commit


def xet_hash(number: int) -> str:
    return f"{number:016x}" * 4


def raw_hash(number: int) -> bytes:
    return number.to_bytes(8, "little") * 4


def xorb(*chunks: tuple[int, bytes, int]) -> bytes:
    """Chunks of (scheme, packed data, unpacked size)."""
    return b"".join(
        (len(data) << 8 | scheme << 32 | size << 40).to_bytes(8, "little") + data
        for scheme, data, size in chunks
    )


def shard(file: int, xorb_number: int, size: int, end: int, sha256: str | None = None) -> bytes:
    flags = (1 << 31) | ((1 << 30) if sha256 else 0)
    words = [bytes.fromhex(sha256)[at : at + 8][::-1] for at in range(0, 32, 8)] if sha256 else []
    return b"".join(
        [
            b"\1" * 48,
            raw_hash(file) + flags.to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(8),
            raw_hash(xorb_number) + b"".join(n.to_bytes(4, "little") for n in (0, size, 0, end)),
            bytes(48),
            (b"".join(words) + bytes(16)) if sha256 else b"",
            b"\xff" * 32 + bytes(16),
        ]
    )


@pytest.fixture
def cas(hub, repo):
    """How to post to the xet storage: path, body."""
    grant = call(hub, "GET", f"/api/{repo}/xet-write-token/main").json

    def send(path: str, body: bytes, token: str = grant["accessToken"]) -> Answer:
        return call(hub, "POST", grant["casUrl"] + path, body, token)

    return send


def test_xet_upload_with_all_compression_schemes(hub, repo, cas):
    plain, text = b"plain bytes!", b"compressible " * 100
    numbers = b"".join(n.to_bytes(4, "little") for n in range(1000)) + b"tail"[:3]
    grouped = b"".join(numbers[lane::4] for lane in range(4))
    content = plain + text + numbers
    body = xorb(
        (0, plain, len(plain)),
        (1, lz4.frame.compress(text), len(text)),
        (2, lz4.frame.compress(grouped), len(numbers)),
    )
    footer = b"\1XETBLOB footer"
    for is_new in (True, False):
        answer = cas(f"/v1/xorbs/default/{xet_hash(1)}", body + footer)
        assert answer.json == {"was_inserted": is_new}
    sha = hashlib.sha256(content).hexdigest()
    assert cas("/v1/shards", shard(2, 1, len(content), 3, sha)).status == 200
    assert commit(hub, repo, ("lfsFile", {"path": "x.bin", "oid": sha})).status == 200
    answer = call(hub, "GET", f"/{repo.removeprefix('models/')}/resolve/main/x.bin")
    assert answer.body == content and answer.headers["X-Xet-Hash"] is None


def test_xet_rejects_invalid_uploads(cas):
    def put(number: int, body: bytes) -> int:
        return cas(f"/v1/xorbs/default/{xet_hash(number)}", body).status

    def tell(body: bytes) -> str:
        answer = cas("/v1/shards", body)
        assert answer.status == 400
        return str(answer.json["error"])

    assert put(10, xorb((0, b"abc", 3))) == 200
    assert put(11, xorb((0, b"abc", 3))[:-1]) == 400
    assert put(12, b"") == 400
    assert cas("/v1/xorbs/default/..%2f..%2fx", b"").status == 400
    assert put(13, xorb((1, b"not lz4", 3))) == 200
    assert put(14, xorb((0, b"abc", 4))) == 200
    assert put(15, xorb((3, lz4.frame.compress(b"abc"), 3))) == 200
    assert "ends early" in tell(shard(20, 10, 3, 1)[:100])
    assert "before its shard" in tell(shard(20, 99, 3, 1))
    assert "must have the sha256" in tell(shard(20, 10, 3, 1, "0" * 64))
    assert "must lie in" in tell(shard(20, 10, 3, 2))
    assert "decompressed" in tell(shard(20, 13, 3, 1))
    assert "must have 4 bytes" in tell(shard(20, 14, 3, 1))
    assert "scheme 3" in tell(shard(20, 15, 3, 1))
    assert cas("/v1/shards", b"", token="1.2").status == 403
    assert cas("/v2/shards", b"").status == 404
