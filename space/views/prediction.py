"""The card of a prediction: the label, its probability, and where it is between the labels.

In: a prediction and the model's threshold. Out: HTML.
"""

from html import escape

from space.inference.classifier import Prediction
from space.inference.labels import in_order, label_values, sides
from space.views import scale
from space.views.html import name, percent_beside, threshold_percent


def verdict(prediction: Prediction) -> str:
    """The predicted label, or uncertain with what the model leans to.

    Of a scale such as stars, the expected value: "4.2 stars", "Uncertain, about 3.1 stars".
    """
    if prediction.expected is not None and not prediction.neutral:
        return scale.heading(prediction)
    return _leaning(prediction)


def short_prediction(prediction: Prediction, unsure_below: float) -> str:
    """A label in a few words: "Positive (97%)", "Uncertain, leaning negative (77%)"."""
    if prediction.neutral:
        return _leaning(prediction)
    shown = percent_beside(prediction.probabilities[prediction.label], unsure_below)
    return f"{_leaning(prediction)} ({shown})"


def verdict_color(prediction: Prediction) -> str:
    """CSS class of a verdict."""
    return "unsure" if prediction.unsure else color_of(prediction, prediction.label)


def prediction_card(prediction: Prediction, unsure_below: float) -> str:
    """The predicted label, its probability, and what of the review the model read.

    Args:
        prediction: Of one review.
        unsure_below: Probability below which the model counts as uncertain; 0 for never.
    """
    heading = verdict(prediction)
    if prediction.unsure and prediction.expected is None:
        heading = short_prediction(prediction, unsure_below)
    return (
        '<section class="prediction" role="status" aria-label="Prediction">'
        f'<p class="label {verdict_color(prediction)}">{escape(heading)}</p>'
        f"{_language(prediction)}"
        f'<p class="probability">{escape(_probability(prediction, unsure_below))}</p>'
        f"{_scale(prediction, unsure_below)}"
        f"{_threshold(prediction, unsure_below)}"
        f'<p class="small">{tokens_read(prediction)}</p>{_unknown(prediction)}</section>'
    )


def color_of(prediction: Prediction, label: str) -> str:
    """CSS class of a label: "for" if it is positive, "against" if negative, else "unsure".

    Of a scale: of the expected value, whatever the label; in the middle it is "unsure".
    """
    if values := label_values(list(prediction.probabilities)):
        return scale.side(prediction.expected or 0.0, values)
    return scale.SIDE_CLASSES[sides(list(prediction.probabilities))[label]]


def tokens_read(prediction: Prediction) -> str:
    """How much of the review the model read."""
    read = f"{prediction.tokens_read:,} of {prediction.tokens:,} tokens read"
    if prediction.tokens_read < prediction.tokens:
        return f"{read}: the beginning and the end. The review exceeds the model's maximum length."
    return read


def _leaning(prediction: Prediction) -> str:
    if prediction.neutral:
        return "Uncertain, no leaning"
    label = name(prediction.label)
    return f"Uncertain, leaning {label.lower()}" if prediction.unsure else label


def _probability(prediction: Prediction, unsure_below: float) -> str:
    shown = percent_beside(prediction.probabilities[prediction.label], unsure_below)
    sentence = f"{shown} probability of {name(prediction.label).lower()}"
    if prediction.neutral:
        return f"{sentence}, not clearly more than for a text without words"
    return sentence


def _scale(prediction: Prediction, unsure_below: float) -> str:
    """One scale from the negative to the positive of two labels; a bar for each of more labels."""
    if prediction.expected is not None:
        return scale.bars(prediction, unsure_below)
    if len(prediction.probabilities) != 2:
        bars = "".join(_bar(prediction, label, unsure_below) for label in prediction.probabilities)
        return f'<dl class="bars">{bars}</dl>'
    first, last = in_order(list(prediction.probabilities))
    position = prediction.probabilities[last]
    zone = ""
    if unsure_below > 0.5:
        start, end = max(0.0, 1 - unsure_below), min(1.0, unsure_below)
        zone = f'<span class="zone" style="left:{start:.2%};width:{end - start:.2%}"></span>'
    kind = "neutral" if prediction.neutral else "unsure" if prediction.unsure else "sure"
    middle = "<span>uncertain</span>" if zone else ""
    return (
        '<div class="scale" aria-hidden="true"><div class="track">'
        f'{zone}<b class="{kind}" style="left:{position:.2%}"></b></div>'
        f'<p class="small ends"><span>{escape(name(first).lower())}</span>{middle}'
        f"<span>{escape(name(last).lower())}</span></p></div>"
    )


def _bar(prediction: Prediction, label: str, unsure_below: float) -> str:
    probability = prediction.probabilities[label]
    tick = f'<i style="left:{unsure_below:.2%}"></i>' if unsure_below else ""
    return (
        f"<dt>{escape(name(label))}</dt><dd>"
        f"<span>{percent_beside(probability, unsure_below)}</span>"
        f'<span class="track" aria-hidden="true">'
        f'<b class="{color_of(prediction, label)}" style="width:{probability:.2%}"></b>{tick}'
        "</span></dd>"
    )


def _threshold(prediction: Prediction, unsure_below: float) -> str:
    if unsure_below <= 1 / len(prediction.probabilities):
        return ""
    return (
        f'<p class="small">Below {threshold_percent(unsure_below)}% the model is uncertain: it '
        "makes too many errors there.</p>"
    )


def _language(prediction: Prediction) -> str:
    """The caution about a language that the model was not trained on."""
    if prediction.language_caution is None:
        return ""
    sentence = f"{prediction.language_caution} Do not rely on this prediction."
    return f'<p class="problem">{escape(sentence)}</p>'


def _unknown(prediction: Prediction) -> str:
    if not prediction.unreadable:
        return ""
    pieces = "”, “".join(prediction.unreadable)
    return (
        f'<p class="small">The model doesn\'t know {prediction.unknown_tokens:,} of the '
        f"{prediction.tokens:,} tokens: “{escape(pieces)}”.</p>"
    )
