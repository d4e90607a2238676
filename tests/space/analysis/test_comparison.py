"""Two models on the same texts."""

import math
import random
from pathlib import Path
from typing import Any

import gradio
import pandas
import pytest

from space.analysis import comparison
from space.analysis.comparison import (
    Comparison,
    ModelAnswers,
    Step,
    compare,
    compare_answers,
    conclusions,
    mcnemar,
    possible_meanings,
    rename_labels,
)
from space.inference.classifier import Classifier, InvalidText, ModelUnavailable, Prediction
from space.inference.model_cache import ModelCache, ModelName
from space.tabs.compare import Compared, offer_meanings, parse_model, show_with_meanings

OWN = "demo/tiny"


def answers_of(
    model: str, *results: float | str, labels: tuple[str, str] = ("NEG", "POS")
) -> ModelAnswers:
    """Answers by the probability of the last label, or the reason why there is none."""
    answers = [
        InvalidText(p) if isinstance(p, str) else Prediction({labels[0]: 1 - p, labels[1]: p}, 3, 3)
        for p in results
    ]
    return ModelAnswers(model, list(labels), answers, 100.0)


def compared(
    first: ModelAnswers, second: ModelAnswers, labels: list[Any] | None = None
) -> Comparison:
    texts = [f"text {i}" for i in range(len(first.answers))]
    return compare_answers(first, second, texts, None if labels is None else pandas.Series(labels))


@pytest.fixture(scope="module")
def own(tiny_classifier: Path) -> Classifier:
    return Classifier.from_folder(tiny_classifier)


@pytest.mark.parametrize("seed", range(20))
def test_mcnemar_equals_the_binomial_test(seed: int):
    from scipy.stats import binomtest

    rng = random.Random(seed)
    first, second = rng.randrange(50), rng.randrange(50)
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_of_extreme_counts():
    assert mcnemar(0, 0) == mcnemar(7, 7) == mcnemar(1000, 1000) == 1
    assert mcnemar(5, 0) == 2 / 2**5
    assert 0 < mcnemar(1000, 500) < 1e-30
    assert mcnemar(2000, 0) >= 0


def test_agreement_accuracy_and_differing_rows():
    result = compared(
        answers_of("a", 0.9, 0.8, 0.3, 0.6, 0.99),
        answers_of("b", 0.7, 0.1, 0.2, 0.3, 0.02),
        ["pos", "neg", "NEG", 1, "?"],
    )
    assert result.agreement is not None
    assert result.agreement.value == pytest.approx(2 / 5)
    assert 0.11 < result.agreement.low < 0.12
    assert result.differing.to_dict("list") == {
        "A": ["Pos (99%)", "Pos (80%)", "Pos (60%)"],
        "B": ["Neg (98%)", "Neg (90%)", "Neg (70%)"],
        "label": ["?", "neg", "1"],
        "review": ["text 4", "text 1", "text 3"],
        "row": ["5", "2", "4"],
    }
    assert result.outcome is not None
    assert result.outcome.only == (1, 1)
    assert result.outcome.first.accuracy.value == 3 / 4
    assert result.outcome.second.accuracy.value == 3 / 4
    assert result.outcome.first.n == result.outcome.second.n == 4
    assert conclusions(result) == [
        "They agree on 2 of 5 reviews: 40.0% (95% interval 11.8% to 76.9%).",
        "Only A is right on 1 of 4 reviews, only B on 1. If both were equally good, chance alone "
        "would make a difference this large in 100.0% of comparisons (McNemar's exact test): these "
        "reviews do not show which is better.",
        "1 review was left out of the accuracy: a model does not have its label, such as '?'.",
    ]


def test_uncertain_answers_read_as_on_the_rest_of_the_page():
    unsure = Prediction({"NEG": 0.4, "POS": 0.6}, 3, 3, unsure=True)
    neutral = Prediction({"NEG": 0.55, "POS": 0.45}, 3, 3, unsure=True, neutral=True)
    near = Prediction({"NEG": 0.0951, "POS": 0.9049}, 3, 3, unsure=True)
    first = ModelAnswers("a", ["NEG", "POS"], [unsure, near], 100.0, unsure_below=0.905)
    second = ModelAnswers("b", ["NEG", "POS"], [neutral, neutral], 100.0, unsure_below=0.6)
    shown = compared(first, second).differing
    assert shown["A"].tolist() == [
        "Uncertain, leaning pos (60%)", "Uncertain, leaning pos (90%)"
    ]  # fmt: skip
    assert shown["B"].tolist() == ["Uncertain, no leaning (55% neg)"] * 2


