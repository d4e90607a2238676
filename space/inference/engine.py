"""The engine of a model: the runtime and precision of its forward passes.

In: the environment variable ENGINE, the CPU, and what is installed. Out: engines in the order of
preference, and a session for a model's ONNX file.

OpenVINO in bf16 is the fastest engine on CPUs with AMX. ONNX Runtime in int8 is the fastest one on
the others, also on those with AVX512-BF16. docs/performance.md compares them.
"""

import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.inference import cpu
from space.inference.download import FP32_FILE, INT8_FILE

AUTO = "auto"
ONNXRUNTIME_INT8, ONNXRUNTIME_FP32 = "onnxruntime-int8", "onnxruntime-fp32"
OPENVINO_BF16 = "openvino-bf16"
ENGINES = {  # name -> the ONNX file that it runs
    ONNXRUNTIME_INT8: INT8_FILE,
    ONNXRUNTIME_FP32: FP32_FILE,
    OPENVINO_BF16: FP32_FILE,
}
AMX = "amx_bf16"  # the CPU flag

Inputs = dict[str, NDArray[np.int64]]


class EngineUnavailable(Exception):
    """The engine does not exist or can't run here; the message has the rule and the remedy."""


@dataclass(frozen=True)
class Engine:
    """A runtime and a precision.

    Attributes:
        name: A key of `ENGINES`.
        reason: Why it was chosen.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"

    @property
    def file(self) -> str:
        """The ONNX file that it runs, relative to the folder of the model."""
        return ENGINES[self.name]

    @property
    def dtype(self) -> str:
        """The format of the weights: int8, float32 or bfloat16."""
        return {"int8": "int8", "fp32": "float32", "bf16": "bfloat16"}[self.name.split("-")[1]]


def choose(requested: str | None = None) -> list[Engine]:
    """The engines to use, the best one first: a model may lack the file that it needs.

    Args:
        requested: `auto` or a key of `ENGINES`; by default the environment variable ENGINE, or
            `auto`. `onnxruntime-int8` allows fp32 for models without an int8 file.

    Raises:
        EngineUnavailable: There is no such engine, or it can't run here.
    """
    requested = requested or os.environ.get("ENGINE") or AUTO
    if requested not in {AUTO, *ENGINES}:
        raise EngineUnavailable(
            f"ENGINE must be one of {', '.join([AUTO, *ENGINES])}, got {requested!r}."
        )
    if requested == OPENVINO_BF16 and (fault := openvino_fault()):
        raise EngineUnavailable(
            f"ENGINE={OPENVINO_BF16} needs a CPU with bf16 (AMX or AVX-512) and the package "
            f"openvino, but {fault}: `pip install openvino` on such a CPU, or set "
            f"ENGINE={ONNXRUNTIME_INT8}."
        )
    if requested != AUTO:
        reason = f"ENGINE={requested}"
    elif AMX not in cpu.flags():
        reason = "the CPU has no AMX"
    elif fault := openvino_fault():
        reason = f"the CPU has AMX, but {fault}"
    else:
        without_fp32 = f"the model has no {FP32_FILE}, which OpenVINO needs"
        return [Engine(OPENVINO_BF16, "the CPU has AMX"), Engine(ONNXRUNTIME_INT8, without_fp32)]
    if requested in {AUTO, ONNXRUNTIME_INT8}:
        without_int8 = f"the model has no {INT8_FILE}"
        return [Engine(ONNXRUNTIME_INT8, reason), Engine(ONNXRUNTIME_FP32, without_int8)]
    return [Engine(requested, reason)]


@cache  # each `Core` loads the plugins of OpenVINO
def openvino_fault() -> str | None:
    """Why OpenVINO can't run in bf16 here, as a part of a sentence; None if it can."""
    if importlib.util.find_spec("openvino") is None:
        return "openvino is not installed"
    try:
        import openvino

        capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception as error:  # a package for another system, a missing library
        return f"openvino can't be loaded ({type(error).__name__}: {error})"
    return None if "BF16" in capabilities else "openvino finds no bf16 on this CPU"


def load(engine: Engine, file: Path, max_tokens: int) -> "OnnxRuntime | OpenVino":
    """Load the runtime for a model.

    Args:
        engine: From `choose`.
        file: The ONNX file.
        max_tokens: The most tokens that the model reads.
    """
    return OpenVino(file, max_tokens) if engine.name == OPENVINO_BF16 else OnnxRuntime(file)


class OnnxRuntime:
    """A model for ONNX Runtime."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def session(self, threads: int, calls: int) -> "OnnxRuntimeSession":
        """A session whose calls use `threads` threads each; any number of calls may run at once."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Free the memory after each text: the arena would keep what the longest text needed.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        # On CPUs the fused operator is slower than the two operators that it replaces.
        session = onnxruntime.InferenceSession(
            self._file,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        return OnnxRuntimeSession(session)


class OnnxRuntimeSession:
    """Forward passes by ONNX Runtime."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.input_names = {value.name for value in session.get_inputs()}

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """The output `logits` for inputs of shape (1, tokens)."""
        (logits,) = self._session.run(["logits"], inputs)
        return np.asarray(logits)


class OpenVino:
    """A model for OpenVINO; its sessions share the weights of the file."""

    def __init__(self, file: Path, max_tokens: int) -> None:
        import openvino

        self._core = openvino.Core()
        self._model = self._core.read_model(file)
        self._max_tokens = max_tokens

    def session(self, threads: int, calls: int) -> "OpenVinoSession":
        """A session for `calls` calls at once, each with `threads` threads."""
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "NUM_STREAMS": calls,
            "INFERENCE_NUM_THREADS": threads * calls,
            "ENABLE_CPU_PINNING": False,  # other processes would be pinned to the same cores
            "ENABLE_HYPER_THREADING": True,  # `available_cores` counts them
        }
        compiled = self._core.compile_model(self._model, "CPU", settings)
        return OpenVinoSession(compiled, self._max_tokens)


class OpenVinoSession:
    """Forward passes by OpenVINO.

    OpenVINO compiles kernels for each new length, which takes as long as a short text and 1.5 MB
    that are kept. Texts are therefore padded to one of about 50 lengths. A text's answer depends on
    its own length alone, not on other texts.
    """

    def __init__(self, compiled: Any, max_tokens: int) -> None:
        self._compiled, self._max_tokens = compiled, max_tokens
        self._idle: list[Any] = []  # requests; each runs one call at a time
        self.input_names = {value.get_any_name() for value in compiled.inputs}

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """The output `logits` for inputs of shape (1, tokens)."""
        tokens = inputs["input_ids"].shape[1]
        if "attention_mask" in inputs:  # without it, the model would read the padding
            missing = min(padded_length(tokens), self._max_tokens) - tokens
            inputs = {name: np.pad(value, [(0, 0), (0, missing)]) for name, value in inputs.items()}
        try:
            request = self._idle.pop()  # atomic
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            return np.array(request.infer(inputs)["logits"])
        finally:
            self._idle.append(request)


def padded_length(tokens: int) -> int:
    """The next multiple of 16; of more than 256 tokens, the next number of four binary digits.

    Padding adds at most an eighth to a text of more than 128 tokens.
    """
    step = max(16, 1 << max(0, (tokens - 1).bit_length() - 4))
    return -(-tokens // step) * step


Session = OnnxRuntimeSession | OpenVinoSession
