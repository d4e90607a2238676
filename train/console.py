"""Progress lines for the person at the terminal.

In: text. Out: one line on stdout, flushed at once; names and durations as text. Of several
processes under `accelerate launch` only the first prints.
"""

import os
from collections.abc import Collection

MAX_NAMES = 20  # file names in one line


def is_first_process() -> bool:
    """Whether this is the only process, or the first one under `accelerate launch`."""
    return os.environ.get("RANK", "0") == "0"


def print_line(text: str) -> None:
    """Print a line from the first process."""
    import typer

    if is_first_process():
        typer.echo(text)


def format_duration(seconds: float) -> str:
    """A duration with its two largest units: `1 h 18 min`, `12 min 34 s`, `5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, rest_minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def summarize_names(names: Collection[str]) -> str:
    """The number of files and the first `MAX_NAMES` names: `2 files: a, b`."""
    listed = ", ".join(sorted(names)[:MAX_NAMES]) + ", …" * (len(names) > MAX_NAMES)
    return f"{len(names):,} file{'s' * (len(names) != 1)}: {listed}"
