"""Checkpoints: complete or absent, equal bit for bit, and never a pickle."""

import json
import math
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from train.errors import RunError
from train.modeling import checkpoints
from train.modeling.checkpoints import Progress

HISTORY = {
    "train": [{"step": 1, "loss": 0.1 + 0.2}],
    "validation": [{"step": 1, "loss": 1 / 3}],
}


def trained(seed: int = 0) -> tuple[nn.Module, torch.optim.AdamW]:
    """A small model after one update, with its optimizer."""
    torch.manual_seed(seed)
    model = nn.Linear(8, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(4, 8)).sum().backward()
    optimizer.step()
    return model, optimizer


def save(folder: Path, step: int, seed: int = 0) -> Path:
    return checkpoints.save(folder, *trained(seed), None, Progress(step=step, history=HISTORY))


def test_peak_memory_is_the_maximum_over_the_processes_of_a_run(tmp_path: Path) -> None:
    model, optimizer = trained()
    earlier = 1e6  # of an earlier process, more than this one uses
    progress = Progress(step=1, history=HISTORY, peak_memory_mb=earlier)
    saved = checkpoints.save(tmp_path, model, optimizer, None, progress)
    resumed = checkpoints.load(saved, *trained(), None)
    resumed.record_peak_memory(torch.device("cpu"))
    assert resumed.peak_memory_mb == earlier
    fresh = Progress()
    fresh.record_peak_memory(torch.device("cpu"))
    assert 20 < fresh.peak_memory_mb < earlier


@contextmanager
def file_size_limit(max_bytes: int) -> Iterator[None]:
    """Writing more to a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def same(first: Any, second: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_load_restores_what_was_saved_bit_for_bit(tmp_path: Path) -> None:
    model, optimizer = trained()
    progress = Progress(7, 100, 1.5, 1 / 3, 2, False, HISTORY)
    saved = checkpoints.save(tmp_path, model, optimizer, None, progress)
    other_model, other_optimizer = trained(seed=1)
    assert checkpoints.load(saved, other_model, other_optimizer, None) == progress
    assert same(model.state_dict().values(), other_model.state_dict().values())
    for ours, theirs in zip(optimizer.state.values(), other_optimizer.state.values(), strict=True):
        assert set(ours) == set(theirs)
        assert same(ours.values(), [theirs[key] for key in ours])


def test_load_restores_a_run_before_its_first_validation(tmp_path: Path) -> None:
    saved = checkpoints.save(tmp_path, *trained(), None, Progress(step=1))
    assert checkpoints.load(saved, *trained(), None).best_loss == math.inf


def test_load_restores_the_loss_scale(tmp_path: Path) -> None:
    model, optimizer = trained()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**7)
    saved = checkpoints.save(tmp_path, model, optimizer, scaler, Progress(step=1))
    fresh = torch.amp.GradScaler("cpu")
    checkpoints.load(saved, model, optimizer, fresh)
    assert fresh.get_scale() == 2.0**7


def test_files_are_safetensors_and_json(tmp_path: Path) -> None:
    saved = save(tmp_path, 1)
    checkpoints.save_best(tmp_path, trained()[0])
    files = [file for file in (tmp_path / "checkpoints").rglob("*") if file.is_file()]
    assert {file.name for file in files} == {
        "best.safetensors",
        "model.safetensors",
        "optimizer.safetensors",
        "progress.json",
    }
    for file in files:
        content = file.read_bytes()
        header = int.from_bytes(content[:8], "little")  # of safetensors: its length, then JSON
        text = content if file.suffix == ".json" else content[8 : 8 + header]
        assert isinstance(json.loads(text), dict)
    assert saved == tmp_path / "checkpoints" / "step-00000001"


def test_newest_is_the_latest_update(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path) is None
    for step in [9, 10, 200]:
        assert checkpoints.newest(tmp_path) != save(tmp_path, step)
        assert checkpoints.newest(tmp_path) == tmp_path / "checkpoints" / f"step-{step:08d}"


def test_older_checkpoints_are_removed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]


def test_best_survives_new_checkpoints(tmp_path: Path) -> None:
    model, _ = trained(seed=3)
    checkpoints.save_best(tmp_path, model)
    save(tmp_path, 1)
    save(tmp_path, 2)
    other, _ = trained(seed=4)
    checkpoints.load_weights(checkpoints.best(tmp_path), other)
    assert same(model.state_dict().values(), other.state_dict().values())


def test_same_step_twice_keeps_the_second(tmp_path: Path) -> None:
    save(tmp_path, 1, seed=0)
    saved = save(tmp_path, 1, seed=5)
    model, optimizer = trained()
    checkpoints.load(saved, model, optimizer, None)
    assert same(model.state_dict().values(), trained(seed=5)[0].state_dict().values())


def test_full_disk_keeps_the_older_checkpoint(tmp_path: Path) -> None:
    older = save(tmp_path, 1)
    with file_size_limit(100), pytest.raises((OSError, RunError)):
        save(tmp_path, 2)
    assert checkpoints.newest(tmp_path) == older
    assert checkpoints.load(older, *trained(), None).step == 1
    assert list((tmp_path / "checkpoints").iterdir()) == [older]


def test_full_disk_keeps_the_older_best_weights(tmp_path: Path) -> None:
    checkpoints.save_best(tmp_path, trained()[0])
    before = checkpoints.best(tmp_path).read_bytes()
    with file_size_limit(100), pytest.raises((OSError, RunError)):
        checkpoints.save_best(tmp_path, trained(seed=1)[0])
    assert checkpoints.best(tmp_path).read_bytes() == before
    assert list((tmp_path / "checkpoints").iterdir()) == [checkpoints.best(tmp_path)]


def test_incomplete_checkpoint_is_ignored(tmp_path: Path) -> None:
    complete = save(tmp_path, 1)
    incomplete = complete.with_name("step-00000002.part")  # what a power cut leaves
    shutil.copytree(complete, incomplete)
    (incomplete / "progress.json").unlink()
    assert checkpoints.newest(tmp_path) == complete
    assert save(tmp_path, 2).name == "step-00000002"
    assert not incomplete.exists()


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated"])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "progress.json"])
def test_damaged_checkpoint_is_an_error(tmp_path: Path, name: str, damage: str) -> None:
    saved = save(tmp_path, 1)
    file = saved / name
    content = {"empty": b"", "truncated": file.read_bytes()[:-9], "missing": b""}[damage]
    file.write_bytes(content)
    if damage == "missing":
        file.unlink()
    with pytest.raises(RunError, match=f"checkpoint {saved} can't be read .* remove it to resume"):
        checkpoints.load(saved, *trained(), None)


def test_checkpoint_of_another_model_is_an_error(tmp_path: Path) -> None:
    saved = save(tmp_path, 1)
    other = nn.Linear(9, 3)
    with pytest.raises(RunError, match="size mismatch"):
        checkpoints.load(saved, other, torch.optim.AdamW(other.parameters()), None)