def test_says_which_model_is_better_if_significant():
    result = compared(answers_of("a", *[0.9] * 10), answers_of("b", *[0.1] * 9, 0.9), ["pos"] * 10)
    assert result.outcome is not None
    assert result.outcome.p_value == 2 / 2**9
    assert conclusions(result)[1].endswith("in 0.4% of comparisons (McNemar's exact test): A is "
                                      "better on reviews like these.")  # fmt: skip


def test_texts_without_both_predictions_are_left_out_with_the_reason():
    reason = "This review has no words."
    result = compared(
        answers_of("a", 0.9, reason, 0.8), answers_of("b", 0.9, reason, reason), ["pos"] * 3
    )
    assert result.skipped == {reason: 2}
    assert result.agreement is not None and result.agreement.n == 1
    assert result.outcome is not None and result.outcome.first.n == 1
    assert conclusions(result)[-1] == f"2 reviews were left out: {reason}"
    assert compared(answers_of("a", reason), answers_of("b", reason)).agreement is None
    assert conclusions(compared(answers_of("a", reason), answers_of("b", reason)))[0] == (
        "None of the reviews could be analyzed."
    )


def test_models_with_different_labels_have_accuracy_but_no_agreement():
    stars = answers_of("b", 0.9, 0.2, labels=("1 star", "Positive"))
    result = compared(
        answers_of("a", 0.9, 0.2, labels=("NEGATIVE", "POSITIVE")), stars, ["pos", "neg"]
    )
    assert result.agreement is None
    assert conclusions(result)[0] == (
        "Their labels differ: A has NEGATIVE, POSITIVE; B has 1 star, Positive."
    )
    assert result.outcome is not None and result.outcome.first.n == 1  # "neg" is none of B's
    same = compared(
        answers_of("a", 0.9, labels=("NEG", "POS")), answers_of("b", 0.9, labels=("neg", "pos"))
    )
    assert conclusions(same)[0] == "They agree."


def test_says_that_no_label_is_known():
    result = compared(answers_of("a", 0.9), answers_of("b", 0.2), ["five stars"])
    assert conclusions(result)[:2] == [
        "They differ.",
        "Neither model has any of the labels in the file.",
    ]


def test_compares_in_steps_on_the_same_texts(own: Classifier):
    texts = ["a wonderful film", "a dreadful film", None, "<br />"] * 20
    labels = pandas.Series(["pos", "neg", None, "neg"] * 20)
    cache = ModelCache(own)
    names = [ModelName(own.repo_id or "")] * 2
    *steps, last = compare(cache, names, texts, labels)
    assert isinstance(last, Comparison)
    assert all(isinstance(step, Step) for step in steps)
    done = [step.done for step in steps]
    assert done == sorted(done) and {0, 32, 64, 96, 128, 144} == set(done)
    assert {step.total for step in steps} == {160}
    assert last.agreement is not None and last.agreement.value == 1
    assert last.skipped == {
        "The cell is empty.": 20,
        "This review has no words.": 20,
    }
    assert last.first.per_second > 0 and math.isfinite(last.second.per_second)
    assert last.first.answers[0] == own.predict("a wonderful film")
    assert conclusions(last)[0] == "A and B are the same model."
    assert last.differing.empty
    *_, one = compare(cache, names, texts[:1])
    assert isinstance(one, Comparison) and math.isnan(one.first.per_second)  # less than a batch


@pytest.mark.parametrize("late", [False, True])
def test_stopped_comparison_covers_the_texts_so_far(
    own: Classifier, late: bool, monkeypatch: pytest.MonkeyPatch
):
    asked = iter([False] * 4 + [True] * 100)  # on 64 texts
    names = [ModelName(own.repo_id or "")] * 2
    texts, labels = ["a wonderful film"] * 100, pandas.Series(["pos"] * 100)
    if late:
        monkeypatch.setattr(comparison, "_is_late", lambda start: next(asked))
        *_, last = compare(ModelCache(own), names, texts, labels)
    else:
        *_, last = compare(ModelCache(own), names, texts, labels, lambda: next(asked))
    assert isinstance(last, Comparison)
    assert len(last.first.answers) == len(last.second.answers) == 64
    assert last.agreement is not None and last.agreement.n == 64
    why = "the time limit" if late else "because others were waiting"
    assert conclusions(last)[0] == (
        f"The comparison was stopped after 0 seconds, {why}: it covers the first 64 of 100 reviews."
    )


