"""Run a program until it ends or the hub does: `python launcher.py app.py`, started by the runner.

The hub holds the other end of this process's input. The kernel closes it when the hub ends, also
after a kill; the hub closes it to stop the program. Then the program is ended, with all that it has
started. The status is that of the program, as a shell gives it. It imports nothing of the hub.

On Linux this process adopts what the program starts and leaves behind, also in a new session
(setsid), so that nothing outlives it but what it may not signal, such as a program under sudo.
macOS has no such adoption: there a process lives on that has left the program's process group and
whose parent has ended. So does everything, on both, where this process itself is killed.
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

STOP_SECONDS = 5  # between the request to end and the end
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def main() -> None:
    """Start the program, in a process group of its own, and wait."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    app = subprocess.Popen(
        [sys.executable, *sys.argv[1:]], stdin=subprocess.DEVNULL, process_group=0
    )
    threading.Thread(target=_end_with_hub, args=[app.pid], daemon=True).start()
    pid = status = 0
    while pid != app.pid:
        pid, status = os.wait()  # what was adopted ends here as well
    app.returncode = os.waitstatus_to_exitcode(status)
    _signal(app.pid, signal.SIGKILL)
    _end_descendants()
    sys.exit(app.returncode if app.returncode >= 0 else 128 - app.returncode)


def _end_with_hub(group: int) -> None:
    """Wait for the end of the hub, then end the program."""
    os.read(0, 1)  # nothing is ever written
    _signal(group, signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    """Send a signal to the program and to what it has started in its process group."""
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(group, number)


def _end_descendants() -> None:
    """Kill what the program has left behind, and what that leaves behind in turn."""
    until = time.monotonic() + STOP_SECONDS
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < until:
        for process in left:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


if __name__ == "__main__":
    main()
