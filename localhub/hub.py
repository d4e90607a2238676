"""The whole hub on disk: repositories of three kinds, and the contents they share.

ROOT/token, token-read, token-admin    random secrets, see tokens.py
ROOT/tokens.json, faults.json          optional, written by hand
ROOT/models/USER/NAME/                 a repository, see repos.py; also datasets/ and spaces/
ROOT/blobs/ab/abcd…                    every content once, named by its sha256
ROOT/tmp/                              unfinished uploads, xorbs (xet.py), files of running Spaces
"""

import os
import secrets
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from . import disk
from .commits import Commit, Edit, Entry, timestamp
from .errors import RepoGone
from .names import KINDS, check_repo_id, is_repo_id
from .repos import Repo
from .tokens import Grants, load_tokens
from .validate import read_card
from .xet import XetStore

# The Hub's default .gitattributes puts these into LFS.
LFS_PATTERNS = (
    "*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack"
    " *.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors"
    " *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*"
).split()
_GITATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS
)
Result = TypeVar("Result")


class Hub:
    """Everything under one folder.

    Args:
        root: The folder. It is created when absent.

    Raises:
        ValueError: A file with tokens is damaged, or others may read it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.temporary = self.root / "tmp"
        self.blobs = disk.Blobs(self.root / "blobs", self.temporary)
        self.id = secrets.token_hex(8)  # of this process
        self.grants = Grants()
        self.xet = XetStore(self.temporary / f"xorbs-{self.id}", self.blobs)
        self.temporary.mkdir(parents=True, exist_ok=True)
        with disk.locked(self.temporary):
            if disk.is_only_server(self.root):
                disk.remove_leftovers(
                    self.root, self.temporary, [self.root / kind for kind in KINDS]
                )
            self.tokens = {token.token: token for token in load_tokens(self.root)}

    def find(self, kind: str, repo_id: str) -> Repo | None:
        """The repository of that name, or None."""
        if not is_repo_id(repo_id):
            return None
        folder = self.root / kind / repo_id
        return Repo(folder, kind, repo_id) if (folder / "settings.json").is_file() else None

    def map_repos(self, kind: str, function: Callable[[Repo], Result]) -> Iterator[Result]:
        """The result of `function` for each repository of a kind, by name.

        Repositories that are deleted meanwhile are skipped.
        """
        for settings in sorted((self.root / kind).glob("*/*/settings.json")):
            folder = settings.parent
            with suppress(RepoGone):
                yield function(Repo(folder, kind, f"{folder.parent.name}/{folder.name}"))

    def create(self, kind: str, repo_id: str, author: str, settings: dict[str, object]) -> Repo:
        """Create a repository with its first commit.

        Raises:
            FileExistsError: It exists already.
            HubError: 400 when the name is invalid.
        """
        folder = self.root / kind / check_repo_id(repo_id)
        if folder.exists():
            raise FileExistsError(folder)
        draft = self.temporary / uuid.uuid4().hex
        draft.mkdir()
        disk.write_json(draft / "settings.json", {"created": timestamp(), **settings})
        files = {".gitattributes": _GITATTRIBUTES}
        if kind == "spaces":
            title = repo_id.split("/")[1]
            header = f"title: {title}\nsdk: {settings['sdk']}\ncolorFrom: blue\ncolorTo: gray\n"
            files["README.md"] = f"---\n{header}---\n"
        edits = [Edit("add", path, self.add(text.encode())) for path, text in files.items()]
        Repo(draft, kind, repo_id).add_commit(edits, title="initial commit", author=author)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(draft, folder)
        except OSError as error:  # another request created it meanwhile
            shutil.rmtree(draft)
            raise FileExistsError(folder) from error
        disk.sync_folder(folder.parent)
        return Repo(folder, kind, repo_id)

    def remove(self, repo: Repo) -> None:
        """Remove a repository. Its contents stay in the blobs: other repositories may use them."""
        removed = self.temporary / uuid.uuid4().hex
        with repo.locked():
            os.rename(repo.folder, removed)
        shutil.rmtree(removed)

    def add(self, content: bytes) -> Entry:
        """Store a small text file."""
        entry = Entry.regular(content)
        if self.blobs.size(entry.sha256) is None:
            self.blobs.add([content])
        return entry

    def path(self, entry: Entry) -> Path:
        """The path of an entry's content."""
        return self.blobs.path(entry.sha256)

    def readme(self, commit: Commit) -> str:
        """The text of a revision's README.md; empty when it is absent."""
        entry = commit.files.get("README.md")
        return self.path(entry).read_text("utf-8", "replace") if entry else ""

    def card(self, commit: Commit) -> dict[str, Any]:
        """The metadata of a revision's README.md; empty when absent or invalid."""
        return read_card(self.readme(commit))
