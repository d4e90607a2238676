"""Run a program until it ends or the hub does: `python launcher.py app.py`, started by the runner.

The hub holds the other end of this process's input. The kernel closes it when the hub ends, also
after a kill; the hub closes it to stop the program. Then the program is ended, with all that it has
started. The status is that of the program, as a shell gives it. It imports nothing of the hub.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

STOP_SECONDS = 5  # between the request to end and the end


def main() -> None:
    """Start the program, in a process group of its own, and wait."""
    app = subprocess.Popen(
        [sys.executable, *sys.argv[1:]], stdin=subprocess.DEVNULL, process_group=0
    )
    threading.Thread(target=_end_with_hub, args=[app], daemon=True).start()
    status = app.wait()
    _signal(app, signal.SIGKILL)  # what it has started and left behind
    sys.exit(status if status >= 0 else 128 - status)


def _end_with_hub(app: "subprocess.Popen[bytes]") -> None:
    """Wait for the end of the hub, then end the program."""
    os.read(0, 1)  # nothing is ever written
    _signal(app, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        app.wait(STOP_SECONDS)
    _signal(app, signal.SIGKILL)


def _signal(app: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Send a signal to the program and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(app.pid, number)


if __name__ == "__main__":
    main()
