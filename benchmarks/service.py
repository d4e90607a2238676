"""Load on the web service, beside what one would use instead, on the same model and machine.

Closed-loop clients over HTTP: each sends a review, waits for the answer, and sends the next; after
a 429 it waits as long as it is told. In: a run folder with ONNX files. Out: a table and
`service.json`: answers per second, latencies, refusals, errors and memory of each server; the
memory of ours over 100,000 short requests; what batches across requests would gain at most.
`make bench-service` installs infinity-emb into an environment of its own; without it, its rows are
left out. Two minutes for each of four loads on each of four servers, and about six for the memory:
40 minutes in all.

    python -m benchmarks.service [--model runs/quickstart] [--quick] [--out FOLDER]
"""

import argparse
import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
import psutil

from benchmarks import REPOSITORY, add_model, add_out, machine, model_folder, save
from benchmarks.space import MODEL, publish, review
from train import quickstart

INFINITY = REPOSITORY / ".venv-infinity" / "bin" / "infinity_emb"
WORDS = {"short": 16, "250_words": 250}
MEMORY_WORDS = 3  # of a review: the memory of requests is measured, not that of the model
BATCH = 16  # texts
BATCH_ROUNDS = 5  # of which the quickest counts
TITLES = {
    "ours": "this service",
    "fastapi": "FastAPI around `pipeline()`",
    "infinity_torch": "infinity-emb, torch",
    "infinity_optimum": "infinity-emb, ONNX (int8)",
}
START_SECONDS = 300  # for a server to load its model
OUTPUT_BYTES = 4_000  # of a server that did not start, which are shown
CLIENT_TIMEOUT = 60  # of a request
MAX_WAIT = 10.0  # that a client waits after a 429, whatever it is told


@dataclass(frozen=True)
class Server:
    """A server to measure.

    Attributes:
        command: The process; `{port}` is replaced.
        health: The path that answers once the model is loaded.
        path: Of a prediction.
        body: The request for a text.
        has_label: Whether an answer contains a prediction.
    """

    command: list[str]
    health: str
    path: str
    body: Callable[[str], Any]
    has_label: Callable[[Any], bool]


@dataclass(frozen=True)
class Work:
    """How much is measured.

    Attributes:
        clients: The numbers of clients.
        seconds: Of each load.
        memory_requests: For the memory over many requests.
    """

    clients: tuple[int, ...]
    seconds: float
    memory_requests: int


FULL, QUICK = Work((100, 300), 120, 100_000), Work((2, 3), 0.5, 40)


@dataclass
class Load:
    """What the clients saw.

    Attributes:
        seconds: Of each answer.
        refused: Answers with status 429.
        errors: Other statuses, broken connections, answers without a prediction.
    """

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    errors: list[str] = field(default_factory=list)


