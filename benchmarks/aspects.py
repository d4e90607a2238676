"""Aspects: the trained model, a bag of words, and the review's verdict for every aspect.

In: the run folder of the recipe `aspects`, with the data that it names, and a model of single
texts. Out: a table and `aspects-baselines.json`: for each of them the macro F1 on the test split,
in all and by aspect, the F1 of each label, and how many sentences about two aspects of opposite
polarity are right about both. The bag of words is trained on the run's training split.

    python -m benchmarks.aspects [--run RUN] [--verdict MODEL] [--out FOLDER]
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import REPOSITORY, RESULTS, add_out, save
from space.inference.labels import NOT_MENTIONED
from train import run_folder
from train.augmentation.aspects import load_words
from train.data import preparation
from train.data.labels import NO_LABEL
from train.data.splits import Split
from train.data.tokens import encode
from train.evaluation import behavior_suite, metrics
from train.evaluation.metrics import FloatArray
from train.modeling import model

MODEL, WORDS = "trained model", "bag of words, also combined with the aspect"
VERDICT = "verdict of the review for every aspect"
NAMED = "the same, not mentioned if no word names the aspect"
Predict = Callable[[Sequence[str], Sequence[str]], FloatArray]  # texts, aspects: (texts, labels)


def main() -> None:
    """Measure all methods, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, default=REPOSITORY / "runs/aspects")
    parser.add_argument(
        "--verdict", type=Path, default=REPOSITORY / "models/movie-sentiment",
        help="folder of a model with the labels NEGATIVE and POSITIVE",
    )  # fmt: skip
    add_out(parser, RESULTS)
    options = parser.parse_args()
    results = measure(options.run, options.verdict)
    save(options.out / "aspects-baselines.json", results)
    print(table(results))


def measure(run: Path, verdict: Path) -> dict[str, Any]:
    """The scores of each method.

    Args:
        run: The run folder of a model of text pairs.
        verdict: The folder of a model with the labels NEGATIVE and POSITIVE.

    Returns:
        `n`, the number of test pairs, and `methods`: name -> see `_scores`.
    """
    recipe = run_folder.load_pinned_recipe(run)
    splits, labels = preparation.load(recipe), recipe.labels
    weights = [dataset.weight for dataset in recipe.datasets]
    methods = {
        MODEL: trained_model(run),
        WORDS: bag_of_words(splits["train"], labels, weights),
        VERDICT: review_verdict(verdict, labels),
        NAMED: review_verdict(verdict, labels, only_named=True),
    }
    test = splits[recipe.evaluation_split]
    scores = {name: _scores(predict, test, labels) for name, predict in methods.items()}
    return {"n": len(test), "methods": scores}


def trained_model(run: Path) -> Predict:
    """The logits of a model of text pairs."""
    classifier, tokenizer = model.load(str(run))

    def predict(texts: Sequence[str], aspects: Sequence[str]) -> FloatArray:
        return _logits(classifier, tokenizer, Split(list(texts), _none(texts), list(aspects)))

    return predict


