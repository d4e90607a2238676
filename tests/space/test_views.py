"""HTML of predictions, explanations and messages."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from space import views
from space.inference.attribution import Explanation, Part, split_sentences
from space.inference.classifier import Prediction


def explanation_of(
    text: str, label: str = "POSITIVE", effects: list[float] | None = None
) -> Explanation:
    probabilities = {"NEGATIVE": 0.2, "POSITIVE": 0.8}
    if label == "NEGATIVE":
        probabilities = {"NEGATIVE": 0.8, "POSITIVE": 0.2}
    spans = split_sentences(text)
    effects = effects or [1.5 - 2 * i for i in range(len(spans))]
    parts = [Part(*span, effect, 0.5) for span, effect in zip(spans, effects, strict=True)]
    return Explanation(text, Prediction(probabilities, 9, 9), parts, [], True)


def prediction(positive: float, **fields: Any) -> Prediction:
    return Prediction({"NEGATIVE": 1 - positive, "POSITIVE": positive}, 9, 9, **fields)


def opacities(html: str) -> list[float]:
    review = html.partition('<p class="review">')[2]
    return [float(value) for value in re.findall(r"--w:([\d.]+)", review)]


def test_attribution_is_escaped_and_colored():
    shown = views.attribution(explanation_of("<b>Good</b> & fine. <script>alert(1)</script> bad."))
    assert "<script>" not in shown
    assert "&lt;b&gt;Good&lt;/b&gt; &amp; fine." in shown
    assert 'class="for top"' in shown
    assert 'class="against"' in shown
    assert 'data-effect="+1.50 for positive · without it: 50.0% positive"' in shown
    assert 'data-effect="+0.50 for negative · without it: 50.0% positive"' in shown


def test_each_label_keeps_its_color_for_every_prediction():
    shown = views.attribution(explanation_of("Dull. Good.", "NEGATIVE"))
    assert 'class="against top"' in shown  # +1.5 for NEGATIVE
    assert 'class="for"' in shown
    for label in ("NEGATIVE", "POSITIVE"):
        legend = views.attribution(explanation_of("Dull. Good.", label)).partition("</p>")[0]
        assert legend.index("negative") < legend.index("against") < legend.index('"for"')


def test_medium_effects_stay_visible_beside_a_strong_one():
    text = " ".join(f"Scene {i} was so." for i in range(39))
    effects = [8.0, *(0.4 for _ in range(28)), *(0.01 for _ in range(10))]
    shown = opacities(views.attribution(explanation_of(text, effects=effects)))
    assert len(shown) == 29
    assert min(shown) > 0.2


def test_strongest_sentences_of_both_sides_are_listed_and_lead_to_their_place():
    text = "A good film. A dull film. So. A superb film. An awful film."
    html = views.attribution(explanation_of(text, effects=[0.5, -0.6, 0.0, 2.0, -3.0]))
    listing = html.partition('<div class="strongest">')[2].partition('<p class="review">')[0]
    names = re.findall(r"data-jump=\"([\w-]+)\">([^<]+)<", listing)
    assert [name for _, name in names] == [
        "A superb film.", "A good film.", "An awful film.", "A dull film."
    ]  # fmt: skip
    for jump, name in names:
        assert f'id="{jump}"' in html
        assert text[int(jump.removeprefix("part-")) :].startswith(name)
    assert "Strongest for positive" in listing and "Strongest for negative" in listing
    assert "strongest" not in views.attribution(explanation_of("Dull. Good."))


def test_remark_if_all_sentences_point_against_the_prediction():
    remark = "Each sentence by itself points away from positive."
    against = explanation_of("Dull. Bad. Good.", effects=[-0.1, -0.5, -0.2])
    assert remark in views.attribution(against)
    assert remark not in views.attribution(explanation_of("Dull. Bad.", effects=[-0.1, 0.1]))


def test_card_shows_the_probability_and_never_rounds_to_certainty():
    certain = views.prediction_card(prediction(0.9999999), 0.7)
    assert "over 99% probability of positive" in certain
    assert ">Positive</p>" in certain
    unsure = Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, 4094, 5000, unsure=True)
    card = views.prediction_card(unsure, 0.7)
    assert "Uncertain, leaning positive (60%)" in card
    assert "4,094 of 5,000 tokens read: the beginning and the end" in card


def test_card_of_a_neutral_text_names_no_leaning():
    card = views.prediction_card(prediction(0.215, unsure=True, neutral=True), 0.9355)
    assert "Uncertain, no leaning" in card
    assert "leaning negative" not in card
    assert "not clearly more than for a text without words" in card


def test_scale_has_the_uncertain_zone_and_the_probability():
    card = views.prediction_card(prediction(0.215, unsure=True), 0.9355)
    assert 'class="zone" style="left:6.45%;width:87.10%"' in card
    assert '<b class="unsure" style="left:21.50%">' in card
    assert "Below 94% the model is uncertain" in card
    assert 'class="zone"' not in views.prediction_card(prediction(0.3), 0.0)
    stars = Prediction({"1": 0.2, "2": 0.3, "3": 0.5}, 9, 9)
    assert views.prediction_card(stars, 0.4).count("<dt>") == 3


def test_card_says_what_the_model_does_not_know():
    card = views.prediction_card(prediction(0.8, unknown_tokens=2, unreadable=["😍", "<b>"]), 0.7)
    assert "doesn't know 2 of the 9 tokens: “😍”, “&lt;b&gt;”." in card
    assert "doesn't know" not in views.prediction_card(prediction(0.8), 0.7)


@settings(derandomize=True, max_examples=1_000)
@given(st.floats(0, 1), st.floats(0.51, 0.989))
def test_rounded_percentages_never_contradict_the_threshold(probability: float, threshold: float):
    shown = views.percent_beside(probability, threshold)
    limit = int(re.findall(r"Below (\d+)%", views.prediction_card(prediction(1.0), threshold))[0])
    value = {"over 99%": 99.5, "under 1%": 0.5}.get(shown) or float(shown.removesuffix("%"))
    if limit < 100:
        assert (value < limit) == (probability < threshold)
    assert abs(value - 100 * probability) <= 1
    assert value in (0, 100) or 0 < probability < 1


@pytest.mark.parametrize("probability", [0.9354, 0.9355, 0.936])
def test_probability_near_the_threshold_is_on_its_side(probability: float):
    expected = "94%" if probability >= 0.9355 else "93%"
    assert views.percent_beside(probability, 0.9355) == expected


def test_message_is_escaped():
    assert "&lt;img" in views.message("<img src=x>")


STARS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]


def test_card_of_stars_has_the_expected_ones_and_bars_in_order():
    stars = Prediction(dict(zip(STARS, [0.0, 0.05, 0.1, 0.45, 0.4], strict=True)), 9, 9)
    card = views.prediction_card(stars, 0.3)
    assert '<p class="label for">4.2 stars</p>' in card
    assert "45% probability of 4 stars" in card
    assert re.findall("<dt>([^<]+)</dt>", card) == STARS
    styles = re.findall(r"--side:var\(--(\w+)\);--mix:(\d+)%", card)
    assert styles == [
        ("against", "100"), ("against", "50"), ("against", "0"), ("for", "50"), ("for", "100")
    ]  # fmt: skip
    assert 'class="scale"' not in card
    # A comparison of models is about labels.
    assert views.short_prediction(stars, 0.3) == "4 stars (45%)"


def test_uncertain_stars_are_about_a_number():
    flat = Prediction(dict(zip(STARS, [0.2, 0.25, 0.2, 0.15, 0.2], strict=True)), 9, 9, unsure=True)
    assert '<p class="label unsure">Uncertain, about 2.9 stars</p>' in views.prediction_card(
        flat, 0.3
    )


def test_color_of_stars_agrees_with_the_shown_number():
    """3.04 is shown as 3.0, which is neither above nor below the middle."""
    almost = Prediction(dict(zip(STARS, [0.2, 0.18, 0.2, 0.22, 0.2], strict=True)), 9, 9)
    assert '<p class="label unsure">3.0 stars</p>' in views.prediction_card(almost, 0.0)


def test_effects_on_stars_point_to_more_or_fewer():
    text = "A good film. A dull film. So. A superb film. An awful film."
    stars = Prediction(dict(zip(STARS, [0.0, 0.5, 0.4, 0.1, 0.0], strict=True)), 9, 9)
    explanation = replace(
        explanation_of(text, effects=[0.5, -0.6, 0.0, 2.0, -3.0]), prediction=stars
    )
    html = views.attribution(explanation)
    assert "Strongest for more stars" in html and "Strongest for fewer stars" in html
    assert "+2.00 for more stars" in html and "+3.00 for fewer stars" in html
    assert re.search(r'class="for[^>]*>A superb film', html)
    assert re.search(r'class="against[^>]*>An awful film', html)
    assert "Effect on the stars (log-odds)" in html
    assert "Probability of 2 stars without it" in html
    assert "Each sentence by itself" not in html


def test_colors_follow_the_names_of_the_labels():
    """Whatever their order; neutral has the color of neither."""
    labels = ["neutral", "positive", "negative"]
    colors = {"neutral": "unsure", "positive": "for", "negative": "against"}
    for label, color in colors.items():
        shares = {other: 0.8 if other == label else 0.1 for other in labels}
        card = views.prediction_card(Prediction(shares, 9, 9), 0.5)
        assert f'<p class="label {color}">' in card
        for name, other in colors.items():
            bar = rf'<dt>{name.capitalize()}</dt>.*?<b class="{other}"'
            assert re.search(bar, card, re.DOTALL)
    swapped = Prediction({"POSITIVE": 0.9, "NEGATIVE": 0.1}, 9, 9)
    card = views.prediction_card(swapped, 0.6)
    assert '<p class="label for">Positive</p>' in card and 'style="left:90.00%"' in card
    assert card.index("<span>negative</span>") < card.index("<span>positive</span>")
    part = views.attribution(replace(explanation_of("A good film. So."), prediction=swapped))
    assert 'class="for' in part


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("A fine film.", "A fine film."),
        ("word " * 30, "word word word…"),
        ("这部电影非常精彩" * 9, "这部电影非常精彩这部电影非常精…"),
        ("https://example.org/" + "a" * 99, "https://example…"),
    ],
)
def test_beginning_of_a_text_without_spaces_is_shown(text: str, beginning: str):
    assert views.shorten(text, 16) == beginning
