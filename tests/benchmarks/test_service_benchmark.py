"""The benchmark of the web service, on a tiny model for moments; no figure is checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from benchmarks import service
from benchmarks.service import Load


def test_measures_each_server_that_is_installed(tiny_classifier: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.service", "--model", str(tiny_classifier)]
    command += ["--clients", "2", "3", "--seconds", "0.5", "--memory-requests", "40"]
    command += ["--servers", "ours", "fastapi", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "service.json").read_text())
    loads = {f"{length}_{n}_clients" for length in ("short", "250_words") for n in (2, 3)}
    assert set(results["servers"]) == {"ours", "fastapi"}
    for rows in results["servers"].values():
        assert set(rows) == loads
        for row in rows.values():
            assert row["rss_mb"] > 0
    for row in results["servers"]["ours"].values():
        assert row["answers"] > 0 and row["errors"] == 0 and not row["kinds_of_errors"]
    assert set(results) >= {f"ratio_fastapi_short_{n}_clients" for n in (2, 3)}
    assert results["memory_requests"] == 40 and results["memory_errors"] == 0
    assert "| ours | short_2_clients |" in done.stdout


def test_a_refusal_is_no_error_and_an_answer_without_a_label_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import asyncio

    import aiohttp
    from aiohttp import web

    answers = iter([(429, {}, {"Retry-After": "7"}), (500, {}, {}), (200, [{}], {}),
                    (200, [{"label": "POSITIVE"}], {})])  # fmt: skip

    async def answer(request: web.Request) -> web.Response:
        status, body, headers = next(answers)
        return web.json_response(body, status=status, headers=headers)

    async def send_four(load: Load) -> list[float]:
        app = web.Application()
        app.router.add_post("/predict", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = "http://{}:{}".format(*runner.addresses[0][:2])
        ours = service.servers(Path("model"))["ours"]
        async with aiohttp.ClientSession() as http:
            waits = [await service.send(ours, http, url, "a film", load) for _ in range(4)]
        await runner.cleanup()
        return waits

    load = Load()
    assert asyncio.run(send_four(load)) == [7.0, 0.1, 0.1, 0.0]
    assert (load.refused, len(load.errors), len(load.seconds)) == (1, 2, 1)
    assert service.summarize(load, 2.0)["answers_per_second"] == 0.5
