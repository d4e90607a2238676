"""The training loop, on accelerate.

In: a model and tokens. Out: the model with its best weights, and a history. The loop writes
checkpoints, from which a stopped run resumes bit for bit.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from train.data.splits import IntArray
from train.data.tokens import Tokens, batches, tensors
from train.errors import Diverged, Interrupted, RunError
from train.modeling import checkpoints, cpu
from train.modeling.checkpoints import Progress
from train.modeling.losses import classification_loss
from train.modeling.schedule import (
    learning_rate_factor,
    parameter_groups,
    plan_updates,
    validation_steps,
)
from train.recipe import Recipe
from train.signals import StopRequest

LOG_POINTS = 200  # points of the training curve, however long the run
STOP_CHECK_UPDATES = 10  # how often several processes exchange whether to stop


def fit(
    model: Any,
    recipe: Recipe,
    accelerator: Accelerator,
    train: Tokens,
    validation: Tokens,
    pad_id: int,
    folder: Path,
    *,
    weights: Any = None,
    resume: bool = False,
    after_checkpoint: Callable[[Path], None] | None = None,
) -> Progress:
    """Train; the model ends with the weights of the lowest validation loss.

    Args:
        model: A classifier of transformers, fp32.
        recipe: The numbers of the training.
        accelerator: From `accelerator_for`.
        train: Rows to train on, truncated to `max_tokens`.
        validation: Rows to select the weights on.
        pad_id: Token id of the padding.
        folder: The run folder; the checkpoints go to `checkpoints/` in it.
        weights: How often an epoch reads each row of `train`, on average, (rows,); None: once.
        resume: Start from the newest checkpoint in the folder, if there is one.
        after_checkpoint: Called with the folder of each new checkpoint, to copy it elsewhere.

    Raises:
        Diverged: The loss became NaN; the last good checkpoint is kept.
        Interrupted: Ctrl-C or SIGTERM, after writing a checkpoint.
        RunError: The checkpoint can't be read, or processes have different ones.
    """
    if accelerator.device.type == "cpu":
        cpu.prepare(model, accelerator.mixed_precision)
    prepared, optimizer = accelerator.prepare(model, _optimizer(model, recipe))
    updates, epoch_ends = plan_updates(
        train.lengths, recipe.epochs, recipe.batch_tokens, recipe.seed, weights
    )
    progress = Progress()
    if resume and (newest := checkpoints.newest(folder)):
        progress = checkpoints.load(newest, model, optimizer, accelerator.scaler)
    _check_same_update(accelerator, progress, folder)
    _Training(
        recipe, accelerator, model, prepared, optimizer, train, validation, pad_id, folder,
        updates, epoch_ends, progress, after_checkpoint,
    ).run()  # fmt: skip
    checkpoints.load_weights(checkpoints.best(folder), model)
    accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)  # ends autocast, in place
    return progress


def _check_same_update(accelerator: Accelerator, progress: Progress, folder: Path) -> None:
    """Raise `RunError` unless all processes start from the same update."""
    step = torch.tensor([progress.step], device=accelerator.device)
    steps = accelerator.gather(step).tolist()
    if len(set(steps)) > 1:
        raise RunError(
            f"all processes must start from the same update, got {', '.join(map(str, steps))} — "
            f"put {folder} on a disk that all machines share"
        )


def _optimizer(model: Any, recipe: Recipe) -> torch.optim.AdamW:
    rates = recipe.learning_rate, recipe.head_learning_rate
    groups = parameter_groups(model, *rates, recipe.weight_decay)
    return torch.optim.AdamW(groups, fused=True)


def statistics(progress: Progress, accelerator: Accelerator) -> dict[str, Any]:
    """Training statistics for results.json.

    Returns:
        `history` (losses in nats), `updates`, `seconds`, `tokens_per_second`, `precision` and
        `peak_memory_mb`.
    """
    progress.record_peak_memory(accelerator.device)
    precision = accelerator.mixed_precision
    return {
        "history": progress.history,
        "updates": progress.step,
        "seconds": progress.seconds,
        "tokens_per_second": progress.tokens / progress.seconds,
        "precision": "fp32" if precision == "no" else precision,
        "peak_memory_mb": progress.peak_memory_mb,
    }


@dataclass
class _Training:
    """The state of one training run, and its loop."""

    recipe: Recipe
    accelerator: Accelerator
    model: Any
    prepared: nn.Module  # the model as accelerate wraps it
    optimizer: Any
    train: Tokens
    validation: Tokens
    pad_id: int
    folder: Path
    updates: list[IntArray]  # the rows of each update, over all epochs
    epoch_ends: list[int]  # updates done at the end of each epoch
    progress: Progress
    after_checkpoint: Callable[[Path], None] | None

    @cached_property
    def micro_batch_tokens(self) -> int:
        """Padded tokens of one forward pass, unless a single row has more."""
        is_cpu = self.accelerator.device.type == "cpu"
        default = cpu.MICRO_BATCH_TOKENS if is_cpu else self.recipe.batch_tokens
        return self.recipe.micro_batch_tokens or default

    @cached_property
    def rows_per_update(self) -> float:
        """The mean number of rows, by which the loss of every update is divided."""
        return sum(len(rows) for rows in self.updates) / max(1, len(self.updates))

    def run(self) -> None:
        """Run the updates that are left."""
        progress, total = self.progress, len(self.updates)
        if progress.step:
            tqdm.write(f"resuming from update {progress.step} of {total} in {self.folder}")
        validate_at = validation_steps(self.epoch_ends, self.recipe.evaluations_per_epoch)
        log_every = max(1, total // LOG_POINTS)
        loss_sum = torch.zeros((), device=self.accelerator.device)
        rows_in_sum = 0
        start, seconds_before = time.perf_counter(), progress.seconds
        is_main = self.accelerator.is_main_process
        bar = tqdm(
            total=total, initial=progress.step, desc="train", unit="update", disable=not is_main
        )
        with StopRequest() as stop, bar:
            while progress.step < total and not progress.stopped:
                rows = self.updates[progress.step]
                loss_sum += self._update(progress.step)
                rows_in_sum += len(rows)
                progress.step += 1
                progress.tokens += int(self.train.lengths[rows].sum())
                progress.seconds = seconds_before + time.perf_counter() - start
                bar.update()
                validating = progress.step in validate_at
                stopping = self._stop_requested(stop)
                saving = progress.step % self.recipe.checkpoint_every == 0 or stopping
                if validating or saving or progress.step % log_every == 0:
                    self._log(float(self.accelerator.reduce(loss_sum)) / rows_in_sum, bar)
                    loss_sum.zero_()
                    rows_in_sum = 0
                if validating:
                    self._validate(bar)
                if saving or (validating and not progress.stopped):
                    self._save_checkpoint()
                if stopping and progress.step < total:
                    raise Interrupted(
                        f"stopped at update {progress.step} of {total}; checkpoint in "
                        f"{self.folder / checkpoints.FOLDER} — run the same command to resume"
                    )

    def _update(self, step: int) -> torch.Tensor:
        """Run one optimizer step; returns the sum of this process's losses, on the device.

        Every row has the same weight in whichever pass it is, so neither the number of processes
        nor `micro_batch_tokens` changes the result.
        """
        accelerator, recipe = self.accelerator, self.recipe
        # Dropout depends on the update alone, so that resuming needs no generator state.
        torch.manual_seed(hash((recipe.seed, step, accelerator.process_index)) % 2**63)
        factor = learning_rate_factor(step, len(self.updates), recipe.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        parts = np.array_split(self.updates[step], accelerator.num_processes * self._passes(step))
        own_parts = parts[accelerator.process_index :: accelerator.num_processes]
        self.prepared.train()
        total = torch.zeros((), device=accelerator.device)
        for i, rows in enumerate(own_parts):
            # A process without rows still takes part in the exchange of gradients, with weight 0.
            weight = 1.0 if len(rows) else 0.0
            rows = rows if len(rows) else self.updates[step][:1]
            is_last = i == len(own_parts) - 1
            with nullcontext() if is_last else accelerator.no_sync(self.prepared):
                loss = weight * self._row_losses(self.prepared, self.train, rows).sum()
                # Gradients are averaged over processes; the update needs their sum.
                accelerator.backward(loss * accelerator.num_processes / self.rows_per_update)
            total += loss.detach()
        accelerator.clip_grad_norm_(self.prepared.parameters(), recipe.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def _passes(self, step: int) -> int:
        """The number of forward passes that each process needs for an update."""
        rows, processes = self.updates[step], self.accelerator.num_processes
        padded = len(rows) * int(self.train.lengths[rows].max())
        passes = math.ceil(padded / processes / self.micro_batch_tokens)
        return int(min(passes, math.ceil(len(rows) / processes)))

    def _row_losses(self, model: Any, tokens: Tokens, rows: IntArray) -> torch.Tensor:
        """The loss of each row, (rows,)."""
        device = self.accelerator.device
        batch = tensors(tokens, rows, self.pad_id, device)
        labels = torch.from_numpy(tokens.labels[rows]).to(device, non_blocking=True)
        with self.accelerator.autocast():
            logits = model(**batch).logits.float()  # (rows, labels)
            return classification_loss(logits, labels, self.recipe.distillation)

    def _validate(self, bar: "tqdm[Any]") -> None:
        """Record the mean validation loss, save the best weights, decide on early stopping."""
        accelerator, progress = self.accelerator, self.progress
        groups = batches(self.validation.lengths, 2 * self.micro_batch_tokens, seed=None)
        # The unwrapped model: processes may have different numbers of batches, so a forward pass
        # must not wait for the other processes.
        model = accelerator.unwrap_model(self.prepared).eval()
        total = torch.zeros((), device=accelerator.device)
        with torch.inference_mode():
            for rows in groups[accelerator.process_index :: accelerator.num_processes]:
                total += self._row_losses(model, self.validation, rows).sum()
        loss = float(accelerator.reduce(total)) / len(self.validation.labels)
        if not math.isfinite(loss):
            raise self._diverged(f"the validation loss is {loss}")
        progress.history["validation"].append({"step": progress.step, "loss": loss})
        is_best = loss < progress.best_loss
        progress.since_best = 0 if is_best else progress.since_best + 1
        if is_best:
            progress.best_loss = loss
            if accelerator.is_main_process:
                checkpoints.save_best(self.folder, self.model)
        patience = self.recipe.early_stopping_patience
        progress.stopped = patience is not None and progress.since_best >= patience
        if accelerator.is_main_process:
            note = "best so far" if is_best else f"best is {progress.best_loss:.4f}"
            note += "; stopping early" if progress.stopped else ""
            bar.write(f"update {progress.step}: validation loss {loss:.4f} ({note})")

    def _log(self, loss: float, bar: "tqdm[Any]") -> None:
        """Record the mean training loss since the last call."""
        progress = self.progress
        if not math.isfinite(loss):
            raise self._diverged(f"the loss became {loss}")
        progress.history["train"].append({"step": progress.step, "loss": loss})
        speed = progress.tokens / max(progress.seconds, 1e-9)
        bar.set_postfix_str(f"loss {loss:.4f}, {speed:,.0f} tokens/s")

    def _save_checkpoint(self) -> None:
        """Write a checkpoint in the main process, unless the weights are no longer finite."""
        accelerator, progress = self.accelerator, self.progress
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise self._diverged("weights became NaN or infinite")
        progress.record_peak_memory(accelerator.device)
        if accelerator.is_main_process:
            checkpoint = checkpoints.save(
                self.folder, self.model, self.optimizer, accelerator.scaler, progress
            )
            if self.after_checkpoint:
                self.after_checkpoint(checkpoint)
        accelerator.wait_for_everyone()

    def _stop_requested(self, stop: StopRequest) -> bool:
        """Whether any process got a signal; several processes exchange it every few updates."""
        if self.accelerator.num_processes == 1:
            return stop.requested
        if self.progress.step % STOP_CHECK_UPDATES:
            return False
        requested = torch.tensor(float(stop.requested), device=self.accelerator.device)
        return bool(self.accelerator.reduce(requested))

    def _diverged(self, reason: str) -> Diverged:
        return Diverged(
            f"{reason} by update {self.progress.step} — the last good checkpoint is kept in "
            f"{self.folder / checkpoints.FOLDER}; try a lower learning_rate, a longer "
            "warmup_fraction, a lower max_grad_norm, or precision=fp32"
        )