def test_comparison_stopped_before_any_prediction_says_why(own: Classifier):
    names = [ModelName(own.repo_id or "")] * 2
    with pytest.raises(ModelUnavailable, match=r"because others were waiting\. Try again later"):
        list(compare(ModelCache(own), names, ["fine"], None, lambda: True))


def test_refuses_more_texts_than_the_limit(own: Classifier):
    with pytest.raises(ValueError, match=r"at most 2,000, got 2,001"):
        next(compare(ModelCache(own), [], ["x"] * (comparison.MAX_ROWS + 1)))


def test_tab_shows_progress_and_escapes_html():
    from space.tabs.compare import progress, show

    assert "0 of 4 predictions</p>" in progress(Step("Loading <b>x</b>", 0, 4), 0.0)
    assert "Loading &lt;b&gt;x&lt;/b&gt;" in progress(Step("Loading <b>x</b>", 0, 4), 0.0)
    assert "3 of 4 predictions, about 2 s left" in progress(Step("Running", 3, 4), 6.0)
    page, rows = show(
        compared(answers_of("<i>a", 0.9, 0.8), answers_of("b", 0.2, 0.8), ["<u>", "pos"]),
        "Review: x",
    )
    assert "&lt;i&gt;a" in page and "<i>" not in page and "&lt;u&gt;" in page
    assert len(rows["value"]) == 1 and len(rows["column_widths"]) == len(rows["value"].columns)
    page, rows = show(compared(answers_of("a", 0.9), answers_of("b", 0.2)), "Review: a <b> film")
    assert '<p class="subject">Review: a &lt;b&gt; film</p>' in page
    assert "Pos (90%)" in page and "Neg (80%)" in page and not rows["visible"]


def test_tab_takes_the_first_rows_of_a_large_file_and_says_so(tmp_path: Path):
    from space.tabs.compare import MAX_ROWS, _texts_and_labels, receive

    path = tmp_path / "reviews.csv"
    lines = [f"a film of number {i},{'pos' if i % 2 else 'neg'}" for i in range(MAX_ROWS + 5)]
    path.write_text("\n".join(["text,label", *lines]))
    table, message, area, text, label = receive(str(path))
    assert "2,005 rows, 2 columns." in message and "Only the first 2,000 are compared." in message
    assert (area["visible"], text["value"], label["value"]) == (True, "text", "label")
    texts, labels = _texts_and_labels("not read", table, "text", "label")
    assert len(texts) == MAX_ROWS and texts[1] == "a film of number 1"
    assert labels is not None and list(labels[:2]) == ["neg", "pos"]
    assert _texts_and_labels("one", None, "", "") == (["one"], None)
    assert _texts_and_labels("  ", None, "", "") == ([], None)
    path.write_bytes(b"\x89PNG nothing")
    assert receive(str(path))[1].startswith('<p class="problem"')


@pytest.mark.parametrize(
    ("name", "revision", "model"),
    [
        ("user/name", "", ModelName("user/name")),
        (" user/name ", "v1", ModelName("user/name", "v1")),
        ("gpt2", "", ModelName("gpt2")),
        ("https://huggingface.co/user/na.me-x", "", ModelName("user/na.me-x")),
        ("hf.co/user/name/", "", ModelName("user/name")),
        ("huggingface.co/user/name/tree/main", "", ModelName("user/name", "main")),
        (
            "https://huggingface.co/user/name/blob/a1/README.md?x=1",
            "",
            ModelName("user/name", "a1"),
        ),
        (
            "https://huggingface.co/user/name/blob/a1/onnx/model.onnx",
            "",
            ModelName("user/name", "a1", "onnx/model.onnx"),
        ),
        (
            "https://huggingface.co/user/name/tree/refs%2Fpr%2F1",
            "",
            ModelName("user/name", "refs/pr/1"),
        ),
        ("https://huggingface.co/user/name/commits/main", "", ModelName("user/name", "main")),
        ("https://huggingface.co/user/name/blame/a1/config.json", "", ModelName("user/name", "a1")),
        (
            "https://huggingface.co/user/name/edit/main/README.md",
            "",
            ModelName("user/name", "main"),
        ),
        ("https://huggingface.co/user/name/tree/main", "v2", ModelName("user/name", "v2")),
        ("http://127.0.0.1:8000/demo/tiny#files", "", ModelName("demo/tiny")),
    ],
)
def test_addresses_of_models_are_accepted(name: str, revision: str, model: ModelName) -> None:
    assert parse_model(name, revision) == model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("https://huggingface.co/datasets/user/name", "is in the Hub's datasets, not a model."),
        ("huggingface.co/spaces/user/name", "is in the Hub's spaces, not a model."),
        (
            "https://huggingface.co/user/name/blob/main/onnx/model_fp16.onnx",
            "must be onnx/model_quantized.onnx or onnx/model.onnx, got onnx/model_fp16.onnx.",
        ),
        ("  ", "Enter both models"),
    ],
)
def test_addresses_of_anything_else_are_refused(name: str, message: str) -> None:
    with pytest.raises(ModelUnavailable, match=message):
        parse_model(name, "")


