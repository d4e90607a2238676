"""Labels of a scale: their numbers, their unit, and the expected value."""

import pytest

from space.inference.labels import expected_value, label_values, unit

STARS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]


@pytest.mark.parametrize(
    ("labels", "values", "name"),
    [
        (STARS, [1, 2, 3, 4, 5], "stars"),
        (["0 points", "5 points", "10 points"], [0, 5, 10], "points"),
        (["0.5 Stars", "1 Star", "1.5 Stars"], [0.5, 1, 1.5], "stars"),
        (["1_STAR", "2_STARS", "3_STARS"], [1, 2, 3], "stars"),
        (["1-star", "2-stars", "3-stars"], [1, 2, 3], "stars"),
    ],
)
def test_numbers_with_a_unit_are_a_scale(labels: list[str], values: list[float], name: str) -> None:
    assert label_values(labels) == values
    assert unit(labels) == name


@pytest.mark.parametrize(
    "labels",
    [
        ["NEGATIVE", "POSITIVE"],
        ["negative", "neutral", "positive"],
        ["0", "1", "2"],  # codes of any classes
        ["LABEL_0", "LABEL_1", "LABEL_2"],
        ["1 star", "5 stars"],
        ["3 stars", "2 stars", "1 star"],
        ["1 star", "1 star ", "2 stars"],
        ["1 star", "2 apples", "3 stars"],
        ["1st", "2nd", "3rd"],
        ["1 star", "2 stars", "unknown"],
    ],
)
def test_other_labels_are_no_scale(labels: list[str]) -> None:
    assert label_values(labels) is None
    assert unit(labels) is None
    assert expected_value(dict.fromkeys(labels, 1 / len(labels))) is None


def test_expected_value_is_the_mean_of_the_numbers() -> None:
    assert expected_value(dict(zip(STARS, [0, 0, 0.2, 0.5, 0.3], strict=True))) == pytest.approx(
        4.1
    )
    assert expected_value(dict.fromkeys(STARS, 0.2)) == pytest.approx(3)
