"""Speed of the static page: `space_static/` in Chromium, with its model from a local Hub.

Everything runs on this machine, so the times exclude the network. Measured: the bytes loaded before
the first prediction, the seconds to it with an empty and with a full cache, and the milliseconds of
a prediction and of an attribution for 250 words. Needs Chromium and npm.
Out: a table and `static.json`.

    python -m benchmarks.static [--model runs/quickstart] [--rounds 20] [--out FOLDER]
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import REPOSITORY, add_model, add_out, machine, model_folder, save
from benchmarks.screenshots import CHROMIUM
from benchmarks.space import MODEL, publish, review
from train import quickstart

SPACE = "demo/static"
WORDS = 250
EXPLANATIONS = 3  # each takes many predictions
# Runs in the page: milliseconds of each call of a worker's method.
TIME_CALLS = """async ([method, text, rounds]) => {
  const { ModelWorker } = await import("./model_worker.js");
  const worker = new ModelWorker();
  await worker.call("load", { ...document.documentElement.dataset, device: "wasm" });
  await worker.call(method, text);
  const milliseconds = [];
  for (let round = 0; round < rounds; round += 1) {
    const started = performance.now();
    await worker.call(method, text);
    milliseconds.push(performance.now() - started);
  }
  worker.close();
  return milliseconds;
}"""
ROWS = [
    ("bytes before the first prediction", "first_load_mb", "{:.1f} MB"),
    ("first prediction, empty cache", "cold_seconds", "{:.1f} s"),
    ("first prediction, cached", "cached_seconds", "{:.1f} s"),
    ("prediction for 250 words, median", "prediction_p50_ms", "{:.0f} ms"),
    ("prediction and attribution, 250 words, median", "attribution_p50_ms", "{:,.0f} ms"),
]


def main() -> None:
    """Deploy, load the page twice, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_model(parser)
    parser.add_argument("--rounds", type=int, default=20)
    add_out(parser, REPOSITORY / "runs" / "bench")
    options = parser.parse_args()
    options.model = model_folder(options.model)
    with deployed(options.model) as url:
        results = measure(url, options.rounds)
    results["machine"] = machine.describe()
    print(table(results))
    save(options.out / "static.json", results)


def table(results: dict[str, Any]) -> str:
    """The measurements, in Markdown."""
    lines = [f"| {name} | {form.format(results[key])} |" for name, key, form in ROWS]
    return "\n".join(["| measurement | value |", "|---|---|", *lines])


@contextmanager
def deployed(model: Path) -> Iterator[str]:
    """The address of the static page of a run folder, until the block ends."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "hub"
        with quickstart.local_hub(root, [SPACE]) as endpoint:
            token = quickstart.token(root=root)
            publish(endpoint, token, model)
            settings = {"HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HOME": f"{scratch}/home"}
            subprocess.run(
                [sys.executable, "-m", "benchmarks.static", "deploy"],
                cwd=REPOSITORY,
                env={**os.environ, **settings},
                check=True,
            )
            yield str(HfApi(endpoint=endpoint, token=token).space_info(SPACE).host)


def deploy() -> None:
    """Deploy the Space to the Hub of the environment, and wait until it runs."""
    from huggingface_hub import HfApi

    from train.publishing import deployment, smoke_test_space
    from train.publishing.hub import Published

    info = HfApi().model_info(MODEL)
    files = frozenset(file.rfilename for file in info.siblings or [])
    space = deployment.deploy_static(SPACE, Published(MODEL, str(info.sha), "", files))
    print(smoke_test_space.smoke_test_space(space, [], 60))


def measure(url: str, rounds: int) -> dict[str, Any]:
    """Measurements in one browser that loads the page twice."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context()
        context.set_default_timeout(120_000)
        transferred: list[int] = []

        def count(request: Any) -> None:
            transferred.append(request.sizes()["responseBodySize"])

        context.on("requestfinished", count)
        page = context.new_page()
        results: dict[str, Any] = {"cold_seconds": _first_prediction(page, url)}
        results["first_load_mb"] = sum(transferred) / 1e6
        page.evaluate("navigator.serviceWorker.ready")
        page.close()  # its self-test would slow the next page down
        page = context.new_page()
        results["cached_seconds"] = _first_prediction(page, url)
        page.get_by_role("tab", name="About").click()
        page.get_by_text(re.compile("^(Passed|Failed|Not possible)")).wait_for()  # the self-test
        for name, method, times in [
            ("prediction_p50_ms", "predict", rounds),
            ("attribution_p50_ms", "explain", min(rounds, EXPLANATIONS)),
        ]:
            milliseconds = page.evaluate(TIME_CALLS, [method, review(WORDS), times])
            results[name] = statistics.median(milliseconds)
        results["cross_origin_isolated"] = page.evaluate("crossOriginIsolated")
        results["browser"] = browser.version
        browser.close()
    return results


def _first_prediction(page: Any, url: str) -> float:
    """Seconds from opening the page to the prediction of the example that it opens with."""
    started = time.perf_counter()
    page.goto(url)
    page.get_by_text("tokens read").wait_for()
    return time.perf_counter() - started


if __name__ == "__main__":
    deploy() if sys.argv[1:] == ["deploy"] else main()
