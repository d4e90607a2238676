"""Two models on the same texts: where they differ, which is right more often, which is faster.

In: the names of two models, texts, and the labels given to them where there are any. Out: a
`Comparison`, in steps that can be told and stopped, and what it means in sentences.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas

from space.analysis import statistics
from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.model_cache import Model, ModelCache
from space.views import name, percent

MAX_ROWS = 2_000
AT_ONCE = 32  # texts between two looks at Cancel
MAX_SECONDS = 1_800  # of a comparison
CHANCE = 0.05  # a difference that chance makes less often than this is not put down to it
CHARACTERS = 300  # of a text in a table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Side:
    """One model's answers, in the order of the texts, and how fast they came."""

    model: str
    labels: list[str]
    answers: list[Prediction | InvalidText]
    per_second: float


@dataclass(frozen=True)
class Step:
    """What is being done, and how far it is."""

    doing: str
    done: int
    total: int


@dataclass(frozen=True)
class Outcome:
    """How both did on the texts that have a label both know; the same texts for both.

    `only` says on how many just the first was right, and just the second; `p` is the probability
    of a difference as large or larger between models that are equally good, see `mcnemar`.
    `unknown` are the labels that not both know, the most frequent first.
    """

    first: statistics.Agreement
    second: statistics.Agreement
    only: tuple[int, int]
    p: float
    unknown: Counter[str]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same texts.

    `agreement` is None where their labels are not the same or no text was judged by both,
    `outcome` where no labels were given. `skipped` counts the reasons why a text
    was not judged by both; `differing` holds the others on which they differ, as text. `stopped`
    says why not all texts were judged, and is empty where they were.
    """

    first: Side
    second: Side
    agreement: statistics.Share | None
    outcome: Outcome | None
    skipped: Counter[str]
    differing: pandas.DataFrame
    stopped: str = ""


def compare(
    shelf: ModelCache,
    names: Sequence[tuple[str, str | None]],
    texts: Sequence[Any],
    given: pandas.Series | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Step | Comparison]:
    """Compare two models, some texts at a time; the last that comes is the `Comparison`.

    One that is stopped, or takes more than `MAX_SECONDS`, is of the texts that both judged.

    Args:
        shelf: Where models come from.
        names: Repo id and revision of each.
        texts: At most `MAX_ROWS`.
        given: Their labels, where there are any.
        stopped: Whether it must end, because another has its place; asked now and then.

    Raises:
        ModelUnavailable: A model can't be had, or fails on one of the texts, or none of the texts
            was judged by both before the comparison was stopped.
        ValueError: There are more texts.
    """
    if len(texts) > MAX_ROWS:
        raise ValueError(f"texts must be at most {MAX_ROWS:,}, got {len(texts):,}")
    began = time.monotonic()
    judges: list[Judge] = []
    with ExitStack() as lent:
        try:
            for repo_id, revision in names:
                yield Step(f"Getting {repo_id}", 0, 2 * len(texts))
                judges.append(Judge(lent.enter_context(shelf.acquire(repo_id, revision, stopped))))
            yield from _ask(judges, texts, lambda: stopped() or _late(began))
        except ModelUnavailable:
            if not stopped():
                raise
    count = min(len(judge.answers) for judge in judges) if len(judges) == len(names) else 0
    reason = ""
    if count < len(texts):
        reason = _reason(time.monotonic() - began, count, len(texts), stopped())
        if not count:
            raise ModelUnavailable(reason)
    first, second = (judge.side(count) for judge in judges)
    found = weigh(first, second, texts[:count], None if given is None else given.iloc[:count])
    yield replace(found, stopped=reason)


class Judge:
    """A model and its answers to the texts so far.

    Args:
        model: From the shelf.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.answers: list[Prediction | InvalidText] = []
        self._seconds = 0.0

    def add(self, texts: Sequence[Any]) -> None:
        """Judge some more texts.

        The first two of all are read once before, so that no clock runs while the model warms up.

        Raises:
            ModelUnavailable: The model fails on one of the texts.
        """
        try:
            if not self.answers:
                self.model.predict_batch(texts[:2])
            started = time.perf_counter()
            self.answers += self.model.predict_batch(texts)
            self._seconds += time.perf_counter() - started
        except ModelUnavailable:
            raise
        except Exception as error:  # whatever is on the Hub can be named: anything can go wrong
            log.warning("%s fails: %s", self.model.repo_id, error)
            raise ModelUnavailable(
                f"{self.model.repo_id} fails on these texts; the log says how."
            ) from error

    def side(self, count: int) -> Side:
        """The answers to the first `count` texts."""
        name = f"{self.model.repo_id} at {(self.model.commit or '')[:12]}"
        speed = len(self.answers) / self._seconds if self._seconds else math.nan
        return Side(name, self.model.labels, self.answers[:count], speed)


def _ask(judges: Sequence[Judge], texts: Sequence[Any], over: Callable[[], bool]) -> Iterator[Step]:
    """Let both judge the same texts before the next ones."""
    for at in range(0, len(texts), AT_ONCE):
        for judge in judges:
            done = sum(len(other.answers) for other in judges)
            yield Step(f"Asking {judge.model.repo_id}", done, len(judges) * len(texts))
            if over():
                return
            judge.add(texts[at : at + AT_ONCE])


def _late(began: float) -> bool:
    return time.monotonic() - began > MAX_SECONDS


def _reason(seconds: float, count: int, total: int, stopped: bool) -> str:
    """Why a comparison has ended early."""
    reason = f"The comparison was stopped after {seconds:,.0f} seconds, "
    reason += "because others were waiting" if stopped else "the most that one may take"
    if count:
        return f"{reason}: it is of the first {count:,} of {total:,} texts."
    return f"{reason}. Try again later, or compare fewer texts or smaller models."


