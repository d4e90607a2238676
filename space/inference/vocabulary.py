"""What a model can read: which tokens of its vocabulary are words, and which it doesn't know.

In: a tokenizer and the name of its token for unknown words. Out: for the tokens of a text, whether
there is a word among them, how many are unknown, and the pieces of the text that they stand for.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A vocabulary has single letters of many scripts, of which it can build any word but knows none. A
# script is read if this many tokens, or this share of the tokens with letters, are in it.
MIN_SCRIPT_TOKENS, MIN_SCRIPT_SHARE = 1_000, 0.02
MAX_PIECES, MAX_PIECE_CHARACTERS = 3, 20  # that are named to the user
MARK, WORD, UNKNOWN = range(3)


class Vocabulary:
    """The kinds of a tokenizer's tokens.

    Args:
        tokenizer: A `tokenizers.Tokenizer`.
        unknown: Its token for words outside of the vocabulary; None if it has none.

    Attributes:
        kinds: By token id, of shape (vocabulary,): `MARK` for punctuation and special tokens,
            `WORD` for what the model can read, `UNKNOWN` for what it can't.
    """

    def __init__(self, tokenizer: Any, unknown: str | None) -> None:
        self._tokenizer = tokenizer
        texts = _token_texts(tokenizer)
        scripts = {i: _scripts(text) for i, text in texts.items()}
        counts = Counter(script for of_token in scripts.values() for script in of_token)
        least = min(MIN_SCRIPT_TOKENS, MIN_SCRIPT_SHARE * counts.total())
        self._read = {script for script, count in counts.items() if count >= least}
        self.kinds: NDArray[np.uint8] = np.full(max(texts, default=-1) + 1, MARK, dtype=np.uint8)
        for i, text in texts.items():
            if not scripts[i] <= self._read:
                self.kinds[i] = UNKNOWN
            elif not all(map(_is_mark, text)):
                self.kinds[i] = WORD
        for i, token in tokenizer.get_added_tokens_decoder().items():
            if token.special:
                self.kinds[i] = UNKNOWN if token.content == unknown else MARK

    def has_words(self, ids: Sequence[int]) -> bool:
        """Whether the model can read any word of these tokens."""
        return bool((self.kinds[ids] == WORD).any())

    def count_unknown(self, ids: Sequence[int]) -> int:
        """The number of these tokens that stand for something that the model doesn't know."""
        return int((self.kinds[ids] == UNKNOWN).sum())

    def unreadable(self, text: str) -> list[str]:
        """The first different pieces of a text that the model doesn't know, shortened.

        Unknown punctuation is left out.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        spans: list[list[int]] = []
        for i, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if self.kinds[i] != UNKNOWN:
                continue
            if spans and start <= spans[-1][1]:
                spans[-1][1] = max(end, spans[-1][1])
            else:
                spans.append([start, end])
        pieces = dict.fromkeys(text[start:end][:MAX_PIECE_CHARACTERS] for start, end in spans)
        return [piece for piece in pieces if not all(map(_is_mark, piece))][:MAX_PIECES]

    def describe(self, pieces: Sequence[str]) -> str:
        """What unreadable pieces are, in words: "Cyrillic letters", "emoji or symbols"."""
        kinds: dict[str, None] = {}
        for character in "".join(pieces):
            if character.isalpha() and (script := script_of(character)) not in self._read:
                is_chinese = script == "CJK"
                name = "Chinese characters" if is_chinese else f"{script.capitalize()} letters"
                kinds[name] = None
            elif not character.isalnum() and not _is_mark(character):
                kinds["emoji or symbols"] = None
        return " and ".join(kinds) or "these words"


def _token_texts(tokenizer: Any) -> dict[int, str]:
    """By id, the text of each token; only what is not ASCII has to be decoded."""
    texts = {i: token for token, i in tokenizer.get_vocab(with_added_tokens=True).items()}
    others = [i for i, token in texts.items() if not token.isascii()]
    decoded = tokenizer.decode_batch([[i] for i in others], skip_special_tokens=False)
    return texts | dict(zip(others, decoded, strict=True))


def _scripts(text: str) -> set[str]:
    if text.isascii():
        return {"LATIN"} if any(map(str.isalpha, text)) else set()
    return {script_of(character) for character in text if character.isalpha()}


def script_of(letter: str) -> str:
    """The first word of a letter's Unicode name, which is that of its script."""
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0]


def _is_mark(character: str) -> bool:
    """Whether a character is punctuation or a space. Emoji and incomplete bytes are words."""
    if character.isascii():
        return not character.isalnum()
    return unicodedata.category(character)[0] in "PZM"
