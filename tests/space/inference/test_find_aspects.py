"""Which aspects of the film a review mentions, and which sentence decides."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
from conftest import ASPECTS

from space import app, views
from space.analysis import aspects as file_aspects
from space.analysis.report import Report
from space.endpoints import Endpoints
from space.examples import Examples
from space.feedback import Feedback
from space.files.columns import Columns
from space.files.tables import Table
from space.inference import aspects, zerogpu
from space.inference.aspects import Aspect
from space.inference.classifier import Classifier, InvalidText, ModelUnavailable, Prediction
from space.inference.serving import EXPLANATION, Service
from space.tabs import review as review_tab
from space.tabs.batch import FIRST, _scoring_task
from space.tabs.review import Review
from space.tabs.upload import NO_COLUMN

LABELS = ["NEGATIVE", "POSITIVE", "NOT_MENTIONED"]
GOOD, BAD = "Film 7 was wonderful.", "Film 8 was dreadful."


def answer(label: str, share: float = 0.9, unsure: bool = False) -> Prediction:
    rest = (1 - share) / (len(LABELS) - 1)
    return Prediction({name: share if name == label else rest for name in LABELS}, 9, 9, unsure)


class ByWords:
    """A request whose model knows words: each sentence says something about one aspect."""

    def __init__(self) -> None:
        self.model = SimpleNamespace(has_pairs=True, aspects=ASPECTS, labels=LABELS)
        self.service = SimpleNamespace(classifier=SimpleNamespace(repo_id="demo/aspects"))
        self.texts: list[Any] = []

    def predict_batch(self, pairs: list[tuple[str, str]]) -> list[Prediction]:
        self.texts += pairs
        return [self._predict(*pair) for pair in pairs]

    @staticmethod
    def _predict(text: str, aspect: str) -> Prediction:
        if aspect not in text:
            return answer("NOT_MENTIONED")
        after = text[text.index(aspect) :]
        return answer("POSITIVE" if "wonderful" in after.partition(".")[0] else "NEGATIVE")


def test_finds_the_mentioned_aspects_with_their_sentences() -> None:
    request: Any = ByWords()
    text = "I saw it in May. The acting was wonderful. The story was dreadful. We left."
    found = aspects.find(request, text)
    assert [(a.name, a.prediction.label, a.sentence) for a in found] == [
        ("acting", "POSITIVE", "The acting was wonderful."),
        ("story", "NEGATIVE", "The story was dreadful."),
    ]
    # Each aspect is read once with the review, and the mentioned ones with each sentence.
    assert len(request.texts) == len(ASPECTS) + 2 * 4


def test_no_aspect_is_mentioned() -> None:
    request: Any = ByWords()
    assert aspects.find(request, "I saw it in May. We left.") == []
    assert "mentions no aspect of the film" in views.aspects_table([], 0.5)
    with pytest.raises(InvalidText):
        aspects.find(request, " ")


def test_sentence_of_another_label_does_not_count() -> None:
    sentences = [GOOD, BAD]
    assert aspects._strongest("POSITIVE", sentences, [answer("NEGATIVE")] * 2) is None
    answers = [answer("POSITIVE", 0.7), answer("POSITIVE", 0.8)]
    assert aspects._strongest("POSITIVE", sentences, answers) == BAD
    assert aspects._strongest("POSITIVE", [GOOD], [InvalidText("no")]) is None


def test_table_is_escaped_and_says_where_an_aspect_contradicts_the_review() -> None:
    review = Prediction({"NEGATIVE": 0.1, "POSITIVE": 0.9}, 9, 9)
    found = [
        Aspect("acting", answer("POSITIVE"), "<b>Good</b>"),
        Aspect("story", answer("NEGATIVE"), None),
        Aspect("music", answer("NEGATIVE", 0.6, unsure=True), None),
        Aspect("pacing", answer("NEGATIVE"), None),
    ]
    html = views.aspects_table(found, 0.7, review)
    assert "Mixed</strong>: positive overall, but negative about story and pacing." in html
    assert "&lt;b&gt;Good&lt;/b&gt;" in html and "<b>Good" not in html
    assert "Uncertain, leaning negative" in html and "no single sentence" in html
    for other in (found[:1], [found[0], found[2]]):
        assert "Mixed" not in views.aspects_table(other, 0.7, review)
    unsure = Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, 9, 9, unsure=True)
    assert "Mixed" not in views.aspects_table(found, 0.7, unsure)


@pytest.fixture(scope="module")
def service(tiny_classifier: Path, aspect_run: Path) -> Service:
    pairs = Classifier.from_folder(aspect_run, pairs=True)
    return Service(Classifier.from_folder(tiny_classifier), aspects=pairs)


def test_model_of_pairs_answers(service: Service) -> None:
    assert service.aspects is not None and service.aspects.queue is service.queue
    found = aspects.find(service.aspects.request(EXPLANATION), f"{GOOD} {BAD}")
    assert {aspect.name for aspect in found} <= {"acting", "story"}
    (acting, story) = aspects.find(service.aspects.request(EXPLANATION), GOOD)
    assert (acting.prediction.label, acting.sentence) == ("POSITIVE", GOOD)
    (api, _) = Endpoints(service).aspects(GOOD)
    assert (api["aspect"], api["label"], api["sentence"]) == ("acting", "POSITIVE", GOOD)
    assert list(api["probabilities"]) == LABELS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "reads single texts"),
        ({"aspects": []}, "has no list of them in config.json"),
        ({"id2label": {"0": "BAD", "1": "GOOD", "2": "SO SO"}}, "has no label NOT_MENTIONED"),
    ],
)
def test_other_models_are_explained(
    changes: dict | None, reason: str, tiny_classifier: Path, aspect_run: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(aspect_run, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps({**config, **(changes or {})}))
    wrong = Service(Classifier.from_folder(model if changes else tiny_classifier, pairs=True))
    with pytest.raises(ModelUnavailable, match=f"ASPECT_MODEL_ID must name .* {reason}"):
        aspects.find(wrong.request(EXPLANATION), GOOD)


def test_zerogpu_answers_for_pairs(service: Service) -> None:
    assert service.aspects is not None
    (ours,) = zerogpu.predict_batch(service.aspects.classifier.load(), [(GOOD, "acting")])
    assert isinstance(ours, Prediction) and ours.label == "POSITIVE"


def results(service: Service, text: str) -> list[str]:
    review = Review.__new__(Review)  # without components, which need a server
    review.service, review.feedback, review.examples = service, Feedback(), Examples(service)
    return [step["html"] for step in review.analyze(text, 1, [0])]


def test_review_tab_has_the_table_only_with_a_model(service: Service) -> None:
    *_, before, last = results(service, GOOD)
    assert "Analyzing aspects" in before
    assert last.count('<tr><th scope="row">Acting</th>') == 1 and GOOD in last
    assert not any("spects" in html for html in results(Service(service.classifier), GOOD))


def test_failure_after_the_prediction_replaces_the_progress(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: Any, text: str) -> None:
        raise RuntimeError

    monkeypatch.setattr(review_tab, "explain", fail)
    tab = Review.__new__(Review)
    single = Service(service.classifier)
    tab.service, tab.feedback, tab.examples = single, Feedback(), Examples(single)
    steps = []
    with pytest.raises(RuntimeError):
        for step in tab.analyze(GOOD, 1, [0]):
            steps.append(step["html"])
    assert "Analyzing sentences" in steps[-2]
    assert 'class="prediction"' in steps[-1] and "The rest of the analysis failed" in steps[-1]


def test_missing_model_leaves_the_review_as_it_is(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = app.aspect_classifier({"ASPECT_MODEL_ID": "no such/name"})
    *_, last = results(Service(service.classifier, aspects=nowhere), GOOD)
    assert 'class="prediction"' in last
    assert "Aspects can&#x27;t be analyzed at the moment." in last
    assert "No aspects: ASPECT_MODEL_ID must be user/name" in caplog.text
    assert app.aspect_classifier({}) is None


def report_of(service: Service, frame: pandas.DataFrame, title: str = "title") -> Any:
    table = Table(frame, "reviews.csv", Columns("text", None, "title"), len(frame))
    task = _scoring_task(service)
    *_, (report, _) = task([table], FIRST, "text", NO_COLUMN, title, NO_COLUMN, NO_COLUMN)
    return report


def test_file_has_columns_and_a_heat_map(service: Service) -> None:
    texts = [GOOD, BAD, "", GOOD]
    frame = pandas.DataFrame({"text": texts, "title": ["One", "Two", "Two", "One"]})
    report = report_of(service, frame)
    added = [f"{name}_{kind}" for name in ASPECTS for kind in ("prediction", "probability")]
    added.append("mixed")
    assert list(report.scored.columns[-len(added) :]) == added
    assert report.scored["acting_prediction"].tolist()[:2] == ["POSITIVE", "NEGATIVE"]
    assert pandas.isna(report.scored["acting_prediction"][2])
    assert ("aspects_by_title" in report.charts()) == any(
        not cell.unsure for cell in report.aspects["acting"] if isinstance(cell, Prediction)
    )
    assert "aspects_by_title" not in report_of(service, frame, NO_COLUMN).charts()
    plain = report_of(Service(service.classifier), frame)
    assert not set(added) & set(plain.scored.columns) and "aspects_by_title" not in plain.charts()


def test_file_names_the_aspects_that_contradict_a_review() -> None:
    """By the rule of the Review tab, in the table, the download and the summary."""
    good, bad = (
        Prediction({"NEGATIVE": 1 - positive, "POSITIVE": positive}, 9, 9)
        for positive in (0.9, 0.1)
    )
    unsure = Prediction({"NEGATIVE": 0.4, "POSITIVE": 0.6}, 9, 9, unsure=True)
    reviews = [good, bad, unsure, good, InvalidText("The cell is empty.")]
    of_aspects = {
        "acting": [answer("POSITIVE")] * 4 + [InvalidText("The cell is empty.")],
        "story": [answer("NEGATIVE")] * 3 + [answer("NEGATIVE", 0.6, unsure=True)] * 2,
        "pacing": [answer("NEGATIVE")] * 3 + [answer("NOT_MENTIONED")] * 2,
    }
    expected = ["story, pacing", "acting", "", "", ""]
    frame = pandas.DataFrame({"text": [GOOD, BAD, GOOD, GOOD, ""]})
    report = Report(frame, reviews, list(good.probabilities), Columns("text"), aspects=of_aspects)
    assert report.scored["mixed"].tolist() == expected
    assert report.listing([1, 0])["mixed"].tolist() == expected[1::-1]
    assert '<p class="big">2</p><p class="small">mixed: an aspect contradicts' in report.summary()
    for contrary, review, row in zip(expected, reviews, range(len(reviews)), strict=True):
        found = [Aspect(name, rows[row], None) for name, rows in of_aspects.items()]
        if isinstance(review, Prediction):  # the Review tab shows no aspects of others
            html = views.aspects_table(found, 0.7, review)
            assert ("Mixed" in html) == bool(contrary)
    plain = Report(frame, reviews, list(good.probabilities), Columns("text"))
    assert "mixed" not in plain.scored.columns and "mixed" not in plain.listing().columns
    assert "mixed" not in plain.summary()


def test_file_without_aspects_says_why(service: Service, tiny_classifier: Path) -> None:
    single = Classifier.from_folder(tiny_classifier, pairs=True)
    report = report_of(
        Service(service.classifier, aspects=single),
        pandas.DataFrame({"text": [GOOD, BAD], "title": ["One", "Two"]}),
    )
    assert "Aspects can&#x27;t be analyzed at the moment." in report.summary()
    assert "acting_prediction" not in report.scored.columns


def test_neutral_aspects_are_not_positive() -> None:
    labels = ["NOT_MENTIONED", "NEGATIVE", "NEUTRAL", "POSITIVE"]
    answers: Any = {
        "acting": [
            Prediction({label: 0.9 if label == chosen else 0.03 for label in labels}, 1, 1)
            for chosen in ["NEUTRAL", "NEGATIVE", "POSITIVE", "NOT_MENTIONED"]
        ]
    }
    chart = file_aspects.by_title(answers, ["One"] * 4, ["One"])
    assert chart is not None
    (values,) = chart.to_dict()["datasets"].values()
    assert [(row["share"], row["n"]) for row in json.loads(values)] == [(pytest.approx(1 / 3), 3)]


def test_heat_map_counts_sure_mentions() -> None:
    no, yes = answer("NEGATIVE"), answer("POSITIVE")
    answers: Any = {
        "acting": [yes, no, yes, answer("NOT_MENTIONED"), InvalidText("no")],
        "story": [answer("NEGATIVE", 0.5, unsure=True), no, no, no, no],
    }
    titles = ["One", "One", "Two", "Two", "Two"]
    chart = file_aspects.by_title(answers, titles, ["Two", "One"])
    assert chart is not None
    (values,) = chart.to_dict()["datasets"].values()
    rows = json.loads(values)
    cells = {(row["title"], row["aspect"]): (row["share"], row["n"]) for row in rows}
    assert cells == {
        ("One", "Acting"): (0.5, 2), ("One", "Story"): (0, 1),
        ("Two", "Acting"): (1, 1), ("Two", "Story"): (0, 3),
    }  # fmt: skip
    assert file_aspects.by_title(answers, titles, []) is None