def test_labels_without_names_get_a_meaning() -> None:
    unnamed = answers_of("b", 0.9, 0.2, "no word", labels=("LABEL_0", "LABEL_1"))
    named = answers_of("a", 0.8, 0.7, 0.6)
    assert possible_meanings(named, unnamed) == []
    assert possible_meanings(unnamed, named) == [["NEG", "POS"], ["POS", "NEG"]]
    assert possible_meanings(unnamed, unnamed) == [
        ["NEGATIVE", "POSITIVE"],
        ["POSITIVE", "NEGATIVE"],
    ]
    texts, labels = ["x", "y", "z"], pandas.Series(["pos", "neg", "pos"])
    before = compare_answers(named, unnamed, texts, labels)
    assert before.agreement is None
    state = Compared(before, "File: x.csv", texts, labels)
    area, first, second = offer_meanings(state)
    assert (area["visible"], first["visible"], second["visible"]) == (True, False, True)
    assert second["choices"] == ["Keep the names", "NEG, POS", "POS, NEG"]
    page, _ = show_with_meanings(state, "Keep the names", "NEG, POS")
    assert "They agree on 1 of 2 reviews" in page
    page, _ = show_with_meanings(state, "Keep the names", "POS, NEG")
    assert "They agree on 1 of 2 reviews" in page
    renamed = rename_labels(unnamed, ["NEG", "POS"])
    assert renamed.labels == ["NEG", "POS"]
    assert renamed.answers[0] == Prediction({"NEG": pytest.approx(0.1), "POS": 0.9}, 3, 3)
    assert isinstance(renamed.answers[2], InvalidText)


def test_result_says_which_review_or_file_it_is_about(monkeypatch: pytest.MonkeyPatch):
    from space.files.columns import Columns
    from space.files.tables import Table
    from space.tabs import compare as tab

    result = compared(answers_of("a", 0.9), answers_of("b", 0.2))
    monkeypatch.setattr(tab, "compare", lambda *_: iter([result]))
    cache: Any = None
    run = tab._comparison_task(cache)
    table = Table(pandas.DataFrame({"text": ["good", "bad"]}), "films.csv", Columns("text"), 2)
    for text, file, subject in [
        ("这部电影非常精彩" * 20, None, "Review: 这部电影"),
        ("not read", table, "File: films.csv"),
    ]:
        *_, (page, _, kept) = run("demo/a", "", "demo/b", "", text, file, "text", "")
        assert f'<p class="subject">{subject}' in page
        assert kept.subject.startswith(subject)


def test_deleted_comparison_is_said_to_be_gone():
    with pytest.raises(gradio.Error, match="no longer kept. Compare again"):
        show_with_meanings(None, "Keep the names", "Keep the names")


def test_meanings_do_not_need_the_labels_of_the_other_model() -> None:
    def model(*labels: str) -> ModelAnswers:
        return ModelAnswers("m", list(labels), [], 1.0, 0.0)

    three = model("LABEL_0", "LABEL_1", "LABEL_2")
    meanings = possible_meanings(three, model("NEGATIVE", "POSITIVE"))
    assert len(meanings) == 6 and ["NEGATIVE", "NEUTRAL", "POSITIVE"] in meanings
    assert ["NEUTRAL", "NEGATIVE", "POSITIVE"] in meanings
    two = model("LABEL_0", "LABEL_1")
    assert possible_meanings(two, three) == [["NEGATIVE", "POSITIVE"], ["POSITIVE", "NEGATIVE"]]
    assert possible_meanings(two, model("1 star", "2 stars", "3 stars"))[0][0] == "NEGATIVE"
    four = model(*(f"LABEL_{i}" for i in range(4)))
    assert possible_meanings(four, two) == []
    assert possible_meanings(four, model(*"abcd")) == [list("abcd"), list("dcba")]
