"""MCP answers as JSON: Gradio answers with Python's notation, which agents can't parse.

In: the outputs of an endpoint. Out: one text of JSON for each. This module uses internals of
Gradio; the Space pins Gradio's version.
"""

import json
from typing import Any

from gradio.mcp import GradioMCPServer


def answer_in_json() -> None:
    """Let Gradio's MCP server answer in JSON; call it before the page is launched."""
    GradioMCPServer.postprocess_output_data = _to_content


def _to_content(server: GradioMCPServer, data: list[Any], root_url: str) -> list[Any]:
    return [
        server.types.TextContent(type="text", text=json.dumps(output, ensure_ascii=False))
        for output in data
    ]
