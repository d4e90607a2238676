"""The training loop, on accelerate, and nothing else.

In: a model and tokens. Out: the model with its best weights, and a history; on the way,
checkpoints from which a stopped run goes on as if it had never stopped.
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
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from train.data.preparation import IntArray
from train.data.tokens import Tokens, batches, tensors
from train.errors import Diverged, Interrupted, RecipeError
from train.modeling import checkpoints, cpu
from train.modeling.checkpoints import Progress
from train.recipe import Recipe
from train.signals import StopRequest

LOG_POINTS = 200  # points of the training curve, however long the run

# The loss of each row, (rows,), of a model, a batch and labels, which are numbers or, (rows,
# labels), probabilities; called under autocast.
Objective = Callable[[Any, dict[str, torch.Tensor], torch.Tensor], torch.Tensor]


def choose_precision(recipe: Recipe) -> str:
    """`fp16`, `bf16` or `fp32`: what the recipe asks for, or the fastest that trains well here.

    Raises:
        RecipeError: fp16 without a CUDA GPU.
    """
    cuda = torch.cuda.is_available()
    if recipe.precision == "fp16" and not cuda:
        raise RecipeError(
            "precision fp16 needs a CUDA GPU, and none is here — use --set precision=auto, which "
            "takes bf16 on a CPU that multiplies it and fp32 elsewhere"
        )
    if recipe.precision != "auto":
        return recipe.precision
    if cuda:
        return "fp16"
    return "bf16" if not torch.backends.mps.is_available() and cpu.bf16_is_faster() else "fp32"


def accelerator_for(recipe: Recipe) -> Accelerator:
    """The accelerator in the recipe's precision, on whatever devices this was launched."""
    precision = choose_precision(recipe)
    # accelerate keeps to the precision of the first training in a process, but for this.
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision="no" if precision == "fp32" else precision)


@dataclass
class Run:
    """What one training run holds together."""

    recipe: Recipe
    accelerator: Accelerator
    model: nn.Module  # as prepared by accelerate
    optimizer: Any
    train: Tokens
    validation: Tokens
    pad_id: int
    objective: Objective
    plan: list[IntArray]  # rows of each update, over all epochs
    epoch_ends: list[int]  # updates done at the end of each epoch

    @cached_property
    def micro_batch_tokens(self) -> int:
        """Padded tokens of one pass, unless one review has more."""
        device = self.accelerator.device.type
        usual = cpu.PASS_TOKENS if device == "cpu" else self.recipe.batch_tokens
        return self.recipe.micro_batch_tokens or usual

    @cached_property
    def reviews_per_update(self) -> float:
        """The mean, by which the losses of every update are divided."""
        return sum(len(rows) for rows in self.plan) / max(1, len(self.plan))


def fit(
    model: Any,
    recipe: Recipe,
    accelerator: Accelerator,
    train: Tokens,
    validation: Tokens,
    pad_id: int,
    folder: Path,
    *,
    objective: Objective | None = None,
    weights: Any = None,
    resume: bool = False,
    after_checkpoint: Callable[[Path], None] | None = None,
) -> Progress:
    """Train; the model ends with the weights of the lowest validation loss.

    Args:
        model: A classifier of transformers, fp32.
        recipe: Its numbers; only those of the training are read here.
        accelerator: From `accelerator_for`.
        train: What to learn from; already cut to `max_tokens`.
        validation: What to choose on.
        pad_id: Token id that fills batches up.
        folder: The run folder; checkpoints go to `checkpoints/` in it.
        objective: What is minimised; `classification` of the recipe when left out.
        weights: How often an epoch meets each row of `train`, on average, (rows,); None: once.
        resume: Go on from the newest checkpoint there, if there is one.
        after_checkpoint: Called with the folder of each checkpoint, to copy it elsewhere.

    Raises:
        Diverged: The loss became NaN; the last checkpoint before is kept.
        Interrupted: Ctrl-C or SIGTERM, after writing a checkpoint.
    """
    if accelerator.device.type == "cpu":
        cpu.tune_malloc()
        cpu.use_fast_dropout(model)
        if accelerator.mixed_precision == "bf16":
            cpu.use_fast_attention(model)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe), fused=True)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    plan, epoch_ends = plan_updates(train.lengths, recipe, weights)
    run = Run(
        recipe, accelerator, prepared, optimizer, train, validation, pad_id,
        objective or classification(recipe), plan, epoch_ends,
    )  # fmt: skip
    progress = Progress()
    if resume and (last := checkpoints.newest(folder)):
        progress = checkpoints.load(last, model, optimizer, accelerator.scaler)
        tqdm.write(f"resuming from update {progress.step} of {len(plan)} ({last})")
    save = _Saver(run, model, folder, progress, after_checkpoint)
    _train(run, progress, save)
    checkpoints.load_weights(checkpoints.best(folder), model)
    # Out of autocast again: what follows is in fp32, as the model's callers are.
    accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    return progress


