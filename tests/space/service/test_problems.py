"""The sentences in which the web service describes problems."""

from collections.abc import Callable

import pytest
from service_app import assert_natural, client

from space.inference.classifier import Classifier, InvalidText, ModelUnavailable
from space.inference.concurrency import Busy, Cancelled
from space.inference.serving import REFUSALS, LimitReached
from space.service import problems
from space.service.lifecycle import Lifecycle
from space.service.problems import Problem

HUB_DOWN = "The Hub at https://hub.example does not answer. The next request tries again."
INVALID = "The review is blank."


@pytest.mark.parametrize(
    ("problem", "detail"),
    [
        (problems.shutdown(), "The service is shutting down. Try again in 10 s."),
        (problems.not_loaded(None), "The model is loading. Try again in 10 s."),
        (
            problems.of_refusal(ModelUnavailable(HUB_DOWN)),
            "The Hub at https://hub.example does not answer. Try again in 10 s.",
        ),
        (
            problems.of_refusal(Busy(5)),
            "Too many requests are waiting: try again in 5 s.",
        ),
        (
            problems.of_refusal(Cancelled()),
            "The client disconnected before the answer: call again.",
        ),
        (
            problems.of_refusal(LimitReached("tokens", 300_000), 3),
            "Text 3 was left out: the limit of 300,000 tokens for one request was reached. "
            "Send fewer or shorter texts in one request.",
        ),
        (
            problems.of_refusal(LimitReached("characters", 7_500_000)),
            "The text was left out: the limit of 7,500,000 characters for one request was "
            "reached. Send fewer or shorter texts in one request.",
        ),
        (
            problems.of_refusal(LimitReached("seconds", 120)),
            "The text was left out: the limit of 120 s for one request was reached. Try again in "
            "10 s.",
        ),
        (problems.of_refusal(InvalidText(INVALID)), INVALID),
        (problems.of_refusal(InvalidText(INVALID), 1), f"Text 1: {INVALID}"),
        (
            problems.of_validation([{"loc": ("body", "revision"), "msg": "wrong", "input": 5}]),
            "Revision: wrong, got 5: see /docs for what this service takes.",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_details_are_sentences(problem: Problem, detail: str) -> None:
    assert problem.detail == detail
    assert_natural(problem.detail)


def test_each_kind_of_refusal_has_a_sentence() -> None:
    made: dict[type, Callable[[], Exception]] = {
        Busy: lambda: Busy(5),
        Cancelled: Cancelled,
        InvalidText: lambda: InvalidText(INVALID),
        ModelUnavailable: lambda: ModelUnavailable(HUB_DOWN),
    }
    for kind in REFUSALS:
        assert_natural(problems.of_refusal(made[kind]()).detail)


@pytest.mark.parametrize("status", [*problems.RULES, 418])
def test_errors_of_libraries_have_sentences(status: int) -> None:
    scope = {"type": "http", "method": "GET", "path": "/v1/nowhere", "headers": []}
    problem = problems.of_response(status, b"", scope)
    assert problem.value == ("GET /v1/nowhere" if status == 405 else "/v1/nowhere")
    assert_natural(problem.detail)
    assert problem.detail.endswith(".")


def test_a_second_reload_and_a_failed_one_have_sentences() -> None:
    lifecycle = Lifecycle(Classifier(None))
    with pytest.raises(Problem) as failed:
        lifecycle.reload()
    assert failed.value.detail.startswith("The new model can't be used. ")
    lifecycle._reloading.acquire()
    with pytest.raises(Problem) as second:
        lifecycle.reload()
    assert second.value.detail.startswith("Another reload is running: ")
    for problem in (failed.value, second.value):
        assert_natural(problem.detail)


def test_a_rate_that_is_used_up_has_a_sentence() -> None:
    http = client(Classifier(None), rate_limit="1/hour")
    http.post("/predict", json={"inputs": "a film"})
    detail = http.post("/predict", json={"inputs": "a film"}).json()["detail"]
    assert detail.startswith("The limit of 1/hour POST requests is reached: try again in ")
    assert_natural(detail)
