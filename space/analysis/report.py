"""The results of a scored file for the page: figures, charts and tables.

In: the rows, a prediction or an error for each, and what their columns contain. Out: HTML, Altair
charts and data frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas

from space import views
from space.analysis import charts, statistics
from space.files.columns import Columns
from space.files.dates import parse_dates
from space.files.downloads import append_columns, prediction_frame
from space.inference.classifier import InvalidText, Prediction
from space.views import name, percent

MAX_CHARACTERS = 300  # of a review in a table
MAX_DISAGREEMENTS = 100


@dataclass(frozen=True, eq=False)
class Report:
    """A scored file.

    Args:
        frame: The rows of the file, one review each.
        answers: For each row a prediction, or why it has none.
        labels: The model's, in its order; statistics are about the last one.
        columns: Which column contains what; `text` is required.
    """

    frame: pandas.DataFrame
    answers: Sequence[Prediction | InvalidText]
    labels: Sequence[str]
    columns: Columns

    @cached_property
    def predictions(self) -> pandas.DataFrame:
        """One row per row of the file; see `downloads.prediction_frame`."""
        return prediction_frame(self.answers, self.labels)

    @cached_property
    def scored(self) -> pandas.DataFrame:
        """The rows of the file with the predictions, to download."""
        return append_columns(self.frame, self.predictions)

    @cached_property
    def positive(self) -> pandas.Series:
        """1 where the last label is predicted, else 0; NaN where nothing is."""
        return statistics.is_label(self.predictions["prediction"], self.labels[-1])

    @cached_property
    def agreement(self) -> statistics.Agreement | None:
        """Agreement with the labels of the file; None if it has none that the model knows."""
        if self.columns.label is None:
            return None
        agreement = statistics.agreement(
            self.frame[self.columns.label], self.predictions["prediction"], self.labels
        )
        return agreement if agreement.n else None

    def summary(self) -> str:
        """The share of the last label with its interval, and counts, as HTML."""
        scored = int(self.positive.notna().sum())
        if not scored:
            return views.message("None of the rows could be scored.")
        share = statistics.proportion(int(self.positive.sum()), scored)
        unsure = int(self.predictions["unsure"].sum())
        truncated = int((self.predictions["tokens_read"] < self.predictions["tokens"]).sum())
        errors = len(self.answers) - scored
        facts = [
            (percent(share.value), f"{self._label}, of {scored:,} reviews "
             f"(95% interval {share.low:.1%} to {share.high:.1%})"),
            (f"{unsure:,}", f"mixed or unsure ({unsure / scored:.1%})"),
            (f"{errors:,}", "not scored" + (", listed below with the reason" * bool(errors))),
        ]  # fmt: skip
        if truncated:
            facts.append(
                (f"{truncated:,}", "longer than the model reads: beginning and end were read")
            )
        return views.figures(facts)

    def agreement_card(self) -> str:
        """Accuracy and F1 as HTML, if the file has labels."""
        column, agreement = self.columns.label, self.agreement
        if column is None:
            return ""
        if agreement is None:
            known = ", ".join(self.labels)
            return views.message(
                f"No label in the column {column} is one of the model's ({known})."
            )
        accuracy = agreement.accuracy
        facts = [
            (f"{accuracy.value:.1%}", f"accuracy on {agreement.n:,} labelled reviews (95% "
             f"interval {accuracy.low:.1%} to {accuracy.high:.1%})"),
            (f"{agreement.f1:.3f}", "F1"),
        ]  # fmt: skip
        if agreement.unmatched:
            unknown = ", ".join(agreement.unknown)
            facts.append(
                (f"{agreement.unmatched:,}", f"labels that are not the model's: {unknown}")
            )
        return views.figures(facts)

    def over_time(self, period: statistics.Period) -> Any:
        """The chart of the share over time; None where no row has a date."""
        if self.columns.date is None:
            return None
        dates = parse_dates(self.frame[self.columns.date])
        shares = statistics.over_time(dates, self.positive, period, self._titles)
        return charts.over_time(shares, period, self._label) if len(shares) else None

    @property
    def _label(self) -> str:
        return name(self.labels[-1])

    @property
    def _titles(self) -> pandas.Series | None:
        return self.frame[self.columns.title] if self.columns.title else None

    def charts(self, period: statistics.Period) -> dict[str, Any]:
        """The charts that the columns allow: `over_time`, `by_title`, `confusion`."""
        drawn = {"over_time": self.over_time(period)}
        if self._titles is not None:
            ranking = statistics.by_title(self._titles, self.positive)
            drawn["by_title"] = charts.by_title(ranking, self._label) if len(ranking) else None
        if self.agreement:
            drawn["confusion"] = charts.confusion(self.agreement.confusion, self.labels)
        return {key: chart for key, chart in drawn.items() if chart is not None}

    def listing(self, positions: Sequence[int] | None = None) -> pandas.DataFrame:
        """Scored rows as the page shows them, with their number in the file; all by default."""
        rows = range(len(self.frame)) if positions is None else positions
        file_rows, predictions = self.frame.iloc[rows], self.predictions.iloc[rows]
        cells: dict[str, Any] = {
            "row": [row + 1 for row in rows],
            "prediction": [
                name(label) if label else "Not scored" for label in predictions["prediction"]
            ],
            "probability": predictions["probability"].round(3).to_list(),
            "unsure": ["unsure" if unsure else "" for unsure in predictions["unsure"]],
        }
        for column in (self.columns.label, self.columns.title, self.columns.date):
            if column is not None:
                cells[column] = file_rows[column].astype("str").to_list()
        texts = file_rows[self.columns.text].astype("str")
        return pandas.DataFrame(cells | {"review": texts.str.slice(0, MAX_CHARACTERS).to_list()})

    def disagreements(self) -> pandas.DataFrame | None:
        """Rows whose label differs from the prediction, the most confident first."""
        if self.columns.label is None or self.agreement is None:
            return None
        positions = statistics.disagreements(
            self.frame[self.columns.label], self.predictions["prediction"],
            self.predictions["probability"], self.labels,
        )  # fmt: skip
        return self.listing(positions[:MAX_DISAGREEMENTS])

    def errors(self) -> pandas.DataFrame:
        """The rows without a prediction, and why."""
        errors = self.predictions["error"]
        rows = [
            (row, error, str(text)[:MAX_CHARACTERS])
            for row, (error, text) in enumerate(
                zip(errors, self.frame[self.columns.text], strict=True), start=1
            )
            if error
        ]
        return pandas.DataFrame(rows, columns=["row", "reason", "review"])
