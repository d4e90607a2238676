"""Export: from a run folder to `onnx/`, checked against the original.

In: a run folder that `fit` has finished. Out: `onnx/model.onnx` (fp32) and, where it is as good,
`onnx/model_quantized.onnx` (int8), the layout that transformers.js and the Space load, and the
`export` part of results.json.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from tqdm import tqdm

from train import run_folder
from train.data import preparation
from train.data.preparation import IntArray
from train.data.tokens import Tokens, encode
from train.errors import RunError
from train.evaluation.metrics import FloatArray, metrics
from train.modeling import model
from train.publishing.onnx_graph import OPSET, quantize, write

MAX_DIFFERENCE = 1e-4  # of fp32, in logits
MAX_DROP_POINTS, MIN_AGREEMENT = 0.3, 0.99  # of int8, on validation
CHECKED_TEXTS, LONGEST = 200, 3000  # texts for fp32, and tokens of the longest
MAX_SHIFT = 0.01  # of a probability, between a text alone and the same text in a batch
BATCHES = [2, 8, 32]
BATCHED_TEXTS, BATCHED_TOKENS, MOST_PADDED = 32, 512, 4096
# int8 weights with a scale a column, activations quantized as they come; the smallest file first.
# What else was tried, with speeds: benchmarks/results/export.json.
SCHEMES: dict[str, tuple[list[str], float]] = {  # operators, and what share at first stays in fp32
    "dynamic int8, matrix products and embeddings": (["MatMul", "Gather"], 0.0),
    "dynamic int8, matrix products": (["MatMul"], 0.0),
    "dynamic int8, matrix products behind the first third": (["MatMul"], 1 / 3),
}


def export(folder: Path) -> dict[str, Any]:
    """Write and check the ONNX files of a run; returns what goes to `export` in results.json.

    Raises:
        RunError: The run is not finished, its validation reviews have changed, or the exported
            model answers otherwise than the original.
    """
    recipe, results = run_folder.as_read(folder), run_folder.load_results(folder)
    validation = preparation.load(recipe)["validation"]
    run_folder.check_split(folder, "validation", validation.sha256())
    classifier, tokenizer = model.load(str(folder))
    tokens = encode(tokenizer, validation, "validation")
    tokens = tokens.truncate(model.max_tokens(classifier), "head_tail")
    if not recipe.has_pairs:
        tokens = replace(tokens, type_ids=None)  # all the same, and so in the graph
    onnx = folder / "onnx"
    onnx.mkdir(exist_ok=True)
    full = onnx / "model.onnx"
    write(classifier, recipe.has_pairs, full)
    checked = _checked(classifier, full, tokens)
    found = {
        "opset": OPSET,
        "fp32": {"bytes": full.stat().st_size, **checked},
        "int8": _quantized(full, onnx / "model_quantized.onnx", tokens, classifier),
    }
    results["export"] = found
    run_folder.save_results(folder / "results.json", results)
    return found


def _checked(classifier: Any, full: Path, tokens: Tokens) -> dict[str, Any]:
    """How far fp32 is from the original, and how far it depends on the batch.

    Raises:
        RunError: Too far; the file is removed.
    """
    difference = _difference(classifier, full, tokens)
    shift = dependence(full, tokens, classifier)
    fault = None
    if not difference <= MAX_DIFFERENCE:
        fault = (
            f"the ONNX model's logits differ from the original's by {difference:.2g}, more than "
            f"{MAX_DIFFERENCE:g}"
        )
    elif not shift["max_shift"] <= MAX_SHIFT:
        fault = f"the ONNX model's {_in_words(shift)}; at most {MAX_SHIFT} is allowed"
    if fault:
        full.unlink()
        raise RunError(
            f"{fault} — it is removed; report this with the versions of torch and onnxruntime"
        )
    run_folder.print_line(f"wrote {full}; its logits differ by at most {difference:.1g}")
    return {"max_difference": difference, "in_batches": shift}


def predict(
    file: Path, tokens: Tokens, name: str = "", *, rows: int = 1, padded_to: int = 0, pad: int = 0
) -> FloatArray:
    """Logits by ONNX Runtime, (reviews, labels).

    Args:
        file: The ONNX file.
        tokens: The reviews.
        name: What the progress bar says.
        rows: Reviews in a batch; one alone is how the Space reads.
        padded_to: Tokens that a batch has at least.
        pad: The id of the padding.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    logits = []
    for start in tqdm(range(0, len(tokens.ids), rows), desc=f"score {name}", unit="batch"):
        batch = slice(start, start + rows)
        ids = tokens.ids[batch]
        width = max(padded_to, *map(len, ids))
        feed = {
            "input_ids": _padded(ids, width, pad),
            "attention_mask": _padded([np.ones_like(row) for row in ids], width, 0),
        }
        if tokens.type_ids is not None:
            feed["token_type_ids"] = _padded(tokens.type_ids[batch], width, 0)
        logits.append(session.run(["logits"], feed)[0])
    return np.concatenate(logits)


def _padded(rows: list[IntArray], width: int, fill: int) -> IntArray:
    """(rows, width), with `fill` behind each row."""
    padded = [np.pad(row, (0, width - len(row)), constant_values=fill) for row in rows]
    return np.stack(padded)


