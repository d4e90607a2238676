"""The quick start's own steps; `make quickstart`, which CI runs as well, is the whole of it."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
import safetensors.torch
import typer
from conftest import REPOSITORY, assert_card_tells_the_truth, toy_settings
from huggingface_hub import HfApi
from typer.testing import CliRunner

from localhub.tokens import TOKEN_FILES
from train import quickstart, recipe, run_folder
from train.modeling import model
from train.pipeline import release

RUN = REPOSITORY / "runs" / "quickstart"
trained = pytest.mark.skipif(
    not (RUN / "onnx/model.onnx").is_file(), reason="`make quickstart` trains the model"
)
# A text in a call, and the label in the answer below it.
SHOWN = re.compile(
    r"""\("([^"]+)"(?:, api_name="/classify")?\)+'?\n"""
    r"""(?:```\n\n```json\n|# )\[?\{\s*["']label["']: ["'](\w+)"""
)


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quickstart, "HUB", tmp_path / "hub")
    with quickstart.local_hub() as endpoint:
        yield endpoint


def test_the_base_model_and_the_samples_are_found_where_the_recipe_says(endpoint: str) -> None:
    chosen = recipe.load("quickstart")
    for _ in range(2):  # the second time as well
        quickstart.seed(endpoint, chosen)
    api = HfApi(endpoint=endpoint, token=quickstart.token())
    pinned = api.model_info(chosen.base_model, revision=chosen.base_revision)
    assert "model.safetensors" in {file.rfilename for file in pinned.siblings}
    files = api.list_repo_files(chosen.datasets[0].source, repo_type="dataset")
    assert {"README.md", "train.jsonl", "test.jsonl"} <= set(files)


def test_the_published_model_is_called_by_a_fresh_process(
    endpoint: str, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = recipe.load("quickstart", toy_settings("none.csv", tiny_base))
    model.save(*model.build(chosen), tmp_path / "model")
    api = HfApi(endpoint=endpoint, token=quickstart.token())
    api.create_repo(quickstart.MODEL)
    api.upload_folder(repo_id=quickstart.MODEL, folder_path=tmp_path / "model")
    quickstart.call(quickstart.client_environment(endpoint))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(quickstart.REVIEWS)
    for line, review in zip(lines, quickstart.REVIEWS, strict=True):
        assert line.split()[0] in chosen.labels
        assert line.endswith(review)


def test_its_tokens_are_random_and_in_no_command_line(endpoint: str) -> None:
    client = quickstart.client_environment(endpoint)
    assert client["HF_TOKEN"] == quickstart.token() != quickstart.token("token-admin")
    assert HfApi(endpoint=endpoint, token=client["HF_TOKEN"]).whoami()["name"] == "demo"
    served = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    assert any("-m localhub" in line for line in served)
    assert not any(quickstart.token(name) in line for name in TOKEN_FILES for line in served)


def test_it_runs_no_space_but_its_own_and_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []
    monkeypatch.setattr("os.execv", lambda program, command: commands.append(command))
    monkeypatch.chdir(".")
    for arguments in [["hub"], ["hub", "--run-space"]]:
        assert CliRunner().invoke(quickstart.app, arguments).exit_code == 0
    assert "--run-spaces" not in commands[0]
    assert commands[1] == [*commands[0], "--run-spaces", quickstart.SPACE]


def test_a_space_of_the_quick_start_runs_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickstart, "HUB", tmp_path / "hub")
    with quickstart.local_hub(run_spaces=[quickstart.SPACE]) as endpoint:
        api = HfApi(endpoint=endpoint, token=quickstart.token())
        stages = {}
        for space in (quickstart.SPACE, "demo/other"):
            api.create_repo(space, repo_type="space", space_sdk="gradio")
            files = {"repo_id": space, "repo_type": "space", "path_in_repo": "app.py"}
            api.upload_file(path_or_fileobj=b"import time\ntime.sleep(60)\n", **files)
            stages[space] = api.get_space_runtime(space).stage
    assert stages == {quickstart.SPACE: "BUILDING", "demo/other": "PAUSED"}


def test_another_base_model_in_the_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart, "BASE_SHA256", "0" * 64)
    with pytest.raises(typer.BadParameter, match=r"model.safetensors must have the SHA-256 0000"):
        quickstart.seed_base("http://127.0.0.1:9", recipe.load("quickstart"))


