"""results.json that is truncated or was edited: every reader raises a one-line error."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_card import results_of

from train import results, run_folder
from train.errors import RunError, TrainError
from train.publishing import card, published_files

RESULTS = results_of({"datasets": [{"source": "user/one"}, {"source": "two.csv"}]})
RESULTS["datasets"] = {str(number): RESULTS["metrics"]["test"] for number in range(2)}
TEXT = json.dumps(RESULTS)


def all_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in nested lists and dictionaries."""
    if not isinstance(value, dict | list):
        return []
    parts = [(*path, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    return parts + [path for part in parts for path in all_paths(value[part[-1]], part)]


def value_at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def read_or_raise_train_error(folder: Path, text: str) -> None:
    (folder / "results.json").write_text(text, encoding="utf-8")
    try:
        card.render(run_folder.load_results(folder), "user/m")
        run_folder.check_complete(folder)
        run_folder.check_split(folder, "test", "ab" * 32)
        published_files.public_files(folder)
    except TrainError as error:
        assert 0 < len(str(error)) < 1500


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder without results.json."""
    (tmp_path / "recipe.yaml").write_text(json.dumps(RESULTS["recipe"]), encoding="utf-8")
    (tmp_path / "onnx").mkdir()
    for name in [*run_folder.MODEL_FILES, "onnx/model.onnx"]:
        (tmp_path / name).touch()
    return tmp_path


def test_written_results_can_be_read(folder: Path) -> None:
    assert results.parse(TEXT) == RESULTS
    read_or_raise_train_error(folder, TEXT)
    assert "results.json" in published_files.public_files(folder)


@pytest.mark.parametrize(
    "text",
    [TEXT[:-1], TEXT[: len(TEXT) // 2], "", "7", "null", "[]", "[" * 100_000, '{"a":' * 100_000]
    + ["9" * 5000, '{"metrics": 7}', '{"metrics": {"test": "many"}}', '{"recipe": [1]}'],
)
def test_invalid_file_is_reported(folder: Path, text: str) -> None:
    (folder / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="has no readable results: results.json") as caught:
        run_folder.load_results(folder)
    assert len(str(caught.value)) < 1000


def test_missing_key_is_reported(folder: Path) -> None:
    changed = copy.deepcopy(RESULTS)
    del changed["data"]["splits"]["test"]["sha256"]
    (folder / "results.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(RunError, match="results.json has no key 'sha256': it is truncated"):
        run_folder.check_split(folder, "test", "ab" * 32)


unexpected = st.sampled_from(
    [None, True, -1, 7, 1e300, float("nan"), "x", "9", [], {}, [1], {"a": 1}]
)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(all_paths(RESULTS)), unexpected, st.booleans())
def test_any_edit_gives_a_card_or_a_train_error(
    folder: Path, path: tuple[Any, ...], value: Any, is_removed: bool
) -> None:
    changed = copy.deepcopy(RESULTS)
    section = value_at(changed, path[:-1])
    if is_removed:
        del section[path[-1]]
    else:
        section[path[-1]] = value
    read_or_raise_train_error(folder, json.dumps(changed))
