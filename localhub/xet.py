"""xet uploads: xorbs (packed chunks) and shards (how files are made of them) → plain files.

huggingface_hub 1.x and 2.x upload over xet whenever hf_xet is installed, without falling back to
LFS. Downloads fall back to plain HTTP, so only uploads are imitated. A file is rebuilt when its
shard arrives. Xorbs are kept while the hub runs, because clients refer to them in later uploads.

The two formats, all integers little-endian:

    xorb   chunks: version 0 (u8), packed size (u24), scheme (u8), size (u24), data. Anything after
           the last chunk is a footer, which is not needed here.
    shard  48 bytes of header, then records of 48 bytes. A file is a header (hash, flags u32,
           n u32), n terms (xorb hash, flags u32, bytes u32, first chunk u32, end chunk u32), n
           verification records if flag bit 31 is set, and one record that starts with the
           sha256 if bit 30 is set. A header whose hash is all ones ends the files.

Format reference: https://github.com/huggingface/xet-core (cas_object, mdb_shard).
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import lz4.frame

from .disk import Blobs, move_into_place
from .errors import HubError
from .names import check_sha256

RECORD_BYTES = 48
_VERIFIED, _WITH_SHA256 = 1 << 31, 1 << 30


@dataclass(frozen=True)
class Term:
    """Chunks `start` to `end` (exclusive) of one xorb."""

    xorb: str
    start: int
    end: int


def _hash(raw: bytes) -> str:
    """A hash as xet prints it: four little-endian words."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def parse_shard(shard: bytes) -> Iterator[tuple[list[Term], str | None]]:
    """The terms of each file of a shard, and the sha256 its sender announces.

    Raises:
        HubError: 400 when the shard is truncated.
    """
    starts = range(RECORD_BYTES, len(shard), RECORD_BYTES)
    records = iter([shard[start : start + RECORD_BYTES] for start in starts])
    try:
        while (header := next(records))[:32] != b"\xff" * 32:
            flags, count = struct.unpack_from("<II", header, 32)
            terms = []
            for _ in range(count):
                record = next(records)
                terms.append(Term(_hash(record[:32]), *struct.unpack_from("<II", record, 40)))
            for _ in range(count if flags & _VERIFIED else 0):
                next(records)
            yield terms, _hash(next(records)[:32]) if flags & _WITH_SHA256 else None
    except (StopIteration, struct.error) as error:
        raise HubError(400, f"The shard ends early, after {len(shard)} bytes.") from error


@lru_cache(maxsize=64)
def chunk_offsets(xorb: Path) -> list[int]:
    """The byte offset of each chunk of a xorb, and the end of the last one.

    Raises:
        HubError: 400 when a chunk exceeds the file.
    """
    size = xorb.stat().st_size
    offsets = [0]
    with open(xorb, "rb") as file:
        while len(head := file.read(8)) == 8 and head[0] == 0:
            offsets.append(offsets[-1] + 8 + int.from_bytes(head[1:4], "little"))
            file.seek(offsets[-1])
    if offsets[-1] > size or len(offsets) == 1:
        raise HubError(400, f"A xorb must hold complete chunks, got {size} bytes that do not.")
    return offsets


def _unpack(head: bytes, packed: bytes) -> bytes:
    """The content of one chunk."""
    scheme, size = head[4], int.from_bytes(head[5:8], "little")
    try:
        data = packed if scheme == 0 else lz4.frame.decompress(packed)
    except RuntimeError as error:
        raise HubError(400, f"A chunk of a xorb can't be decompressed: {error}") from error
    if scheme == 2:  # stored as all first bytes of the 4-byte groups, then all second bytes, ...
        grouped, data, start = data, bytearray(len(data)), 0
        for lane in range(4):
            count = len(range(lane, len(data), 4))
            data[lane::4] = grouped[start : start + count]
            start += count
    if len(data) != size or scheme > 2:
        raise HubError(400, f"A chunk must have {size} bytes, got {len(data)} (scheme {scheme}).")
    return bytes(data)


class XetStore:
    """The xorbs of a hub.

    Args:
        folder: Holds the xorbs, by their hash.
        blobs: Stores the rebuilt files.
    """

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self.folder, self.blobs = folder, blobs

    def add_xorb(self, hash: str, chunks: Iterable[bytes]) -> bool:
        """Store a xorb. Returns whether it is new."""
        path = self.folder / check_sha256(hash)
        with self.blobs.temporary_file(chunks) as (file, _):
            chunk_offsets.__wrapped__(file)  # not cached, because the file moves
            return move_into_place(file, path)

    def add_shard(self, shard: bytes) -> None:
        """Rebuild and store the files of a shard.

        Raises:
            HubError: 400 when a xorb is missing or a file does not have its sha256.
        """
        for terms, sha256 in parse_shard(shard):
            self.blobs.add(self._rebuild(terms), sha256)

    def _rebuild(self, terms: list[Term]) -> Iterator[bytes]:
        """The content of a file, one chunk at a time."""
        for term in terms:
            path = self.folder / term.xorb
            try:
                offsets = chunk_offsets(path)
            except FileNotFoundError as error:
                raise HubError(400, f"Upload the xorb {term.xorb} before its shard.") from error
            if not 0 <= term.start < term.end < len(offsets):
                raise HubError(400, f"{term} must lie in the xorb's {len(offsets) - 1} chunks.")
            with open(path, "rb") as file:
                file.seek(offsets[term.start])
                for _ in range(term.start, term.end):
                    head = file.read(8)
                    yield _unpack(head, file.read(int.from_bytes(head[1:4], "little")))
