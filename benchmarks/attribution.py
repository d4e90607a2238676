"""Methods of word attribution, compared on sentences with annotated words.

In: a model folder, and `attribution_sentences.txt`, in which `+` precedes a positive word, `-` a
negative one and `?` one whose sign depends on the reader; all others are neutral. Out: a table and
`attribution.json`. All methods use only the model's predictions, as the app does:

- leave-one-out: the sentence without the word (Li et al. 2016, https://arxiv.org/abs/1612.08220).
- leave-n-gram-out: without spans of 1 to 3 words, the effect of a span shared by its words.
- Shapley sampling: words added in 8 random orders (Strumbelj and Kononenko 2014).
- LIME: a linear model of 8 random deletions per word (Ribeiro et al. 2016,
  https://arxiv.org/abs/1602.04938).
- spans: what the app does, see `space.inference.attribution.attribute_words`.

    python -m benchmarks.attribution [--model runs/quickstart] [--out FOLDER]
"""

import argparse
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from benchmarks import REPOSITORY, add_model, add_out, model_folder, print_engine, save
from space.inference import attribution
from space.inference.classifier import Classifier, InvalidText, Prediction, log_odds
from space.inference.onnx_model import Tokens
from space.inference.serving import EXPLANATION, Request, Service

SENTENCES = Path(__file__).with_name("attribution_sentences.txt")
SIGNS = {"+": 1, "-": -1, "?": None, "": 0}
NGRAM, PERMUTATIONS, LIME_SAMPLES = 3, 8, 8
LIME_WIDTH, LIME_RIDGE = 0.25, 1e-3  # of the kernel over the share of deleted words; of the fit
POSITIVE = "POSITIVE"

Mask = NDArray[np.bool_]  # (words,): which words are kept
Effects = NDArray[np.float64]  # (words,)
Value = Callable[[Sequence[Mask]], Effects]  # log-odds of POSITIVE, (masks,)
Explain = Callable[[int, Value], Effects]  # of a number of words


@dataclass
class Sentence:
    """A sentence, the spans of its words in characters, and their signs; None if unclear."""

    text: str
    spans: list[tuple[int, int]] = field(default_factory=list)
    signs: list[int | None] = field(default_factory=list)


class CountingClassifier(Classifier):
    """Counts the forward passes and their tokens."""

    passes = tokens = 0

    def predict_tokens(self, tokens: Tokens, all_cores: bool = False) -> Prediction | InvalidText:
        """As `Classifier.predict_tokens`."""
        self.passes += 1
        self.tokens += len(tokens.ids)
        return super().predict_tokens(tokens, all_cores)


def main() -> None:
    """Measure every method, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_model(parser)
    add_out(parser, REPOSITORY / "runs" / "bench")
    options = parser.parse_args()
    options.model = model_folder(options.model)
    sentences, engine = load_sentences(), print_engine(options.model)
    methods = {name: measure(options.model, sentences, method) for name, method in METHODS.items()}
    print(table(methods))
    digest = hashlib.sha256(Classifier.from_folder(options.model).load().file.read_bytes())
    results: dict[str, Any] = {
        "model": {"name": options.model.resolve().name, "sha256": digest.hexdigest()},
        "engine": engine,
    }
    results |= {"sentences": len(sentences), "methods": methods}
    save(options.out / "attribution.json", results)


def load_sentences() -> list[Sentence]:
    """The sentences of the file, one per line, without their marks.

    Raises:
        ValueError: A mark does not precede a word.
    """
    return [_parse(line) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]


def _parse(line: str) -> Sentence:
    sentence = Sentence("")
    for token in line.split(" "):
        mark = token[:1] if token[:1] in SIGNS else ""
        text = token.removeprefix(mark)
        start = len(sentence.text) + bool(sentence.text)
        sentence.text += f" {text}" if sentence.text else text
        words = [match.span() for match in attribution.WORD.finditer(text)]
        if mark and len(words) != 1:
            raise ValueError(f"a mark must precede one word, got {token!r} in {line!r}")
        sentence.spans += [(start + first, start + end) for first, end in words]
        sentence.signs += [SIGNS[mark]] * len(words)
    return sentence


Method = Callable[[CountingClassifier, Sentence], Effects]


def measure(model: Path, sentences: Sequence[Sentence], method: Method) -> dict[str, float]:
    """The quality and the cost of one method.

    Returns:
        `rank_agreement`: Kendall's tau-b of effects and signs, the mean over sentences of two or
        more words. `sign_accuracy`: the share of the known words whose effect has their sign.
        `precision`: the share of the known words among the words with the largest effects, as many
        as are known in the sentence, with their sign; the mean over sentences. `passes_per_word`
        and `tokens_per_sentence`: of all forward passes.
    """
    classifier = CountingClassifier.from_folder(model)
    classifier.load().wordless  # noqa: B018  # computed once for all sentences, so not counted
    classifier.passes = classifier.tokens = 0
    taus, precisions, right, known = [], [], 0, 0
    for sentence in sentences:
        effects = method(classifier, sentence)
        pairs = [(e, s) for e, s in zip(effects, sentence.signs, strict=True) if s is not None]
        signed = [(effect, sign) for effect, sign in pairs if sign]
        hits = sum(effect * sign > 0 for effect, sign in signed)
        right, known = right + hits, known + len(signed)
        if len(pairs) > 1:
            taus.append(kendalltau(*zip(*pairs, strict=True)).statistic)
            top = sorted(pairs, key=lambda pair: -abs(pair[0]))[: len(signed)]
            precisions.append(sum(effect * sign > 0 for effect, sign in top) / len(signed))
    return {
        "rank_agreement": float(np.mean(taus)),
        "sign_accuracy": right / known,
        "precision": float(np.mean(precisions)),
        "known_words": known,
        "passes_per_word": classifier.passes / sum(len(s.spans) for s in sentences),
        "tokens_per_sentence": classifier.tokens / len(sentences),
    }


def leave_one_out(words: int, value: Value) -> Effects:
    """What the sentence loses without the word."""
    return leave_n_grams_out(words, value, longest=1)


def leave_n_grams_out(words: int, value: Value, longest: int = NGRAM) -> Effects:
    """The mean over the spans with the word of the span's effect, divided by its words."""
    lengths = range(1, min(longest, words) + 1)
    spans = [(i, i + n) for n in lengths for i in range(words - n + 1)]
    kept = np.ones((len(spans) + 1, words), dtype=bool)
    for row, (first, end) in zip(kept[1:], spans, strict=True):
        row[first:end] = False
    whole, *without = value(list(kept))
    inside = ~kept[1:] / (~kept[1:]).sum(axis=1, keepdims=True)  # (spans, words)
    shared: Effects = (whole - np.array(without)) @ inside / (inside > 0).sum(axis=0)
    return shared


