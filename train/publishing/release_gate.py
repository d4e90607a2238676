"""The release gate: no model replaces one that is significantly better on the same rows.

In: the row results of a run folder and of the published model. Out: a printed line for each part,
and a `HubError` if the run is worse on one.
"""

from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from train import console
from train.errors import HubError, RunError, shorten
from train.evaluation import row_results
from train.evaluation.row_results import FILE

SIGNIFICANCE = 0.05
SUITE_PARTS = ["sentences", "pairs", "aspects"]


def check(run: Path, published: Path, to: str) -> None:
    """Compare a run with the published model, on the rows that both were evaluated on.

    Each part of the behavior suite and each dataset of the test split is compared separately.

    Args:
        run: An evaluated run folder.
        published: The row results file of the published model.
        to: The repository that it comes from.

    Raises:
        RunError: The run has no row results.
        HubError: The published model is significantly better on a part.
    """
    try:
        ours = row_results.load(run / FILE)
    except (OSError, ValueError) as error:
        raise RunError(
            f"the release gate needs {FILE} of {run}, which can't be read "
            f"({shorten(error)}) — write it with `python -m train evaluate {run}`, or publish "
            "without the release gate with --allow-regression"
        ) from error
    try:
        theirs = row_results.load(published)
    except (OSError, ValueError) as error:
        console.print_line(
            f"{FILE} of {to} can't be read ({shorten(error)}): publishing without the release gate"
        )
        return
    worse = []
    for part, rows in _by_part(ours, theirs):
        both = rows[rows["_merge"] == "both"]
        if both.empty:
            line = f"not compared, none of {len(rows):,} rows was evaluated for both models"
        else:
            line, is_worse = compare(both)
            worse += [f"{part}: {line}"] * is_worse
        console.print_line(f"release gate, {part}: {line}")
    if worse:
        raise HubError(
            f"{run} is significantly worse than the model in {to}. A release must not be worse at "
            f"p < {SIGNIFICANCE} on any part, got {'; '.join(worse)} — publish to another "
            "repository, or add --allow-regression"
        )


def compare(rows: Any) -> tuple[str, bool]:
    """Compare two models on the same rows by McNemar's exact test.

    Args:
        rows: A pandas DataFrame with `kind`, `correct_ours` and `correct_theirs`.

    Returns:
        A line for the terminal, and whether our model is significantly worse.
    """
    ours, theirs = rows["correct_ours"].astype(bool), rows["correct_theirs"].astype(bool)
    lost, gained = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    p = mcnemar(lost, gained)
    line = (
        f"{theirs.sum():,} of {len(rows):,} rows correct before, {ours.sum():,} now "
        f"({lost:,} lost, {gained:,} gained, p = {p:.3g} by McNemar's exact test)"
    )
    kinds = rows.assign(before=theirs, now=ours).groupby("kind")[["before", "now"]]
    counts = kinds.sum().assign(of=kinds.size())
    counts = counts[counts["now"] < counts["before"]]
    if lost > gained and len(kinds) > 1:
        order = (counts["now"] - counts["before"]).sort_values(kind="stable").index
        drops = [
            f"{kind} ({row.before} to {row.now} of {row.of})"
            for kind, row in counts.loc[order].iterrows()
        ]
        line += f"; fewer correct in {', '.join(drops)}"
    return line, lost > gained and p < SIGNIFICANCE


def mcnemar(lost: int, gained: int) -> float:
    """Two-sided p-value of McNemar's exact test, from the rows on which only one model is right."""
    return float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0


def _by_part(ours: Any, theirs: Any) -> Any:
    """Groups of rows by the name of the part; a row may be evaluated for one model only."""
    keys = ["part", "row"]
    merged = ours.drop_duplicates(keys).merge(
        theirs.drop_duplicates(keys),
        how="outer",
        on=keys,
        suffixes=("_ours", "_theirs"),
        indicator=True,
    )
    merged["kind"] = merged["kind_ours"].fillna(merged["kind_theirs"])
    in_suite = merged["part"].isin(SUITE_PARTS)
    names = ("behavior suite, " + merged["part"]).where(
        in_suite, merged["part"] + " rows of " + merged["kind"]
    )
    return merged.groupby(names)
