"""The Space: from `space/` and a published model to an app on the Hub.

In: what `hub.publish` gave, and the hardware. Out: `Deployed`, once everything is pushed; whether
it runs is for the `visitor` to find out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import (
    HfApi,
    RepoCard,
    SpaceHardware,
    constants,
)

from train import console
from train.hub_errors import explained
from train.publishing import hub, published_files

Hardware = Literal["cpu-basic", "zero-a10g"]

SPACE = Path(__file__).parent.parent.parent / "space"
HUB_FILES = ["README.md", "requirements.txt"]  # at the root of the Space's repository
APP_FILES = {*HUB_FILES, "style.css", "head.html"}
DOWN = {"BUILD_ERROR", "CONFIG_ERROR", "RUNTIME_ERROR", "SLEEPING", "STOPPED"}
# ZeroGPU lends its GPU to functions that this package decorates. It runs without torch.
ZERO_PINS = "spaces==0.51.3\n"
# One of the two Pythons that ZeroGPU has: https://huggingface.co/docs/hub/spaces-zerogpu
ZERO_FRONT_MATTER = {"python_version": "3.12.12", "suggested_hardware": "zero-a10g"}


@dataclass(frozen=True)
class Deployed:
    """A Space as it was pushed; whether it runs is another question."""

    space: str
    revision: str
    url: str


def check_target(space: str, private: bool, hardware: Hardware | None) -> None:
    """Make sure, before anything expensive, that this account may have the Space.

    Creates it, still empty, where it is missing: it is the one honest test.

    Raises:
        HubError: No token, one that may not write, a Space that has to be paid for, no connection.
    """
    hub.check_named(space)
    api = HfApi()
    doing = f"checking that the Space {space} can be written"
    with explained(doing, remedies=_remedies(hardware)):
        _create(api, space, private, hardware)
        api.auth_check(space, repo_type="space", write=True)
        hub.check_private(api, space, "space", private)


def deploy(
    space: str, model: hub.Published, private: bool = False, hardware: Hardware | None = None
) -> Deployed:
    """Push `space/`, made to fit its hardware, and tell it which model to pull.

    Args:
        space: The Space repository, `user/name`.
        model: What it shows.
        private: Whether the Space and the model are private.
        hardware: What to run on; None keeps what it has, and for a new one the Hub's default.

    Raises:
        HubError: What the Hub refused, and what to do about it.
    """
    api = HfApi()
    after = "the model is published; `python -m train publish` can be run again"
    with explained(f"deploying the Space {space}", remedies=_remedies(hardware), after=after):
        _create(api, space, private, hardware)
        before = api.get_space_runtime(space)
        there = before.requested_hardware or "cpu-basic"
        if hardware not in (None, there):
            api.request_space_hardware(space, SpaceHardware(hardware))
            console.print_line(f"asked the Hub to move {space} from {there} to {hardware}")
        _set_variables(api, space, {"MODEL_ID": model.repo_id, "MODEL_REVISION": model.revision})
        preloaded = [] if private else _read_by_space(model.files)  # public ones can be preloaded
        files = _files(model, preloaded, on_zero=(hardware or there) == "zero-a10g")
        published_files.print_unpublished(SPACE, {name.removeprefix("space/") for name in files})
        head = api.repo_info(space, repo_type="space").sha
        title = f"Show {model.repo_id} at {model.revision[:12]}"
        revision = hub.commit(api, space, "space", files, title)
        if revision == head and before.stage in DOWN:
            api.restart_space(space)  # a push that changes nothing starts nothing
    return Deployed(space, revision, f"{constants.ENDPOINT}/spaces/{space}")


def readme(model: str, revision: str, preloaded: Sequence[str], on_zero: bool = False) -> str:
    """`space/README.md` with the gradio version of its pin and the model that it shows.

    Args:
        model: The model repository.
        revision: The commit of it.
        preloaded: Its files that the Hub puts into the Space's image.
        on_zero: Whether the Space runs on ZeroGPU.
    """
    card = RepoCard((SPACE / "README.md").read_text(encoding="utf-8"), ignore_metadata_errors=False)
    pins = (SPACE / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^gradio(?:\[.*\])?==(\S+)", pins, flags=re.MULTILINE)
    assert pinned is not None, "space/requirements.txt pins gradio"
    card.data["sdk_version"] = pinned[1]
    card.data["models"] = [model]
    if preloaded:
        card.data["preload_from_hub"] = [f"{model} {','.join(preloaded)} {revision}"]
    for key, value in ZERO_FRONT_MATTER.items() if on_zero else ():
        card.data[key] = value
    return str(card)


def _create(api: HfApi, space: str, private: bool, hardware: Hardware | None) -> None:
    api.create_repo(
        space,
        repo_type="space",
        space_sdk="gradio",
        space_hardware=SpaceHardware(hardware) if hardware else None,
        private=private or None,
        exist_ok=True,
    )


def _set_variables(api: HfApi, space: str, wanted: dict[str, str]) -> None:
    """Set what is not so already: each change starts the Space anew."""
    there = api.get_space_variables(space)
    for key, value in wanted.items():
        if key not in there or there[key].value != value:
            api.add_space_variable(space, key, value, description="set by `train publish`")


def _files(
    model: hub.Published, preloaded: Sequence[str], on_zero: bool
) -> dict[str, Path | bytes]:
    """The files of `space/` that belong to the app, and the list of them, by their paths.

    The app stays the package `space`; what the Hub itself reads lies beside it.
    """
    files: dict[str, Path | bytes] = {
        f"space/{file.relative_to(SPACE).as_posix()}": file
        for file in sorted(SPACE.rglob("*"))
        if file.is_file() and _is_of_app(file.relative_to(SPACE))
    }
    for name in HUB_FILES:
        files[name] = files.pop(f"space/{name}")
    files["README.md"] = readme(model.repo_id, model.revision, preloaded, on_zero).encode()
    if on_zero:
        pins = (SPACE / "requirements.txt").read_text(encoding="utf-8").rstrip("\n")
        files["requirements.txt"] = f"{pins}\n{ZERO_PINS}".encode()
    return hub.with_manifest(files)


def _is_of_app(file: Path) -> bool:
    """Whether a file in `space/` is the app's own: one of `APP_FILES`, or a module."""
    if file.suffix != ".py":
        return file.as_posix() in APP_FILES
    packages = [folder for folder in file.parents if folder != Path()]
    hidden = any(part.startswith(".") for part in file.parts)
    return not hidden and all((SPACE / folder / "__init__.py").is_file() for folder in packages)


