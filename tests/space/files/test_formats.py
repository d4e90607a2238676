"""Files as people have them: Excel workbooks, exports in a ZIP archive, other encodings."""

import datetime
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from space.files import InvalidFile, downloads, tables
from space.files.columns import Columns

LETTERBOXD = (
    "Date,Name,Year,Letterboxd URI,Rating,Rewatch,Review,Tags,Watched Date\n"
    '2024-01-02,Salt,2010,https://boxd.it/1,4.5,,"Great, really.\nSee it.",,2024-01-01\n'
    "2024-01-09,Otter,2021,https://boxd.it/2,1,,Dull.,,2024-01-08\n"
    "2024-01-10,Otter,2021,https://boxd.it/3,3,,Fine.,,2024-01-08\n"
)


def write_workbook(
    path: Path, rows: list[list[Any]], options: dict[str, Any] | None = None
) -> Path:
    """A workbook with an empty sheet, a hidden one, and one with the rows in B3."""
    with xlsxwriter.Workbook(path, options or {}) as book:
        book.add_worksheet("Empty")
        hidden = book.add_worksheet("Hidden")
        hidden.hide()
        hidden.write("A1", "not this")
        sheet = book.add_worksheet("Reviews")
        day = book.add_format({"num_format": "dd mmm yyyy"})
        minute = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        price = book.add_format({"num_format": '0.00 "days"'})
        for number, row in enumerate(rows, start=2):
            for column, cell in enumerate(row, start=1):
                if isinstance(cell, datetime.datetime):
                    style = minute if cell.hour else day
                    sheet.write_datetime(number, column, cell, style)
                else:
                    sheet.write(number, column, cell, price if isinstance(cell, float) else None)
    return path


def zip_of(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InvalidFile) as caught:
        tables.read(path)
    return str(caught.value)


@pytest.mark.parametrize("options", [{}, {"date_1904": True}, {"in_memory": True}])
def test_reads_the_first_visible_sheet_with_rows(tmp_path: Path, options: dict[str, Any]) -> None:
    day, minute = datetime.datetime(2024, 2, 29), datetime.datetime(1999, 12, 31, 23, 45)
    rows = [
        ["review", "when", "at", "stars", "seen", "days"],
        ["Two lines:\nand <b> & é 😍 _x0041_", day, minute, 4, True, 1.25],
        ["", day, minute, 5, False, 2.5],
        [],
        ["  spaces  ", day, minute, 1, True, 3.75],
    ]
    table = tables.read(write_workbook(tmp_path / "a.xlsx", rows, options))
    assert (table.total, table.inside) == (3, "Reviews")
    assert tables.texts(table.frame, "review") == [rows[1][0], None, "  spaces  "]
    assert table.frame["when"].tolist() == ["2024-02-29"] * 3
    assert table.frame["at"].tolist() == ["1999-12-31T23:45:00"] * 3
    assert table.frame["stars"].tolist() == [4, 5, 1]
    assert table.frame["seen"].tolist() == ["TRUE", "FALSE", "TRUE"]
    assert table.frame["days"].tolist() == [1.25, 2.5, 3.75]
    assert (table.columns.text, table.columns.date) == ("review", "when")


def test_reads_what_it_wrote(tmp_path: Path) -> None:
    frame = tables.read(write_workbook(tmp_path / "a.xlsx", [["text", "n"], ["=1+1", 2]])).frame
    assert frame.to_dict("list") == {"text": ["=1+1"], "n": [2]} or frame["n"].tolist() == [2]
    downloads.write_workbook(frame, tmp_path / "b.xlsx")
    assert tables.read(tmp_path / "b.xlsx").frame.equals(frame)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "a.xlsx is empty: no visible sheet has a row."),
        ([["text", "n"]], "a.xlsx has column names, but no rows."),
        (
            [["My reviews"], ["text", "stars"], ["Good", 4]],
            "a.xlsx, sheet Reviews, row 4: the row has cells outside of the columns that row 3 "
            "names. Write a name above each column, and nothing above the names.",
        ),
        ([["I liked it a lot."], ["I did not."]], "The first line of a.xlsx must name its columns"),
        ([["text", "text"], ["a", "b"]], "a.xlsx has more than one column named 'text'."),
    ],
)
def test_workbook_without_a_table_is_refused(
    tmp_path: Path, rows: list[list[Any]], sentence: str
) -> None:
    assert refusal(write_workbook(tmp_path / "a.xlsx", rows)).startswith(sentence)


def test_damaged_workbook_is_read_or_refused(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "a.xlsx", [["text", "n"], *[["fine", 1]] * 50])
    parts = zipfile.ZipFile(path)
    sheet = parts.read("xl/worksheets/sheet3.xml")
    damages = [
        sheet[:900],
        sheet.replace(b"<v>1</v>", b"<v>x</v>"),
        sheet.replace(b't="s"><v>', b't="s"><v>99'),
        sheet.replace(b"<worksheet", b'<!DOCTYPE a [<!ENTITY b "c">]><worksheet', 1),
        b"",
    ]
    for damage in damages:
        with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as damaged:
            for info in parts.infolist():
                is_sheet = info.filename.endswith("sheet3.xml")
                damaged.writestr(info.filename, damage if is_sheet else parts.read(info))
        try:
            assert len(tables.read(tmp_path / "b.xlsx").frame) == 50
        except InvalidFile as reason:
            assert str(reason).startswith("b.xlsx")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4), st.booleans())
