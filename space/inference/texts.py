"""Texts before they reach the model: why one is invalid, and its sentences.

In: texts or pairs, from the page, a program or a file. Out: an `InvalidText` with the reason;
sentences.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sentencex

MAX_CHARACTERS = 100_000  # of a text
SEGMENT_CHARACTERS = 2_000  # that are split into sentences at once
EMPTY_CELL = "The cell is empty."
PAIR_EXPECTED = "This model reads pairs of texts (a review and a second text), got a single text."
PAIR_REFUSED = "This model reads single texts, got a pair of texts."
_SPACE = re.compile(r"\s")

T = TypeVar("T")


class InvalidText(Exception):
    """The text can't be classified; the message says why, in a sentence for the page.

    Args:
        message: The sentence.
        without_text: The sentence for a program, without pieces of the text.
    """

    def __init__(self, message: str, without_text: str | None = None) -> None:
        super().__init__(message)
        self.without_text = without_text or message


class WrongKind(InvalidText):
    """The model reads single texts and this is a pair, or the reverse.

    Args:
        reads_pairs: Whether the model reads pairs.
    """

    def __init__(self, reads_pairs: bool) -> None:
        super().__init__(PAIR_EXPECTED if reads_pairs else PAIR_REFUSED)
        self.reads_pairs = reads_pairs


def check_text(text: object) -> InvalidText | None:
    """Why a text or a pair is invalid before it reaches the model; None if it is valid."""
    if isinstance(text, tuple):
        return next(filter(None, map(check_text, text)), None)
    if text is not None and not isinstance(text, str):
        return InvalidText(f"A review must be text, got {type(text).__name__}.")
    if not text or not text.strip():
        return InvalidText("Write or paste a review first.", "The text is empty.")
    if len(text) > MAX_CHARACTERS:
        return InvalidText(
            f"A review may have at most {MAX_CHARACTERS:,} characters; this one has {len(text):,}."
        )
    return None


def name_empty_cells(
    texts: Sequence[Any], answers: Sequence[T | InvalidText]
) -> list[T | InvalidText]:
    """The answers to the cells of a file, with a reason for empty ones that fits a file."""
    return [
        InvalidText(EMPTY_CELL) if _has_empty_cell(text) else answer
        for text, answer in zip(texts, answers, strict=True)
    ]


def _has_empty_cell(text: Any) -> bool:
    if isinstance(text, tuple):
        return any(map(_has_empty_cell, text))
    return text is None or not str(text).strip()


def segment(text: str) -> Iterator[str]:
    """Yield the sentences of an English text, with the spaces that follow them.

    A few thousand characters at a time: sentencex takes quadratic time for a text without spaces.
    It also panics at some whitespace that is longer than one byte, which becomes a space here.
    """
    text, start = _SPACE.sub(" ", text), 0
    while start < len(text):
        chunk = text[start : start + SEGMENT_CHARACTERS]
        sentences = list(filter(None, sentencex.segment("en", chunk))) or [chunk]
        if start + len(chunk) < len(text):  # the last sentence may continue
            sentences = sentences[:-1] or [chunk[: chunk.rfind(" ") + 1] or chunk]
        yield from sentences
        start += sum(map(len, sentences))
