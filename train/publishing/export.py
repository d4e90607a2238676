"""ONNX export of a run, checked against the original model.

In: a run folder that `fit` has finished. Out: `onnx/model.onnx` (fp32), `onnx/model_quantized.onnx`
(int8, if it is accurate enough) and the `export` part of results.json. transformers.js and the
Space load these files.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from tqdm import tqdm

from train import console, run_folder
from train.data import preparation
from train.data.splits import IntArray, Split
from train.data.tokens import Tokens, encode
from train.errors import RunError
from train.evaluation.metrics import FloatArray
from train.modeling import model
from train.publishing.onnx_graph import OPSET, quantize, write

MAX_DIFFERENCE = 1e-4  # of fp32 logits up to 10; of larger ones, in proportion
MAX_DROP_POINTS, MIN_AGREEMENT = 0.3, 0.99  # of int8, on validation
MAX_EXPECTED_SHIFT = 0.05  # of ordered labels in place of the agreement: neighbors are often close
MAX_SHIFT = 0.01  # of a probability, between a text alone and the same text in a batch
DIFFERENCE_TEXTS, DIFFERENCE_TOKENS = 200, 3000  # texts for the fp32 check, and the longest
RESTORED_AGREEMENT = 0.95  # of int8, on few texts
BATCHES = [2, 8, 32]
BATCHED_TEXTS, BATCHED_TOKENS, MAX_PADDED = 32, 512, 4096
# int8 weights with one scale per column and dynamic activations; the smallest file first. Other
# schemes and their speed: benchmarks/results/export.json.
SCHEMES: dict[str, tuple[list[str], float]] = {  # operators, share of the first ones kept in fp32
    "dynamic int8, matrix products and embeddings": (["MatMul", "Gather"], 0.0),
    "dynamic int8, matrix products": (["MatMul"], 0.0),
    "dynamic int8, matrix products after the first third": (["MatMul"], 1 / 3),
}


def export(folder: Path) -> dict[str, Any]:
    """Write and check the ONNX files of a run, and record them in results.json.

    Returns:
        `opset`; `fp32` with `bytes`, `max_difference` (of logits) and `in_batches` (see
        `batch_sensitivity`); `int8` (see `_quantized`).

    Raises:
        RunError: The run is not finished, its validation split has changed, or the exported model
            differs from the original.
    """
    recipe, results = run_folder.load_pinned_recipe(folder), run_folder.load_results(folder)
    validation = preparation.load(recipe)["validation"]
    run_folder.check_split(folder, "validation", validation.sha256())
    classifier, tokenizer = model.load(str(folder))
    tokens = encode(tokenizer, validation, "validation")
    tokens = tokens.truncate(model.max_tokens(classifier), "head_tail")
    if not recipe.has_pairs:
        tokens = replace(tokens, type_ids=None)  # all zero, and constant in the graph
    onnx = folder / "onnx"
    onnx.mkdir(exist_ok=True)
    full = onnx / "model.onnx"
    write(classifier, recipe.has_pairs, full)
    results["export"] = {
        "opset": OPSET,
        "fp32": {"bytes": full.stat().st_size, **_check_fp32(classifier, full, tokens)},
        "int8": _quantized(full, onnx / "model_quantized.onnx", tokens, classifier, recipe.values),
    }
    run_folder.save_results(folder / "results.json", results)
    exported: dict[str, Any] = results["export"]
    return exported


def restore(folder: Path, texts: Sequence[str]) -> None:
    """Write the ONNX files of a run that `export` has measured, without its validation split.

    The quantization is the recorded one. A short check on other texts shows that the files work
    with this machine's versions; the results keep what was measured on validation.

    Args:
        folder: The run folder.
        texts: Some reviews.

    Raises:
        RunError: An exported model differs from the original.
    """
    recipe, results = run_folder.load_recipe(folder), run_folder.load_results(folder)
    classifier, tokenizer = model.load(str(folder))
    second = list(getattr(classifier.config, "aspects", None) or texts)
    pairs = [second[i % len(second)] for i in range(len(texts))] if recipe.has_pairs else None
    split = Split(list(texts), [0] * len(texts), pairs)
    tokens = encode(tokenizer, split, "texts").truncate(BATCHED_TOKENS, "head_tail")
    if not recipe.has_pairs:
        tokens = replace(tokens, type_ids=None)
    onnx, recorded = folder / "onnx", results["export"]
    onnx.mkdir(exist_ok=True)
    full, file = onnx / "model.onnx", onnx / "model_quantized.onnx"
    write(classifier, recipe.has_pairs, full)
    recorded["fp32"]["bytes"] = full.stat().st_size
    difference = _max_difference(classifier, full, tokens, len(texts), BATCHED_TOKENS)
    _check_restored(difference <= MAX_DIFFERENCE, f"fp32 logits differ by {difference:.2g}")
    if recorded["int8"]["published"]:
        _quantize(full, file, recorded["int8"]["scheme"])
        recorded["int8"]["bytes"] = file.stat().st_size
        logits = predict(file, tokens, "int8"), predict(full, tokens, "fp32")
        _, agreement = compare(*logits, tokens)
        if recipe.values:
            shift = expected_shift(*logits, recipe.values)
            measured = f"expected values shift by {shift:.2g} in int8"
            _check_restored(shift <= MAX_EXPECTED_SHIFT, measured)
        else:
            measured = f"{agreement:.1%} of int8 labels agree"
            _check_restored(agreement >= RESTORED_AGREEMENT, measured)
        sensitivity = batch_sensitivity(file, tokens, classifier)
        _check_restored(sensitivity["max_shift"] <= MAX_SHIFT, f"int8 {_sentence(sensitivity)}")
    run_folder.save_results(folder / "results.json", results)


def _check_restored(passed: bool, measured: str) -> None:
    if not passed:
        raise RunError(
            f"restored ONNX models must differ from the original by at most {MAX_DIFFERENCE:g} in "
            f"logits, agree on {RESTORED_AGREEMENT:.0%} of the int8 labels (of ordered labels, in "
            f"the expected value to within {MAX_EXPECTED_SHIFT:g}) and shift by at most "
            f"{MAX_SHIFT} in batches, got: {measured} — report this with the versions of torch "
            "and onnxruntime"
        )


def predict(
    file: Path, tokens: Tokens, name: str = "", *, rows: int = 1, padded_to: int = 0, pad: int = 0
) -> FloatArray:
    """Logits by ONNX Runtime, (reviews, labels).

    Args:
        file: The ONNX file.
        tokens: The reviews.
        name: Label of the progress bar.
        rows: Reviews per batch; the Space uses 1.
        padded_to: Minimum number of tokens of a batch.
        pad: The id of the padding token.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    logits = []
    for start in tqdm(range(0, len(tokens.ids), rows), desc=f"score {name}", unit="batch"):
        batch = slice(start, start + rows)
        ids = tokens.ids[batch]
        width = max(padded_to, *map(len, ids))
        inputs = {
            "input_ids": _padded(ids, width, pad),
            "attention_mask": _padded([np.ones_like(row) for row in ids], width, 0),
        }
        if tokens.type_ids is not None:
            inputs["token_type_ids"] = _padded(tokens.type_ids[batch], width, 0)
        logits.append(session.run(["logits"], inputs)[0])
    return np.concatenate(logits)


