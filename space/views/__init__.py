"""HTML of what the page shows.

In: predictions, explanations, texts and numbers. Out: HTML strings in which all user content is
escaped.
"""

from space.views.explanation import attribution
from space.views.html import (
    figures,
    message,
    name,
    percent,
    percent_beside,
    progress,
    table,
)
from space.views.prediction import prediction_card, short_prediction, verdict, verdict_color

__all__ = [
    "attribution",
    "figures",
    "message",
    "name",
    "percent",
    "percent_beside",
    "prediction_card",
    "progress",
    "short_prediction",
    "table",
    "verdict",
    "verdict_color",
]
