"""Atomic writes: a file is either complete or absent, whenever the process is killed.

Everything is written to a temporary file, synced, and renamed. A rename is atomic on POSIX, so a
reader sees either the old file or the new one.
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

_TEMPORARY_PREFIX = ".write-"


def sync_folder(folder: Path) -> None:
    """Make the renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes) -> None:
    """Replace the content of `path` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY_PREFIX)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """Replace the content of `path` by `value` as JSON, atomically."""
    write(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode())


def read_json(path: Path) -> Any:
    """The JSON value in `path`."""
    return json.loads(path.read_bytes())


def move_into_place(file: Path, path: Path) -> bool:
    """Move a complete, synced file to `path`. Returns False if `path` exists already."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file, path)
    sync_folder(path.parent)
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder` against other threads and other servers.

    Raises:
        FileNotFoundError: The folder is absent, or was moved away while waiting for the lock.
    """
    path = folder / "lock"
    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise FileNotFoundError(errno.ENOENT, "the folder was replaced", str(folder))
        yield


def is_only_server(root: Path) -> bool:
    """Register this process as a server of `root`. Returns whether there is no other one.

    Raises:
        OSError: The lock file can't be created.
    """
    # Never closed: the kernel releases the lock when the process ends, also when it is killed.
    descriptor = os.open(root / "servers", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        is_only = False
    else:
        is_only = True
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return is_only


def remove_leftovers(root: Path, temporary: Path, folders: Iterable[Path]) -> None:
    """Remove the partial files of killed servers.

    Args:
        root: May hold temporary files of `write`, not in its subfolders.
        temporary: Everything in it is removed, except the lock.
        folders: May hold temporary files of `write` at any depth.
    """
    for leftover in temporary.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
        elif leftover.name != "lock":
            leftover.unlink()
    pattern = f"{_TEMPORARY_PREFIX}*"
    for file in chain(root.glob(pattern), *(folder.rglob(pattern) for folder in folders)):
        file.unlink(missing_ok=True)


class Blobs:
    """The contents of all files, stored once each, named by their sha256.

    Args:
        folder: Holds the contents as `folder/ab/abcd...`.
        temporary: Holds unfinished uploads. On the same file system.
    """

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder = folder
        self.temporary = temporary

    def path(self, sha256: str) -> Path:
        """The path of a content, which may be absent."""
        return self.folder / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """The size of a content in bytes, or None when it is absent."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    @contextmanager
    def temporary_file(self, chunks: Iterable[bytes]) -> Iterator[tuple[Path, str]]:
        """Write `chunks` to a synced temporary file. Yields its path and sha256."""
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

    def add(self, chunks: Iterable[bytes], expected_sha256: str | None = None) -> str:
        """Store a content, streamed. Returns its sha256.

        Raises:
            HubError: 400 when the content does not have `expected_sha256`.
        """
        with self.temporary_file(chunks) as (file, sha256):
            if expected_sha256 not in (None, sha256):
                raise HubError(
                    400,
                    f"The content must have the sha256 {expected_sha256}, got {sha256}."
                    " Send it again.",
                )
            move_into_place(file, self.path(sha256))
        return sha256
