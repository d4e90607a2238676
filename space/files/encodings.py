"""Bytes of uploaded files: gzip and ZIP are unpacked and the encoding of text detected.

In: a path. Out: a stream of bytes, and the name of an encoding that decodes all of them; or
`InvalidFile`.
"""

import codecs
import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from space.files import InvalidFile, archives

HEAD_SIZE = 2**16  # bytes or characters from which the kind of a file is detected
SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"RIFF": "an image, a sound or a film",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an Excel workbook or Word document of the old format",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "a database",
    b"\x7fELF": "a program",
}
BOMS = {  # UTF-32 first: its byte order mark begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Encodings of Windows, DOS, the Mac and East Asia that a file without UTF-8 may have.
OTHER_ENCODINGS = (
    "cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp437 cp850 mac_roman gb18030 big5 "
    "shift_jis euc_jp euc_kr"
).split()
PUNCTUATION = "‘’“”‚„–—…•«»§©®°£€¥¢¡¿´·±²³½¼¾×÷™ªº\xa0"  # usual outside ASCII
# Such punctuation inside a word is a sign of the wrong encoding.
GARBLED_WORD = re.compile(rf"[^\W\d_][^\w\s’–—·{PUNCTUATION[-1]}!-~]+[^\W\d_]|[^\W\d_][‚„]")
ICELANDIC = "ðþÐÞ"  # the same bytes are ğ, ş and š in Turkish and Baltic encodings
# Frequent words of the languages of Windows-1252 that the languages of other encodings lack.
WESTERN_WORDS = frozenset(
    "the and of was this that with les des est dans avec une pas che della sono molto los las muy "
    "pero und der das ist nicht mit não uma het een och att som og ikke".split()
)
MIN_WESTERN_SHARE = 0.08  # of the words


class _Undecodable(InvalidFile):
    """Some bytes of the file are invalid in the encoding."""


@dataclass(frozen=True)
class Unpacked:
    """An open file, or the table inside a ZIP archive."""

    stream: BinaryIO  # of a workbook, which is an archive itself, the whole file
    path: Path  # its suffix is that of the table
    name: str  # for messages
    inside: str = ""  # the name of the table inside an archive


@contextmanager
def open_unpacked(path: Path, name: str) -> Iterator[Unpacked]:
    """Open a file for reading; gzip and ZIP are unpacked, but not workbooks.

    Raises:
        InvalidFile: The file is no regular file, can't be opened, is damaged (also raised while it
            is read), or is a ZIP archive without one table; see `archives.find_table`.
    """
    if path.exists() and not path.is_file():  # reading a pipe could wait forever
        raise InvalidFile(
            f"{name} is not a regular file, but a folder, pipe or device. Save the table as a file."
        )
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InvalidFile(f"{name} can't be opened: {error.strerror}.") from error
    with raw:
        if archives.is_zip(raw):
            with archives.open_zip(raw, name) as archive:
                table = archives.find_table(archive, name)
                if table is not None:
                    with archive.open(table) as stream:  # no more than the archive states
                        inside = Path(table.filename)
                        file = cast(BinaryIO, stream)
                        yield Unpacked(file, inside, f"{name}, {inside.name}", inside.name)
                    return
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            yield Unpacked(cast(BinaryIO, gzip.open(raw)) if is_gzip else raw, path, name)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidFile(f"{name} is a broken gzip file: {error}.") from error


def detect_encoding(stream: BinaryIO, name: str) -> tuple[str, bool]:
    r"""Detect the encoding of a text, which is decoded to its end.

    Returns:
        The encoding: UTF-8, UTF-16, UTF-32 or Windows-1252; and whether \" is in the text.

    Raises:
        InvalidFile: The file is not text, is empty, or its encoding can't be detected.
    """
    stream.seek(0)
    head = stream.read(HEAD_SIZE)
    for signature, kind in SIGNATURES.items():
        if head.startswith(signature):
            raise InvalidFile(f"{name} is {kind}, not a table. Save the table as CSV.")
    bom = next(filter(head.startswith, BOMS), None)
    encoding = BOMS[bom] if bom else _utf16_without_bom(head) or "utf-8"
    try:
        return encoding, _check_decodes(stream, encoding, name)
    except _Undecodable:
        if encoding != "utf-8" or not _is_windows_1252(stream):
            raise
    return "cp1252", _check_decodes(stream, "cp1252", name)


def _utf16_without_bom(head: bytes) -> str | None:
    """UTF-16 has a zero beside each Latin letter."""
    even, odd = head[::2], head[1::2]
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros.count(0) > len(zeros) / 2 and not others.count(0):
            return encoding
    return None


def _check_decodes(stream: BinaryIO, encoding: str, name: str) -> bool:
    r"""Decode the whole stream; returns whether \" is in the text."""
    decoder = codecs.getincrementaldecoder(encoding)()
    stream.seek(0)
    line, is_blank, has_escaped_quote, last, chunk = 1, True, False, "", b"-"
    while chunk:
        chunk = stream.read(HEAD_SIZE)
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
                f"{name} has a NUL character on line {line:,}, so it is not text. Save it as UTF-8."
            )
        line += text.count("\n")
        is_blank = is_blank and not text.strip()
        has_escaped_quote = has_escaped_quote or '\\"' in last + text
        last = text[-1:]
    if is_blank:
        raise InvalidFile(f"{name} is empty.")
    return has_escaped_quote


