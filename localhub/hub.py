"""The whole hub on disk: repositories of three kinds over one store of contents.

ROOT/hub.json                          the hub's id and the key it signs grants with
ROOT/token, token-read, token-admin    random secrets, see tokens.py
ROOT/tokens.json, faults.json          optional, written by hand
ROOT/models/USER/NAME/                 a repository, see repos.py; also datasets/ and spaces/
ROOT/blobs/ab/abcd…                    every content once, named by its sha256
ROOT/xet/xorbs/…, files/…, sha256/…    what xet clients sent, see xet.py
ROOT/tmp/                              uploads under way, and the files of running Spaces
"""

import os
import secrets
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter

from . import disk
from .bodies import read
from .commits import Commit, Edit, Entry, now
from .errors import RepoGone
from .names import KINDS, check_repo_id, is_repo_id
from .repos import Repo
from .tokens import load_tokens
from .validate import card_of
from .xet import XetStore

# What the Hub's own .gitattributes sends to LFS.
LFS_PATTERNS = (
    "*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack"
    " *.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors"
    " *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*"
).split()

RENEW = "Remove it; a new one is made, and clients have to begin their uploads again."
Read = TypeVar("Read")


class Identity(BaseModel):
    """What hub.json holds."""

    id: str = Field(pattern=r"^[0-9a-f]{16}\z")
    secret: str = Field(pattern=r"^[0-9a-f]{64}\z")


class Hub:
    """Everything under one folder.

    Args:
        root: The folder; it is made when absent.

    Raises:
        ValueError: One of its files is damaged, or others may read a secret.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.temporary = self.root / "tmp"
        self.blobs = disk.Blobs(self.root / "blobs", self.temporary)
        self.xet = XetStore(self.root / "xet", self.blobs)
        self.temporary.mkdir(parents=True, exist_ok=True)
        with disk.locked(self.temporary):
            if disk.is_alone(self.root):
                written = [self.root / name for name in (*KINDS, "xet")]
                disk.sweep(self.root, self.temporary, written)
            self.tokens = {token.token: token for token in load_tokens(self.root)}
            file = self.root / "hub.json"
            if not file.exists():
                new = {"id": secrets.token_hex(8), "secret": secrets.token_hex(32)}
                disk.write_json(file, new)
            identity = read(file, TypeAdapter(Identity), "as localhub has written it", RENEW)
        self.id, self.secret = identity.id, identity.secret

    def find(self, kind: str, repo_id: str) -> Repo | None:
        """The repository of that name, or None."""
        if not is_repo_id(repo_id):
            return None
        folder = self.root / kind / repo_id
        return Repo(folder, kind, repo_id) if (folder / "settings.json").is_file() else None

    def each(self, kind: str, read: Callable[[Repo], Read]) -> Iterator[Read]:
        """What `read` gives for each repository of a kind, by name, but for those that go away."""
        for settings in sorted((self.root / kind).glob("*/*/settings.json")):
            folder = settings.parent
            with suppress(RepoGone):
                yield read(Repo(folder, kind, f"{folder.parent.name}/{folder.name}"))

    def create(self, kind: str, repo_id: str, author: str, settings: dict[str, object]) -> Repo:
        """Make a repository with its first commit.

        Raises:
            FileExistsError: When the name is taken.
            HubError: 400 when it is not a name.
        """
        folder = self.root / kind / check_repo_id(repo_id)
        if folder.exists():
            raise FileExistsError(folder)
        draft = self.temporary / uuid.uuid4().hex
        draft.mkdir()
        disk.write_json(draft / "settings.json", {"created": now(), **settings})
        first = {".gitattributes": _gitattributes()}
        if kind == "spaces":
            first["README.md"] = _space_readme(repo_id, str(settings["sdk"]))
        edits = [Edit("add", path, self.add(content)) for path, content in first.items()]
        Repo(draft, kind, repo_id).record(edits, title="initial commit", author=author)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(draft, folder)
        except OSError as error:  # somebody was faster
            shutil.rmtree(draft)
            raise FileExistsError(folder) from error
        disk.sync_folder(folder.parent)
        return Repo(folder, kind, repo_id)

    def remove(self, repo: Repo) -> None:
        """Remove a repository; contents stay in the blobs, where others may share them."""
        doomed = self.temporary / uuid.uuid4().hex
        with repo.locked():
            os.rename(repo.folder, doomed)
        shutil.rmtree(doomed)

    def add(self, content: bytes) -> Entry:
        """Store a small text file."""
        entry = Entry.regular(content)
        if self.blobs.size(entry.sha256) is None:
            self.blobs.add([content])
        return entry

    def content(self, entry: Entry) -> Path:
        """Where the content of an entry lies."""
        return self.blobs.path(entry.sha256)

    def card(self, commit: Commit) -> dict[str, Any]:
        """The metadata at the head of a revision's README.md; empty when it is not valid."""
        readme = commit.files.get("README.md")
        text = self.content(readme).read_text("utf-8", "replace") if readme else ""
        return card_of(text)


def _gitattributes() -> bytes:
    lines = [f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS]
    return "".join(lines).encode()


def _space_readme(repo_id: str, sdk: str) -> bytes:
    title = repo_id.split("/")[1]
    return f"---\ntitle: {title}\nsdk: {sdk}\ncolorFrom: blue\ncolorTo: gray\n---\n".encode()
