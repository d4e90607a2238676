"""Revisions: a commit is a JSON file that lists all files of the revision and names its parent."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from . import disk
from .errors import HubError, missing_entry


def timestamp(seconds: float | None = None) -> str:
    """A time in UTC as the Hub writes it: `2026-11-23T17:19:00.000Z`. The default is now."""
    time = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Entry:
    """One file of a revision.

    Args:
        sha256: Names the content in the blobs.
        size: Of the content, in bytes.
        oid: git's id of the content, or of the pointer file for a file in LFS.
        lfs: Whether the file is in LFS, so that clients identify it by its sha256.
    """

    sha256: str
    size: int
    oid: str
    lfs: bool

    @classmethod
    def regular(cls, content: bytes) -> "Entry":
        """The entry of a small text file."""
        return cls(hashlib.sha256(content).hexdigest(), len(content), git_oid(content), False)

    @classmethod
    def large(cls, sha256: str, size: int) -> "Entry":
        """The entry of a file in LFS."""
        return cls(sha256, size, git_oid(lfs_pointer(sha256, size)), True)

    def lfs_fields(self, sha256_key: str) -> dict[str, object]:
        """What the API reports about a file in LFS. Routes name the sha256 `oid` or `sha256`."""
        pointer_bytes = len(lfs_pointer(self.sha256, self.size))
        return {sha256_key: self.sha256, "size": self.size, "pointerSize": pointer_bytes}

    @property
    def etag(self) -> str:
        """The key under which clients cache the content."""
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Edit:
    """One change of a commit: `entry` is the new content of an added path."""

    action: Literal["add", "delete", "delete_folder"]
    path: str
    entry: Entry | None = None


@dataclass(frozen=True)
class Commit:
    """A revision: its author, its message and all of its files."""

    sha: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, Entry]


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The pointer file that git stores in place of a file in LFS."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    )


def git_oid(content: bytes) -> str:
    """The id that `git hash-object` gives to `content`."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


@lru_cache(maxsize=256)
def read_commit(path: Path) -> Commit:
    """Read a commit. Commits never change, so they are cached."""
    fields = disk.read_json(path)
    files = {name: Entry(**entry) for name, entry in fields.pop("files").items()}
    return Commit(sha=path.stem, files=files, **fields)


def folders_of(paths: Iterable[str]) -> set[str]:
    """All folders that contain `paths`, at any depth."""
    return {path[:at] for path in paths for at, char in enumerate(path) if char == "/"}


def apply_edits(head: Commit | None, edits: Iterable[Edit]) -> dict[str, Entry]:
    """The files of `head` after `edits`, in this order.

    Raises:
        HubError: 404 when a path to delete is absent, 400 when a path would be both a file and a
            folder.
    """
    files = dict(head.files) if head else {}
    for edit in edits:
        if edit.action == "add":
            assert edit.entry is not None
            files[edit.path] = edit.entry
            continue
        if edit.action == "delete_folder":
            kind, deleted = "folder", [path for path in files if path.startswith(f"{edit.path}/")]
        else:
            kind, deleted = "file", [edit.path] if edit.path in files else []
        if not deleted:
            message = f"A {kind} with this name doesn't exist: {edit.path}"
            raise missing_entry(message, head.sha if head else "")
        for path in deleted:
            del files[path]
    if conflicts := sorted(folders_of(files) & files.keys()):
        raise HubError(400, f"A path can't be both a file and a folder, got {conflicts[0]!r}.")
    return files


def write_commit(
    folder: Path, parent: str | None, title: str, message: str, author: str, files: dict[str, Entry]
) -> Commit:
    """Write a commit to `folder`, named by the sha1 of its JSON."""
    fields = {
        "parent": parent,
        "title": title,
        "message": message,
        "author": author,
        "date": timestamp(),
        "files": {name: asdict(entry) for name, entry in sorted(files.items())},
    }
    sha = hashlib.sha1(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    disk.write_json(folder / f"{sha}.json", fields)
    return read_commit(folder / f"{sha}.json")
