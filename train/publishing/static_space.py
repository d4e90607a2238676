"""The static Space: `space_static/` and a published model → a page that runs the model itself.

In: a model, its commit and the Hub that serves it. Out: the files of the page's repository. The
libraries come from npm at the versions in `space_static/packages.json`; the page loads nothing from
other servers than its own and the Hub.
"""

import gzip
from pathlib import Path
from string import Template

from huggingface_hub import RepoCard

from train.environment import REPOSITORY
from train.publishing import npm_packages

FOLDER = REPOSITORY / "space_static"
PINS = FOLDER / "packages.json"
# Of both Spaces: the colors of predictions and attributions, the example reviews and file.
SHARED = [REPOSITORY / "space" / name for name in ("style.css", "examples.json", "sample.csv")]
INDEX = "index.html"
SUFFIXES = {".css", ".csv", ".html", ".js", ".svg"}
QUANTIZED, FULL = "onnx/model_quantized.onnx", "onnx/model.onnx"
# Where huggingface.co redirects downloads to: https://huggingface.co/docs/hub/xet
STORAGE = "https://huggingface.co https://*.huggingface.co https://*.hf.co"


def files(
    model: str, revision: str, onnx_files: frozenset[str], endpoint: str
) -> dict[str, Path | bytes]:
    """The files of the Space's repository, by their path there.

    Args:
        model: The model repository.
        revision: Its commit.
        onnx_files: Paths in the model repository; the int8 model is used if it is among them.
        endpoint: The Hub that the page downloads the model from.

    Raises:
        HubError: The libraries can't be downloaded.
    """
    page: dict[str, Path | bytes] = {
        file.name: file for file in sorted(FOLDER.iterdir()) if file.suffix in SUFFIXES
    }
    page |= {file.name: file for file in SHARED}
    page[INDEX] = (
        Template((FOLDER / INDEX).read_text(encoding="utf-8"))
        .substitute(
            model=model,
            revision=revision,
            dtype="q8" if QUANTIZED in onnx_files else "fp32",
            endpoint=endpoint,
            download_hosts=STORAGE if endpoint == "https://huggingface.co" else endpoint,
        )
        .encode()
    )
    page["README.md"] = readme(model).encode()
    return page | _libraries()


def readme(model: str) -> str:
    """`space_static/README.md` with the model in its front matter."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    card = RepoCard(text, ignore_metadata_errors=False)
    card.data["models"] = [model]
    return str(card)


def write(folder: Path, files: dict[str, Path | bytes]) -> None:
    """Write the files of a Space into a local folder, to serve them from there."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())


def _libraries() -> dict[str, Path | bytes]:
    """The libraries, in `vendor/`; WebAssembly is compressed, as not every server does it."""
    libraries: dict[str, Path | bytes] = {}
    for name, file in npm_packages.fetch(PINS).items():
        if file.name == "LICENSE":
            package = name.rpartition("/")[0].rpartition("/")[2]
            libraries[f"vendor/{package}-LICENSE.txt"] = file
        elif file.suffix == ".wasm":
            libraries[f"vendor/{file.name}.gz"] = _compressed(file)
        else:
            libraries[f"vendor/{file.name}"] = file
    return libraries


def _compressed(file: Path) -> Path:
    """A file with gzip, beside it. The same content gives the same bytes."""
    target = file.with_name(f"{file.name}.gz")
    if not target.is_file():
        draft = target.with_suffix(".part")
        draft.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        draft.replace(target)
    return target
