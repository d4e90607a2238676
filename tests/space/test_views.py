"""HTML of predictions, explanations and messages."""

from space import views
from space.inference.attribution import Explanation, Part, split_sentences
from space.inference.classifier import Prediction


def explanation_of(text: str, label: str = "POSITIVE") -> Explanation:
    probabilities = {"NEGATIVE": 0.2, "POSITIVE": 0.8}
    if label == "NEGATIVE":
        probabilities = {"NEGATIVE": 0.8, "POSITIVE": 0.2}
    spans = split_sentences(text)
    parts = [Part(*span, 1.5 - 2 * i, 0.5) for i, span in enumerate(spans)]
    return Explanation(text, Prediction(probabilities, 9, 9), parts, [], True)


def test_attribution_is_escaped_and_coloured():
    shown = views.attribution(explanation_of("<b>Good</b> & fine. <script>alert(1)</script> bad."))
    assert "<script>" not in shown
    assert "&lt;b&gt;Good&lt;/b&gt; &amp; fine." in shown
    assert 'class="for top"' in shown
    assert 'class="against"' in shown
    assert "+1.50 for Positive, Positive 50.0% without it" in shown


def test_each_label_keeps_its_colour_for_every_prediction():
    shown = views.attribution(explanation_of("Dull. Good.", "NEGATIVE"))
    assert 'class="against top"' in shown  # +1.5 for NEGATIVE
    assert 'class="for"' in shown


def test_card_shows_the_probability_and_never_rounds_to_certainty():
    certain = Prediction({"NEGATIVE": 0.0000001, "POSITIVE": 0.9999999}, 5, 5)
    assert "over 99.9% probability" in views.prediction_card(certain, 0.7)
    unsure = Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, 4094, 5000, unsure=True)
    card = views.prediction_card(unsure, 0.7)
    assert "Mixed or unsure" in card
    assert "leans positive, 60.0% probability" in card
    assert "4,094 of 5,000 tokens read: the beginning and the end" in card


def test_message_is_escaped():
    assert "&lt;img" in views.sentence("<img src=x>")
