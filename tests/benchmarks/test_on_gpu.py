"""`benchmarks/on_gpu.sh` with toy sizes on a CPU, so that no time on a GPU is lost to a fault."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, toy_reviews
from pyarrow import parquet

import benchmarks.on_gpu
from benchmarks import children


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """IMDb and SST-5 in miniature, as the Parquet files that `benchmarks.record` reads."""
    import pandas

    folder = tmp_path_factory.mktemp("data")
    rows = [{**row, "movie": row.pop("title")} for row in toy_reviews(160)]
    parts = {"train": rows[:80], "test": rows[80:120], "unsupervised": rows[120:]}
    scales = {"neg": 0, "pos": 4}
    shorter = [{"text": f"So {r['text'][8:]}", "label": scales[r["label"]]} for r in rows]
    sentences = {"train": shorter[:60], "dev": shorter[60:80], "test": shorter[80:100]}
    for name, splits in {"imdb": parts, "sst5": sentences}.items():
        (folder / name).mkdir()
        for split, found in splits.items():
            table = pandas.DataFrame(found)
            table = table.drop(columns="label") if split == "unsupervised" else table
            table.to_parquet(folder / name / f"{split}.parquet", index=False)
    return folder


def on_gpu(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REPOSITORY / "benchmarks/on_gpu.sh", *map(str, arguments)],
        env={**os.environ, "PYTHON": sys.executable, "LIMIT_SECONDS": "200"},
        capture_output=True,
        text=True,
    )


def test_measures_each_part_and_writes_flat_keys(
    data: Path, tiny_base: Path, tmp_path: Path
) -> None:
    done = on_gpu(
        *["--imdb", data / "imdb", "--base", tiny_base, "--out", tmp_path, "--seeds", 1, "--tiny"]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    keys = {
        "gpu-precision": "fp32_epoch_seconds bf16_saved_percent bf16_fraction_of_peak",
        "gpu-imdb-small": "accuracy_mean ece_mean train_seconds test_reviews",
        "gpu-train": "ratio_trainer_default ratio_trainer_best ours_reviews_per_second",
    }
    for name, wanted in keys.items():
        found = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert all(isinstance(found[key], float | int) for key in wanted.split()), name
        assert {"gpu", "driver", "versions", "peak_gflops"} <= set(found["machine"])
        assert {"git_sha", "dirty"} <= set(found)
    assert (tmp_path / "gpu-imdb-small-seed-0-test-predictions.parquet").exists()


def test_a_part_that_fails_stops_no_other(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--imdb", tmp_path / "missing", "--base", tiny_base, "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["on_gpu", *map(str, given), "--seeds", "1", "--tiny"])
    names = "measure_precision, measure_seeds, compare_with_trainer"
    with pytest.raises(SystemExit, match=f"not finished: {names}"):
        benchmarks.on_gpu.main()


def test_distils_students_from_teachers_and_writes_their_results(
    data: Path, tiny_base: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ["--imdb", data / "imdb", "--sst5", data / "sst5", "--base", tiny_base]
    given += ["--teacher-base", tiny_base, "--out", out, "--work", tmp_path / "work"]
    sizes = ["--teachers", 2, "--students", 1, "--sentences", 20, "--tiny"]
    done = on_gpu("distil", *given, *sizes)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    probabilities = parquet.read_table(out / "teacher-probabilities.parquet")
    shares = [probabilities[label].to_numpy() for label in ["NEGATIVE", "POSITIVE"]]
    assert np.allclose(sum(shares), 1, atol=0.002)
    for run in ["teacher-0", "teacher-1", "student-0"]:
        results = json.loads((out / f"{run}.json").read_text(encoding="utf-8"))
        assert results["metrics"]["test"]["n"] == 60
        assert results["data"]["repo"][0] == "stanfordnlp/imdb"
        assert (out / f"{run}-test-predictions.parquet").exists()
    parts = sorted(out.glob("student-0.tar.*"))
    whole = io.BytesIO(b"".join(part.read_bytes() for part in parts))
    with tarfile.open(fileobj=whole) as archive:
        archive.extractall(tmp_path, filter="data")
    check_is_fp16_and_scores(tmp_path / "student-0")


def check_is_fp16_and_scores(folder: Path) -> None:
    from safetensors.torch import load_file
    from transformers import pipeline

    assert {str(v.dtype) for v in load_file(folder / "model.safetensors").values()} == {
        "torch.float16"
    }
    answer = pipeline("sentiment-analysis", model=str(folder), device="cpu")("wonderful")
    assert answer[0]["label"] in {"NEGATIVE", "POSITIVE"}
    assert (folder / "recipe.yaml").exists() and (folder / "results.json").exists()


def fail() -> None:
    raise SystemExit(3)


def double(number: int) -> int:
    return 2 * number


def test_a_child_answers_fails_or_is_stopped() -> None:
    assert children.call(double, 21, seconds=60) == 42
    with pytest.raises(RuntimeError, match="fail failed"):
        children.call(fail, seconds=60)
    with pytest.raises(TimeoutError, match="sleep took longer than 0 s"):
        children.call(time.sleep, 60, seconds=0.3)


def test_those_that_run_at_the_deadline_are_stopped() -> None:
    started = {
        "short": children.start(double, 1),
        "failing": children.start(fail),
        "long": children.start(time.sleep, 60),
    }
    found = dict(children.finished(started, time.monotonic() + 15))
    assert found == {"short": True, "failing": False, "long": False}
    assert not started["long"].is_alive()
