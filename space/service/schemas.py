"""What the API takes and returns, for validation and for the documentation at /docs.

In: JSON. Out: pydantic models; text-embeddings-inference's forms of `inputs` become a list.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from space.endpoints import MAX_TEXTS, to_json
from space.inference.classifier import InvalidText, Prediction

REVIEW = "Funny, warm and beautifully acted."
STAR = re.compile(r"(\d+) stars?")  # a label such as "4 stars"

Text = str | tuple[str, str]  # a pair for a model that reads pairs

STRING = {"type": "string"}
PAIR = {"type": "array", "items": STRING, "minItems": 2, "maxItems": 2}
SINGLE = {"type": "array", "items": STRING, "minItems": 1, "maxItems": 1}


@dataclass(frozen=True)
class Inputs:
    """The texts of a request, and whether they came as a batch."""

    texts: list[Text]
    is_batch: bool


def _parse_sequence(value: Any) -> Text:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        if len(value) == 1:
            return str(value[0])
        if len(value) == 2:
            return (value[0], value[1])
    raise ValueError(
        "must be a text, a pair [text, text], or a batch [[text], …] or [[text, text], …]"
    )


def parse_tei(value: Any) -> Inputs:
    """TEI's forms: a text, `[text]`, a pair `[text, text]`, or a batch of lists of one or two."""
    if isinstance(value, str):
        return Inputs([value], False)
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        return Inputs([_parse_sequence(row) for row in value], True)
    return Inputs([_parse_sequence(value)], False)


def parse_text(value: Any) -> Text:
    """A text, or a pair of texts as a list.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
        return (value[0], value[1])
    raise ValueError("must be a text or a pair [text, text]")


def _parse_texts(value: Any) -> Inputs:
    if not isinstance(value, list):
        return Inputs([parse_text(value)], False)
    if not value:
        raise ValueError("must have at least one text")
    return Inputs([parse_text(text) for text in value], True)


class PredictRequest(BaseModel):
    """A request as text-embeddings-inference takes it; other fields are ignored."""

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": REVIEW}})

    inputs: Annotated[
        Inputs,
        PlainValidator(parse_tei),
        WithJsonSchema(
            {
                "oneOf": [STRING, PAIR, {"type": "array", "items": {"oneOf": [SINGLE, PAIR]}}],
                "description": "A text, a pair of texts, or a batch of lists of one or two texts.",
                "examples": [REVIEW, [[REVIEW], ["A bore."]]],
            }
        ),
    ]
    truncate: bool | None = Field(
        None, description="`false` refuses a text that is longer than the model reads."
    )
    raw_scores: bool = Field(False, description="Return logits instead of probabilities.")


class ClassifyRequest(BaseModel):
    """A text or a list of texts."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"inputs": [REVIEW, "A bore."]}}
    )

    inputs: Annotated[
        Inputs,
        PlainValidator(_parse_texts),
        WithJsonSchema(
            {
                "oneOf": [
                    STRING,
                    {
                        "type": "array",
                        "items": {"oneOf": [STRING, PAIR]},
                        "minItems": 1,
                        "maxItems": MAX_TEXTS,
                    },
                ],
                "examples": [REVIEW, [REVIEW, "A bore."]],
            }
        ),
    ]


class ExplainRequest(BaseModel):
    """A text."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"inputs": f"{REVIEW} The end is weak."}}
    )

    inputs: str


class ReloadRequest(BaseModel):
    """Which revision to load."""

    model_config = ConfigDict(extra="forbid")

    revision: str | None = Field(
        None, description="Commit, tag or branch; by default MODEL_REVISION, looked up again."
    )


class Score(BaseModel):
    """The score of one label."""

    score: float = Field(examples=[0.97])
    label: str = Field(examples=["POSITIVE"])


class Classification(BaseModel):
    """The answer to one text; only `error` is set if there is none."""

    label: str
    probability: float
    probabilities: dict[str, float]
    leaning: str | None = Field(description="The label that the text points to, null for none.")
    unsure: bool = Field(description="Whether the probability is below `unsure_below`.")
    tokens_read: int
    tokens: int = Field(description="More than `tokens_read` if the text was truncated.")
    unknown_tokens: int
    stars: float | None = Field(None, description="The expected stars, if the labels are stars.")
    error: str | None = None


class ClassifyResponse(BaseModel):
    """The answers in the order of the texts."""

    model_id: str
    model_sha: str
    results: list[Classification]


class Part(BaseModel):
    """A sentence or a word, and its effect on the log-odds of the label."""

    text: str
    start: int
    end: int
    attribution: float | None
    probability_without: float | None


class ExplainResponse(Classification):
    """A classification, and the effect of each sentence and of the words in the strongest."""

    dropped: int = Field(description="Parts that were not measured because of a limit.")
    sentences: list[Part]
    words: list[Part]


class ProblemDetails(BaseModel):
    """RFC 9457, with `error` and `error_type` as text-embeddings-inference has them."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    request_id: str | None
    rule: str
    value: str
    remedy: str
    error: str
    error_type: str


def answer_to_json(answer: Prediction | InvalidText) -> dict[str, Any]:
    """The answer to one text, as `Classification`."""
    if isinstance(answer, InvalidText):
        return {"error": str(answer)}
    return to_json(answer) | stars(answer)


def stars(prediction: Prediction) -> dict[str, float]:
    """The expected number of stars, if all labels are stars."""
    matches = {label: STAR.fullmatch(label) for label in prediction.probabilities}
    numbers = {label: int(match[1]) for label, match in matches.items() if match}
    if len(numbers) < len(matches):
        return {}
    return {"stars": sum(p * numbers[label] for label, p in prediction.probabilities.items())}
