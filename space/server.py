"""The web service: the page and a REST API in one process, on one port.

In: settings from the environment, see `service.settings`. Out: HTTP until SIGTERM, which finishes
accepted requests. SIGHUP loads the newest commit of the model.

    MODEL_ID=user/movie-sentiment python space/server.py
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

if __name__ == "__main__":  # also run by its path; make `space` importable
    sys.path[0] = str(Path(__file__).parent.parent)

import uvicorn

from space import app as page
from space.inference.classifier import Classifier
from space.inference.serving import Service
from space.service import app, lifecycle
from space.service.observer import JsonFormatter
from space.service.settings import InvalidSettings, Settings


def main() -> None:
    """Serve until a signal; exits with 2 if a setting is wrong."""
    _log_as_json()
    try:
        settings = Settings.from_environment()
        model = settings.model_id, settings.model_revision
        classifier = Classifier(*model, pairs=True, engine=settings.engine)
        life = lifecycle.Lifecycle(classifier)
        service = Service(classifier, aspects=page.aspect_classifier(os.environ))
        served = app.create(settings, service, life, page.prepare(service))
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    page.exit_on_sigterm()
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, lambda *_: _start(life.reload_or_log))
    config = uvicorn.Config(
        served,
        host=settings.listen_host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=lifecycle.KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=lifecycle.CANCEL_SECONDS,
    )
    with suppress(KeyboardInterrupt):
        lifecycle.Server(config, life).run()


def _start(work: Callable[[], None]) -> None:
    """Run work in a thread that must not delay the end of the process."""
    Thread(target=work, daemon=True).start()


def _log_as_json() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("space.access").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)


if __name__ == "__main__":
    main()
