"""Publishing against a local Hub: what is pushed, what is refused, what a failure leaves."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from commands import run_train
from conftest import REPOSITORY, finish, fit_toy_run
from hubserver import READ, WRITE, RunningHub, run_python, running_hub
from huggingface_hub import CommitOperationAdd, HfApi

from train.evaluation import row_results
from train.publishing import commits as hub_commits
from train.publishing import golden_scores, published_files


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that a test may spoil."""
    return Path(shutil.copytree(finished_run, tmp_path / "tiny"))


def publish(hub: RunningHub, run: Path, *arguments: str, token: str | None = WRITE):
    """`python -m train publish` as a user runs it."""
    env = hub.env(home=run.parent / "home", token=token)
    return run_train("publish", run, *arguments, env=env)


def fingerprint(folder: Path) -> dict[str, str]:
    files = (f for f in folder.rglob("*") if f.is_file() and "checkpoints" not in f.parts)
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(files)
    }


def commits(hub: RunningHub, repo_id: str, repo_type: str = "model") -> list[str]:
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    return [commit.title for commit in api.list_repo_commits(repo_id, repo_type=repo_type)]


def test_publish_makes_one_commit_and_a_space(hub: RunningHub, run: Path) -> None:
    done = publish(hub, run, "--to", "demo/whole", "--space", "demo/page")
    assert done.returncode == 0, done.stderr
    assert "files are identical, and pipeline() works" in done.stdout
    assert "was not called; This hub does not run it: start localhub with" in done.stdout
    assert len(commits(hub, "demo/whole")) == 2  # the Hub's own first one, and ours

    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    info = api.model_info("demo/whole", files_metadata=True)
    pushed = {s.rfilename for s in info.siblings} - {".gitattributes"}
    assert pushed == {*fingerprint(run), "published.json"}
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
    assert "space/app.py" in {s.rfilename for s in page.siblings}


def test_publishing_again_replaces_own_files_and_keeps_others(hub: RunningHub, run: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    foreign = {"pytorch_model.bin", "data/train.csv", "onnx/model_fp16.onnx", "config.json"}
    api.create_repo("demo/again")
    operations = [CommitOperationAdd(name, b"foreign") for name in foreign]
    api.create_commit("demo/again", operations, commit_message="Foreign")

    (run / "visitors.csv").write_text("private")
    done = publish(hub, run, "--to", "demo/again")
    assert done.returncode == 0, done.stderr
    assert ": 1 file: visitors.csv" in done.stdout
    # An older version, or somebody else, published the model that is there.
    assert (
        "the model in demo/again has no row-results.parquet to compare with: publishing without "
        "the release gate\n"
    ) in done.stdout
    assert "in demo/again this replaces 1 file: config.json\n" in done.stdout
    assert (
        "this keeps 3 files: data/train.csv, onnx/model_fp16.onnx, pytorch_model.bin" in done.stdout
    )
    assert "this removes" not in done.stdout
    (run / "plots/training.png").unlink()
    done = publish(hub, run, "--to", "demo/again")
    assert done.returncode == 0, done.stderr
    assert "in demo/again this removes 1 file: plots/training.png\n" in done.stdout
    listed, pushed = done.stdout.index("this removes"), done.stdout.index("pushed ")
    assert listed < pushed
    assert len(commits(hub, "demo/again")) == 4
    left = set(api.list_repo_files("demo/again")) - {".gitattributes"}
    assert left == {*fingerprint(run), "published.json", *foreign} - {"visitors.csv"}


def test_run_without_test_split_is_published_with_validation_metrics(
    hub: RunningHub, tiny_base: Path, tmp_path: Path
) -> None:
    run = finish(fit_toy_run(tmp_path, tiny_base, "datasets.splits=[train, validation]"))
    done = publish(hub, run, "--to", "demo/untested")
    assert done.returncode == 0, done.stderr
    assert re.search(r"accuracy [01]\.\d{4} on validation$", commits(hub, "demo/untested")[0])
    files = HfApi(endpoint=hub.endpoint).list_repo_files("demo/untested")
    assert "validation-predictions.parquet" in files
    assert "test-predictions.parquet" not in files


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"{", id="broken"),
        pytest.param(b'{"files": [".gitattributes", "a.bin", 1, "../up", "gone"]}', id="odd"),
    ],
)
def test_only_files_of_the_manifest_are_removed(hub: RunningHub, manifest: bytes | None) -> None:
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    repo = api.create_repo("demo/told", exist_ok=True).repo_id
    there = {"recipe.yaml", "results.json", "onnx/model_quantized.onnx", "a.bin", "sub/config.json"}
    operations = [CommitOperationAdd(name, name.encode()) for name in there]
    if manifest is not None:
        operations.append(CommitOperationAdd(hub_commits.MANIFEST, manifest))
    api.create_commit(repo, operations, commit_message="Before")
    hub_commits.commit(api, repo, "model", hub_commits.with_manifest({"new.txt": b"new"}), "After")
    left = set(api.list_repo_files(repo)) - {".gitattributes", "new.txt", hub_commits.MANIFEST}
    api.delete_repo(repo)
    assert left == there - ({"a.bin"} if manifest and b"a.bin" in manifest else set())


