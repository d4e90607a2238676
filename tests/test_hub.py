"""hub.py against a real local Hub: what is pushed, what is refused, and what that leaves behind."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, fit_toy_run
from hubserver import READ, WRITE, RunningHub, running_hub
from huggingface_hub import HfApi


@pytest.fixture(scope="module")
def finished_run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run folder of the tiny model."""
    from train import card, export, stages

    run = fit_toy_run(tmp_path_factory.mktemp("runs"), tiny_base)
    results = stages.evaluate(run)
    (run / "README.md").write_text(card.render(results, "user/tiny"), encoding="utf-8")
    export.export(run)
    return run


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that a test may spoil."""
    return Path(shutil.copytree(finished_run, tmp_path / "tiny"))


@pytest.fixture(scope="module")
def hub():
    """One Hub for the tests that need no faults."""
    with running_hub() as found:
        yield found


def publish(hub: RunningHub, run: Path, *arguments: str, token: str | None = WRITE):
    """`python -m train publish` as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "train", "publish", str(run), *arguments],
        env=hub.env(home=run.parent / "home", token=token),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )


def fingerprint(folder: Path) -> dict[str, str]:
    files = (f for f in folder.rglob("*") if f.is_file() and "checkpoints" not in f.parts)
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(files)
    }


def commits(hub: RunningHub, repo_id: str, repo_type: str = "model") -> list[str]:
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    return [commit.title for commit in api.list_repo_commits(repo_id, repo_type=repo_type)]


def test_a_run_folder_becomes_one_commit_and_a_space(hub: RunningHub, run: Path) -> None:
    done = publish(hub, run, "--to", "demo/whole", "--space", "demo/page")
    assert done.returncode == 0, done.stderr
    assert "files came back equal, and pipeline() answers" in done.stdout
    assert "was not called; This hub does not run it: start localhub with" in done.stdout
    assert len(commits(hub, "demo/whole")) == 2  # the Hub's own first one, and ours

    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    info = api.model_info("demo/whole", files_metadata=True)
    pushed = {s.rfilename for s in info.siblings} - {".gitattributes"}
    assert pushed == set(fingerprint(run))
    assert not any(name.startswith("checkpoints") for name in pushed)
    assert info.pipeline_tag == "text-classification"
    assert info.card_data.eval_results[0].metric_type == "accuracy"

    variables = api.get_space_variables("demo/page")
    assert variables["MODEL_ID"].value == "demo/whole"
    assert variables["MODEL_REVISION"].value == info.sha
    page = api.space_info("demo/page")
    pins = (REPOSITORY / "space/requirements.txt").read_text()
    pinned = re.search(r"^gradio(?:\[mcp\])?==(\S+)$", pins, re.MULTILINE)
    assert pinned is not None and page.card_data["sdk_version"] == pinned[1]
    assert page.card_data["models"] == ["demo/whole"]
    repo, names, revision = page.card_data["preload_from_hub"][0].split()
    assert (repo, revision) == ("demo/whole", info.sha)
    assert set(names.split(",")) <= pushed
    assert "app.py" in {s.rfilename for s in page.siblings}


def test_publishing_again_leaves_exactly_the_folder(hub: RunningHub, run: Path) -> None:
    assert publish(hub, run, "--to", "demo/again").returncode == 0
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.upload_file(path_or_fileobj=b"old", path_in_repo="onnx/old.bin", repo_id="demo/again")
    assert publish(hub, run, "--to", "demo/again").returncode == 0
    left = set(api.list_repo_files("demo/again")) - {".gitattributes"}
    assert left == set(fingerprint(run))


