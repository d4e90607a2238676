"""Export: from a run folder to `onnx/`, checked against the original.

In: a run folder that `fit` has finished. Out: `onnx/model.onnx` (fp32) and, where it is as good,
`onnx/model_quantized.onnx` (int8), the layout that transformers.js and the Space load, and the
`export` part of results.json.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from train import model, reviews, runs
from train.errors import RunError
from train.evaluation import FloatArray, metrics
from train.tokens import Tokens, encode

OPSET = 23  # the first with Attention as one operator: half the time of fp32 at 300 tokens
MAX_DIFFERENCE = 1e-4  # of fp32, in logits
MAX_DROP_POINTS, MIN_AGREEMENT = 0.3, 0.99  # of int8, on validation
CHECKED_TEXTS, LONGEST = 200, 3000  # texts for fp32, and tokens of the longest
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
    recipe, results = runs.load_recipe(folder), runs.load_results(folder)
    validation = reviews.load(recipe)["validation"]
    runs.check_split(folder, "validation", validation.sha256())
    classifier, tokenizer = model.load(str(folder))
    tokens = encode(tokenizer, validation, "validation")
    tokens = tokens.cut(model.max_tokens(classifier), "head_tail")
    if not recipe.has_pairs:
        tokens = replace(tokens, type_ids=None)  # all the same, and so in the graph
    onnx = folder / "onnx"
    onnx.mkdir(exist_ok=True)
    full = onnx / "model.onnx"
    write(classifier, recipe.has_pairs, full)
    difference = _difference(classifier, full, tokens)
    if not difference <= MAX_DIFFERENCE:
        full.unlink()
        raise RunError(
            f"the ONNX model's logits differ from the original's by {difference:.2g}, more than "
            f"{MAX_DIFFERENCE:g} — it is removed; report this with the versions of torch and "
            "onnxruntime"
        )
    runs.print_line(f"wrote {full}; its logits differ by at most {difference:.1g}")
    found = {
        "opset": OPSET,
        "fp32": {"bytes": full.stat().st_size, "max_difference": difference},
        "int8": _quantized(full, onnx / "model_quantized.onnx", tokens),
    }
    results["export"] = found
    runs.save_results(folder / "results.json", results)
    return found


def write(classifier: Any, has_pairs: bool, file: Path, opset: int = OPSET) -> None:
    """Export a classifier to a graph of ONNX's own operators.

    `input_ids` and `attention_mask` go in, and `token_type_ids` where texts are pairs, each int64
    of shape (batch, tokens); `logits` of shape (batch, labels) come out.
    """
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * has_pairs
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", min=2)}
    example = tuple(torch.ones(2, 16, dtype=torch.int64) for _ in names)
    with _quietly():
        program = torch.onnx.export(
            _Graph(classifier, names).eval(),
            example,
            dynamo=True,
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=((shape,) * len(names),),
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    program.save(str(file))
    _fuse_attention(file, classifier.config.num_attention_heads)


def quantize(full: Path, file: Path, operators: list[str], **options: Any) -> None:
    """int8 weights for these operators; options are those of onnxruntime's `quantize_dynamic`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    settings = {"weight_type": QuantType.QInt8, "per_channel": True, **options}
    with _quietly():
        quantize_dynamic(full, file, op_types_to_quantize=operators, **settings)


