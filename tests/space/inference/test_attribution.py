"""What each sentence does to a verdict, and how the page shows it."""

import re
from pathlib import Path
from typing import Any

import pytest
import sentencex
from hypothesis import given, settings
from hypothesis import strategies as st

from space import endpoints, views
from space.inference import attribution
from space.inference.attribution import Explanation, Part, sentences
from space.inference.classifier import Classifier, InvalidText, Prediction, Tokens
from space.inference.serving import EXPLANATION, Limits, Request, Service

MIXED = "The songs were wonderful. The end was dreadful!<br /><br />Still, I would go again."


@pytest.fixture(scope="module")
def classifier(tiny_classifier: Path) -> Classifier:
    return Classifier.from_folder(tiny_classifier)


def explain(classifier: Classifier, text: str, limits: Limits = EXPLANATION) -> Explanation:
    return attribution.explain(Request(Service(classifier), limits), text)


@pytest.mark.parametrize(
    ("text", "found"),
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
def test_sentences_are_found_by_stops_and_lines(text: str, found: list[str] | None):
    parts = [text[start:end] for start, end in sentences(text)]
    if found is not None:
        assert parts == found
    assert all(part == part.strip() != "" for part in parts)


SPACES = "".join(filter(str.isspace, map(chr, range(0x3001))))  # of Unicode


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.one_of(st.text("AB. \xa0\u2003\u3000"), st.text(f"aAB.!?。”é😀{SPACES}")))
def test_any_whitespace_may_be_between_sentences(text: str):
    spans = sentences(text)
    assert all(start < end for start, end in spans) and spans == sorted(spans)
    read = "".join(text[start:end] for start, end in spans)
    without = re.sub(r"\s|<br\s*/?>", "", text, flags=re.IGNORECASE)
    assert re.sub(r"\s", "", read) == without or "<br" in text.lower()


@pytest.mark.parametrize(
    "unit", ["电影。", "。”", "a", "http://a.b/c?d=", "a。A", "«a. ", "a! ", "é"]
)
def test_a_text_without_spaces_is_segmented_some_characters_at_a_time(
    unit: str, monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []

    def segment(language: str, text: str) -> list[str]:
        seen.append(len(text))
        return list(sentencex.segment(language, text))

    monkeypatch.setattr(attribution, "segment", segment)
    text = (unit * 100_000)[:100_000]
    spans = sentences(text)
    assert max(seen) <= 2_000 and sum(seen) <= 2 * len(text)
    assert "".join(text[start:end] for start, end in spans).replace(" ", "") == text.replace(
        " ", ""
    )


def test_a_long_text_has_the_sentences_that_it_has_as_a_whole():
    text = " ".join(
        f"Scene {i} of Mr. Hill was {'so ' * (i % 30)}dull! Was it?" for i in range(300)
    )
    assert list(attribution._segments(text)) == list(sentencex.segment("en", text))


def test_neighbours_of_very_many_sentences_are_put_together():
    text = "Good film. " * 1000
    spans = sentences(text)
    assert len(spans) == attribution.PARTS_AT_MOST
    assert spans[0] == (0, len("Good film. " * 4) - 1)
    assert spans[-1][1] == len(text) - 1


def test_a_sentences_pull_is_what_the_verdict_loses_without_it(classifier: Classifier):
    found = explain(classifier, MIXED)
    label = found.verdict.label
    assert found.whole
    assert len(found.sentences) == 3
    first = found.sentences[0]
    without = classifier(MIXED[: first.start] + MIXED[first.end :]).probabilities[label]
    assert first.without == pytest.approx(without)
    before = attribution._log_odds(found.verdict.probabilities[label])
    assert first.pull == pytest.approx(before - attribution._log_odds(without))
    assert found.strongest == max(found.sentences, key=lambda part: abs(part.pull))


def test_words_are_weighed_in_the_two_strongest_sentences(classifier: Classifier):
    found = explain(classifier, MIXED)
    strongest = sorted(found.sentences, key=lambda part: -abs(part.pull))[:2]
    for word in found.words:
        assert any(part.start <= word.start and word.end <= part.end for part in strongest)
    assert len(found.words) == sum(len(MIXED[part.start : part.end].split()) for part in strongest)


def test_a_single_sentence_has_words_only(classifier: Classifier):
    found = explain(classifier, "a wonderful film")
    assert (found.sentences, len(found.words), found.strongest) == ([], 3, None)
    alone = explain(classifier, "Wonderful")
    assert [(word.pull, word.without) for word in alone.words] == [(0.0, None)]


def test_a_long_review_is_weighed_by_its_surroundings(classifier: Classifier):
    text = " ".join(f"Scene {i} was {['dreadful', 'wonderful'][i % 2]}." for i in range(200))
    found = explain(classifier, text)
    assert not found.whole
    assert len(found.sentences) == 200
    assert any(abs(part.pull) > 0.01 for part in found.sentences)
    windows = attribution._windows(sentences(text))
    assert sum(len(window.spans) for window in windows) == 200
    assert all(len(window.spans) > 1 for window in windows)


class Counting:
    """Judges every text alike; counts the tokens that it is asked for, one a character."""

    limit, labels = 4096, ["NEGATIVE", "POSITIVE"]

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def load(self) -> "Counting":
        return self

    def encode(self, texts: list[str]) -> list[Tokens]:
        return [Tokens([0] * min(len(text), self.limit), len(text)) for text in texts]

    def judge(self, tokens: Tokens, alone: bool) -> Prediction:
        self.tokens.append(len(tokens.ids))
        return Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, self.tokens[-1], tokens.count)


