"""Whether a text is in a language that the model was trained on.

In: the languages and scripts of the training texts, as config.json has them; a text. Out: a caution
for the reader of the verdict, or None. A text in another language gets a label and a probability,
too, and nothing in them shows that the model could not read it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from space.inference.vocabulary import script_of

MAX_CHARACTERS = 500  # of a text; more change no answer
MIN_LETTERS = 12  # a shorter text could be in many languages
MAX_PROBABILITY = 0.02  # of all languages of the training texts together
MIN_NAMED = 0.5  # probability of a language that is named
MIN_SHARE = 0.01  # of the letters of the training texts, for a script
# Languages that readers of another one read, or that the detector tells apart only in long texts.
RELATED = {
    "ar": ["ary", "arz"], "nb": ["no", "nn", "da"], "nn": ["no"], "no": ["nn", "da"],
    "zh": ["wuu", "yue"],
}  # fmt: skip
HAN = "Han"  # its characters are called CJK in their Unicode names
_LOADING = Lock()  # one of several threads loads the identifier
TAG = re.compile(r"<[^<>]*>")
WORD = re.compile(r"[^\W\d_]+")


class LanguageCheck:
    """Detects texts in other languages and scripts than those of the training texts.

    Args:
        languages: Language codes; no language is detected if one of them is unknown here.
        scripts: Unicode names of scripts, such as Latin; none are detected without any.
    """

    def __init__(self, languages: Sequence[str], scripts: Sequence[str]) -> None:
        known = set(_names())
        self._languages = list(languages) if known.issuperset(languages) else []
        self._scripts = set(scripts)
        if self._languages:  # it takes longer to load than the tokenizer
            Thread(target=_identifier, name="language identifier", daemon=True).start()

    def caution(self, text: str) -> str | None:
        """Why the model may not be able to read a text, in a sentence for the page; else None."""
        if not (self._languages or self._scripts):
            return None
        sample = TAG.sub(" ", text[:MAX_CHARACTERS])
        scripts = _count_scripts(sample)
        foreign = {s: n for s, n in scripts.items() if self._scripts and s not in self._scripts}
        if 2 * sum(foreign.values()) > scripts.total():
            script = max(foreign, key=foreign.__getitem__)
            letters = "Chinese characters" if script == HAN else f"{script} letters"
            return f"{self._trained}, and this text is mostly in {letters}."
        if not self._languages or scripts.total() < MIN_LETTERS or _is_mostly_names(sample):
            return None
        ranked = [(name, float(p)) for name, p in _identifier().rank(sample)]
        own = {c for code in self._languages for c in (code, *RELATED.get(code, []))}
        best, probability = ranked[0]
        if sum(p for code, p in ranked if code in own) >= MAX_PROBABILITY or best not in _names():
            return None
        language = _names()[best] if probability >= MIN_NAMED else "another language"
        return f"{self._trained}, and this text looks like {language}."

    @property
    def _trained(self) -> str:
        names = [_names()[code] for code in self._languages] or ["other scripts"]
        return f"The model was trained on {', '.join(names)}"


def scripts(texts: Iterable[str]) -> list[str]:
    """The scripts of the letters of texts, the most frequent first, without rare ones."""
    counts = _count_scripts("".join(texts))
    return [s for s, count in counts.most_common() if count >= MIN_SHARE * counts.total()]


def _is_mostly_names(text: str) -> bool:
    """Whether most letters are in words like names, which may look like any language."""
    words = WORD.findall(text)
    names = [word for word in words if word[0].isupper() and not word.isupper()]
    return 2 * len("".join(names)) > len("".join(words))


def _count_scripts(text: str) -> Counter[str]:
    """The number of letters of each script."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            name = script_of(character)
            counts[HAN if name == "CJK" else name.capitalize()] += count
    return counts


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """The English name of each language that is detected, by its code; from Unicode CLDR."""
    file = Path(__file__).parent / "language_names.json"
    names: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return names


def _identifier() -> Any:
    with _LOADING:
        return _load_identifier()


@lru_cache(maxsize=1)
def _load_identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
