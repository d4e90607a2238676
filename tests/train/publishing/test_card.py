"""The model card: every figure from results.json, valid Markdown, valid metadata."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, STARS
from huggingface_hub import ModelCard, metadata_eval_result

from train import recipe as recipes
from train.errors import RunError
from train.publishing import card
from train.publishing.card import render

REVISION = "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
REPO = "user/movie-sentiment"


def metrics_of(n: int = 1000, labels: int = 2, **changes: Any) -> dict[str, Any]:
    figures = {
        "n": n,
        "accuracy": 0.9125,
        "accuracy_ci95": [0.8934, 0.9285],
        "f1": 0.913131,
        "f1_macro": 0.9124,
        "precision": 0.907654,
        "recall": 0.918273,
        "roc_auc": 0.971234,
        "nll": 0.2213,
        "ece": 0.0123,
        "confusion": [[n // labels] * labels] * labels,
    }
    return {**figures, **changes}


def results_of(recipe_changes: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A results.json as `fit` and `evaluate` leave it."""
    values: dict[str, Any] = {
        "name": "imdb",
        "base_model": "distilbert/distilbert-base-uncased",
        "datasets": [{"source": "stanfordnlp/imdb", "revision": REVISION}],
        **(recipe_changes or {}),
    }
    recipe = recipes.parse(values)
    split = {"rows": 20_000, "sha256": "ab" * 32, "dropped": {}}
    results = {
        "recipe": recipe.model_dump(),
        "environment": {
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "device": "cpu: x86_64",
            "cores": 2,
            "git_sha": "0123456789abcdef0123456789abcdef01234567",
            "dirty": False,
        },
        "data": {
            "repo": [dataset.source for dataset in recipe.datasets],
            "local": [dataset.is_local for dataset in recipe.datasets],
            "revision": [dataset.revision for dataset in recipe.datasets],
            "splits": {
                "train": {**split, "dropped": {"empty": 3, "also in test": 1200}},
                "validation": {**split, "rows": 2500},
                "test": {**split, "rows": 1000},
            },
        },
        "training": {
            "history": {"train": [], "validation": []},
            "updates": 4321,
            "seconds": 754.4,
            "tokens_per_second": 9876.5,
            "precision": "bf16",
            "peak_memory_mb": 2345.6,
            "parameters": 66_955_010,
            "base_is_local": recipe.base_is_local,
            "base_revision": "12040accade4e8a0f71eabdb258fecc2e7e948be",
            "temperature": 1.234,
            "unsure_below": 0.71,
        },
        "metrics": {"validation": metrics_of(2500), "test": metrics_of()},
        "slices": {
            "length_tokens": {
                "1-64": {"n": 400, "accuracy": 0.95},
                "65-128": {"n": 600, "accuracy": 0.8875},
            },
            "rating": {"1": {"n": 300, "accuracy": 0.97}, "4": {"n": 100, "accuracy": 0.81}},
        },
        "error_analysis": {
            "unsure": {
                "below": 0.71,
                "share": 0.0625,
                "accuracy_inside": 0.58,
                "accuracy_outside": 0.9371,
            },
            "confident_errors": [
                {"row": 512, "label": 0, "predicted": 1, "confidence": 0.9987},
                {"row": 7, "label": 1, "predicted": 0, "confidence": 0.9981},
            ],
            "suspected_label_errors": {"of": 2, "rows": [7], "confidence": 0.9},
            "behavior": {
                "sentences": {
                    "plain": {"n": 26, "accuracy": 0.9615},
                    "negation": {"n": 27, "accuracy": 0.7407},
                    "all": {"n": 53, "accuracy": 0.8491},
                },
                "pairs": {"flip_word": {"n": 18, "accuracy": 0.5}},
            },
        },
        "export": {},
    }
    return {**results, **changes}


CHECKED = {"batches": [2, 8], "padded_to": 4096, "max_shift": 1e-7}
EXPORT = {
    "fp32": {"bytes": 97e6, "max_difference": 1e-6, "in_batches": CHECKED},
    "int8": {
        "published": True,
        "bytes": 25e6,
        "agreement": 0.995,
        "accuracy_drop_points": 0.1,
        "in_batches": CHECKED,
    },
}
STAR_METRICS = {
    "within_one": 0.9432,
    "mae": 0.4321,
    "quadratic_weighted_kappa": 0.8765,
    "spearman": 0.8234,
    "verdict_accuracy": 0.9345,
    "calibration": [{"mean": 0.2, "share": 0.21, "ece": 0.012}] * 5,
}