def test_new_checkpoint_replaces_only_the_previous_one(hub: RunningHub, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    code = (
        "import sys; from pathlib import Path; from train.publishing import hub\n"
        "hub.push_checkpoint(Path(sys.argv[1]), 'demo/kept')"
    )
    (tmp_path / "recipe.yaml").write_text("name: x")
    for number in (1, 2):
        checkpoint = tmp_path / f"checkpoints/step-{number}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(b"x" * number)
        run_python(code, hub.env(tmp_path / "home"), str(checkpoint))
        api.upload_file(
            repo_id="demo/kept", path_in_repo="notes.md", path_or_fileobj=f"{number}".encode()
        )
        shutil.rmtree(checkpoint)
    left = set(api.list_repo_files("demo/kept")) - {".gitattributes"}
    assert left == {"recipe.yaml", "notes.md", "checkpoints/step-2/model.safetensors"}


def test_only_files_of_the_run_are_published(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = set(fingerprint(run))
    strays = ["visitors.csv", "notes/reviews.parquet", ".env", "plots/plots/a.png", "onnx/x.txt"]
    for name in [*strays, "__pycache__/x.pyc", "sub/config.json"]:
        (run / name).parent.mkdir(exist_ok=True, parents=True)
        (run / name).write_text("private")
    files = published_files.public_files(run)
    assert set(files) == whole
    published_files.print_unpublished(run, files)
    dropped = ", ".join(sorted([*strays, "sub/config.json"]))
    assert capsys.readouterr().out == f"not published from {run}: 6 files: {dropped}\n"


def change_rows(run: Path, part: str, count: int, correct: bool) -> None:
    """Let so many of the first rows of a part be right, or wrong."""
    rows = row_results.load(run / row_results.FILE)
    rows.loc[rows.index[rows["part"] == part][:count], "correct"] = correct
    records = [row_results.RowResult(*row) for row in rows.itertuples(index=False)]
    row_results.save(run / row_results.FILE, records)


def test_release_gate_refuses_a_significantly_worse_model(hub: RunningHub, run: Path) -> None:
    change_rows(run, "sentences", 40, True)
    assert publish(hub, run, "--to", "demo/release").returncode == 0
    for part, named in [
        ("sentences", "fewer correct in plain (26 to 20 of 26)"),
        ("test", "test rows of reviews.csv: 16 of 16 rows correct before, 10 now"),
    ]:
        change_rows(run, part, 6, False)  # one more than noise explains
        done = publish(hub, run, "--to", "demo/release")
        assert done.returncode == 1
        assert named in done.stderr
        assert "6 lost, 0 gained, p = 0.0312" in done.stderr
        assert "add --allow-regression" in done.stderr
        assert len(commits(hub, "demo/release")) == 2
        change_rows(run, part, 1, True)
    within = publish(hub, run, "--to", "demo/release")
    assert within.returncode == 0, within.stderr
    assert within.stdout.count("5 lost, 0 gained, p = 0.0625") == 2
    change_rows(run, "test", 16, False)
    assert publish(hub, run, "--to", "demo/release", "--allow-regression").returncode == 0
    assert len(commits(hub, "demo/release")) == 4
    (run / row_results.FILE).unlink()  # is no way around the gate
    done = publish(hub, run, "--to", "demo/release")
    assert done.returncode == 1
    assert "write it with `python -m train evaluate" in done.stderr


def test_private_publish_creates_private_repositories(hub: RunningHub, run: Path) -> None:
    done = publish(hub, run, "--to", "demo/secret", "--private", "--space", "demo/secret-page")
    assert done.returncode == 0, done.stderr
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    assert api.model_info("demo/secret").private
    page = api.space_info("demo/secret-page")
    assert page.private
    assert "preload_from_hub" not in page.card_data.to_dict()  # the Hub preloads public ones only


def test_private_publish_to_a_public_repository_is_refused(hub: RunningHub, run: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=WRITE)
    api.create_repo("demo/open")
    done = publish(hub, run, "--to", "demo/open", "--private")
    assert done.returncode == 1
    assert "is public" in done.stderr
    assert "model.safetensors" not in api.list_repo_files("demo/open")


@pytest.mark.parametrize(
    ("arguments", "token", "message"),
    [
        pytest.param(["--to", "demo/x"], None, "hf auth login", id="no token"),
        pytest.param(["--to", "demo/x"], "hf_wrong", "401", id="401 unknown token"),
        pytest.param(["--to", "demo/x"], READ, "role `write`", id="403 read token"),
        pytest.param(
            ["--to", "other/x"], WRITE, "namespace that is yours", id="403 not my namespace"
        ),
        pytest.param(["--to", "nonsense"], WRITE, "user/name", id="no repo id"),
        pytest.param(["--to", "demo/été"], WRITE, "without accents", id="other letters"),
        pytest.param(["--to", "demo/x", "--space", "demo/é"], WRITE, "without accents", id="Space"),
    ],
)
def test_invalid_target_or_token_is_refused_without_changes(
    hub: RunningHub, run: Path, arguments: list[str], token: str | None, message: str
) -> None:
    before = fingerprint(run)
    done = publish(hub, run, *arguments, token=token)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert fingerprint(run) == before


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param("POST /api/models/.*/commit/=409", "another form", id="409"),
        pytest.param("POST /api/models/.*/commit/=412", "someone else pushed in between", id="412"),
        pytest.param("POST /api/models/.*/commit/=403", "may not write", id="403 at the commit"),
        pytest.param("POST /api/models/.*/commit/=drop", "the connection to", id="hung up"),
    ],
)
def test_hub_fault_keeps_the_run_folder_and_publish_can_be_repeated(
    run: Path, fault: str, message: str
) -> None:
    before = fingerprint(run)
    with running_hub() as hub:
        faults = hub.root / "faults.json"
        hub.root.mkdir(exist_ok=True)
        faults.write_text(json.dumps([fault]))
        done = publish(hub, run, "--to", "demo/faulty")
        assert done.returncode == 1
        assert message in done.stderr, done.stderr
        assert "can be run again" in done.stderr
        assert fingerprint(run).keys() - {golden_scores.FILE} == before.keys()
        if fault.endswith("drop"):  # later it goes through
            faults.unlink()
            done = publish(hub, run, "--to", "demo/faulty")
            assert done.returncode == 0, done.stderr


