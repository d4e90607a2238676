"""Languages that a model was not trained on: who gets a caution, and how it is shown."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import sample_rows

from space import views
from space.analysis.comparison import ModelAnswers, compare_answers, conclusions
from space.analysis.report import Report
from space.endpoints import to_json
from space.files.columns import Columns
from space.inference.classifier import Classifier, Prediction
from space.inference.languages import LanguageCheck, scripts
from space.service.schemas import Classification

ENGLISH = LanguageCheck(["en"], ["Latin"])
FRENCH = "Ce film est vraiment très ennuyeux, et les acteurs jouent mal."
CAUTION = "The model was trained on English, and this text looks like French."
SPANISH = "Una película maravillosa con actores excelentes y una historia triste."
# The static Space must answer the same.
CAUTIONS = [
    (FRENCH, "looks like French"),
    (SPANISH, "looks like Spanish"),
    ("Un film troppo lungo, e gli attori sembrano davvero stanchi.", "looks like Italian"),
    ("Ein wunderbarer Film mit großartigen Schauspielern.", "looks like German"),
    ("CE FILM EST VRAIMENT TROP LONG.", "looks like French"),
    ("참 좋은 영화였다", "is mostly in Hangul letters"),
    ("很好看", "is mostly in Chinese characters"),
    ("Отличный фильм, Brad Pitt!", "is mostly in Cyrillic letters"),
]
NO_CAUTION = [
    "Amélie is a joy.",
    "Bourne, Jason Bourne.",
    "Leonardo DiCaprio",
    "Krzysztof Kieślowski",
    "Marcello Mastroianni, Sophia Loren",
    "Cinema Paradiso by Giuseppe Tornatore",
    "A taut, intelligent psychological drama.",
    "The café scene in Léon made me cry, mon Dieu!",
    "I saw Сталкер (Stalker) twice and loved every minute of it.",
    "<br /><br />Boring.<br /><br />",
    "10/10 😍",
    "Bravo!",
    "Très bien",  # too short to tell
    "",
]


@pytest.mark.parametrize(("text", "reason"), CAUTIONS)
def test_other_languages_and_scripts_are_named(text: str, reason: str) -> None:
    expected = f"The model was trained on English, and this text {reason}."
    assert ENGLISH.caution(text) == expected


@pytest.mark.parametrize("text", NO_CAUTION)
def test_english_short_texts_and_names_get_no_caution(text: str) -> None:
    assert ENGLISH.caution(text) is None


def test_samples_get_no_caution() -> None:
    texts = [row["text"] for row in sample_rows("test")]
    assert [text for text in texts if ENGLISH.caution(text)] == []


def test_trained_languages_get_no_caution() -> None:
    several = LanguageCheck(["en", "fr", "no"], ["Latin"])
    assert several.caution(FRENCH) is None
    assert several.caution("Filmen er altfor lang, og skuespillerne virker slitne.") is None
    german = several.caution("Ein wunderbarer Film mit großartigen Schauspielern.")
    assert german == (
        "The model was trained on English, French, Norwegian, and this text looks like German."
    )


def test_model_without_languages_gives_no_caution() -> None:
    assert LanguageCheck([], []).caution(FRENCH) is None
    assert LanguageCheck(["tlh"], []).caution(FRENCH) is None  # Klingon: nothing can detect it


def test_scripts_are_those_of_many_letters() -> None:
    assert scripts(["A film. " * 50, "참 좋은 영화였다", "한"]) == ["Latin", "Hangul"]
    assert scripts(["A film. " * 500, "한"]) == ["Latin"]
    assert scripts(["这部电影很好看"]) == ["Han"]
    assert scripts(["10/10!"]) == []


@pytest.fixture(scope="module")
def classifier(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """The tiny classifier, by its config trained on English."""
    folder = tmp_path_factory.mktemp("english")
    shutil.copytree(tiny_classifier, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["text_languages"] == ["en"]
    (folder / "config.json").write_text(json.dumps(config | {"text_scripts": ["Latin"]}))
    return Classifier.from_folder(folder)


def test_verdict_on_another_language_is_unsure_with_a_caution(classifier: Classifier) -> None:
    french, english = classifier.predict_batch([FRENCH, "A film that I saw with my mother."])
    assert isinstance(french, Prediction) and isinstance(english, Prediction)
    assert french.unsure and french.language_caution == CAUTION
    assert english.language_caution is None
    assert english.unsure is (max(english.probabilities.values()) < classifier.unsure_below)
    assert to_json(french)["language_caution"] == CAUTION
    assert to_json(english)["language_caution"] is None
    assert Classification(**to_json(french)).language_caution == CAUTION


SURE = Prediction({"NEGATIVE": 0.02, "POSITIVE": 0.98}, tokens_read=9, tokens=9)
FOREIGN = Prediction(
    {"NEGATIVE": 0.02, "POSITIVE": 0.98}, 9, 9, unsure=True, language_caution=CAUTION
)


def test_card_shows_the_caution_instead_of_a_sure_verdict() -> None:
    card = views.prediction_card(FOREIGN, 0.7)
    assert f'<p class="problem">{CAUTION} Do not rely on this prediction.</p>' in card
    assert "Uncertain, leaning positive" in card
    assert "trained on" not in views.prediction_card(SURE, 0.7)


def test_file_counts_the_reviews_and_names_them() -> None:
    import pandas

    frame = pandas.DataFrame({"text": ["Great", FRENCH, "Good"]})
    labels = ["NEGATIVE", "POSITIVE"]
    report = Report(frame, [SURE, FOREIGN, SURE], labels, Columns("text"), unsure_below=0.7)
    assert (
        "in a language that the model was not trained on; these count as uncertain"
        in report.summary()
    )
    assert report.counts == {"POSITIVE": 2, "uncertain": 1, "NEGATIVE": 0}
    assert report.scored["language_caution"].tolist() == ["", CAUTION, ""]
    plain = Report(frame, [SURE] * 3, labels, Columns("text"), unsure_below=0.7)
    assert "language" not in plain.summary()
    assert "language_caution" not in plain.scored


def test_comparison_says_which_model_can_not_read_the_text() -> None:
    labels = ["NEGATIVE", "POSITIVE"]
    first = ModelAnswers("user/a", labels, [FOREIGN, SURE], 1.0, 0.7)
    second = ModelAnswers("user/b", labels, [SURE, SURE], 1.0, 0.7)
    sentences = conclusions(compare_answers(first, second, [FRENCH, "Great"]))
    told = f"A: {CAUTION} Do not rely on its prediction (1 of 2 reviews)."
    assert [sentence for sentence in sentences if "trained on" in sentence] == [told]
