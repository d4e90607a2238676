"""Checkpoints: whole or not there, bit for bit, and never a pickle."""

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


def test_the_peak_of_memory_is_that_of_all_the_run_s_processes(tmp_path: Path) -> None:
    model, optimizer = trained()
    held = 1e6  # of a process before, more than this one holds
    progress = Progress(step=1, history=HISTORY, peak_memory_mb=held)
    saved = checkpoints.save(tmp_path, model, optimizer, None, progress)
    resumed = checkpoints.load(saved, *trained(), None)
    resumed.note_memory(torch.device("cpu"))
    assert resumed.peak_memory_mb == held
    fresh = Progress()
    fresh.note_memory(torch.device("cpu"))
    assert 20 < fresh.peak_memory_mb < held


@contextmanager
def no_file_beyond(most_bytes: int) -> Iterator[None]:
    """Writing more to any file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def same(first: Any, second: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model, optimizer = trained()
    progress = Progress(7, 100, 1.5, 1 / 3, 2, False, HISTORY)
    saved = checkpoints.save(tmp_path, model, optimizer, None, progress)
    other_model, other_optimizer = trained(seed=1)
    assert checkpoints.load(saved, other_model, other_optimizer, None) == progress
    assert same(model.state_dict().values(), other_model.state_dict().values())
    for ours, theirs in zip(optimizer.state.values(), other_optimizer.state.values(), strict=True):
        assert set(ours) == set(theirs)
        assert same(ours.values(), [theirs[key] for key in ours])


def test_run_without_a_validation_yet_comes_back(tmp_path: Path) -> None:
    saved = checkpoints.save(tmp_path, *trained(), None, Progress(step=1))
    assert checkpoints.load(saved, *trained(), None).best_loss == math.inf


def test_loss_scale_comes_back(tmp_path: Path) -> None:
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


def test_older_ones_are_removed(tmp_path: Path) -> None:
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


def test_disk_that_fills_up_leaves_the_older_one_whole(tmp_path: Path) -> None:
    older = save(tmp_path, 1)
    with no_file_beyond(100), pytest.raises((OSError, RunError)):
        save(tmp_path, 2)
    assert checkpoints.newest(tmp_path) == older
    assert checkpoints.load(older, *trained(), None).step == 1
    assert list((tmp_path / "checkpoints").iterdir()) == [older]


def test_disk_that_fills_up_leaves_the_older_best(tmp_path: Path) -> None:
    checkpoints.save_best(tmp_path, trained()[0])
    before = checkpoints.best(tmp_path).read_bytes()
    with no_file_beyond(100), pytest.raises((OSError, RunError)):
        checkpoints.save_best(tmp_path, trained(seed=1)[0])
    assert checkpoints.best(tmp_path).read_bytes() == before
    assert list((tmp_path / "checkpoints").iterdir()) == [checkpoints.best(tmp_path)]


def test_half_written_one_is_not_taken(tmp_path: Path) -> None:
    whole = save(tmp_path, 1)
    half = whole.with_name("step-00000002.part")  # what a power cut leaves
    shutil.copytree(whole, half)
    (half / "progress.json").unlink()
    assert checkpoints.newest(tmp_path) == whole
    assert save(tmp_path, 2).name == "step-00000002"
    assert not half.exists()


@pytest.mark.parametrize("harm", ["missing", "empty", "cut"])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "progress.json"])
def test_damaged_one_is_named(tmp_path: Path, name: str, harm: str) -> None:
    saved = save(tmp_path, 1)
    file = saved / name
    content = {"empty": b"", "cut": file.read_bytes()[:-9], "missing": b""}[harm]
    file.write_bytes(content)
    if harm == "missing":
        file.unlink()
    with pytest.raises(RunError, match=f"checkpoint {saved} can't be read .* remove it to resume"):
        checkpoints.load(saved, *trained(), None)


def test_one_of_another_model_is_refused(tmp_path: Path) -> None:
    saved = save(tmp_path, 1)
    other = nn.Linear(9, 3)
    with pytest.raises(RunError, match="size mismatch"):
        checkpoints.load(saved, other, torch.optim.AdamW(other.parameters()), None)
