"""What a model predicts for rows: the added columns, and their cells.

In: a model, and the columns that it reads. Out: a `Predictor` of parts of a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from space.inference.labels import expected_value, unit
from train.data import tables
from train.errors import ModelError

if TYPE_CHECKING:
    from space.inference.classifier import Classifier, InvalidText, Prediction

COLUMNS: dict[str, type] = {
    "label": str,
    "score": float,
    "unsure": bool,
    "caution": str,
    "truncated": bool,
    "reason": str,
}
ALL = "all"


@dataclass(frozen=True)
class Predictor:
    """A model and the columns that it reads.

    Attributes:
        classifier: The model.
        text: The column of the texts.
        text_pair: The column of the second texts, of a model that reads pairs.
        aspects: The second texts that are combined with each text, instead of a column.
    """

    classifier: "Classifier"
    text: str
    text_pair: str | None = None
    aspects: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, type]:
        """The added columns, in order, with their types: str, float or bool."""
        if self.aspects:
            names = [f"{aspect}_{cell}" for aspect in self.aspects for cell in ("label", "score")]
            return {**{name: COLUMNS[name.rpartition("_")[2]] for name in names}, **_SHARED}
        steps = unit(self.classifier.labels)
        return COLUMNS | ({f"expected_{steps.replace(' ', '_')}": float} if steps else {})

    def predict(self, part: tables.Part) -> list[list[Any]]:
        """The added cells of each row, in the order of `columns`; None beside a reason."""
        read = [self.text, *([self.text_pair] if self.text_pair else [])]
        rows = tables.to_rows(part if isinstance(part, list) else part.select(read))
        if self.aspects:
            pairs = [(row.get(self.text), aspect) for row in rows for aspect in self.aspects]
            answers, width = self._predict(pairs), len(self.aspects)
            each = [answers[i : i + width] for i in range(0, len(answers), width)]
            return [self._aspect_cells(of_row) for of_row in each]
        texts = [tuple(row.get(name) for name in read) for row in rows]
        inputs = texts if self.text_pair else [text for (text,) in texts]
        return [self._cells(answer) for answer in self._predict(inputs)]

    def _predict(self, inputs: Sequence[Any]) -> "list[Prediction | InvalidText]":
        from space.inference.texts import name_empty_cells

        return name_empty_cells(inputs, self.classifier.predict_batch(inputs))

    def _cells(self, answer: "Prediction | InvalidText") -> list[Any]:
        if isinstance(answer, Exception):
            return [str(answer) if name == "reason" else None for name in self.columns]
        truncated, caution = answer.tokens_read < answer.tokens, answer.language_caution
        cells = [answer.label, answer.probabilities[answer.label], answer.unsure]
        cells += [caution, truncated, None]
        is_scale = len(self.columns) > len(COLUMNS)
        return [*cells, *[expected_value(answer.probabilities)] * is_scale]

    def _aspect_cells(self, answers: "list[Prediction | InvalidText]") -> list[Any]:
        """The cells of one text; what makes it invalid does so with every aspect."""
        cells: list[Any] = []
        truncated, caution = False, None
        for answer in answers:
            if isinstance(answer, Exception):
                return [*[None] * (len(self.columns) - 1), str(answer)]
            cells += [answer.label, answer.probabilities[answer.label]]
            truncated |= answer.tokens_read < answer.tokens
            caution = answer.language_caution  # about the text, so the same for every aspect
        return [*cells, caution, truncated, None]


_SHARED = {name: COLUMNS[name] for name in ("caution", "truncated", "reason")}


def load(
    model: str,
    revision: str | None,
    text: str,
    text_pair: str | None = None,
    aspects: str | None = None,
) -> Predictor:
    """Load a model and check that it reads these columns.

    Args:
        model: A repository on the Hub (`user/repo`), or a run folder.
        revision: Of the model.
        text: The column of the texts.
        text_pair: The column of the second texts.
        aspects: `all`, or names separated by commas.

    Raises:
        ModelError: The model can't be loaded, reads no pairs although `text_pair` or `aspects` is
            given, or reads pairs although none is; or doesn't know an aspect.
    """
    # The Space's own classifier, so that both give the same scores.
    from space.inference.classifier import Classifier, ModelUnavailable
    from train.hub_errors import explained

    doing = f"model {model!r} can't be loaded"
    with explained(doing, ModelError, name=model, expected=(ModelUnavailable,)):
        if Path(model).is_dir():
            classifier = Classifier.from_folder(Path(model), pairs=True)
        else:
            classifier = Classifier.from_hub(model, revision, pairs=True)
    loaded = classifier.load()
    if (text_pair or aspects) and not loaded.has_pairs:
        raise ModelError(
            f"--text-pair-column and --aspects need a model of text pairs, got {model}, which reads"
            " single texts — omit them, or name another model"
        )
    if loaded.has_pairs and not (text_pair or aspects):
        raise ModelError(
            f"{model} reads pairs of texts, got only --text {text} — name the column of the second "
            "texts with --text-pair-column, or combine each text with aspects: --aspects "
            f"{','.join(loaded.aspects) or 'acting,story'}"
        )
    return Predictor(classifier, text, text_pair, _names(aspects, loaded.aspects, model))


def _names(aspects: str | None, known: list[str], model: str) -> list[str]:
    """The names of the aspects, without duplicates; `known` are those of the model's config."""
    if aspects is None:
        return []
    if aspects.strip() == ALL:
        if not known:
            raise ModelError(
                f"--aspects {ALL} needs a model whose config.json lists its aspects, got {model} "
                "without — name them: --aspects acting,story"
            )
        return known
    names = list(dict.fromkeys(name for part in aspects.split(",") if (name := part.strip())))
    if not names or known and set(names) - set(known):
        raise ModelError(
            f"--aspects must be {ALL}, or names separated by commas"
            f"{' of ' + ', '.join(known) if known else ''}, got {aspects!r}"
        )
    return names