def test_any_bytes_of_an_archive_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], is_workbook: bool
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    if is_workbook:
        path = write_workbook(folder / "a.xlsx", [["text", "n"], ["fine", 1]])
    else:
        path = zip_of(folder / "a.zip", {"reviews.csv": LETTERBOXD})
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        assert len(tables.read(path).frame)
    except InvalidFile as reason:
        assert str(reason)


def test_reads_the_reviews_of_a_letterboxd_export(tmp_path: Path) -> None:
    other = "Date,Name\n1,2\n"
    files = {"diary.csv": other, "reviews.csv": LETTERBOXD, "deleted/reviews.csv": other}
    path = zip_of(tmp_path / "letterboxd.zip", files | {"__MACOSX/._reviews.csv": "x"})
    table = tables.read(path)
    assert (table.name, table.inside, table.total) == ("letterboxd.zip", "reviews.csv", 3)
    assert table.columns == Columns("Review", date="Date", title="Name", rating="Rating")
    assert table.frame["Review"][0] == "Great, really.\nSee it."


def test_archive_without_one_table_is_refused(tmp_path: Path) -> None:
    rows = "text\nfine\n"
    only = zip_of(tmp_path / "a.zip", {"folder/my.csv": rows, "picture.png": "x"})
    assert tables.read(only).inside == "my.csv"
    two = refusal(zip_of(tmp_path / "b.zip", {"one.csv": rows, "two.csv": rows}))
    assert two.startswith("b.zip is a ZIP archive of 2 tables (one.csv, two.csv). Unpack it")
    none = refusal(zip_of(tmp_path / "c.zip", {"picture.png": "x"}))
    assert none.startswith("c.zip is a ZIP archive without a table.")
    broken = refusal(zip_of(tmp_path / "d.zip", {"reviews.csv": "text,n\nfine\n"}))
    assert broken.startswith("d.zip, reviews.csv, line 2: the row has 1 cell,")
    assert "a Word document" in refusal(zip_of(tmp_path / "e.zip", {"word/document.xml": "x"}))


def test_bomb_in_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for name in ("reviews.csv", "xl/workbook.xml"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, b"0" * (60 * 2**20))
        assert refusal(path).startswith("a.zip unpacks to more than the limit of 50 MB")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "utf-8-sig", "cp1252"])
def test_plain_text_with_tabs_is_a_table(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Review\tStars\r\nA café, “long”\t4\r\nBad, very bad\t2\r\n".encode(encoding))
    assert tables.read(path).frame["Review"].tolist() == ["A café, “long”", "Bad, very bad"]


def test_plain_text_with_the_name_of_a_column_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text('text,label\n"Good, truly",pos\nBad,neg\n')
    assert tables.read(path).frame["text"].tolist() == ["Good, truly", "Bad"]
    for lines in ("Good, truly\nBad, truly\n", "one\ttab\nin one line\nof three", "a\tb"):
        path.write_text(lines)
        assert tables.read(path).frame["text"].tolist() == lines.splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "It’s bad, isn’t it?",
        "Cost £5 and was worth it",
        "Well… no",
        "He said “no”",
        "good\xa0film",
        "Marvel™ film — fine",
        "McDonald’s naïveté… the DiCaprio of Amélie was fine",
        "Un film génial, à voir. Où ça? C’est pas Noël",
        "Perché no? La città che è più bella non molto",
        "Et c’est l’État de siège dans la CÔTÉ COUR",
    ],
)
def test_short_western_text_is_read_as_windows_1252(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"text;n\n{text};1\n".encode("cp1252"))
    table = tables.read(path)
    assert (table.frame["text"].tolist(), table.encoding) == ([text], "cp1252")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Ez egy nagyon jó film, és őszinte is. Az űr a legjobb része, de nem per se."),
        ("cp1250", "To jest bardzo dobry film, który się podobał. Świetna gra aktorów, że hej."),
        ("cp1250", "Příšerně žluťoučký kůň a dobrý film, na který se těším."),
        ("cp1250", "Un film foarte bun şi este o surpriză, cu o poveste în care nu crezi."),
        ("cp1254", "Çok güzel bir film, ama sonu biraz sıkıcıydı. Işık ve şiir."),
        ("cp1257", "Labai geras filmas, bet pabaiga buvo nuobodi, ačiū už žvėrį."),
        ("cp1251", "Очень хороший фильм, и мне понравилось. the and of"),
        ("cp1253", "Πολύ καλή ταινία και μου άρεσε"),
        ("shift_jis", "とても良い映画でした。"),
        ("gb18030", "这是一部很好的电影。"),
    ],
)
def test_other_encodings_are_never_read_as_windows_1252(
    tmp_path: Path, encoding: str, text: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"text;n\n{text};1\n".encode(encoding))
    assert "is not in UTF-8" in refusal(path)
