"""The Hub that published results are trained on: files stand in for datasets of the real one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from conftest import REPOSITORY

from benchmarks import record
from train import recipe

READ = """
import json, sys
from train.data import sources
from train.sections import Dataset
splits = sources.read(Dataset(**json.loads(sys.argv[1])))
print(json.dumps({name: [dict(row) for row in rows] for name, rows in splits.items()}))
"""


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """The beginning of the paths of two files, with columns `text` and `label`."""
    for split, label in [("train", 0), ("dev", 1)]:
        rows = pandas.DataFrame({"text": [split], "label": [label]})
        rows.to_parquet(tmp_path / f"no_{split}.parquet", index=False)
    return str(tmp_path / "no_")


def own_recipe(**dataset: str) -> recipe.Recipe:
    return recipe.parse({"name": "x", "base_model": "./base", "datasets": [dataset]})


def test_files_have_the_columns_splits_and_config_of_the_hub_dataset(prefix: str) -> None:
    own = own_recipe(
        source="owner/name", revision="a" * 40, config="binary", text="review", label="sentiment"
    )
    with record.hub_with([own], others={"owner/name": prefix}) as client:
        done = subprocess.run(
            [sys.executable, "-c", READ, own.datasets[0].model_dump_json()],
            env={**os.environ, **client}, cwd=REPOSITORY, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    splits = json.loads(done.stdout.splitlines()[-1])
    labels = {name: [(r["review"], r["sentiment"]) for r in rows] for name, rows in splits.items()}
    assert labels == {"train": [("train", 0)], "validation": [("dev", 1)]}


def test_base_model_from_a_folder_is_described(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = f"--base={recipe.load('multilingual').base_model}={tmp_path}"
    monkeypatch.setattr(
        sys, "argv", ["record", "multilingual", f"--imdb={tmp_path}", base, f"--out={tmp_path}"]
    )
    with pytest.raises(SystemExit):
        record.main()
    assert "add --set 'base_note=" in capsys.readouterr().err


def test_base_model_without_a_folder_is_refused() -> None:
    needed = [recipe.load("teacher")]
    with pytest.raises(SystemExit, match="none for sentence-transformers/all-mpnet-base-v2 — give"):
        with record.hub_with(needed, None, None):
            pass


def test_dataset_without_files_is_refused_before_any_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that only the base model was trained on: its reviews are compared with test."""
    monkeypatch.setattr(
        sys, "argv", ["record", "aspects", f"--imdb={tmp_path}", f"--out={tmp_path}"]
    )
    with pytest.raises(SystemExit):
        record.main()
    assert "got none for SetFit/sst5: add --sst5" in capsys.readouterr().err


def test_missing_files_are_named(tmp_path: Path) -> None:
    own = own_recipe(source="owner/name", revision="a" * 40)
    with (
        pytest.raises(
            SystemExit, match=r"no file .*/nn_train\.parquet: it stands in for owner/name"
        ),
        record.hub_with([own], others={"owner/name": f"{tmp_path}/nn_"}),
    ):
        pass
