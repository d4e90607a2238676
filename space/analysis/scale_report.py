"""The results of a scored file for labels that are a scale, such as stars.

In: as for `Report`. Out: the same parts of the page, about expected values: their mean over time
and by title, beside the ratings of the file if it has any, and their agreement with these.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas

from space import views
from space.analysis import charts, scale_charts, statistics
from space.analysis.report import MAX_DISAGREEMENTS, Report
from space.analysis.words import MIN_TEXTS
from space.files import ratings
from space.inference.labels import label_values, scale_side, unit
from space.views import scale

MODEL, FILE = "Model", "Ratings in the file"
MIN_CONTRADICTION = 2 / 5  # of the scale, between an expected value and a rating
MIN_RATED = 10  # reviews with a rating, for a correlation


class ScaleReport(Report):
    """A scored file, by a model whose labels are a scale."""

    @property
    def captions(self) -> dict[str, str]:
        """The captions of its charts."""
        return {
            "over_time": f"Mean {self._unit} over time",
            "by_title": f"Mean {self._unit} by title",
        }

    @cached_property
    def notes(self) -> dict[str, str]:
        """As for `Report`; the ratings of the file are in the charts of the means, too."""
        notes = dict(super().notes)
        if "by_stars" in notes:
            notes |= dict.fromkeys(["by_stars", "over_time"], self._conversion)
            notes["by_title"] = "; ".join(filter(None, [notes.get("by_title"), self._conversion]))
        return notes

    @cached_property
    def expected(self) -> pandas.Series:
        """The expected value of each row; NaN where there is none."""
        values = [getattr(answer, "expected", None) for answer in self.answers]
        return pandas.Series(values, dtype="float64")

    @cached_property
    def stars(self) -> pandas.Series | None:
        """As for `Report`, but on the scale of training if the labels begin at 1."""
        if super().stars is None:
            return None
        column = self.frame[self.columns.rating]
        return ratings.parse_ratings(column, self._lowest_rating).reset_index(drop=True)

    @cached_property
    def ratings(self) -> pandas.Series | None:
        """The ratings of the rows on the model's scale; None if the file has none."""
        return None if self.stars is None else self._on_scale(self.stars)

    def _on_scale(self, stars: Any) -> Any:
        lowest = self._lowest_rating
        return lowest + (self._most - lowest) * (stars - lowest) / (ratings.STARS - lowest)

    @property
    def _lowest_rating(self) -> int:
        """1 as in training, where 1 of 10 is 1 star; 0 if the labels begin below 1."""
        return int(self._values[0] >= 1)

    @property
    def _conversion(self) -> str:
        seven = self._on_scale(ratings.to_stars(7, 10, self._lowest_rating))
        return f"ratings converted to {self._most:g} {self._unit}; 7 of 10 is {seven:.1f}"

    @cached_property
    def verdicts(self) -> pandas.Series:
        """For each row the most probable label, or "" if it was not scored."""
        return self.predictions["prediction"].astype("object")

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many rows have each label, from the highest to the lowest."""
        known = self.verdicts.value_counts()
        return {label: int(known.get(label, 0)) for label in reversed(self.labels)}

    @cached_property
    def positive(self) -> pandas.Series:
        """1 where the expected value is above the middle, else 0; NaN where there is none."""
        return (self.expected > self._middle).astype("float64").where(self.expected.notna())

    def _headline(self, scored: int) -> list[tuple[str, str]]:
        every = pandas.Series([""] * len(self.expected))
        mean = statistics.group_means(every, self.expected, self._range).iloc[0]
        low, high = mean["low"], mean["high"]
        interval = "" if scored < 2 else f" (95% interval {low:.2f} to {high:.2f})"
        unsure = int(self.predictions["unsure"].sum())
        return [
            (
                f"{mean['share']:.2f}",
                f"{self._unit} on average, of {scored:,} review{'s' * (scored != 1)}{interval}",
            ),
            (f"{unsure:,}", "uncertain: the probability of each label is low"),
        ]

    def agreement_card(self) -> str:
        """Agreement with the labels and with the ratings of the file as HTML, if it has any."""
        return super().agreement_card() + self._rating_card()

    def _rating_card(self) -> str:
        if self.ratings is None:
            return ""
        both = self.ratings.notna() & self.expected.notna()
        expected, rated = self.expected[both], self.ratings[both]
        if not len(rated):
            return ""
        difference = (expected - rated).abs()
        step = self._values[1] - self._values[0]
        converted = f"; {self._conversion}" if "by_stars" in self.notes else ""
        facts = [
            (f"{difference.mean():.2f}", f"mean difference between the expected {self._unit} and "
             f"the ratings of {len(rated):,} reviews{converted}"),
            (f"{(difference <= step).mean():.1%}", "differ by at most one"),
        ]  # fmt: skip
        correlation = expected.rank().corr(rated.rank())
        if len(rated) >= MIN_RATED and not np.isnan(correlation):
            facts.append((f"{correlation:.2f}", "rank correlation (Spearman) with the ratings"))
        return views.figures(facts, "Agreement with the ratings")

    def over_time(self, period: statistics.Period, titles: Sequence[str] = ()) -> Any:
        """The chart of the mean over time, and of the file's ratings unless titles are selected."""
        if self.dates is None:
            return None
        parts = [statistics.mean_over_time(self.dates, self.expected, self._range, period)]
        for title in titles if self.titles is not None else ():
            values = self.expected.where(self.titles == title)
            parts.append(statistics.mean_over_time(self.dates, values, self._range, period, title))
        if self.ratings is not None and not titles:
            rated = statistics.mean_over_time(
                self.dates, self.ratings, (0, self._most), period, FILE
            )
            parts.append(rated)
        rows = pandas.concat(parts, ignore_index=True)
        return charts.stars_over_time(rows, period, self._unit, self._most)

    def stars_over_time(self, period: statistics.Period) -> Any:
        """No chart: `over_time` has the ratings of the file, too."""
        return None

    def by_title(self) -> Any:
        """The chart of the means by title, the best first; None where no row has a title."""
        if self.titles is None:
            return None
        means = statistics.group_means(self.titles, self.expected, self._range)
        order = means.assign(rank=means["low"].fillna(self._values[0]))
        order = order.sort_values(["rank", "n", "group"], ascending=[False, False, True])
        titles = order["group"].tolist()[: charts.MAX_GROUPS]
        parts = [means.assign(source=MODEL)]
        if self.ratings is not None:
            rated = statistics.group_means(self.titles, self.ratings, (0, self._most))
            parts.append(rated.assign(source=FILE))
        rows = pandas.concat(parts, ignore_index=True)
        rows = rows[rows["group"].isin(titles)]
        ranks = {title: rank for rank, title in enumerate(titles)}
        rows = rows.sort_values("group", key=lambda group: group.map(ranks), kind="stable")
        return scale_charts.means(rows, "title", self._unit, self._most) if len(rows) else None

    def contradictions(self) -> pandas.DataFrame | None:
        """Rows whose expected value and rating are far apart, the farthest first."""
        if self.ratings is None:
            return None
        difference = (self.expected - self.ratings).abs().to_numpy()
        positions = np.flatnonzero(difference >= MIN_CONTRADICTION * self._most)
        order = np.argsort(-difference[positions], kind="stable")
        return self.listing([int(row) for row in positions[order]][:MAX_DISAGREEMENTS])

    @property
    def _values(self) -> list[float]:
        return label_values(self.labels) or []

    @property
    def _middle(self) -> float:
        return (self._values[0] + self._values[-1]) / 2

    @property
    def _most(self) -> float:
        return self._values[-1]

    @property
    def _range(self) -> tuple[float, float]:
        return self._values[0], self._most

    @property
    def _unit(self) -> str:
        return unit(self.labels) or ""

    def _verdict_colors(self) -> list[str]:
        return scale_charts.step_colors(len(self.labels))

    def _look(self, verdict: str) -> str:
        value = self._values[list(self.labels).index(verdict)]
        return f'class="step" style="{scale.step_style(value, self._values)}'

    def _sides(self) -> pandas.Series:
        return self.expected.map(lambda value: scale_side(value, self._values)).astype(int)

    def _side_names(self) -> tuple[str, str]:
        middle = f"{self._middle:g} {self._unit}"
        return f"above {middle}", f"below {middle}"

    def _needed_reviews(self) -> str:
        above, below = self._side_names()
        return f"{MIN_TEXTS} reviews {above.split()[0]} and {MIN_TEXTS} {below}"


def report_class(labels: Sequence[str]) -> type[Report]:
    """The kind of report that suits the labels of a model."""
    return Report if label_values(labels) is None else ScaleReport
