"""The localhub used by its real clients, each in its own process.

huggingface_hub reads its environment when it is imported, so the functions below whose names
start with `client_` run as `python test_clients.py NAME`, with a cache of their own.
"""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parent.parent
# Random in each process, so that the hub does not hold the content yet.
SOME_BYTES = random.randbytes(3_000_000)
# Like tiled position embeddings: xet finds the same chunk repeatedly, and once more at the start of
# a longer run of chunks.
TILED = b"".join([SOME_BYTES[:8192]] * 60) + SOME_BYTES[:700_000]


def client_files() -> None:
    """Upload files in every way and download them again."""
    import fsspec
    from huggingface_hub import (
        CommitOperationAdd,
        CommitOperationCopy,
        CommitOperationDelete,
        HfApi,
        hf_hub_download,
        snapshot_download,
    )

    api = HfApi()
    repo = "demo/files-lfs" if os.environ.get("HF_HUB_DISABLE_XET") else "demo/files-xet"
    url = api.create_repo(repo)
    assert (
        (url.repo_id, url.repo_type)
        == (repo, "model")
        == (api.create_repo(repo, exist_ok=True).repo_id, "model")
    )

    Path("up/sub dir").mkdir(parents=True)
    Path("up/weights.bin").write_bytes(SOME_BYTES)
    Path("up/sub dir/é.txt").write_text("text")
    Path("up/README.md").write_text("---\nlicense: mit\n---\n# Up\n")
    Path("up/empty.bin").touch()
    first = api.upload_folder(repo_id=repo, folder_path="up", commit_message="a folder")
    assert first.oid == api.model_info(repo).sha
    assert api.upload_folder(repo_id=repo, folder_path="up").oid == first.oid

    # Most of its chunks are on the hub already; xet clients do not send them again.
    changed = SOME_BYTES[:2_000_000] + b"changed" + SOME_BYTES[2_000_000:]
    api.upload_file(path_or_fileobj=changed, path_in_repo="changed.bin", repo_id=repo)
    with open("up/weights.bin", "rb") as file:
        api.upload_file(path_or_fileobj=file, path_in_repo="from/object.bin", repo_id=repo)

    second = api.create_commit(
        repo,
        [
            CommitOperationAdd("small.txt", b"small"),
            CommitOperationAdd("large.safetensors", SOME_BYTES[::-1]),
            CommitOperationAdd("tiled.safetensors", TILED),
            CommitOperationCopy("weights.bin", "copied.bin"),
            CommitOperationCopy("README.md", "copied.md"),
            CommitOperationDelete("empty.bin"),
            CommitOperationDelete("from/"),
        ],
        commit_message="several operations",
    )
    folder = Path(snapshot_download(repo))
    expected = {
        ".gitattributes": None,
        "README.md": Path("up/README.md").read_bytes(),
        "changed.bin": changed,
        "copied.bin": SOME_BYTES,
        "copied.md": Path("up/README.md").read_bytes(),
        "large.safetensors": SOME_BYTES[::-1],
        "small.txt": b"small",
        "tiled.safetensors": TILED,
        "sub dir/é.txt": b"text",
        "weights.bin": SOME_BYTES,
    }
    assert {
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()
    } == set(expected)
    for path, content in expected.items():
        assert content in (None, (folder / path).read_bytes()), path

    old = hf_hub_download(repo, "empty.bin", revision=first.oid)
    assert Path(old).read_bytes() == b""
    fresh = hf_hub_download(repo, "changed.bin", local_dir="fresh", force_download=True)
    assert Path(fresh).read_bytes() == changed
    with fsspec.open(f"hf://{repo}/weights.bin", "rb", block_size=1 << 16) as file:
        file.seek(1_234_567)
        assert file.read(100) == SOME_BYTES[1_234_567:][:100]
    [row] = api.get_paths_info(repo, ["weights.bin", "none"])
    assert row.lfs is not None and row.lfs.sha256 == hashlib.sha256(SOME_BYTES).hexdigest()
    assert second.oid == api.list_repo_commits(repo)[0].commit_id


def client_api() -> None:
    """All API calls except uploads and downloads."""
    from huggingface_hub import HfApi

    api, repo = HfApi(), "demo/api"
    check_commits_and_tags(api, repo)
    check_permissions(api, repo)
    check_cards(api, repo)
    check_spaces(api, repo)
    api.delete_repo(repo)
    assert not api.repo_exists(repo)
    expect(errors().RepositoryNotFoundError, 404, api.delete_repo, repo)


def errors() -> ModuleType:
    """The client's errors; imported only in its own process."""
    from huggingface_hub import errors

    return errors


