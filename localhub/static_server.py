"""Serve the current folder as a static Space: `python static_server.py HEADERS`, by the runner.

HEADERS is a JSON object of the headers that the Space asks for (`custom_headers` of its README.md).
The port is that of Gradio apps, in GRADIO_SERVER_PORT. This script imports nothing of the hub.
"""

import json
import os
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

HEADERS: dict[str, str] = json.loads(sys.argv[1])


class Handler(SimpleHTTPRequestHandler):
    """Answers with a file and the Space's headers; browsers ask again whether it has changed."""

    protocol_version = "HTTP/1.1"

    def end_headers(self) -> None:
        """Add the headers to those of the file."""
        for name, value in {"Cache-Control": "no-cache", **HEADERS}.items():
            self.send_header(name, value)
        super().end_headers()


if __name__ == "__main__":
    port = int(os.environ["GRADIO_SERVER_PORT"])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
