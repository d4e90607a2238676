"""results.json that was cut or changed: a sentence, wherever it is read."""

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

WHOLE = results_of({"datasets": [{"source": "user/one"}, {"source": "two.csv"}]})
WHOLE["datasets"] = {str(number): WHOLE["metrics"]["test"] for number in range(2)}
TEXT = json.dumps(WHOLE)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in nested lists and dictionaries."""
    if not isinstance(value, dict | list):
        return []
    parts = [(*path, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    return parts + [found for part in parts for found in places(value[part[-1]], part)]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def is_usable_or_sentence(folder: Path, text: str) -> None:
    (folder / "results.json").write_text(text, encoding="utf-8")
    try:
        found = run_folder.load_results(folder)
        card.render(found, "user/m")
        run_folder.check_complete(folder)
        run_folder.check_split(folder, "test", "ab" * 32)
        published_files.public_files(folder)
    except TrainError as error:
        assert 0 < len(str(error)) < 1500


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything but results."""
    (tmp_path / "recipe.yaml").write_text(json.dumps(WHOLE["recipe"]), encoding="utf-8")
    (tmp_path / "onnx").mkdir()
    for name in [*run_folder.MODEL_FILES, "onnx/model.onnx"]:
        (tmp_path / name).touch()
    return tmp_path


def test_results_as_they_were_written_are_read(folder: Path) -> None:
    assert results.parse(TEXT) == WHOLE
    is_usable_or_sentence(folder, TEXT)
    assert "results.json" in published_files.public_files(folder)


@pytest.mark.parametrize(
    "text",
    [TEXT[:-1], TEXT[: len(TEXT) // 2], "", "7", "null", "[]", "[" * 100_000, '{"a":' * 100_000]
    + ["9" * 5000, '{"metrics": 7}', '{"metrics": {"test": "many"}}', '{"recipe": [1]}'],
)
def test_what_is_no_results_file_is_said(folder: Path, text: str) -> None:
    (folder / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="has no readable results: results.json") as caught:
        run_folder.load_results(folder)
    assert len(str(caught.value)) < 1000


def test_key_that_is_missing_is_named(folder: Path) -> None:
    changed = copy.deepcopy(WHOLE)
    del changed["data"]["splits"]["test"]["sha256"]
    (folder / "results.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(RunError, match="results.json lacks 'sha256': it was cut or changed"):
        run_folder.check_split(folder, "test", "ab" * 32)


junk = st.sampled_from([None, True, -1, 7, 1e300, float("nan"), "x", "9", [], {}, [1], {"a": 1}])


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(places(WHOLE)), junk, st.booleans())
def test_any_change_gives_a_card_or_a_sentence(
    folder: Path, place: tuple[Any, ...], value: Any, gone: bool
) -> None:
    changed = copy.deepcopy(WHOLE)
    inside = at(changed, place[:-1])
    if gone:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    is_usable_or_sentence(folder, json.dumps(changed))
