"""Files of npm packages at pinned versions, for the static Space.

In: a JSON file of pins (package → `version`, `integrity` and `files`). Out: local copies of the
files. `npm pack` downloads them, so that npm's own settings (registry, proxy) apply; the SHA-512 of
each package is checked.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from train import console
from train.environment import REPOSITORY
from train.errors import HubError

CACHE = REPOSITORY / ".cache" / "npm"
PACK_SECONDS = 600  # time limit of one download


def fetch(pins: Path, cache: Path = CACHE) -> dict[str, Path]:
    """The pinned files; packages that the cache does not have are downloaded.

    Args:
        pins: The file of pins.
        cache: The folder of the copies, one folder for each package and version.

    Returns:
        `PACKAGE/PATH`, the path inside the package → the local copy.

    Raises:
        HubError: npm is missing, the download fails, or a package is not the pinned one.
    """
    files: dict[str, Path] = {}
    for package, pin in json.loads(pins.read_text(encoding="utf-8")).items():
        folder = cache / f"{package.replace('/', '-')}-{pin['version']}"
        copies = {name: folder / name for name in pin["files"]}
        if not all(copy.is_file() for copy in copies.values()):
            _download(package, pin, folder)
        files |= {f"{package}/{name}": copy for name, copy in copies.items()}
    return files


def _download(package: str, pin: dict[str, Any], folder: Path) -> None:
    """Download a package, check it, and keep its pinned files in a folder."""
    specification = f"{package}@{pin['version']}"
    console.print_line(f"downloading {specification} with npm")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        archive = _pack(specification, Path(scratch))
        digest = hashlib.sha512(archive.read_bytes()).digest()
        integrity = f"sha512-{base64.b64encode(digest).decode()}"
        if integrity != pin["integrity"]:
            raise HubError(
                f"{specification} must have the integrity {pin['integrity']}, got {integrity} — "
                "check npm's registry, or correct the pin"
            )
        content = Path(scratch) / "content"
        with tarfile.open(archive) as tar:
            members = [tar.getmember(f"package/{name}") for name in pin["files"]]
            tar.extractall(content, members, filter="data")
        shutil.rmtree(folder, ignore_errors=True)
        (content / "package").rename(folder)


def _pack(specification: str, folder: Path) -> Path:
    """The archive of a package, downloaded into a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise HubError(
            f"the static Space needs npm to download {specification} — install Node.js "
            "(https://nodejs.org), or choose --space-kind gradio"
        )
    command = [npm, "pack", specification, "--silent", "--ignore-scripts"]
    try:
        done = subprocess.run(
            [*command, "--pack-destination", str(folder)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PACK_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise HubError(
            f"`npm pack {specification}` took more than {PACK_SECONDS} s — check the network, "
            "then run the same command again"
        ) from error
    if done.returncode:
        raise HubError(
            f"`npm pack {specification}` failed ({done.stderr.strip()[-300:]}) — check the network "
            "and npm's registry, then run the same command again"
        )
    return folder / done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