@settings(derandomize=True, max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["film ", "a. ", "!", "x", "Good. "]), st.integers(1, 30_000))
    )
)
def test_a_review_of_any_form_is_explained_within_the_limit_of_tokens(
    pieces: list[tuple[str, int]],
):
    text = "A film" + "".join(piece * count for piece, count in pieces)[:99_000]
    counting: Any = Counting()
    found = explain(counting, text)
    assert sum(counting.tokens) <= EXPLANATION.tokens
    weighed = [part for part in found.sentences + found.words if part.weighed]
    assert found.dropped == len(found.sentences + found.words) - len(weighed)
    assert len(weighed) or not found.dropped
    assert all(span[1] - span[0] <= attribution.PART_CHARACTERS for span in sentences(text)) or (
        len(sentences(text)) > attribution.PARTS_AT_MOST // 2
    )


@pytest.mark.parametrize("stops", [0, 1])
def test_a_text_without_full_stops_is_weighed_in_pieces(stops: int):
    half = "word " * 9_999
    text = half + ". " * stops + half
    counting: Any = Counting()
    found = explain(counting, text)
    assert len(found.sentences) >= 200
    first = found.sentences[0]
    assert (first.start, first.end) == (0, 499)  # a hundred whole words
    assert max(counting.tokens[1:]) < 2 * attribution.WINDOW_CHARACTERS


def test_what_the_limit_left_out_is_said_on_the_page_and_by_the_endpoint(classifier: Classifier):
    found = explain(classifier, "Good songs. A bad end! " * 3, Limits(tokens=12_130, seconds=60))
    assert any(part.weighed for part in found.sentences)
    left = [part for part in found.sentences if not part.weighed]
    assert found.dropped >= len(left) > 0
    shown = views.attribution(found)
    assert f"{found.dropped} sentences and words were left out: the limit of one request" in shown
    assert shown.count("<td>left out</td>") == len(left)
    assert endpoints._part_to_json(found.text, left[0])["attribution"] is None


def test_what_cannot_be_judged_cannot_be_explained(classifier: Classifier):
    with pytest.raises(InvalidText):
        explain(classifier, "   ")


def explained(text: str, label: str = "POSITIVE") -> Explanation:
    probabilities = {"NEGATIVE": 0.2, "POSITIVE": 0.8}
    if label == "NEGATIVE":
        probabilities = {"NEGATIVE": 0.8, "POSITIVE": 0.2}
    spans = sentences(text)
    parts = [Part(*span, 1.5 - 2 * i, 0.5) for i, span in enumerate(spans)]
    return Explanation(text, Prediction(probabilities, 9, 9), parts, [], True)


def test_the_sentence_line_escapes_colours_and_marks():
    shown = views.attribution(explained("<b>Good</b> & fine. <script>alert(1)</script> bad."))
    assert "<script>" not in shown
    assert "&lt;b&gt;Good&lt;/b&gt; &amp; fine." in shown
    assert 'class="for top"' in shown
    assert 'class="against"' in shown
    assert "+1.50 for Positive, Positive 50.0% without it" in shown


def test_praise_has_one_colour_whatever_the_verdict_is():
    shown = views.attribution(explained("Dull. Good.", "NEGATIVE"))
    assert 'class="against top"' in shown  # +1.5 for NEGATIVE
    assert 'class="for"' in shown


def test_a_verdict_says_how_sure_and_never_a_false_certainty():
    sure = Prediction({"NEGATIVE": 0.0000001, "POSITIVE": 0.9999999}, 5, 5)
    assert "over 99.9% probability" in views.prediction_card(sure, 0.7)
    unsure = Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, 4094, 5000, unsure=True)
    card = views.prediction_card(unsure, 0.7)
    assert "Mixed or unsure" in card
    assert "leans positive, 60.0% probability" in card
    assert "4,094 of 5,000 tokens read: the beginning and the end" in card


def test_a_reason_is_shown_as_text():
    assert "&lt;img" in views.sentence("<img src=x>")
