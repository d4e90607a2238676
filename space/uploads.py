"""Files that visitors bring, before anyone knows what is in them: how large, and in which encoding.

In: a path. Out: bytes that are not many, and text in UTF-8; or a sentence for the page why not.
"""

import codecs
import gzip
import io
import re
import zlib
from pathlib import Path

MAX_ROWS, MAX_COLUMNS = 10_000, 200
MAX_BYTES = 50 * 2**20  # of the file, and of what it unpacks to
MAX_MARKS = 5_000_000  # separators and brackets: more than twice as many as rows and columns need
SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"RIFF": "an image, a sound or a film",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word document",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "a database",
    b"\x7fELF": "a program",
}
BOMS = {  # that of UTF-16 begins that of UTF-32, which is therefore looked for first
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WEB_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


class Unusable(Exception):
    """The file can't be used; why, in a sentence for the page."""


def too_large(what: str) -> Unusable:
    """What is said of more than fits; `what` begins the sentence."""
    return Unusable(
        f"{what}: this page takes at most {MAX_ROWS:,} rows and {MAX_BYTES // 2**20} MB. "
        "`python -m train score FILE` takes files of any length."
    )


def too_wide(name: str, columns: int) -> Unusable:
    """What is said of too many columns."""
    return Unusable(
        f"{name} has {columns:,} columns, and at most {MAX_COLUMNS} are taken. Leave only those "
        "that are needed, such as the text and a label."
    )


def contents(path: Path) -> bytes:
    """All that is in a file.

    Raises:
        Unusable: That is more than `MAX_BYTES`.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise too_large(f"{path.name} has {size / 2**20:,.0f} MB")
    return path.read_bytes()


def unpack(data: bytes, name: str) -> bytes:
    """What was gzipped; anything else as it is.

    Raises:
        Unusable: It is broken, or unpacks to more than `MAX_BYTES`, which are all that is unpacked.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            unpacked = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Unusable(f"{name} is a broken gzip file: {error}.") from error
    if len(unpacked) > MAX_BYTES:
        raise too_large(f"{name} unpacks to more than {MAX_BYTES // 2**20} MB")
    return unpacked


def utf8(data: bytes, name: str) -> bytes:
    """The same text in UTF-8, without a byte order mark.

    Raises:
        Unusable: It is no text, empty, or in an encoding that nothing in the file tells.
    """
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature):
            raise Unusable(f"{name} is {kind}, not a table. Save the table as CSV.")
    mark = next(filter(data.startswith, BOMS), b"")
    encoding = BOMS.get(mark, "utf-8")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unusable(
            f"{name} is not in UTF-8: line {line:,} has the byte 0x{data[error.start]:02X}. "
            'Save it as UTF-8; Excel calls that "CSV UTF-8".'
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Unusable(f"{name} has a NUL on line {line:,}, as no text has. Save it as UTF-8.")
    if not text.strip():
        raise Unusable(f"{name} is empty.")
    data = text.encode("utf-8") if mark else data
    if WEB_PAGE.match(data):
        raise Unusable(f"{name} is a web page or XML, not a table. Save the table as CSV.")
    return data


def stream(data: bytes, newline: str | None) -> io.TextIOWrapper:
    """Lines of UTF-8; `newline` as for `open`."""
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline=newline)
