"""The attribution of a prediction to sentences and words."""

import math
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sentencex
from hypothesis import given, settings
from hypothesis import strategies as st

from space import endpoints, views
from space.inference import attribution, texts
from space.inference.attribution import Explanation, split_sentences
from space.inference.classifier import Classifier, InvalidText, Prediction, log_odds
from space.inference.onnx_model import Tokens
from space.inference.serving import EXPLANATION, Limits, Request, Service

MIXED = "The songs were wonderful. The end was dreadful!<br /><br />Still, I would go again."


@pytest.fixture(scope="module")
def classifier(tiny_classifier: Path) -> Classifier:
    return Classifier.from_folder(tiny_classifier)


def explain(classifier: Classifier, text: str, limits: Limits = EXPLANATION) -> Explanation:
    return attribution.explain(Request(Service(classifier), limits), text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good. Bad!", ["Good.", "Bad!"]),
        (MIXED, [
            "The songs were wonderful.", "The end was dreadful!", "Still, I would go again."
        ]),
        ("Mr. Smith goes to Washington again.", ["Mr. Smith goes to Washington again."]),
        ("no full stop\nanother line", ["no full stop", "another line"]),
        ("  one  ", ["one"]),
        ("", []),
        ("<br />", []),
        ("第一。第二。 good", None),
    ],
)  # fmt: skip
def test_text_is_split_at_sentence_ends_and_line_breaks(text: str, expected: list[str] | None):
    parts = [text[start:end] for start, end in split_sentences(text)]
    if expected is not None:
        assert parts == expected
    assert all(part == part.strip() != "" for part in parts)


SPACES = "".join(filter(str.isspace, map(chr, range(0x3001))))  # of Unicode


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.one_of(st.text("AB. \xa0\u2003\u3000"), st.text(f"aAB.!?。”é😀{SPACES}")))
def test_sentences_may_be_separated_by_any_whitespace(text: str):
    spans = split_sentences(text)
    assert all(start < end for start, end in spans) and spans == sorted(spans)
    read = "".join(text[start:end] for start, end in spans)
    without = re.sub(r"\s|<br\s*/?>", "", text, flags=re.IGNORECASE)
    assert re.sub(r"\s", "", read) == without or "<br" in text.lower()


