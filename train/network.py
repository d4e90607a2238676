"""Network settings of this process and its children.

In: the environment variables. Out: the same variables, completed before a Hub client reads them:
loopback addresses bypass a proxy, and a failing transfer ends after seconds instead of minutes.
"""

import os
from collections.abc import MutableMapping

LOOPBACK = ["localhost", "127.0.0.1", "::1"]
# hf_xet retries silently, by default for minutes; `train.publishing.hub` has its own retries.
XET_LIMITS = {
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2",
    "HF_XET_CLIENT_RETRY_MAX_DURATION": "20s",
}


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set missing variables in place; values that the user has set are kept."""
    for name, value in XET_LIMITS.items():
        environment.setdefault(name, value)
    names = ("no_proxy", "NO_PROXY")  # some clients read one of them, some the other
    hosts = [host.strip() for name in names for host in environment.get(name, "").split(",")]
    no_proxy = ",".join(dict.fromkeys([*filter(None, hosts), *LOOPBACK]))
    environment.update(dict.fromkeys(names, no_proxy))
