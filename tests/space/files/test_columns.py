"""What the columns of a file contain, by their names and cells."""

from pathlib import Path
from typing import Any

import pytest

from space.files import tables
from space.files.columns import Columns


def guess(folder: Path, content: str) -> Columns:
    path = folder / "a.csv"
    path.write_text(content)
    return tables.read(path).columns


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id,text,label,date,title\n1,fine film,pos,2024-05-01,Salt\n2,weak,neg,2024-05-02,Salt",
         ("text", "date", "title", "label")),
        ("Review Text,Rating,Movie Title\nfine film,4,Salt\nweak,1,Salt\nso so,2,Otter",
         ("Review Text", None, "Movie Title", None, "Rating")),
        ("summary,content,rating\nThe very best of films,good,0\nnothing,bad,1",
         ("content", None, None, "rating")),
        ("who,said,created_at\nAnn,It is a long and lovely film,1714521600\nBo,No,1714521601",
         ("said", "created_at", None, None)),
        ("when,a\n2024-05-01T10:00:00Z,fine\n2024-05-02T10:00:00Z,weak", ("a", "when", None, None)),
        ("date,sentiment,text\nsoon,same,a\nlater,same,b", ("text", None, None, None)),
        ("text,body\n1,this is the text\n2,another", ("body", None, None, None)),
        ("a,b\n1,2\n3,4", (None, None, None, None)),
        ("text,product,title\na,Kiosk,Lovely\nb,Kiosk,Awful", ("text", None, "product", None)),
    ],
)  # fmt: skip
def test_guesses_the_columns(tmp_path: Path, content: str, expected: tuple[Any, ...]) -> None:
    assert guess(tmp_path, content) == Columns(*expected)


def test_title_column_of_a_long_file_has_repeated_titles(tmp_path: Path) -> None:
    rows = "".join(f"text {i},name {i}\n" for i in range(21))
    assert guess(tmp_path, f"text,title\n{rows}").title is None
    assert guess(tmp_path, f"text,title\n{rows}again,name 3").title == "title"
