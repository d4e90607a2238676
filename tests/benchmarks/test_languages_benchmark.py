"""Accuracy by language and cautions: what is counted, and what the table shows."""

from pathlib import Path

import pandas
import pytest

from benchmarks import languages

FRENCH = "Ce film est vraiment très ennuyeux, et les acteurs jouent mal."


def test_cautions_depend_on_the_languages_of_the_model() -> None:
    english = {"IMDb": ["This film is a bore from beginning to end.", "Good."]}
    counted = languages.cautions(
        english, {"fr": [FRENCH, FRENCH, "Oui"], "ko": ["참 좋은 영화였다"]}
    )
    assert counted["english"] == {
        "IMDb": {"n": 2, "share": 0},
        "fr": {"n": 3, "share": pytest.approx(2 / 3)},
        "ko": {"n": 1, "share": 1},
    }
    assert [row["share"] for row in counted["all"].values()] == [0, 0, 0]


def test_bag_of_words_is_chosen_on_the_training_rows() -> None:
    rows = [{"text": f"number {i} {['bad', 'good'][i % 2]} end", "label": i % 2} for i in range(60)]
    train, test = pandas.DataFrame(rows[:40]), pandas.DataFrame(rows[40:])
    kind, right = languages.bag_of_words(train, test)
    assert kind in languages.BAGS and right == 20


def test_accuracies_have_the_bag_and_each_run(tiny_classifier: Path, tmp_path: Path) -> None:
    rows = [{"text": f"number {i} {['bad', 'good'][i % 2]} end", "label": i % 2} for i in range(40)]
    for split in ["train", "test"]:
        pandas.DataFrame(rows).to_parquet(tmp_path / f"xx_{split}.parquet", index=False)
    measured = languages.accuracies(f"{tmp_path}/xx_", {"English model": tiny_classifier})
    assert measured["bag of words"]["accuracy"] == 1 and measured["n"] == 40
    assert 0 <= measured["English model"]["accuracy"] <= 1
    assert measured["English model"].pop("seconds") > 0
    shares = {"IMDb": {"n": 2, "share": 0.0}, "xx": {"n": 40, "share": 0.5}}
    size = languages.size(tiny_classifier)
    assert size["vocabulary"] == 2000 and size["megabytes"] > 4 * size["parameters"] / 1e6
    table = languages.table(
        {
            "cautions": {"english": shares, "all": shares},
            "accuracy": {"xx": measured},
            "runs": {"English model": size | {"texts_per_second": 12.3}},
        }
    )
    assert "| test texts | number | bag of words | English model | cautions," in table
    assert "| IMDb | 2 |  |  | 0.00% | 0.00% |" in table and "| xx | 40 | 100.0% |" in table
    assert "| English model | 0 M | 2,000 | 0 MB | 12 |" in table
