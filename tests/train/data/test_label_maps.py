"""Proposed label maps: they keep rows, and can be pasted into a shell."""

import shlex

from hypothesis import given, settings
from hypothesis import strategies as st

from train import plain_yaml
from train import recipe as recipes
from train.data import label_maps
from train.sections import label_key


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(["-1", "0", "1", "2", "", "yes", "neg", "POS", "meh", "0.5"]),
        min_size=1,
        unique=True,
    ),
    st.sampled_from(
        [["NEGATIVE", "POSITIVE"], ["POSITIVE", "NEGATIVE"], ["1 star", "2 stars", "3 stars"]]
    ),
)
def test_proposed_map_keeps_some_rows(values: list[str], names: list[str]) -> None:
    proposed = label_maps.propose(values, {}, names)
    assert list(proposed) == values
    assert any(proposed.values()) or values == [""]
    choice = " or ".join(names)
    assert (
        choice in proposed.values()
        or set(names) <= set(proposed.values())
        or all(target or value in label_maps.UNLABELED for value, target in proposed.items())
    )


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(st.text(max_size=6).map(label_key), min_size=1, max_size=5, unique=True),
    st.sampled_from([["NEGATIVE", "POSITIVE"], ["a b", "c: d", "né"]]),
)
def test_proposed_map_survives_shell_and_yaml(values: list[str], names: list[str]) -> None:
    proposed = label_maps.propose(values, {}, names)
    recipe = recipes.parse({"name": "t", "base_model": "b", "datasets": [{"source": "a"}]})
    raw = recipe.model_dump() | {"labels": [*names, " or ".join(names)]}
    flag, assignment = shlex.split(label_maps.setting_argument(proposed, "datasets"))
    assert flag == "--set"
    plain_yaml.override(raw, assignment)
    assert recipes.parse(raw).datasets[0].label_map == proposed
