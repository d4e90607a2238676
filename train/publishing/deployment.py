"""Spaces on the Hub: a published model and `space/` or `space_static/` -> an app.

In: a `Published` model and the hardware. Out: `Deployed`, once everything is pushed;
`smoke_test_space` checks that it runs.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, RepoCard, SpaceHardware, constants, hf_hub_download

from space.inference.download import FP32_FILE, INT8_FILE, REQUIRED_FILES
from space.inference.labels import NOT_MENTIONED
from train import console
from train.environment import REPOSITORY
from train.errors import HubError
from train.hub_errors import explained
from train.publishing import published_files, static_space
from train.publishing.commits import REMEDIES, Files, commit, with_manifest
from train.publishing.hub import Published, check_name, check_private

Hardware = Literal["cpu-basic", "zero-a10g"]
Kind = Literal["gradio", "static"]  # an app on a server, or a page that runs in the browser

SPACE = REPOSITORY / "space"
HUB_FILES = ["README.md", "requirements.txt"]  # at the root of the Space's repository
APP_FILES = {
    *HUB_FILES,
    "style.css",
    "head.html",
    "page.js",
    "preview.png",
    "sample.csv",
    "examples.json",
    "inference/language_names.json",
}
# Of the web service, which a Space doesn't run.
SERVICE_FILES = {
    "Dockerfile", "Dockerfile.dockerignore", "compose.yaml", "openvino-requirements.txt",
    "service/otel-requirements.txt",
}  # fmt: skip
AFTER = "the model is published; `python -m train publish` can be run again"
DOWN = {"BUILD_ERROR", "CONFIG_ERROR", "RUNTIME_ERROR", "SLEEPING", "STOPPED"}
# ZeroGPU needs functions decorated by this package, which runs without torch.
ZERO_PINS = "spaces==0.51.3\n"
# One of the two Python versions of ZeroGPU: https://huggingface.co/docs/hub/spaces-zerogpu
ZERO_FRONT_MATTER = {"python_version": "3.12.12", "suggested_hardware": "zero-a10g"}


@dataclass(frozen=True)
class Deployed:
    """A Space as it was pushed; it may not run yet."""

    space: str
    revision: str  # SHA of the commit
    url: str
    page: bytes | None = None  # of a static Space; a Gradio Space makes its page when it runs


def check_target(
    space: str, private: bool, hardware: Hardware | None, kind: Kind = "gradio"
) -> None:
    """Check before any work that the account may have the Space.

    Creates it, empty, if it does not exist: only that shows whether it is allowed.

    Raises:
        HubError: There is no token, it may not write, the Space has to be paid for, the Hub can't
            be reached, or a static Space can't be what was asked for.
    """
    check_name(space)
    if kind == "static":
        _check_static(private, hardware)
    api = HfApi()
    action = f"checking that the Space {space} can be written"
    with explained(action, remedies=_remedies(hardware)):
        _create(api, space, private, hardware, kind)
        api.auth_check(space, repo_type="space", write=True)
        check_private(api, space, "space", private)


def deploy(
    space: str,
    model: Published,
    private: bool = False,
    hardware: Hardware | None = None,
    aspect_model: str | None = None,
) -> Deployed:
    """Push `space/`, adapted to its hardware, and set the model that it loads.

    Args:
        space: The Space repository, `user/name`.
        model: The model that it shows.
        private: Whether the Space and the model are private.
        hardware: What to run on; None keeps what the Space has, or takes the Hub's default.
        aspect_model: A model of text pairs on the Hub, for the table of aspects; None keeps what
            the Space has.

    Raises:
        HubError: The Hub refuses it.
    """
    api = HfApi()
    with explained(f"deploying the Space {space}", remedies=_remedies(hardware), after=AFTER):
        _create(api, space, private, hardware, "gradio")
        runtime = api.get_space_runtime(space)
        current = runtime.requested_hardware or "cpu-basic"
        if hardware not in (None, current):
            api.request_space_hardware(space, SpaceHardware(hardware))
            console.print_line(f"asked the Hub to move {space} from {current} to {hardware}")
        variables = {"MODEL_ID": model.repo_id, "MODEL_REVISION": model.revision}
        if aspect_model:
            variables |= {
                "ASPECT_MODEL_ID": aspect_model,
                "ASPECT_MODEL_REVISION": str(api.model_info(aspect_model).sha),
            }
        _set_variables(api, space, variables)
        # The Hub can preload public models only.
        preloaded = [] if private else _preloaded_files(model.files)
        models = [model.repo_id, *([aspect_model] if aspect_model else [])]
        on_zero = (hardware or current) == "zero-a10g"
        files = _files(readme(models, model.revision, preloaded, on_zero), on_zero)
        known = {name.removeprefix("space/") for name in files} | SERVICE_FILES
        published_files.print_unpublished(SPACE, known)
        head = api.repo_info(space, repo_type="space").sha
        revision = commit(api, space, "space", files, _title(model))
        if revision == head and runtime.stage in DOWN:
            api.restart_space(space)  # a push without changes does not restart it
    return Deployed(space, revision, f"{constants.ENDPOINT}/spaces/{space}")


def check_aspect_model(repo_id: str, kind: Kind) -> None:
    """Check that a Space can show the aspects that a model finds.

    Raises:
        HubError: The Space is static; or the model is missing, can't be read, reads single texts,
            doesn't list its aspects, or finds all of them in every text.
    """
    if kind == "static":
        raise HubError(
            f"a static Space shows no aspects, got --aspect-model {repo_id} — omit it, or choose "
            "--space-kind gradio"
        )
    check_name(repo_id)
    with explained(f"reading the aspect model {repo_id}", name=repo_id):
        config = json.loads(Path(hf_hub_download(repo_id, "config.json")).read_text("utf-8"))
    labels = {label.upper() for label in config.get("id2label", {}).values()}
    if not (config.get("text_pairs") and config.get("aspects") and NOT_MENTIONED in labels):
        raise HubError(
            "--aspect-model must be a model of text pairs whose config.json lists `aspects` and "
            f"has the label {NOT_MENTIONED}, got {repo_id} — train one with the recipe `aspects`, "
            "or omit it"
        )


def deploy_static(space: str, model: Published) -> Deployed:
    """Push `space_static/` with the libraries that it needs and the model's name.

    Args:
        space: The Space repository, `user/name`.
        model: The public model that it shows.

    Raises:
        HubError: The Hub refuses it, or the libraries can't be downloaded.
    """
    files = with_manifest(
        static_space.files(model.repo_id, model.revision, model.files, constants.ENDPOINT)
    )
    api = HfApi()
    with explained(f"deploying the Space {space}", remedies=_remedies(None), after=AFTER):
        _create(api, space, False, None, "static")
        revision = commit(api, space, "space", files, _title(model))
    page = files[static_space.INDEX]
    assert isinstance(page, bytes)
    return Deployed(space, revision, f"{constants.ENDPOINT}/spaces/{space}", page)


def readme(
    models: Sequence[str], revision: str, preloaded: Sequence[str], on_zero: bool = False
) -> str:
    """`space/README.md` with the pinned gradio version and the models in its front matter.

    Args:
        models: The model repositories that the Space uses; the first is the one that it shows.
        revision: The commit of the first.
        preloaded: Files of the first that the Hub puts into the Space's image.
        on_zero: Whether the Space runs on ZeroGPU.
    """
    card = RepoCard((SPACE / "README.md").read_text(encoding="utf-8"), ignore_metadata_errors=False)
    pins = (SPACE / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^gradio(?:\[.*\])?==(\S+)", pins, flags=re.MULTILINE)
    assert pinned is not None, "space/requirements.txt pins gradio"
    card.data["sdk_version"] = pinned[1]
    card.data["models"] = list(models)
    if preloaded:
        card.data["preload_from_hub"] = [f"{models[0]} {','.join(preloaded)} {revision}"]
    for key, value in ZERO_FRONT_MATTER.items() if on_zero else ():
        card.data[key] = value
    return str(card)


def _check_static(private: bool, hardware: Hardware | None) -> None:
    """Raise `HubError` for what a page without a server can't have."""
    if private:
        raise HubError(
            "a static Space runs in the user's browser, which can't read a private model — omit "
            "--private, or choose --space-kind gradio"
        )
    if hardware:
        raise HubError(
            f"a static Space runs on no hardware, got --space-hardware {hardware} — omit it, or "
            "choose --space-kind gradio"
        )


