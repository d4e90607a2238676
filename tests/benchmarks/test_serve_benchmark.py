"""The comparison with `pipeline()`: every row is what its name says, on a toy model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_reviews

from benchmarks import file_name, machine, machine_tables, model_folder, serve, train
from space.inference.classifier import Classifier, Prediction
from space.inference.engine import ENGINES, openvino_fault

TEXTS = [row["text"] for row in toy_reviews(12)]


@pytest.mark.parametrize("engine", ENGINES)
def test_each_row_of_ours_runs_its_engine(finished_run: Path, engine: str) -> None:
    if "openvino" in engine and (fault := openvino_fault()):
        pytest.skip(fault)
    classifier = Classifier.from_folder(finished_run, engine=engine)
    answers = classifier.predict_batch(TEXTS)
    second = classifier.load().labels[1]
    expected = [a.probabilities[second] for a in answers if isinstance(a, Prediction)]
    assert serve.implementation(serve.OURS[engine], finished_run, "float32")(TEXTS) == expected


def test_rows_of_ours_differ(finished_run: Path) -> None:
    rows = [serve.OURS[engine] for engine in ENGINES if "onnxruntime" in engine]
    int8, fp32 = (serve.implementation(row, finished_run, "float32")(TEXTS) for row in rows)
    assert int8 != fp32


@pytest.mark.parametrize("row", serve.BASELINES)
def test_baselines_have_the_probabilities_of_ours(finished_run: Path, row: str) -> None:
    ours = serve.implementation("ours, fp32", finished_run, "float32")(TEXTS)
    theirs = serve.implementation(row, finished_run, "float32")(TEXTS)
    assert theirs == pytest.approx(ours, abs=1e-4)


def test_results_files_are_named_by_machine_and_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "kind", lambda: "epyc")
    assert file_name("serve", None) == "serve-epyc"
    assert file_name("train", "some/imdb.csv") == "train-epyc-imdb"


def test_model_must_have_onnx_files(finished_run: Path, tmp_path: Path) -> None:
    assert model_folder(finished_run) == finished_run
    copy = Path(shutil.copytree(finished_run, tmp_path / "copy"))
    (copy / "onnx/model.onnx").unlink()
    with pytest.raises(SystemExit, match="train export"):
        model_folder(copy)


def test_tables_have_a_row_for_each_machine_and_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    described: dict[str, Any] = {"cores": 2, "peak_gflops": {"bf16": 2818.0, "fp32": 400.0}}
    amx = described | {"cpu": "Intel(R) Xeon(R) Processor", "cpu_flags": ["amx_bf16"]}
    measured = [
        {"implementation": name, "seconds": seconds, "gflops": 700.0, "peak_memory_mb": 1.0}
        | {"tokenize_seconds": 0.1, "reviews_per_second": 2.0, "tokens_per_second": 5000.0}
        for name, seconds in [(train.OURS, 1.0), (train.BEST, 4.0), (train.FAIR, 3.0)]
        + [(train.DEFAULT, 9.0)]
    ]
    training = train.summary(measured, amx) | {"machine": amx}
    serving = {"ratio_pipeline_batch1": 6.1, "ratio_pipeline_batch32": 41.0} | {
        "p50_ms_250_words": 9.0, "cold_first_answer_seconds": 0.5, "rss_mb": 500.0,
        "engine": {"name": "openvino-bf16", "reason": "the CPU has AMX"}, "machine": amx,
    }  # fmt: skip
    for name, results in [
        ("train-amx", training),
        ("serve-amx", serving),
        ("serve-amx-imdb", serving | {"ratio_pipeline_best": 5.5}),
        ("train-quality", {}),
    ]:
        (tmp_path / f"{name}.json").write_text(json.dumps(results))
    monkeypatch.setattr(machine_tables, "RESULTS", tmp_path)
    peaks = "2 cores, Intel Xeon, AMX (2,818 GFLOP/s in bf16, 400 in fp32)"
    assert machine_tables.training_table().splitlines()[2:] == [
        f"| {peaks} | 5,000 | 25% | 9.0 | 4.0 | 3.0 |"
    ]
    rest = "9.0 ms | 0.50 s | 500 MB |"
    assert machine_tables.serving_table().splitlines()[2:] == [
        f"| {peaks} | bf16 by OpenVINO | 6.1 | 41.0 |  | {rest}",
        f"| {peaks}, imdb reviews | bf16 by OpenVINO | 6.1 | 41.0 | 5.5 | {rest}",
    ]