def test_a_release_may_not_fall_behind_the_last_one(hub: RunningHub, run: Path) -> None:
    assert publish(hub, run, "--to", "demo/release").returncode == 0
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    passed = results["weaknesses"]["behaviour"]["sentences"]["all"]
    before = passed["accuracy"]
    for points, refused in [(1.9, False), (2.1, True)]:
        passed["accuracy"] = before = before - points / 100
        (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
        done = publish(hub, run, "--to", "demo/release")
        assert (done.returncode == 1) is refused, done.stderr
    assert f"passes {100 * before:.1f}% of the behaviour suite's sentences" in done.stderr
    assert "add --allow-worse" in done.stderr
    assert len(commits(hub, "demo/release")) == 3
    assert publish(hub, run, "--to", "demo/release", "--allow-worse").returncode == 0


def test_private_stays_private(hub: RunningHub, run: Path) -> None:
    done = publish(hub, run, "--to", "demo/secret", "--private", "--space", "demo/secret-page")
    assert done.returncode == 0, done.stderr
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    assert api.model_info("demo/secret").private
    page = api.space_info("demo/secret-page")
    assert page.private
    assert "preload_from_hub" not in page.card_data.to_dict()  # the Hub preloads public ones only


def test_private_is_not_pushed_to_a_public_repository(hub: RunningHub, run: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo("demo/open")
    done = publish(hub, run, "--to", "demo/open", "--private")
    assert done.returncode == 1
    assert "and public" in done.stderr
    assert "model.safetensors" not in api.list_repo_files("demo/open")


@pytest.mark.parametrize(
    ("arguments", "token", "said"),
    [
        pytest.param(["--to", "demo/x"], None, "hf auth login", id="no token"),
        pytest.param(["--to", "demo/x"], "hf_wrong", "401", id="401 unknown token"),
        pytest.param(["--to", "demo/x"], READ, "role `write`", id="403 read token"),
        pytest.param(
            ["--to", "other/x"], WRITE, "namespace that is yours", id="403 not my namespace"
        ),
        pytest.param(["--to", "nonsense"], WRITE, "user/name", id="no repo id"),
    ],
)
def test_refused(
    hub: RunningHub, run: Path, arguments: list[str], token: str | None, said: str
) -> None:
    before = fingerprint(run)
    done = publish(hub, run, *arguments, token=token)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert fingerprint(run) == before


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param("POST /api/models/.*/commit/=409", "another form", id="409"),
        pytest.param("POST /api/models/.*/commit/=412", "pushed in between", id="412"),
        pytest.param("POST /api/models/.*/commit/=403", "may not write", id="403 at the commit"),
        pytest.param("POST /api/models/.*/commit/=drop", "the connection to", id="hung up"),
    ],
)
def test_a_fault_loses_nothing_and_can_be_tried_again(run: Path, fault: str, said: str) -> None:
    before = fingerprint(run)
    with running_hub() as hub:
        faults = hub.root / "faults.json"
        hub.root.mkdir(exist_ok=True)
        faults.write_text(json.dumps([fault]))
        done = publish(hub, run, "--to", "demo/faulty")
        assert done.returncode == 1
        assert said in done.stderr, done.stderr
        assert "can be run later" in done.stderr
        assert fingerprint(run).keys() == before.keys()
        if fault.endswith("drop"):  # later it goes through
            faults.unlink()
            done = publish(hub, run, "--to", "demo/faulty")
            assert done.returncode == 0, done.stderr


def test_a_space_that_costs_money_is_said_before_training(tmp_path: Path, toy_csv: Path) -> None:
    with running_hub(arguments=["--free-account"]) as hub:
        done = subprocess.run(
            [sys.executable, "-m", "train", "run", "quickstart", "--out", str(tmp_path / "run")]
            + ["--to", "demo/m", "--space", "demo/s"],
            env=hub.env(home=tmp_path / "home"),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert "402" in done.stderr
    assert "add `--space-hardware zero-a10g`" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_unreachable_hub(run: Path, tmp_path: Path, hub: RunningHub) -> None:
    environment = hub.env(home=tmp_path / "home") | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "train", "publish", str(run), "--to", "demo/x"],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "the connection to http://127.0.0.1:9 failed" in done.stderr


@pytest.mark.parametrize("missing", ["model.safetensors", "results.json", "tokenizer.json"])
def test_an_incomplete_run_is_refused(hub: RunningHub, run: Path, missing: str) -> None:
    (run / missing).unlink()
    done = publish(hub, run, "--to", "demo/incomplete")
    assert done.returncode == 1
    assert missing in done.stderr


def test_a_run_that_was_never_evaluated_is_refused(hub: RunningHub, run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    del results["metrics"]["test"]
    (run / "results.json").write_text(json.dumps(results))
    done = publish(hub, run, "--to", "demo/incomplete")
    assert done.returncode == 1
    assert "never evaluated" in done.stderr


def test_the_page_is_called_before_it_is_said_to_be_live(run: Path) -> None:
    """The real `space/`, on a Hub that runs it."""
    with running_hub(arguments=["--run-spaces", "demo/s"]) as hub:
        done = publish(hub, run, "--to", "demo/m", "--space", "demo/s", "--space-wait", "3")
        assert done.returncode == 0, done.stdout + done.stderr
        host = HfApi(endpoint=hub.endpoint, token=WRITE).space_info("demo/s").host
    assert "demo/s: RUNNING after" in done.stdout
    live = f"live at {hub.endpoint}/spaces/demo/s and {host}: /classify says "
    assert live in done.stdout
    assert done.stdout.partition(live)[2].split()[0] in {"NEGATIVE", "POSITIVE"}


def test_hardware_without_a_space_and_unknown_hardware_are_refused(
    hub: RunningHub, run: Path
) -> None:
    done = publish(hub, run, "--to", "demo/x", "--space-hardware", "zero-a10g")
    assert done.returncode == 1
    assert "name it with --space as well" in done.stderr
    done = publish(hub, run, "--to", "demo/x", "--space", "demo/x", "--space-hardware", "gpu")
    assert done.returncode == 2
    assert "'gpu' is not one of 'cpu-basic', 'zero-a10g'" in done.stderr
