"""The engine: chosen by the CPU and what is installed, or forced; all give the same labels."""

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import toy_reviews

from space.inference import attribution, cpu, engine
from space.inference.classifier import Classifier, InvalidText, ModelUnavailable, Prediction
from space.inference.download import FP32_FILE, INT8_FILE
from space.inference.engine import (
    ENGINES,
    EngineUnavailable,
    choose,
    openvino_fault,
    padded_length,
)
from space.inference.serving import EXPLANATION, Request, Service

TEXTS = [row["text"] for row in toy_reviews(40)] + ["Dull. " * count for count in range(1, 9)]
EPYC = "flags\t\t: fpu avx2 avx512f avx512_bf16 avx512_vnni"
AMX = f"{EPYC} amx_bf16 amx_tile amx_int8"
INT8, FP32, BF16 = ENGINES


@pytest.fixture(autouse=True)
def fresh_fault() -> Iterator[None]:
    """Each test finds out anew whether OpenVINO runs."""
    openvino_fault.cache_clear()
    yield
    openvino_fault.cache_clear()


def set_machine(
    monkeypatch: pytest.MonkeyPatch, folder: Path, cpuinfo: str | None, openvino: bool
) -> None:
    """A CPU with these lines in /proc/cpuinfo, or a system without that file."""
    file = folder / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(f"processor\t: 0\nmodel name\t: any\n{cpuinfo}\n\nprocessor\t: 1\n")
    monkeypatch.setattr(cpu, "CPUINFO", file)
    fault = None if openvino else "openvino is not installed"
    monkeypatch.setattr(engine, "openvino_fault", lambda: fault)


@pytest.mark.parametrize(
    ("requested", "cpuinfo", "openvino", "expected"),
    [
        ("auto", AMX, True, {BF16: "the CPU has AMX", INT8: f"the model has no {FP32_FILE}"}),
        ("auto", AMX, False, {INT8: "openvino is not installed", FP32: f"no {INT8_FILE}"}),
        ("auto", EPYC, True, {INT8: "the CPU has no AMX", FP32: f"no {INT8_FILE}"}),
        ("auto", EPYC, False, {INT8: "the CPU has no AMX", FP32: f"no {INT8_FILE}"}),
        ("auto", "Features\t: fp asimd bf16", True, {INT8: "the CPU has no AMX", FP32: ""}),
        ("auto", None, True, {INT8: "the CPU has no AMX", FP32: ""}),
        (INT8, AMX, True, {INT8: f"ENGINE={INT8}", FP32: f"the model has no {INT8_FILE}"}),
        (FP32, AMX, True, {FP32: f"ENGINE={FP32}"}),
        (BF16, EPYC, True, {BF16: f"ENGINE={BF16}"}),
    ],
)
def test_engines_follow_the_request_the_cpu_and_the_packages(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    requested: str,
    cpuinfo: str | None,
    openvino: bool,
    expected: dict[str, str],
) -> None:
    set_machine(monkeypatch, tmp_path, cpuinfo, openvino)
    engines = choose(requested)
    assert [chosen.name for chosen in engines] == list(expected)
    for chosen in engines:
        assert expected[chosen.name] in chosen.reason
    monkeypatch.setenv("ENGINE", requested)
    assert choose() == engines


def test_without_a_request_the_engine_is_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_machine(monkeypatch, tmp_path, AMX, True)
    for value in ("", "auto"):
        monkeypatch.setenv("ENGINE", value)
        assert choose()[0].name == BF16
    monkeypatch.delenv("ENGINE")
    assert choose()[0].name == BF16


def test_unknown_engine_is_refused_with_the_names(tiny_classifier: Path) -> None:
    message = f"ENGINE must be one of auto, {INT8}, {FP32}, {BF16}, got 'fast'."
    with pytest.raises(EngineUnavailable, match=message):
        choose("fast")
    with pytest.raises(ModelUnavailable, match=message):
        Classifier.from_folder(tiny_classifier, engine="fast")


def test_missing_package_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_classifier: Path
) -> None:
    set_machine(monkeypatch, tmp_path, AMX, openvino=False)
    message = f"{BF16} needs .*, but openvino is not installed.*or set ENGINE={INT8}"
    with pytest.raises(ModelUnavailable, match=message):
        Classifier.from_folder(tiny_classifier, engine=BF16)
    with pytest.raises(ModelUnavailable, match=message):
        Classifier("demo/tiny", engine=BF16).load()


def use_openvino_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    openvino: Any = ModuleType("openvino")
    openvino.Core = Core
    monkeypatch.setitem(sys.modules, "openvino", openvino)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


def use_broken_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # its import fails
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


