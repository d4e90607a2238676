"""The results of a scored file for the page: figures, charts and tables.

In: the rows, a prediction or an error for each, and what their columns contain. Out: HTML, Altair
charts and data frames. Everywhere a review has one verdict: a label, or uncertain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import pandas

from space import views
from space.analysis import charts, statistics, words
from space.files.columns import Columns
from space.files.dates import parse_dates
from space.files.downloads import append_columns, prediction_frame
from space.files.ratings import parse_ratings
from space.files.tables import texts, unused_name
from space.inference.classifier import InvalidText, Prediction
from space.views import name, percent, percent_beside

MAX_CHARACTERS = 300  # of a review in a table
MAX_DISAGREEMENTS = 100
UNCERTAIN = "uncertain"  # the verdict where the model is unsure
GOOD_STARS, BAD_STARS = 4.0, 2.0  # of 5, which contradict a negative or a positive verdict
NO_WORDS = (
    f"Characteristic words need at least {words.MIN_TEXTS} positive and {words.MIN_TEXTS} negative "
    "reviews."
)


@dataclass(frozen=True, eq=False)
class Report:
    """A scored file.

    Args:
        frame: The rows of the file, one review each; its index counts the rows, from 0.
        answers: For each row a prediction, or why it has none.
        labels: The model's, in its order; statistics are about the last one.
        columns: Which column contains what; `text` is required.
        file_name: Of the file.
        unsure_below: Probability below which the model is unsure.
    """

    frame: pandas.DataFrame
    answers: Sequence[Prediction | InvalidText]
    labels: Sequence[str]
    columns: Columns
    file_name: str = "reviews"
    unsure_below: float = 0.0

    @property
    def captions(self) -> dict[str, str]:
        """Captions of charts, by name, that differ from those of the page."""
        return {}

    @cached_property
    def predictions(self) -> pandas.DataFrame:
        """One row per row of the file; see `downloads.prediction_frame`."""
        return prediction_frame(self.answers, self.labels)

    @cached_property
    def scored(self) -> pandas.DataFrame:
        """The rows of the file with the predictions, to download."""
        return append_columns(self.frame, self.predictions)

    @cached_property
    def verdicts(self) -> pandas.Series:
        """For each row a label of the model, `UNCERTAIN`, or "" if it was not scored."""
        labels = self.predictions["prediction"].astype("object")
        return labels.mask(self.predictions["unsure"], UNCERTAIN)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many rows have each verdict, from positive over uncertain to negative."""
        known = self.verdicts.value_counts()
        has_uncertain = UNCERTAIN in known
        order = list(reversed(self.labels))
        order[len(order) - 1 : len(order) - 1] = [UNCERTAIN] * has_uncertain
        return {verdict: int(known.get(verdict, 0)) for verdict in order}

    @cached_property
    def positive(self) -> pandas.Series:
        """1 where the verdict is the last label, else 0; NaN where there is none."""
        return statistics.is_label(self.verdicts, self.labels[-1])

    @cached_property
    def agreement(self) -> statistics.Agreement | None:
        """Agreement with the labels of the file; None if it has none that the model knows."""
        if self.columns.label is None:
            return None
        agreement = statistics.agreement(
            self.frame[self.columns.label], self.predictions["prediction"], self.labels
        )
        return agreement if agreement.n else None

    @cached_property
    def stars(self) -> pandas.Series | None:
        """The ratings of the rows; None if the file has none."""
        if self.columns.rating is None:
            return None
        stars = parse_ratings(self.frame[self.columns.rating]).reset_index(drop=True)
        return stars if stars.notna().any() else None

    @cached_property
    def dates(self) -> pandas.Series | None:
        """The day of each row; None if the file has none."""
        if self.columns.date is None:
            return None
        dates = parse_dates(self.frame[self.columns.date]).reset_index(drop=True)
        return dates if dates[self.positive.notna()].notna().any() else None

    @cached_property
    def titles(self) -> pandas.Series | None:
        """The title of each row as text, missing where it is blank; None if the file has none."""
        if self.columns.title is None:
            return None
        cells = self.frame[self.columns.title].reset_index(drop=True)
        titles = cells.astype("object").map(lambda title: str(title).strip(), na_action="ignore")
        return titles.where(titles != "", None)

    @cached_property
    def title_names(self) -> list[str]:
        """The titles, those with the most reviews first."""
        return [] if self.titles is None else list(self.titles.value_counts().index)

    @cached_property
    def texts(self) -> list[str]:
        """The reviews; "" where there is none."""
        cells = texts(self.frame, self.columns.text or "")
        return [cell if isinstance(cell, str) else "" for cell in cells]

    def summary(self) -> str:
        """The headline, and how many reviews have each verdict, as HTML."""
        scored = sum(self.counts.values())
        if not scored:
            return views.message("None of the rows could be analyzed.")
        truncated = int((self.predictions["tokens_read"] < self.predictions["tokens"]).sum())
        errors = len(self.answers) - scored
        facts = [
            *self._headline(scored),
            (f"{errors:,}", "not analyzed" + ("; listed below with the reason" * bool(errors))),
        ]
        if truncated:
            facts.append(
                (f"{truncated:,}", "too long for the model, which read their beginning and end")
            )
        return self._stacked_bar(scored) + views.figures(facts)

    def _headline(self, scored: int) -> list[tuple[str, str]]:
        """The first figures of the summary, each with its description."""
        share = statistics.proportion(self.counts[self.labels[-1]], scored)
        return [
            (percent(share.value), f"{self._label.lower()}, of {scored:,} reviews "
             f"(95% interval {share.low:.1%} to {share.high:.1%})"),
        ]  # fmt: skip

    def _stacked_bar(self, scored: int) -> str:
        segments, legend = [], []
        for verdict, count in self.counts.items():
            look, label = self._look(verdict), escape(name(verdict))
            segments.append(f'<b {look};flex-grow:{count}"></b>' * bool(count))
            legend.append(
                f'<li><i {look}"></i>{label} <strong>{count:,}</strong> ({count / scored:.1%})</li>'
            )
        return (
            f'<div class="verdicts"><div class="stack" aria-hidden="true">{"".join(segments)}</div>'
            f"<ul>{''.join(legend)}</ul></div>"
        )

    def _look(self, verdict: str) -> str:
        """The HTML attributes of a verdict's color; the style is left open."""
        color = "against" if verdict == self.labels[0] else "for"
        return f'class="{"unsure" if verdict == UNCERTAIN else color}" style="'

    @property
    def _label(self) -> str:
        return name(self.labels[-1])

    @property
    def _names(self) -> dict[str, str]:
        return {verdict: name(verdict) for verdict in self.counts}

    def agreement_card(self) -> str:
        """Accuracy and F1 as HTML, if the file has labels."""
        column, agreement = self.columns.label, self.agreement
        if column is None:
            return ""
        if agreement is None:
            known = ", ".join(self.labels)
            return views.message(f"The column {column} has none of the model's labels ({known}).")
        accuracy = agreement.accuracy
        facts = [
            (f"{accuracy.value:.1%}", f"accuracy on {agreement.n:,} labeled reviews (95% "
             f"interval {accuracy.low:.1%} to {accuracy.high:.1%}); an uncertain review counts as "
             "what the model leans to"),
            (f"{agreement.f1:.3f}", "F1"),
        ]  # fmt: skip
        if agreement.unmatched:
            unknown = ", ".join(agreement.unknown)
            facts.append(
                (f"{agreement.unmatched:,}", f"labels that the model does not have: {unknown}")
            )
        return views.figures(facts)

    @cached_property
    def period(self) -> statistics.Period:
        """The period of the charts over time that suits the number of reviews."""
        if self.dates is None:
            return "month"
        return statistics.choose_period(self.dates[self.positive.notna()])

    def over_time(self, period: statistics.Period, titles: Sequence[str] = ()) -> Any:
        """The chart of the share over time; None where no row has a date."""
        if self.dates is None:
            return None
        shares = statistics.over_time(self.dates, self.positive, period, self.titles, titles)
        return charts.over_time(shares, period, self._label)

    def stars_over_time(self, period: statistics.Period) -> Any:
        """The chart of the mean stars over time; None where no row has both."""
        if self.dates is None or self.stars is None:
            return None
        means = statistics.mean_over_time(self.dates, self.stars, period)
        return charts.stars_over_time(means, period) if len(means) else None

    def by_title(self) -> Any:
        """The chart of verdicts by title, the best first; None where no row has a title."""
        if self.titles is None:
            return None
        ranking = statistics.by_title(self.titles, self.positive)["title"]
        rows = statistics.verdict_counts(self.titles, self.verdicts)
        ranks = {title: rank for rank, title in enumerate(ranking)}
        rows = rows.sort_values("group", key=lambda group: group.map(ranks), kind="stable")
        return charts.verdicts(rows, self._names, "title") if len(rows) else None

    def by_stars(self) -> Any:
        """The chart of verdicts by stars, the most first; None without ratings."""
        if self.stars is None:
            return None
        rounded = (self.stars * 2).round() / 2
        groups = rounded.map(lambda stars: f"{stars:g} ★", na_action="ignore")
        rows = statistics.verdict_counts(groups, self.verdicts)
        stars = rows["group"].map(lambda group: float(group.partition(" ")[0]))
        rows = rows.assign(stars=stars).sort_values("stars", ascending=False, kind="stable")
        names, colors = self._names, self._verdict_colors()
        return charts.verdicts(rows, names, "rating", colors=colors) if len(rows) else None

    def _verdict_colors(self) -> list[str] | None:
        return None

    def confusion(self) -> Any:
        """The chart of labels by verdict; None without labels."""
        if self.agreement is None:
            return None
        matched = statistics.match_labels(
            self.frame[self.columns.label].reset_index(drop=True), self.labels
        )
        verdicts = [verdict for verdict in reversed(self.counts)]
        both = (matched.notna() & (self.verdicts != "")).to_numpy()
        counts = pandas.crosstab(matched[both].to_numpy(), self.verdicts[both].to_numpy())
        matrix = counts.reindex(index=list(self.labels), columns=verdicts, fill_value=0)
        return charts.confusion(
            matrix.to_numpy(), list(map(name, self.labels)), list(map(name, verdicts))
        )

    def charts(
        self, period: statistics.Period | None = None, titles: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The charts that the columns allow, by name."""
        period = period or self.period
        drawn = {
            "over_time": self.over_time(period, titles),
            "stars_over_time": self.stars_over_time(period),
            "by_stars": self.by_stars(),
            "by_title": self.by_title(),
            "confusion": self.confusion(),
        }
        return {key: chart for key, chart in drawn.items() if chart is not None}

    def choices(self) -> list[tuple[str, str]]:
        """What the listing can be filtered by: a caption with the count, and the verdict."""
        not_scored = len(self.answers) - sum(self.counts.values())
        verdicts = {**self.counts, "": not_scored}
        return [
            (f"All {len(self.answers):,}", "all"),
            *(
                (f"{name(verdict) if verdict else 'Not analyzed'} {count:,}", verdict)
                for verdict, count in verdicts.items()
                if count
            ),
        ]

    def positions(self, verdict: str) -> list[int]:
        """The rows with a verdict; all of them for "all"."""
        chosen = np.ones(len(self.answers), bool) if verdict == "all" else self.verdicts == verdict
        return [int(position) for position in np.flatnonzero(chosen)]

    def listing(self, positions: Sequence[int] | None = None) -> pandas.DataFrame:
        """Scored rows as the page shows them, with their number in the file last; by default all.

        The column `prediction` is HTML.
        """
        rows = list(range(len(self.frame)) if positions is None else positions)
        file_rows, predictions = self.frame.iloc[rows], self.predictions.iloc[rows]
        cells: dict[str, Any] = {
            "review": [self.texts[row][:MAX_CHARACTERS] for row in rows],
            "prediction": [self._verdict_html(row) for row in rows],
            "probability": [
                "" if pandas.isna(value) else percent_beside(value, self.unsure_below)
                for value in predictions["probability"]
            ],
        }
        for column in (
            self.columns.rating, self.columns.label, self.columns.title, self.columns.date
        ):  # fmt: skip
            if column is not None:
                shown = ["" if pandas.isna(cell) else str(cell) for cell in file_rows[column]]
                cells[unused_name(column, cells)] = shown
        return pandas.DataFrame(cells | {unused_name("row", cells): file_rows.index + 1})

    def _verdict_html(self, row: int) -> str:
        answer = self.answers[row]
        if isinstance(answer, InvalidText):
            return "Not analyzed"
        color = views.verdict_color(answer)
        return f'<span class="verdict {color}">{escape(views.verdict(answer))}</span>'

    def disagreements(self) -> pandas.DataFrame | None:
        """Rows whose label differs from the prediction, the most confident first."""
        if self.columns.label is None or self.agreement is None:
            return None
        positions = statistics.disagreements(
            self.frame[self.columns.label], self.predictions["prediction"],
            self.predictions["probability"], self.labels,
        )  # fmt: skip
        return self.listing(positions[:MAX_DISAGREEMENTS])

    def contradictions(self) -> pandas.DataFrame | None:
        """Rows with many stars and negative words, or the reverse, the most confident first."""
        if self.stars is None:
            return None
        good, bad = self.stars >= GOOD_STARS, self.stars <= BAD_STARS
        positive, negative = self.verdicts == self.labels[-1], self.verdicts == self.labels[0]
        positions = np.flatnonzero((good & negative) | (bad & positive))
        confidence = self.predictions["probability"].to_numpy()[positions]
        order = np.argsort(-confidence, kind="stable")
        return self.listing([int(row) for row in positions[order]][:MAX_DISAGREEMENTS])

    def words(self, titles: Sequence[str] = ()) -> str:
        """Characteristic words and typical sentences of both sides, as HTML.

        Args:
            titles: Only reviews of these; all by default.
        """
        sides = self._sides()
        rows = [
            row
            for row in range(len(self.texts))
            if not titles or (self.titles is not None and self.titles[row] in titles)
        ]
        found = words.characterize(
            [self.texts[row] for row in rows], [int(sides.iloc[row]) for row in rows]
        )
        if found is None:
            return views.message(NO_WORDS, "remark")
        columns = zip(found, self._side_names(), ("for", "against"), strict=True)
        return f'<section class="words">{"".join(_side(*column) for column in columns)}</section>'

    def _sides(self) -> pandas.Series:
        """1 for positive rows, -1 for negative ones, 0 for others."""
        return (self.verdicts == self.labels[-1]).astype(int) - (self.verdicts == self.labels[0])

    def _side_names(self) -> tuple[str, str]:
        return self.labels[-1], self.labels[0]

    def errors(self) -> pandas.DataFrame:
        """The rows without a prediction, and why."""
        rows = [
            (self.texts[row][:MAX_CHARACTERS], error, self.frame.index[row] + 1)
            for row, error in enumerate(self.predictions["error"])
            if error
        ]
        return pandas.DataFrame(rows, columns=["review", "reason", "row"])


def _side(side: words.Side, label: str, color: str) -> str:
    terms = "".join(f"<li>{escape(term)}</li>" for term in side.terms)
    quotes = "".join(f"<blockquote>{escape(sentence)}</blockquote>" for _, sentence in side.quotes)
    none = '<p class="small">No word is clearly more frequent here.</p>'
    return (
        f'<div><h3 class="{color}">{escape(name(label))}</h3>'
        f'<ul class="terms {color}">{terms}</ul>{quotes}{none * (not terms)}</div>'
    )