def _padded(rows: list[IntArray], width: int, fill: int) -> IntArray:
    """(rows, width), with `fill` after each row."""
    padded = [np.pad(row, (0, width - len(row)), constant_values=fill) for row in rows]
    return np.stack(padded)


def _check_fp32(classifier: Any, full: Path, tokens: Tokens) -> dict[str, Any]:
    """`max_difference` from the original and `in_batches` of the fp32 file.

    Raises:
        RunError: One of them exceeds its limit; the file is removed.
    """
    difference = _max_difference(classifier, full, tokens, DIFFERENCE_TEXTS, DIFFERENCE_TOKENS)
    sensitivity = batch_sensitivity(full, tokens, classifier)
    fault = None
    if not difference <= MAX_DIFFERENCE:
        fault = (
            f"the ONNX model's logits must differ from the original's by at most "
            f"{MAX_DIFFERENCE:g}, got {difference:.2g}"
        )
    elif not sensitivity["max_shift"] <= MAX_SHIFT:
        fault = (
            f"the ONNX model's probabilities must shift by at most {MAX_SHIFT}, got: "
            f"{_sentence(sensitivity)}"
        )
    if fault:
        full.unlink()
        raise RunError(
            f"{fault} — it was removed; report this with the versions of torch and onnxruntime"
        )
    console.print_line(f"wrote {full}; its logits differ by at most {difference:.1g}")
    return {"max_difference": difference, "in_batches": sensitivity}


