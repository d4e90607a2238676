"""Commits, tags and settings of one repository, as files in its folder.

    settings.json         visibility, gated, Space settings
    refs/heads/main       the sha of a commit
    refs/tags/            the same for tags; their names are percent-encoded, so each is one file
    commits/SHA.json      parent, author, date, message, and all files of the revision
    lock                  held while a ref moves

A commit is written before its branch is moved to it. A process killed in between leaves the old
revision and an unreferenced commit.

A repository can be deleted, or moved by hand, at any time. `RepoGone` is raised then.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from . import disk
from .commits import Commit, Edit, apply_edits, read_commit, write_commit
from .errors import HubError, RepoGone, missing_revision
from .names import check_ref

RefFolder = Literal["heads", "tags"]


class Repo:
    """One repository on disk.

    Args:
        folder: Its folder.
        kind: `models`, `datasets` or `spaces`.
        id: `namespace/name`.
    """

    def __init__(self, folder: Path, kind: str, id: str) -> None:
        self.folder, self.kind, self.id = folder, kind, id
        self.namespace = id.split("/")[0]
        self.url_path = f"{'' if kind == 'models' else kind + '/'}{id}"

    @property
    def settings(self) -> dict[str, Any]:
        """Visibility, gating and, for a Space, its SDK, hardware, variables and so on."""
        with self._require_files():
            settings: dict[str, Any] = disk.read_json(self.folder / "settings.json")
        return settings

    @property
    def private(self) -> bool:
        """Whether it is hidden from users outside its namespace."""
        return bool(self.settings["visibility"] == "private")

    @contextmanager
    def _require_files(self) -> Iterator[None]:
        """Raise `RepoGone` when a file that every repository has is missing."""
        try:
            yield
        except FileNotFoundError as error:
            raise RepoGone(self.id) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the repository: nothing else changes, moves or deletes it."""
        with self._require_files(), disk.locked(self.folder):
            yield

    @contextmanager
    def edit_settings(self) -> Iterator[dict[str, Any]]:
        """The settings, to change in place. They are written when the block ends without error."""
        with self.locked():
            settings = self.settings
            yield settings
            disk.write_json(self.folder / "settings.json", settings)

    def _ref(self, folder: str, name: str) -> Path:
        return self.folder / "refs" / folder / quote(name, safe="")

    def refs(self, folder: RefFolder) -> dict[str, str]:
        """Name → commit sha of the branch main (`heads`) or of all tags."""
        with self._require_files():
            files = sorted((self.folder / "refs" / folder).glob("[!.]*"))
            shas = {unquote(file.name): _read_ref(file) for file in files}
            (self.folder / "settings.json").stat()
        return {name: sha for name, sha in shas.items() if sha}

    def add_tag(self, name: str, sha: str) -> None:
        """Create a tag.

        Raises:
            HubError: 409 when it exists, 400 when the name is invalid.
        """
        path = self._ref("tags", check_ref(name))
        with self.locked():
            if path.exists():
                raise HubError(409, f"Reference already exists: {name}")
            disk.write(path, sha.encode())

    def remove_tag(self, name: str) -> None:
        """Remove a tag. Its commit can still be reached by its sha.

        Raises:
            HubError: 404 when it is absent.
        """
        with self.locked():
            if name not in self.refs("tags"):
                raise missing_revision(name)
            self._ref("tags", name).unlink()

    def resolve(self, revision: str) -> str:
        """The commit sha of main, a tag, a full ref or an abbreviated sha.

        Raises:
            HubError: 404 RevisionNotFound when nothing has that name.
        """
        name, folders = "main" if revision == "HEAD" else revision, ["heads", "tags"]
        for folder in ("heads", "tags"):
            if revision.startswith(f"refs/{folder}/"):
                name, folders = revision.removeprefix(f"refs/{folder}/"), [folder]
        with self._require_files():
            for folder in folders:
                path = self._ref(folder, name)
                if len(path.name) < 256 and (sha := _read_ref(path)):
                    return sha
            if 7 <= len(revision) <= 40 and set(revision) <= set("0123456789abcdef"):
                matches = list((self.folder / "commits").glob(f"{revision}*.json"))
                if len(matches) == 1:
                    return matches[0].stem
            (self.folder / "settings.json").stat()
        raise missing_revision(revision)

    def revision(self, revision: str) -> Commit:
        """The commit of a revision; see `resolve`."""
        return self.commit(self.resolve(revision))

    def commit(self, sha: str) -> Commit:
        """The commit `sha`."""
        with self._require_files():
            return read_commit(self.folder / "commits" / f"{sha}.json")

    def history(self, revision: str) -> Iterator[Commit]:
        """The commits of a revision, newest first."""
        sha: str | None = self.resolve(revision)
        while sha:
            commit = self.commit(sha)
            yield commit
            sha = commit.parent

    def add_commit(
        self,
        edits: Iterable[Edit],
        *,
        title: str,
        author: str,
        message: str = "",
        parent: str | None = None,
    ) -> Commit:
        """Make a commit and move the branch main to it.

        Args:
            edits: The changes, applied in this order.
            title: First line of the message.
            author: Name of the user.
            message: The rest of the message.
            parent: The sha that main must still have, possibly abbreviated.

        Returns:
            The new commit, or the current one when nothing changes.

        Raises:
            HubError: 412 when main has moved, 404 when a file to delete is absent.
        """
        path = self._ref("heads", "main")
        with self.locked():
            head_sha = _read_ref(path)
            if parent is not None and not (head_sha or "").startswith(parent):
                raise HubError(
                    412,
                    "A commit has happened since. Please refresh and try again."
                    f" (The parent must be {head_sha}, got {parent}.)",
                )
            head = self.commit(head_sha) if head_sha else None
            files = apply_edits(head, edits)
            if head and files == head.files:
                return head
            folder = self.folder / "commits"
            commit = write_commit(folder, head_sha, title, message, author, files)
            disk.write(path, commit.sha.encode())
        return commit


def _read_ref(path: Path) -> str | None:
    """The commit sha in a ref's file, or None when it is absent."""
    try:
        return path.read_text()
    except (FileNotFoundError, IsADirectoryError):
        return None
