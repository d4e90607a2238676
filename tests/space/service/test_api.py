"""The REST API in process: text-embeddings-inference's shapes, and what goes beyond them."""

import asyncio
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_app import COMMIT, assert_problem, client, loaded
from starlette.testclient import TestClient

from space.inference import serving
from space.inference.admission import AdmissionQueue
from space.inference.classifier import Classifier, Prediction
from space.inference.concurrency import Busy
from space.inference.serving import Service
from space.service import api as api_module
from space.service.body_limiter import LARGEST_BODIES

GOOD, BAD = "a wonderful film", "a dreadful film"
LONG = "wonderful " * 200  # more than the 64 tokens that the model reads
LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def classifier(tiny_classifier: Path) -> Classifier:
    return loaded(tiny_classifier)


@pytest.fixture(scope="module")
def http(classifier: Classifier) -> TestClient:
    return client(classifier)


def predict(http: TestClient, inputs: Any, **options: Any) -> Any:
    response = http.post("/predict", json={"inputs": inputs, **options})
    assert response.status_code == 200, response.text
    return response.json()


def scores(classifier: Classifier, text: str) -> list[dict[str, Any]]:
    """What text-embeddings-inference returns: the labels, the most probable first."""
    ranked = sorted(classifier.predict(text).probabilities.items(), key=lambda item: -item[1])
    return [{"score": pytest.approx(p, abs=1e-6), "label": label} for label, p in ranked]


@pytest.mark.parametrize("inputs", [GOOD, [GOOD]])
def test_predict_returns_a_list_for_a_single_text(
    http: TestClient, classifier: Classifier, inputs: Any
):
    assert predict(http, inputs) == scores(classifier, GOOD)


def test_predict_returns_lists_for_a_batch(http: TestClient, classifier: Classifier):
    expected = [scores(classifier, text) for text in (GOOD, BAD)]
    assert predict(http, [[GOOD], [BAD]]) == expected
    assert predict(http, [[GOOD]]) == expected[:1]


def test_predict_returns_logits_as_raw_scores(http: TestClient):
    raw = predict(http, GOOD, raw_scores=True)
    odds = np.exp([score["score"] for score in raw])
    assert [s["label"] for s in raw] == [s["label"] for s in predict(http, GOOD)]
    assert odds / odds.sum() == pytest.approx([s["score"] for s in predict(http, GOOD)], abs=1e-6)


def test_two_texts_are_no_batch_and_the_error_shows_one(http: TestClient):
    """The pair of text-embeddings-inference, which a model of single texts can't read."""
    refused = http.post("/predict", json={"inputs": [GOOD, BAD]})
    assert_problem(refused, 422, "reads single texts, got a pair", '[["…"], ["…"]]')
    rows = http.post("/predict", json={"inputs": [[GOOD], [1]]})
    assert_problem(rows, 422, "text 1 is of type list")


def test_text_to_truncate_is_refused_before_the_model_runs(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Classifier, "predict_tokens", None)
    refused = http.post("/predict", json={"inputs": [[GOOD], [LONG]], "truncate": False})
    assert_problem(refused, 413, "at most 62 tokens", "200 in text 1")


def test_predict_truncates_unless_told_not_to(http: TestClient, classifier: Classifier):
    assert predict(http, LONG) == predict(http, LONG, truncate=True) == scores(classifier, LONG)
    refused = http.post("/predict", json={"inputs": LONG, "truncate": False})
    assert_problem(refused, 413, "at most 62 tokens", "200 in text 0", "omit truncate")
    assert predict(http, GOOD, truncate=False) == scores(classifier, GOOD)


def test_predict_ignores_fields_of_other_versions(http: TestClient):
    assert predict(http, GOOD, truncation_direction="Right") == predict(http, GOOD)


@pytest.mark.parametrize(
    "inputs", [None, 7, {}, [], [[]], [1], ["a", "b", "c"], [["a"], "b"], [["a", "b", "c"]], [[1]]]
)
def test_predict_refuses_other_shapes(http: TestClient, inputs: Any):
    response = http.post("/predict", json={"inputs": inputs})
    assert_problem(response, 422, "inputs: must be a text, a pair [text, text], or a batch")