def bag_of_words(train: Split, labels: list[str], weights: Sequence[float]) -> Predict:
    """The probabilities of a logistic regression on words and pairs of words.

    Each feature occurs by itself and combined with the aspect.

    Args:
        train: The training pairs.
        labels: Of the recipe.
        weights: Of each dataset of the split.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    terms = TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()

    def features(pair: tuple[str, str]) -> list[str]:
        of_text = terms(pair[0])
        return [*of_text, *(f"{pair[1]}: {term}" for term in of_text)]

    rows = np.flatnonzero(np.array(train.labels) != NO_LABEL)
    known = train.take(rows)
    weight = [weights[number] for number in known.datasets or [0] * len(known)]
    fitted = make_pipeline(
        TfidfVectorizer(analyzer=features, min_df=2, sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1000),
    )
    pairs = list(zip(known.texts, known.pairs or [], strict=True))
    fitted.fit(pairs, known.labels, logisticregression__sample_weight=weight)

    def predict(texts: Sequence[str], aspects: Sequence[str]) -> FloatArray:
        probabilities = np.zeros((len(texts), len(labels)))
        pairs = list(zip(texts, aspects, strict=True))
        probabilities[:, fitted.classes_] = fitted.predict_proba(pairs)
        return probabilities

    return predict


def review_verdict(folder: Path, labels: list[str], only_named: bool = False) -> Predict:
    """What a model of single texts says about the whole text, for every aspect.

    Args:
        folder: Of the model.
        labels: Of the recipe.
        only_named: Whether an aspect is not mentioned if the text has none of its words.
    """
    classifier, tokenizer = model.load(str(folder))
    columns = [labels.index(classifier.config.id2label[i]) for i in range(2)]
    words = load_words()

    def predict(texts: Sequence[str], aspects: Sequence[str]) -> FloatArray:
        unique = list(dict.fromkeys(texts))
        logits = _logits(classifier, tokenizer, Split(unique, _none(unique)))
        of_text = dict(zip(unique, logits, strict=True))
        predicted = np.full((len(texts), len(labels)), -np.inf)
        for row, (text, aspect) in enumerate(zip(texts, aspects, strict=True)):
            if only_named and not words[aspect].search(text):
                predicted[row, labels.index(NOT_MENTIONED)] = 0
            else:
                predicted[row, columns] = of_text[text]
        return predicted

    return predict


def table(results: dict[str, Any]) -> str:
    """The methods, the best last, in Markdown."""
    methods = dict(sorted(results["methods"].items(), key=lambda item: item[1]["macro_f1"]))
    first = next(iter(methods.values()))
    names = [label.replace("_", " ").lower() for label in first["f1"]]
    lines = [
        f"| method | macro F1 | {' | '.join(f'F1 {name}' for name in names)} "
        "| opposite sentences, both right |",
        "|---|---|" + "---|" * (len(names) + 1),
    ]
    for name, scores in methods.items():
        cells = [f"{value:.3f}" for value in (scores["macro_f1"], *scores["f1"].values())]
        shown = f"**{name}**" if name == MODEL else name
        lines.append(f"| {shown} | {' | '.join(cells)} | {100 * scores['opposite']:.1f}% |")
    aspects = list(first["by_aspect"])
    lines += ["", f"| macro F1 | {' | '.join(aspects)} |", "|---|" + "---|" * len(aspects)]
    for name, scores in methods.items():
        cells = [f"{scores['by_aspect'][aspect]:.3f}" for aspect in aspects]
        lines.append(f"| {f'**{name}**' if name == MODEL else name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _scores(predict: Predict, test: Split, labels: list[str]) -> dict[str, Any]:
    """`macro_f1`, `f1` by label, `by_aspect` (macro F1), and `opposite`, the share that passes."""
    from sklearn.metrics import f1_score

    pairs, truth = test.pairs or [], np.array(test.labels)
    predicted = predict(test.texts, pairs).argmax(axis=1)

    def macro(rows: Any) -> float:
        present = np.unique(truth[rows])  # an aspect may have no review of some label
        return float(
            f1_score(truth[rows], predicted[rows], labels=present, average="macro", zero_division=0)
        )

    aspects = list(dict.fromkeys(pairs))
    by_label = f1_score(truth, predicted, labels=range(len(labels)), average=None, zero_division=0)
    passed = behavior_suite.run_aspects(predict, labels, behavior_suite.load_aspects())
    return {
        "macro_f1": macro(np.arange(len(truth))),
        "f1": dict(zip(labels, map(float, by_label), strict=True)),
        "by_aspect": {name: macro(np.array(pairs) == name) for name in aspects},
        "opposite": float(np.mean([row.correct for row in passed])),
    }


def _logits(classifier: Any, tokenizer: Any, texts: Split) -> FloatArray:
    tokens = encode(tokenizer, texts, "texts").truncate(model.max_tokens(classifier), "head_tail")
    return metrics.predict(classifier, tokens, tokenizer.pad_token_id, name="texts")


def _none(texts: Sequence[str]) -> list[int]:
    return [NO_LABEL] * len(texts)


if __name__ == "__main__":
    main()
