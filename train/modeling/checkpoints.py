"""Checkpoints: everything a stopped run needs to resume bit for bit, without a pickle.

In and out: `checkpoints/step-N/` with model.safetensors, optimizer.safetensors and progress.json,
and `checkpoints/best.safetensors`. A checkpoint is either complete or absent.
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
    """How far a run is; losses are means over rows, in nats."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    since_best: int = 0  # validations
    stopped: bool = False  # early
    history: dict[str, list[dict[str, float]]] = field(
        default_factory=lambda: {"train": [], "validation": []}
    )
    peak_memory_mb: float = 0.0

    def record_peak_memory(self, device: torch.device) -> None:
        """Update the peak over all processes of the run: a resumed run has several."""
        is_cuda = device.type == "cuda"
        peak = torch.cuda.max_memory_allocated() / 1e6 if is_cuda else environment.peak_memory_mb()
        self.peak_memory_mb = max(self.peak_memory_mb, peak)


def save(folder: Path, model: Any, optimizer: Any, scaler: Any, progress: Progress) -> Path:
    """Write `checkpoints/step-N` of a run folder, remove the older ones, and return its path.

    Raises:
        RunError: It can't be written; the checkpoint before it is kept.
    """
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
        raise _write_error(final, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for older in _steps(folder)[:-1]:
        shutil.rmtree(older)
    return final


def load(checkpoint: Path, model: Any, optimizer: Any, scaler: Any) -> Progress:
    """Load a checkpoint into model, optimizer and loss scaler.

    Raises:
        RunError: A file is missing or damaged.
    """
    try:
        load_weights(checkpoint / "model.safetensors", model)
        moments = load_file(checkpoint / "optimizer.safetensors")
        saved = json.loads((checkpoint / "progress.json").read_text(encoding="utf-8"))
    except Exception as error:
        raise RunError(
            f"checkpoint {checkpoint} can't be read ({error}) — remove it to resume from scratch"
        ) from error
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in moments.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    if scaler is not None and saved["scaler"]:
        scaler.load_state_dict(saved["scaler"])
    return Progress(**saved["progress"])


def newest(folder: Path) -> Path | None:
    """The checkpoint of the latest update, if there is one."""
    return next(reversed(_steps(folder)), None)


def best(folder: Path) -> Path:
    """The file with the weights of the lowest validation loss."""
    return folder / FOLDER / "best.safetensors"


def save_best(folder: Path, model: Any) -> None:
    """Save the weights as the best so far.

    Raises:
        RunError: They can't be written.
    """
    final = best(folder)
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.with_suffix(".part")
    try:
        save_file(_tensors(model), draft)
        draft.replace(final)
    except (OSError, SafetensorError) as error:
        raise _write_error(final, error) from error
    finally:
        draft.unlink(missing_ok=True)


def load_weights(file: Path, model: Any) -> None:
    """Load weights into a model that has exactly these parameters."""
    model.load_state_dict(load_file(file))


def _write_error(path: Path, error: Exception) -> RunError:
    return RunError(
        f"{path} can't be written ({error}) — the previous checkpoint is complete; free disk "
        "space, then run the same command to resume"
    )


def _steps(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).glob("step-????????"))


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
