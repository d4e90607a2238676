"""Two models on the same texts: where they differ, which is right more often, which is faster.

In: the names of two models, texts, and labels for them if there are any. Out: a `Comparison`, after
steps between which it can be stopped, and its conclusions as sentences.
"""

import itertools
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas

from space.analysis import remarks, statistics
from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.download import failure_message
from space.inference.model_cache import Model, ModelCache, ModelName
from space.inference.texts import name_empty_cells
from space.views import name, percent, percent_beside, short_prediction

MAX_ROWS = 2_000
BATCH_TEXTS = 32  # between two checks whether to stop
MAX_SECONDS = 1_800  # of a comparison
SIGNIFICANCE = 0.05  # p-value below which one model is called better
MAX_CHARACTERS = 300  # of a text in a table
UNNAMED = re.compile(r"label[_ -]?\d+", re.IGNORECASE)  # of models whose config names no labels
USUAL_LABELS = {2: ["NEGATIVE", "POSITIVE"], 3: ["NEGATIVE", "NEUTRAL", "POSITIVE"]}  # by number
MAX_ORDERED = 3  # labels of which all orders are offered

log = logging.getLogger(__name__)

Answer = Prediction | InvalidText


@dataclass(frozen=True)
class ModelAnswers:
    """The answers of one model, in the order of the texts, and its speed."""

    model: str
    labels: list[str]
    answers: list[Answer]
    per_second: float  # texts, in batches of BATCH_TEXTS; NaN with fewer texts than one batch
    unsure_below: float = 0.0  # probability


@dataclass(frozen=True)
class Step:
    """What is being done, and how many of the predictions are there."""

    doing: str
    done: int
    total: int


@dataclass(frozen=True)
class Outcome:
    """Both models on the texts whose label both know."""

    first: statistics.Agreement
    second: statistics.Agreement
    only: tuple[int, int]  # texts on which only the first, and only the second, is right
    p_value: float  # see `mcnemar`
    unknown: Counter[str]  # labels that not both models know


@dataclass(frozen=True)
class Comparison:
    """Two models on the same texts."""

    first: ModelAnswers
    second: ModelAnswers
    agreement: statistics.Proportion | None  # None for different labels, or without predictions
    outcome: Outcome | None  # None without labels
    skipped: Counter[str]  # reasons why a text has no prediction of both
    differing: pandas.DataFrame  # the texts on which the models differ, as text
    stopped: str = ""  # why some texts are left out


def compare(
    cache: ModelCache,
    names: Sequence[ModelName],
    texts: Sequence[Any],
    file_labels: pandas.Series | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Step | Comparison]:
    """Compare two models; yields each `Step`, and the `Comparison` at the end.

    If it is stopped, or takes more than `MAX_SECONDS`, the result covers the texts so far.

    Args:
        cache: Loads the models.
        names: Of the two models.
        texts: At most `MAX_ROWS`.
        file_labels: The labels of the texts, if there are any.
        stopped: Whether the comparison must end because others wait; called between batches.

    Raises:
        ModelUnavailable: A model can't be loaded or fails on a text, or the comparison was stopped
            before both models answered any text.
        ValueError: There are more texts.
    """
    if len(texts) > MAX_ROWS:
        raise ValueError(f"texts must be at most {MAX_ROWS:,}, got {len(texts):,}")
    start = time.monotonic()
    models: list[TimedModel] = []
    with ExitStack() as stack:
        try:
            for name in names:
                yield Step(f"Loading {name.repo_id}", 0, 2 * len(texts))
                model = stack.enter_context(cache.acquire(name, stopped))
                models.append(TimedModel(model, name.file))
            yield from _predict_in_turn(models, texts, lambda: stopped() or _is_late(start))
        except ModelUnavailable:
            if not stopped():
                raise
    count = min(len(model.answers) for model in models) if len(models) == len(names) else 0
    reason = ""
    if count < len(texts):
        reason = _stop_reason(time.monotonic() - start, count, len(texts), stopped())
        if not count:
            raise ModelUnavailable(reason)
    first, second = (model.first_answers(count) for model in models)
    labels = None if file_labels is None else file_labels.iloc[:count]
    yield replace(compare_answers(first, second, texts[:count], labels), stopped=reason)


