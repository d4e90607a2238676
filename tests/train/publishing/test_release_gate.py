"""The release gate, on row results of two models written by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from train.errors import HubError, RunError
from train.evaluation import row_results
from train.evaluation.row_results import FILE, RowResult, row_id
from train.publishing import release_gate

TO = "user/model"
KINDS = ["plain", "negation"]


def suite(part: str, correct: Sequence[bool]) -> list[RowResult]:
    """Rows of the behavior suite, every other one a negation."""
    return [
        RowResult(part, KINDS[i % 2], row_id(part, str(i)), right)
        for i, right in enumerate(correct)
    ]


def split(correct: Sequence[bool], source: str = "imdb", first: int = 0) -> list[RowResult]:
    """Rows of the test split of a dataset."""
    return [
        RowResult("test", source, row_id(source, str(i)), right)
        for i, right in enumerate(correct, start=first)
    ]


def wrong(count: int, *rows: int) -> list[bool]:
    """All right but these."""
    return [i not in rows for i in range(count)]


@pytest.fixture
def check(tmp_path: Path):
    """Check the row results of a run against those of a published model."""

    def checked(ours: Sequence[RowResult], theirs: Sequence[RowResult]) -> None:
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        row_results.save(run / FILE, ours)
        row_results.save(tmp_path / FILE, theirs)
        release_gate.check(run, tmp_path / FILE, TO)

    return checked


@pytest.mark.parametrize(
    ("lost", "gained", "p"),
    [(0, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (0, 6, 0.03125), (1, 9, 22 / 1024)],
)
def test_mcnemar_is_exact(lost: int, gained: int, p: float) -> None:
    assert release_gate.mcnemar(lost, gained) == pytest.approx(p)
    assert release_gate.mcnemar(gained, lost) == pytest.approx(p)


def test_equally_good_model_passes(check, capsys: pytest.CaptureFixture[str]) -> None:
    check(suite("sentences", wrong(40, 1, 3)), suite("sentences", wrong(40, 5, 7)))
    assert capsys.readouterr().out == (
        "release gate, behavior suite, sentences: 38 of 40 rows correct before, 38 now (2 lost, "
        "2 gained, p = 1 by McNemar's exact test)\n"
    )


def test_sentences_with_two_aspects_are_compared(aspect_run: Path, tmp_path: Path) -> None:
    """A published model that passes all of them is not replaced by one that passes few."""
    run = row_results.load(aspect_run / FILE)
    suite_rows = run[run["part"] == "aspects"]
    assert len(suite_rows) >= 200 and suite_rows["correct"].mean() < 0.9
    better = run.assign(correct=run["correct"] | (run["part"] == "aspects"))
    rows = [RowResult(r.part, r.kind, r.row, r.correct) for r in better.itertuples()]
    row_results.save(tmp_path / FILE, rows)
    with pytest.raises(HubError, match="got behavior suite, aspects: 2.. of 2.. rows correct"):
        release_gate.check(aspect_run, tmp_path / FILE, TO)


@pytest.mark.parametrize("part", ["sentences", "pairs"])
def test_significantly_worse_model_is_refused_and_kinds_are_named(check, part: str) -> None:
    rest = {"sentences": "pairs", "pairs": "sentences"}[part]
    same = suite(rest, wrong(20, 0))
    with pytest.raises(HubError) as caught:
        check(
            [*suite(part, wrong(40, 1, 3, 5, 7, 9, 11, 13, 2)), *same],
            [*suite(part, wrong(40, 4)), *same],
        )
    message = str(caught.value)
    # 8 lost, 1 gained: 2 · (1 + 9) / 2⁹ = 0.039
    assert f"behavior suite, {part}: 39 of 40 rows correct before, 32 now" in message
    assert "8 lost, 1 gained, p = 0.0391" in message
    assert "fewer correct in negation (20 to 13 of 20) —" in message  # as many of the plain ones
    assert f"behavior suite, {rest}" not in message
    assert "must not be worse at p < 0.05" in message and "--allow-regression" in message


def test_all_worse_kinds_and_parts_are_named_largest_drop_first(check) -> None:
    before = [*suite("sentences", wrong(40)), *suite("pairs", wrong(40)), *split(wrong(40))]
    now = [
        *suite("sentences", wrong(40, *range(0, 8, 2), *range(1, 17, 2))),
        *suite("pairs", wrong(40, *range(6))),
        *split(wrong(40, *range(7))),
    ]
    with pytest.raises(HubError) as caught:
        check(now, before)
    message = str(caught.value)
    assert "fewer correct in negation (20 to 12 of 20), plain (20 to 16 of 20)" in message
    assert "pairs: 40 of 40 rows correct before, 34 now" in message
    assert "test rows of imdb: 40 of 40 rows correct before, 33 now" in message


def test_insignificant_drop_passes_and_is_printed(
    check, capsys: pytest.CaptureFixture[str]
) -> None:
    # 12.5 points fewer, by five rows.
    check(suite("sentences", wrong(40, 1, 3, 5, 7, 9)), suite("sentences", wrong(40)))
    message = capsys.readouterr().out
    assert "5 lost, 0 gained, p = 0.0625" in message
    assert "fewer correct in negation (20 to 15 of 20)" in message


def test_small_drop_on_many_rows_is_significant(check) -> None:
    before, now = wrong(5000, *range(300)), wrong(5000, *range(250, 600))
    with pytest.raises(HubError, match=r"test rows of imdb: 4,700 of 5,000 .* 4,650 now"):
        check(split(now), split(before))
    check(split(before), split(now))  # a gain


def test_gain_on_one_part_does_not_hide_a_drop_on_another(check) -> None:
    imdb, sst5 = wrong(100, *range(20)), wrong(50, *range(10))
    with pytest.raises(HubError) as caught:
        check(
            [*split(wrong(100)), *split(sst5, "sst5")],
            [*split(imdb), *split(wrong(50), "sst5")],
        )
    assert "test rows of sst5: 50 of 50 rows correct before, 40 now" in str(caught.value)
    assert "imdb" not in str(caught.value)


def test_only_rows_evaluated_for_both_models_count(
    check, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published model fails on none of the shared rows, and on all of the others."""
    theirs = [*split([False] * 50), *split([True] * 30, first=50)]
    with pytest.raises(HubError, match="30 of 30 rows correct before, 20 now"):
        check(split([False] * 10 + [True] * 60, first=50), theirs)
    # The order of the rows, and rows that stand twice, make no difference.
    check(list(reversed(theirs)) * 2, theirs)
    assert "30 of 80 rows correct before, 30 now" in capsys.readouterr().out


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param(split([True] * 9, "other"), id="other rows"),
        pytest.param([row._replace(part="validation") for row in split([True] * 9)], id="split"),
        pytest.param([], id="none"),
    ],
)
def test_parts_without_common_rows_are_printed(
    check, capsys: pytest.CaptureFixture[str], theirs: list[RowResult]
) -> None:
    check(split([False] * 9), theirs)
    message = capsys.readouterr().out
    line = "release gate, test rows of imdb: not compared, none of 9 rows was evaluated for both"
    assert f"{line} models\n" in message


