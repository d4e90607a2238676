"""The ONNX graph: a classifier -> a file with ONNX Runtime's fused operators.

In: a classifier. Out: a graph of opset 18 and ONNX Runtime's own operators, for versions from 1.18,
and its int8 form.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

OPSET = 18
MASKED = -1e30  # added to attention scores of padding, so that softmax gives 0
# Outputs of the nodes that `_mask_only_padding` adds before the first layer.
MASK_NODES = ["mask_minimum", "is_unpadded", "attends", "attends_to_key", "mask"]


def write(classifier: Any, has_pairs: bool, file: Path) -> None:
    """Export a classifier.

    The graph's inputs are `input_ids`, `attention_mask` and, for text pairs, `token_type_ids`, each
    int64 of shape (batch, tokens); its output is `logits`, (batch, labels).
    """
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * has_pairs
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", min=2)}
    example = tuple(torch.ones(2, 16, dtype=torch.int64) for _ in names)
    with _without_warnings():
        program = torch.onnx.export(
            _Graph(classifier, names).eval(),
            example,
            dynamo=True,
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=((shape,) * len(names),),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    program.save(str(file))
    _mask_only_padding(file)


def quantize(full: Path, file: Path, operators: list[str], **options: Any) -> None:
    """Quantize the weights of some operators to int8, and score each text of a batch separately.

    Dynamic quantization takes an activation's scale from all tokens of the batch, so padding and
    other texts would change a text's logits. `_loop_over_texts` prevents that. `quantize_dynamic`
    has one scale for a whole table of embeddings; here each row has its own. Weights use 7 of the 8
    bits: on CPUs without VNNI, sums of two products of 8 bits overflow, and the logits would depend
    on the CPU.

    Args:
        full: The fp32 graph.
        file: Where the int8 graph goes.
        operators: Types of the operators to quantize.
        options: Options of onnxruntime's `quantize_dynamic`.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load(full)
    nodes = [_unmasked(node) for node in proto.graph.node if node.output[0] not in MASK_NODES]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    settings = {
        "weight_type": QuantType.QInt8,
        "per_channel": True,
        "reduce_range": True,
        **options,
    }
    products = [operator for operator in operators if operator != "Gather"]
    with _without_warnings():
        if products:  # an empty list would mean: all operators
            quantize_dynamic(proto, file, op_types_to_quantize=products, **settings)
        else:
            onnx.save(proto, file)
    if "Gather" in operators:
        _quantize_embeddings(file)
    _loop_over_texts(file)


class _Graph(nn.Module):
    """The exported module: input tensors in the order of their names -> logits."""

    def __init__(self, classifier: Any, names: list[str]) -> None:
        super().__init__()
        self.classifier, self.names = classifier, names

    def forward(self, *inputs: torch.Tensor) -> Any:
        with _FusedOperators():
            return self.classifier(**dict(zip(self.names, inputs, strict=True))).logits


class _FusedOperators(TorchFunctionMode):
    """Exports attention and GELU as ONNX Runtime's operators.

    ONNX's own need opset 20 and 23, too new for many users. ONNX Runtime's attention stores no
    (tokens, tokens) matrix, which at 3,000 tokens takes half a gigabyte, and is twice as fast at
    1,000 tokens.
    """

    def __torch_function__(
        self, called: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        kwargs = kwargs or {}
        if called is functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if called is functional.gelu and kwargs.get("approximate", "none") == "none":
            (x,) = args[:1] or (kwargs["input"],)
            return _operator("Gelu", [x], {}, x.shape)
        result: torch.Tensor = called(*args, **kwargs)
        return result


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *_: Any,
    scale: float | None = None,
    **__: Any,
) -> torch.Tensor:
    """Attention without a mask, which `_mask_only_padding` adds.

    `query`, `key` and `value` are of shape (batch, heads, tokens, size of a head).
    """
    heads, size = query.shape[1], query.shape[3]
    rows = [x.transpose(1, 2).flatten(2) for x in (query, key, value)]  # (batch, tokens, width)
    attributes = {"num_heads": int(heads), "scale": float(scale or size**-0.5)}
    attended = _operator("MultiHeadAttention", rows, attributes, rows[0].shape)
    return attended.reshape(*attended.shape[:2], heads, size).transpose(1, 2)


def _operator(
    name: str, inputs: list[torch.Tensor], attributes: dict[str, Any], shape: Any
) -> torch.Tensor:
    """An operator of ONNX Runtime as a node of the exported graph."""
    return torch.onnx.ops.symbolic(
        f"com.microsoft::{name}",
        inputs,
        attributes,
        dtype=inputs[0].dtype,
        shape=shape,
        version=1,
    )