def test_predict_names_the_text_that_can_not_be_read(http: TestClient):
    empty = http.post("/predict", json={"inputs": [[GOOD], [" "]]})
    assert_problem(empty, 422, "Text 1: The text is empty.")
    assert_problem(http.post("/predict", json={"inputs": "x" * 100_001}), 422, "100,001")


def test_pairs_need_a_model_of_pairs(http: TestClient):
    for inputs in (["a film", "acting"], [["a film", "acting"]]):
        response = http.post("/predict", json={"inputs": inputs})
        assert_problem(response, 422, "This model reads single texts, got a pair of texts.")


def test_a_model_of_pairs_takes_pairs(tiny_pairs: Path):
    http = client(loaded(tiny_pairs))
    single = predict(http, ["the acting was wonderful", "acting"])
    assert [set(score) for score in single] == [{"score", "label"}] * 2
    assert predict(http, [["the acting was wonderful", "acting"]]) == [single]
    other = predict(http, ["the acting was wonderful", "songs"])
    assert other != single  # the second text is read
    pair = {"text": "the acting was wonderful", "text_pair": "acting"}
    result = http.post("/v1/classify", json={"inputs": pair}).json()["results"]
    assert result[0]["label"] == single[0]["label"]
    assert http.post("/v1/classify", json={"inputs": [pair]}).json()["results"] == result
    lines = b"\n".join(json.dumps(line).encode() for line in (pair, {"inputs": pair}))
    assert [line["probabilities"] for line in stream(http, lines)] == [
        pytest.approx(result[0]["probabilities"])
    ] * 2
    for path in ("/v1/classify", "/v1/explain"):
        refused = http.post(path, json={"inputs": GOOD})
        assert_problem(refused, 422, "reads pairs of texts", "a single text")
    assert_problem(
        http.post("/predict", json={"inputs": GOOD}),
        422,
        "reads pairs of texts",
        "a single text",
        'Send a pair as ["…", "…"] to /predict',
    )


