"""Serve a folder as a Hub: `python -m localhub --root hub`."""

import argparse
import shlex
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn
from urllib.request import getproxies

import uvicorn
from starlette.types import ASGIApp

from .app import create_app
from .faults import FREE_ACCOUNT
from .hub import Hub
from .names import is_repo_id
from .runner import Runner

HOST = "127.0.0.1"
EPILOG = """\
example:
  python -m localhub --root hub --port 8765
  export HF_ENDPOINT=http://127.0.0.1:8765 HF_TOKEN=$(cat hub/token)
  hf upload demo/my-model runs/my-model

tokens: random ones, in files that only you can read, unless hub/tokens.json defines others
  hub/token         user demo, may change demo/*
  hub/token-read    user demo, may only read
  hub/token-admin   user admin, may change everything

faults:
  --fault 'POST /api/repos/create=402'     always answer 402
  --fault 'POST /api/.*/commit/=drop*2'    close the connection, twice; see localhub/faults.py

Spaces are paused, except those that --run-spaces names. Their app.py runs as you, so all who have a
token that may change one of them can run any program as you.
"""


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        "python -m localhub",
        description="A Hugging Face Hub on this machine, stored in a plain folder.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--root", type=Path, required=True, help="the folder; created when absent")
    add("--port", type=int, default=8765, help="0 chooses a free one (default: 8765)")
    add("--fault", action="append", default=[], help="inject a fault; repeatable")
    add(
        "--free-account",
        action="store_true",
        help="refuse Gradio and Docker Spaces with 402, as the Hub does without a paid plan",
    )
    add(
        "--run-spaces",
        nargs="+",
        default=[],
        metavar="USER/NAME",
        help="run the app.py of these Gradio Spaces, or serve these static ones, when they are"
        " pushed, as processes of this machine under this Python; see localhub/runner.py",
    )
    add("--verbose", action="store_true", help="log every request to stderr")
    return parser.parse_args()


def fail(message: str) -> NoReturn:
    """Exit with a message and status 1."""
    sys.stderr.write(f"localhub: {message}\n")
    raise SystemExit(1)


class Server(uvicorn.Server):
    """A server that prints an announcement once it accepts connections."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self.announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the announcement."""
        await super().startup(sockets)
        sys.stdout.write(self.announcement)
        sys.stdout.flush()


def listen(port: int) -> socket.socket:
    """A listening socket. Exits with a message when that fails."""
    try:
        listener = socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        fail(f"can't listen on {HOST}:{port}: {error}. Choose another --port; 0 takes a free one.")
    # As asyncio does for sockets it opens. Without it, every answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    args = parse_args()
    if invalid := [name for name in args.run_spaces if not is_repo_id(name)]:
        fail(f"--run-spaces takes Spaces as user/name, got {invalid[0]!r}.")
    # On these signals uvicorn finishes its requests and then raises them again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        listener = listen(args.port)
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        faults = [*args.fault, *([FREE_ACCOUNT] if args.free_account else [])]
        hub = Hub(args.root)
        runner = Runner(url, hub.temporary, args.run_spaces)
        app = create_app(hub, runner, faults)
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(
            f"{error.filename or args.root}: {error.strerror}. --root must be a writable folder"
            " with no other files. Choose another one, or move away what is in the way."
        )
    try:
        serve(app, args, url, listener)
    finally:
        # A second signal must not interrupt this and leave apps running.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        runner.close()


def serve(app: ASGIApp, args: argparse.Namespace, url: str, listener: socket.socket) -> None:
    """Serve until a signal, and print the endpoint once connections are accepted."""
    config = uvicorn.Config(
        app,
        log_level="info" if args.verbose else "warning",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,
        lifespan="off",
        ws="none",
        http="h11",  # faults.py uses its transport
        proxy_headers=False,
    )
    announcement = f"localhub: serving {args.root} at {url}\nexport HF_ENDPOINT={url}\n"
    if not (args.root / "tokens.json").exists():
        token = shlex.quote(str(args.root / "token"))
        announcement += f"export HF_TOKEN=$(cat {token})  # readable by you alone\n"
    if getproxies().keys() - {"no"}:  # clients would use the proxy, which can't reach loopback
        announcement += f"export NO_PROXY={HOST} no_proxy={HOST}\n"
    Server(config, announcement).run(sockets=[listener])


if __name__ == "__main__":
    main()