def weigh(
    first: Side, second: Side, texts: Sequence[Any], given: pandas.Series | None = None
) -> Comparison:
    """What the answers of two models to the same texts say of them."""
    pairs = list(zip(first.answers, second.answers, strict=True))
    judged = np.array([all(isinstance(side, Prediction) for side in pair) for pair in pairs], bool)
    reasons = [next(filter(_refused, pair)) for pair in pairs if any(map(_refused, pair))]
    rows = pandas.DataFrame(pairs, columns=["A", "B"], dtype=object)
    rows.insert(0, "row", np.arange(len(pairs)) + 1)
    if given is not None:
        cells = given.astype(object).where(given.notna(), "").to_numpy()
        rows["label"] = [str(cell)[:CHARACTERS] for cell in cells]
    rows["review"] = [str(text)[:CHARACTERS] for text in texts]
    rows = rows[judged]
    differ = [_label(a) != _label(b) for a, b in zip(rows["A"], rows["B"], strict=True)]
    same = _folded(first.labels) == _folded(second.labels)
    return Comparison(
        first,
        second,
        statistics.share(differ.count(False), len(rows)) if same and len(rows) else None,
        _outcome(rows, given.to_numpy(), first, second) if given is not None else None,
        Counter(map(str, reasons)),
        _readable(rows[np.array(differ, bool)]),
    )


def mcnemar(first: int, second: int) -> float:
    """The two-sided probability of McNemar's exact test, in (0, 1].

    Of the texts on which just one of two models is right, each is right on half where both are
    equally good; this is how likely a split at least as uneven is then.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated
    proportions or percentages, Psychometrika 12 (1947); exact by the binomial distribution.

    Args:
        first: On how many texts just the first is right.
        second: On how many just the second is.
    """
    n = first + second
    tail = sum(math.comb(n, k) for k in range(min(first, second) + 1))
    return min(1.0, float(2 * tail / 2**n))


def meaning(found: Comparison) -> list[str]:
    """What a comparison says, in sentences."""
    sentences = [found.stopped] if found.stopped else []
    sentences.append(_agreeing(found))
    if found.outcome:
        sentences.append(_which(found.outcome))
        if unknown := found.outcome.unknown:
            sentences.append(
                f"{unknown.total():,} texts have a label that is not one of both models', such as "
                f"{unknown.most_common(1)[0][0]!r}; their labels were left out."
            )
    for reason, count in found.skipped.most_common(5):
        sentences.append(f"Left out, {count:,} of the texts: {reason}")
    return sentences


def _agreeing(found: Comparison) -> str:
    if found.first.model == found.second.model:
        return "A and B are the same model."
    if share := found.agreement:
        if share.n == 1:
            return "They agree." if share.value else "They differ."
        agreed = round(share.value * share.n)
        return (
            f"They agree on {agreed:,} of {share.n:,} texts: {percent(share.value)} (95% interval "
            f"{percent(share.low)} to {percent(share.high)})."
        )
    if _folded(found.first.labels) == _folded(found.second.labels):
        return "None of the texts could be judged."
    sides = [", ".join(side.labels[:10]) for side in (found.first, found.second)]
    return f"Their labels are not the same: A has {sides[0]}, B has {sides[1]}."


def _which(outcome: Outcome) -> str:
    first, second = outcome.only
    if not outcome.first.n:
        return "None of the labels that were given is one of both models'."
    if first + second == 0:
        return "They are right and wrong on the very same texts."
    told = f"Only A is right on {first:,} of {outcome.first.n:,} texts, only B on {second:,}. "
    told += (
        "Were both equally good, chance alone would make a difference this large in "
        f"{percent(outcome.p)} of comparisons (McNemar's exact test): "
    )
    if outcome.p >= CHANCE:
        return told + "these texts do not tell which is better."
    return told + f"{'A' if first > second else 'B'} is the better one on texts like these."


def _outcome(rows: pandas.DataFrame, given: Any, *sides: Side) -> Outcome:
    """`given` has a label for each text, `rows` those texts that both judged."""
    column = pandas.Series(given, dtype=object)
    matched = [statistics.match_labels(column, side.labels)[rows.index] for side in sides]
    known = (matched[0].notna() & matched[1].notna()).to_numpy()
    verdicts = [rows[name].map(lambda answer: answer.label) for name in ("A", "B")]
    right = [(verdicts[i] == matched[i]).to_numpy()[known] for i in (0, 1)]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    first, second = (
        statistics.agreement(matched[i][known], verdicts[i][known], sides[i].labels) for i in (0, 1)
    )
    unknown = Counter(label for label in rows["label"][~known] if label.strip())
    return Outcome(first, second, only, mcnemar(*only), unknown)


def _readable(rows: pandas.DataFrame) -> pandas.DataFrame:
    """As the page shows them: those first on which both are sure of their own."""
    sure = rows[["A", "B"]].map(lambda verdict: max(verdict.probabilities.values())).min(axis=1)
    rows = rows.loc[sure.sort_values(ascending=False, kind="stable").index]
    return rows.assign(A=rows["A"].map(told), B=rows["B"].map(told)).astype(str)


def _refused(answer: Prediction | InvalidText) -> bool:
    return isinstance(answer, InvalidText)


def _label(verdict: Prediction) -> str:
    return verdict.label.casefold()


def told(answer: Prediction | InvalidText) -> str:
    """An answer in a few words."""
    if isinstance(answer, InvalidText):
        return str(answer)
    unsure = ", unsure" if answer.unsure else ""
    return f"{name(answer.label)} {percent(answer.probabilities[answer.label])}{unsure}"


def _folded(labels: Sequence[str]) -> list[str]:
    return sorted(label.casefold() for label in labels)