def _title(model: Published) -> str:
    return f"Show {model.repo_id} at {model.revision[:12]}"


def _create(api: HfApi, space: str, private: bool, hardware: Hardware | None, kind: Kind) -> None:
    api.create_repo(
        space,
        repo_type="space",
        space_sdk=kind,
        space_hardware=SpaceHardware(hardware) if hardware else None,
        private=private or None,
        exist_ok=True,
    )


def _set_variables(api: HfApi, space: str, variables: dict[str, str]) -> None:
    """Set the variables that differ: each change restarts the Space."""
    current = api.get_space_variables(space)
    for key, value in variables.items():
        if key not in current or current[key].value != value:
            api.add_space_variable(space, key, value, description="set by `train publish`")


def _files(readme: str, on_zero: bool) -> Files:
    """The files of the Space's repository, with a manifest.

    The app stays the package `space`; the files that the Hub reads are at the root.
    """
    files: dict[str, Path | bytes] = {
        f"space/{file.relative_to(SPACE).as_posix()}": file
        for file in sorted(SPACE.rglob("*"))
        if file.is_file() and _is_app_file(file.relative_to(SPACE))
    }
    for name in HUB_FILES:
        files[name] = files.pop(f"space/{name}")
    files["README.md"] = readme.encode()
    if on_zero:
        pins = (SPACE / "requirements.txt").read_text(encoding="utf-8").rstrip("\n")
        files["requirements.txt"] = f"{pins}\n{ZERO_PINS}".encode()
    return with_manifest(files)


