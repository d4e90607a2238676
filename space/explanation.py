"""Why this verdict: what each sentence of a review, and each word of the strongest, does to it.

In: a classifier and a review. Out: an `Explanation`, by leaving one part out at a time (occlusion:
Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901; on words Li et al. 2016,
https://arxiv.org/abs/1612.08220).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from classifier import Classifier, Unreadable, Verdict
from sentencex import segment

TOKENS_AT_MOST = 12_000  # in all passes of a review, each without one of its sentences
WINDOW_CHARACTERS = 1_000  # about 250 tokens: what stands around a sentence of a longer review
PARTS_AT_MOST = 250
STRONGEST = 2  # sentences whose words are weighed
WORDS_AT_MOST = 40  # of such a sentence
Span = tuple[int, int]  # of characters, the second not included
_BREAK = re.compile(r"<br\s*/?>|[\r\n]+", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


@dataclass(frozen=True)
class Part:
    """A sentence or a word: where it stands in the review, and what it does to the verdict.

    `pull` is the log-odds of the verdict's label with it less those without it: above 0 it speaks
    for the verdict, below 0 against it. `without` is the label's probability without it, None
    where nothing is left to judge then.
    """

    start: int
    end: int
    pull: float
    without: float | None


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
    verdict: Verdict
    sentences: list[Part]
    words: list[Part]
    whole: bool

    @property
    def strongest(self) -> Part | None:
        """The sentence that does most, for the verdict or against it; None where there is one."""
        return max(self.sentences, key=lambda part: abs(part.pull), default=None)


def explain(classifier: Classifier, text: str) -> Explanation:
    """Judge a review and weigh its parts.

    Raises:
        Unreadable: As for `Classifier.__call__`.
        Unavailable: As for `Classifier.load`.
    """
    verdict = classifier(text)
    spans = sentences(text)
    whole = len(spans) * verdict.tokens <= TOKENS_AT_MOST
    windows = [Window(0, len(text), spans)] if whole else _windows(spans)
    parts = _weigh(classifier, text, verdict.label, windows) if len(spans) > 1 else []
    strongest = sorted(parts, key=lambda part: -abs(part.pull))[:STRONGEST]
    chosen = sorted((part.start, part.end) for part in strongest) or spans
    alone = [Window(*span, _words(text, *span)) for span in chosen]
    return Explanation(text, verdict, parts, _weigh(classifier, text, verdict.label, alone), whole)


def sentences(text: str) -> list[Span]:
    """Where the sentences of a review begin and end; of very many, neighbours are put together."""
    found, start = [], 0
    for gap in [*_BREAK.finditer(text), None]:
        end = gap.start() if gap else len(text)
        for sentence in segment("en", text[start:end]):
            if bare := sentence.strip():
                first = start + sentence.index(bare)
                found.append((first, first + len(bare)))
            start += len(sentence)
        start = gap.end() if gap else end
    together = math.ceil(len(found) / PARTS_AT_MOST) or 1
    groups = [found[i : i + together] for i in range(0, len(found), together)]
    return [(group[0][0], group[-1][1]) for group in groups]


def _words(text: str, start: int, end: int) -> list[Span]:
    return [match.span() for match in _WORD.finditer(text, start, end)][:WORDS_AT_MOST]


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


def _weigh(classifier: Classifier, text: str, label: str, windows: Sequence[Window]) -> list[Part]:
    """Each span of each window, left out of its window; all of them in one call."""
    asked: list[str] = []
    for window in windows:
        asked.append(text[window.start : window.end])
        asked += [text[window.start : a] + text[b : window.end] for a, b in window.spans]
    answers = iter(classifier.many(asked))
    parts = []
    for window in windows:
        before = next(answers)
        for start, end in window.spans:
            after = next(answers)
            if isinstance(before, Unreadable) or isinstance(after, Unreadable):
                parts.append(Part(start, end, 0.0, None))
                continue
            without = after.probabilities[label]
            pull = _log_odds(before.probabilities[label]) - _log_odds(without)
            parts.append(Part(start, end, pull, without))
    return parts


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))
