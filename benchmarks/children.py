"""Runs functions in processes with a time limit; a failing function does not stop the caller.

With an NVIDIA GPU, processes are spawned, because CUDA can't be used in a fork. Otherwise they are
forked, which needs no second import.
"""

import importlib
import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

CONTEXT: Any = multiprocessing.get_context("spawn" if shutil.which("nvidia-smi") else "fork")
PRELOADED = [
    "train.pipeline.training_run",
    "evaluate",
    "sklearn.metrics",
    "matplotlib.pyplot",
    "transformers.trainer",
]
POLL_SECONDS = 0.1


def preload() -> None:
    """Import the modules that forks need once; does nothing if processes are spawned."""
    if CONTEXT.get_start_method() == "fork":
        for module in PRELOADED:
            importlib.import_module(module)


def call(function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
    """Call a function of a module in its own process and return its result.

    Raises:
        TimeoutError: It took longer than `seconds`; it was stopped.
        RuntimeError: It failed; its traceback is in the output.
    """
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_send, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            raise TimeoutError(f"{function.__name__} took longer than {seconds:.0f} s")
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} failed") from None
    finally:
        stop([process])


def start(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start a function of a module in its own process, which ends with this one."""
    process: BaseProcess = CONTEXT.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def finished(processes: dict[Any, BaseProcess], deadline: float) -> Iterator[tuple[Any, bool]]:
    """Yield the key of each process when it ends, and whether it succeeded.

    Args:
        processes: From `start`, by any key.
        deadline: Of `time.monotonic()`; those that still run then are stopped.
    """
    left = dict(processes)
    while left and time.monotonic() < deadline:
        for key, process in list(left.items()):
            if process.exitcode is not None:
                del left[key]
                yield key, process.exitcode == 0
        time.sleep(POLL_SECONDS)
    stop(left.values())
    yield from ((key, False) for key in left)


def stop(processes: Any) -> None:
    """Terminate processes; kill those that don't end."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(10)
        if process.exitcode is None:
            process.kill()
            process.join()


def _send(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    sender.send(function(*arguments))
    sender.close()
