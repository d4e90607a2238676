"""The training loop: reproducible from the seed, however the run is interrupted or split."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from conftest import REPOSITORY, toy_settings
from hubserver import WRITE, running_hub
from huggingface_hub import HfApi
from torch import nn

from train import recipe as recipes
from train.data.tokens import Tokens
from train.errors import Diverged, RecipeError
from train.evaluation import metrics
from train.modeling import checkpoints, devices, model, training
from train.modeling.checkpoints import Progress
from train.modeling.losses import classification_loss
from train.modeling.schedule import learning_rate_factor, parameter_groups, plan_updates
from train.pipeline import training_run
from train.recipe import Recipe

CLS, SEP, BAD, GOOD, UNSEEN = 2, 3, 50, 60, 1500  # token ids
LAUNCHED_SECONDS = 300  # only to end processes that wait for each other


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # threads that wait for a busy core make small models slow


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> str:
    return str(tiny_base)


def recipe_for(base: str, **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "name": "tiny",
        "base_model": base,
        "datasets": [{"source": "reviews.csv"}],
        "precision": "fp32",
        "epochs": 4,
        "learning_rate": 2e-3,
        "batch_tokens": 128,
        "max_tokens": 64,
        "max_position_embeddings": 64,
    }
    return recipes.parse({**values, **changes})


def tokens_of(count: int, seed: int = 0, flipped: bool = False) -> Tokens:
    """Reviews of 5 to 20 tokens, of which one says whether the film is good."""
    rng = np.random.default_rng(seed)
    ids = []
    for i in range(count):
        words = rng.integers(100, 400, rng.integers(3, 19))
        words[rng.integers(len(words))] = [BAD, GOOD][i % 2]
        ids.append(np.array([CLS, *words, SEP]))
    labels = np.arange(count) % 2
    return Tokens(ids, 1 - labels if flipped else labels)


TRAIN, VALIDATION = tokens_of(48), tokens_of(16, seed=1)


def fit(
    recipe: Recipe,
    folder: Path,
    train: Tokens = TRAIN,
    validation: Tokens = VALIDATION,
    prepare: Callable[[Any], None] = lambda classifier: None,
    **options: Any,
) -> tuple[Any, Progress]:
    """The trained classifier and how it went."""
    classifier, _ = model.build(recipe)
    prepare(classifier)
    accelerator = devices.accelerator_for(recipe.precision)
    progress = training.fit(
        classifier, recipe, accelerator, train, validation, 0, folder, **options
    )
    return classifier, progress


def equal(first: Any, second: Any) -> bool:
    """Whether two models have the same weights, bit for bit."""
    ours, theirs = first.state_dict(), second.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


def test_fp16_on_a_cpu_is_rejected_first(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    (tmp_path / "reviews.csv").write_text("no columns of a dataset")  # nor is there such a base
    datasets = [{"source": str(tmp_path / "reviews.csv")}]
    recipe = recipe_for("nobody/nothing", precision="fp16", datasets=datasets)
    with pytest.raises(RecipeError, match="fp16 needs a CUDA GPU.*--set precision=auto"):
        training_run.fit(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_requested_precision_is_used(precision: str) -> None:
    assert devices.choose_precision(precision) == precision


def test_auto_precision_never_chooses_fp16_on_a_cpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert devices.choose_precision("auto") in {"bf16", "fp32"}


def test_training_reaches_90_percent_accuracy(base: str, tmp_path: Path) -> None:
    recipe = recipe_for(base, epochs=8, learning_rate=5e-3)
    classifier, progress = fit(recipe, tmp_path, train=tokens_of(128))
    logits = metrics.predict(classifier, VALIDATION, pad_id=0)
    assert (logits.argmax(axis=1) == VALIDATION.labels).mean() >= 0.9
    assert progress.best_loss < 0.5


def test_same_seed_gives_the_same_weights(base: str, tmp_path: Path) -> None:
    first, first_progress = fit(recipe_for(base, seed=3), tmp_path / "first")
    second, second_progress = fit(recipe_for(base, seed=3), tmp_path / "second")
    assert equal(first, second)
    assert first_progress.history == second_progress.history


def test_another_seed_gives_other_weights(base: str, tmp_path: Path) -> None:
    first, _ = fit(recipe_for(base, seed=3), tmp_path / "first")
    second, _ = fit(recipe_for(base, seed=4), tmp_path / "second")
    assert not equal(first, second)


def test_dropout_differs_between_updates_and_seeds(base: str, tmp_path: Path) -> None:
    one_batch = Tokens([TRAIN.ids[0]] * 4, TRAIN.labels[[0] * 4])
    still = {"learning_rate": 1e-12, "weight_decay": 0, "epochs": 3}
    losses = []
    for seed in (0, 1):
        # The head is the same; what is left of the seed is the dropout.
        def same_head(classifier: Any) -> None:
            nn.init.ones_(classifier.classifier.weight[:1].data)

        recipe = recipe_for(base, seed=seed, **still)
        _, progress = fit(recipe, tmp_path / str(seed), train=one_batch, prepare=same_head)
        losses += [point["loss"] for point in progress.history["train"]]
    assert len(set(losses)) == 6


@pytest.mark.parametrize("micro_batch_tokens", [16, 48])
def test_micro_batches_do_not_change_the_weights(
    base: str, tmp_path: Path, micro_batch_tokens: int
) -> None:
    def trained(tokens: int) -> dict[str, torch.Tensor]:
        settings = {"micro_batch_tokens": tokens, "epochs": 2, "learning_rate": 1e-4, "dropout": 0}
        classifier, progress = fit(recipe_for(base, **settings), tmp_path / str(tokens))
        assert progress.step > 8
        return classifier.state_dict()

    whole, split = trained(128), trained(micro_batch_tokens)
    for name, weights in whole.items():
        if name.endswith("key.bias"):
            continue  # attention doesn't depend on it: its gradient is rounding, Adam amplifies it
        torch.testing.assert_close(split[name], weights, rtol=0, atol=1e-5, msg=name)


def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(base: str, tmp_path: Path) -> None:
    recipe = recipe_for(base, checkpoint_every=5, evaluations_per_epoch=2)
    whole, whole_progress = fit(recipe, tmp_path / "whole")

    def power_cut(checkpoint: Path) -> None:
        if checkpoint.name >= "step-00000010":
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        fit(recipe, tmp_path / "cut", after_checkpoint=power_cut)
    stopped_at = int(checkpoints.newest(tmp_path / "cut").name[-8:])  # type: ignore[union-attr]
    assert 10 <= stopped_at < whole_progress.step
    resumed, progress = fit(recipe, tmp_path / "cut", resume=True)
    assert equal(whole, resumed)
    assert progress.history == whole_progress.history
    assert progress.best_loss == whole_progress.best_loss


def test_resuming_a_finished_run_changes_nothing(base: str, tmp_path: Path) -> None:
    first, before = fit(recipe_for(base), tmp_path)
    again, after = fit(recipe_for(base), tmp_path, resume=True)
    assert equal(first, again)
    assert after == before


def test_fit_ends_with_the_weights_of_the_lowest_validation_loss(base: str, tmp_path: Path) -> None:
    # What is learned from train is wrong on validation, so the loss rises.
    recipe = recipe_for(base, learning_rate=5e-3, epochs=6)
    classifier, progress = fit(recipe, tmp_path, validation=tokens_of(16, flipped=True))
    losses = [point["loss"] for point in progress.history["validation"]]
    assert len(losses) == 6
    assert progress.best_loss == min(losses) < losses[-1]
    logits = torch.from_numpy(metrics.predict(classifier, tokens_of(16, flipped=True), 0))
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(1 - np.arange(16) % 2))
    assert float(loss) == pytest.approx(min(losses), abs=1e-5)


@pytest.mark.parametrize("patience", [1, 2])
def test_early_stopping_waits_for_its_patience(base: str, tmp_path: Path, patience: int) -> None:
    recipe = recipe_for(base, learning_rate=5e-3, epochs=20, early_stopping_patience=patience)
    _, progress = fit(recipe, tmp_path, validation=tokens_of(16, flipped=True))
    losses = [point["loss"] for point in progress.history["validation"]]
    assert progress.stopped
    assert len(losses) < 20
    assert losses.index(min(losses)) == len(losses) - 1 - patience


def test_validations_are_spread_over_each_epoch(base: str, tmp_path: Path) -> None:
    recipe = recipe_for(base, evaluations_per_epoch=2, epochs=2)
    _, ends = plan_updates(TRAIN.lengths, 2, recipe.batch_tokens, recipe.seed)
    _, progress = fit(recipe, tmp_path)
    steps = [point["step"] for point in progress.history["validation"]]
    assert steps == [round(ends[0] / 2), ends[0], round((ends[0] + ends[1]) / 2), ends[1]]


def test_logged_training_loss_is_a_mean_over_reviews(base: str, tmp_path: Path) -> None:
    # Untrained, each review costs about ln 2, in a full batch as in the last, small one.
    recipe = recipe_for(base, learning_rate=1e-9, epochs=1)
    _, progress = fit(recipe, tmp_path)
    losses = [point["loss"] for point in progress.history["train"]]
    assert losses == pytest.approx([math.log(2)] * len(losses), abs=0.15)


def test_plan_has_every_row_once_per_epoch() -> None:
    plan, ends = plan_updates(TRAIN.lengths, epochs=3, batch_tokens=128, seed=0)
    assert ends[-1] == len(plan)
    for begin, end in zip([0, *ends], ends, strict=False):
        assert sorted(np.concatenate(plan[begin:end])) == list(range(48))
    assert [rows.tolist() for rows in plan[: ends[0]]] != [
        rows.tolist() for rows in plan[ends[0] : ends[1]]
    ]


def test_learning_rate_warms_up_then_falls_linearly() -> None:
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(10)]
    assert factors == [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]


def test_rows_are_repeated_by_their_weights() -> None:
    lengths, weights = np.full(4000, 10), np.repeat([0.25, 1.0, 2.0, 2.5], 1000)
    plan, ends = plan_updates(lengths, 2, 128, 0, weights)
    first, second = (np.concatenate(part) for part in (plan[: ends[0]], plan[ends[0] :]))
    counts = np.bincount(first, minlength=4000).reshape(4, 1000)
    assert set(counts[1]) == {1} and set(counts[2]) == {2}
    assert set(counts[0]) == {0, 1} and set(counts[3]) == {2, 3}
    assert counts[0].mean() == pytest.approx(0.25, abs=0.05)
    assert counts[3].mean() == pytest.approx(2.5, abs=0.05)
    assert not np.array_equal(np.sort(first), np.sort(second))  # each epoch draws again
    again, _ = plan_updates(lengths, 2, 128, 0, weights)
    assert all(np.array_equal(a, b) for a, b in zip(plan, again, strict=True))


def test_classification_loss_is_cross_entropy_of_each_row() -> None:
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    expected = np.log1p(np.exp([-1, 2]))
    losses = classification_loss(logits, torch.tensor([1, 1]), None)
    assert losses.tolist() == pytest.approx(expected)
    soft = classification_loss(logits, torch.tensor([[0.0, 1.0], [0.25, 0.75]]), None)
    assert soft.tolist() == pytest.approx(
        [expected[0], 0.25 * np.log1p(np.exp(-2)) + 0.75 * expected[1]]
    )


@pytest.mark.parametrize("total", [1, 2, 7, 1000])
@pytest.mark.parametrize("warmup_fraction", [0, 0.1, 0.99])
def test_learning_rate_is_positive_and_at_most_its_peak(total: int, warmup_fraction: float) -> None:
    factors = [learning_rate_factor(n, total, warmup_fraction) for n in range(total)]
    assert 0 < min(factors) <= max(factors) <= 1


@pytest.mark.parametrize(("head_rate", "expected"), [(1e-3, 1e-3), (None, 1e-5)])
def test_parameters_are_grouped_by_rate_and_decay(
    base: str, head_rate: float | None, expected: float
) -> None:
    classifier, _ = model.build(recipe_for(base))
    groups = parameter_groups(classifier, 1e-5, head_rate, 0.1)
    settings = {
        id(parameter): (group["peak"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    assert sum(len(group["params"]) for group in groups) == len(settings)
    for name, parameter in classifier.named_parameters():
        rate = expected if name.startswith("classifier.") else 1e-5
        decay = 0.0 if name.endswith(".bias") or "LayerNorm" in name else 0.1
        assert settings.pop(id(parameter)) == (rate, decay), name
    assert not settings


def finite(file: Path) -> bool:
    from safetensors.torch import load_file

    return all(bool(tensor.isfinite().all()) for tensor in load_file(file).values())


def test_nan_loss_ends_the_run_and_keeps_the_last_checkpoint(base: str, tmp_path: Path) -> None:
    classifiers: list[Any] = []

    def poison(checkpoint: Path) -> None:
        if checkpoint.name == "step-00000006":
            with torch.no_grad():
                classifiers[0].classifier.weight.fill_(math.nan)

    with pytest.raises(Diverged) as caught:
        fit(
            recipe_for(base, checkpoint_every=3),
            tmp_path,
            prepare=classifiers.append,
            after_checkpoint=poison,
        )
    message = str(caught.value)
    assert "the loss became nan by update 7 — the last good checkpoint is kept in" in message
    assert "try a lower learning_rate" in message
    kept = checkpoints.newest(tmp_path)
    assert kept is not None
    assert kept.name == "step-00000006"
    assert finite(kept / "model.safetensors")


def test_nan_weights_never_replace_a_good_checkpoint(base: str, tmp_path: Path) -> None:
    passes: list[int] = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        return gradient * math.nan if len(passes) == 8 else gradient

    with pytest.raises(Diverged):  # its loss was still a number
        fit(
            recipe_for(base, checkpoint_every=4),  # validations come after 6 and 12 updates
            tmp_path,
            prepare=lambda classifier: classifier.classifier.weight.register_hook(spoil),
        )
    kept = checkpoints.newest(tmp_path)
    assert kept is not None
    assert finite(kept / "model.safetensors")


def test_infinite_validation_loss_ends_the_run(base: str, tmp_path: Path) -> None:
    validation = Tokens([np.array([CLS, UNSEEN, GOOD, SEP])] * 4, np.array([0, 1, 0, 1]))

    def poison(classifier: Any) -> None:
        with torch.no_grad():
            classifier.bert.embeddings.word_embeddings.weight[UNSEEN] = math.inf

    with pytest.raises(Diverged):
        fit(recipe_for(base), tmp_path, validation=validation, prepare=poison)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-u", "-m", "train", *arguments]


def fit_arguments(source: Path, base: str, out: Path, *more: str) -> list[str]:
    overrides = [*toy_settings(source, base), *more]
    settings = [part for override in overrides for part in ("--set", override)]
    return ["fit", "quickstart", *settings, "--out", str(out)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def results_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def run_here(arguments: list[str]) -> None:
    """The command line in this process, which has loaded torch already."""
    from train.__main__ import app

    app(arguments, standalone_mode=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_run_stopped_by_a_signal_equals_an_uninterrupted_one(
    base: str, toy_csv: Path, tmp_path: Path, number: int
) -> None:
    long = ["epochs=25", "evaluations_per_epoch=2"]
    run_here(fit_arguments(toy_csv, base, tmp_path / "whole", *long))
    arguments = fit_arguments(toy_csv, base, tmp_path / "stopped", *long)
    process = subprocess.Popen(
        command(*arguments),
        env=environment(),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if "validation loss" in line:
                process.send_signal(number)
                break
        _, errors = process.communicate(timeout=LAUNCHED_SECONDS)
    assert process.returncode == 130
    stopped = re.search(r"error: stopped at update (\d+) of (\d+); checkpoint in (\S+)", errors)
    assert stopped, errors
    assert int(stopped[1]) < int(stopped[2])
    assert "run the same command to resume" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "stopped/results.json").exists()
    run_here(arguments)
    weights = [tmp_path / name / "model.safetensors" for name in ("whole", "stopped")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def launched(
    log: Path,
    arguments: list[str],
    cwd: Path = REPOSITORY,
    program: Sequence[str] = ("-m", "train"),
    succeeds: bool = True,
    **more: str,
) -> str:
    """Run the command line by `accelerate launch` in two processes; returns their output.

    On a CPU it needs --multi_gpu and ACCELERATE_USE_CPU to start two.
    """
    launch = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *launch]
            + [*program, *arguments],
            env=environment(ACCELERATE_USE_CPU="1", PYTHONPATH=str(REPOSITORY), **more),
            cwd=cwd,
            stdout=stream,
            stderr=stream,
        )
    try:
        status = process.wait(timeout=LAUNCHED_SECONDS)
    except subprocess.TimeoutExpired:
        # The launcher's own end would wait for its workers, which have sessions of their own.
        for worker in [*psutil.Process(process.pid).children(recursive=True), process]:
            worker.kill()
        process.wait()
        pytest.fail(f"the processes wait for each other: {log.read_text(encoding='utf-8')[-2000:]}")
    output = log.read_text(encoding="utf-8")
    assert (status == 0) is succeeds, output[-2000:]
    return output


def test_two_processes_train_the_same_model_as_one(
    base: str, toy_csv: Path, tmp_path: Path
) -> None:
    run_here(fit_arguments(toy_csv, base, tmp_path / "one", "dropout=0"))
    launched(tmp_path / "log", fit_arguments(toy_csv, base, tmp_path / "two", "dropout=0"))
    one, two = (results_of(tmp_path / name) for name in ("one", "two"))
    assert two["environment"]["device"].endswith("2 processes")
    assert two["training"]["updates"] == one["training"]["updates"]
    for key in ["accuracy", "f1", "roc_auc"]:
        ours, theirs = (r["metrics"]["validation"][key] for r in (one, two))
        assert theirs == pytest.approx(ours, abs=0.005)
    losses = [
        [point["loss"] for point in r["training"]["history"]["validation"]] for r in (one, two)
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)


def test_one_of_two_processes_pulls_the_checkpoint_and_both_resume(
    base: str, toy_csv: Path, tmp_path: Path
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    settings = ["epochs=2", "checkpoint_every=4", "precision=auto"]

    def power_cut(checkpoint: Path) -> None:
        raise ConnectionAbortedError

    recipe = recipes.load("quickstart", [*toy_settings(toy_csv, base), *settings])
    with pytest.raises(ConnectionAbortedError):
        training_run.fit(recipe, whole, after_checkpoint=power_cut)
    stopped_at = int(checkpoints.newest(whole).name[-8:])  # type: ignore[union-attr]
    with running_hub(arguments=["--verbose"]) as hub:
        api = HfApi(endpoint=hub.endpoint, token=WRITE)
        api.create_repo("demo/kept", private=True)
        api.upload_folder(repo_id="demo/kept", folder_path=whole)
        arguments = fit_arguments(toy_csv, base, run, *settings)
        output = launched(
            tmp_path / "log",
            [*arguments, "--checkpoints-to", "demo/kept"],
            **{k: v for k, v in hub.env(tmp_path / "home").items() if k.startswith("HF_")},
        )
        hub.process.terminate()
        assert hub.process.stdout is not None
        requests = hub.process.stdout.read()
    assert requests.count("GET /api/models/demo/kept/auth-check/write") == 1
    assert len(re.findall("GET /demo/kept/resolve/.*/progress.json", requests)) == 1
    assert output.count("resuming from the checkpoint on demo/kept") == 1
    assert output.count(f"resuming from update {stopped_at} of ") == 2


ONE_HAS_NO_CHECKPOINT = """
import os
from train.modeling import checkpoints
if os.environ["RANK"] == "1":
    checkpoints.newest = lambda folder: None
from train.__main__ import main
main()
"""


def test_processes_with_different_checkpoints_do_not_resume(
    base: str, toy_csv: Path, tmp_path: Path
) -> None:
    """As on two machines whose run folders are not on a shared disk."""
    run, script = tmp_path / "run", tmp_path / "script.py"
    settings = ["epochs=2", "checkpoint_every=4"]

    def power_cut(checkpoint: Path) -> None:
        raise ConnectionAbortedError

    recipe = recipes.load("quickstart", [*toy_settings(toy_csv, base), *settings])
    with pytest.raises(ConnectionAbortedError):
        training_run.fit(recipe, run, after_checkpoint=power_cut)
    before = checkpoints.newest(run)
    assert before is not None
    script.write_text(ONE_HAS_NO_CHECKPOINT)
    arguments = [*fit_arguments(toy_csv, base, run, *settings), "--resume"]
    output = launched(tmp_path / "log", arguments, program=[str(script)], succeeds=False)
    step = int(before.name[-8:])
    assert f"must start from the same update, got {step}, 0 — put {run} on a disk" in output
    assert checkpoints.newest(run) == before
