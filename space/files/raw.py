"""Files as they come: their bytes without gzip, and the encoding of those that are text.

In: a path. Out: bytes and the name of an encoding that fits all of them; or a sentence why not.
"""

import codecs
import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

HEAD = 2**16  # bytes, or characters, that are looked at to tell what a file is
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
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# In which a file without UTF-8 may be, of those that Windows, DOS, the Mac and East Asia have used.
RIVALS = (
    "cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp437 cp850 mac_roman gb18030 big5 "
    "shift_jis euc_jp euc_kr"
).split()
SIGNS = "‘’“”‚„–—…•«»§©®°£€¥¢¡¿´·±²³½¼¾×÷™ªº\xa0"  # that texts have outside ASCII
IN_WORD = re.compile(rf"[^\W\d_][^\w\s’–—·{SIGNS[-1]}!-~]+[^\W\d_]|[^\W\d_][‚„]")  # but not there
RARE = "ðþÐÞ"  # Icelandic alone; in Turkish and Baltic encodings ğ, ş and š


class InvalidFile(Exception):
    """The file can't be used; why, in a sentence that begins with its name."""


class _Undecodable(InvalidFile):
    """The text is not in the encoding that it was taken to be in."""


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[BinaryIO]:
    """The bytes of a file, without gzip.

    Raises:
        InvalidFile: It can't be opened or, also while it is read, is broken.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InvalidFile(f"{name} can't be opened: {error.strerror}.") from error
    with raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            yield cast(BinaryIO, gzip.open(raw)) if packed else raw
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidFile(f"{name} is a broken gzip file: {error}.") from error


def encoding_of(stream: BinaryIO, name: str) -> tuple[str, bool]:
    """The encoding of a text, read to its end; and whether a backslash precedes some quote.

    Raises:
        InvalidFile: It is no text, empty, or in an encoding that nothing in the file tells.
    """
    stream.seek(0)
    head = stream.read(HEAD)
    for signature, kind in SIGNATURES.items():
        if head.startswith(signature):
            raise InvalidFile(f"{name} is {kind}, not a table. Save the table as CSV.")
    mark = next(filter(head.startswith, BOMS), None)
    encoding = BOMS[mark] if mark else _utf16(head) or "utf-8"
    try:
        return encoding, _read_through(stream, encoding, name)
    except _Undecodable:
        if encoding != "utf-8" or not _is_windows1252(stream):
            raise
    return "cp1252", _read_through(stream, "cp1252", name)


def _utf16(head: bytes) -> str | None:
    """UTF-16 without a byte order mark, known by the zeros beside Latin letters."""
    even, odd = head[::2], head[1::2]
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros.count(0) > len(zeros) / 2 and not others.count(0):
            return encoding
    return None


def _read_through(stream: BinaryIO, encoding: str, name: str) -> bool:
    """Decode to the end; whether a backslash precedes some quote."""
    decoder = codecs.getincrementaldecoder(encoding)()
    stream.seek(0)
    line, blank, escapes, last, chunk = 1, True, False, "", b"-"
    while chunk:
        chunk = stream.read(HEAD)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line += error.object.count(b"\n", 0, error.start)
            raise _Undecodable(
                f"{name} is not in UTF-8: line {line:,} has the byte "
                f"0x{error.object[error.start]:02X}. Save it as UTF-8; Excel calls that "
                '"CSV UTF-8".'
            ) from error
        if "\0" in text:
            line += text.count("\n", 0, text.index("\0"))
            raise InvalidFile(
                f"{name} has a NUL on line {line:,}, as no text has. Save it as UTF-8."
            )
        line += text.count("\n")
        blank = blank and not text.strip()
        escapes = escapes or '\\"' in last + text
        last = text[-1:]
    if blank:
        raise InvalidFile(f"{name} is empty.")
    return escapes


def _is_windows1252(stream: BinaryIO) -> bool:
    """Whether no other encoding gives a sensible text, or chardet takes it for Windows-1252.

    Nothing else is guessed: a wrong guess would change texts without a word. In a few letters
    chardet takes Turkish and Baltic words for Icelandic ones.
    """
    import chardet

    stream.seek(0)
    sample = b""
    try:
        for line in iter(lambda: stream.readline(HEAD), b""):
            line.decode("cp1252")
            if not line.decode("utf-8", "ignore").isascii():
                return False  # UTF-8 with some broken bytes
            if not line.isascii() and len(sample) < HEAD:
                sample += line
        text = sample.decode("cp1252")
        if all(_reading(sample, encoding) in {None, text} for encoding in ["cp1252", *RIVALS]):
            return _reading(sample, "cp1252") is not None
        if any(c in RARE for c in text) and sum(not c.isascii() for c in text) < 10:
            return False
        guess = chardet.detect(sample)["encoding"]
        return guess is not None and sample.decode(guess) == text
    except UnicodeDecodeError:
        return False


def _reading(sample: bytes, encoding: str) -> str | None:
    """The text in an encoding, if it could be meant: its words are of one script and one case."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return None
    if IN_WORD.search(text):
        return None
    if any(not (c.isascii() or c.isalpha() or c in SIGNS) or c in "ﬁﬂ" for c in text):
        return None
    for word in re.findall(r"[^\W\d_]+", text):
        if word.isascii():
            continue
        scripts = {unicodedata.name(c, "?").partition(" ")[0] for c in word}
        if len(scripts) > 1 or not (word.isupper() or word[1:] == word[1:].lower()):
            return None
    return text