@pytest.fixture(scope="module")
def tiny_pairs(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, exported for pairs."""
    from transformers import AutoModelForSequenceClassification

    from train.publishing import export

    folder = tmp_path_factory.mktemp("pairs")
    shutil.copytree(tiny_classifier, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"text_pairs": True}))
    model = AutoModelForSequenceClassification.from_pretrained(tiny_classifier)
    export.write(model.eval(), True, folder / "onnx/model.onnx")
    return folder


def test_pairs_have_the_scores_of_pipeline(tiny_pairs: Path):
    from transformers import pipeline

    review, aspect = "the acting was wonderful but the songs were dreadful", "acting"
    expected = pipeline("text-classification", str(tiny_pairs), top_k=None)(
        {"text": review, "text_pair": aspect}
    )
    ours = predict(client(loaded(tiny_pairs)), [review, aspect])
    assert [s["label"] for s in ours] == [s["label"] for s in expected]
    assert [s["score"] for s in ours] == pytest.approx([s["score"] for s in expected], abs=1e-4)


def test_classify_tells_what_was_read_and_how_sure_it_is(http: TestClient, classifier: Classifier):
    response = http.post("/v1/classify", json={"inputs": [GOOD, " ", LONG]}).json()
    assert (response["model_id"], response["model_sha"]) == ("demo/tiny", COMMIT)
    first, blank, long = response["results"]
    assert first["probabilities"] == pytest.approx(classifier.predict(GOOD).probabilities)
    assert {"label", "unsure", "leaning", "unknown_tokens"} <= set(first)
    assert set(blank) == {"error"}
    assert long["tokens_read"] == 62 < long["tokens"] == 200
    single = http.post("/v1/classify", json={"inputs": GOOD}).json()
    assert single["results"] == [first]
    assert_problem(http.post("/v1/classify", json={"inputs": " "}), 422)


def test_stars_have_an_expected_value(star_run: Path):
    http = client(loaded(star_run))
    (result,) = http.post("/v1/classify", json={"inputs": GOOD}).json()["results"]
    stars = [int(label[0]) * p for label, p in result["probabilities"].items()]
    assert len(stars) == 5 and result["expected"] == pytest.approx(sum(stars))
    explained = http.post("/v1/explain", json={"inputs": GOOD}).json()
    assert explained["expected"] == pytest.approx(result["expected"])


@pytest.mark.parametrize("path", ["/predict", "/v1/classify"])
def test_batches_have_at_most_1000_texts(http: TestClient, path: str):
    form = [[GOOD]] if path == "/predict" else [GOOD]
    assert http.post(path, json={"inputs": form * 1000}).status_code == 200
    response = http.post(path, json={"inputs": form * 1001})
    assert_problem(response, 413, "at most 1,000 texts", "1,001", "/v1/classify/stream")


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ({}, ["inputs: Field required"]),
        ({"inputs": []}, ["at least one text", "list of length 0"]),
        ({"inputs": [GOOD, 7]}, ["must be a text, a pair", "text 1 is of type int"]),
        ({"inputs": [GOOD, BAD, None]}, ["text 2 is of type NoneType"]),
        ({"inputs": {"text": GOOD}}, ["must be a text, a pair"]),
        ({"inputs": [{"text": GOOD, "text_pair": BAD, "x": 1}]}, ["must be a text, a pair"]),
        ({"inputs": GOOD, "top_k": 1}, ["must have no unknown field, got 1"]),
        ([], ["body: "]),
    ],
)
def test_classify_refuses_other_shapes(http: TestClient, body: Any, parts: list[str]):
    assert_problem(http.post("/v1/classify", json=body), 422, *parts)


def test_explain_measures_sentences_and_words(http: TestClient):
    text = "A wonderful film. The songs were dreadful."
    answer = http.post("/v1/explain", json={"inputs": text}).json()
    assert [part["text"] for part in answer["sentences"]] == [
        "A wonderful film.", "The songs were dreadful.",
    ]  # fmt: skip
    assert {"wonderful", "dreadful"} <= {part["text"] for part in answer["words"]}
    assert answer["model_sha"] == COMMIT and answer["dropped"] == 0
    assert_problem(http.post("/v1/explain", json={"inputs": "!!!"}), 422)


def test_explain_has_the_aspects_if_the_service_has_a_model_of_them(
    http: TestClient, classifier: Classifier, aspect_run: Path
):
    of_pairs = loaded(aspect_run)
    both = client(classifier, service=Service(classifier, aspects=of_pairs))
    text = "Film 7 was wonderful."
    answer = both.post("/v1/explain", json={"inputs": text}).json()
    aspects = answer.pop("aspects")
    assert answer == http.post("/v1/explain", json={"inputs": text}).json()
    assert [found["aspect"] for found in aspects] == ["acting", "story"]
    for found in aspects:
        (expected,) = of_pairs.predict_batch([(text, found["aspect"])])
        assert isinstance(expected, Prediction) and found["label"] == expected.label
        assert found["probabilities"] == pytest.approx(expected.probabilities)
        assert found["sentence"] is None or found["sentence"] in text
    assert_problem(both.post("/v1/explain", json={"inputs": " "}), 422)
    info = both.get("/info").json()["aspect_model"]
    assert info == {"model_id": "demo/tiny", "model_sha": COMMIT}
    assert http.get("/info").json()["aspect_model"] is None
    schema = both.get("/openapi.json").json()["components"]["schemas"]["ExplainResponse"]
    assert "aspects" in schema["properties"]


def test_model_of_aspects_that_does_not_load_is_named(classifier: Classifier):
    missing = Classifier(None, pairs=True, variable="ASPECT_MODEL_ID")
    http = client(classifier, service=Service(classifier, aspects=missing))
    assert_problem(http.post("/v1/explain", json={"inputs": GOOD}), 503, "is not set")
    assert http.post("/v1/classify", json={"inputs": GOOD}).status_code == 200


def stream(http: TestClient, body: bytes) -> list[dict[str, Any]]:
    response = http.post("/v1/classify/stream", content=body, headers=LINES)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_stream_answers_any_number_of_lines_in_order(http: TestClient, classifier: Classifier):
    texts = [GOOD, BAD] * 700
    body = "\n".join(
        json.dumps({"inputs": text} if i % 2 else text) for i, text in enumerate(texts)
    )
    answers = stream(http, body.encode())
    assert [answer["index"] for answer in answers] == list(range(1400))
    for text, answer in list(zip(texts, answers, strict=True))[-2:]:
        assert answer["probabilities"] == pytest.approx(classifier.predict(text).probabilities)


def test_stream_reports_invalid_lines_in_their_place(http: TestClient):
    lines = [b'"a film"', b"", b"{not json", b'{"text": "a film"}', b"7", b"[" * 100_000, b'" "']
    answers = stream(http, b"\n".join(lines))
    assert [set(answer) == {"index", "error"} for answer in answers] == [False] + [True] * 5
    assert answers[1]["error"].startswith("Line 3 must be")
    assert stream(http, b"\n\n") == []


def test_stream_has_no_limit_of_tokens_or_time(classifier: Classifier):
    deadlines = []

    class NotedQueue(AdmissionQueue):
        def run(self, *arguments: Any, deadline: float, **options: Any) -> Any:
            deadlines.append(deadline)
            return super().run(*arguments, deadline=deadline, **options)

    service = Service(classifier, NotedQueue(1))
    http = client(classifier, service=service, request_timeout_seconds=5)
    answers = stream(http, b"\n".join([b'"a film"'] * 200))
    assert len(answers) == 200 and set(deadlines) == {math.inf}
    assert api_module.STREAM.tokens == math.inf
    assert http.get("/info").json()["limits"]["seconds"]["stream"] is None


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/explain"])
def test_one_model_answers_a_request_although_another_is_loaded_meanwhile(
    tiny_classifier: Path, path: str
):
    """The response names the commit that answered."""
    reloaded = loaded(tiny_classifier)
    newer: Any = reloaded._open(tiny_classifier, commit="newer")
    newer.logits = None  # never read

    class ReloadingQueue(AdmissionQueue):
        def run(self, *arguments: Any, **options: Any) -> Any:
            reloaded._model = newer
            return super().run(*arguments, **options)

    http = client(reloaded, service=Service(reloaded, ReloadingQueue(1)))
    answer = http.post(path, json={"inputs": "A good film. A bad end."}).json()
    assert answer["model_sha"] == COMMIT and reloaded.commit == "newer"
    assert http.get("/info").json()["model_sha"] == "newer"


def test_stream_ends_with_the_reason_if_the_model_fails_midway(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
):
    service = Service(classifier)
    run, calls = service.queue.run, []

    def fail_later(*arguments: Any, **options: Any) -> Any:
        calls.append(options["patience"])
        if len(calls) > 1:
            raise Busy(3)
        return run(*arguments, **options)

    monkeypatch.setattr(service.queue, "run", fail_later)
    body = b"\n".join([b'"a film"'] * (api_module.STREAM_TEXTS + 1))
    answers = stream(client(classifier, service=service), body)
    assert len(answers) == api_module.STREAM_TEXTS + 1
    assert "try again in 3 s" in answers[-1]["error"]


@pytest.mark.parametrize("path", ["/predict", "/v1/classify", "/v1/explain"])
def test_full_queue_is_429_with_the_wait(classifier: Classifier, path: str):
    class FullQueue(AdmissionQueue):
        def run(self, *arguments: Any, **options: Any) -> Any:
            raise Busy(8)

    http = client(classifier, service=Service(classifier, FullQueue(1)))
    response = http.post(path, json={"inputs": GOOD})
    assert_problem(response, 429, "8 s")
    assert response.headers["retry-after"] == "8"
    assert response.json()["error_type"] == "Overloaded"


def test_a_request_that_takes_too_long_is_503(classifier: Classifier):
    class LateQueue(AdmissionQueue):
        def run(self, *arguments: Any, deadline: float, **options: Any) -> Any:
            time.sleep(max(0, deadline - time.monotonic()))
            return super().run(*arguments, deadline=deadline, **options)

    service = Service(classifier, LateQueue(1))
    http = client(classifier, service=service, request_timeout_seconds=0.2)
    response = http.post("/predict", json={"inputs": GOOD})
    assert_problem(response, 503, "the limit of 0.2 s", "try again")
    assert response.headers["retry-after"]


def test_limits_of_a_batch_are_413(classifier: Classifier, monkeypatch: pytest.MonkeyPatch):
    limits = serving.Limits(tokens=4, seconds=60)
    monkeypatch.setattr(api_module, "BATCH", limits)
    response = client(classifier).post("/predict", json={"inputs": [[GOOD], [GOOD]]})
    assert_problem(response, 413, "text 1: Left out: the limit of 4 tokens")


def test_more_requests_than_allowed_are_429(classifier: Classifier):
    from threading import Event, Thread

    released, waiting = Event(), Event()

    class SlowQueue(AdmissionQueue):
        def run(self, *arguments: Any, **options: Any) -> Any:
            waiting.set()
            assert released.wait(60)
            return super().run(*arguments, **options)

    http = client(classifier, service=Service(classifier, SlowQueue(1)), max_concurrent_requests=1)
    with http:  # one event loop for both requests
        answers: list[Any] = []
        first = Thread(target=lambda: answers.append(http.post("/predict", json={"inputs": GOOD})))
        first.start()
        assert waiting.wait(60)
        response = http.post("/predict", json={"inputs": GOOD})
        released.set()
        first.join()
    assert_problem(response, 429, "at most 1 requests")
    assert answers[0].status_code == 200


def test_large_bodies_are_refused_before_they_are_read(classifier: Classifier):
    """Bodies on their way fill the memory; no byte of another is read. Small ones are answered."""
    http = client(classifier, max_body_bytes=1_000_000)
    headers = [(b"content-type", b"application/json"), (b"host", b"testserver")]
    large, chunked = (b"content-length", b"1000000"), (b"transfer-encoding", b"chunked")
    small = (b"content-length", b"20")
    body = json.dumps({"inputs": GOOD}).encode()

    async def call(header: tuple[bytes, bytes], receive: Any) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict", "http_version": "1.1"}
        scope |= {"headers": [*headers, header], "scheme": "http", "query_string": b""}
        await http.app(scope | {"client": None}, receive, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    async def run() -> None:
        arrived = asyncio.Event()

        def client_of(body: bytes, event: asyncio.Event | None = None) -> Any:
            waiting = [{"type": "http.request", "body": body}]

            async def receive() -> Any:
                if event:
                    await event.wait()
                if not waiting:
                    await asyncio.sleep(60)
                return waiting.pop()

            return receive

        async def never() -> Any:
            raise AssertionError("the body was read")

        full = [
            asyncio.create_task(call(large, client_of(body, arrived)))
            for _ in range(LARGEST_BODIES)
        ]
        await asyncio.sleep(0)
        assert [await call(header, never) for header in (large, chunked)] == [429, 429]
        assert await call(small, client_of(body)) == 200
        arrived.set()
        assert await asyncio.gather(*full) == [200] * LARGEST_BODIES
        assert await call(chunked, client_of(body)) == 200

    asyncio.run(run())


def test_documentation_has_examples_that_work(http: TestClient):
    schema = http.get("/openapi.json").json()
    assert {"/predict", "/v1/classify", "/v1/explain", "/v1/classify/stream"} <= set(
        schema["paths"]
    )
    for path in ("/predict", "/v1/classify", "/v1/explain"):
        reference = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        name = reference["schema"]["$ref"].rpartition("/")[2]
        example = schema["components"]["schemas"][name]["example"]
        assert http.post(path, json=example).status_code == 200, path
    lines = schema["paths"]["/v1/classify/stream"]["post"]["requestBody"]["content"]
    assert len(stream(http, lines["application/x-ndjson"]["example"].encode())) == 2
    forms = schema["components"]["schemas"]["ClassifyRequest"]["properties"]["inputs"]["anyOf"]
    text, pair, batch = forms
    assert (text["type"], batch["type"], batch["maxItems"]) == ("string", "array", 1000)
    assert pair["$ref"].endswith("/Pair")
    assert "swagger" in http.get("/docs").text
