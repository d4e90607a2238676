"""How this process and those that it starts use the network.

In: the environment. Out: the same environment, completed before a client of the Hub reads it:
loopback goes past any proxy, and a transfer gives up in seconds instead of minutes.
"""

import os
from collections.abc import MutableMapping

LOOPBACK = ["localhost", "127.0.0.1", "::1"]
# hf_xet retries silently, by default for minutes; what has to last longer is retried by `hub`.
XET_LIMITS = {
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2",
    "HF_XET_CLIENT_RETRY_MAX_DURATION": "20s",
}


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add what is missing to an environment; settings of the user's own stay."""
    for name, value in XET_LIMITS.items():
        environment.setdefault(name, value)
    names = ("no_proxy", "NO_PROXY")  # clients differ in which of them they read
    hosts = [host.strip() for name in names for host in environment.get(name, "").split(",")]
    direct = ",".join(dict.fromkeys([*filter(None, hosts), *LOOPBACK]))
    environment.update(dict.fromkeys(names, direct))
