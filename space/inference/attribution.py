"""Why this prediction: the effect of each sentence of a review, and of the words in the strongest.

In: a request and a review. Out: an `Explanation`. The effect is measured by occlusion, which
removes one part at a time (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901; for words Li
et al. 2016, https://arxiv.org/abs/1612.08220).
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sentencex import segment

from space.inference.classifier import InvalidText, Prediction, check_text
from space.inference.serving import LimitReached, Request

FULL_CONTEXT_CHARACTERS = 50_000  # in all passes over a review, each without one of its sentences
WINDOW_CHARACTERS = 1_000  # about 250 tokens: the context of a sentence in a longer review
MAX_PART_CHARACTERS = 500  # a longer sentence, or a text without a full stop, is split
MAX_SENTENCES = 250  # more are merged with their neighbours
SEGMENT_CHARACTERS = 2_000  # that are split into sentences at once
WORD_TOKENS = 12_000  # of the request's limit, reserved for the words
STRONGEST = 2  # sentences whose words are attributed
MAX_WORDS = 40  # of such a sentence
Span = tuple[int, int]  # start and end in characters; the end is exclusive
_BREAK = re.compile(r"<br\s*/?>|[\r\n]+", re.IGNORECASE)
_SPACE = re.compile(r"\s")
_PIECE = re.compile(
    rf"\S(?:.{{0,{MAX_PART_CHARACTERS - 2}}}\S)?(?!\S)|\S{{1,{MAX_PART_CHARACTERS}}}", re.DOTALL
)
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


@dataclass(frozen=True)
class Part:
    """A sentence or a word of a review, and its effect on the prediction.

    Attributes:
        start: The first character in the review.
        end: The end in characters, exclusive.
        attribution: The log-odds of the predicted label with the part, minus those without it;
            positive if the part supports the prediction. 0 if it could not be measured.
        probability_without: The predicted label's probability without the part; None if it could
            not be measured, because nothing remains without the part or a limit was reached.
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
    word_spans = sorted((part.start, part.end) for part in strongest) or spans
    word_windows = [_word_window(text, *span) for span in word_spans]
    results = request.predict_batch(_variants(text, word_windows))
    words = _attribute(prediction.label, word_windows, results)
    return Explanation(text, prediction, sentences, words, full_context)


def split_sentences(text: str) -> list[Span]:
    """The sentences of a review.

    A sentence longer than `MAX_PART_CHARACTERS` is split between words. If there are more than
    `MAX_SENTENCES`, neighbours are merged.
    """
    spans: list[Span] = []
    start = 0
    for line_break in [*_BREAK.finditer(text), None]:
        end = line_break.start() if line_break else len(text)
        for sentence in _segments(text[start:end]):
            spans += [piece.span() for piece in _PIECE.finditer(text, start, start + len(sentence))]
            start += len(sentence)
        start = line_break.end() if line_break else end
    size = math.ceil(len(spans) / MAX_SENTENCES) or 1
    groups = [spans[i : i + size] for i in range(0, len(spans), size)]
    return [(group[0][0], group[-1][1]) for group in groups]


def _segments(text: str) -> Iterator[str]:
    """Yield the sentences of a text, a few thousand characters at a time.

    sentencex takes quadratic time for a text without spaces, and panics at some whitespace that is
    longer than one byte.
    """
    text, start = _SPACE.sub(" ", text), 0
    while start < len(text):
        chunk = text[start : start + SEGMENT_CHARACTERS]
        sentences = list(filter(None, segment("en", chunk))) or [chunk]
        if start + len(chunk) < len(text):  # the last sentence may continue
            sentences = sentences[:-1] or [chunk[: chunk.rfind(" ") + 1] or chunk]
        yield from sentences
        start += sum(map(len, sentences))


def _word_window(text: str, start: int, end: int) -> Window:
    """A sentence and its words; a long sentence is truncated."""
    end = min(end, start + WINDOW_CHARACTERS)
    words = [match.span() for match in _WORD.finditer(text, start, end)]
    return Window(start, end, words[:MAX_WORDS])


def _windows(spans: list[Span]) -> list[Window]:
    """Group neighbours into windows of about `WINDOW_CHARACTERS` and at least two sentences."""
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
            before, after = with_part.probabilities[label], without.probabilities[label]
            parts.append(Part(start, end, _log_odds(before) - _log_odds(after), after))
    return sorted(parts, key=lambda part: part.start)


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))
