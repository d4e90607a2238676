"""The comparison of soft and plain labels: what differs is the labels alone."""

from benchmarks import stars
from train import recipe


def test_plain_variant_gives_each_value_its_most_probable_label() -> None:
    own = recipe.load("stars")
    plain = recipe.load("stars", stars.certain_labels(own))
    for soft, certain in zip(own.datasets, plain.datasets, strict=True):
        assert all(isinstance(target, str) for target in (certain.label_map or {}).values())
        assert list(certain.label_map or {}) == list(soft.label_map or {})
    assert (plain.datasets[0].label_map or {})["2"] == "1 star"
    assert (plain.datasets[0].label_map or {})["9"] == "5 stars"
    assert plain.model_copy(update={"datasets": own.datasets}) == own


def test_binary_label_is_the_side_of_the_scale() -> None:
    own, labels = recipe.load("stars"), ["NEGATIVE", "POSITIVE"]
    sides = [
        stars._side(own, target, 3, labels) for target in own.datasets[1].label_targets().values()
    ]
    assert sides == ["NEGATIVE", "NEGATIVE", None, "POSITIVE", "POSITIVE"]


def test_table_has_both_variants_and_the_verdicts() -> None:
    row = dict.fromkeys(stars.METRICS, 0.5)
    results = {
        "rows": {stars.SOFT: row, stars.PLAIN: row},
        "verdicts": {"imdb": {"stars": 0.93, "binary": 0.94, "n": 10}},
    }
    table = stars.table(results)
    assert "| soft labels | 50.00% | 50.00% | 0.500 | 0.500 | 0.500 | 50.00% |" in table
    assert "| imdb | 93.00% | 94.00% |" in table