def main() -> None:
    """Measure each server with each number of clients and each length, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_model(parser)
    parser.add_argument("--servers", nargs="+", help="all by default", metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="try everything, for moments")
    add_out(parser, REPOSITORY / "runs" / "bench")
    options = parser.parse_args()
    options.model = model_folder(options.model)
    work = QUICK if options.quick else FULL
    results: dict[str, Any] = {"servers": {}}
    with tempfile.TemporaryDirectory() as scratch:
        with quickstart.local_hub(Path(scratch) / "hub") as endpoint:
            publish(endpoint, quickstart.token(root=Path(scratch) / "hub"), options.model)
            env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": f"{scratch}/home"}
            env |= {"MODEL_ID": MODEL, "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
            for name, server in servers(options.model).items():
                if name in (options.servers or [name]):
                    results["servers"][name] = measure(server, env, work)
            if "ours" in results["servers"]:
                ours = servers(options.model)["ours"]
                results |= measure_memory(ours, env, work.memory_requests)
    results |= ratios(results["servers"]) | measure_batching(options.model)
    results["work"] = {**asdict(work), "words": WORDS, "memory_words": MEMORY_WORDS}
    results["machine"] = machine.describe()
    print(table(results))
    save(options.out / "service.json", results)


def servers(model: Path) -> dict[str, Server]:
    """The servers by name, as far as they are installed."""
    folder = str(model.resolve())
    by_name = {
        "ours": Server(
            [sys.executable, str(REPOSITORY / "space/server.py")],
            "/ready",
            "/predict",
            lambda text: {"inputs": text},
            lambda answer: "label" in answer[0],
        ),
        "fastapi": Server(
            [sys.executable, "-m", "benchmarks.baselines.fastapi_pipeline", folder, "{port}"],
            "/health",
            "/classify",
            lambda text: {"text": text},
            lambda answer: "label" in answer,
        ),
    }
    if not INFINITY.exists():
        print("infinity-emb is not installed: `make bench-service` installs it", file=sys.stderr)
        return by_name
    for engine in ("torch", "optimum"):
        command = [str(INFINITY), "v2", "--model-id", MODEL]
        command += ["--engine", engine, "--device", "cpu", "--log-level", "warning"]
        by_name[f"infinity_{engine}"] = Server(
            [*command, "--host", "127.0.0.1", "--port", "{port}"],
            "/health",
            "/classify",
            lambda text: {"model": MODEL, "input": [text]},
            lambda answer: "label" in answer["data"][0][0],
        )
    return by_name


def measure(server: Server, env: dict[str, str], work: Work) -> dict[str, Any]:
    """The results of a server, by length and number of clients."""
    results: dict[str, Any] = {}
    with running(server, env) as (url, process):
        for length, words in WORDS.items():
            asyncio.run(run_clients(server, url, 4, 20, words))  # warm up
            for clients in work.clients:
                started = time.perf_counter()
                load = asyncio.run(
                    run_clients(server, url, clients, None, words, seconds=work.seconds)
                )
                elapsed = time.perf_counter() - started
                row = summarize(load, elapsed) | {"rss_mb": resident_mb(process)}
                results[f"{length}_{clients}_clients"] = row
                print(f"{length}, {clients} clients: {row}", file=sys.stderr)
    return results


def measure_memory(server: Server, env: dict[str, str], requests: int) -> dict[str, Any]:
    """Memory of ours after a tenth of the requests, and after all; 16 clients. Also its engine."""
    with running(server, env) as (url, process):
        engine = httpx.get(f"{url}/info", timeout=30).json()["engine"]["name"]
        memory, errors = [], 0
        for count in (requests // 10, requests - requests // 10):
            load = asyncio.run(run_clients(server, url, 16, count, MEMORY_WORDS))
            memory.append(resident_mb(process))
            errors += len(load.errors)
    return {
        "engine": engine,
        "memory_requests": requests,
        "memory_errors": errors,
        "memory_mb_at_a_tenth": memory[0],
        "memory_mb_at_the_end": memory[1],
    }


def measure_batching(model: Path) -> dict[str, float]:
    """What batches across requests would gain at most: texts per second, as ratios by length.

    One core classifies texts of equal length, so without padding, in batches and one at a time.
    """
    import onnxruntime

    from space.inference.classifier import Classifier
    from space.inference.download import ONNX_FILES

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    classifier = Classifier.from_folder(model, 1).load()
    ratios = {}
    for file in (model / name for name in ONNX_FILES if (model / name).exists()):
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for length, words in WORDS.items():
            (tokens,) = classifier.encode([review(words)])
            seconds = [_seconds(session, tokens.ids, rows) for rows in (1, BATCH)]
            ratios[f"batching_gain_{file.stem}_{length}"] = seconds[0] / seconds[1]
    return ratios


def _seconds(session: Any, ids: Any, rows: int) -> float:
    """Seconds for `BATCH` texts in batches of `rows`, the least of several rounds."""
    batch = np.tile(ids, (rows, 1))  # (texts, tokens)
    inputs = {"input_ids": batch, "attention_mask": np.ones_like(batch)}
    times = []
    for _ in range(BATCH_ROUNDS):
        started = time.perf_counter()
        for _ in range(BATCH // rows):
            session.run(["logits"], inputs)
        times.append(time.perf_counter() - started)
    return min(times)


async def run_clients(
    server: Server,
    url: str,
    clients: int,
    requests: int | None,
    words: int,
    seconds: float = float("inf"),
) -> Load:
    """Let clients send reviews.

    Args:
        server: The server's API.
        url: Its address.
        clients: How many send at once.
        requests: Of all clients; None for no limit.
        words: Of a review.
        seconds: After which no request is sent.
    """
    load, sent, end = Load(), 0, time.perf_counter() + seconds
    connections = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=CLIENT_TIMEOUT)
    async with aiohttp.ClientSession(connector=connections, timeout=timeout) as http:

        async def simulate_client(number: int) -> None:
            nonlocal sent
            while time.perf_counter() < end and (requests is None or sent < requests):
                sent += 1
                text = f"Review {number} of {sent}. {review(words)}"  # no two are the same
                wait = await send(server, http, url, text, load)
                await asyncio.sleep(min(wait, MAX_WAIT, max(0, end - time.perf_counter())))

        await asyncio.gather(*(simulate_client(number) for number in range(clients)))
    return load


async def send(
    server: Server, http: aiohttp.ClientSession, url: str, text: str, load: Load
) -> float:
    """Send one request and record it; returns the seconds to wait before the next."""
    started = time.perf_counter()
    try:
        async with http.post(url + server.path, json=server.body(text)) as response:
            if response.status == 429:
                await response.read()
                load.refused += 1
                return float(response.headers.get("Retry-After", 1))
            if response.ok and server.has_label(await response.json()):
                load.seconds.append(time.perf_counter() - started)
                return 0.0
            load.errors.append(f"status {response.status}")
    except (aiohttp.ClientError, TimeoutError, LookupError, TypeError, ValueError) as error:
        load.errors.append(type(error).__name__)
    return 0.1


def summarize(load: Load, elapsed: float) -> dict[str, Any]:
    """The figures of one measurement."""
    cuts = statistics.quantiles(load.seconds, n=100) if len(load.seconds) > 1 else [0.0] * 99
    return {
        "answers": len(load.seconds),
        "answers_per_second": len(load.seconds) / elapsed,
        "p50_seconds": cuts[49],
        "p95_seconds": cuts[94],
        "p99_seconds": cuts[98],
        "refused": load.refused,
        "errors": len(load.errors),
        "kinds_of_errors": sorted(set(load.errors)),
    }


def ratios(results: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Answers per second of ours, divided by those of each alternative; flat keys."""
    ours = results.get("ours", {})
    return {
        f"ratio_{name}_{load}": row["answers_per_second"] / other[load]["answers_per_second"]
        for name, other in results.items()
        if name != "ours"
        for load, row in ours.items()
        if other[load]["answers_per_second"]
    }