def test_the_page_needs_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart, "HUB", tmp_path / "hub")
    monkeypatch.setattr(quickstart, "RELEASE", tmp_path / "movie-sentiment")
    monkeypatch.delenv("HF_ENDPOINT")  # with it, the page of a model there is opened
    done = CliRunner().invoke(quickstart.app, ["space"])
    assert done.exit_code == 2
    assert "make quickstart" in done.output


@pytest.fixture(scope="module")
def toy_release(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of a toy run, of a name that is nobody's."""
    folder = tmp_path_factory.mktemp("models") / "release-of-a-test"
    release.write(finished_run, folder)
    return folder


@pytest.fixture
def shipped(toy_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, as the released model of the repository."""
    folder = Path(shutil.copytree(toy_release, tmp_path / toy_release.name))
    monkeypatch.setattr(quickstart, "RELEASE", folder)
    yield folder
    for path in (REPOSITORY / release.COPIES).glob(f"*{folder.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_the_page_opens_on_the_released_model(
    shipped: Path,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    published = f"$ python -m train publish {os.path.relpath(shipped, REPOSITORY)} --to "
    models = []

    def page(client: dict[str, str]) -> None:
        monkeypatch.setenv("HF_TOKEN", client["HF_TOKEN"])
        files = HfApi(endpoint=client["HF_ENDPOINT"]).list_repo_files(client["MODEL_ID"])
        models.append((client["MODEL_ID"], "onnx/model_quantized.onnx" in files))

    monkeypatch.setattr(quickstart, "_open_space", page)
    monkeypatch.setattr(quickstart, "_open_service", page)
    monkeypatch.delenv("HF_ENDPOINT")
    for times in (1, 0):  # the second time it is there
        assert CliRunner().invoke(quickstart.app, ["space"]).exit_code == 0
        assert capfd.readouterr().out.count("pipeline() works") == times
    change = safetensors.torch.load_file(shipped / "model.safetensors")
    change["classifier.bias"] += 0.5
    safetensors.torch.save_file(change, shipped / "model.safetensors", metadata={"format": "pt"})
    results = run_folder.load_results(shipped)
    weights = (shipped / "model.safetensors").read_bytes()
    results["release"]["sha256"] = hashlib.sha256(weights).hexdigest()
    run_folder.save_results(shipped / "results.json", results)
    done = CliRunner().invoke(quickstart.app, ["space"])
    assert done.stdout.startswith(published + quickstart.RELEASED)
    assert "pipeline() works" in capfd.readouterr().out  # of other weights
    assert CliRunner().invoke(quickstart.app, ["space", "--service"]).exit_code == 0
    assert models == [(quickstart.RELEASED, True)] * 4

    quickstart.call(quickstart.client_environment(endpoint), quickstart.RELEASED)
    assert len(capfd.readouterr().out.splitlines()) == len(quickstart.REVIEWS)


@pytest.mark.parametrize("command", ["space", "run"])
def test_missing_file_of_the_released_model_is_an_error(
    command: str, shipped: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setattr(quickstart, "HUB", tmp_path / "hub")
    monkeypatch.setattr(quickstart, "REPOSITORY", tmp_path)
    (shipped / "model.safetensors").unlink()
    done = CliRunner().invoke(quickstart.app, [command])
    assert done.exit_code == 2
    assert "is incomplete: model.safetensors missing" in " ".join(done.output.split())
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize("is_shipped", [True, False])
def test_quick_start_puts_the_released_model_beside_its_own(
    is_shipped: bool, toy_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `run` does; training and calls are replaced."""
    results, calls, commands = tmp_path / "runs/quickstart/results.json", [], []

    def train(command: list[str], client: dict[str, str]) -> None:
        commands.append(command)
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text('{"metrics": {"test": {"accuracy": 0.9, "n": 10}}}')

    folder = tmp_path / "models/movie-sentiment"
    if is_shipped:
        shutil.copytree(toy_release, folder)
    with quickstart.local_hub(tmp_path / "hub") as found:
        monkeypatch.setattr(quickstart, "HUB", tmp_path / "hub")
        monkeypatch.setattr(quickstart, "local_hub", lambda run_spaces: nullcontext(found))
        monkeypatch.setattr(quickstart, "REPOSITORY", tmp_path)
        monkeypatch.setattr(quickstart, "RELEASE", folder)
        monkeypatch.setattr(quickstart, "seed", lambda *_: None)
        monkeypatch.setattr(quickstart, "_train", train)
        monkeypatch.setattr(quickstart, "call", lambda client, model: calls.append(model))
        done = CliRunner().invoke(quickstart.app, ["run"])
    assert done.exit_code == 0, done.output
    assert [command[0] for command in commands] == ["run", "publish"][: 1 + is_shipped]
    assert calls == [quickstart.MODEL, quickstart.RELEASED][: 1 + is_shipped]
    shown = [line for line in done.output.splitlines() if "make space" in line]
    assert f"opens the page with {calls[-1]} in your browser" in shown[0]
    assert (f"Compare also takes {quickstart.MODEL}" in shown[0]) is is_shipped
    line = "no released model in models/movie-sentiment: only the quick start's is used"
    assert (line in done.output.splitlines()) is not is_shipped


SERVE = """
import sys, time
from pathlib import Path
from train import quickstart

with quickstart.local_hub(Path(sys.argv[1])) as endpoint:
    print(endpoint, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_local_hub_ends_with_the_process_that_serves_it(number: int, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path / "hub")],
        cwd=REPOSITORY,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith("http://127.0.0.1:")
        processes = psutil.Process(serving.pid).children(recursive=True)
        assert processes
        serving.send_signal(number)
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert not alive


def shown(path: str) -> list[tuple[str, str]]:
    """The examples of a document with their answers: text, label."""
    return SHOWN.findall((REPOSITORY / path).read_text(encoding="utf-8"))


def test_documents_show_examples_with_answers() -> None:
    assert len(shown("README.md")) == 3
    assert len(shown("space/README.md")) == 1


@trained
def test_examples_of_documents_and_page_get_the_answers_that_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By `pipeline()`, and by the Space, which reads the ONNX file."""
    from transformers import pipeline

    from space.examples import CANDIDATES, select
    from space.inference.classifier import Classifier
    from space.usage import REVIEW

    expected = dict([*shown("README.md"), *shown("space/README.md"), (REVIEW, "POSITIVE")])
    # The last is the one that docs/results.md says it misclassifies.
    last = "as the third review of `make quickstart` shows"
    assert last in (REPOSITORY / "docs/results.md").read_text(encoding="utf-8")
    expected |= dict(zip(quickstart.REVIEWS, ["POSITIVE", "NEGATIVE", "NEGATIVE"], strict=True))
    answers = pipeline("sentiment-analysis", model=str(RUN))(list(expected))
    assert {t: a["label"] for t, a in zip(expected, answers, strict=True)} == expected
    on_page = Classifier.from_folder(RUN)
    assert {text: on_page.predict(text).label for text in expected} == expected
    assert list(select(on_page)) == list(CANDIDATES)  # an example of each kind


@trained
def test_example_answer_of_the_endpoint_is_the_one_shown() -> None:
    from space.inference.classifier import Classifier

    [(text, label)] = shown("space/README.md")
    verdict = Classifier.from_folder(RUN).predict(text)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    answer = f"'unsure': {verdict.unsure}, 'tokens_read': {verdict.tokens_read}, "
    assert answer + f"'tokens': {verdict.tokens}}}" in readme
    page = (REPOSITORY / "space/README.md").read_text(encoding="utf-8")
    documented = json.loads(page.partition("```json\n")[2].partition("```")[0])
    assert (documented["label"], documented["unsure"]) == (label, verdict.unsure)
    assert (documented["tokens_read"], documented["tokens"]) == (
        verdict.tokens_read,
        verdict.tokens,
    )


@trained
def test_examples_of_the_card_get_the_answers_that_are_shown() -> None:
    assert assert_card_tells_the_truth((RUN / "README.md").read_text(encoding="utf-8"), RUN) == 2


def test_notebook_shows_the_examples_of_the_quick_start() -> None:
    notebook = (REPOSITORY / "train/colab.ipynb").read_text(encoding="utf-8")
    assert all(
        json.dumps(json.dumps(review))[1:-1] in notebook for review in quickstart.REVIEWS[:2]
    )