def star_results() -> dict[str, Any]:
    """Results of a model of stars, tested on two datasets, one of them without 3 stars."""
    recipe = {
        "labels": STARS,
        "ordered": True,
        "datasets": [{"source": "./runs/imdb-ratings"}, {"source": "user/sentences"}],
    }
    measured = metrics_of(labels=5, **STAR_METRICS)
    results = results_of(recipe, metrics={"validation": measured, "test": measured})
    only_top = measured | {"quadratic_weighted_kappa": None, "spearman": None}
    results["datasets"] = {"0": measured, "1": only_top}
    results["error_analysis"]["confident_errors"][0] |= {"label": 0, "predicted": 4}
    return results


VARIANTS: dict[str, dict[str, Any]] = {
    "stars": star_results(),
    "imdb": results_of(),
    "local-file": results_of(
        {
            "datasets": [{"source": "/home/maria/secret/reviews.csv", "group": "title"}],
            "base_model": "/home/maria/models/bert",
        }
    ),
    "three-labels": results_of({"labels": ["BAD", "SO-SO", "GOOD"]}),
    "text-pairs": results_of(
        {"datasets": [{"source": "user/aspects", "text_pair": "aspect"}], "language": "de"}
    ),
    "several-datasets": results_of(
        {"datasets": [{"source": "user/one", "revision": "v1"}, {"source": "two.csv"}]}
    ),
    "languages": results_of(
        {"datasets": [{"source": "user/one"}, {"source": "two.csv", "language": "fr"}]},
        slices={
            "length_tokens": {"1-64": {"n": 1000, "accuracy": 0.9125}},
            "language": {
                "en": {"n": 600, "accuracy": 0.9375},
                "fr": {"n": 400, "accuracy": 0.8750},
            },
        },
    ),
    "many-labels": results_of({"labels": [f"LABEL {i}" for i in range(60)]}),
    "one-class-test": results_of(
        metrics={"validation": metrics_of(), "test": metrics_of(roc_auc=None)}
    ),
    "one-band": results_of(slices={"length_tokens": {"1-64": {"n": 1000, "accuracy": 0.9125}}}),
    "no-checkout": results_of(
        environment={
            "versions": {"python": "3.11.7"},
            "device": "cpu",
            "git_sha": None,
            "dirty": None,
        }
    ),
}
each_variant = pytest.mark.parametrize("results", VARIANTS.values(), ids=VARIANTS)


def tables_of(text: str) -> list[tuple[str, list[str]]]:
    """Each table with the line before it; fenced code is no table."""
    tables: list[tuple[str, list[str]]] = []
    before, fenced = "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("|") and not fenced:
            if not before.startswith("|"):
                tables.append((before, []))
            tables[-1][1].append(line)
        before = line
    return tables


def body_of(text: str) -> str:
    return text.partition("\n---\n")[2]


def cells(row: str) -> list[str]:
    return re.split(r"(?<!\\)\|", row.strip())[1:-1]


@each_variant
def test_card_is_deterministic(results: dict[str, Any]) -> None:
    before = copy.deepcopy(results)
    assert render(results, REPO) == render(copy.deepcopy(results), REPO)
    assert results == before


def test_card_does_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both could be Hub ids as well; here and now there is no such folder.
    results = results_of({"base_model": "models/mine", "datasets": [{"source": "data/mine"}]})
    results["data"]["local"], results["training"]["base_is_local"] = [True], True
    monkeypatch.chdir(tmp_path)
    elsewhere = render(results, REPO)
    assert "models/mine" not in elsewhere
    assert "data/mine" not in elsewhere
    for name in ["models/mine", "data/mine"]:
        (tmp_path / name).mkdir(parents=True)
    assert render(results, REPO) == elsewhere


