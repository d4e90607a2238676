"""Checkpoints: all that a stopped run needs to go on bit for bit, without a pickle.

In and out: `checkpoints/step-N/` with model.safetensors, optimizer.safetensors and progress.json,
and `checkpoints/best.safetensors`. Each appears whole or not at all.
"""

import json
import math
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from train import environment
from train.errors import RunError

FOLDER = "checkpoints"


@dataclass
class Progress:
    """How far a run has come; losses are means over reviews, in nats."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    since_best: int = 0
    stopped: bool = False
    history: dict[str, list[dict[str, float]]] = field(
        default_factory=lambda: {"train": [], "validation": []}
    )
    peak_memory_mb: float = 0.0

    def note_memory(self, device: torch.device) -> None:
        """Keep the most that any process of the run has held: what was interrupted has several."""
        cuda = device.type == "cuda"
        held = torch.cuda.max_memory_allocated() / 1e6 if cuda else environment.peak_memory_mb()
        self.peak_memory_mb = max(self.peak_memory_mb, held)


def save(folder: Path, model: Any, optimizer: Any, scaler: Any, progress: Progress) -> Path:
    """Write `checkpoints/step-N`, then remove the ones before it."""
    final = folder / FOLDER / f"step-{progress.step:08d}"
    draft = final.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        save_file(_tensors(model), draft / "model.safetensors")
        state = optimizer.state_dict()["state"]
        moments = {f"{i}.{k}": v.cpu() for i, entry in state.items() for k, v in entry.items()}
        save_file(moments, draft / "optimizer.safetensors")
        scale = scaler.state_dict() if scaler is not None else {}
        text = json.dumps({"progress": asdict(progress), "scaler": scale})
        (draft / "progress.json").write_text(text, encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
    except (OSError, SafetensorError) as error:
        raise _unwritten(final, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for older in _all(folder)[:-1]:
        shutil.rmtree(older)
    return final


def load(checkpoint: Path, model: Any, optimizer: Any, scaler: Any) -> Progress:
    """Put a checkpoint's state into model, optimizer and loss scaler.

    Raises:
        RunError: A file is missing or damaged.
    """
    try:
        load_weights(checkpoint / "model.safetensors", model)
        moments = load_file(checkpoint / "optimizer.safetensors")
        kept = json.loads((checkpoint / "progress.json").read_text(encoding="utf-8"))
    except Exception as error:
        raise RunError(
            f"checkpoint {checkpoint} can't be read ({error}) — remove it to resume from scratch"
        ) from error
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in moments.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    if scaler is not None and kept["scaler"]:
        scaler.load_state_dict(kept["scaler"])
    return Progress(**kept["progress"])


def newest(folder: Path) -> Path | None:
    """The checkpoint of the latest update, if there is one."""
    found = _all(folder)
    return found[-1] if found else None


def best(folder: Path) -> Path:
    """Where the weights of the lowest validation loss are."""
    return folder / FOLDER / "best.safetensors"


def save_best(folder: Path, model: Any) -> None:
    """Keep these weights as the best so far."""
    final = best(folder)
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.with_suffix(".part")
    try:
        save_file(_tensors(model), draft)
        draft.replace(final)
    except (OSError, SafetensorError) as error:
        raise _unwritten(final, error) from error
    finally:
        draft.unlink(missing_ok=True)


def load_weights(file: Path, model: Any) -> None:
    """Put saved weights into the model, strictly."""
    model.load_state_dict(load_file(file))


def _unwritten(path: Path, error: Exception) -> RunError:
    return RunError(
        f"{path} can't be written ({error}) — the checkpoint before it is whole; make room, then "
        "run the same command with --resume"
    )


def _all(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).glob("step-????????"))


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
