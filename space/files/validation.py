"""How much a visitor's file may hold.

In: a path. Out: nothing, or a sentence for the page that says what is too much.
"""

from pathlib import Path

from space.files.reader import InvalidFile, unpacked

MAX_ROWS, MAX_COLUMNS = 10_000, 200
MAX_BYTES = 50 * 2**20  # of the file, and of what it unpacks to
MAX_MARKS = 5_000_000  # separators and brackets: more than twice as many as rows and columns need


def too_large(what: str) -> InvalidFile:
    """What is said of more than fits; `what` begins the sentence."""
    return InvalidFile(
        f"{what}: this page takes at most {MAX_ROWS:,} rows and {MAX_BYTES // 2**20} MB. "
        "`python -m train score FILE` takes files of any length."
    )


def too_wide(name: str, columns: int) -> InvalidFile:
    """What is said of too many columns."""
    return InvalidFile(
        f"{name} has {columns:,} columns, and at most {MAX_COLUMNS} are taken. Leave only those "
        "that are needed, such as the text and a label."
    )


def check_size(path: Path) -> None:
    """Refuse a file that has, or unpacks to, more than fits.

    Raises:
        InvalidFile: It has, which is found out before any of it is kept.
    """
    name, size, marks = path.name, path.stat().st_size, 0
    if size > MAX_BYTES:
        raise too_large(f"{name} has {size / 2**20:,.0f} MB")
    with unpacked(path, name) as stream:
        size, in_text = 0, not stream.read(4) == b"PAR1"
        stream.seek(0)
        while chunk := stream.read(2**20):
            size += len(chunk)
            marks += sum(chunk.count(mark) for mark in b",;\t|{[") if in_text else 0
            if size > MAX_BYTES:
                raise too_large(f"{name} unpacks to more than {MAX_BYTES // 2**20} MB")
            if marks > MAX_MARKS:
                raise too_large(f"{name} has more cells than fit")
