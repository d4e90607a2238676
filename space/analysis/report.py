"""The results of a scored file for the page: figures, charts and tables.

In: the rows, a prediction or an error for each, and what their columns contain. Out: HTML, Altair
charts and data frames. Everywhere a review has one verdict: a label, or uncertain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import pandas

from space import views
from space.analysis import aspects as file_aspects
from space.analysis import charts, statistics, words
from space.files.columns import Columns
from space.files.dates import parse_dates
from space.files.downloads import append_columns, prediction_frame
from space.files.ratings import CONVERTED, STARS, is_converted, parse_ratings
from space.files.tables import texts, unused_name
from space.inference.classifier import InvalidText, Prediction
from space.inference.labels import in_order, sides
from space.views import name, percent, percent_beside
from space.views.scale import SIDE_CLASSES

MAX_CHARACTERS = 300  # of a review in a table
MAX_DISAGREEMENTS = 100
UNCERTAIN = "uncertain"  # the verdict where the model is unsure
OTHER_LANGUAGE = "seem to be in a language that the model was not trained on"
GOOD_STARS, BAD_STARS = 4.0, 2.0  # of 5, which contradict a negative or a positive verdict


@dataclass(frozen=True, eq=False)
class Report:
    """A scored file.

    Args:
        frame: The rows of the file, one review each; its index counts the rows, from 0.
        answers: For each row a prediction, or why it has none.
        labels: The model's, in its order; statistics are about the most positive one.
        columns: Which column contains what; `text` is required.
        file_name: Of the file.
        unsure_below: Probability below which the model is unsure.
        aspects: For each aspect of the film, a prediction or an error for each row.
        aspect_problem: Why there are no aspects, although there is a model of them.
    """

    frame: pandas.DataFrame
    answers: Sequence[Prediction | InvalidText]
    labels: Sequence[str]
    columns: Columns
    file_name: str = "reviews"
    unsure_below: float = 0.0
    aspects: file_aspects.Answers = field(default_factory=dict)
    aspect_problem: str = ""

    @property
    def captions(self) -> dict[str, str]:
        """Captions of charts, by name, that differ from those of the page."""
        return {}

    @cached_property
    def notes(self) -> dict[str, str]:
        """What the captions of charts add, by name: what is converted, and what is left out."""
        notes = {}
        if self.columns.rating and is_converted(self.frame[self.columns.rating]):
            notes = dict.fromkeys(["by_stars", "stars_over_time"], CONVERTED)
        shown, count = charts.MAX_GROUPS, len(self.title_names)
        if count > shown:
            notes["by_title"] = f"the best {shown} of {count:,} titles"
            notes["aspects_by_title"] = f"the {shown} of {count:,} titles with the most reviews"
        return notes

    @cached_property
    def predictions(self) -> pandas.DataFrame:
        """One row per row of the file; see `downloads.prediction_frame`."""
        return prediction_frame(self.answers, self.labels)

    @cached_property
    def scored(self) -> pandas.DataFrame:
        """The rows of the file with the predictions, to download."""
        added = pandas.concat([self.predictions, self.mentions], axis="columns")
        return append_columns(self.frame, added)

    @cached_property
    def mentions(self) -> pandas.DataFrame:
        """One row per row of the file, without columns if there are no aspects."""
        return file_aspects.columns(self.aspects, self.answers)

    @cached_property
    def verdicts(self) -> pandas.Series:
        """For each row a label of the model, `UNCERTAIN`, or "" if it was not scored."""
        labels = self.predictions["prediction"].astype("object")
        return labels.mask(self.predictions["unsure"], UNCERTAIN)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many rows have each verdict, from positive over uncertain to negative."""
        known = self.verdicts.value_counts()
        order = list(reversed(self._ordered))
        order[len(order) - 1 : len(order) - 1] = [UNCERTAIN] * (UNCERTAIN in known)
        return {verdict: int(known.get(verdict, 0)) for verdict in order}

    @cached_property
    def positive(self) -> pandas.Series:
        """1 where the verdict is the most positive label, else 0; NaN where there is none."""
        return statistics.is_label(self.verdicts, self._ordered[-1])

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
        if foreign := sum(bool(getattr(a, "language_caution", None)) for a in self.answers):
            facts.append((f"{foreign:,}", f"{OTHER_LANGUAGE}; these count as uncertain"))
        if mixed := sum(map(bool, self.mentions.get("mixed", []))):
            facts.append((f"{mixed:,}", file_aspects.MIXED))
        problem = views.message(self.aspect_problem) if self.aspect_problem else ""
        bar = views.stacked_bar(
            [(self._look(verdict), name(verdict), count) for verdict, count in self.counts.items()]
        )
        return bar + views.figures(facts) + problem

    def _headline(self, scored: int) -> list[tuple[str, str]]:
        """The first figures of the summary, each with its description."""
        share = statistics.proportion(self.counts[self._ordered[-1]], scored)
        noun = f"review{'s' * (scored != 1)}"
        return [
            (percent(share.value), f"{name(self._ordered[-1]).lower()}, of {scored:,} {noun} "
             f"(95% interval {share.low:.1%} to {share.high:.1%})"),
        ]  # fmt: skip

    def _look(self, verdict: str) -> str:
        """The HTML attributes of a verdict's color; the style is left open."""
        return f'class="{SIDE_CLASSES[sides(self.labels).get(verdict, 0)]}" style="'

    @cached_property
    def _ordered(self) -> list[str]:
        """The labels from negative to positive."""
        return in_order(self.labels)

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
        return views.agreement_card(agreement)

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
        return charts.over_time(shares, period, name(self._ordered[-1]))

    def stars_over_time(self, period: statistics.Period) -> Any:
        """The chart of the mean stars over time; None where no row has both."""
        if self.dates is None or self.stars is None:
            return None
        means = statistics.mean_over_time(self.dates, self.stars, (0, STARS), period)
        return charts.stars_over_time(means, period) if len(means) else None

    def by_title(self) -> Any:
        """The chart of verdicts by title, the best first; None where no row has a title."""
        if self.titles is None:
            return None
        ranking = statistics.by_title(self.titles, self.positive)["title"]
        rows = statistics.verdict_counts(self.titles, self.verdicts)
        ranks = {title: rank for rank, title in enumerate(ranking)}
        rows = rows.sort_values("group", key=lambda group: group.map(ranks), kind="stable")
        return self._draw_verdicts(rows, "title")

    def aspects_by_title(self) -> Any:
        """The heat map of aspects and titles; None where no row has both."""
        if self.titles is None:
            return None
        shown = self.title_names[: charts.MAX_GROUPS]
        return file_aspects.by_title(self.aspects, list(self.titles), shown)

    def by_stars(self) -> Any:
        """The chart of verdicts by stars, the most first; None without ratings."""
        if self.stars is None:
            return None
        rounded = (self.stars * 2).round() / 2
        groups = rounded.map(lambda stars: f"{stars:g} ★", na_action="ignore")
        rows = statistics.verdict_counts(groups, self.verdicts)
        stars = rows["group"].map(lambda group: float(group.partition(" ")[0]))
        order = stars.sort_values(ascending=False, kind="stable").index
        return self._draw_verdicts(rows.loc[order], "rating")

    def _draw_verdicts(self, rows: pandas.DataFrame, heading: str) -> Any:
        colors = self._verdict_colors()
        return charts.verdicts(rows, self._names, heading, colors) if len(rows) else None

    def _verdict_colors(self) -> list[str]:
        known = sides(self.labels)
        return charts.verdict_colors([known.get(verdict, 0) for verdict in self.counts])

    def confusion(self) -> Any:
        """The chart of labels by verdict; None without labels."""
        if self.agreement is None:
            return None
        matched = statistics.match_labels(
            self.frame[self.columns.label].reset_index(drop=True), self.labels
        )
        verdicts = list(reversed(self.counts))
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
            "aspects_by_title": self.aspects_by_title(),
            "confusion": self.confusion(),
        }
        return {key: chart for key, chart in drawn.items() if chart is not None}

    def choices(self) -> list[tuple[str, str]]:
        """What the listing can be filtered by: a caption with the count, and the verdict."""
        not_scored = len(self.answers) - sum(self.counts.values())
        verdicts = {**self.counts, "": not_scored}
        rows = [(f"{name(v) or 'Not analyzed'} {n:,}", v) for v, n in verdicts.items() if n]
        return [(f"All {len(self.answers):,}", "all"), *rows]

    def positions(self, verdict: str) -> list[int]:
        """The rows with a verdict; all of them for "all"."""
        rows = np.flatnonzero((self.verdicts == verdict) | (verdict == "all"))
        return [int(row) for row in rows]

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
        if self.aspects:
            cells["mixed"] = self.mentions["mixed"].iloc[rows].tolist()
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
        signs = self._sides()
        positions = np.flatnonzero((good & (signs < 0)) | (bad & (signs > 0)))
        order = np.argsort(-self.predictions["probability"].to_numpy()[positions], kind="stable")
        return self.listing(positions[order][:MAX_DISAGREEMENTS].tolist())

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
        reviews = [self.texts[row] for row in rows]
        side_words = words.characterize(reviews, sides.iloc[rows].tolist())
        return views.characteristic_words(side_words, self._side_names(), self._needed_reviews())

    def _sides(self) -> pandas.Series:
        """1 for positive rows, -1 for negative ones, 0 for others."""
        return self.verdicts.map(sides(self.labels)).fillna(0).astype(int)

    def _side_names(self) -> tuple[str, str]:
        return self._ordered[-1], self._ordered[0]

    def _needed_reviews(self) -> str:
        positive, negative = (name(side).lower() for side in self._side_names())
        return f"{words.MIN_TEXTS} {positive} and {words.MIN_TEXTS} {negative} reviews"

    def errors(self) -> pandas.DataFrame:
        """The rows without a prediction, and why."""
        rows = [
            (self.texts[row][:MAX_CHARACTERS], error, self.frame.index[row] + 1)
            for row, error in enumerate(self.predictions["error"])
            if error
        ]
        return pandas.DataFrame(rows, columns=["review", "reason", "row"])