@each_variant
def test_tables_are_well_formed(results: dict[str, Any]) -> None:
    tables = tables_of(render(results, REPO))
    more = 2 * results["recipe"]["ordered"]  # by dataset, and the calibration of each label
    assert len(tables) == 6 + more + len(results["slices"])
    for before, rows in tables:
        assert before == ""
        assert len(rows) >= 3
        assert re.fullmatch(r"\|(---\|)+", rows[1])
        assert len({len(cells(row)) for row in rows}) == 1
        assert all(cell.strip() for row in rows[2:] for cell in cells(row))


def test_bar_in_a_label_does_not_split_its_cell() -> None:
    labels = next(
        rows
        for _, rows in tables_of(render(results_of({"labels": ["BAD|POOR", "GOOD"]}), REPO))
        if rows[0] == "| id | label |"
    )
    assert [len(cells(row)) for row in labels] == [2, 2, 2, 2]


@each_variant
def test_lists_and_headings_have_blank_lines_around_them(results: dict[str, Any]) -> None:
    lines = body_of(render(results, REPO)).splitlines()
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        if line.startswith("#"):
            assert (before, after) == ("", "")
        if line.startswith("- "):
            assert before == "" or before.startswith("- ")


@each_variant
def test_card_has_no_placeholders(results: dict[str, Any]) -> None:
    text = render(results, REPO)
    # In a recipe, None is a choice.
    body = re.sub(r"^\| \w+ \| None \|$", "", body_of(text), flags=re.MULTILINE)
    for sign in ["More information needed", "[More", "None", "{{", "}}", "{%", "nan", "TODO"]:
        assert sign not in body
    assert "\n\n\n" not in text
    assert text.endswith("\n")


@each_variant
def test_metadata_parses_with_model_card(results: dict[str, Any]) -> None:
    metadata = ModelCard(render(results, REPO)).data
    assert metadata.pipeline_tag == "text-classification"
    assert metadata.library_name == "transformers"
    assert metadata.license == "apache-2.0"
    languages = {d.get("language") for d in results["recipe"]["datasets"]} - {None}
    own = results["recipe"]["language"]
    assert metadata.language == ([own, *languages] if languages else own)
    of_scales = ["mae", "spearmanr"] * results["recipe"]["ordered"]
    assert metadata.metrics == ["accuracy", "f1", "roc_auc", *of_scales]
    assert metadata.model_name == "movie-sentiment"
    assert metadata.eval_results


@each_variant
def test_model_index_equals_the_results(results: dict[str, Any]) -> None:
    test = (results.get("datasets") or {"0": results["metrics"]["test"]})["0"]
    eval_results = ModelCard(render(results, REPO)).data.eval_results
    first = eval_results[0].dataset_type
    measured = {r.metric_type: r.metric_value for r in eval_results if r.dataset_type == first}
    wanted = ["accuracy", "f1", "precision", "recall", "roc_auc"]
    if results["recipe"]["ordered"]:
        wanted += ["within_one", "mae", "quadratic_weighted_kappa"]
        assert measured.pop("spearmanr") == test["spearman"]
    assert measured == {key: pytest.approx(test[key], abs=1e-6) for key in wanted if test[key]}


def test_card_has_the_note_about_the_base() -> None:
    note = "The base's weights were rounded to 4 bits."
    assert f"as NEGATIVE, POSITIVE. {note}\n" in render(results_of({"base_note": note}), REPO)
    assert "as NEGATIVE, POSITIVE.\n" in render(results_of(), REPO)


def test_card_of_stars_has_the_metrics_of_their_distance() -> None:
    text = render(star_results(), REPO)
    for line in [
        "as 1 star, 2 stars, 3 stars, 4 stars, 5 stars.",
        "94.32% of the predictions are within one step of the label, and the expected stars differ "
        "from the rating by 0.43 on average.",
        "For the expected stars, weight the number of each label by its probability:",
        "| within one step of the label | 94.32% | 94.32% |",
        "| MAE of the expected value | 0.4321 | 0.4321 |",
        "| imdb-ratings | 1,000 | 91.25% | 0.9131 | 0.0123 | 94.32% | 0.4321 | 0.8765 | 0.8234 | "
        "93.45% |",
        "| user/sentences | 1,000 | 91.25% | 0.9131 | 0.0123 | 94.32% | 0.4321 | – | – | 93.45% |",
        "| 5 stars | 20.00% | 21.00% | 0.0120 |",
        "are those with the rating, which can be between two labels",
        "above or below 3; reviews labeled in the middle are left out",
        "of which 58.00% are within one step of the label; on the others it is 93.71%.",
        "More than one step off. Rows of the test split",
        "Expected stars above 3 count as positive, others as negative.",
        "@inproceedings{maas-etal-2011-learning",
    ]:
        assert line in text, line
    assert "within one" not in render(results_of(), REPO)


