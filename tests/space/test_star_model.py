"""The app with a model of five stars: prediction, effects, API, examples and scored files."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
from conftest import STARS, toy_star_reviews

from space import about, app, views
from space.analysis.scale_report import ScaleReport
from space.endpoints import Endpoints
from space.examples import select
from space.files.columns import Columns
from space.files.tables import Table
from space.inference.attribution import explain
from space.inference.classifier import Classifier, Prediction
from space.inference.serving import Service
from space.tabs.batch import FIRST, _scoring_task
from space.tabs.upload import NO_COLUMN

MIXED = "The songs were wonderful, wonderful. The end was dreadful, dreadful."


@pytest.fixture(scope="module")
def service(star_run: Path) -> Service:
    return Service(Classifier.from_folder(star_run))


def test_card_shows_expected_stars(service: Service) -> None:
    prediction = service.classifier.predict("film number 3 was wonderful, a wonderful end")
    html = views.prediction_card(prediction, service.classifier.load().unsure_below)
    assert f'{prediction.expected:.1f} stars</p><p class="probability">' in html
    positions = [html.index(f"<dt>{label}</dt>") for label in STARS]
    assert positions == sorted(positions)


class RatedByWords:
    """A request whose model counts words: `wonderful` adds stars, `dreadful` takes some away."""

    def __init__(self) -> None:
        self.model = SimpleNamespace(wordless=self.stars_of("").probabilities)

    def predict_batch(self, texts: Sequence[str], reserved_tokens: int = 0) -> list[Prediction]:
        return [self.stars_of(text) for text in texts]

    @staticmethod
    def stars_of(text: str) -> Prediction:
        middle = 3 + 0.6 * (text.count("wonderful") - text.count("dreadful"))
        weights = np.exp(-((np.arange(1, 6) - middle) ** 2))
        shares = (weights / weights.sum()).tolist()
        return Prediction(dict(zip(STARS, shares, strict=True)), 9, 9)


@pytest.mark.parametrize("more", ["", " Dreadful and dreadful.", " A wonderful, wonderful cast."])
def test_effects_are_on_the_expected_stars(more: str) -> None:
    """Whatever the predicted label: a good sentence adds stars, a bad one takes them away."""
    request: Any = RatedByWords()
    explanation = explain(request, MIXED + more)
    good, bad = (part.attribution for part in explanation.sentences[:2])
    assert good > 0 > bad
    for word in explanation.words:
        sign = {"wonderful": 1, "dreadful": -1}.get(explanation.text[word.start : word.end], 0)
        assert np.sign(round(word.attribution, 6)) == sign
    without = RatedByWords.stars_of(MIXED[MIXED.index("The end") :] + more).probabilities
    label = explanation.prediction.label
    assert explanation.sentences[0].probability_without == pytest.approx(without[label])


def test_api_has_the_expected_stars(service: Service) -> None:
    answer = Endpoints(service).classify("a wonderful film with a wonderful end")
    assert list(answer["probabilities"]) == STARS
    mean = sum(p * star for star, p in enumerate(answer["probabilities"].values(), start=1))
    assert answer["expected"] == pytest.approx(mean)
    explained = Endpoints(service).explain(MIXED)
    assert 1 <= explained["expected"] <= 5


def test_binary_models_have_no_expected_value(tiny_classifier: Path) -> None:
    binary = Service(Classifier.from_folder(tiny_classifier))
    assert "expected" not in Endpoints(binary).classify("a wonderful film")


def test_file_is_reported_in_stars(service: Service) -> None:
    rows = toy_star_reviews(40)
    frame = pandas.DataFrame([{**row, "day": f"2026-01-{1 + i % 28:02}"} for i, row in
                              enumerate(rows)])  # fmt: skip
    task = _scoring_task(service)
    columns = Columns("text", "day", "title", None, "rating")
    table = Table(frame, "reviews.csv", columns, len(frame))
    *_, (report, _) = task([table], FIRST, "text", "day", "title", NO_COLUMN, "rating")
    assert isinstance(report, ScaleReport)
    assert list(report.charts()) == ["over_time", "by_stars", "by_title"]
    assert "rank correlation (Spearman)" in report.agreement_card()


def test_examples_are_chosen_by_the_side_of_the_scale(star_run: Path) -> None:
    selected = select(Classifier.from_folder(star_run))
    assert isinstance(selected, dict)


def test_page_asks_for_stars(star_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier.from_folder(star_run)
    assert app.QUESTION in app.masthead(classifier)  # not loaded from the Hub yet
    classifier.load().commit = "0" * 40
    assert "How many stars does this review give" in app.masthead(classifier)


def test_about_tab_has_the_ordered_metrics(star_run: Path) -> None:
    facts = about.read_facts(star_run, "demo/stars", "0" * 40, "model.onnx")
    measured = facts.results["metrics"]["test"]
    rows = about.headline_metrics(facts)
    assert (f"{measured['within_one']:.2%}", "within one step of the label") in rows
    assert f"{measured['mae']:.2f}" in [number for number, _ in rows]
    assert facts.results["error_analysis"]["unsure"]["share"] == 0 or (
        "within one step of the label" in about.unsure_summary(facts)
    )
