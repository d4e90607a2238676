"""Code that calls the model and this page from programs, and that trains such a model again.

In: the facts about the model, and the address of this page. Out: code to copy.
"""

import re
from collections.abc import Mapping

from huggingface_hub import constants

from space.about import Facts, lookup

DEFAULT_HUB = "https://huggingface.co"  # clients use it unless they are told otherwise
REVIEW = "Funny, warm and beautifully acted."


def usage(facts: Facts, address: str) -> dict[str, str]:
    """Code that calls the model and the page, by caption.

    Args:
        facts: About the model.
        address: URL of this page, without a trailing slash.
    """
    return {
        "Run the model in Python": _python_model(facts),
        "Run the model in a browser or Node.js": _javascript_model(facts),
        "Call this page from Python": "from gradio_client import Client\n\n"
        f'page = Client("{address}")\n'
        f'print(page.predict("{REVIEW}", api_name="/classify"))\n',
        "Call this page from JavaScript": 'import { Client } from "@gradio/client";\n\n'
        f'const page = await Client.connect("{address}");\n'
        f'const {{ data }} = await page.predict("/classify", ["{REVIEW}"]);\n'
        "console.log(data[0]);\n",
        "Call this page from a shell": f"event=$(curl -s {address}/gradio_api/call/classify \\\n"
        '  -H "Content-Type: application/json" \\\n'
        f"""  -d '{{"data": ["{REVIEW}"]}}' | cut -d '"' -f 4)\n"""
        f"curl -sN {address}/gradio_api/call/classify/$event\n",
    }


def retraining(facts: Facts) -> str:
    """Shell commands that fetch the model's recipe and train it again."""
    return (
        _if_other_hub("export HF_ENDPOINT={hub}\n")
        + f"hf download {facts.repo_id} recipe.yaml --revision {facts.commit} --local-dir .\n"
        "python -m train run recipe.yaml --to user/movie-sentiment "
        "--space user/movie-sentiment --space-kind static\n"
    )


def colab_link(facts: Facts) -> str | None:
    """URL of the training notebook on Colab, in the repository that results.json names.

    None if the model was trained outside a GitHub repository.
    """
    repository = lookup(facts.results, "environment", "repository")
    match = re.fullmatch(r"https://github\.com/([\w-]+/[\w.-]+)", str(repository))
    if not match:
        return None
    return f"https://colab.research.google.com/github/{match[1]}/blob/main/train/colab.ipynb"


def page_address(
    environment: Mapping[str, str], headers: Mapping[str, str], request_scheme: str
) -> str:
    """Public URL of this page, without a trailing slash.

    Args:
        environment: Of this process; a Space on the Hub has `SPACE_HOST`.
        headers: Of a request to the page.
        request_scheme: "http" or "https"; a proxy's X-Forwarded-Proto takes precedence.
    """
    if host := environment.get("SPACE_HOST"):
        return f"https://{host}"
    host = headers.get("x-forwarded-host") or headers.get("host") or "127.0.0.1:7860"
    scheme = headers.get("x-forwarded-proto") or request_scheme
    return f"{scheme.split(',')[0].strip()}://{host.split(',')[0].strip()}"


def _python_model(facts: Facts) -> str:
    return (
        _if_other_hub('import os\n\nos.environ["HF_ENDPOINT"] = "{hub}"\n')
        + "from transformers import pipeline\n\n"
        + 'classify = pipeline(\n    "sentiment-analysis",\n'
        + f'    model="{facts.repo_id}",\n    revision="{facts.commit}",\n)\n'
        + f'print(classify("{REVIEW}"))\n'
    )


def _javascript_model(facts: Facts) -> str:
    dtype = "q8" if "quantized" in facts.file else "fp32"  # name of the ONNX file's precision
    return (
        f'import {{ {_if_other_hub("env, ")}pipeline }} from "@huggingface/transformers";\n'
        + _if_other_hub('\nenv.remoteHost = "{hub}";')
        + f'\nconst classify = await pipeline("sentiment-analysis", "{facts.repo_id}", {{\n'
        f'  dtype: "{dtype}",\n  revision: "{facts.commit}",\n}});\n'
        f'console.log(await classify("{REVIEW}"));\n'
    )


def _if_other_hub(code: str) -> str:
    """The code with the Hub's address filled in; empty for huggingface.co."""
    hub = constants.ENDPOINT
    return "" if hub == DEFAULT_HUB else code.replace("{hub}", hub)
