"""The official IMDb archive: a tiny one of its shape, and archives made to do harm."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from train.__main__ import app
from train.data import imdb_archive, preparation
from train.errors import DataError
from train.recipe import load
from train.sections import Dataset

# Name in the archive -> content. The lists have the movie of review N in line N + 1.
OFFICIAL = {
    "README": "Large Movie Review Dataset v1.0",
    "imdb.vocab": "the\nand\n",
    "train/urls_neg.txt": "http://www.imdb.com/title/tt0000011/usercomments\n"
    "http://www.imdb.com/title/tt0000011/usercomments\n",
    "train/urls_pos.txt": "http://www.imdb.com/title/tt0000012/usercomments\n",
    "train/urls_unsup.txt": "http://www.imdb.com/title/tt0000013/usercomments\n",
    "train/labeledBow.feat": "9 0:9 1:1\n",
    "train/neg/1_1.txt": "Dull from the first minute.<br /><br />Avoid.",
    "train/neg/0_4.txt": "Not quite bad enough to be fun.",
    "train/pos/0_10.txt": "A wonderful café scene.",
    "train/unsup/0_0.txt": "I saw it twice.",
    "test/urls_neg.txt": "http://www.imdb.com/title/tt0000021/usercomments\n",
    "test/urls_pos.txt": "http://www.imdb.com/title/tt0000022/usercomments\n",
    "test/neg/0_3.txt": "Long and loud.",
    "test/pos/0_7.txt": "Better than its poster.",
}
Pack = Callable[..., Path]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Write an archive of the official shape, with other files replaced or removed (None)."""

    def pack(changes: dict[str, str | bytes | None] | None = None, more: bytes = b"") -> Path:
        file = tmp_path / "aclImdb_v1.tar.gz"
        with tarfile.open(file, "w:gz") as tar:
            for name, content in {**OFFICIAL, **(changes or {})}.items():
                if content is not None:
                    data = content if isinstance(content, bytes) else content.encode()
                    info = tarfile.TarInfo(name if name[0] in "/." else f"aclImdb/{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        return file

    return pack


def test_archive_becomes_three_parquet_files(pack: Pack, tmp_path: Path) -> None:
    out = tmp_path / "imdb"
    done = CliRunner().invoke(app, ["data", "imdb-archive", str(pack()), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert f"wrote {out}/train.parquet with 3 reviews" in done.output
    assert sorted(file.name for file in out.iterdir()) == [
        "README.md", "test.parquet", "train.parquet", "unsupervised.parquet"
    ]  # fmt: skip
    train = parquet.read_table(out / "train.parquet")
    assert train.column_names == ["text", "label", "rating", "movie"]
    assert train.to_pylist() == [
        {"text": OFFICIAL["train/neg/0_4.txt"], "label": "neg", "rating": 4, "movie": "tt0000011"},
        {"text": OFFICIAL["train/neg/1_1.txt"], "label": "neg", "rating": 1, "movie": "tt0000011"},
        {
            "text": OFFICIAL["train/pos/0_10.txt"],
            "label": "pos",
            "rating": 10,
            "movie": "tt0000012",
        },
    ]
    test = parquet.read_table(out / "test.parquet").to_pydict()
    assert (test["rating"], test["movie"]) == ([3, 7], ["tt0000021", "tt0000022"])
    assert parquet.read_table(out / "unsupervised.parquet").to_pylist() == [
        {"text": "I saw it twice.", "label": None, "rating": None, "movie": "tt0000013"}
    ]


def test_recipes_read_the_folder(pack: Pack, tmp_path: Path) -> None:
    imdb_archive.convert(pack(), tmp_path / "imdb")
    source = str(tmp_path / "imdb")
    binary = preparation.read_split(Dataset(source=source), "test", ["NEGATIVE", "POSITIVE"])
    assert binary.labels == [0, 1]
    stars = load("stars")
    (own,) = (dataset for dataset in stars.datasets if dataset.label == "rating")
    rows = preparation.read_split(own.model_copy(update={"source": source}), "test", stars.labels)
    assert [stars.labels[label] for label in rows.labels] == ["2 stars", "4 stars"]
    assert rows.ratings == pytest.approx([1 + 4 * (rating - 1) / 9 for rating in (3, 7)])
    unlabeled = Dataset(source=source, train="unsupervised", label=None, splits=["train"])
    assert len(preparation.read_split(unlabeled, "unsupervised", stars.labels)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train/neg/0_9.txt": "x"}, "the rating, must be 1 to 4 in neg, got 9"),
        ({"train/unsup/0_1.txt": "x"}, "must be 0 to 0 in unsup, got 1"),
        ({"train/neg/0_3.txt": "x"}, "in the archive once, got a second train/neg/0"),
        ({"train/pos/1_7.txt": "x"}, "line 2 of train/urls_pos.txt must have the movie"),
        ({"train/urls_pos.txt": "http://a.b/\n"}, "must have the movie of review 0"),
        ({"train/urls_pos.txt": None}, "line 1 of train/urls_pos.txt must have the movie"),
        ({"train/pos/0_10.txt": b"caf\xe9"}, "train/pos/0_10.txt must be UTF-8"),
        (
            {"test/neg/0_3.txt": None, "test/urls_neg.txt": None},
            "must have test/neg reviews, got none",
        ),
    ],
)
def test_other_archives_are_refused(
    pack: Pack, tmp_path: Path, changes: dict[str, str | None], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        imdb_archive.convert(pack(changes), tmp_path / "imdb")
    assert message in str(caught.value)
    assert imdb_archive.DOWNLOAD in str(caught.value)
    assert not (tmp_path / "imdb").exists()


def test_nothing_is_written_outside_the_folder(pack: Pack, tmp_path: Path) -> None:
    """Names that lead elsewhere, and links in the place of reviews, are not even read."""
    archive = pack({"../escape.txt": "x", "/tmp/escape.txt": "x", "./aclImdb/../up.txt": "x"})
    content = gzip.decompress(archive.read_bytes())
    with tarfile.open(archive, "w:gz") as tar:
        for kind in [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]:
            link = tarfile.TarInfo("aclImdb/train/pos/1_8.txt")
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
        with tarfile.open(fileobj=io.BytesIO(content)) as before:
            for member in before:
                tar.addfile(member, before.extractfile(member))
    before_files = set(tmp_path.rglob("*"))
    assert imdb_archive.convert(archive, tmp_path / "imdb")["train"] == 3
    added = set(tmp_path.rglob("*")) - before_files
    assert added and all(path.is_relative_to(tmp_path / "imdb") for path in added)
    assert not (tmp_path.parent / "escape.txt").exists()


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"MAX_BYTES": 5_000}, "must unpack to at most 5,000 bytes"),
        ({"MAX_REVIEW_BYTES": 20}, "must have at most 20 bytes, got"),
        ({"MAX_FILES": 5}, "must have at most 5 files, got more"),
    ],
)
def test_archives_that_unpack_to_too_much_are_refused(
    pack: Pack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, int],
    message: str,
) -> None:
    for name, value in limit.items():
        monkeypatch.setattr(imdb_archive, name, value)
    with pytest.raises(DataError, match=message):
        imdb_archive.convert(pack({"bomb.txt": "0" * 100_000}), tmp_path / "imdb")
    assert not (tmp_path / "imdb").exists()


@pytest.mark.parametrize("damage", ["cut", "not gzip", "not tar", "flipped", "missing", "folder"])
def test_damaged_archives_are_refused(pack: Pack, tmp_path: Path, damage: str) -> None:
    archive = pack()
    content = archive.read_bytes()
    if damage == "cut":
        archive.write_bytes(content[: len(content) // 2])
    elif damage == "not gzip":
        archive.write_bytes(b"<html>Not found</html>")
    elif damage == "not tar":
        archive.write_bytes(gzip.compress(b"words " * 1000))
    elif damage == "flipped":
        middle = len(content) // 2
        archive.write_bytes(content[:middle] + b"\0\0\0\0" + content[middle + 4 :])
    else:
        archive.unlink()
        if damage == "folder":
            archive.mkdir()
    with pytest.raises(DataError, match="download"):
        imdb_archive.convert(archive, tmp_path / "imdb")


def test_existing_folder_is_kept(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "imdb").mkdir()
    with pytest.raises(DataError, match="already exists"):
        imdb_archive.convert(pack(), tmp_path / "imdb")
