"""What the API takes and returns, for validation and for the documentation at /docs.

In: JSON. Out: pydantic models; the forms of `inputs` become a list of texts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from space.endpoints import MAX_TEXTS

REVIEW = "Funny, warm and beautifully acted."
TEI_FORMS = "must be a text, a pair [text, text], or a batch [[text], …] or [[text, text], …]"
FORMS = 'must be a text, a pair {"text": …, "text_pair": …}, or a list of these'

Text = str | tuple[str, str]  # a pair for a model that reads pairs


@dataclass(frozen=True)
class Inputs:
    """The texts of a request, and whether they came as a batch."""

    texts: list[Text]
    is_batch: bool


class Pair(BaseModel):
    """Two texts for a model that reads pairs, as `pipeline()` takes them."""

    text: str
    text_pair: str


def _parse_row(value: Any) -> Text:
    match value:
        case [str(text)]:
            return text
        case [str(text), str(text_pair)]:
            return text, text_pair
    raise ValueError(TEI_FORMS)


def _parse_tei(value: Any) -> Inputs:
    match value:
        case str():
            return Inputs([value], False)
        case [list(), *_]:
            return Inputs(_parse_each(_parse_row, value), True)
    return Inputs([_parse_row(value)], False)


def parse_text(value: Any) -> Text:
    """A text, or a pair of texts in the form of `Pair`.

    Raises:
        ValueError: It is neither.
    """
    match value:
        case str():
            return value
        case {"text": str(text), "text_pair": str(text_pair), **rest} if not rest:
            return text, text_pair
    raise ValueError(FORMS)


def _parse_texts(value: Any) -> Inputs:
    if value == []:
        raise ValueError("must have at least one text")
    if isinstance(value, list):
        return Inputs(_parse_each(parse_text, value), True)
    return Inputs([parse_text(value)], False)


def _parse_each(parse: Callable[[Any], Text], values: list[Any]) -> list[Text]:
    """The texts of a batch; a `ValueError` names the first that is none, counted from 0."""
    texts = []
    for index, value in enumerate(values):
        try:
            texts.append(parse(value))
        except ValueError as error:
            raise ValueError(f"{error}; text {index} is of type {type(value).__name__}") from error
    return texts


TeiRow = Annotated[list[str], Field(min_length=1, max_length=2)]
Batch = Annotated[list[str | Pair], Field(min_length=1, max_length=MAX_TEXTS)]


class PredictRequest(BaseModel):
    """A request as text-embeddings-inference takes it; other fields are ignored."""

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": REVIEW}})

    inputs: Annotated[
        Inputs, PlainValidator(_parse_tei, json_schema_input_type=str | TeiRow | list[TeiRow])
    ] = Field(description="A text, a pair of texts, or a batch of lists of one or two texts.")
    truncate: bool | None = Field(
        None, description="`false` refuses a text that is longer than the model reads."
    )
    raw_scores: bool = Field(False, description="Return logits instead of probabilities.")


class ClassifyRequest(BaseModel):
    """A text or a list of texts; pairs of texts for a model that reads pairs."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"inputs": [REVIEW, "A bore."]}}
    )

    inputs: Annotated[
        Inputs, PlainValidator(_parse_texts, json_schema_input_type=str | Pair | Batch)
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
        None,
        min_length=1,
        description="Commit, tag or branch; by default MODEL_REVISION, looked up again.",
    )


class Score(BaseModel):
    """The score of one label."""

    score: float = Field(examples=[0.97])
    label: str = Field(examples=["POSITIVE"])


class Classification(BaseModel):
    """The answer to one text."""

    label: str
    expected: float | None = Field(
        None, description="The mean of labels that are a scale, such as stars; else not set."
    )
    probability: float
    probabilities: dict[str, float]
    leaning: str | None = Field(description="The label that the text points to, null for none.")
    unsure: bool = Field(
        description="Whether the probability is below `unsure_below`, or there is a "
        "`language_caution`."
    )
    tokens_read: int
    tokens: int = Field(description="More than `tokens_read` if the text was truncated.")
    unknown_tokens: int
    language_caution: str | None = Field(
        description="A sentence if the text seems to be in a language that the model doesn't know."
    )


class Unclassified(BaseModel):
    """The answer to a text that can't be classified."""

    error: str = Field(description="Why, in a sentence.")


class ClassifyResponse(BaseModel):
    """The answers in the order of the texts."""

    model_id: str
    model_sha: str
    results: list[Classification | Unclassified]


class Part(BaseModel):
    """A sentence or a word, and its effect on the log-odds of the label."""

    text: str
    start: int
    end: int
    attribution: float | None
    probability_without: float | None


class AspectClassification(Classification):
    """What a text says about one aspect of the film; the labels are those of the aspects' model."""

    aspect: str
    sentence: str | None = Field(description="The one that supports the label the most, if any.")


class ExplainResponse(Classification):
    """A classification, and the effect of each sentence and of the words in the strongest ones."""

    model_id: str
    model_sha: str
    dropped: int = Field(description="Parts that were not measured because of a limit.")
    sentences: list[Part]
    words: list[Part]
    aspects: list[AspectClassification] | None = Field(
        None, description="Those that the text mentions; only set if there is an ASPECT_MODEL_ID."
    )


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
