"""How to call the model and this page from programs, and how to train a model of one's own.

In: the model's repository, and this page's address. Out: code to copy.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from huggingface_hub import constants

from space.about import Facts, at

HUB = "https://huggingface.co"  # what clients ask unless told otherwise
REVIEW = "Funny, warm and beautifully acted."


@dataclass(frozen=True)
class Usage:
    """Code for each kind of caller, as text."""

    pipeline: str  # Python, the model itself
    client: str  # Python, this page
    curl: str
    javascript: str  # this page
    browser: str  # JavaScript, the model itself


def usage(facts: Facts, address: str) -> Usage:
    """How to call a model and the page that shows it.

    Args:
        facts: Of the model.
        address: Of this page, without a slash at its end.
    """
    model = f'"{facts.repo_id}"'
    revision = f'revision="{facts.commit}"'
    return Usage(
        pipeline=_elsewhere('import os\n\nos.environ["HF_ENDPOINT"] = "{hub}"\n')
        + "from transformers import pipeline\n\n"
        + 'classify = pipeline(\n    "sentiment-analysis",\n'
        + f"    model={model},\n    {revision},\n)\n"
        + f'print(classify("{REVIEW}"))\n',
        client="from gradio_client import Client\n\n"
        f'page = Client("{address}")\n'
        f'print(page.predict("{REVIEW}", api_name="/classify"))\n',
        curl=f"event=$(curl -s {address}/gradio_api/call/classify \\\n"
        '  -H "Content-Type: application/json" \\\n'
        f"""  -d '{{"data": ["{REVIEW}"]}}' | cut -d '"' -f 4)\n"""
        f"curl -sN {address}/gradio_api/call/classify/$event\n",
        javascript='import { Client } from "@gradio/client";\n\n'
        f'const page = await Client.connect("{address}");\n'
        f'const {{ data }} = await page.predict("/classify", ["{REVIEW}"]);\n'
        "console.log(data[0]);\n",
        browser=f'import {{ {_elsewhere("env, ")}pipeline }} from "@huggingface/transformers";\n'
        + _elsewhere('\nenv.remoteHost = "{hub}";')
        + f'\nconst classify = await pipeline("sentiment-analysis", {model}, {{\n'
        f'  dtype: "{_dtype(facts)}",\n  revision: "{facts.commit}",\n}});\n'
        f'console.log(await classify("{REVIEW}"));\n',
    )


def retraining(facts: Facts) -> str:
    """The one command that trains such a model again, after the recipe has been fetched."""
    return (
        _elsewhere("export HF_ENDPOINT={hub}\n")
        + f"hf download {facts.repo_id} recipe.yaml --revision {facts.commit} --local-dir .\n"
        "python -m train run recipe.yaml --to user/movie-sentiment --space user/movie-sentiment\n"
    )


def colab_link(facts: Facts) -> str | None:
    """Address of the training notebook on Colab, in the repository that results.json names.

    None if the model was trained outside a GitHub repository.
    """
    repository = at(facts.results, "environment", "repository")
    match = re.fullmatch(r"https://github\.com/([\w-]+/[\w.-]+)", str(repository))
    if not match:
        return None
    return f"https://colab.research.google.com/github/{match[1]}/blob/main/train/colab.ipynb"


def address(environment: Mapping[str, str], headers: Mapping[str, str], scheme: str) -> str:
    """Where this page is for those who call it.

    Args:
        environment: Of this process; on the Hub it holds `SPACE_HOST`.
        headers: Of a visitor's request.
        scheme: Of that request, where no proxy says another.
    """
    if host := environment.get("SPACE_HOST"):
        return f"https://{host}"
    host = headers.get("x-forwarded-host") or headers.get("host") or "127.0.0.1:7860"
    scheme = headers.get("x-forwarded-proto") or scheme
    return f"{scheme.split(',')[0].strip()}://{host.split(',')[0].strip()}"


def _elsewhere(text: str, otherwise: str = "") -> str:
    """What is needed only where the Hub is another than huggingface.co."""
    return text.replace("{hub}", constants.ENDPOINT) if constants.ENDPOINT != HUB else otherwise


def _dtype(facts: Facts) -> str:
    """As transformers.js names the ONNX file that answers here."""
    return "q8" if "quantized" in facts.file else "fp32"