def dependence(file: Path, tokens: Tokens, classifier: Any) -> dict[str, Any]:
    """How far a review's probabilities depend on what is scored with it, and on padding.

    Each review alone is compared with itself in batches and padded to the model's maximum. With a
    shift of at most `MAX_SHIFT` a label can change only where the two best are within twice that.
    """
    longest_first = np.argsort(tokens.lengths, kind="stable")[::-1]
    spread = np.linspace(0, len(longest_first) - 1, min(BATCHED_TEXTS, len(longest_first)))
    chosen = np.random.default_rng(0).permutation(longest_first[spread.astype(np.int64)])
    texts = tokens.take(chosen).truncate(BATCHED_TOKENS, "head_tail")
    most = min(MOST_PADDED, classifier.config.max_position_embeddings)
    pad = int(getattr(classifier.config, "pad_token_id", None) or 0)
    alone = softmax(predict(file, texts, "alone"), axis=1)
    shifts, changed = [], 0
    for rows, padded_to in [*((rows, 0) for rows in BATCHES), (1, most)]:
        few = texts.take(np.arange(2)) if padded_to else texts
        name = f"in batches of {rows}"
        logits = predict(file, few, name, rows=rows, padded_to=padded_to, pad=pad)
        found, expected = softmax(logits, axis=1), alone[: len(logits)]
        shifts.append(float(np.abs(found - expected).max()))
        changed += int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
    return {
        "max_shift": max(shifts),
        "labels_changed": changed,
        "texts": len(texts.ids),
        "batches": BATCHES,
        "padded_to": most,
    }


def _in_words(found: dict[str, Any]) -> str:
    return (
        f"probabilities shift by up to {found['max_shift']:.2g} and {found['labels_changed']} "
        f"labels change when {found['texts']} reviews are scored in batches of "
        f"{', '.join(map(str, found['batches']))} or padded to {found['padded_to']:,} tokens, "
        "instead of alone"
    )


def _difference(classifier: Any, file: Path, tokens: Tokens) -> float:
    """The largest difference in logits on texts from one token to thousands, made of reviews."""
    body = np.concatenate([ids[1:-1] for ids in tokens.ids])
    longest = min(LONGEST, model.max_tokens(classifier))
    lengths = np.geomspace(3, longest, CHECKED_TEXTS).astype(np.int64)  # [CLS] and [SEP] too
    starts = np.random.default_rng(0).integers(len(body), size=CHECKED_TEXTS)
    first, last = tokens.ids[0][:1], tokens.ids[0][-1:]
    texts = [
        np.concatenate([first, np.resize(np.roll(body, -start), length - 2), last])
        for start, length in zip(starts, lengths, strict=True)
    ]
    types = None if tokens.type_ids is None else [np.zeros_like(ids) for ids in texts]
    checked = Tokens(texts, np.zeros(len(texts), dtype=np.int64), types)
    ours = predict(file, checked, "fp32 check")
    with torch.inference_mode():
        theirs = [classifier(torch.from_numpy(ids[None])).logits[0].numpy() for ids in texts]
    return float(np.abs(ours - np.stack(theirs)).max())


def _quantized(full: Path, file: Path, tokens: Tokens, classifier: Any) -> dict[str, Any]:
    """Write int8 by the first scheme that is good enough; what each gave, and which is kept."""
    expected = predict(full, tokens, "fp32")
    tried: list[dict[str, Any]] = []
    for scheme, (operators, share) in SCHEMES.items():
        quantize(full, file, operators, nodes_to_exclude=first_products(full, share))
        drop, agreement = compare(predict(file, tokens, "int8"), expected, tokens)
        shift = dependence(file, tokens, classifier)
        faithful = drop <= MAX_DROP_POINTS and agreement >= MIN_AGREEMENT
        good = faithful and shift["max_shift"] <= MAX_SHIFT
        tried.append(
            {
                "scheme": scheme,
                "published": good,
                "accuracy_drop_points": drop,
                "agreement": agreement,
                "in_batches": shift,
                "bytes": file.stat().st_size,
            }
        )
        figures = (
            f"({scheme}): {drop:+.2f} points of accuracy lost, {agreement:.2%} of labels equal "
            f"on {len(tokens.ids):,} validation reviews; {_in_words(shift)}"
        )
        if good:
            run_folder.print_line(f"wrote {file} {figures}")
            break
        file.unlink()
        run_folder.print_line(
            f"int8 is not kept {figures}; the rule is at most {MAX_DROP_POINTS} points, at least "
            f"{MIN_AGREEMENT:.0%} and a shift of at most {MAX_SHIFT}"
        )
    return {**tried[-1], "tried_before": tried[:-1]}


def first_products(file: Path, share: float) -> list[str]:
    """Names of the first matrix products, whose errors every layer behind them would pass on."""
    import onnx

    names = [node.name for node in onnx.load(file).graph.node if node.op_type == "MatMul"]
    return names[: round(share * len(names))]


def compare(found: FloatArray, expected: FloatArray, tokens: Tokens) -> tuple[float, float]:
    """Accuracy lost against the expected logits, in points, and the share of equal labels."""
    ours, theirs = (metrics(logits, tokens.labels)["accuracy"] for logits in (found, expected))
    same = found.argmax(axis=1) == expected.argmax(axis=1)
    return 100 * (theirs - ours), float(same.mean())
