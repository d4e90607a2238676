"""What a file of reviews says once it is scored: figures, charts and tables for the page.

In: the rows, a verdict or a reason for each, and which columns hold what. Out: HTML, Altair charts
and data frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas

from space import views
from space.analysis import charts, statistics
from space.files import dates, tables
from space.inference.classifier import InvalidText, Prediction
from space.views import name, percent

CHARACTERS = 300  # of a review in a table


@dataclass(frozen=True)
class Columns:
    """Which column holds what; None where the file has none."""

    text: str
    date: str | None = None
    title: str | None = None
    label: str | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """A scored file.

    Args:
        frame: The rows as they came, one a review.
        answers: For each row a verdict, or why it has none.
        labels: The model's, in its order; the last is the one whose share is shown.
        columns: Which column holds what.
    """

    frame: pandas.DataFrame
    answers: Sequence[Prediction | InvalidText]
    labels: Sequence[str]
    columns: Columns

    @cached_property
    def scored(self) -> pandas.DataFrame:
        """The rows with what the model says of each."""
        return tables.add_scores(self.frame, list(self.answers), list(self.labels))

    @cached_property
    def names(self) -> dict[str, str]:
        """What the columns are called that scoring added."""
        return tables.names(self.frame.columns, self.labels)

    @cached_property
    def verdicts(self) -> pandas.Series:
        """The label of each row, "" where it was not scored."""
        return self.scored[self.names["verdict"]]

    @cached_property
    def positive(self) -> pandas.Series:
        """1 where the verdict is the last label, else 0; NaN where the row was not scored."""
        return statistics.positives(self.verdicts, self.labels[-1])

    @cached_property
    def agreement(self) -> statistics.Agreement | None:
        """How the verdicts stand to the labels of the file, where it has any of the model's."""
        if self.columns.label is None:
            return None
        found = statistics.agreement(
            self.frame[self.columns.label], self.verdicts, list(self.labels)
        )
        return found if found.n else None

    def summary(self) -> str:
        """The share of praise with its interval, and how many rows it is of."""
        scored = int(self.positive.notna().sum())
        if not scored:
            return views.sentence("None of the rows could be scored.")
        share = statistics.share(int(self.positive.sum()), scored)
        unsure = sum(isinstance(a, Prediction) and a.unsure for a in self.answers)
        cut = sum(isinstance(a, Prediction) and a.tokens_read < a.tokens for a in self.answers)
        refused = len(self.answers) - scored
        facts = [
            (percent(share.value), f"{name(self.labels[-1])}, of {scored:,} reviews "
             f"(95% interval {share.low:.1%} to {share.high:.1%})"),
            (f"{unsure:,}", f"mixed or unsure ({unsure / scored:.1%})"),
            (f"{refused:,}", "not scored" + (", listed below with the reason" * bool(refused))),
        ]  # fmt: skip
        if cut:
            facts.append((f"{cut:,}", "longer than the model reads: beginning and end were read"))
        return views.figures(facts)

    def agreement_card(self) -> str:
        """Accuracy and F1 where labels were given; a sentence where none of them is known."""
        if self.columns.label is None:
            return ""
        if (found := self.agreement) is None:
            column, known = self.columns.label, ", ".join(self.labels)
            return views.sentence(
                f"No label in the column {column} is one of the model's ({known})."
            )
        facts = [
            (f"{found.accuracy.value:.1%}", f"accuracy on {found.n:,} labelled reviews (95% "
             f"interval {found.accuracy.low:.1%} to {found.accuracy.high:.1%})"),
            (f"{found.f1:.3f}", "F1"),
        ]  # fmt: skip
        if found.unmatched:
            unknown = ", ".join(found.unknown)
            facts.append((f"{found.unmatched:,}", f"labels that are not the model's: {unknown}"))
        return views.figures(facts)

    def audience(self, period: statistics.Period) -> Any:
        """The audience over time; None where no row has a date."""
        if self.columns.date is None:
            return None
        days = dates.dates(self.frame[self.columns.date])
        found = statistics.over_time(days, self.positive, period, self._titles())
        return charts.audience(found, period) if len(found) else None

    def _titles(self) -> pandas.Series | None:
        return self.frame[self.columns.title] if self.columns.title else None

    def charts(self, period: statistics.Period) -> dict[str, Any]:
        """The charts that the columns allow, by name; `period` is day, week or month."""
        drawn: dict[str, Any] = {}
        if (audience := self.audience(period)) is not None:
            drawn["audience"] = audience
        titles = self._titles()
        if titles is not None and len(ranking := statistics.by_title(titles, self.positive)):
            drawn["titles"] = charts.titles(ranking)
        if self.agreement:
            drawn["confusion"] = charts.confusion(self.agreement.confusion, list(self.labels))
        return drawn

    def listing(self, rows: pandas.DataFrame | None = None) -> pandas.DataFrame:
        """Scored rows, or some, as the page shows them, each with its number in the file."""
        rows = self.scored if rows is None else rows
        verdicts = rows[self.names["verdict"]]
        shown: dict[str, Any] = {
            "row": self.frame.index.get_indexer(rows.index) + 1,
            "verdict": [name(label) if label else "Not scored" for label in verdicts],
            "probability": rows[self.names["probability"]].round(3).to_list(),
            "unsure": ["unsure" if unsure else "" for unsure in rows[self.names["unsure"]]],
        }
        for column in (self.columns.label, self.columns.title, self.columns.date):
            if column is not None:
                shown[column] = rows[column].astype("str").to_list()
        shown["review"] = rows[self.columns.text].astype("str").str.slice(0, CHARACTERS).to_list()
        return pandas.DataFrame(shown)

    def disagreements(self) -> pandas.DataFrame | None:
        """Rows whose label is another than the verdict, the most confident first."""
        if self.columns.label is None or self.agreement is None:
            return None
        found = statistics.disagreements(
            self.scored, self.columns.label, self.names["verdict"], self.names["probability"],
            list(self.labels),
        )  # fmt: skip
        return self.listing(found.head(100))

    def refused(self) -> pandas.DataFrame:
        """Rows that were not scored, and why."""
        found = [
            (row + 1, str(answer), str(text)[:CHARACTERS])
            for row, (answer, text) in enumerate(
                zip(self.answers, self.frame[self.columns.text], strict=True)
            )
            if isinstance(answer, InvalidText)
        ]
        return pandas.DataFrame(found, columns=["row", "reason", "review"])
