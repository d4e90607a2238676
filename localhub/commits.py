"""Revisions: a commit is a JSON file that lists every file it holds, and names its parent."""

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


def now() -> str:
    """This moment in UTC, as the Hub writes it: `2026-11-23T17:19:00.000Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Entry:
    """One file of a revision.

    Args:
        sha256: Names the content in the blobs.
        size: Of the content, in bytes.
        oid: git's id: of the content, or of the pointer when the file is in LFS.
        lfs: Whether clients see it as a large file (by sha256) or as a git blob (by oid).
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
        """The entry of a file in LFS or xet."""
        return cls(sha256, size, git_oid(pointer(sha256, size)), True)

    def lfs_fields(self, oid_key: str) -> dict[str, object]:
        """What clients read about a large file; they call its sha256 `oid` or `sha256`."""
        pointer_bytes = len(pointer(self.sha256, self.size))
        return {oid_key: self.sha256, "size": self.size, "pointerSize": pointer_bytes}

    @property
    def etag(self) -> str:
        """What clients cache the content by, and compare to skip an unchanged upload."""
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Edit:
    """One change of a commit: `entry` is what an added path holds from now on."""

    action: Literal["add", "delete", "delete_folder"]
    path: str
    entry: Entry | None = None


@dataclass(frozen=True)
class Commit:
    """A revision: who made it, and every file it holds."""

    sha: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, Entry]


def pointer(sha256: str, size: int) -> bytes:
    """The text that git stores in place of an LFS file."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    )


def git_oid(content: bytes) -> str:
    """The id that `git hash-object` gives to `content`."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


@lru_cache(maxsize=256)
def read_commit(path: Path) -> Commit:
    """Read a commit; it never changes, so it is kept."""
    fields = disk.read_json(path)
    files = {name: Entry(**entry) for name, entry in fields.pop("files").items()}
    return Commit(sha=path.stem, files=files, **fields)


def folders_of(paths: Iterable[str]) -> set[str]:
    """The folders that hold `paths`, at any depth."""
    return {path[:at] for path in paths for at, char in enumerate(path) if char == "/"}


def apply_edits(head: Commit | None, edits: Iterable[Edit]) -> dict[str, Entry]:
    """The files of `head` after `edits`, in their order."""
    files = dict(head.files) if head else {}
    for edit in edits:
        if edit.action == "add":
            assert edit.entry is not None
            files[edit.path] = edit.entry
            continue
        folder = edit.path.rstrip("/") + "/"
        inside = [path for path in files if path.startswith(folder)]
        doomed = inside if edit.action == "delete_folder" else [edit.path]
        if not doomed or doomed[0] not in files:
            kind = "folder" if edit.action == "delete_folder" else "file"
            message = f"A {kind} with this name doesn't exist: {edit.path}"
            raise missing_entry(message, head.sha if head else "")
        for path in doomed:
            del files[path]
    if both := sorted(folders_of(files) & files.keys()):
        raise HubError(400, f"A path can't be a file and a folder at once, got {both[0]!r}.")
    return files


def write_commit(
    folder: Path, parent: str | None, title: str, message: str, author: str, files: dict[str, Entry]
) -> Commit:
    """Write a commit to `folder`, under the sha1 of what it says."""
    fields = {
        "parent": parent,
        "title": title,
        "message": message,
        "author": author,
        "date": now(),
        "files": {name: asdict(entry) for name, entry in sorted(files.items())},
    }
    sha = hashlib.sha1(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    disk.write_json(folder / f"{sha}.json", fields)
    return read_commit(folder / f"{sha}.json")
