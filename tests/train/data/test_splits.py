"""Splits: what identifies their content."""

import pytest

from train.data.splits import Split


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (Split(["a", "b"], [0, 1]), True),
        (Split(["a", "c"], [0, 1]), False),
        (Split(["a", "b"], [1, 0]), False),
        (Split(["b", "a"], [0, 1]), False),
        (Split(["ab", ""], [0, 1]), False),
        (Split(["a", "b"], [0, 1], pairs=["x", "y"]), False),
    ],
    ids=["equal", "text", "label", "order", "boundary", "pairs"],
)
def test_sha256_changes_with_the_content(changed: Split, same: bool) -> None:
    assert (Split(["a", "b"], [0, 1]).sha256() == changed.sha256()) is same