def test_renamed_dataset_has_the_same_rows(check) -> None:
    before = split([True] * 10)
    now = [row._replace(kind="imdb.csv", correct=False) for row in before]
    with pytest.raises(HubError, match=r"test rows of imdb\.csv: 10 of 10 .* 0 now"):
        check(now, before)


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"x" * 100], ids=str)
def test_run_without_readable_row_results_is_refused(tmp_path: Path, content: bytes | None) -> None:
    row_results.save(tmp_path / "theirs", split([True]))
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(RunError, match="write it with `python -m train evaluate "):
        release_gate.check(tmp_path, tmp_path / "theirs", TO)


def test_unreadable_published_rows_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow
    from pyarrow import parquet

    row_results.save(tmp_path / FILE, split([True]))
    other = tmp_path / "other"
    for write in [
        lambda: other.write_bytes(b"no Parquet"),
        lambda: parquet.write_table(pyarrow.table({"part": [1], "correct": [None]}), other),
    ]:
        write()
        release_gate.check(tmp_path, other, TO)
        message = capsys.readouterr().out
        assert message.startswith(f"{FILE} of {TO} can't be read (")
        assert message.endswith("): publishing without the release gate\n")


def test_row_results_file_is_small_and_has_no_text(tmp_path: Path) -> None:
    """As many rows as IMDb's test split has."""
    rows = [
        RowResult("test", "imdb", row_id(f"secret {i}", "", "POSITIVE"), i % 16 > 0)
        for i in range(25_000)
    ]
    row_results.save(tmp_path / FILE, rows)
    content = (tmp_path / FILE).read_bytes()
    assert len(content) < 500_000
    assert b"secret" not in content
    loaded = row_results.load(tmp_path / FILE)
    assert [RowResult(*row) for row in loaded.itertuples(index=False)] == rows
    assert len(set(loaded["row"])) == len(rows)