def _mask_only_padding(file: Path) -> None:
    """Make each attention use a mask only if the batch has padding.

    The fused operator is fast only without a mask, and with one ONNX Runtime 1.18 computes wrong
    results. So the masked branch consists of ONNX's own operators.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = (proto := onnx.load(file)).graph
    for node in graph.node:
        if node.op_type == "MultiHeadAttention":
            node.CopyFrom(_fused_or_masked(node))
    start = [
        helper.make_node("ReduceMin", ["attention_mask"], ["mask_minimum"], keepdims=0),
        helper.make_node("Cast", ["mask_minimum"], ["is_unpadded"], to=TensorProto.BOOL),
        helper.make_node("Cast", ["attention_mask"], ["attends"], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", ["attends", "heads_and_queries"], ["attends_to_key"]),
        helper.make_node("Where", ["attends_to_key", "kept", "masked"], ["mask"]),
    ]
    for name, value in {
        "heads_and_queries": torch.tensor([1, 2]),
        "kept": torch.tensor(0.0),
        "masked": torch.tensor(MASKED),
    }.items():
        graph.initializer.append(numpy_helper.from_array(value.numpy(), name))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*start, *nodes])
    onnx.save(proto, file)


def _fused_or_masked(fused: Any) -> Any:
    """An `If` node: the fused `MultiHeadAttention` without padding, else masked attention."""
    from onnx import helper, parser

    (name,), (query, key, value) = fused.output, fused.input
    heads, scale = (helper.get_node_attr_value(fused, a) for a in ["num_heads", "scale"])
    masked = parser.parse_graph(f"""
        masked () => (float[batch, queries, width] {name}_masked) {{
            split_shape = Constant <value = int64[4] {{0, 0, {heads}, -1}}> ()
            merged_shape = Constant <value = int64[3] {{0, 0, -1}}> ()
            scale = Constant <value = float {{{scale}}}> ()
            split_query = Reshape ({query}, split_shape)
            query = Transpose <perm = [0, 2, 1, 3]> (split_query)
            split_key = Reshape ({key}, split_shape)
            key = Transpose <perm = [0, 2, 3, 1]> (split_key)
            split_value = Reshape ({value}, split_shape)
            value = Transpose <perm = [0, 2, 1, 3]> (split_value)
            products = MatMul (query, key)
            scores = Mul (products, scale)
            masked_scores = Add (scores, mask)
            weights = Softmax <axis = -1> (masked_scores)
            attended = MatMul (weights, value)
            transposed = Transpose <perm = [0, 2, 1, 3]> (attended)
            {name}_masked = Reshape (transposed, merged_shape)
        }}""")
    output = helper.make_tensor_value_info(f"{name}_fused", 1, ["batch", "queries", "width"])
    inner = helper.make_node(
        "MultiHeadAttention",
        fused.input,
        [output.name],
        domain=fused.domain,
        num_heads=heads,
        scale=scale,
    )
    return helper.make_node(
        "If",
        ["is_unpadded"],
        [name],
        name=f"{name}_unpadded",
        then_branch=helper.make_graph([inner], "unpadded", [], [output]),
        else_branch=masked,
    )


def _unmasked(node: Any) -> Any:
    """The fused attention of an `If` node that `_fused_or_masked` made; other nodes unchanged."""
    from onnx import helper

    if node.op_type != "If":
        return node
    (fused,) = helper.get_node_attr_value(node, "then_branch").node
    fused.output[:] = node.output
    return fused


def _quantize_embeddings(file: Path) -> None:
    """Store the tables of embeddings in int8, with one scale per row."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = (proto := onnx.load(file)).graph
    tables = {table.name: table for table in graph.initializer if len(table.dims) == 2}
    nodes = []
    for node in graph.node:
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or table.data_type != TensorProto.FLOAT:
            nodes.append(node)
            continue
        rows, (_, ids), (out,) = numpy_helper.to_array(table), node.input, node.output
        scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / 127, np.finfo(np.float32).tiny)
        names = [f"{table.name}_{part}" for part in ("quantized", "scale")]
        for name, values in zip(names, (np.rint(rows / scale).astype(np.int8), scale), strict=True):
            graph.initializer.append(numpy_helper.from_array(values, name))
        graph.initializer.remove(table)
        nodes += [
            helper.make_node("Gather", [names[0], ids], [f"{out}_quantized"]),
            helper.make_node(
                "Cast", [f"{out}_quantized"], [f"{out}_rounded"], to=TensorProto.FLOAT
            ),
            helper.make_node("Gather", [names[1], ids], [f"{out}_scale"]),
            helper.make_node("Mul", [f"{out}_rounded", f"{out}_scale"], [out]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(proto, file)


def _loop_over_texts(file: Path) -> None:
    """Wrap the graph in a loop over the texts of the batch, each without its padding.

    So the logits of a text are bit for bit the same in every batch.
    """
    import onnx
    from onnx import compose, helper, parser

    proto = onnx.load(file)
    names = [graph_input.name for graph_input in proto.graph.input]
    inner = compose.add_prefix(proto, "text_").graph
    read = "".join(
        f"""
            {name}_kept = Compress <axis = 0> ({name}_row, attends)
            {name}_first = Slice ({name}_row, zero, one)
            {name}_either = Concat <axis = 0> ({name}_kept, {name}_first)
            {name}_taken = Slice ({name}_either, zero, count)
            text_{name} = Unsqueeze ({name}_taken, zero)
        """
        for name in names
    )
    rows = ", ".join(f"int64[tokens] {name}_row" for name in names)
    # Of a row that is all padding, the first token is kept: the graph needs at least one.
    body = parser.parse_graph(f"""
        text ({rows}) => (float[labels] row_logits) {{
            zero = Constant <value = int64[1] {{0}}> ()
            one = Constant <value = int64[1] {{1}}> ()
            attends = Cast <to = 9> (attention_mask_row)
            tokens_kept = ReduceSum <keepdims = 1> (attention_mask_row, zero)
            count = Max (tokens_kept, one)
            {read}
        }}""")
    body.node.extend(inner.node)
    body.node.append(helper.make_node("Squeeze", ["text_logits", "zero"], ["row_logits"]))
    body.initializer.extend(inner.initializer)
    loop = helper.make_node("Scan", names, ["logits"], body=body, num_scan_inputs=len(names))
    graph = helper.make_graph([loop], "texts", proto.graph.input, proto.graph.output)
    proto.graph.CopyFrom(graph)
    onnx.save(proto, file)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress warnings of the exporters about their internals (torchvision, tree specs)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
