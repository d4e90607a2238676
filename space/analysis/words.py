"""What positive and negative reviews talk about: characteristic words and pairs, typical sentences.

In: texts and the side of each. Out: terms with their scores, and sentences.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from space.inference.texts import segment

MAX_WORDS = 1_000_000  # that are counted, about a second; of more, every second, third … review
MAX_WORDS_PER_TEXT = 400
MIN_TEXTS = 5  # of each side
MIN_COUNT = 3  # texts with a term
PRIOR = 10.0  # texts that the prior counts as
MIN_SCORE = 1.96  # a term is unlikely to have it by chance
MAX_TERMS, MAX_QUOTES = 12, 3
QUOTE_TEXTS = 300  # of each side, in which quotes are searched
QUOTE_WORDS = 6, 35  # of a quote
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
STOP_WORDS = frozenset(
    "a about after all also am an and any are as at be because been before being both but by "
    "can could did do does doing during each few for from further had has have having he her "
    "here hers him his how i if in into is it it's its itself just me more most my of off on "
    "once one only or other our out over own same she so some such than that that's the "
    "their them then there these they this those through to too under until up us very was "
    "we were what when where which while who whom why will with would you your film movie "
    "films movies".split()
)


@dataclass(frozen=True)
class Side:
    """What characterizes the texts of one side."""

    terms: list[str]  # words and pairs, the most characteristic first
    quotes: list[tuple[int, str]]  # position of the text, and the sentence


def characterize(texts: Sequence[str], sides: Sequence[int]) -> tuple[Side, Side] | None:
    """Compare the words of two sides.

    Args:
        texts: Reviews.
        sides: For each 1, -1, or 0 for neither.

    Returns:
        What characterizes side 1 and side -1; None if a side has fewer than `MIN_TEXTS` texts.
    """
    if min(sum(side == 1 for side in sides), sum(side == -1 for side in sides)) < MIN_TEXTS:
        return None
    step = 1 + sum(map(len, texts)) // (6 * MAX_WORDS)
    counted = range(0, len(texts), step)
    terms = {i: text_terms(texts[i]) for i in counted}
    scores = log_odds(
        [terms[i] for i in counted if sides[i] == 1], [terms[i] for i in counted if sides[i] == -1]
    )
    return (
        Side(_best_terms(scores), _quotes(texts, sides, 1, scores)),
        Side(
            _best_terms(negated := {term: -score for term, score in scores.items()}),
            _quotes(texts, sides, -1, negated),
        ),
    )


def text_terms(text: str) -> set[str]:
    """The words of a text, and pairs of neighbors, without those of stop words alone."""
    words = [word.replace("’", "'") for word in WORD.findall(text.lower())[:MAX_WORDS_PER_TEXT]]
    content = {word for word in words if word not in STOP_WORDS and len(word) > 1}
    return content | {f"{a} {b}" for a, b in pairwise(words) if a in content and b in content}


def log_odds(first: Sequence[set[str]], second: Sequence[set[str]]) -> dict[str, float]:
    """How much more frequent each term is in the first texts, as a z-score.

    The log-odds ratio with an informative Dirichlet prior, of the texts that have a term. Source:
    B. L. Monroe, M. P. Colaresi and K. M. Quinn, Fightin' Words, Political Analysis 16 (2008).

    Returns:
        By term; only terms of at least `MIN_COUNT` texts.
    """
    counts = [Counter(term for terms in texts for term in terms) for texts in (first, second)]
    total = {t: n for t, n in (counts[0] + counts[1]).items() if n >= MIN_COUNT}
    if not total:
        return {}
    both = np.array(list(total.values()), float)
    prior = PRIOR * both / (len(first) + len(second))  # (terms,)
    odds, variance = np.zeros(len(both)), np.zeros(len(both))
    for sign, count, n in ((1, counts[0], len(first)), (-1, counts[1], len(second))):
        seen = np.array([count[term] for term in total], float) + prior
        odds += sign * np.log(seen / (n + PRIOR - seen + 1))
        variance += 1 / seen
    return dict(zip(total, (odds / np.sqrt(variance)).tolist(), strict=True))


def _best_terms(scores: dict[str, float]) -> list[str]:
    """The terms with the highest scores; a pair stands for its words, or is left out for them."""
    best: list[str] = []
    for term in sorted(scores, key=lambda term: (-scores[term], term)):
        if scores[term] < MIN_SCORE or len(best) == MAX_TERMS:
            break
        words = set(term.split())
        if not any(words & set(other.split()) for other in best):
            best.append(term)
    return best


def _quotes(
    texts: Sequence[str], sides: Sequence[int], side: int, scores: dict[str, float]
) -> list[tuple[int, str]]:
    """Sentences with many characteristic terms, each from another text."""
    positions = [i for i, other in enumerate(sides) if other == side]
    candidates: list[tuple[float, int, str]] = []
    for i in positions[:: 1 + len(positions) // QUOTE_TEXTS]:
        sentences = [
            (_typicality(sentence, scores), i, sentence.strip())
            for sentence in segment(texts[i][:5000])
        ]
        candidates += sorted(sentences, reverse=True)[:1]
    unique = {sentence: (score, i) for score, i, sentence in sorted(candidates) if score > 0}
    best = sorted(unique.items(), key=lambda item: item[1], reverse=True)[:MAX_QUOTES]
    return [(i, sentence) for sentence, (_, i) in best]


def _typicality(sentence: str, scores: dict[str, float]) -> float:
    """The sum of the scores of a sentence's terms by its length; 0 for too short or long ones."""
    length = len(WORD.findall(sentence))
    if not QUOTE_WORDS[0] <= length <= QUOTE_WORDS[1]:
        return 0.0
    term_scores = [scores.get(term, 0.0) for term in text_terms(sentence)]
    return sum(score for score in term_scores if abs(score) >= MIN_SCORE) / float(np.sqrt(length))
