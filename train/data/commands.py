"""The commands `python -m train data …`, which prepare datasets that no Hub holds.

In: arguments. Out: calls of this package. As in `train.__main__`, a command imports what it needs.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare datasets.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Prepare datasets."""


@app.command(
    epilog="\b\nExamples:\n"
    "  python -m train data imdb-archive aclImdb_v1.tar.gz --out runs/imdb-ratings"
)
def imdb_archive(
    archive: Annotated[Path, typer.Argument(help="aclImdb_v1.tar.gz, from its authors' page")],
    out: Annotated[Path, typer.Option(help="the folder to create")],
) -> None:
    """Convert the official IMDb archive to Parquet files with ratings and movie ids."""
    from train.data import imdb_archive

    for name, rows in imdb_archive.convert(archive, out).items():
        typer.echo(f"wrote {out / name}.parquet with {rows:,} reviews")