def _read_by_space(files: frozenset[str]) -> list[str]:
    """What the Space pulls of a published run: int8 where there is one."""
    quantized = "onnx/model_quantized.onnx"
    onnx = quantized if quantized in files else "onnx/model.onnx"
    return ["config.json", "tokenizer.json", "tokenizer_config.json", onnx]


def _remedies(hardware: Hardware | None) -> dict[int, str]:
    """What to do about the Hub's refusals; payment is a matter of the hardware asked for."""
    without = "or leave out --space and use the app at home with `make space`"
    if hardware == "zero-a10g":
        payment = (
            "ZeroGPU (zero-a10g) is free for two Spaces of a personal account with a verified "
            "e-mail address that is older than 30 days — take another account, move or delete a "
            "Space that has it, take a PRO or Team plan (which allows cpu-basic as well), "
            + without
        )
    else:
        payment = (
            "a Gradio Space on cpu-basic, the Hub's default, needs a PRO or Team plan — add "
            "`--space-hardware zero-a10g` (ZeroGPU, free for two Spaces of a personal account in "
            "good standing), take a plan and keep `--space-hardware cpu-basic`, " + without
        )
    refused = f"the Hub can't give this Space {hardware}; choose another --space-hardware"
    return {**hub.REMEDIES, 402: payment, **({400: refused} if hardware else {})}
