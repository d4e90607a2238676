"""Speed and load of the Space: the app of `space/`, started as the Hub starts it.

Its model comes from a local Hub: the quick start's, or the one in a run folder. Measured over HTTP:
cold start, one prediction, attribution, many concurrent users, and memory and disk after uploads, a
comparison and a large file. Out: a table and `space.json`.

    python -m benchmarks.space [--model runs/quickstart] [--users 50] [--seconds 60] [--out FOLDER]
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from benchmarks import (
    REPOSITORY,
    add_model,
    add_out,
    machine,
    model_folder,
    print_engine,
    save,
    space_memory,
)
from train import quickstart

MODEL, OTHER = "demo/space", "demo/other"
SENTENCE = "The lead carries it, though the middle drags and the score does not help at all. "
WORDS = 16  # of the sentence


def main() -> None:
    """Publish the model, start the app twice (then with cached weights), measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_model(parser)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=1, help="seconds between a user's requests")
    add_out(parser, REPOSITORY / "runs" / "bench")
    options = parser.parse_args()
    options.model = model_folder(options.model)
    engine = print_engine(options.model)
    with tempfile.TemporaryDirectory() as scratch:
        with quickstart.local_hub(Path(scratch) / "hub") as endpoint:
            token = quickstart.token(root=Path(scratch) / "hub")
            for repo_id in (MODEL, OTHER):
                publish(endpoint, token, options.model, repo_id)
            env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": f"{scratch}/home"}
            env |= {"MODEL_ID": MODEL, "HF_HUB_DISABLE_TELEMETRY": "1"}
            with running(env) as (url, _, _):
                _ask(url, "classify", review(20))  # the weights are in the cache after it
            with running(env) as (url, process, started):
                _ask(url, "classify", review(20))
                results: dict[str, Any] = {"cold_start_seconds": time.perf_counter() - started}
                results |= _measure_single_user(url) | {"rss_mb": 0.0}
                results |= asyncio.run(
                    _measure_load(url, options.users, options.seconds, options.pause)
                )
                results["rss_mb"] = _resident_mb(process.pid)
            temporary = Path(scratch) / "files"
            with running({**env, "GRADIO_TEMP_DIR": str(temporary)}) as (url, process, _):
                _ask(url, "classify", review(20))
                results |= space_memory.measure(url, process.pid, temporary, MODEL, OTHER)
    results["work"] = {"users": options.users, "seconds": options.seconds, "pause": options.pause}
    results |= {"engine": engine, "machine": machine.describe()}
    print(table(results))
    save(options.out / "space.json", results)


def table(results: dict[str, Any]) -> str:
    """The measurements, in Markdown."""
    rows = [
        ("process start to first prediction, weights cached", "cold_start_seconds", "{:.1f} s"),
        ("prediction for 250 words, median", "prediction_p50_ms", "{:.0f} ms"),
        ("prediction and attribution, 300 words", "review_300_words_seconds", "{:.2f} s"),
        ("prediction and attribution, 3,000 words", "review_3000_words_seconds", "{:.1f} s"),
        ("resident memory after the load", "rss_mb", "{:.0f} MB"),
        ("{load_users} concurrent users: answers", "load_answers", "{:,}"),
        ("{load_users} concurrent users: errors", "load_errors", "{}"),
        ("{load_users} concurrent users: 95th percentile", "load_p95_seconds", "{:.2f} s"),
        ("{uploads} uploads, a comparison, {rows:,} rows: peak memory", "peak_rss_mb", "{:.0f} MB"),
        ("with the worker of the other model: peak memory", "peak_total_mb", "{:.0f} MB"),
        ("files left when the users have closed the page", "files_left", "{:,}"),
    ]
    lines = ["| measurement | value |", "|---|---|"]
    for name, key, form in rows:
        if key not in results:  # of results recorded before this was measured
            continue
        lines.append(f"| {name.format(**results)} | {form.format(results[key])} |")
    return "\n".join(lines)


def review(words: int) -> str:
    """A review of that many words, in sentences."""
    whole, rest = divmod(words, WORDS)
    return (SENTENCE * whole + " ".join(SENTENCE.split()[:rest])).strip()


def publish(endpoint: str, token: str, folder: Path, repo_id: str = MODEL) -> None:
    """Upload a run folder to the local Hub, by default as the model of the app."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    api.create_repo(repo_id)
    api.upload_folder(repo_id=repo_id, folder_path=folder, ignore_patterns=["checkpoints/**"])


@contextmanager
def running(env: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes], float]]:
    """Run the app inside the block; yields its address, its process and its start time."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "space" / "app.py")],
        env={**env, "GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            if process.poll() is not None:
                raise SystemExit("the app exited; its output is above")
            time.sleep(0.02)
        yield url, process, started
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/config", timeout=30).is_success
    except httpx.TransportError:
        return False


def _ask(url: str, name: str, text: str) -> float:
    """Send one request, as curl would; returns the seconds until the answer."""
    with httpx.Client(timeout=120) as client:
        started = time.perf_counter()
        event = client.post(f"{url}/gradio_api/call/{name}", json={"data": [text]}).json()
        answer = client.get(f"{url}/gradio_api/call/{name}/{event['event_id']}").text
        seconds = time.perf_counter() - started
    assert "event: complete" in answer, answer
    return seconds


def _measure_single_user(url: str) -> dict[str, float]:
    """Latencies of a single user, each the median of several requests."""
    for _ in range(5):
        _ask(url, "classify", review(250))
    predictions = [_ask(url, "classify", review(250)) for _ in range(100)]
    short = [_ask(url, "explain", review(300)) for _ in range(5)]
    long = [_ask(url, "explain", review(3000)) for _ in range(3)]
    return {
        "prediction_p50_ms": 1000 * statistics.median(predictions),
        "review_300_words_seconds": statistics.median(short),
        "review_3000_words_seconds": statistics.median(long),
    }


async def _measure_load(url: str, users: int, seconds: float, pause: float) -> dict[str, Any]:
    """Latencies of concurrent users, who request predictions on 250 words with pauses."""
    latencies: list[float] = []
    errors: list[str] = []
    # Not httpx: its search for a free one of hundreds of connections takes longer than an answer.
    connections = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connections, timeout=timeout) as client:
        end = time.perf_counter() + seconds

        async def simulate_user(number: int) -> None:
            await asyncio.sleep(pause * number / users)  # spread the first requests
            while (begun := time.perf_counter()) < end:
                if problem := await _predict(client, url, f"User {number}. {review(250)}"):
                    errors.append(problem)
                else:
                    latencies.append(time.perf_counter() - begun)
                await asyncio.sleep(pause)

        await asyncio.gather(*(simulate_user(number) for number in range(users)))
    for problem in sorted(set(errors)):
        print(f"error: {problem}", file=sys.stderr)
    return {
        "load_users": users,
        "load_errors": len(errors),
        "load_p95_seconds": statistics.quantiles(latencies, n=20)[-1],
        "load_p50_seconds": statistics.median(latencies),
        "load_answers": len(latencies),
    }


async def _predict(client: aiohttp.ClientSession, url: str, text: str) -> str | None:
    """Request a prediction; returns the error, or None."""
    call = f"{url}/gradio_api/call/classify"
    try:
        async with client.post(call, json={"data": [text]}) as response:
            if not response.ok:
                return (await response.text())[:200]
            event = await response.json()
        async with client.get(f"{call}/{event['event_id']}") as response:
            answer = await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return repr(error)
    kind, _, data = answer.strip().rpartition("data: ")
    return None if "event: complete" in kind and "label" in json.dumps(data) else answer[-200:]


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
