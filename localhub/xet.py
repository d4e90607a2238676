"""xet: xorbs (packed chunks) and shards (how files are made of them) → files, and back.

Layout of the two formats, all integers little-endian:

    xorb   chunks one after another: version 0 (u8), packed size (u24), scheme (u8), size (u24),
           data; anything after the last chunk is a footer, which is not needed here
    shard  48 bytes of header, then records of 48 bytes. A file is a header (hash, flags u32,
           n u32), n terms (xorb hash, flags u32, bytes u32, first chunk u32, end chunk u32), n
           verification records when flag bit 31 is set, and one record that starts with the
           sha256 when bit 30 is. A header whose hash is all ones ends the files.

Files are rebuilt when their shard arrives, so everything else knows only the plain contents.
Xorbs are kept: clients remember them and refer to them in later uploads.

Format reference: https://github.com/huggingface/xet-core (cas_object, mdb_shard).
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import lz4.frame

from .disk import Blobs, read_json, settle, write, write_json
from .errors import HubError
from .names import check_sha256

RECORD_BYTES = 48
_VERIFIED, _WITH_SHA256 = 1 << 31, 1 << 30


@dataclass(frozen=True)
class Term:
    """A run of chunks of one xorb: chunks `start` to `end` (excluded), `size` bytes unpacked."""

    xorb: str
    size: int
    start: int
    end: int


@dataclass(frozen=True)
class XetFile:
    """How one file is put together; `sha256` is what its sender says it hashes to."""

    hash: str
    terms: list[Term]
    sha256: str | None


def _hash(raw: bytes) -> str:
    """A hash as xet prints it: four little-endian words."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def parse_shard(shard: bytes) -> Iterator[XetFile]:
    """The files of a shard.

    Raises:
        HubError: 400 when the shard ends early.
    """
    records = [shard[at : at + RECORD_BYTES] for at in range(0, len(shard), RECORD_BYTES)]
    rest = iter(records[1:])
    try:
        while (header := next(rest))[:32] != b"\xff" * 32:
            flags, count = struct.unpack_from("<II", header, 32)
            terms = []
            for _ in range(count):
                record = next(rest)
                _, size, start, end = struct.unpack_from("<IIII", record, 32)
                terms.append(Term(_hash(record[:32]), size, start, end))
            for _ in range(count if flags & _VERIFIED else 0):
                next(rest)
            sha256 = _hash(next(rest)[:32]) if flags & _WITH_SHA256 else None
            yield XetFile(_hash(header[:32]), terms, sha256)
    except (StopIteration, struct.error) as error:
        raise HubError(400, f"The shard ends early, after {len(shard)} bytes.") from error


@lru_cache(maxsize=64)
def chunk_offsets(xorb: Path) -> list[int]:
    """Where each chunk of a xorb starts, and where the last one ends, in bytes.

    Raises:
        HubError: 400 when a chunk runs past the end of the file.
    """
    size = xorb.stat().st_size
    offsets = [0]
    with open(xorb, "rb") as file:
        while len(head := file.read(8)) == 8 and head[0] == 0:
            offsets.append(offsets[-1] + 8 + int.from_bytes(head[1:4], "little"))
            file.seek(offsets[-1])
    if offsets[-1] > size or len(offsets) == 1:
        raise HubError(400, f"A xorb must hold whole chunks, got {size} bytes that do not.")
    return offsets


def _unpack(head: bytes, packed: bytes) -> bytes:
    """One chunk, as it was before it was packed."""
    scheme, size = head[4], int.from_bytes(head[5:8], "little")
    try:
        data = packed if scheme == 0 else lz4.frame.decompress(packed)
    except RuntimeError as error:
        raise HubError(400, f"A chunk of a xorb can't be decompressed: {error}") from error
    if scheme == 2:  # every fourth byte together: the first ones, the second ones, ...
        ungrouped = bytearray(len(data))
        at = 0
        for lane in range(4):
            count = len(range(lane, len(data), 4))
            ungrouped[lane::4] = data[at : at + count]
            at += count
        data = bytes(ungrouped)
    if len(data) != size or scheme > 2:
        raise HubError(400, f"A chunk must have {size} bytes, got {len(data)} (scheme {scheme}).")
    return data


