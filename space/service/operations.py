"""Routes for operators: probes, facts, metrics, a new model.

In: requests without texts. Out: the state of the service.
"""

import platform
from importlib.metadata import version
from typing import Any

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from space.endpoints import MAX_TEXTS
from space.inference.cpu import available_cores
from space.inference.serving import BATCH, EXPLANATION, SINGLE, Service
from space.inference.texts import MAX_CHARACTERS
from space.service.lifecycle import Lifecycle, run_in_daemon_thread
from space.service.metrics import Metrics
from space.service.schemas import ReloadRequest
from space.service.settings import Settings

API_VERSION = "1.0.0"
PACKAGES = ["gradio", "huggingface_hub", "onnxruntime", "tokenizers"]


class Operations:
    """The routes that answer from the state of the service.

    Args:
        service: The model and its queue.
        settings: Limits, for `/info`.
        metrics: For `/metrics`.
        lifecycle: For `/ready` and `/admin/reload`.
    """

    def __init__(
        self, service: Service, settings: Settings, metrics: Metrics, lifecycle: Lifecycle
    ) -> None:
        self._service, self._settings = service, settings
        self._metrics, self._lifecycle = metrics, lifecycle

    async def health(self) -> dict[str, str]:
        """Whether the process answers; restart it if this fails."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """Whether the model is loaded and new requests are taken; send none if this fails."""
        self._lifecycle.check_ready()
        return {"status": "ok", "model_sha": str(self._service.classifier.commit)}

    async def info(self) -> dict[str, Any]:
        """The model and the limits, in the fields of text-embeddings-inference and more."""
        self._lifecycle.check_ready()
        classifier, settings = self._service.classifier, self._settings
        model = classifier.load()
        by_index = {str(i): label for i, label in enumerate(model.labels)}
        by_label = {label: i for i, label in enumerate(model.labels)}
        return {
            "model_id": classifier.repo_id,
            "model_sha": classifier.commit,
            "model_dtype": model.engine.dtype,
            "engine": {"name": model.engine.name, "reason": model.engine.reason},
            "model_type": {"classifier": {"id2label": by_index, "label2id": by_label}},
            "max_concurrent_requests": settings.max_concurrent_requests,
            "max_input_length": model.max_tokens,
            "max_batch_tokens": BATCH.tokens,
            "max_batch_requests": 1,  # texts of several requests are not batched
            "max_client_batch_size": MAX_TEXTS,
            "auto_truncate": True,
            "tokenization_workers": available_cores(),
            "version": API_VERSION,
            "sha": None,
            "docker_label": None,
            "model_revision": classifier.loaded_revision or "main",
            "labels": model.labels,
            "unsure_below": model.unsure_below,
            "text_pairs": model.has_pairs,
            "aspect_model": self._aspect_model(),
            "limits": {
                "text_characters": MAX_CHARACTERS,
                "batch_characters": BATCH.characters,
                "batch_tokens": BATCH.tokens,
                "explanation_tokens": EXPLANATION.tokens,
                "body_bytes": settings.max_body_bytes,
                "seconds": self._seconds(),
                "rate": settings.rate_limit,
            },
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in PACKAGES},
        }

    def _aspect_model(self) -> dict[str, str | None] | None:
        if self._service.aspects is None:
            return None
        aspects = self._service.aspects.classifier
        return {"model_id": aspects.repo_id, "model_sha": aspects.commit}

    def _seconds(self) -> dict[str, float | None]:
        """The most seconds of a body and of the predictions of each kind of request."""
        most = self._settings.request_timeout_seconds
        kinds = {"text": SINGLE, "batch": BATCH, "explanation": EXPLANATION}
        seconds = {kind: min(limits.seconds, most) for kind, limits in kinds.items()}
        return {"body": most, **seconds, "stream": None}

    async def metrics(self) -> Response:
        """Metrics in Prometheus' format."""
        return Response(self._metrics.render(), media_type=CONTENT_TYPE_LATEST)

    async def reload(self, body: ReloadRequest | None = None) -> dict[str, Any]:
        """Load the newest commit of a revision; the loaded model answers until it is warm."""
        revision = body.revision if body else None
        previous = self._service.classifier.commit
        commit = await run_in_daemon_thread(lambda: self._lifecycle.reload(revision))
        return {"model_sha": commit, "previous_sha": previous}