def check_commits_and_tags(api: Any, repo: str) -> None:
    from huggingface_hub import CommitOperationAdd, hf_hub_download

    api.create_repo(repo)
    many = [CommitOperationAdd(f"many/{number:04}.txt", b"x") for number in range(1100)]
    head = api.create_commit(repo, many, commit_message="many").oid
    assert len(list(api.list_repo_tree(repo, recursive=True))) == 1102
    assert len(list(api.list_repo_tree(repo, "many"))) == 1100
    expect(
        errors().HfHubHTTPError,
        412,
        api.upload_file,
        path_or_fileobj=b"x",
        path_in_repo="x",
        repo_id=repo,
        parent_commit="0" * 40,
    )
    api.create_repo("demo/history", repo_type="dataset")
    for number in range(55):
        change = [CommitOperationAdd("n", str(number).encode())]
        api.create_commit("demo/history", change, commit_message="n", repo_type="dataset")
    assert len(api.list_repo_commits("demo/history", repo_type="dataset")) == 56

    api.create_tag(repo, tag="v1", revision=head)
    api.create_tag(repo, tag="v1", exist_ok=True)
    refs = api.list_repo_refs(repo, include_pull_requests=True)
    assert [ref.name for ref in refs.branches + refs.tags] == ["main", "v1"]
    api.upload_file(path_or_fileobj=b"o", path_in_repo="o", repo_id=repo)
    expect(errors().EntryNotFoundError, 404, hf_hub_download, repo, "o", revision="v1")
    api.delete_tag(repo, tag="v1")
    expect(errors().RevisionNotFoundError, 404, api.model_info, repo, revision="v1")
    expect(errors().EntryNotFoundError, 404, hf_hub_download, repo, "none")
    expect(errors().EntryNotFoundError, 404, api.delete_file, "none", repo)
    assert not api.file_exists(repo, "p")


def check_permissions(api: Any, repo: str) -> None:
    from hubserver import ADMIN, READ
    from huggingface_hub import HfApi

    reader, anyone, admin = HfApi(token=READ), HfApi(token=False), HfApi(token=ADMIN)
    assert api.whoami()["auth"]["accessToken"]["role"] == "write"
    expect(errors().RepositoryNotFoundError, 401, anyone.model_info, "demo/none")
    expect(errors().HfHubHTTPError, 403, reader.create_repo, "demo/mine")
    expect(errors().HfHubHTTPError, 403, api.create_repo, "stanfordnlp/imdb", repo_type="dataset")
    admin.create_repo("stanfordnlp/imdb", repo_type="dataset")
    assert api.repo_exists("stanfordnlp/imdb", repo_type="dataset")
    assert [row.id for row in api.list_datasets(author="stanfordnlp")] == ["stanfordnlp/imdb"]
    api.create_repo("demo/hidden", private=True)
    assert api.model_info("demo/hidden").private
    assert not anyone.repo_exists("demo/hidden")
    expect(errors().RepositoryNotFoundError, 401, anyone.auth_check, "demo/hidden")
    api.update_repo_settings("demo/hidden", private=False)
    anyone.auth_check("demo/hidden")
    admin.update_repo_settings("stanfordnlp/imdb", gated="auto", repo_type="dataset")
    expect(errors().GatedRepoError, 403, api.auth_check, "stanfordnlp/imdb", repo_type="dataset")
    expect(errors().HfHubHTTPError, 403, reader.auth_check, repo, write=True)
    api.auth_check(repo, write=True)


def check_cards(api: Any, repo: str) -> None:
    from huggingface_hub import ModelCard, RepoCard

    card = ModelCard("---\nlicense: mit\npipeline_tag: text-classification\n---\n# Card\n")
    card.validate()
    card.push_to_hub(repo)
    assert api.model_info(repo).pipeline_tag == "text-classification"
    assert repo in [row.id for row in api.list_models(filter="license:mit")]
    expect(ValueError, None, RepoCard("---\nlicense: The MIT\n---\n").validate, repo_type="model")


def check_spaces(api: Any, repo: str) -> None:
    space = "demo/api-space"
    api.create_repo(space, repo_type="space", space_sdk="gradio", space_hardware="zero-a10g")
    assert api.get_space_runtime(space).stage == "NO_APP_FILE"
    api.upload_file(path_or_fileobj=b"1", path_in_repo="app.py", repo_id=space, repo_type="space")
    assert api.add_space_variable(space, "MODEL", repo)["MODEL"].value == repo
    api.add_space_secret(space, "KEY", "secret", description="a key")
    assert api.get_space_secrets(space)["KEY"].description == "a key"
    api.delete_space_secret(space, "KEY")
    assert api.delete_space_variable(space, "MODEL") == api.get_space_variables(space) == {}
    assert api.get_space_runtime(space).requested_hardware == "zero-a10g"
    assert api.request_space_hardware(space, "t4-small").requested_hardware == "t4-small"
    assert api.pause_space(space).stage == "PAUSED"
    restarted = api.restart_space(space)
    assert (
        restarted.stage == "PAUSED"
        and "--run-spaces demo/api-space" in restarted.raw["errorMessage"]
    )
    assert api.space_info(space).sdk == "gradio"