# How a script begins that pushes to demo/x: RETRY_SECONDS is its first argument.
ON_A_FAULTY_HUB = """
import json, os, sys
from train.publishing import commits, hub; from train import network
network.prepare()
from train.errors import HubError
from huggingface_hub import HfApi
commits.RETRY_SECONDS = float(sys.argv[1])
api = HfApi()
api.create_repo('demo/x')
"""


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        ("GET /api/.*/xet-write-token/.*=503", "503"),
        ("GET /api/.*/xet-write-token/.*=drop", "the connection to"),
    ],
)
def test_upload_retries_are_printed_and_end(tmp_path: Path, fault: str, lost: str) -> None:
    code = ON_A_FAULTY_HUB + (
        "try:\n"
        "    with hub.explained('publishing', after=hub.RUN_COMPLETE):\n"
        "        commits.commit(api, 'demo/x', 'model', {'a.safetensors': os.urandom(99)}, 'Add')\n"
        "except HubError as error:\n"
        "    print(error)\n"
    )
    with running_hub() as hub:
        faults = hub.root / "faults.json"
        hub.root.mkdir(exist_ok=True)
        faults.write_text(json.dumps([fault]))
        environment = hub.env(home=tmp_path / "home")
        environment["HF_XET_CLIENT_RETRY_MAX_ATTEMPTS"] = "0"  # it waits for seconds between two
        *retries, end = run_python(code, environment, "2").stdout.splitlines()
        assert retries
        for line in retries:
            assert "the upload to demo/x failed" in line and lost in line
            assert "Retrying in 1 s, for up to 2.0 s in total" in line
        assert lost in end and "can be run again" in end


# What the client asks once where it is hung up on; other failures it repeats for 17 s by itself.
READ = "HEAD /demo/x/resolve/"


def verify(hub: RunningHub, home: Path, fault: str, retry: float, seconds: int) -> list[str]:
    """Commit a file and read it back under a fault; what that prints."""
    code = ON_A_FAULTY_HUB + (
        "files = {'a.safetensors': os.urandom(99)}\n"
        "revision = commits.commit(api, 'demo/x', 'model', files, 'Add')\n"
        "print(revision)\n"
        "with open(sys.argv[3], 'w') as faults:\n"
        "    json.dump([sys.argv[4]], faults)\n"
        "try:\n"
        "    hub._verify('demo/x', revision, files, [], int(sys.argv[2]))\n"
        "except HubError as error:\n"
        "    print(error)\n"
    )
    arguments = [str(retry), str(seconds), str(hub.root / "faults.json"), fault]
    return run_python(code, hub.env(home=home), *arguments).stdout.splitlines()