def _is_app_file(file: Path) -> bool:
    """Whether a path in `space/` is one of `APP_FILES` or a module of the app."""
    if file.suffix != ".py":
        return file.as_posix() in APP_FILES
    packages = [folder for folder in file.parents if folder != Path()]
    hidden = any(part.startswith(".") for part in file.parts)
    return not hidden and all((SPACE / folder / "__init__.py").is_file() for folder in packages)


def _preloaded_files(files: frozenset[str]) -> list[str]:
    """The files of a published model that the Space loads: int8 if it has it, fp32 for OpenVINO."""
    onnx = [INT8_FILE if INT8_FILE in files else FP32_FILE]
    pins = (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if any(pin.startswith("openvino") for pin in pins):
        onnx = sorted({*onnx, FP32_FILE})
    return [*REQUIRED_FILES, *onnx]


def _remedies(hardware: Hardware | None) -> dict[int, str]:
    """Remedies for the Hub's refusals; what has to be paid for depends on the hardware."""
    if hardware == "zero-a10g":
        payment = (
            "ZeroGPU (zero-a10g) is free for two Spaces of a personal account with a verified "
            "e-mail address that is older than 30 days — use another account, move or delete a "
            "Space on ZeroGPU, or subscribe to a PRO or Team plan (which includes cpu-basic)"
        )
    else:
        payment = (
            "a Gradio Space on cpu-basic, the Hub's default, needs a PRO or Team plan — add "
            "`--space-hardware zero-a10g` (ZeroGPU, free for two Spaces of a personal account in "
            "good standing), or subscribe to a plan and keep `--space-hardware cpu-basic`"
        )
    payment += (
        "; or add `--space-kind static` without hardware: the model then runs in the user's "
        "browser, which is free for everybody; or omit --space and run the app on your machine "
        "with `make space`"
    )
    refused = f"the Hub can't give this Space {hardware}; choose another --space-hardware"
    return {**REMEDIES, 402: payment, **({400: refused} if hardware else {})}