@pytest.mark.parametrize(
    "unit", ["电影。", "。”", "a", "http://a.b/c?d=", "a。A", "«a. ", "a! ", "é"]
)
def test_text_without_spaces_is_segmented_in_chunks(unit: str, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    original = sentencex.segment

    def segment(language: str, text: str) -> list[str]:
        seen.append(len(text))
        return list(original(language, text))

    monkeypatch.setattr(sentencex, "segment", segment)
    text = (unit * 100_000)[:100_000]
    spans = split_sentences(text)
    assert max(seen) <= 2_000 and sum(seen) <= 2 * len(text)
    assert "".join(text[start:end] for start, end in spans).replace(" ", "") == text.replace(
        " ", ""
    )


def test_chunks_give_the_same_sentences_as_the_whole_text():
    text = " ".join(
        f"Scene {i} of Mr. Hill was {'so ' * (i % 30)}dull! Was it?" for i in range(300)
    )
    assert list(texts.segment(text)) == list(sentencex.segment("en", text))


def test_neighbours_are_merged_above_the_maximum_of_sentences():
    text = "Good film. " * 1000
    spans = split_sentences(text)
    assert len(spans) == attribution.MAX_SENTENCES
    assert spans[0] == (0, len("Good film. " * 4) - 1)
    assert spans[-1][1] == len(text) - 1


def test_attribution_is_the_log_odds_with_a_sentence_minus_those_without(classifier: Classifier):
    explanation = explain(classifier, MIXED)
    label = explanation.prediction.label
    assert explanation.full_context
    assert len(explanation.sentences) == 3
    first = explanation.sentences[0]
    without = classifier.predict(MIXED[: first.start] + MIXED[first.end :]).probabilities[label]
    assert first.probability_without == pytest.approx(without)
    before = log_odds(explanation.prediction.probabilities[label])
    assert first.attribution == pytest.approx(before - log_odds(without))
    assert explanation.strongest == max(
        explanation.sentences, key=lambda part: abs(part.attribution)
    )


def test_words_of_the_two_strongest_sentences_are_attributed(classifier: Classifier):
    explanation = explain(classifier, MIXED)
    strongest = sorted(explanation.sentences, key=lambda part: -abs(part.attribution))[:2]
    for word in explanation.words:
        assert any(part.start <= word.start and word.end <= part.end for part in strongest)
    assert len(explanation.words) == sum(
        len(MIXED[part.start : part.end].split()) for part in strongest
    )


def test_single_sentence_has_only_words(classifier: Classifier):
    explanation = explain(classifier, "a wonderful film")
    assert (explanation.sentences, len(explanation.words), explanation.strongest) == ([], 3, None)
    alone = explain(classifier, "Wonderful")
    added = log_odds(alone.prediction.probabilities[alone.prediction.label])
    added -= log_odds(classifier.load().wordless[alone.prediction.label])
    assert [word.attribution for word in alone.words] == [pytest.approx(added)]


class AddingClassifier:
    """Adds up the log-odds of known words; "but" makes it forget what is before it."""

    WEIGHTS: ClassVar[dict[str, float]] = {"brilliant": 2.0, "awful": -3.0, "was": 0.0}
    max_tokens, labels = 4096, ["NEGATIVE", "POSITIVE"]
    wordless: ClassVar[dict[str, float]] = {"NEGATIVE": 0.5, "POSITIVE": 0.5}

    def __init__(self) -> None:
        self.texts: list[str] = []

    def load(self) -> "AddingClassifier":
        return self

    def encode(self, texts: list[str]) -> list[Tokens]:
        self.texts += texts
        return [Tokens([len(self.texts) - len(texts) + i] * 2, 2) for i in range(len(texts))]

    def predict_tokens(self, tokens: Tokens, all_cores: bool) -> Prediction:
        words = self.texts[tokens.ids[0]].rpartition("but")[2].split()
        positive = 1 / (1 + math.exp(-sum(self.WEIGHTS.get(word, 0.0) for word in words)))
        return Prediction({"NEGATIVE": 1 - positive, "POSITIVE": positive}, 1, 1)


def test_words_of_an_additive_model_get_their_weights():
    adding: Any = AddingClassifier()
    words = explain(adding, "acting was brilliant and awful").words
    assert [word.attribution for word in words] == pytest.approx([0, 0, -2, 0, 3], abs=1e-6)


def test_word_counts_although_the_sentence_decides_without_it():
    text = "the acting was brilliant but the story was awful"
    adding: Any = AddingClassifier()
    words = {text[word.start : word.end]: word.attribution for word in explain(adding, text).words}
    assert words["awful"] > 2 and words["brilliant"] < -1  # of NEGATIVE
    assert abs(words["acting"]) < 0.01


@pytest.mark.parametrize("text", ["wonderful", "wonderful film", "so " * 40 + "good", "a 😍 film"])
def test_every_word_of_a_sentence_is_attributed_in_order(classifier: Classifier, text: str):
    words = explain(classifier, text).words
    expected = attribution._words(text, 0, len(text))
    assert [(word.start, word.end) for word in words] == expected
    assert 0 < len(words) <= attribution.MAX_WORDS
    assert all(math.isfinite(word.attribution) and not word.skipped for word in words)


def test_sentences_of_a_long_review_are_removed_from_windows(classifier: Classifier):
    text = " ".join(f"Scene {i} was {['dreadful', 'wonderful'][i % 2]}." for i in range(200))
    explanation = explain(classifier, text)
    assert not explanation.full_context
    assert len(explanation.sentences) == 200
    assert any(abs(part.attribution) > 0.01 for part in explanation.sentences)
    windows = attribution._windows(split_sentences(text))
    assert sum(len(window.spans) for window in windows) == 200
    assert all(len(window.spans) > 1 for window in windows)


class CountingClassifier:
    """Predicts the same for every text; records the tokens that it gets, one per character."""

    max_tokens, labels = 4096, ["NEGATIVE", "POSITIVE"]
    wordless: ClassVar[dict[str, float]] = {"NEGATIVE": 0.5, "POSITIVE": 0.5}

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def load(self) -> "CountingClassifier":
        return self

    def encode(self, texts: list[str]) -> list[Tokens]:
        return [Tokens([0] * min(len(text), self.max_tokens), len(text)) for text in texts]

    def predict_tokens(self, tokens: Tokens, all_cores: bool) -> Prediction:
        self.tokens.append(len(tokens.ids))
        return Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, self.tokens[-1], tokens.count)


@settings(derandomize=True, max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["film ", "a. ", "!", "x", "Good. "]), st.integers(1, 30_000))
    )
)
def test_any_review_is_explained_within_the_token_limit(pieces: list[tuple[str, int]]):
    text = "A film" + "".join(piece * count for piece, count in pieces)[:99_000]
    counting: Any = CountingClassifier()
    explanation = explain(counting, text)
    assert sum(counting.tokens) <= EXPLANATION.tokens
    measured = [part for part in explanation.sentences + explanation.words if not part.skipped]
    assert explanation.dropped == len(explanation.sentences + explanation.words) - len(measured)
    assert len(measured) or not explanation.dropped
    spans = split_sentences(text)
    merged = len(spans) > attribution.MAX_SENTENCES // 2
    assert merged or max(end - start for start, end in spans) <= attribution.MAX_PART_CHARACTERS


@pytest.mark.parametrize("stops", [0, 1])
def test_text_without_full_stops_is_split_into_parts(stops: int):
    half = "word " * 9_999
    text = half + ". " * stops + half
    counting: Any = CountingClassifier()
    explanation = explain(counting, text)
    assert len(explanation.sentences) >= 200
    first = explanation.sentences[0]
    assert (first.start, first.end) == (0, 499)  # a hundred whole words
    assert max(counting.tokens[1:]) < 2 * attribution.WINDOW_CHARACTERS


def test_page_and_endpoint_report_parts_skipped_by_the_limit(classifier: Classifier):
    explanation = explain(
        classifier, "Good songs. A bad end! " * 3, Limits(tokens=12_130, seconds=60)
    )
    assert any(not part.skipped for part in explanation.sentences)
    skipped = [part for part in explanation.sentences if part.skipped]
    assert explanation.dropped >= len(skipped) > 0
    html = views.attribution(explanation)
    assert (
        f"{explanation.dropped} sentences and words were not measured: this request reached" in html
    )
    assert html.count("<td>not measured</td>") == len(skipped)
    assert endpoints._part_to_json(explanation.text, skipped[0])["attribution"] is None


def test_invalid_text_is_not_explained(classifier: Classifier):
    with pytest.raises(InvalidText):
        explain(classifier, "   ")
