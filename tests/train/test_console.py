"""Progress lines: from one of several processes, and with a limited number of file names."""

import pytest

from train import console


@pytest.mark.parametrize(("rank", "printed"), [(None, "a line\n"), ("0", "a line\n"), ("1", "")])
def test_only_the_first_process_prints(
    rank: str | None,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    console.print_line("a line")
    assert capsys.readouterr().out == printed


def test_summary_names_at_most_20_files() -> None:
    assert console.summarize_names({"b", "a"}) == "2 files: a, b"
    assert console.summarize_names(["a"]) == "1 file: a"
    names = [f"{number:04}" for number in range(1500)]
    assert console.summarize_names(names) == f"1,500 files: {', '.join(names[:20])}, …"