def predict(file: Path, tokens: Tokens, name: str = "") -> FloatArray:
    """Logits by ONNX Runtime, (reviews, labels); each review alone, as the Space reads it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rows = []
    for i, ids in enumerate(tqdm(tokens.ids, desc=f"score {name}", unit="review")):
        feed = {"input_ids": ids[None], "attention_mask": np.ones_like(ids[None])}
        if tokens.type_ids is not None:
            feed["token_type_ids"] = tokens.type_ids[i][None]
        rows.append(session.run(["logits"], feed)[0][0])
    return np.stack(rows)


class _Graph(nn.Module):
    """What is exported: tensors in the order of their names, and the logits alone."""

    def __init__(self, classifier: Any, names: list[str]) -> None:
        super().__init__()
        self.classifier, self.names = classifier, names

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.classifier(**dict(zip(self.names, inputs, strict=True))).logits


def _fuse_attention(file: Path, heads: int) -> None:
    """Where no token is padding, let attention go through ONNX Runtime's fused operator.

    It holds no matrix of tokens by tokens, which at 3,000 tokens is half a gigabyte, is twice as
    fast at 1,000, and reads rows as the products before it write them. It takes no mask, so each
    layer asks first whether there is anything to mask. What isn't laid out as expected stays.
    """
    import onnx
    from onnx import helper

    graph = (proto := onnx.load(file)).graph
    placed: dict[str, Any] = {}  # output of a node -> what takes its place, None for nothing
    for node in graph.node:
        if node.op_type == "Attention" and (around := _around(node, graph.node)):
            placed |= dict.fromkeys((inner.output[0] for inner in around), None)
            placed[around[-1].output[0]] = _fused_where_whole(around, heads)
    if not placed:
        return  # an older opset, or another kind of model
    nodes = [placed.get(node.output[0], node) for node in graph.node]
    del graph.node[:]
    graph.node.append(helper.make_node("ReduceMin", ["attention_mask"], ["least"], keepdims=0))
    graph.node.append(helper.make_node("Cast", ["least"], ["is_whole"], to=onnx.TensorProto.BOOL))
    graph.node.extend(node for node in nodes if node is not None)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(proto, file)


def _around(attention: Any, nodes: Any) -> list[Any]:
    """The nodes that part the heads for an `Attention`, itself, and those that join them again.

    Empty unless queries, keys and values of (batch, tokens, width) are each reshaped and turned
    to (batch, heads, tokens, size), and the result back, for this attention alone.
    """
    made_by = {name: node for node in nodes for name in node.output}

    def reader(node: Any) -> Any:
        readers = [other for other in nodes if node is not None and node.output[0] in other.input]
        return readers[0] if len(readers) == 1 else None

    turned = [made_by.get(name) for name in attention.input[:3]]
    parted = [node and made_by.get(node.input[0]) for node in turned]
    back = reader(attention)
    around = [*parted, *turned, attention, back, reader(back)]
    kinds = [*["Reshape"] * 3, *["Transpose"] * 3, "Attention", "Transpose", "Reshape"]
    if [node and node.op_type for node in around] != kinds:
        return []
    flips = all(list(node.attribute[0].ints) == [0, 2, 1, 3] for node in [*turned, back])
    return around if flips and all(map(reader, around[:-1])) else []


def _fused_where_whole(around: list[Any], heads: int) -> Any:
    """The nodes around an `Attention` as a choice between themselves and one fused operator."""
    from onnx import TensorProto, helper

    *before, attention, _, joined = around
    (name,) = joined.output
    scale = {a.name: a.f for a in attention.attribute if a.name == "scale"}
    rows = [node.input[0] for node in before[:3]]  # (batch, tokens, width)
    fused = helper.make_node(
        "MultiHeadAttention",
        rows,
        [f"{name}/fused"],
        domain="com.microsoft",
        num_heads=heads,
        **scale,
    )
    joined.output[0] = f"{name}/masked"

    def branch(nodes: list[Any]) -> Any:
        output = nodes[-1].output[0]
        shaped = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        return helper.make_graph(nodes, output, [], [shaped])

    return helper.make_node(
        "If",
        ["is_whole"],
        [name],
        name=f"{name}/whole",
        then_branch=branch([fused]),
        else_branch=branch(around),
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


def _quantized(full: Path, file: Path, tokens: Tokens) -> dict[str, Any]:
    """Write int8 by the first scheme that is good enough; what each gave, and which is kept."""
    expected = predict(full, tokens, "fp32")
    tried: list[dict[str, Any]] = []
    for scheme, (operators, share) in SCHEMES.items():
        quantize(full, file, operators, nodes_to_exclude=first_products(full, share))
        drop, agreement = compare(predict(file, tokens, "int8"), expected, tokens)
        good = drop <= MAX_DROP_POINTS and agreement >= MIN_AGREEMENT
        tried.append(
            {
                "scheme": scheme,
                "published": good,
                "accuracy_drop_points": drop,
                "agreement": agreement,
                "bytes": file.stat().st_size,
            }
        )
        figures = (
            f"({scheme}): {drop:+.2f} points of accuracy lost, {agreement:.2%} of labels equal "
            f"on {len(tokens.ids):,} validation reviews"
        )
        if good:
            runs.print_line(f"wrote {file} {figures}")
            break
        file.unlink()
        runs.print_line(
            f"int8 is not kept {figures}; the rule is at most {MAX_DROP_POINTS} points and at "
            f"least {MIN_AGREEMENT:.0%}"
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


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporters' notes are about their own insides (torchvision, tree specs, axis names)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
