"""ZIP archives of tables, such as the export of a Letterboxd account, and Excel workbooks.

In: an open file. Out: what it is, and the one table inside; or `InvalidFile`.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO

from space.files import InvalidFile

ZIP_START = b"PK\x03\x04"
WORKBOOK = "xl/workbook.xml"
# Other archives by a file that they contain.
KINDS = {
    "word/document.xml": "a Word document, not a table",
    "ppt/presentation.xml": "a presentation, not a table",
    "content.xml": "an OpenDocument file. Save the table as Excel workbook (.xlsx) or CSV",
    "xl/workbook.bin": "a binary Excel workbook. Save it as Excel workbook (.xlsx)",
}
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson", ".parquet")
REVIEWS = re.compile(r"reviews?\.\w+", re.IGNORECASE)  # taken if there are several tables
MAX_LISTED = 5


def is_zip(stream: BinaryIO) -> bool:
    """Whether a stream is a ZIP archive, which workbooks are, too; it is left at its start."""
    stream.seek(0)
    start = stream.read(len(ZIP_START))
    stream.seek(0)
    return start == ZIP_START


@contextmanager
def open_zip(stream: BinaryIO, name: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive.

    Raises:
        InvalidFile: It is damaged or encrypted; also raised while its files are read.
    """
    try:
        archive = zipfile.ZipFile(stream)
    except Exception as error:  # a damaged directory makes zipfile raise exceptions of any type
        raise _broken(error, name) from error
    try:
        with archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise _broken(error, name) from error
    except RuntimeError as error:  # of zipfile, for encrypted files
        if "password" not in str(error):
            raise
        raise InvalidFile(f"{name} is encrypted. Save it without a password.") from error


def find_table(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo | None:
    """The table in an archive: the only one, or the one called "reviews"; None for a workbook.

    Raises:
        InvalidFile: There is no table, or it is not clear which one is meant.
    """
    files = {info.filename: info for info in archive.infolist() if info.filename[-1:] not in "/"}
    if WORKBOOK in files:
        return None
    if kind := next((kind for inside, kind in KINDS.items() if inside in files), None):
        raise InvalidFile(f"{name} is {kind}.")
    paths = [path for path in map(PurePosixPath, files) if _is_table(path)]
    # Letterboxd keeps deleted reviews in a folder of their own.
    paths = [path for path in paths if len(path.parts) == min(len(p.parts) for p in paths)]
    reviews = [path for path in paths if REVIEWS.fullmatch(path.name)]
    if len(candidates := reviews if len(paths) > 1 else paths) == 1:
        return files[str(candidates[0])]
    if not paths:
        raise InvalidFile(f"{name} is a ZIP archive without a table. Put a CSV file into it.")
    listed = ", ".join(path.name for path in paths[:MAX_LISTED])
    raise InvalidFile(
        f"{name} is a ZIP archive of {len(paths):,} tables ({listed}"
        f"{' …' * (len(paths) > MAX_LISTED)}). Unpack it and choose one of them, or call one "
        "reviews.csv."
    )


def _broken(error: Exception, name: str) -> InvalidFile:
    reason = str(error).strip().rstrip(".") or "it ends early"
    return InvalidFile(f"{name} is a broken ZIP archive: {reason}.")


def _is_table(path: PurePosixPath) -> bool:
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not is_hidden and path.suffix.lower() in TABLE_SUFFIXES