def _max_difference(classifier: Any, file: Path, tokens: Tokens, count: int, longest: int) -> float:
    """Largest difference in logits, on `count` texts of 1 to `longest` tokens made of reviews.

    With token types, each text is followed by the second text of a pair. Above logits of 10 the
    difference is divided by a tenth of the largest: float32 rounds in proportion.
    """
    types = tokens.type_ids or [np.zeros_like(ids) for ids in tokens.ids]
    firsts = [ids[kinds == 0] for ids, kinds in zip(tokens.ids, types, strict=True)]
    body = np.concatenate([ids[1:-1] for ids in firsts])
    longest = min(longest, model.max_tokens(classifier))
    lengths = np.geomspace(3, longest, count).astype(np.int64)  # with [CLS] and [SEP]
    random = np.random.default_rng(0)
    starts = random.integers(len(body), size=count)
    first, last = firsts[0][:1], firsts[0][-1:]
    texts, kinds = [], []
    for start, length in zip(starts, lengths, strict=True):
        row = random.integers(len(types))
        second = tokens.ids[row][types[row] == 1][: length - 3]  # one token of the body at least
        begin = np.resize(np.roll(body, -start), length - 2 - len(second))
        texts.append(np.concatenate([first, begin, last, second]))
        kinds.append((np.arange(length) >= length - len(second)).astype(np.int64))
    made = Tokens(texts, np.zeros(count, dtype=np.int64), kinds if tokens.type_ids else None)
    exported = predict(file, made, "fp32")
    rows = []
    for i in range(count):
        inputs = {"input_ids": texts[i]} | ({"token_type_ids": kinds[i]} if made.type_ids else {})
        with torch.inference_mode():
            batch = {name: torch.from_numpy(ids[None]) for name, ids in inputs.items()}
            rows.append(classifier(**batch).logits[0].numpy())
    original = np.stack(rows)
    scale = max(1.0, float(np.abs(original).max()) / 10)
    return float(np.abs(exported - original).max()) / scale


def batch_sensitivity(file: Path, tokens: Tokens, classifier: Any) -> dict[str, Any]:
    """How far a review's probabilities depend on the other reviews of its batch and on padding.

    Each review alone is compared with itself in batches, and padded to the model's maximum. With a
    shift of at most `MAX_SHIFT`, a label can change only if the two highest probabilities are
    within twice that.

    Returns:
        `max_shift` (largest change of a probability), `labels_changed`, `texts` (how many were
        compared), `batches` (their sizes) and `padded_to` (tokens).
    """
    longest_first = np.argsort(tokens.lengths, kind="stable")[::-1]
    spread = np.linspace(0, len(longest_first) - 1, min(BATCHED_TEXTS, len(longest_first)))
    sample = np.random.default_rng(0).permutation(longest_first[spread.astype(np.int64)])
    texts = tokens.take(sample).truncate(BATCHED_TOKENS, "head_tail")
    padded_to = min(MAX_PADDED, classifier.config.max_position_embeddings)
    pad = int(getattr(classifier.config, "pad_token_id", None) or 0)
    alone = softmax(predict(file, texts, "alone"), axis=1)
    shifts, changed = [], 0
    for rows, width in [*((rows, 0) for rows in BATCHES), (1, padded_to)]:
        compared = texts.take(np.arange(2)) if width else texts
        name = f"in batches of {rows}"
        logits = predict(file, compared, name, rows=rows, padded_to=width, pad=pad)
        probabilities, expected = softmax(logits, axis=1), alone[: len(logits)]
        shifts.append(float(np.abs(probabilities - expected).max()))
        changed += int((probabilities.argmax(axis=1) != expected.argmax(axis=1)).sum())
    return {
        "max_shift": max(shifts),
        "labels_changed": changed,
        "texts": len(texts.ids),
        "batches": BATCHES,
        "padded_to": padded_to,
    }