def table(results: dict[str, Any]) -> str:
    """The loads and the other measurements, as two tables in Markdown."""
    lines = [
        "| server | reviews | answers/s | p50, p95, p99 (s) | refused | errors | memory (MB) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, loads in results["servers"].items():
        for load, row in loads.items():
            *length, clients, _ = load.split("_")
            seconds = ", ".join(f"{row[f'{p}_seconds']:.2f}" for p in ("p50", "p95", "p99"))
            lines.append(
                f"| {TITLES[name]} | {' '.join(length)}, {clients} clients "
                f"| {row['answers_per_second']:.1f} | {seconds} | {row['refused']:,} "
                f"| {row['errors']:,} | {row['rss_mb']:.0f} |"
            )
    lines += ["", "| measurement | value |", "|---|---|"]
    if engine := results.get("engine"):
        lines.append(f"| engine of ours | {engine} |")
    if requests := results.get("memory_requests"):
        for count, when in ((requests // 10, "at_a_tenth"), (requests, "at_the_end")):
            memory = results[f"memory_mb_{when}"]
            lines.append(f"| memory of ours after {count:,} requests | {memory:.0f} MB |")
    for key, gain in results.items():
        if match := re.fullmatch(r"batching_gain_(model\w*?)_(short|250_words)", key):
            file, length = match[1], match[2].replace("_", " ")
            name = f"texts/s in batches of {BATCH} to one at a time, `{file}.onnx`, {length}"
            lines.append(f"| {name} | {gain:.2f} |")
    return "\n".join(lines)


@contextmanager
def running(server: Server, env: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a server inside the block; yields its address and process once it has its model."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [word.replace("{port}", port) for word in server.command]
    output = tempfile.TemporaryFile()
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env={**env, "PORT": port}, stdout=output, stderr=output
    )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
    try:
        while not _answers(url + server.health):
            if process.poll() is not None or time.monotonic() > deadline:
                output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT_BYTES))
                end = output.read().decode("utf-8", "replace")
                raise SystemExit(f"{command[:3]} did not start:\n{end}")
            time.sleep(0.1)
        yield url, process
    finally:
        output.close()  # the server keeps its own handle
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).is_success
    except httpx.TransportError:
        return False


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    """Memory of a process and its children, in MB (10^6 bytes)."""
    parent = psutil.Process(process.pid)
    processes = [parent, *parent.children(recursive=True)]
    return sum(member.memory_info().rss for member in processes) / 1e6


if __name__ == "__main__":
    main()
