"""Why this verdict: what each sentence of a review, and each word of the strongest, does to it.

In: a request to the model and a review. Out: an `Explanation`, by leaving one part out at a time
(occlusion: Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901; on words Li et al. 2016,
https://arxiv.org/abs/1612.08220).
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sentencex import segment

from space.inference.classifier import InvalidText, Prediction, refusal
from space.inference.serving import LeftOut, Request

WHOLE_CHARACTERS = 50_000  # in all passes of a review, each without one of its sentences
WINDOW_CHARACTERS = 1_000  # about 250 tokens: what stands around a sentence of a longer review
PART_CHARACTERS = 500  # a longer sentence, or a text without a full stop, is cut
PARTS_AT_MOST = 250
SEGMENTED_CHARACTERS = 2_000  # between which sentences are looked for at once
WORD_TOKENS = 12_000  # of the request's limit, which the sentences leave for the words
STRONGEST = 2  # sentences whose words are weighed
WORDS_AT_MOST = 40  # of such a sentence
Span = tuple[int, int]  # of characters, the second not included
_BREAK = re.compile(r"<br\s*/?>|[\r\n]+", re.IGNORECASE)
_SPACE = re.compile(r"\s")
_PIECE = re.compile(
    rf"\S(?:.{{0,{PART_CHARACTERS - 2}}}\S)?(?!\S)|\S{{1,{PART_CHARACTERS}}}", re.DOTALL
)
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


@dataclass(frozen=True)
class Part:
    """A sentence or a word: where it stands in the review, and what it does to the verdict.

    `pull` is the log-odds of the verdict's label with it less those without it: above 0 it speaks
    for the verdict, below 0 against it. `without` is the label's probability without it, None
    where nothing is left to judge then. `weighed` is false, and both are without meaning, where a
    limit of the request left the part out.
    """

    start: int
    end: int
    pull: float
    without: float | None
    weighed: bool = True


class Window(NamedTuple):
    """A piece of the text, and the spans that are left out of it one at a time."""

    start: int
    end: int
    spans: list[Span]


@dataclass(frozen=True)
class Explanation:
    """A verdict and its parts, in the order of the text.

    `whole` says whether each sentence was left out of the whole review; of a long review it is
    left out of the thousand characters around it.
    """

    text: str
    verdict: Prediction
    sentences: list[Part]
    words: list[Part]
    whole: bool

    @property
    def strongest(self) -> Part | None:
        """The sentence that does most, for the verdict or against it; None where there is one."""
        return max(self.sentences, key=lambda part: abs(part.pull), default=None)

    @property
    def dropped(self) -> int:
        """How many sentences and words a limit left out."""
        return sum(not part.weighed for part in self.sentences + self.words)


def explain(request: Request, text: str) -> Explanation:
    """Judge a review and weigh its parts, as far as the request's limits allow.

    Raises:
        InvalidText: As for `Classifier.__call__`.
        ModelUnavailable, Busy, Cancelled: As for `serving.Request.many`.
    """
    if reason := refusal(text):
        raise reason
    spans = sentences(text)
    whole = len(spans) * len(text) <= WHOLE_CHARACTERS
    windows = [Window(0, len(text), spans)] if whole else _windows(spans)
    # The model reads the beginning and the end of a text that is too long for it.
    windows.sort(key=lambda window: min(window.start, len(text) - window.end))
    asked = _passes(text, windows) if len(spans) > 1 else []
    verdict, *answers = request.many([text, *asked], WORD_TOKENS)
    if isinstance(verdict, InvalidText):
        raise verdict
    parts = _weigh(verdict.label, windows, answers) if asked else []
    strongest = sorted(parts, key=lambda part: -abs(part.pull))[:STRONGEST]
    chosen = sorted((part.start, part.end) for part in strongest) or spans
    alone = [_words(text, *span) for span in chosen]
    words = _weigh(verdict.label, alone, request.many(_passes(text, alone), 0))
    return Explanation(text, verdict, parts, words, whole)


def sentences(text: str) -> list[Span]:
    """Where the sentences of a review begin and end.

    Of very many, neighbours are put together; those of more than `PART_CHARACTERS` are cut between
    words.
    """
    found, start = [], 0
    for gap in [*_BREAK.finditer(text), None]:
        end = gap.start() if gap else len(text)
        for sentence in _segments(text[start:end]):
            found += [piece.span() for piece in _PIECE.finditer(text, start, start + len(sentence))]
            start += len(sentence)
        start = gap.end() if gap else end
    together = math.ceil(len(found) / PARTS_AT_MOST) or 1
    groups = [found[i : i + together] for i in range(0, len(found), together)]
    return [(group[0][0], group[-1][1]) for group in groups]


def _segments(text: str) -> Iterator[str]:
    """The sentences of a text, from a few thousand characters at a time.

    The library's time grows with the square of the text where no spaces are between sentences, and
    it panics at some whitespace that is longer than a byte.
    """
    text, start = _SPACE.sub(" ", text), 0
    while start < len(text):
        piece = text[start : start + SEGMENTED_CHARACTERS]
        found = list(filter(None, segment("en", piece))) or [piece]
        if start + len(piece) < len(text):  # the last sentence may go on
            found = found[:-1] or [piece[: piece.rfind(" ") + 1] or piece]
        yield from found
        start += sum(map(len, found))


def _words(text: str, start: int, end: int) -> Window:
    """The words of a sentence, to be left out of it; only its first where it is long."""
    end = min(end, start + WINDOW_CHARACTERS)
    words = [match.span() for match in _WORD.finditer(text, start, end)]
    return Window(start, end, words[:WORDS_AT_MOST])


def _windows(spans: list[Span]) -> list[Window]:
    """Neighbours in groups of about `WINDOW_CHARACTERS`, of at least two sentences each."""
    groups: list[list[Span]] = [[]]
    for span in spans:
        if len(groups[-1]) > 1 and span[1] - groups[-1][0][0] > WINDOW_CHARACTERS:
            groups.append([])
        groups[-1].append(span)
    if len(groups) > 1 and len(groups[-1]) == 1:
        last = groups.pop()
        groups[-1] += last
    return [Window(group[0][0], group[-1][1], group) for group in groups]


def _passes(text: str, windows: Sequence[Window]) -> list[str]:
    """Each window, followed by what is left of it without each of its spans."""
    asked: list[str] = []
    for window in windows:
        asked.append(text[window.start : window.end])
        asked += [text[window.start : a] + text[b : window.end] for a, b in window.spans]
    return asked


def _weigh(
    label: str, windows: Sequence[Window], judged: Sequence[Prediction | InvalidText]
) -> list[Part]:
    """The parts in the order of the text, from the answers to `_passes`."""
    answers = iter(judged)
    parts = []
    for window in windows:
        before = next(answers)
        for start, end in window.spans:
            after = next(answers)
            if isinstance(before, InvalidText) or isinstance(after, InvalidText):
                weighed = not any(isinstance(answer, LeftOut) for answer in (before, after))
                parts.append(Part(start, end, 0.0, None, weighed))
                continue
            without = after.probabilities[label]
            pull = _log_odds(before.probabilities[label]) - _log_odds(without)
            parts.append(Part(start, end, pull, without))
    return sorted(parts, key=lambda part: part.start)


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))