def test_verification_retries_are_printed_and_end(tmp_path: Path) -> None:
    lost = "the connection to"
    with running_hub() as hub:
        revision, *retries, end = verify(hub, tmp_path, f"{READ}=drop", 12, 300)
    assert retries
    for line in retries:
        assert line.startswith("downloading demo/x failed: ") and lost in line
        assert "for up to 12.0 s in total" in line
    assert end.startswith(f"the commit {revision} is on demo/x, but was not verified: ")
    assert lost in end and "the run folder is complete: `python -m train publish RUN" in end


def test_verification_of_a_stalled_hub_times_out(tmp_path: Path) -> None:
    with running_hub() as hub:
        revision, *retries, end = verify(hub, tmp_path, f"{READ}=stall", 60, 5)
    assert not retries
    assert end.startswith(
        f"the commit {revision} is on demo/x, but was not verified: downloading demo/x took more "
        "than 5 s — the run folder is complete"
    )


def test_verification_survives_a_short_outage(hub: RunningHub, run: Path) -> None:
    faults = hub.root / "faults.json"
    faults.write_text(json.dumps(["HEAD /demo/moment/resolve/[0-9a-f]{40}/=drop*1"]))
    done = publish(hub, run, "--to", "demo/moment")
    faults.unlink()
    assert done.returncode == 0, done.stderr
    assert "downloading them again, for at most 3" in done.stdout
    assert "downloading demo/moment failed: the connection to" in done.stdout
    assert "Retrying in 1 s, for up to 60 s in total" in done.stdout
    assert "files are identical, and pipeline() works" in done.stdout


def test_paid_space_is_refused_before_training(tmp_path: Path, toy_csv: Path) -> None:
    with running_hub(arguments=["--free-account"]) as hub:
        arguments = ["--out", tmp_path / "run", "--to", "demo/m", "--space", "demo/s"]
        done = run_train("run", "quickstart", *arguments, env=hub.env(home=tmp_path / "home"))
    assert done.returncode == 1
    assert "402" in done.stderr
    assert "add `--space-hardware zero-a10g`" in done.stderr
    assert not (tmp_path / "run").exists()


def test_unreachable_hub_is_reported(run: Path, tmp_path: Path, hub: RunningHub) -> None:
    environment = hub.env(home=tmp_path / "home") | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = run_train("publish", run, "--to", "demo/x", env=environment)
    assert done.returncode == 1
    assert "the connection to http://127.0.0.1:9 failed" in done.stderr


@pytest.mark.parametrize("missing", ["model.safetensors", "results.json", "tokenizer.json"])
def test_incomplete_run_is_refused(hub: RunningHub, run: Path, missing: str) -> None:
    (run / missing).unlink()
    done = publish(hub, run, "--to", "demo/incomplete")
    assert done.returncode == 1
    assert missing in done.stderr


def test_unevaluated_run_is_refused(hub: RunningHub, run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    del results["metrics"]["test"]
    (run / "results.json").write_text(json.dumps(results))
    done = publish(hub, run, "--to", "demo/incomplete")
    assert done.returncode == 1
    assert "is not evaluated" in done.stderr


def test_space_is_called_before_it_is_reported_live(run: Path) -> None:
    """The real `space/`, on a Hub that runs it."""
    with running_hub(arguments=["--run-spaces", "demo/s"]) as hub:
        done = publish(hub, run, "--to", "demo/m", "--space", "demo/s", "--space-wait", "3")
        assert done.returncode == 0, done.stdout + done.stderr
        host = HfApi(endpoint=hub.endpoint, token=WRITE).space_info("demo/s").host
    assert "demo/s: RUNNING after" in done.stdout
    live = f"live at {hub.endpoint}/spaces/demo/s and {host}: /classify("
    assert live in done.stdout
    assert done.stdout.partition(live)[2].partition(" → ")[2].split()[0] in {"NEGATIVE", "POSITIVE"}


def test_hardware_without_space_and_unknown_hardware_are_refused(
    hub: RunningHub, run: Path
) -> None:
    done = publish(hub, run, "--to", "demo/x", "--space-hardware", "zero-a10g")
    assert done.returncode == 1
    assert "needs a Space — add --space" in done.stderr
    done = publish(hub, run, "--to", "demo/x", "--space", "demo/x", "--space-hardware", "gpu")
    assert done.returncode == 2
    assert "'gpu' is not one of 'cpu-basic', 'zero-a10g'" in done.stderr
