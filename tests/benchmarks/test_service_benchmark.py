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
    command += ["--quick", "--servers", "ours", "fastapi", "--out", str(tmp_path)]
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
    assert 0 < results["memory_mb_at_a_tenth"] and 0 < results["memory_mb_at_the_end"]
    assert results["engine"] == "onnxruntime-fp32"
    assert "| engine of ours | onnxruntime-fp32 |" in done.stdout
    assert '"message": "request"' not in done.stderr
    gains = {f"batching_gain_model_{length}" for length in ("short", "250_words")}
    assert all(results[gain] > 0 for gain in gains)
    assert service.table(results) in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert sum("this service | " in row for row in rows) == len(loads)
    assert sum("memory of ours after" in row for row in rows) == 2
    assert sum("batches of" in row for row in rows) == len(gains)


def test_output_of_a_server_is_shown_only_if_it_does_not_start(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "import sys; sys.stderr.write('line\\n' * 9_000 + 'the cause'); sys.exit(1)"
    server = service.Server([sys.executable, "-c", code], "/", "/", str, bool)
    with pytest.raises(SystemExit, match="the cause") as caught, service.running(server, {}):
        pass
    assert len(str(caught.value)) < 2 * service.OUTPUT_BYTES
    assert capfd.readouterr().err == ""


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
