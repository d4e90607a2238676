"""The container's health check: exits with 0 if the service of this machine answers.

In: `PORT` and `API_KEYS`, as the service. Out: the exit status. It imports nothing of the service,
which would take seconds.
"""

import os
import urllib.request


def main() -> None:
    """Call `/health`; an error ends the process with 1."""
    port = os.environ.get("PORT") or "7860"
    key = os.environ.get("API_KEYS", "").split(",")[0].strip()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/health", headers=headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by http_proxy
    direct.open(request, timeout=4).close()


if __name__ == "__main__":
    main()