class TimedModel:
    """A model, its answers so far, and the time they took.

    Args:
        model: From the cache.
        file: The ONNX file, if the user named one.
    """

    def __init__(self, model: Model, file: str | None = None) -> None:
        self.model, self._file = model, file
        self.answers: list[Answer] = []
        self._seconds = 0.0

    def predict(self, texts: Sequence[Any]) -> None:
        """Answer the next texts.

        Before the first ones, the model is warmed up on two texts that are not timed.

        Raises:
            ModelUnavailable: The model fails on one of the texts.
        """
        try:
            if not self.answers:
                self.model.predict_batch(texts[:2])
            start = time.perf_counter()
            answers = self.model.predict_batch(texts)
            self._seconds += time.perf_counter() - start
            self.answers += name_empty_cells(texts, answers)
        except ModelUnavailable:
            raise
        except Exception as error:  # users may name any model of the Hub
            log.warning("%s fails: %s", self.model.repo_id, error)
            raise ModelUnavailable(failure_message(self.model.repo_id)) from error

    def first_answers(self, count: int) -> ModelAnswers:
        """The answers to the first `count` texts."""
        name = f"{self.model.repo_id} at {(self.model.commit or '')[:12]}"
        name += f", {self._file}" if self._file else ""
        is_timed = self._seconds and len(self.answers) >= BATCH_TEXTS
        speed = len(self.answers) / self._seconds if is_timed else math.nan
        return ModelAnswers(
            name, self.model.labels, self.answers[:count], speed, self.model.unsure_below
        )


def possible_meanings(model: ModelAnswers, other: ModelAnswers) -> list[list[str]]:
    """What labels such as LABEL_0 and LABEL_1 may mean: those of the other model or usual ones.

    Returns:
        For each possibility the meaning of each label; nothing if the labels have names. Up to
        three labels may have any order, more of them two.
    """
    if not all(map(UNNAMED.fullmatch, model.labels)):
        return []
    count = len(model.labels)
    is_named = not all(map(UNNAMED.fullmatch, other.labels))
    has_as_many = is_named and len(other.labels) == count
    names = list(other.labels) if has_as_many else USUAL_LABELS.get(count, [])
    if count <= MAX_ORDERED:
        return [list(order) for order in itertools.permutations(names)] if names else []
    return [names, names[::-1]] if names else []


def rename_labels(model: ModelAnswers, names: Sequence[str]) -> ModelAnswers:
    """The answers with other names for the labels.

    Args:
        model: The answers.
        names: For each label of the model, in its order.
    """
    answers: list[Answer] = [
        answer
        if isinstance(answer, InvalidText)
        else replace(
            answer, probabilities=dict(zip(names, answer.probabilities.values(), strict=True))
        )
        for answer in model.answers
    ]
    return replace(model, labels=list(names), answers=answers)


def _predict_in_turn(
    models: Sequence[TimedModel], texts: Sequence[Any], must_stop: Callable[[], bool]
) -> Iterator[Step]:
    """Both models answer a batch before the next one."""
    for start in range(0, len(texts), BATCH_TEXTS):
        for model in models:
            done = sum(len(other.answers) for other in models)
            yield Step(f"Running {model.model.repo_id}", done, len(models) * len(texts))
            if must_stop():
                return
            model.predict(texts[start : start + BATCH_TEXTS])


def _is_late(start: float) -> bool:
    return time.monotonic() - start > MAX_SECONDS


def _stop_reason(seconds: float, count: int, total: int, stopped: bool) -> str:
    reason = f"The comparison was stopped after {seconds:,.0f} seconds, "
    reason += "because others were waiting" if stopped else "the time limit"
    if count:
        return f"{reason}: it covers the first {count:,} of {total:,} reviews."
    return f"{reason}. Try again later, or compare fewer reviews or smaller models."


def compare_answers(
    first: ModelAnswers,
    second: ModelAnswers,
    texts: Sequence[Any],
    file_labels: pandas.Series | None = None,
) -> Comparison:
    """Compare the answers of two models to the same texts; see `compare`."""
    pairs = list(zip(first.answers, second.answers, strict=True))
    errors = [[a for a in pair if isinstance(a, InvalidText)] for pair in pairs]
    rows = pandas.DataFrame(pairs, columns=["A", "B"], dtype=object)
    if file_labels is not None:
        labels = file_labels.astype(object).where(file_labels.notna(), "").to_numpy()
        rows["label"] = [str(label)[:MAX_CHARACTERS] for label in labels]
    rows.insert(0, "review", [str(text)[:MAX_CHARACTERS] for text in texts])
    rows["row"] = np.arange(len(pairs)) + 1
    rows = rows[np.array([not pair_errors for pair_errors in errors], bool)]
    first_labels, second_labels = (
        rows[column].map(lambda answer: answer.label.casefold()) for column in ("A", "B")
    )
    differ = (first_labels != second_labels).to_numpy(bool)
    agreement = None
    if _same_labels(first, second) and len(rows):
        agreement = statistics.proportion(int((~differ).sum()), len(rows))
    return Comparison(
        first,
        second,
        agreement,
        _outcome(rows, file_labels.to_numpy(), first, second) if file_labels is not None else None,
        Counter(str(pair_errors[0]) for pair_errors in errors if pair_errors),
        _to_text(rows[differ], first, second),
    )