def test_model_index_names_task_dataset_revision_and_split() -> None:
    for result in ModelCard(render(results_of(), REPO)).data.eval_results:
        assert result.task_type == "text-classification"
        assert result.dataset_type == "stanfordnlp/imdb"
        assert result.dataset_revision == REVISION
        assert result.dataset_split == "test"


def test_mixture_has_metrics_per_dataset() -> None:
    results = results_of()
    assert "| test reviews of |" not in render(results, REPO)
    results["recipe"]["datasets"].append({"source": "user/sentences"})
    for key, value in {"repo": "user/sentences", "local": False, "revision": "b" * 40}.items():
        results["data"][key].append(value)
    test = results["metrics"]["test"]
    results["datasets"] = {"0": test | {"accuracy": 0.95}, "1": test | {"n": 100, "accuracy": 0.8}}
    text = render(results, REPO)
    assert "(labeled" not in text
    assert "IMDb reviews, " not in text
    assert "\n\n| test reviews of | reviews | accuracy | F1 | ECE |\n" in text
    assert "| stanfordnlp/imdb | 1,000 | 95.00% | 0.9131 | 0.0123 |\n" in text
    assert "| user/sentences | 100 | 80.00% | 0.9131 | 0.0123 |\n\nThe test split was" in text
    eval_results = ModelCard(text).data.eval_results
    accuracies = {
        (result.dataset_type, result.dataset_revision): result.metric_value
        for result in eval_results
        if result.metric_type == "accuracy"
    }
    assert accuracies == {("stanfordnlp/imdb", REVISION): 0.95, ("user/sentences", "b" * 40): 0.8}


def test_validation_figures_are_not_called_test_figures() -> None:
    dataset = {"source": "user/sst2", "revision": REVISION, "splits": ["train", "validation"]}
    results = results_of({"datasets": [dataset]}, metrics={"validation": metrics_of(872)})
    del results["data"]["splits"]["test"]
    results["data"]["splits"]["train"]["dropped"] = {}
    text = render(results, REPO)
    assert "On 872 validation reviews it reaches **91.25% accuracy**" in text
    assert "There is no test split: the model was selected and calibrated on these reviews" in text
    assert (
        "There are no test figures: all figures of this card are measured on the validation" in text
    )
    assert "| | validation |\n|---|---|\n| reviews | 872 |\n" in text
    assert "![Confusion matrix on validation]" in text
    rest = re.sub(
        r"no test (split|figures)|Behavioral tests|^\| .* \| tests \|.*$", "", text, flags=re.M
    )
    assert not re.search(r"\btest", rest)
    assert "| ECE | 0.0123† |" in text
    assert "held-out" not in text
    [*eval_results] = ModelCard(text).data.eval_results
    assert {result.dataset_split for result in eval_results} == {"validation"}
    assert {r.metric_type: r.metric_value for r in eval_results}["accuracy"] == 0.9125


@pytest.mark.parametrize(
    ("test", "sentence", "split"),
    [
        ("validation", " For user/sst2 it is the split `validation`.", "validation"),
        ("train", "", "test"),  # split off
        ("test", "", "test"),
        (None, "", "test"),
    ],
)
def test_test_split_with_another_name_is_named(test: str | None, sentence: str, split: str) -> None:
    dataset = {"source": "user/sst2", "revision": REVISION, "test": test}
    text = render(results_of({"datasets": [dataset]}), REPO)
    assert f"made on validation.{sentence} F1" in text
    splits = {result.dataset_split for result in ModelCard(text).data.eval_results}
    assert splits == {split}


