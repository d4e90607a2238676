"""Run a program until it ends or the hub does: `python launcher.py app.py`, started by the runner.

The hub holds the other end of this process's input. The kernel closes it when the hub ends, even
if it is killed; the hub closes it to stop the program. Then this process ends the program with all
processes it has started. The exit code is the program's, as a shell reports it. This script
imports nothing of the hub.

On Linux this process adopts orphaned descendants, even those in a new session (setsid), so only
processes that it may not signal survive, such as a program under sudo. macOS has no such adoption:
an orphaned process that has left the program's process group survives there. On both, everything
survives if this process itself is killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil

STOP_SECONDS = 5  # between SIGTERM and SIGKILL
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def main() -> None:
    """Start the program in its own process group, and wait for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    app = subprocess.Popen(
        [sys.executable, *sys.argv[1:]], stdin=subprocess.DEVNULL, process_group=0
    )
    threading.Thread(target=_end_with_hub, args=[app.pid], daemon=True).start()
    pid = status = 0
    while pid != app.pid:
        pid, status = os.wait()  # adopted processes are reaped here as well
    app.returncode = os.waitstatus_to_exitcode(status)
    _signal(app.pid, signal.SIGKILL)
    _end_descendants()
    sys.exit(app.returncode if app.returncode >= 0 else 128 - app.returncode)


def _end_with_hub(group: int) -> None:
    """Wait until the hub ends, then end the program."""
    os.read(0, 1)  # returns at the end of the input; nothing is ever written
    _signal(group, signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    """Send a signal to the program and its process group."""
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(group, number)


def _end_descendants() -> None:
    """Kill all remaining descendants of the program."""
    deadline = time.monotonic() + STOP_SECONDS
    while (remaining := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for process in remaining:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


if __name__ == "__main__":
    main()