def _sentence(sensitivity: dict[str, Any]) -> str:
    """The result of `batch_sensitivity` as text."""
    return (
        f"probabilities shift by up to {sensitivity['max_shift']:.2g} and "
        f"{sensitivity['labels_changed']} labels change if {sensitivity['texts']} reviews are "
        f"scored in batches of {', '.join(map(str, sensitivity['batches']))} or padded to "
        f"{sensitivity['padded_to']:,} tokens"
    )


def _quantized(
    full: Path, file: Path, tokens: Tokens, classifier: Any, values: list[float] | None
) -> dict[str, Any]:
    """Write int8 by the first scheme within the limits.

    Args:
        full: The fp32 file.
        file: The int8 file.
        tokens: The validation reviews.
        classifier: The original model.
        values: The number of each label, if they are ordered.

    Returns:
        Of the last scheme what `_measure` returns, and `tried_before`: the same of the others.
    """
    expected = predict(full, tokens, "fp32")
    tried: list[dict[str, Any]] = []
    for scheme in SCHEMES:
        _quantize(full, file, scheme)
        last = {"scheme": scheme, **_measure(file, expected, tokens, classifier, values)}
        tried.append(last)
        shift = last.get("expected_shift")
        distance = "" if shift is None else f", expected values shift by {shift:.3f}"
        measured = (
            f"({scheme}): accuracy drop {last['accuracy_drop_points']:+.2f} points, "
            f"{last['agreement']:.2%} of labels equal{distance} on {len(tokens.ids):,} validation "
            f"reviews; {_sentence(last['in_batches'])}"
        )
        if last["published"]:
            console.print_line(f"wrote {file} {measured}")
            break
        file.unlink()
        limit = (
            f"{MAX_EXPECTED_SHIFT:g} of the expected value" if values else f"{MIN_AGREEMENT:.0%}"
        )
        console.print_line(
            f"int8 is not kept {measured}; the limits are {MAX_DROP_POINTS} points, {limit} and a "
            f"shift of {MAX_SHIFT}"
        )
    return {**tried[-1], "tried_before": tried[:-1]}


def _measure(
    file: Path, expected: FloatArray, tokens: Tokens, classifier: Any, values: list[float] | None
) -> dict[str, Any]:
    """Compare an int8 file with the fp32 logits; the other arguments are those of `_quantized`.

    Returns:
        `published` (whether it is within the limits), `accuracy_drop_points`, `agreement` (share of
        equal labels), `expected_shift` (of ordered labels), `in_batches` and `bytes`.
    """
    logits = predict(file, tokens, "int8")
    drop, agreement = compare(logits, expected, tokens)
    sensitivity = batch_sensitivity(file, tokens, classifier)
    shift = {"expected_shift": expected_shift(logits, expected, values)} if values else {}
    is_close = agreement >= MIN_AGREEMENT
    if values:
        is_close = shift["expected_shift"] <= MAX_EXPECTED_SHIFT
    return {
        "published": drop <= MAX_DROP_POINTS and is_close and sensitivity["max_shift"] <= MAX_SHIFT,
        "accuracy_drop_points": drop,
        "agreement": agreement,
        **shift,
        "in_batches": sensitivity,
        "bytes": file.stat().st_size,
    }


def _quantize(full: Path, file: Path, scheme: str) -> None:
    operators, share = SCHEMES[scheme]
    quantize(full, file, operators, nodes_to_exclude=first_matmuls(full, share))


def first_matmuls(file: Path, share: float) -> list[str]:
    """Names of the first matrix products, whose errors all later layers would pass on."""
    import onnx

    names = [node.name for node in onnx.load(file).graph.node if node.op_type == "MatMul"]
    return names[: round(share * len(names))]


def expected_shift(logits: FloatArray, expected: FloatArray, values: list[float]) -> float:
    """The mean change of the expected value, in units of the labels, such as stars."""
    means = [softmax(part, axis=1) @ np.array(values) for part in (logits, expected)]
    return float(np.abs(means[0] - means[1]).mean())


def compare(logits: FloatArray, expected: FloatArray, tokens: Tokens) -> tuple[float, float]:
    """Accuracy drop against the expected logits, in points, and the share of equal labels."""
    predicted, reference = logits.argmax(axis=1), expected.argmax(axis=1)
    accuracy, before = ((ids == tokens.labels).mean() for ids in (predicted, reference))
    return 100 * float(before - accuracy), float((predicted == reference).mean())