def test_model_index_is_what_huggingface_hub_would_write() -> None:
    text = render(results_of(), REPO)
    written = ModelCard(text).data.to_dict()["model-index"]
    by_hand = metadata_eval_result(
        model_pretty_name="movie-sentiment",
        task_pretty_name="Sentiment analysis",
        task_id="text-classification",
        metrics_pretty_name="accuracy",
        metrics_id="accuracy",
        metrics_value=0.9125,
        dataset_pretty_name="stanfordnlp/imdb",
        dataset_id="stanfordnlp/imdb",
        dataset_split="test",
        dataset_revision=REVISION,
    )["model-index"]
    first = written[0]["results"][0]
    first["metrics"] = first["metrics"][:1]
    assert first["task"] == by_hand[0]["results"][0]["task"]
    assert first["dataset"] == by_hand[0]["results"][0]["dataset"]
    [accuracy] = by_hand[0]["results"][0]["metrics"]
    assert first["metrics"] == [{key: accuracy[key] for key in ("type", "value", "name")}]


def test_metadata_links_base_model_and_datasets() -> None:
    metadata = ModelCard(render(results_of(), REPO)).data
    assert metadata.base_model == "distilbert/distilbert-base-uncased"
    assert metadata.datasets == ["stanfordnlp/imdb"]


@pytest.mark.parametrize(
    "shown",
    [
        "**91.25% accuracy** (95% interval 89.34% to 92.85%) and F1 0.9131",
        "| reviews | 2,500 | 1,000 |",
        "| accuracy | 91.25% | 91.25% |",
        "| 95% interval | 89.34% to 92.85% | 89.34% to 92.85% |",
        "| ROC AUC | 0.9712 | 0.9712 |",
        "| NLL (nats) | 0.2213† | 0.2213 |",
        "| ECE | 0.0123† | 0.0123 |",
        "† In-sample: the temperature was fitted on the validation reviews.",
        "| 65-128 | 600 | 88.75% |",
        "| 1 | `POSITIVE` |",
        "| train | 20,000 | 3 empty; 1,200 also in test |",
        "revision `12040accade4e8a0f71eabdb258fecc2e7e948be`",
        "4,321 updates in 12 min 34 s on cpu: x86_64, bf16, 9,876 tokens/s",
        "67.0 million parameters",
        "temperature 1.234",
        "- torch 2.13.0",
        "- training code at `0123456789ab`\n",
        'pipeline("sentiment-analysis", model="user/movie-sentiment")',
        "hf download user/movie-sentiment",
        "@inproceedings{maas-etal-2011-learning",
    ],
)
def test_card_shows_the_figures_of_the_results(shown: str) -> None:
    assert shown in render(results_of(), REPO)


def test_card_has_no_local_path() -> None:
    text = render(VARIANTS["local-file"], REPO)
    assert "maria" not in text
    assert "secret" not in text
    assert "reviews.csv" in text
    metadata = ModelCard(text).data
    assert metadata.base_model is None
    assert metadata.datasets is None


def test_card_shows_the_examples_of_the_results() -> None:
    examples = [{"text": 'He said "wow".', "label": "POSITIVE", "score": 0.98765}]
    code = render({**VARIANTS["imdb"], "examples": examples}, REPO)
    assert (
        "print(classify(\"He said \\\"wow\\\".\"))\n# [{'label': 'POSITIVE', 'score': 0.988}]"
        in code
    )
    pair = [{"text": "A film.", "text_pair": "plot", "label": "BAD", "score": 0.9}]
    code = render({**VARIANTS["text-pairs"], "examples": pair}, REPO)
    assert '{"text": "A film.", "text_pair": "plot"}))\n# {\'label\': \'BAD\'' in code


@pytest.mark.parametrize("examples", [{}, {"examples": []}], ids=["before", "none right"])
def test_card_without_examples_shows_a_generic_call(examples: dict[str, Any]) -> None:
    assert "print(classify(review))" in render({**VARIANTS["imdb"], **examples}, REPO)


def test_text_pair_models_are_called_with_pairs() -> None:
    text = render({**VARIANTS["text-pairs"], "export": EXPORT}, REPO)
    assert '"text_pair": part' in text
    script = text.partition("```js\n")[2].partition("```")[0]
    assert "text_pair: part, return_token_type_ids: true" in script and "pipeline(" not in script
    assert ModelCard(text).data.eval_results[0].task_name == "Aspect sentiment"
    assert "text_pair" not in render(VARIANTS["imdb"], REPO)