def mcnemar(first: int, second: int) -> float:
    """The two-sided p-value of McNemar's exact test, in (0, 1].

    Of the texts on which exactly one of two equally good models is right, each model is right on
    half on average. The p-value is the probability of a split at least as uneven.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated
    proportions or percentages, Psychometrika 12 (1947); exact by the binomial distribution.

    Args:
        first: How many texts only the first model has right.
        second: How many texts only the second model has right.
    """
    n = first + second
    tail = sum(math.comb(n, k) for k in range(min(first, second) + 1))
    return min(1.0, float(2 * tail / 2**n))


def conclusions(comparison: Comparison) -> list[str]:
    """What a comparison shows, in sentences."""
    sentences = [comparison.stopped] if comparison.stopped else []
    sentences.append(_agreement_sentence(comparison))
    if comparison.outcome:
        sentences.append(_better_model_sentence(comparison.outcome))
        if unknown := comparison.outcome.unknown:
            sentences.append(
                f"{_reviews(unknown.total())} left out of the accuracy: a model does not have "
                f"its label, such as {unknown.most_common(1)[0][0]!r}."
            )
    answers = comparison.first.answers, comparison.second.answers
    sentences += remarks.contradictions(*answers)
    for side, own in zip("AB", answers, strict=True):
        sentences += remarks.cautions(side, own)
    for reason, count in comparison.skipped.most_common(5):
        sentences.append(f"{_reviews(count)} left out: {reason}")
    return sentences


def _reviews(count: int) -> str:
    return "1 review was" if count == 1 else f"{count:,} reviews were"


def _agreement_sentence(comparison: Comparison) -> str:
    first, second = comparison.first, comparison.second
    if first.model == second.model:
        return "A and B are the same model."
    if share := comparison.agreement:
        if share.n == 1:
            return "They agree." if share.value else "They differ."
        count = round(share.value * share.n)
        return (
            f"They agree on {count:,} of {share.n:,} reviews: {percent(share.value)} (95% interval "
            f"{percent(share.low)} to {percent(share.high)})."
        )
    if _same_labels(first, second):
        return "None of the reviews could be analyzed."
    labels = [", ".join(model.labels[:10]) for model in (first, second)]
    return f"Their labels differ: A has {labels[0]}; B has {labels[1]}."


def _better_model_sentence(outcome: Outcome) -> str:
    first, second = outcome.only
    if not outcome.first.n:
        return "Neither model has any of the labels in the file."
    if first + second == 0:
        return "Both are right on the same reviews."
    sentence = (
        f"Only A is right on {first:,} of {outcome.first.n:,} reviews, only B on {second:,}. "
        "If both were equally good, chance alone would make a difference this large in "
        f"{percent(outcome.p_value)} of comparisons (McNemar's exact test): "
    )
    if outcome.p_value >= SIGNIFICANCE:
        return sentence + "these reviews do not show which is better."
    return sentence + f"{'A' if first > second else 'B'} is better on reviews like these."


def _outcome(rows: pandas.DataFrame, file_labels: Any, *models: ModelAnswers) -> Outcome:
    """`file_labels` has all texts, `rows` only those with predictions of both models."""
    labels = pandas.Series(file_labels, dtype=object)
    matched = [statistics.match_labels(labels, model.labels)[rows.index] for model in models]
    known = (matched[0].notna() & matched[1].notna()).to_numpy()
    predictions = [rows[column].map(lambda answer: answer.label) for column in ("A", "B")]
    right = [(predictions[i] == matched[i]).to_numpy()[known] for i in (0, 1)]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    first, second = (
        statistics.agreement(matched[i][known], predictions[i][known], models[i].labels)
        for i in (0, 1)
    )
    unknown = Counter(label for label in rows["label"][~known] if label.strip())
    return Outcome(first, second, only, mcnemar(*only), unknown)


def _to_text(rows: pandas.DataFrame, first: ModelAnswers, second: ModelAnswers) -> pandas.DataFrame:
    """The rows as the page shows them; those on which both models are confident come first."""
    confidence = rows[["A", "B"]].map(lambda answer: max(answer.probabilities.values()))
    order = confidence.min(axis=1).sort_values(ascending=False, kind="stable").index
    rows = rows.loc[order]
    short = {
        side: [short_answer(answer, model) for answer in rows[side]]
        for side, model in (("A", first), ("B", second))
    }
    return rows.assign(**short).astype(str)


def short_answer(answer: Answer, model: ModelAnswers) -> str:
    """An answer of a model in a few words, or why there is none."""
    if isinstance(answer, InvalidText):
        return str(answer)
    shown = short_prediction(answer, model.unsure_below)
    if not answer.neutral:
        return shown
    probability = percent_beside(answer.probabilities[answer.label], model.unsure_below)
    return f"{shown} ({probability} {name(answer.label).lower()})"


def _same_labels(first: ModelAnswers, second: ModelAnswers) -> bool:
    return sorted(map(str.casefold, first.labels)) == sorted(map(str.casefold, second.labels))