class XetStore:
    """What xet clients have uploaded.

    Args:
        folder: Holds `xorbs/HASH`, `files/HASH` (terms, as JSON) and `sha256/SHA` (a file hash).
        blobs: Where the rebuilt files go.
    """

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self.folder, self.blobs = folder, blobs

    def xorb(self, hash: str) -> Path:
        """Where a xorb lies, or would."""
        return self.folder / "xorbs" / check_sha256(hash)

    def add_xorb(self, hash: str, chunks: Iterable[bytes]) -> bool:
        """Store a xorb; whether it is a new one."""
        path = self.xorb(hash)
        with self.blobs.growing(chunks) as (file, _):
            chunk_offsets.__wrapped__(file)  # not kept, because the file moves
            return settle(file, path)

    def add_shard(self, shard: bytes) -> None:
        """Rebuild the files of a shard and store them.

        Raises:
            HubError: 400 when a xorb is missing or the bytes are not what their sha256 says.
        """
        for file in parse_shard(shard):
            sha256 = self.blobs.add(self._rebuild(file.terms), file.sha256)
            terms = [[term.xorb, term.size, term.start, term.end] for term in file.terms]
            write_json(self.folder / "files" / file.hash, terms)
            write(self.folder / "sha256" / sha256, file.hash.encode())

    def _rebuild(self, terms: list[Term]) -> Iterator[bytes]:
        """The bytes of a file, a chunk at a time."""
        for term in terms:
            try:
                offsets = chunk_offsets(self.xorb(term.xorb))
            except FileNotFoundError as error:
                raise HubError(400, f"Upload the xorb {term.xorb} before its shard.") from error
            if not 0 <= term.start < term.end < len(offsets):
                raise HubError(400, f"{term} must lie in the xorb's {len(offsets) - 1} chunks.")
            with open(self.xorb(term.xorb), "rb") as file:
                file.seek(offsets[term.start])
                for _ in range(term.start, term.end):
                    head = file.read(8)
                    yield _unpack(head, file.read(int.from_bytes(head[1:4], "little")))

    def hash_of(self, sha256: str) -> str | None:
        """The xet hash of a content, or None when it did not come over xet."""
        try:
            return (self.folder / "sha256" / sha256).read_text()
        except FileNotFoundError:
            return None

    def reconstruction(
        self, hash: str, first: int = 0, last: int | None = None
    ) -> dict[str, Any] | None:
        """What a client fetches, and in which order, to have bytes `first` to `last` of a file.

        Returns:
            The answer but for the URLs, which have the xorb's hash in their place; or None when
            the file is shorter than `first`.

        Raises:
            HubError: 404 when there is no such file.
        """
        path = self.folder / "files" / check_sha256(hash)
        if not path.exists():
            raise HubError(404, f"No file has the xet hash {hash}.")
        at, skipped = 0, 0
        wanted: list[Term] = []
        for term in (Term(*fields) for fields in read_json(path)):
            if at + term.size > first and (last is None or at <= last):
                skipped = skipped if wanted else first - at
                wanted.append(term)
            at += term.size
        if not wanted and at + first > 0:
            return None
        return {
            "offset_into_first_range": skipped,
            "terms": [
                {
                    "hash": term.xorb,
                    "unpacked_length": term.size,
                    "range": {"start": term.start, "end": term.end},
                }
                for term in wanted
            ],
            "fetch_info": {
                xorb: [self._fetch_info(xorb, *run) for run in runs]
                for xorb, runs in _merged(wanted).items()
            },
        }

    def _fetch_info(self, xorb: str, start: int, end: int) -> dict[str, Any]:
        offsets = chunk_offsets(self.xorb(xorb))
        return {
            "range": {"start": start, "end": end},
            "url": xorb,
            "url_range": {"start": offsets[start], "end": offsets[end] - 1},
        }


def _merged(terms: list[Term]) -> dict[str, list[tuple[int, int]]]:
    """The runs of chunks to fetch from each xorb, none touching another.

    Clients take a run for the one they have when both start with the same chunk, and panic when
    it is shorter: that is how a file with repeated contents, such as tiled embeddings, fails.
    """
    runs: dict[str, list[tuple[int, int]]] = {}
    for term in sorted(terms, key=lambda term: (term.xorb, term.start, term.end)):
        known = runs.setdefault(term.xorb, [])
        if known and term.start <= known[-1][1]:
            known[-1] = (known[-1][0], max(known[-1][1], term.end))
        else:
            known.append((term.start, term.end))
    return runs
