"""Commits, refs and settings of one repository, as files in its folder.

    settings.json         visibility, gated, Space settings
    refs/heads/main       the sha of a commit; the name is percent-encoded, so it is one file
    refs/tags/  refs/pr/  the same for tags and pull requests
    commits/SHA.json      parent, author, date, message, and all files of the revision
    lock                  held while a ref moves

A commit is written before the ref that names it is replaced, so a process killed anywhere in
between leaves the old revision, and a commit nobody names.

A repository may be deleted, or moved by hand, at any moment. Whatever is then missing of it raises
`RepoGone`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from . import disk
from .commits import Commit, Edit, apply_edits, read_commit, write_commit
from .errors import HubError, RepoGone, missing_revision
from .names import check_ref

_REF_FOLDERS = {"heads", "tags", "pr"}


class Repo:
    """One repository on disk.

    Args:
        folder: Where it lies.
        kind: `models`, `datasets` or `spaces`.
        id: `namespace/name`.
    """

    def __init__(self, folder: Path, kind: str, id: str) -> None:
        self.folder, self.kind, self.id = folder, kind, id
        self.namespace = id.split("/")[0]
        self.url_path = f"{'' if kind == 'models' else kind + '/'}{id}"

    @property
    def settings(self) -> dict[str, Any]:
        """Visibility, gating and, of a Space, its variables, hardware and so on."""
        with self._present():
            settings: dict[str, Any] = disk.read_json(self.folder / "settings.json")
        return settings

    @property
    def private(self) -> bool:
        """Whether only tokens of its namespace may see it."""
        return bool(self.settings["visibility"] == "private")

    @contextmanager
    def _present(self) -> Iterator[None]:
        """Raise `RepoGone` where a file that has to be there is missing."""
        try:
            yield
        except FileNotFoundError as error:
            raise RepoGone(self.id) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the repository: nothing else changes, moves or deletes it."""
        with self._present(), disk.locked(self.folder):
            yield

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """The settings, to change in place; they are written when the block ends well."""
        with self.locked():
            settings = self.settings
            yield settings
            disk.write_json(self.folder / "settings.json", settings)

    def _ref(self, folder: str, name: str) -> Path:
        return self.folder / "refs" / folder / quote(name, safe="")

    def refs(self, folder: str) -> dict[str, str]:
        """Name → commit sha of all refs in `heads`, `tags` or `pr`."""
        with self._present():
            files = sorted((self.folder / "refs" / folder).glob("[!.]*"))
            shas = {unquote(file.name): _read_ref(file) for file in files}
            (self.folder / "settings.json").stat()
        return {name: sha for name, sha in shas.items() if sha}

    def add_ref(self, folder: str, name: str, sha: str) -> None:
        """Create a branch or a tag.

        Raises:
            HubError: 409 when it exists, 400 when the name is not one.
        """
        path = self._ref(folder, check_ref(name))
        with self.locked():
            if path.exists():
                raise HubError(409, f"Reference already exists: {name}")
            disk.write(path, sha.encode())

    def remove_ref(self, folder: str, name: str) -> None:
        """Remove a branch or a tag; its commits stay reachable by their sha.

        Raises:
            HubError: 404 when there is none.
        """
        with self.locked():
            if name not in self.refs(folder):
                raise missing_revision(name)
            self._ref(folder, name).unlink()

    def resolve(self, revision: str) -> str:
        """The commit sha that a branch, a tag, a full ref or the start of a sha stands for.

        Raises:
            HubError: 404 RevisionNotFound when nothing has that name.
        """
        name = "main" if revision == "HEAD" else revision
        folders = ["heads", "tags"]
        if name.startswith("refs/") and name.count("/") >= 2:
            _, folder, name = name.split("/", 2)
            folders = [folder] if folder in _REF_FOLDERS else []
        with self._present():
            for folder in folders:
                path = self._ref(folder, name)
                if len(path.name) < 256 and (sha := _read_ref(path)):
                    return sha
            if 7 <= len(revision) <= 40 and set(revision) <= set("0123456789abcdef"):
                found = list((self.folder / "commits").glob(f"{revision}*.json"))
                if len(found) == 1:
                    return found[0].stem
            (self.folder / "settings.json").stat()
        raise missing_revision(revision)

    def revision(self, revision: str) -> Commit:
        """The commit that `revision` stands for; see `resolve`."""
        return self.at(self.resolve(revision))

    def at(self, sha: str) -> Commit:
        """The commit `sha`."""
        with self._present():
            return read_commit(self.folder / "commits" / f"{sha}.json")

    def history(self, revision: str) -> Iterator[Commit]:
        """The commits of a revision, newest first."""
        sha: str | None = self.resolve(revision)
        while sha:
            commit = self.at(sha)
            yield commit
            sha = commit.parent

    def record(
        self,
        edits: Iterable[Edit],
        *,
        title: str,
        author: str,
        message: str = "",
        ref: tuple[str, str] = ("heads", "main"),
        start: str | None = None,
        parent: str | None = None,
    ) -> Commit:
        """Make a commit and move a ref to it.

        Args:
            edits: The changes, applied in their order.
            title: First line of the message.
            author: Name of the user.
            message: The rest of the message.
            ref: Folder and name of the ref that moves.
            start: The commit a new ref starts from; left out, the ref goes on from its own.
            parent: The commit the ref must still be at, whole or its first digits.

        Returns:
            The new commit; or the old one, when nothing changes.

        Raises:
            HubError: 412 when the ref has moved on, 409 when a new ref is not new, 404 when a
                file to delete is absent.
        """
        path = self._ref(*ref)
        with self.locked():
            if start and path.exists():
                raise HubError(409, f"{'/'.join(ref)} exists already. Please try again.")
            start = start or _read_ref(path)
            if parent is not None and not (start or "").startswith(parent):
                raise HubError(
                    412,
                    "A commit has happened since. Please refresh and try again."
                    f" (The parent must be {start}, got {parent}.)",
                )
            head = self.at(start) if start else None
            files = apply_edits(head, edits)
            if head and files == head.files:
                commit = head
            else:
                commits = self.folder / "commits"
                commit = write_commit(commits, start, title, message, author, files)
            disk.write(path, commit.sha.encode())
        return commit


def _read_ref(path: Path) -> str | None:
    """The commit that a ref names, or None when there is no such ref."""
    try:
        return path.read_text()
    except (FileNotFoundError, IsADirectoryError):
        return None
