"""Languages: accuracy beside a bag of words and an English model, and cautions about languages.

In: IMDb and SST-5 as for `benchmarks.record`; for each other language the beginning of the paths of
`train.parquet` and `test.parquet`, with columns `text` and `label` (0 or 1); run folders. Out: a
table and `languages.json`. A bag of words is TF-IDF and logistic regression on the training rows of
one language, of words or of characters, chosen by cross-validation on these rows. Runs to compare
are the released English model, the multilingual one, one with the whole vocabulary, and one trained
on English alone. A caution is that of the page for a model that was trained on English, and for one
trained on all these languages.

    python -m benchmarks.languages --imdb DIR --sst5 DIR --data fr=DIR/fr_ [--data …]
        [--run "NAME=FOLDER" …] [--out FOLDER]
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas

from benchmarks import REPOSITORY, RESULTS, add_out, save
from space.analysis.statistics import proportion
from space.inference.languages import LanguageCheck, scripts

ENGLISH_REVIEWS = 2_000  # of IMDb's test split
BAGS = {
    "words": {"ngram_range": (1, 2)},
    "characters": {"analyzer": "char_wb", "ngram_range": (1, 4)},
}
BAG = "bag of words"
ENGLISH = f"English model={REPOSITORY / 'models/movie-sentiment'}"


def main() -> None:
    """Measure the cautions and every model, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--imdb", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--sst5", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument(
        "--data", action="append", default=[], metavar="CODE=PREFIX", help="files of a language"
    )
    parser.add_argument(
        "--run", action="append", default=[ENGLISH], metavar="NAME=FOLDER", help="a run to compare"
    )
    add_out(parser, RESULTS)
    options = parser.parse_args()
    prefixes = dict(text.split("=", 1) for text in options.data)
    runs = {name: Path(folder) for name, folder in (text.split("=", 1) for text in options.run)}
    imdb = pandas.read_parquet(options.imdb / "test.parquet")["text"]
    english = {
        "IMDb": imdb.sample(min(ENGLISH_REVIEWS, len(imdb)), random_state=0).tolist(),
        "SST-5": pandas.read_parquet(options.sst5 / "test.parquet")["text"].tolist(),
    }
    tests = {
        code: pandas.read_parquet(f"{prefix}test.parquet")["text"].tolist()
        for code, prefix in prefixes.items()
    }
    results = {
        "cautions": cautions(english, tests),
        "accuracy": {code: accuracies(prefix, runs) for code, prefix in prefixes.items()},
        "runs": {name: size(folder) for name, folder in runs.items()},
    }
    for name, folder in results["runs"].items():
        texts = sum(row["n"] for row in results["accuracy"].values())
        seconds = sum(row[name].pop("seconds") for row in results["accuracy"].values())
        folder["texts_per_second"] = texts / seconds
    save(options.out / "languages.json", results)
    print(table(results))


def cautions(
    english: dict[str, list[str]], others: dict[str, list[str]]
) -> dict[str, dict[str, dict[str, float]]]:
    """How many texts get a caution.

    Args:
        english: English texts by source.
        others: Texts in other languages, by language code.

    Returns:
        `english` (for a model that was trained on English) and `all` (for one trained on all of
        these languages) → source or code → `n` and `share`.
    """
    texts = {**english, **others}
    checks = {
        "english": LanguageCheck(["en"], ["Latin"]),
        "all": LanguageCheck(["en", *others], scripts(t for rows in texts.values() for t in rows)),
    }
    return {
        name: {source: _share(check, rows) for source, rows in texts.items()}
        for name, check in checks.items()
    }


def _share(check: LanguageCheck, texts: Sequence[str]) -> dict[str, float]:
    count = sum(check.caution(text) is not None for text in texts)
    return {"n": len(texts), "share": count / len(texts)}


def size(run: Path) -> dict[str, float]:
    """`parameters`, `vocabulary` (tokens) and `megabytes` of the weights of a run."""
    from safetensors import safe_open

    file = run / "model.safetensors"
    with safe_open(file, "np") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]
    return {
        "parameters": sum(math.prod(shape) for shape in shapes),
        "vocabulary": json.loads((run / "config.json").read_text(encoding="utf-8"))["vocab_size"],
        "megabytes": file.stat().st_size / 1e6,
    }


def accuracies(prefix: str, runs: dict[str, Path]) -> dict[str, Any]:
    """Accuracy on the test rows of one language.

    Args:
        prefix: The beginning of the paths of its files.
        runs: Run folders by name.

    Returns:
        `n`; "bag of words" and the name of each run → `accuracy` and `accuracy_ci95`, of a run also
        `seconds`; `bag`, the kind of the bag of words.
    """
    from train.pipeline import training_run
    from train.sections import Dataset

    train, test = (pandas.read_parquet(f"{prefix}{split}.parquet") for split in ("train", "test"))
    kind, right = bag_of_words(train, test)
    accuracy, *interval, n = proportion(right, len(test))
    measured: dict[str, Any] = {"n": n, "bag": kind}
    measured[BAG] = {"accuracy": accuracy, "accuracy_ci95": interval}
    for name, run in runs.items():
        dataset = Dataset(source=f"{prefix}test.parquet", on_empty="skip")
        start = time.perf_counter()
        result = training_run.evaluate_elsewhere(str(run), None, dataset, "train", None)
        metrics = result["metrics"]["train"]
        measured[name] = {key: metrics[key] for key in ("accuracy", "accuracy_ci95")}
        measured[name]["seconds"] = time.perf_counter() - start
    return measured


def bag_of_words(train: pandas.DataFrame, test: pandas.DataFrame) -> tuple[str, int]:
    """The better kind of `BAGS` by cross-validation on `train`, and how many of `test` it gets."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    models = {
        kind: make_pipeline(
            TfidfVectorizer(min_df=2, sublinear_tf=True, **settings),
            LogisticRegression(C=10, max_iter=1000),
        )
        for kind, settings in BAGS.items()
    }
    scores = {
        kind: cross_val_score(model, train["text"], train["label"], cv=3).mean()
        for kind, model in models.items()
    }
    best = max(scores, key=scores.__getitem__)
    model = models[best].fit(train["text"], train["label"])
    return best, int((model.predict(test["text"]) == test["label"]).sum())


def table(results: dict[str, Any]) -> str:
    """Accuracy and cautions by language, then the size and speed of each run, in Markdown."""
    cautions = results["cautions"]
    names = [BAG, *results["runs"]]
    lines = [
        f"| test texts | number | {' | '.join(names)} "
        "| cautions, trained on English | cautions, trained on all |",
        f"|---|---|{'---|' * len(names)}---|---|",
    ]
    for source, english in cautions["english"].items():
        row = results["accuracy"].get(source, {})
        cells = [f"{100 * row[n]['accuracy']:.1f}%" if n in row else "" for n in names]
        cells += [f"{100 * shares['share']:.2f}%" for shares in (english, cautions["all"][source])]
        lines.append(f"| {source} | {english['n']:,} | {' | '.join(cells)} |")
    lines += [
        "",
        "| model | parameters | tokens known | weights | texts/s |",
        "|---|---|---|---|---|",
    ]
    for name, run in results["runs"].items():
        lines.append(
            f"| {name} | {run['parameters'] / 1e6:.0f} M | {run['vocabulary']:,} "
            f"| {run['megabytes']:.0f} MB | {run['texts_per_second']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