def use_no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("use", "fault"),
    [
        (use_no_openvino, "openvino is not installed"),
        (use_broken_openvino, "openvino can't be loaded (ModuleNotFoundError: "),
        (use_openvino_without_bf16, "openvino finds no bf16 on this CPU"),
    ],
)
def test_where_openvino_cannot_run_it_is_refused_or_not_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_classifier: Path, use: Any, fault: str
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{AMX}\n")
    monkeypatch.setattr(cpu, "CPUINFO", file)
    monkeypatch.delenv("ENGINE", raising=False)
    use(monkeypatch)
    with pytest.raises(ModelUnavailable, match=f"but {re.escape(fault)}.*set ENGINE={INT8}"):
        Classifier.from_folder(tiny_classifier, engine=BF16)
    assert Classifier.from_folder(tiny_classifier).load().engine.name in {INT8, FP32}
    assert choose()[0].reason.startswith(f"the CPU has AMX, but {fault}")


@pytest.fixture(scope="module")
def fp32(toy_classifier: Path) -> Classifier:
    return Classifier.from_folder(toy_classifier, engine=FP32)


@pytest.fixture(scope="module")
def bf16(toy_classifier: Path) -> Classifier:
    if fault := engine.openvino_fault():
        pytest.skip(fault)
    return Classifier.from_folder(toy_classifier, engine=BF16)


def logits(answers: list[Prediction | InvalidText]) -> Any:
    return np.array([answer.logits for answer in answers if isinstance(answer, Prediction)])


def test_engines_give_the_same_labels_and_close_logits(
    fp32: Classifier, bf16: Classifier, toy_classifier: Path
) -> None:
    int8 = Classifier.from_folder(toy_classifier, engine=INT8)
    expected = logits(fp32.predict_batch(TEXTS))
    for classifier in (bf16, int8):
        found = logits(classifier.predict_batch(TEXTS))
        np.testing.assert_allclose(found, expected, atol=0.1, rtol=0.03)
        assert (found.argmax(axis=1) == expected.argmax(axis=1))[:40].all()
        assert not np.array_equal(found, expected)
    files = [(c.load().engine.dtype, c.load().file.name) for c in (fp32, int8, bf16)]
    int8_name, fp32_name = "model_quantized.onnx", "model.onnx"
    assert files == [("float32", fp32_name), ("int8", int8_name), ("bfloat16", fp32_name)]


def test_answers_of_openvino_depend_on_their_text_alone(toy_classifier: Path, bf16: Any) -> None:
    three = Classifier.from_folder(toy_classifier, threads=3, engine=BF16)
    alone = [bf16.predict(text) for text in TEXTS]
    for _ in range(3):
        assert three.predict_batch(TEXTS) == alone
        assert three.predict_batch(TEXTS[::-1]) == alone[::-1]
    assert bf16.predict_batch(TEXTS) == alone


def test_openvino_reads_texts_of_every_length(fp32: Classifier, bf16: Classifier) -> None:
    texts = [" ".join(["film"] * words) for words in range(1, 80)]  # the model reads 64 tokens
    expected = logits(fp32.predict_batch(texts))
    np.testing.assert_allclose(logits(bf16.predict_batch(texts)), expected, atol=0.05)


def test_lengths_are_padded_to_few() -> None:
    lengths = [padded_length(tokens) for tokens in range(1, 4097)]
    assert len(set(lengths)) == 48
    for tokens, length in enumerate(lengths, 1):
        assert tokens <= length < tokens + max(16, tokens / 8)
    assert lengths == sorted(lengths) and lengths[-1] == 4096


def test_sentences_are_attributed_on_openvino(fp32: Classifier, bf16: Classifier) -> None:
    text = "The film was wonderful. The songs were dreadful. I liked the end."
    expected, found = (
        attribution.explain(Request(Service(model), EXPLANATION), text) for model in (fp32, bf16)
    )
    assert len(found.sentences) == 3 and found.prediction.label == expected.prediction.label
    for part, other in zip(found.sentences, expected.sentences, strict=True):
        assert (part.start, part.end) == (other.start, other.end)
        assert part.attribution == pytest.approx(other.attribution, abs=0.1)


@pytest.mark.parametrize(
    ("missing", "requested", "ran"),
    [
        ([], BF16, BF16),
        ([], INT8, INT8),
        ([INT8_FILE], INT8, FP32),
        ([FP32_FILE], INT8, INT8),
        ([INT8_FILE], FP32, FP32),
    ],
)
def test_engine_of_a_folder_is_the_best_that_it_has_the_file_of(
    toy_classifier: Path, tmp_path: Path, bf16: Any, missing: list[str], requested: str, ran: str
) -> None:
    copy = Path(shutil.copytree(toy_classifier, tmp_path / "copy"))
    for name in missing:
        (copy / name).unlink()
    assert Classifier.from_folder(copy, engine=requested).load().engine.name == ran


def test_model_without_the_file_of_a_forced_engine_is_refused(
    toy_classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "openvino_fault", lambda: None)  # also on CPUs without bf16
    copy = Path(shutil.copytree(toy_classifier, tmp_path / "copy"))
    (copy / FP32_FILE).unlink()
    for requested in (FP32, BF16):
        with pytest.raises(ModelUnavailable, match="has no onnx/model.onnx"):
            Classifier.from_folder(copy, engine=requested)