def test_license_and_sources_are_named_once() -> None:
    datasets = [
        {"source": "stanfordnlp/imdb", "revision": REVISION},
        {"source": "stanfordnlp/imdb", "revision": REVISION, "train": "unsupervised"},
        {"source": "./runs/patterns", "splits": ["train"]},
    ]
    section = render(results_of({"license": "mit", "datasets": datasets}), REPO)
    section = section.partition("## License")[2].partition("## ")[0]
    assert "under `mit`" in section
    assert (
        section.count("[stanfordnlp/imdb](https://huggingface.co/datasets/stanfordnlp/imdb)") == 1
    )
    assert "`patterns`" in section
    base = "distilbert/distilbert-base-uncased"
    assert f"[{base}](https://huggingface.co/{base})" in section


def test_storage_and_teacher_are_named_if_there_are_any() -> None:
    plain = render(results_of(), REPO)
    assert "stored as" not in plain and "teacher" not in plain
    release = {"storage": "fp32", "rows": 1000, "changed": {"fp16": 0.0001}, "sha256": "ab" * 32}
    distilled = {"distillation": {"probabilities": "runs/p.parquet", "weight": 0.9}}
    text = render(results_of(distilled, release=release), REPO)
    assert "stored as fp16; this changed 0.01% of the test predictions" in text
    assert "90.00% of the training loss compares the probabilities with those of a teacher" in text


def test_citation_only_if_trained_on_imdb() -> None:
    assert "## Citation" in render(VARIANTS["imdb"], REPO)
    assert "## Citation" not in render(VARIANTS["text-pairs"], REPO)


def test_local_changes_are_stated() -> None:
    results = results_of()
    results["environment"]["dirty"] = True
    assert "- training code at `0123456789ab` with local changes" in render(results, REPO)


@pytest.mark.parametrize(
    "path",
    [
        ["metrics", "test"],
        ["metrics", "test", "accuracy"],
        ["slices", "length_tokens"],
        ["training", "temperature"],
        ["training", "seconds"],
        ["data", "splits", "train"],
        ["environment", "versions"],
    ],
    ids=".".join,
)
def test_missing_value_is_an_error(path: list[str]) -> None:
    results = copy.deepcopy(results_of())
    inside = results
    for key in path[:-1]:
        inside = inside[key]
    del inside[path[-1]]
    with pytest.raises(RunError, match="can't render the card from results.json"):
        render(results, REPO)


def test_card_shows_the_error_analysis() -> None:
    text = render(results_of(), REPO)
    for line in [
        "| rating | reviews | accuracy |",
        "| 4 | 100 | 81.00% |",
        "Treat a prediction with a probability below 71.00% as unsure",
        "These are 6.25% of the test reviews, with an accuracy of 58.00%; on the others it is",
        "on the others it is 93.71%.",
        "| plain | 26 | 96.15% |",
        "| all | 53 | 84.91% |",
        "| flip_word | 18 | 50.00% |",
        "512 (POSITIVE, 99.87%), 7 (NEGATIVE, 99.81%).",
        " 1 of these 2 are probably label errors: the first, middle and last third",
    ]:
        assert line in text, line


def test_card_names_previous_runs_and_their_base_model() -> None:
    results = results_of()
    results["recipe"]["base_model"] = "./runs/first"
    results["training"] |= {
        "base_is_local": True,
        "base_revision": None,
        "origin": {
            "base_model": "user/encoder",
            "base_revision": "abc",
            "base_is_local": False,
            "runs": ["first", "second"],
            "datasets": ["user/reviews"],
        },
    }
    text = render(results, REPO)
    link = "[user/encoder](https://huggingface.co/user/encoder)"
    assert f"{link}, first fine-tuned as `first`, then as `second`, fine-tuned on" in text
    assert f"| base model | {link}, revision `abc`, after `first`, `second` |" in text
    metadata = ModelCard(text).data
    assert metadata.base_model == "user/encoder"
    assert metadata.datasets == ["stanfordnlp/imdb", "user/reviews"]


def test_only_one_threshold_is_called_unsure() -> None:
    text = render(results_of(), REPO)
    assert text.count("unsure") == 3  # heading, sentence, `unsure_below`
    assert "undecided" not in text


