"""A model in memory: tokenizer, labels and sessions of its engine.

In: a folder with the files that `download` names; texts. Out: their tokens, and logits.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.inference import engine as engines
from space.inference.cpu import available_cores
from space.inference.download import CONFIG, TOKENIZER, TOKENIZER_CONFIG
from space.inference.engine import Engine
from space.inference.languages import LanguageCheck
from space.inference.vocabulary import Vocabulary

WORDLESS = "."  # a text without words


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text, with [CLS] and [SEP].

    Attributes:
        ids: The ids of the tokens that the model reads, of shape (tokens,).
        count: The number of tokens in the whole text; more than `len(ids)` if it was truncated.
        has_words: Whether the model can read any word of the text.
        unknown: The number of tokens in the whole text that the model doesn't know.
        unreadable: What these stand for, see `Vocabulary.unreadable`.
        type_ids: Of a pair, 0 for the tokens of the first text and 1 for those of the second, of
            shape (tokens,); None for a single text.
        language_caution: Why the model may not be able to read the text, see `LanguageCheck`.
        model: The model that made the tokens, and that has to read them.
    """

    ids: NDArray[np.int64]
    count: int
    has_words: bool = True
    unknown: int = 0
    unreadable: list[str] = field(default_factory=list)
    type_ids: NDArray[np.int64] | None = None
    language_caution: str | None = None
    model: "OnnxModel | None" = field(default=None, repr=False, compare=False)


class OnnxModel:
    """A text classifier in memory.

    Args:
        folder: The files of the model.
        candidates: Engines, of which the first is used whose ONNX file is in the folder.
        threads: CPU threads; all available cores by default.
        commit: The commit of the files; None if they are from no repository.

    Attributes:
        engine: The engine that is used.
        file: The ONNX file that is used.
        labels: The labels, in the model's order.
        max_tokens: The most tokens that the model reads of a text, with [CLS] and [SEP].
        special_tokens: The number of special tokens, such as [CLS], that each text gets.
        unsure_below: The probability below which the model abstains; 0 for never.
        has_pairs: Whether the model was trained on pairs of texts.
        aspects: The second texts of its training pairs, if they were few.
        vocabulary: What of a text the model can read.
    """

    def __init__(
        self,
        folder: Path,
        candidates: Sequence[Engine],
        threads: int | None = None,
        commit: str | None = None,
    ) -> None:
        from tokenizers import Tokenizer

        self.commit = commit
        self.engine = next(engine for engine in candidates if (folder / engine.file).is_file())
        self.file = folder / self.engine.file
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tokenizer_config = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
        self.labels = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
        positions = config.get("max_position_embeddings") or math.inf
        self.max_tokens = int(min(tokenizer_config["model_max_length"], positions))
        self.unsure_below = float(config.get("unsure_below") or 0)
        self.has_pairs = bool(config.get("text_pairs"))
        self.aspects: list[str] = list(config.get("aspects") or []) if self.has_pairs else []
        self.threads = threads or available_cores()
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.special_tokens = self._tokenizer.num_special_tokens_to_add(self.has_pairs)
        self.vocabulary = Vocabulary(self._tokenizer, _unknown_token(tokenizer_config))
        self._languages = LanguageCheck(
            config.get("text_languages") or [], config.get("text_scripts") or []
        )
        self._runtime = engines.load(self.engine, self.file, self.max_tokens)
        self._input_names = self._all_cores_session.input_names

    def encode(self, texts: Sequence[str | tuple[str, str]]) -> list[Tokens]:
        """The tokens of each text, or of each pair of texts.

        A long text is truncated as in training: a quarter of the tokens that are kept come from the
        beginning, the others from the end.
        """
        valid = [_valid(text) if isinstance(text, str) else _valid_pair(*text) for text in texts]
        rows = self._tokenizer.encode_batch_fast(valid)
        return [self._tokens(text, row) for text, row in zip(valid, rows, strict=True)]

    def _tokens(self, text: str | tuple[str, str], row: Any) -> Tokens:
        numbers = row.ids  # each access makes a new list
        ids, count = np.array(numbers, dtype=np.int64), len(numbers)
        unknown = self.vocabulary.count_unknown(numbers)
        first = text if isinstance(text, str) else text[0]
        unreadable = self.vocabulary.unreadable(first) if unknown else []
        own = (
            numbers
            if isinstance(text, str)
            else [n for n, i in zip(numbers, row.sequence_ids, strict=True) if i == 0]
        )
        has_words = self.vocabulary.has_words(own)  # of the review, whatever it is paired with
        types = None if isinstance(text, str) else np.array(row.type_ids, dtype=np.int64)
        if count > self.max_tokens:
            head = self.max_tokens // 4
            kept = np.r_[:head, count + head - self.max_tokens : count]
            ids, types = ids[kept], None if types is None else types[kept]
        caution = self._languages.caution(first)
        return Tokens(ids, count, has_words, unknown, unreadable, types, caution, self)

    def logits(self, tokens: Tokens, all_cores: bool) -> NDArray[np.float64]:
        """The logits of one text, of shape (labels,).

        Args:
            tokens: From `encode`.
            all_cores: Use all threads for this text; else one, so that other texts run beside it.

        Raises:
            ValueError: The model's output has another shape.
        """
        ids, types = tokens.ids[None], tokens.type_ids  # (1, tokens), (tokens,)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids) if types is None else types[None],
        }
        session = self._all_cores_session if all_cores else self._one_core_session
        logits = session.run({name: inputs[name] for name in inputs if name in self._input_names})
        if np.shape(logits) != (1, len(self.labels)):
            raise ValueError(f"{len(self.labels)} labels, but logits of shape {np.shape(logits)}")
        return np.asarray(logits[0], dtype=np.float64)

    def probabilities(self, logits: NDArray[np.float64]) -> dict[str, float]:
        """The softmax of logits of shape (labels,), by label."""
        odds = np.exp(logits - logits.max())
        return dict(zip(self.labels, (odds / odds.sum()).tolist(), strict=True))

    @cached_property
    def wordless(self) -> dict[str, float]:
        """The probabilities, by label, of a text without words."""
        (tokens,) = self.encode([WORDLESS])
        return self.probabilities(self.logits(tokens, all_cores=False))

    def warm_up(self) -> None:
        """Classify a word with each session, which opens them."""
        (tokens,) = self.encode([("film", "film") if self.has_pairs else "film"])
        for all_cores in (True, False):
            self.logits(tokens, all_cores)

    @cached_property
    def _all_cores_session(self) -> engines.Session:
        return self._runtime.session(self.threads, calls=1)

    @cached_property
    def _one_core_session(self) -> engines.Session:
        if self.threads == 1:
            return self._all_cores_session
        return self._runtime.session(1, calls=self.threads)


def _valid(text: str) -> str:
    """The text without halves of surrogate pairs: JSON can contain them, UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()


def _valid_pair(first: str, second: str) -> tuple[str, str]:
    return _valid(first), _valid(second)


def _unknown_token(tokenizer_config: dict[str, Any]) -> str | None:
    """The name of the token; older files hold its properties."""
    token = tokenizer_config.get("unk_token")
    return token.get("content") if isinstance(token, dict) else token