def plan_updates(
    lengths: IntArray, recipe: Recipe, weights: Any = None
) -> tuple[list[IntArray], list[int]]:
    """The rows of every update of the run and, for each epoch, the updates done at its end."""
    plan: list[IntArray] = []
    ends: list[int] = []
    for epoch in range(recipe.epochs):
        rows = np.arange(len(lengths)) if weights is None else _drawn(weights, (recipe.seed, epoch))
        plan += [rows[b] for b in batches(lengths[rows], recipe.batch_tokens, (recipe.seed, epoch))]
        ends.append(len(plan))
    return plan, ends


def _drawn(weights: Any, seed: tuple[int, ...]) -> IntArray:
    """Row numbers of an epoch: each as often as its weight says, the fraction by lot."""
    whole = np.floor(weights)
    more = np.random.default_rng((*seed, 1)).random(len(weights)) < weights - whole
    return np.repeat(np.arange(len(weights)), (whole + more).astype(int))


def parameter_groups(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters by peak learning rate (body, head) and weight decay (none on biases, norms)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        body = name.startswith(f"{model.base_model_prefix}.")
        peak = recipe.learning_rate if body else recipe.head_learning_rate or recipe.learning_rate
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((peak, decay), []).append(parameter)
    return [
        {"params": found, "lr": peak, "peak": peak, "weight_decay": decay}
        for (peak, decay), found in groups.items()
    ]


def learning_rate_factor(step: int, total: int, recipe: Recipe) -> float:
    """Share of the peak learning rate at an update, in (0, 1]."""
    warmup = math.ceil(recipe.warmup_fraction * total)
    if step < warmup:
        return (step + 1) / warmup
    left = 1 - (step - warmup) / max(1, total - warmup)
    if recipe.schedule == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    return left if recipe.schedule == "linear" else 1.0


def classification(recipe: Recipe) -> Objective:
    """Cross-entropy with the labels, in nats, and what the recipe adds to it in training.

    Labels are numbers, (rows,), probabilities, (rows, labels), or, in distillation, the
    probabilities of label and teacher, (rows, 2, labels).

    Consistency is R-Drop (Liang et al. 2021, https://arxiv.org/abs/2106.14448): each review goes
    through twice, under other dropout, and the two answers are drawn together.
    """

    def losses(model: Any, batch: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        passes = 2 if model.training and recipe.rdrop_alpha else 1
        logits = [model(**batch).logits.float() for _ in range(passes)]  # (reviews, labels) each
        found = [_cross_entropy(row, labels, recipe) for row in logits]
        loss = torch.stack(found).mean(dim=0)
        if passes == 2:
            loss = loss + recipe.rdrop_alpha * _divergence(*logits)
        return loss

    return losses


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """The loss of each row, (rows,), in nats; `labels` as for `classification`."""
    if labels.ndim < 3 or recipe.distillation is None:
        return functional.cross_entropy(logits, labels, reduction="none")
    weight, temperature = recipe.distillation.weight, recipe.distillation.temperature
    label, teacher = labels.unbind(dim=1)  # (rows, labels) each
    softened = (teacher.clamp_min(1e-6).log() / temperature).softmax(dim=1)
    # Times the square, so that the gradient's size doesn't depend on the temperature.
    taught = temperature**2 * functional.cross_entropy(
        logits / temperature, softened, reduction="none"
    )
    return (1 - weight) * functional.cross_entropy(
        logits, label, reduction="none"
    ) + weight * taught


def _divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The mean of both Kullback-Leibler divergences of each row, (rows,), in nats."""
    p, q = first.log_softmax(dim=1), second.log_softmax(dim=1)
    return ((p.exp() - q.exp()) * (p - q)).sum(dim=1) / 2


class _Saver:
    """Writes checkpoints of one run; only the main process does."""

    def __init__(
        self,
        run: Run,
        model: Any,
        folder: Path,
        progress: Progress,
        after: Callable[[Path], None] | None,
    ) -> None:
        self.run, self.model, self.folder = run, model, folder
        self.progress, self.after = progress, after

    def checkpoint(self) -> None:
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise _diverged("weights became NaN or infinite", self.progress, self.folder)
        self.progress.note_memory(self.run.accelerator.device)
        if self.run.accelerator.is_main_process:
            saved = checkpoints.save(
                self.folder,
                self.model,
                self.run.optimizer,
                self.run.accelerator.scaler,
                self.progress,
            )
            if self.after:
                self.after(saved)
        self.run.accelerator.wait_for_everyone()

    def best(self) -> None:
        if self.run.accelerator.is_main_process:
            checkpoints.save_best(self.folder, self.model)


def _train(run: Run, progress: Progress, save: _Saver) -> None:
    recipe, total = run.recipe, len(run.plan)
    evaluate_at = _evaluation_steps(run)
    log_every = max(1, total // LOG_POINTS)
    loss_sum = torch.zeros((), device=run.accelerator.device)
    reviews = 0  # that loss_sum is of
    started, seconds_before = time.perf_counter(), progress.seconds
    bar = tqdm(
        total=total,
        initial=progress.step,
        desc="train",
        unit="update",
        disable=not run.accelerator.is_main_process,
    )
    with StopRequest() as stop, bar:
        while progress.step < total and not progress.stopped:
            step = progress.step
            loss_sum += _update(run, step)
            reviews += len(run.plan[step])
            progress.step += 1
            progress.tokens += int(run.train.lengths[run.plan[step]].sum())
            progress.seconds = seconds_before + time.perf_counter() - started
            bar.update()
            evaluating = progress.step in evaluate_at
            stopping = _asked_to_stop(run, progress.step, stop)
            saving = progress.step % recipe.checkpoint_every == 0 or stopping
            if evaluating or saving or progress.step % log_every == 0:
                _log(progress, float(run.accelerator.reduce(loss_sum)) / reviews, bar, save.folder)
                loss_sum.zero_()
                reviews = 0
            if evaluating:
                _validate(run, progress, save, bar)
            if saving or (evaluating and not progress.stopped):
                save.checkpoint()
            if stopping and progress.step < total:
                raise Interrupted(
                    f"stopped at update {progress.step} of {total}; checkpoint in "
                    f"{save.folder / 'checkpoints'} — the same command with --resume goes on"
                )


def _asked_to_stop(run: Run, step: int, stop: StopRequest) -> bool:
    """Whether any process was asked to; all must agree, so several of them ask now and then."""
    if run.accelerator.num_processes == 1:
        return stop.requested
    if step % 10:
        return False
    asked = torch.tensor(float(stop.requested), device=run.accelerator.device)
    return bool(run.accelerator.reduce(asked))


def _evaluation_steps(run: Run) -> set[int]:
    steps: set[int] = set()
    begin = 0
    for end in run.epoch_ends:
        parts = np.linspace(begin, end, run.recipe.evaluations_per_epoch + 1)[1:]
        steps |= {int(part) for part in parts.round()}
        begin = end
    return steps


def _update(run: Run, step: int) -> torch.Tensor:
    """One optimizer step; returns the sum of this process's losses, on the device.

    Every review weighs the same, whichever pass it is in, so that neither the number of
    processes nor `micro_batch_tokens` changes what is learned.
    """
    recipe, accelerator = run.recipe, run.accelerator
    # Dropout depends on the update alone, so a resumed run needs no state of the generators.
    torch.manual_seed(hash((recipe.seed, step, accelerator.process_index)) % 2**63)
    factor = learning_rate_factor(step, len(run.plan), recipe)
    for group in run.optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    parts = np.array_split(run.plan[step], accelerator.num_processes * _passes(run, step))
    mine = parts[accelerator.process_index :: accelerator.num_processes]
    run.model.train()
    total = torch.zeros((), device=accelerator.device)
    for i, rows in enumerate(mine):
        # A process without a review still takes part in the exchange, with weight nought.
        weight = 1.0 if len(rows) else 0.0
        rows = rows if len(rows) else run.plan[step][:1]
        last = i == len(mine) - 1
        with nullcontext() if last else accelerator.no_sync(run.model):
            loss = weight * _losses(run, run.model, run.train, rows).sum()
            # Gradients are averaged over processes; we want their sum.
            accelerator.backward(loss * accelerator.num_processes / run.reviews_per_update)
        total += loss.detach()
    accelerator.clip_grad_norm_(run.model.parameters(), recipe.max_grad_norm)
    run.optimizer.step()
    run.optimizer.zero_grad()
    return total


def _passes(run: Run, step: int) -> int:
    """How many passes each process makes in an update: as many as `micro_batch_tokens` asks for."""
    rows = run.plan[step]
    padded = len(rows) * int(run.train.lengths[rows].max())
    passes = math.ceil(padded / run.accelerator.num_processes / run.micro_batch_tokens)
    return int(min(passes, math.ceil(len(rows) / run.accelerator.num_processes)))


def _losses(run: Run, model: Any, tokens: Tokens, rows: IntArray) -> torch.Tensor:
    """What the objective says of each review, (reviews,)."""
    device = run.accelerator.device
    batch = tensors(tokens, rows, run.pad_id, device)
    labels = torch.from_numpy(tokens.labels[rows]).to(device, non_blocking=True)
    with run.accelerator.autocast():
        return run.objective(model, batch, labels)


def _validate(run: Run, progress: Progress, save: _Saver, bar: "tqdm[Any]") -> None:
    """Mean validation loss into the history; keeps the best weights; decides on stopping."""
    accelerator = run.accelerator
    groups = batches(run.validation.lengths, 2 * run.micro_batch_tokens, seed=None)
    # Processes may have different numbers of batches here, so none may wait for another's.
    model = accelerator.unwrap_model(run.model).eval()
    total = torch.zeros((), device=accelerator.device)
    with torch.inference_mode():
        for rows in groups[accelerator.process_index :: accelerator.num_processes]:
            total += _losses(run, model, run.validation, rows).sum()
    loss = float(accelerator.reduce(total)) / len(run.validation.labels)
    if not math.isfinite(loss):
        raise _diverged(f"the validation loss is {loss}", progress, save.folder)
    progress.history["validation"].append({"step": progress.step, "loss": loss})
    better = loss < progress.best_loss
    if better:
        progress.best_loss, progress.since_best = loss, 0
        save.best()
    else:
        progress.since_best += 1
    patience = run.recipe.early_stopping_patience
    progress.stopped = patience is not None and progress.since_best >= patience
    if accelerator.is_main_process:
        note = "best so far" if better else f"best is {progress.best_loss:.4f}"
        note += "; stopping early" if progress.stopped else ""
        bar.write(f"update {progress.step}: validation loss {loss:.4f} ({note})")


def _log(progress: Progress, loss: float, bar: "tqdm[Any]", folder: Path) -> None:
    if not math.isfinite(loss):
        raise _diverged(f"the loss became {loss}", progress, folder)
    progress.history["train"].append({"step": progress.step, "loss": loss})
    speed = progress.tokens / max(progress.seconds, 1e-9)
    bar.set_postfix_str(f"loss {loss:.4f}, {speed:,.0f} tokens/s")


def _diverged(what: str, progress: Progress, folder: Path) -> Diverged:
    return Diverged(
        f"{what} by update {progress.step} — the last good checkpoint is kept in "
        f"{folder / checkpoints.FOLDER}; try a lower learning_rate, a longer warmup_fraction, a "
        "lower max_grad_norm, or precision=fp32"
    )
