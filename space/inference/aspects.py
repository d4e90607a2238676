"""Aspects of the film, such as its acting: which a review mentions, and what it says about them.

In: a request to a model of text pairs, and a review. Out: an `Aspect` for each that is mentioned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from space.inference.attribution import split_sentences
from space.inference.classifier import InvalidText, ModelUnavailable, Prediction
from space.inference.labels import NOT_MENTIONED
from space.inference.onnx_model import OnnxModel
from space.inference.serving import Request
from space.inference.texts import check_text


@dataclass(frozen=True)
class Aspect:
    """What a review says about one aspect.

    Attributes:
        name: Of the aspect.
        prediction: Of the whole review with the aspect.
        sentence: The sentence that supports the prediction the most, read alone; None if none does.
    """

    name: str
    prediction: Prediction
    sentence: str | None


def find(request: Request, text: str) -> list[Aspect]:
    """The aspects that a review mentions, in the model's order, within the request's limits.

    Reading each sentence with each mentioned aspect takes about as many tokens as reading the
    review once more. Leaving out one sentence at a time would take that for each sentence.

    Raises:
        InvalidText: The text is invalid, see `Classifier.predict`, or longer than the limits allow.
        ModelUnavailable: See `Classifier.load` and `names`.
        Busy, Cancelled: See `serving.Request.predict_batch`.
    """
    if error := check_text(text):
        raise error
    every = names(request.model, request.service.classifier.repo_id)
    mentioned: dict[str, Prediction] = {}
    pairs = [(text, name) for name in every]
    for name, answer in zip(every, request.predict_batch(pairs), strict=True):
        if isinstance(answer, InvalidText):
            raise answer
        if is_mentioned(answer):
            mentioned[name] = answer
    sentences = [text[start:end] for start, end in split_sentences(text)]
    pairs = [(sentence, name) for name in mentioned for sentence in sentences]
    answers = iter(request.predict_batch(pairs) if pairs else [])
    return [
        Aspect(name, whole, _strongest(whole.label, sentences, [next(answers) for _ in sentences]))
        for name, whole in mentioned.items()
    ]


def names(model: OnnxModel, repo_id: str | None) -> list[str]:
    """The aspects that a model knows.

    Raises:
        ModelUnavailable: It reads single texts, doesn't list its aspects, or finds all of them in
            every text.
    """
    if not model.has_pairs:
        value = "reads single texts"
    elif not model.aspects:
        value = "has no list of them in config.json"
    elif NOT_MENTIONED not in map(str.upper, model.labels):
        value = f"has no label {NOT_MENTIONED}"
    else:
        return model.aspects
    raise ModelUnavailable(
        "ASPECT_MODEL_ID must name a model of text pairs that lists its aspects and has the label "
        f"{NOT_MENTIONED}, as the recipe `aspects` trains it, but {repo_id} {value}."
    )


def is_mentioned(prediction: Prediction) -> bool:
    """Whether the review says something about the aspect."""
    return prediction.label.upper() != NOT_MENTIONED


def _strongest(
    label: str, sentences: Sequence[str], answers: Sequence[Prediction | InvalidText]
) -> str | None:
    """The sentence with the highest probability of the label, among those that get this label."""
    shares = {
        sentence: answer.probabilities[label]
        for sentence, answer in zip(sentences, answers, strict=True)
        if isinstance(answer, Prediction) and answer.label == label
    }
    return max(shares, key=shares.__getitem__, default=None)
