"""The official IMDb archive with its ratings: `aclImdb_v1.tar.gz` → Parquet files.

In: the archive of the Large Movie Review Dataset (Maas et al. 2011), which users download
themselves. Out: a folder with `train.parquet`, `test.parquet` and `unsupervised.parquet`.

Nothing is extracted to disk: a file's name in the archive is only compared with the names of
reviews. Sizes and numbers are limited, as a small archive can unpack to any length.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm

from train.errors import DataError, shorten

DOWNLOAD = "https://ai.stanford.edu/~amaas/data/sentiment/"
REVIEW = re.compile(r"(?:\./)?aclImdb/(train|test)/(pos|neg|unsup)/(\d{1,6})_(\d{1,2})\.txt")
URLS = re.compile(r"(?:\./)?aclImdb/(train|test)/urls_(pos|neg|unsup)\.txt")
MOVIE = re.compile(r"/title/(tt\d{1,12})(?:/|$)")
RATINGS = {"neg": range(1, 5), "pos": range(7, 11), "unsup": range(1)}  # in file names
MAX_BYTES = 2_000_000_000  # of the unpacked archive; the official one has less than a quarter
MAX_REVIEW_BYTES, MAX_URLS_BYTES = 1_000_000, 10_000_000
MAX_FILES = 500_000
_REMEDY = f"download aclImdb_v1.tar.gz again from {DOWNLOAD}"
README = """---
configs:
  - config_name: default
    data_files:
      - {{split: train, path: train.parquet}}
      - {{split: test, path: test.parquet}}
      - {{split: unsupervised, path: unsupervised.parquet}}
---

The Large Movie Review Dataset of Maas et al. (2011), {source}, with ratings and movie ids.
"""

Key = tuple[str, str]  # split and kind of reviews, as in the archive
Reviews = dict[Key, dict[int, tuple[int, str]]]  # -> number of the review -> rating and text


def convert(archive: Path, out: Path) -> dict[str, int]:
    """Write the reviews of the archive as Parquet files.

    The columns are `text`, `label` (neg or pos), `rating` (1 to 4 or 7 to 10) and `movie` (the id
    on IMDb). In `unsupervised`, label and rating are null.

    Args:
        archive: The official archive.
        out: The folder to create, which is complete or absent.

    Returns:
        The number of rows by file.

    Raises:
        DataError: The archive is damaged or another one, exceeds a limit, or the folder exists.
    """
    import pyarrow
    from pyarrow import parquet

    if out.exists():
        raise DataError(f"{out} already exists — remove it, or name another folder with --out")
    reviews, urls = _read(archive)
    draft = out.with_name(f".{out.name}.draft")
    draft.mkdir(parents=True, exist_ok=True)
    rows = {
        "train": _rows(reviews, urls, "train", ["neg", "pos"]),
        "test": _rows(reviews, urls, "test", ["neg", "pos"]),
        "unsupervised": _rows(reviews, urls, "train", ["unsup"]),
    }
    schema = pyarrow.schema(
        [
            ("text", pyarrow.string()), ("label", pyarrow.string()),
            ("rating", pyarrow.int64()), ("movie", pyarrow.string()),
        ]
    )  # fmt: skip
    for name, part in rows.items():
        table = pyarrow.Table.from_pylist(part, schema=schema)
        parquet.write_table(table, draft / f"{name}.parquet", compression="zstd")
    (draft / "README.md").write_text(README.format(source=DOWNLOAD), encoding="utf-8")
    draft.rename(out)
    return {name: len(part) for name, part in rows.items()}


def _rows(
    reviews: Reviews, urls: dict[Key, list[str]], split: str, kinds: list[str]
) -> list[dict[str, Any]]:
    """The reviews of some kinds, in the order of their numbers."""
    rows = []
    for kind in kinds:
        movies = urls.get((split, kind), [])
        for number, (rating, text) in sorted(reviews.get((split, kind), {}).items()):
            movie = MOVIE.search(movies[number]) if number < len(movies) else None
            if movie is None:
                got = shorten(repr(movies[number])) if number < len(movies) else "no such line"
                raise DataError(
                    f"line {number + 1:,} of {split}/urls_{kind}.txt must have the movie of review "
                    f"{number}, as in https://www.imdb.com/title/tt0000001/, got {got} — "
                    f"{_REMEDY}"
                )
            labels: dict[str, Any] = {"label": None, "rating": None}
            if kind != "unsup":
                labels = {"label": kind, "rating": rating}
            rows.append({"text": text, **labels, "movie": movie[1]})
        if not movies:
            raise DataError(f"the archive must have {split}/{kind} reviews, got none — {_REMEDY}")
    return rows


def _read(archive: Path) -> tuple[Reviews, dict[Key, list[str]]]:
    """All reviews, and the lines of the lists of URLs."""
    reviews: Reviews = {}
    urls: dict[Key, list[str]] = {}
    for name, content in _files(archive):
        if match := URLS.fullmatch(name):
            urls[match[1], match[2]] = _text(content, name).splitlines()
            continue
        match = REVIEW.fullmatch(name)
        assert match is not None
        split, kind, number, rating = match[1], match[2], int(match[3]), int(match[4])
        if rating not in RATINGS[kind]:
            allowed = f"{RATINGS[kind][0]} to {RATINGS[kind][-1]}"
            raise DataError(
                f"the number after _ in {name}, the rating, must be {allowed} in {kind}, got "
                f"{rating} — {_REMEDY}"
            )
        part = reviews.setdefault((split, kind), {})
        if number in part:
            raise DataError(
                f"each review must be in the archive once, got a second {split}/{kind}/{number} "
                f"({name}) — {_REMEDY}"
            )
        part[number] = rating, _text(content, name)
    return reviews, urls


def _files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each review and list of URLs; other files are skipped."""
    try:
        with (
            gzip.open(archive) as unpacked,
            tarfile.open(fileobj=cast(Any, _Limited(unpacked)), mode="r|") as tar,
            tqdm(tar, desc="read", unit="file", unit_scale=True) as members,
        ):
            for count, member in enumerate(members):
                if count >= MAX_FILES:
                    raise DataError(
                        f"{archive} must have at most {MAX_FILES:,} files, got more — {_REMEDY}"
                    )
                is_review = REVIEW.fullmatch(member.name)
                if not member.isreg() or not (is_review or URLS.fullmatch(member.name)):
                    continue
                limit = MAX_REVIEW_BYTES if is_review else MAX_URLS_BYTES
                if member.size > limit:
                    raise DataError(
                        f"{shorten(member.name)} must have at most {limit:,} bytes, got "
                        f"{member.size:,} — {_REMEDY}"
                    )
                stream = tar.extractfile(member)
                assert stream is not None
                yield member.name, stream.read()
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all by default
    except FileNotFoundError:
        raise DataError(f"no file at {archive} — download it from {DOWNLOAD}") from None
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{archive} must be a complete .tar.gz file, got: {shorten(error)} — {_REMEDY}"
        ) from error


class _Limited:
    """A stream that stops an archive from unpacking to more than `MAX_BYTES`."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream, self._read = stream, 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes.

        Raises:
            DataError: The limit is exceeded.
        """
        content = self._stream.read(size)
        self._read += len(content)
        if self._read > MAX_BYTES:
            raise DataError(
                f"the archive must unpack to at most {MAX_BYTES:,} bytes, got more — {_REMEDY}"
            )
        return content


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} must be UTF-8, got: {error} — {_REMEDY}") from error
