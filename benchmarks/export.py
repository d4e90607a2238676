"""Speed and accuracy of int8 schemes and ONNX graphs, on the same texts.

`in_batches` is the change of a probability between a text alone and the same text in a batch.
Static int8 is calibrated on texts that are not scored. In: a run folder, and the invented reviews
or a file with `text` and `label`. Out: a table and `export.json`.

    python -m benchmarks.export [--model RUN] [--data FILE] [--out FOLDER]
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import add_model, machine, model_folder, parser_of, reviews, save

# Name -> operators to quantize, and options of onnxruntime's quantize_dynamic.
SCHEMES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "matrix products and embeddings": (["MatMul", "Gather"], {}),
    "matrix products": (["MatMul"], {}),
    "matrix products, one scale per tensor": (["MatMul"], {"per_channel": False}),
    "matrix products, 8 bits": (["MatMul"], {"reduce_range": False}),
    "matrix products, unsigned weights": (["MatMul"], {"weight_type": "QUInt8"}),
}
BLOCKS = [32, 128]  # values of a weight column, or of a token, per scale
CALIBRATION = 48  # reviews


def main() -> None:
    """Write and run every form; print and write the results."""
    parser = parser_of(__doc__)
    add_model(parser)
    parser.add_argument("--reviews", type=int, default=200)
    options = parser.parse_args()
    options.model = model_folder(options.model)
    from train.data.splits import Split
    from train.data.tokens import encode
    from train.modeling import model
    from train.publishing.export import batch_sensitivity

    texts, labels = reviews.load(options.data, options.reviews + CALIBRATION)
    classifier, tokenizer = model.load(str(options.model))
    whole = replace(encode(tokenizer, Split(texts, labels)), type_ids=None)
    limit = classifier.config.max_position_embeddings
    tokens, rest = (
        whole.take(rows).truncate(limit, "head_tail")
        for rows in np.split(np.arange(len(texts)), [options.reviews])
    )
    texts = texts[: options.reviews]
    with tempfile.TemporaryDirectory() as folder:
        forms = _forms(classifier, rest, Path(folder))
        logits = {name: _timed(file, tokens) for name, file in forms.items()}
        shifts = {name: batch_sensitivity(file, tokens, classifier) for name, file in forms.items()}
        expected = logits["fp32"][0]
        rows = []
        for name, (predicted, speed) in logits.items():
            same = predicted.argmax(axis=1) == expected.argmax(axis=1)
            rows.append(
                {
                    "form": name,
                    "reviews_per_second": speed,
                    "agreement": float(same.mean()),
                    "accuracy": float((predicted.argmax(axis=1) == tokens.labels).mean()),
                    "in_batches": shifts[name],
                    "megabytes": forms[name].stat().st_size / 1e6,
                }
            )
    results = {
        "forms": rows,
        "machine": machine.describe(),
        "model": options.model.name,
        "data": reviews.describe(options.data, texts),
    }
    save(options.out / "export.json", results)
    print(table(results))


def table(results: dict[str, Any]) -> str:
    """Every form, in Markdown."""
    rows = [
        "| form | reviews/s | labels equal to fp32 | largest shift in batches | MB |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| {f['form']} | {f['reviews_per_second']:.1f} | {100 * f['agreement']:.1f}% "
        f"| {f['in_batches']['max_shift']:.3f} | {f['megabytes']:.0f} |"
        for f in results["forms"]
    ]
    return "\n".join(rows)


def _forms(classifier: Any, calibration: Any, folder: Path) -> dict[str, Path]:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    from train.publishing import export

    forms = {"fp32": folder / "fp32.onnx"}
    export.write(classifier, False, forms["fp32"])
    for name, (operators, options) in SCHEMES.items():
        settings = {**options}
        if "weight_type" in settings:
            settings["weight_type"] = QuantType[settings["weight_type"]]
        forms[f"dynamic int8, {name}"] = file = folder / f"{len(forms)}.onnx"
        export.quantize(forms["fp32"], file, operators, **settings)
    full = forms["fp32"]
    forms["dynamic int8, matrix products, a batch in one pass"] = file = folder / "one-pass.onnx"
    quantize_dynamic(full, file, ["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    products = export.first_matmuls(full, 1)
    in_fp32 = {
        "after the first third": export.first_matmuls(full, 1 / 3),
        # Six products a layer, the last of them from the wide part of the feed-forward block.
        "except the last of each layer": products[5::6],
    }
    for name, excluded in in_fp32.items():
        forms[f"dynamic int8, matrix products {name}"] = file = folder / f"{len(forms)}.onnx"
        export.quantize(full, file, ["MatMul"], nodes_to_exclude=excluded)
    forms["static int8, matrix products"] = file = folder / f"{len(forms)}.onnx"
    _quantize_static(full, file, calibration)
    for size in BLOCKS:
        forms[f"8-bit weights and tokens in blocks of {size}"] = file = (
            folder / f"{len(forms)}.onnx"
        )
        quantizer = MatMulNBitsQuantizer(
            onnx.load(full), bits=8, block_size=size, is_symmetric=True, accuracy_level=4
        )
        quantizer.process()
        quantizer.model.save_model_to_file(str(file))
    return forms


def _quantize_static(full: Path, file: Path, calibration: Any) -> None:
    """int8 with one scale per activation tensor, from its extremes on the calibration texts."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        left = iter(calibration.ids)

        def get_next(self) -> dict[str, Any] | None:
            ids = next(self.left, None)
            if ids is None:
                return None
            return {"input_ids": ids[None], "attention_mask": np.ones_like(ids[None])}

    quantize_static(
        full,
        file,
        Reader(),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def _timed(file: Path, tokens: Any) -> tuple[Any, float]:
    """Logits, and reviews/s one review at a time, the better of two passes."""
    from train.publishing import export

    best = np.inf
    for _ in range(2):
        started = time.perf_counter()
        logits = export.predict(file, tokens, file.stem)
        best = min(best, time.perf_counter() - started)
    return logits, len(tokens.ids) / best


if __name__ == "__main__":
    main()