@pytest.mark.parametrize("results", VARIANTS.values(), ids=VARIANTS)
def test_repository_is_linked_only_if_the_results_name_it(results: dict[str, Any]) -> None:
    assert "github.com" not in render(results, REPO)
    url = "https://github.com/user/movie-sentiment"
    named = {**results, "environment": {**results["environment"], "repository": url}}
    assert f"[behavior suite]({url}/tree/HEAD/train/evaluation/behavior)" in render(named, REPO)
    if results["environment"]["git_sha"]:
        assert f"- training code of {url} at `0123456789ab`" in render(named, REPO)


@pytest.mark.parametrize("path", ["model_card.md", "train/colab.ipynb", "space"])
def test_published_files_name_no_placeholder_owner(path: str) -> None:
    root = REPOSITORY / path
    files = [root] if root.is_file() else [*root.rglob("*.py"), *root.rglob("*.md")]
    assert files
    assert not [file for file in files if "OWNER" in file.read_text(encoding="utf-8")]


def test_missing_or_empty_error_analysis_leaves_no_empty_section() -> None:
    plain = results_of()
    del plain["error_analysis"]
    assert "unsure" not in render(plain, REPO)
    nothing = results_of()
    nothing["error_analysis"] = {
        "unsure": {"below": 0.5, "share": 0.0, "accuracy_inside": None, "accuracy_outside": 0.9},
        "confident_errors": [],
        "suspected_label_errors": {},
        "behavior": {},
    }
    text = render(nothing, REPO)
    assert "No prediction on the test reviews is below the probability" in text
    assert "confident errors" not in text
    assert "Behavioral tests" not in text


def test_unknown_template_variable_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "card.md"
    template.write_text("# {{ title }} {{ licence_note }}\n", encoding="utf-8")
    with pytest.raises(RunError, match="licence_note"):
        render(results_of(), REPO, template)


def test_metric_that_a_run_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that were evaluated before a metric was added can still be published."""
    before = render(results_of(), REPO)
    monkeypatch.setitem(card.METRIC_NAMES, "mcc", "MCC")
    assert render(results_of(), REPO) == before
    both = {"validation": metrics_of(mcc=0.8), "test": metrics_of(mcc=0.81)}
    assert "| MCC | 0.8000 | 0.8100 |" in render(results_of(metrics=both), REPO)


def test_limits_name_the_kinds_that_the_model_fails() -> None:
    named = "On the sentences of the behavior suite it errs most on negation (74.07% passed). It"
    assert named in render(results_of(), REPO)
    plain = results_of()
    del plain["error_analysis"]
    assert "- It may react" in render(plain, REPO)
    kinds = {f"kind_{i}": {"n": 10, "accuracy": i / 10} for i in range(8)}
    plain["error_analysis"] = {
        **results_of()["error_analysis"],
        "behavior": {"sentences": {**kinds, "all": {"n": 80, "accuracy": 0.35}}},
    }
    lowest = "kind 0 (0.00% passed), kind 1 (10.00% passed), kind 2 (20.00% passed). It may"
    assert lowest in render(plain, REPO)


def test_duration_has_two_units() -> None:
    results = results_of()
    results["training"]["seconds"] = 4700
    assert "updates in 1 h 18 min on" in render(results, REPO)


def test_card_names_the_languages_and_the_accuracy_of_each() -> None:
    card = render(VARIANTS["languages"], REPO)
    assert "in the languages `en`, `fr`, from one sentence" in card
    assert "| language | reviews | accuracy |" in card
    assert "| fr | 400 | 87.50% |" in card
    assert "in the language `en`, from one sentence" in render(VARIANTS["imdb"], REPO)


@pytest.mark.parametrize(("head", "shown"), [(None, "5e-05"), (1e-3, "0.001")])
def test_learning_rate_of_the_head_is_the_effective_one(head: float | None, shown: str) -> None:
    card = render(results_of({"learning_rate": 5e-5, "head_learning_rate": head}), REPO)
    assert f"| learning_rate | 5e-05 |\n| head_learning_rate | {shown} |\n" in card
    assert "| early_stopping_patience | off |" in card
