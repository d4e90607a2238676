"""Bytes → files that are either whole or absent, whatever kills the process.

Everything is written to a temporary file, synced, and renamed into place; a rename is atomic
on POSIX, so a reader sees the old file or the new one.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from .errors import HubError

_DRAFT = ".write-"


def sync_folder(folder: Path) -> None:
    """Make the renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data`, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_DRAFT)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """Replace the content of `path` by `value` as JSON, at once."""
    write(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode())


def read_json(path: Path) -> Any:
    """The JSON value in `path`."""
    return json.loads(path.read_bytes())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, against threads of this server and against other servers.

    Raises:
        FileNotFoundError: The folder is absent, or was moved away before the lock was free.
    """
    path = folder / "lock"
    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise FileNotFoundError(errno.ENOENT, "another folder has taken its place", str(folder))
        yield


def is_alone(folder: Path) -> bool:
    """Whether no other server uses `folder`; from now on until its end, this process does.

    Raises:
        OSError: The lock can't be made.
    """
    # Never closed: the kernel releases it with the process, also after a kill.
    server = os.open(folder / "servers", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        alone = False
    else:
        alone = True
    fcntl.flock(server, fcntl.LOCK_SH)
    return alone


def sweep(root: Path, temporary: Path, folders: Iterable[Path]) -> None:
    """Remove what killed servers have left half-written.

    Args:
        root: Where `write` may have left temporary files.
        temporary: Holds nothing but drafts and a lock.
        folders: Where `write` may have left temporary files at any depth.
    """
    for leftover in temporary.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
        elif leftover.name != "lock":
            leftover.unlink()
    drafts = [folder.rglob(f"{_DRAFT}*") for folder in folders]
    for draft in chain(root.glob(f"{_DRAFT}*"), *drafts):
        draft.unlink(missing_ok=True)


class Blobs:
    """Every content the hub holds, once, in files named by their sha256.

    Args:
        folder: Where the contents lie, as `folder/ab/abcd...`.
        temporary: Where uploads grow until they are whole; on the same file system.
    """

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder = folder
        self.temporary = temporary

    def path(self, sha256: str) -> Path:
        """Where the content `sha256` lies, or would."""
        return self.folder / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """The size of a content in bytes, or None when it is absent."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    @contextmanager
    def growing(self, chunks: Iterable[bytes]) -> Iterator[tuple[Path, str]]:
        """Write `chunks` to a synced temporary file; yield it with its sha256, then drop it."""
        digest = hashlib.sha256()
        descriptor, name = tempfile.mkstemp(dir=self.temporary)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(descriptor)
            yield Path(name), digest.hexdigest()
        finally:
            Path(name).unlink(missing_ok=True)

    def add(self, chunks: Iterable[bytes], sha256: str | None = None) -> str:
        """Store a content and return its sha256.

        Args:
            chunks: The content, in pieces; it is never held whole in memory.
            sha256: What the content must hash to, when the sender has said so.

        Raises:
            HubError: 400 when the content has another hash than announced.
        """
        with self.growing(chunks) as (file, actual):
            if sha256 not in (None, actual):
                raise HubError(
                    400, f"The content must have the sha256 {sha256}, got {actual}. Send it again."
                )
            settle(file, self.path(actual))
        return actual


def settle(file: Path, path: Path) -> bool:
    """Move a whole, synced file to `path` unless it is there already; whether it was moved."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file, path)
    sync_folder(path.parent)
    return True
