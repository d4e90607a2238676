"""Why this prediction: the effect of each sentence of a review, and of the words in the strongest.

In: a request and a review. Out: an `Explanation`. The effect of a sentence is measured by
occlusion, which removes one at a time (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901).
Removing one word tells little, because the rest of its sentence often decides. So the effect of a
word is the mean of what it adds to spans of words that it begins or ends: marginal contributions,
as in Shapley values (Lundberg and Lee 2017, https://arxiv.org/abs/1705.07874), to text that stays
readable. `benchmarks.attribution` compares it with alternatives.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from space.inference.classifier import InvalidText, Prediction, log_odds
from space.inference.labels import support
from space.inference.serving import LimitReached, Request
from space.inference.texts import check_text, segment

FULL_CONTEXT_CHARACTERS = 50_000  # in all passes over a review, each without one of its sentences
WINDOW_CHARACTERS = 1_000  # about 250 tokens: the context of a sentence in a longer review
MAX_PART_CHARACTERS = 500  # a longer sentence, or a text without a full stop, is split
MAX_SENTENCES = 250  # more are merged with their neighbors
WORD_TOKENS = 12_000  # of the request's limit, reserved for the words
STRONGEST = 2  # sentences whose words are attributed
MAX_WORDS = 40  # of such a sentence
SPAN_WORDS = 4  # the length of the spans whose begin or end a word is, beside the whole sentence's
Span = tuple[int, int]  # start and end in characters; the end is exclusive
_BREAK = re.compile(r"<br\s*/?>|[\r\n]+", re.IGNORECASE)
_PIECE = re.compile(
    rf"\S(?:.{{0,{MAX_PART_CHARACTERS - 2}}}\S)?(?!\S)|\S{{1,{MAX_PART_CHARACTERS}}}", re.DOTALL
)
WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


@dataclass(frozen=True)
class Part:
    """A sentence or a word of a review, and its effect on the prediction.

    Attributes:
        start: The first character in the review.
        end: The end in characters, exclusive.
        attribution: For a sentence, the log-odds of the predicted label with it minus those without
            it; for a word, see `attribute_words`. Positive if the part supports the prediction. 0
            if it could not be measured. If the labels are a scale, such as stars, the log-odds are
            those of the expected value's place on it (`labels.support`): positive for more stars.
        probability_without: The predicted label's probability without the sentence; None if it
            could not be measured, because nothing remains without the sentence or a limit was
            reached; None for words.
        skipped: Whether a limit of the request left the part out.
    """

    start: int
    end: int
    attribution: float
    probability_without: float | None
    skipped: bool = False


class Window(NamedTuple):
    """A piece of the text, and the spans that are removed from it one at a time."""

    start: int
    end: int
    spans: list[Span]


@dataclass(frozen=True)
class Explanation:
    """A prediction and its parts.

    Attributes:
        text: The review.
        prediction: Of the whole review.
        sentences: In the order of the text; empty if there is only one.
        words: Of the strongest sentences, in the order of the text.
        full_context: Whether sentences were removed from the whole review, or from a window of
            about 1,000 characters because the review is long.
    """

    text: str
    prediction: Prediction
    sentences: list[Part]
    words: list[Part]
    full_context: bool

    @property
    def strongest(self) -> Part | None:
        """The sentence with the largest effect in either direction; None without sentences."""
        return max(self.sentences, key=lambda part: abs(part.attribution), default=None)

    @property
    def dropped(self) -> int:
        """The number of sentences and words that a limit left out."""
        return sum(part.skipped for part in self.sentences + self.words)


def explain(request: Request, text: str) -> Explanation:
    """Classify a review and attribute the prediction to its parts, within the request's limits.

    Raises:
        InvalidText: See `Classifier.predict`.
        ModelUnavailable, Busy, Cancelled: See `serving.Request.predict_batch`.
    """
    if error := check_text(text):
        raise error
    spans = split_sentences(text)
    full_context = len(spans) * len(text) <= FULL_CONTEXT_CHARACTERS
    windows = [Window(0, len(text), spans)] if full_context else _windows(spans)
    # Begin at both ends: these are what the model reads of a text that is too long for it.
    windows.sort(key=lambda window: min(window.start, len(text) - window.end))
    variants = _variants(text, windows) if len(spans) > 1 else []
    prediction, *results = request.predict_batch([text, *variants], WORD_TOKENS)
    if isinstance(prediction, InvalidText):
        raise prediction
    sentences = _attribute(prediction.label, windows, results) if variants else []
    strongest = sorted(sentences, key=lambda part: -abs(part.attribution))[:STRONGEST]
    spans = sorted((part.start, part.end) for part in strongest) or spans
    words = attribute_words(request, text, spans, prediction.label)
    return Explanation(text, prediction, sentences, words, full_context)


def attribute_words(
    request: Request, text: str, sentences: Sequence[Span], label: str
) -> list[Part]:
    """The effect of each word of some sentences, each sentence read alone.

    The effect of a word is the mean over all spans that begin or end with it of the log-odds of the
    label with the word minus those without it. Half of the weight have spans of at most
    `SPAN_WORDS` words, half those that reach to the other end of the sentence.

    Args:
        request: Its limits may leave out words.
        text: The review.
        sentences: Of each, the first `MAX_WORDS` words are attributed.
        label: Of the model.

    Returns:
        The words in the order of the sentences.

    Raises:
        ModelUnavailable, Cancelled: See `serving.Request.predict_batch`.
    """
    words = [_words(text, *sentence) for sentence in sentences]  # of each sentence
    spans = [_word_spans(len(of_sentence)) for of_sentence in words]
    results = iter(
        request.predict_batch(
            [
                text[own_words[first][0] : own_words[end - 1][1]]
                for own_words, own_spans in zip(words, spans, strict=True)
                for first, end in own_spans
            ]
        )
    )
    wordless = support(request.model.wordless, label)
    parts: list[Part] = []
    for own_words, own_spans in zip(words, spans, strict=True):
        values = {span: _value(next(results), label, wordless) for span in own_spans}
        values |= {(i, i): log_odds(wordless) for i in range(len(own_words) + 1)}
        parts += [_word_part(i, own_words, values) for i in range(len(own_words))]
    return parts


def _words(text: str, start: int, end: int) -> list[Span]:
    return [match.span() for match in WORD.finditer(text, start, end)][:MAX_WORDS]


def _word_spans(words: int) -> list[Span]:
    """The spans of words that are read: the short ones, and those from or to an end."""
    return [
        (first, end)
        for first in range(words)
        for end in range(first + 1, words + 1)
        if end - first <= SPAN_WORDS or first == 0 or end == words
    ]


def _value(result: Prediction | InvalidText, label: str, wordless: float) -> float:
    """The log-odds of the label; NaN if a limit was reached."""
    if isinstance(result, LimitReached):
        return math.nan
    if isinstance(result, Prediction):
        return log_odds(support(result.probabilities, label))
    return log_odds(wordless)


def _word_part(i: int, words: list[Span], values: dict[Span, float]) -> Part:
    count = len(words)
    ends = range(i + 1, min(count, i + SPAN_WORDS) + 1)
    starts = range(max(0, i + 1 - SPAN_WORDS), i + 1)
    begun = [values[i, end] - values[i + 1, end] for end in ends]
    ended = [values[first, i + 1] - values[first, i] for first in starts]
    whole = [values[i, count] - values[i + 1, count], values[0, i + 1] - values[0, i]]
    effect = (fmean(begun) + fmean(ended) + sum(whole)) / 4
    if math.isnan(effect):
        return Part(*words[i], 0.0, None, skipped=True)
    return Part(*words[i], effect, None)


def split_sentences(text: str) -> list[Span]:
    """The sentences of a review.

    A sentence longer than `MAX_PART_CHARACTERS` is split between words. If there are more than
    `MAX_SENTENCES`, neighbors are merged.
    """
    spans: list[Span] = []
    start = 0
    for line_break in [*_BREAK.finditer(text), None]:
        end = line_break.start() if line_break else len(text)
        for sentence in segment(text[start:end]):
            spans += [piece.span() for piece in _PIECE.finditer(text, start, start + len(sentence))]
            start += len(sentence)
        start = line_break.end() if line_break else end
    size = math.ceil(len(spans) / MAX_SENTENCES) or 1
    groups = [spans[i : i + size] for i in range(0, len(spans), size)]
    return [(group[0][0], group[-1][1]) for group in groups]


def _windows(spans: list[Span]) -> list[Window]:
    """Group neighbors into windows of about `WINDOW_CHARACTERS` and at least two sentences."""
    groups: list[list[Span]] = [[]]
    for span in spans:
        if len(groups[-1]) > 1 and span[1] - groups[-1][0][0] > WINDOW_CHARACTERS:
            groups.append([])
        groups[-1].append(span)
    if len(groups) > 1 and len(groups[-1]) == 1:
        last = groups.pop()
        groups[-1] += last
    return [Window(group[0][0], group[-1][1], group) for group in groups]


def _variants(text: str, windows: Sequence[Window]) -> list[str]:
    """For each window its text, then its text without each of its spans."""
    variants: list[str] = []
    for window in windows:
        variants.append(text[window.start : window.end])
        variants += [text[window.start : a] + text[b : window.end] for a, b in window.spans]
    return variants


def _attribute(
    label: str, windows: Sequence[Window], results: Sequence[Prediction | InvalidText]
) -> list[Part]:
    """The parts in the order of the text, from the results for `_variants`."""
    remaining = iter(results)
    parts = []
    for window in windows:
        with_part = next(remaining)
        for start, end in window.spans:
            without = next(remaining)
            if isinstance(with_part, InvalidText) or isinstance(without, InvalidText):
                skipped = isinstance(with_part, LimitReached) or isinstance(without, LimitReached)
                parts.append(Part(start, end, 0.0, None, skipped))
                continue
            before, after = (support(p.probabilities, label) for p in (with_part, without))
            effect = log_odds(before) - log_odds(after)
            parts.append(Part(start, end, effect, without.probabilities[label]))
    return sorted(parts, key=lambda part: part.start)