def _is_windows_1252(stream: BinaryIO) -> bool:
    """Whether the text makes sense in Windows-1252 alone, or chardet detects that encoding.

    No other legacy encoding is accepted, as a wrong guess would change texts silently. From a few
    letters chardet mistakes Turkish and Baltic words for Icelandic.
    """
    import chardet

    stream.seek(0)
    sample = b""
    try:
        for line in iter(lambda: stream.readline(HEAD_SIZE), b""):
            line.decode("cp1252")
            if not line.decode("utf-8", "ignore").isascii():
                return False  # UTF-8 with some broken bytes
            if not line.isascii() and len(sample) < HEAD_SIZE:
                sample += line
        text = sample.decode("cp1252")
        readings = [_decode_plausibly(sample, encoding) for encoding in OTHER_ENCODINGS]
        own_reading = _decode_plausibly(sample, "cp1252")
        if own_reading is None or {own_reading, *readings} <= {None, text}:
            return own_reading is not None
        if _has_only_punctuation(text) or _is_western(text):
            return True
        if any(c in ICELANDIC for c in text) and sum(not c.isascii() for c in text) < 10:
            return False
        guess = chardet.detect(sample)["encoding"]
        return guess is not None and sample.decode(guess) == text
    except UnicodeDecodeError:
        return False


def _has_only_punctuation(text: str) -> bool:
    """Whether only signs such as ’ or £ are outside ASCII, where other encodings have letters."""
    return all(c.isascii() or c in PUNCTUATION for c in text)


def _is_western(text: str) -> bool:
    """Whether frequent words show that the language is one of Windows-1252."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    return sum(word in WESTERN_WORDS for word in words) >= max(1, MIN_WESTERN_SHARE * len(words))


def _decode_plausibly(sample: bytes, encoding: str) -> str | None:
    """The text in an encoding, or None if some word mixes scripts, cases or punctuation."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return None
    if GARBLED_WORD.search(text):
        return None
    if any(not (c.isascii() or c.isalpha() or c in PUNCTUATION) or c in "ﬁﬂ" for c in text):
        return None
    for word in re.findall(r"[^\W\d_]+", text):
        if word.isascii():
            continue
        scripts = {unicodedata.name(c, "?").partition(" ")[0] for c in word}
        if len(scripts) > 1 or not (word.isupper() or word[1:] == word[1:].lower()):
            return None
    return text