def shapley_sampling(words: int, value: Value) -> Effects:
    """What the word adds to those before it, the mean over random orders and their reverses."""
    generator, effects = random.Random(0), np.zeros(words)
    for _ in range(PERMUTATIONS // 2):
        order = generator.sample(range(words), words)
        for permutation in (order, order[::-1]):
            kept = np.zeros((words + 1, words), dtype=bool)
            for step, word in enumerate(permutation):
                kept[step + 1 :, word] = True
            effects[permutation] += np.diff(value(list(kept)))
    return effects / PERMUTATIONS


def lime(words: int, value: Value) -> Effects:
    """The weights of a ridge regression on random deletions; fewer deletions weigh more."""
    kept = np.random.default_rng(0).random((LIME_SAMPLES * words + 1, words)) < 0.5
    kept[0] = True
    weights = np.exp(-((1 - np.sqrt(kept.mean(axis=1))) ** 2) / LIME_WIDTH**2)
    inputs = np.column_stack([kept, np.ones(len(kept))])
    squares = inputs.T @ (inputs * weights[:, None]) + LIME_RIDGE * np.eye(words + 1)
    solution: Effects = np.linalg.solve(squares, inputs.T @ (weights * value(list(kept))))
    return solution[:words]


def by_deletion(method: Explain) -> Method:
    """A method that deletes words, applied to a sentence."""

    def apply(classifier: CountingClassifier, sentence: Sentence) -> Effects:
        known: dict[bytes, float] = {}

        def value(masks: Sequence[Mask]) -> Effects:
            new = {mask.tobytes(): mask for mask in masks if mask.tobytes() not in known}
            texts = [_delete(sentence, mask) for mask in new.values()]
            for key, answer in zip(new, classifier.predict_batch(texts), strict=True):
                readable = isinstance(answer, Prediction)
                answers = answer.probabilities if readable else classifier.load().wordless
                known[key] = log_odds(answers[POSITIVE])
            return np.array([known[mask.tobytes()] for mask in masks])

        return method(len(sentence.spans), value)

    return apply


def _delete(sentence: Sentence, kept: Mask) -> str:
    """The sentence without some words; punctuation stays."""
    text, position = "", 0
    for (start, end), keep in zip(sentence.spans, kept, strict=True):
        text += sentence.text[position : end if keep else start]
        position = end
    return text + sentence.text[position:]


def spans(classifier: CountingClassifier, sentence: Sentence) -> Effects:
    """The app's method."""
    request = Request(Service(classifier), EXPLANATION)
    whole = [(0, len(sentence.text))]
    words = attribution.attribute_words(request, sentence.text, whole, POSITIVE)
    return np.array([word.attribution for word in words])


METHODS: dict[str, Method] = {
    "leave_one_out": by_deletion(leave_one_out),
    "leave_n_gram_out": by_deletion(leave_n_grams_out),
    "shapley_sampling": by_deletion(shapley_sampling),
    "lime": by_deletion(lime),
    "spans": spans,
}


def table(methods: dict[str, dict[str, float]]) -> str:
    """The metrics in Markdown, the app's method last."""
    keys = ["rank_agreement", "sign_accuracy", "precision", "passes_per_word"]
    lines = [f"| method | {' | '.join(key.replace('_', ' ') for key in keys)} |"]
    lines.append("|---" * (len(keys) + 1) + "|")
    for name, figures in methods.items():
        cells = " | ".join(f"{figures[key]:.2f}" for key in keys)
        lines.append(f"| {name.replace('_', ' ')} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
