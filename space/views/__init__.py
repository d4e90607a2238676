"""HTML of what the page shows.

In: predictions, explanations, texts and numbers. Out: HTML strings in which all user content is
escaped. `prediction` makes the card of a prediction, with `scale` for labels such as stars;
`explanation` the colored review; `aspects` the table of aspects; `words` the characteristic words
of a file. `html` has messages, numbers, tables and the names of labels for all of them.
"""

from space.views.aspects import aspects_table, contrary_aspects
from space.views.explanation import attribution
from space.views.html import (
    figures,
    message,
    name,
    percent,
    percent_beside,
    progress,
    shorten,
    table,
)
from space.views.prediction import prediction_card, short_prediction, verdict, verdict_color
from space.views.verdicts import agreement_card, stacked_bar
from space.views.words import characteristic_words

__all__ = [
    "agreement_card",
    "aspects_table",
    "attribution",
    "characteristic_words",
    "contrary_aspects",
    "figures",
    "message",
    "name",
    "percent",
    "percent_beside",
    "prediction_card",
    "progress",
    "short_prediction",
    "shorten",
    "stacked_bar",
    "table",
    "verdict",
    "verdict_color",
]
