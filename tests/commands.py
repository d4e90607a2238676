"""Code and `python -m train` in new processes, which start with the slow libraries imported.

A server process imports them once and forks. It imports no module that reads HF_ENDPOINT or
HF_HOME, so that each command reads its own environment.
"""

import atexit
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

REPOSITORY = Path(__file__).resolve().parent.parent
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["torch._dynamo", "torch.distributed.tensor", "safetensors.torch", "scipy.stats", "pandas"]
    + ["pyarrow.dataset", "sklearn.metrics", "jinja2", "onnxscript", "onnxruntime.quantization"]
)


def run_train(
    *arguments: object, env: Mapping[str, str] | None = None, cwd: Path = REPOSITORY
) -> "CompletedProcess[str]":
    """Run `python -m train ARGUMENTS` until it ends, as `subprocess.run` does."""
    return run_code("from train.__main__ import main; main()", *arguments, env=env, cwd=cwd)


def run_code(
    code: str, *arguments: object, env: Mapping[str, str] | None = None, cwd: Path = REPOSITORY
) -> "CompletedProcess[str]":
    """Run `python -c CODE ARGUMENTS` until it ends, as `subprocess.run` does."""
    argv = ["-c", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"{folder}/stdout", f"{folder}/stderr"]
        process = FORKS.Process(
            target=_become, args=(code, argv, dict(env or os.environ), cwd, outputs)
        )
        process.start()
        process.join()
        stdout, stderr = (Path(output).read_text(encoding="utf-8") for output in outputs)
    assert process.exitcode is not None
    return CompletedProcess(argv, process.exitcode, stdout, stderr)


def _become(code: str, argv: list[str], env: dict[str, str], cwd: Path, outputs: list[str]) -> None:
    for stream, output in enumerate(outputs, 1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), stream)
    sys.stdout, sys.stderr = (open(stream, "w", encoding="utf-8") for stream in (1, 2))
    assert "huggingface_hub" not in sys.modules, "it has read the server's HF_ENDPOINT"
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = argv
    try:
        exec(code, {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()
