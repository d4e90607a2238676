"""Publishes a run folder as a model and, if requested, as a Space.

In: a trained, evaluated and exported run folder. Out: repositories on the Hub, checked after the
upload, and their addresses on stdout. `check_targets` comes before a training that is to be
published: it finds a missing permission before hours of work.
"""

from pathlib import Path

from train import console, run_folder
from train.errors import HubError, RunError
from train.publishing import deployment, hub, npm_packages, smoke_test_space, static_space
from train.recipe import Recipe


def check_space_model(recipe: Recipe) -> None:
    """Raise `RunError` unless a Space can show the model of a recipe."""
    if recipe.has_pairs:
        raise RunError(
            "the app reads single texts, and this model classifies pairs (`text_pair` is set) — "
            "omit --space, or show it beside another model, which `publish --aspect-model` does"
        )


def check_targets(
    to: str,
    private: bool,
    space: str | None,
    hardware: deployment.Hardware | None,
    checkpoints_to: str | None = None,
    kind: deployment.Kind = "gradio",
    aspect_model: str | None = None,
) -> None:
    """Raise `HubError` unless the token can write to the model, Space and checkpoint repositories.

    The libraries of a static Space are downloaded too, which needs npm.

    Args:
        to: The model repository.
        private: Whether new repositories are private.
        space: The Space repository; None for none.
        hardware: The Space's hardware; None to keep the present or the default one.
        checkpoints_to: The repository of the checkpoints; only its name is checked here.
        kind: Whether the Space is an app on a server or a static page.
        aspect_model: A model of text pairs on the Hub that the Space also shows.
    """
    if aspect_model and not space:
        raise HubError(f"--aspect-model {aspect_model} needs a Space — add --space")
    if hardware and not space:
        raise HubError(f"--space-hardware {hardware} needs a Space — add --space")
    for name in filter(None, [to, space, checkpoints_to]):
        hub.check_name(name)
    hub.check_target(to, private)
    if space:
        deployment.check_target(space, private, hardware, kind)
    if aspect_model:
        deployment.check_aspect_model(aspect_model, kind)
    if space and kind == "static":
        npm_packages.fetch(static_space.PINS)


def publish(
    folder: Path,
    to: str,
    private: bool,
    allow_regression: bool,
    space: str | None,
    hardware: deployment.Hardware | None,
    wait_minutes: float,
    kind: deployment.Kind = "gradio",
    aspect_model: str | None = None,
) -> None:
    """Publish a run folder to the model repository `to` and, if given, deploy the Space.

    Args:
        folder: The run folder.
        to: The model repository.
        private: Whether new repositories are private.
        allow_regression: Publish even if the published model is significantly better.
        space: The Space repository; None for none.
        hardware: The Space's hardware.
        wait_minutes: How long to wait until the Space runs.
        kind: Whether the Space is an app on a server or a static page.
        aspect_model: A model of text pairs on the Hub that the Space also shows.
    """
    model = hub.publish(folder, to, private, allow_regression)
    console.print_line(
        f'model  {model.url}\n       pipeline("sentiment-analysis", model="{model.repo_id}")'
    )
    if not space:
        return
    if kind == "static":
        deployed = deployment.deploy_static(space, model)
    else:
        deployed = deployment.deploy(space, model, private, hardware, aspect_model)
    console.print_line(f"space  {deployed.url}")
    labels = run_folder.load_results(folder)["recipe"]["labels"]
    answer = smoke_test_space.smoke_test_space(deployed, labels, 60 * wait_minutes)
    console.print_line(f"       {answer}")
