"""Files on disk of the people who use the page: uploads, and results to download.

In: paths of uploads, and the sessions of the page. Out: folders that are deleted with the session,
or when they are an hour old.
"""

import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock

from gradio.utils import get_upload_folder

KEPT_SECONDS = 3600
PREFIX = "results-"


def delete_upload(path: Path) -> None:
    """Delete an upload once it is in memory; files that are no uploads stay."""
    root = Path(get_upload_folder()).resolve()
    path = path.resolve()
    if root not in path.parents:
        return
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()  # Gradio's folder for this upload; it may have another file


class ResultFolders:
    """Folders of a session, one for each kind of file that it downloads."""

    def __init__(self) -> None:
        self._folders: dict[tuple[str, str], Path] = {}
        self._lock = Lock()

    def create(self, session: str, kind: str) -> Path:
        """A new folder; the session's previous one of this kind is deleted, and all old ones."""
        root = Path(get_upload_folder())  # from which Gradio serves files without a copy
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        with self._lock:
            previous = self._folders.pop((session, kind), None)
            self._folders[session, kind] = folder
        _delete(previous)
        self.delete_old(root)
        return folder

    def delete(self, session: str | None) -> None:
        """Delete the folders of a session."""
        with self._lock:
            keys = [key for key in self._folders if key[0] == (session or "")]
            folders = [self._folders.pop(key) for key in keys]
        for folder in folders:
            _delete(folder)

    def delete_old(self, root: Path) -> None:
        """Delete folders that are `KEPT_SECONDS` old, whatever became of their sessions."""
        oldest = time.time() - KEPT_SECONDS
        for folder in root.glob(f"{PREFIX}*"):
            with suppress(OSError):
                if folder.stat().st_mtime < oldest:
                    _delete(folder)
        with self._lock:
            kept = {key: folder for key, folder in self._folders.items() if folder.exists()}
            self._folders = kept


def _delete(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