def client_models_and_datasets() -> None:
    """A model and a dataset, to the Hub and back."""
    from datasets import Dataset, load_dataset
    from transformers import (
        BertTokenizerFast,
        DistilBertConfig,
        DistilBertForSequenceClassification,
        pipeline,
    )

    kind = "lfs" if os.environ.get("HF_HUB_DISABLE_XET") else "xet"
    Path("vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good"]))
    config = DistilBertConfig(vocab_size=6, dim=8, n_layers=1, n_heads=2, hidden_dim=8)
    model, tokenizer = DistilBertForSequenceClassification(config), BertTokenizerFast("vocab.txt")
    model.push_to_hub(f"demo/tiny-{kind}")
    tokenizer.push_to_hub(f"demo/tiny-{kind}")
    here = pipeline("sentiment-analysis", model=model.eval(), tokenizer=tokenizer)("good film")
    there = pipeline("sentiment-analysis", model=f"demo/tiny-{kind}")("good film")
    assert here == there

    rows = Dataset.from_dict({"text": ["good", "bad"] * 500, "label": [1, 0] * 500})
    rows.push_to_hub(f"demo/reviews-{kind}")
    loaded = load_dataset(f"demo/reviews-{kind}", split="train")
    assert loaded[:] == rows[:]
    streamed = load_dataset(f"demo/reviews-{kind}", split="train", streaming=True)
    assert list(streamed.take(3)) == list(rows.take(3))


def expect(error: type[Exception], status: int | None, call, *args, **kwargs) -> None:
    """Assert that a call raises, for an answer with this status."""
    try:
        call(*args, **kwargs)
    except error as raised:
        if status is not None:
            assert raised.response.status_code == status, raised
    else:
        raise AssertionError(f"{call} raised no {error.__name__}")


def client_space() -> None:
    """Push a private Gradio Space, wait until it runs, and call it by its id."""
    from gradio_client import Client
    from huggingface_hub import HfApi, SpaceStage, get_token

    api, space = HfApi(), "demo/page"
    api.create_repo(space, repo_type="space", space_sdk="gradio", private=True)
    api.add_space_variable(space, "GREETING", "hello")
    app = (
        "import os, gradio\n"
        "def greet(name: str) -> str:\n"
        "    return f\"{os.environ['GREETING']}, {name}\"\n"
        "with gradio.Blocks() as page:\n"
        "    gradio.api(greet, api_name='greet')\n"
        "page.launch()\n"
    )
    api.upload_file(
        path_or_fileobj=app.encode(), path_in_repo="app.py", repo_id=space, repo_type="space"
    )
    assert api.get_space_runtime(space).stage == SpaceStage.BUILDING
    client = Client(space, token=get_token(), verbose=False, analytics_enabled=False)  # waits
    assert client.predict("you", api_name="/greet") == "hello, you"
    client.close()
    assert any("Running on local URL" in line for line in api.fetch_space_logs(space))
    assert api.pause_space(space).stage == SpaceStage.PAUSED
    api.restart_space(space)
    assert api.wait_for_space(space, timeout=60).stage == SpaceStage.RUNNING


def run(command: list[str], **options) -> str:
    """Run a client. A failure shows its output."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def run_client(name: str, hub, folder: Path, xet: bool = True) -> None:
    command = [sys.executable, str(Path(__file__).resolve()), name]
    environment = hub.env(folder / "home", xet=xet) | {"PYTHONPATH": str(TESTS)}
    run(command, cwd=folder, env=environment)


both_ways = pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])


@both_ways
def test_files(hub, tmp_path, xet):
    run_client("client_files", hub, tmp_path, xet)


def test_api(hub, tmp_path):
    run_client("client_api", hub, tmp_path)


@both_ways
def test_transformers_and_datasets(hub, tmp_path, xet):
    run_client("client_models_and_datasets", hub, tmp_path, xet)


@both_ways
def test_hf_command(hub, tmp_path, xet):
    env = hub.env(tmp_path / "home", xet=xet) | {"NO_COLOR": "1"}
    name = f"demo/from-hf-{'xet' if xet else 'lfs'}"
    (tmp_path / "weights.bin").write_bytes(SOME_BYTES)

    def hf(*arguments: str) -> str:
        return run([str(Path(sys.executable).parent / "hf"), *arguments], cwd=tmp_path, env=env)

    assert "demo" in hf("auth", "whoami")
    assert f"{hub.endpoint}/{name}" in hf("upload", name, "weights.bin")
    hf("download", name, "weights.bin", "--local-dir", "down")
    assert (tmp_path / "down" / "weights.bin").read_bytes() == SOME_BYTES
    assert name in hf("models", "info", name)
    assert name in hf("models", "ls", "--author", "demo", "--format", "json")


def test_gradio_client_calls_a_running_space(tmp_path):
    from hubserver import running_hub

    with running_hub(arguments=["--run-spaces", "demo/page"]) as hub:
        run_client("client_space", hub, tmp_path)


def test_npm_client(hub, tmp_path):
    from test_transformers_js import install

    install("@huggingface/hub")
    if not (hub.root / "models/demo/files-xet").exists():  # what test_files leaves behind
        run_client("client_files", hub, tmp_path)
    run(["node", "hub.mjs"], cwd=TESTS / "js", env=hub.env(tmp_path / "home"))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
