"""The recipe: every setting of a run, validated.

In: a YAML file and `key=value` overrides. Out: a frozen `Recipe`, or a `RecipeError` with every
broken rule. All defaults of a run are here, so a saved recipe describes the run completely.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from space.inference.labels import label_values
from train import plain_yaml
from train.errors import RecipeError, shorten
from train.sections import (
    STEPS,
    Count,
    Dataset,
    DataStep,
    Distillation,
    HubIdOrPath,
    LearningRate,
    Section,
    Step,
    Teach,
    is_local,
)

RECIPES = Path(__file__).parent / "recipes"

Fraction = Annotated[float, Field(gt=0, le=0.5)]  # split off by folds, at least two
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what numpy takes
Required = Annotated[Step, Field(discriminator="step")]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Recipe(Section):
    """One run: data, base model, and every setting of the training."""

    name: str = Field(
        max_length=50,  # file names derived from it stay under 255 bytes
        pattern=r"^[A-Za-z0-9][\w.-]*$",
        description="name of the run folder",
    )
    language: str = Field(
        "en", description="language code of the reviews, for the model card and config.json"
    )
    license: str = Field("apache-2.0", description="license of the published weights")
    labels: Annotated[list[str], Field(min_length=2)] = Field(
        ["NEGATIVE", "POSITIVE"], description="label names, in the order of the model's outputs"
    )
    ordered: bool = Field(
        False,
        description="the labels are steps of a scale, such as stars: each name begins with its "
        "number, in ascending order; adds metrics of the distance between label and prediction",
    )

    datasets: Annotated[list[Dataset], Field(min_length=1)]
    validation_fraction: Fraction = Field(
        0.1, description="share of the training reviews, if split off from them"
    )
    test_fraction: Fraction = Field(
        0.1, description="share of the training reviews, if split off from them"
    )
    split_seed: Seed = Field(0, description="seed of the splitting, independent of `seed`")
    max_train: Count | None = Field(None, description="maximum number of training reviews")
    max_validation: Count | None = Field(None, description="maximum number of validation reviews")
    max_test: Count | None = Field(None, description="maximum number of test reviews")

    base_model: HubIdOrPath = Field(description="Hub id or folder of the pre-trained encoder")
    base_revision: str | None = Field(None, description="commit or tag of the base model")
    base_note: str | None = Field(
        None, description="a sentence for the model card, such as how the base's weights were made"
    )
    max_position_embeddings: int = Field(
        4096, ge=16, le=32768, multiple_of=8, description="maximum tokens of the published model"
    )
    trim_vocabulary: bool = Field(
        False,
        description="keep only the tokens of the training reviews, single characters and special "
        "tokens: a smaller model with the same answers on such reviews",
    )
    max_tokens: int = Field(512, ge=16, description="maximum tokens of a review in training")
    truncation: Literal["head", "head_tail"] = Field(
        "head_tail", description="what is kept of a review of more than `max_tokens`"
    )

    distillation: Distillation | None = Field(
        None, description="train on a teacher's probabilities in addition to the labels"
    )

    requires: list[Required] = Field([], description="steps to do before the run, in order")
    requires_sha256: str | None = Field(
        None, description="digest of all required steps; set when the run starts"
    )

    seed: Seed = Field(0, description="seed of the classifier head, the order and the dropout")
    dropout: Dropout = Field(0.1, description="share of hidden values dropped in training")
    attention_dropout: Dropout = Field(
        0.0,
        description="share of attention weights dropped; above 0, attention is slow on a CPU",
    )
    precision: Literal["auto", "fp16", "bf16", "fp32"] = Field(
        "auto", description="auto: fp16 on CUDA, bf16 on a CPU where it is faster, else fp32"
    )
    epochs: int = Field(3, ge=1, le=1000, description="passes over the training reviews")
    batch_tokens: int = Field(
        8192, ge=16, description="padded tokens of one update, in all processes together"
    )
    micro_batch_tokens: int | None = Field(
        None,
        ge=16,
        description="padded tokens of one forward pass; an update is split into several; null: "
        "2,048 on a CPU, the whole update on a GPU",
    )
    learning_rate: LearningRate = Field(
        5e-5, description="peak for the encoder, usually 2e-5 to 2e-4"
    )
    head_learning_rate: LearningRate | None = Field(
        None,
        description="peak for the classifier head, usually 1 to 10 times `learning_rate`; null: "
        "the same as `learning_rate`",
    )
    weight_decay: float = Field(0.01, ge=0, lt=1, description="of AdamW; none on biases and norms")
    warmup_fraction: float = Field(
        0.1, ge=0, lt=1, description="share of updates with warm-up; then the rate falls linearly"
    )
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    evaluations_per_epoch: Count = Field(1, description="evenly spaced validations in an epoch")
    early_stopping_patience: Count | None = Field(
        None, description="stop after this many validations without a lower loss"
    )
    checkpoint_every: Count = Field(200, description="updates between checkpoints")

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: list[str]) -> list[str]:
        if not all(label.strip() for label in labels):
            raise ValueError(f"must be names, got an empty one in {labels}")
        if len({label.casefold() for label in labels}) < len(labels):
            raise ValueError(f"must be different from each other, got {labels}")
        return labels

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.ordered and label_values(self.labels) is None:
            raise ValueError(
                "labels must begin with ascending numbers if ordered is true, such as `1 star` and "
                f"`2 stars`, got {self.labels}"
            )
        if self.max_tokens > self.max_position_embeddings:
            raise ValueError(
                "max_tokens must be at most max_position_embeddings "
                f"({self.max_position_embeddings}), got {self.max_tokens}: "
                "training can't use more tokens than the model reads"
            )
        for dataset in self.datasets:
            targets = dataset.label_targets().values()
            unknown = {name for target in targets for name in target or {}} - set(self.labels)
            if unknown:
                raise ValueError(
                    f"label_map must map to one of {self.labels} or null, got {sorted(unknown)}"
                )
            if dataset.label is None and (self.distillation is None or dataset.splits != ["train"]):
                raise ValueError(
                    f"{dataset.source} has `label: null`: this needs `splits: [train]` and a "
                    "`distillation` section, whose teacher labels the rows"
                )
        if self.distillation is None and any(isinstance(step, Teach) for step in self.requires):
            raise ValueError(
                "requires has a step `teach`: this needs a `distillation` section, which names the "
                "file"
            )
        if len({d.text_pair is None for d in self.datasets}) > 1:
            raise ValueError("text_pair must be set for all datasets or for none")
        if self.has_pairs and self.truncation == "head":
            raise ValueError(
                "truncation must be head_tail for text pairs: head removes the second text"
            )
        return self

    @property
    def base_is_local(self) -> bool:
        """Whether `base_model` is a folder rather than a model on the Hub."""
        return is_local(self.base_model)

    @property
    def languages(self) -> list[str]:
        """The language codes of all datasets, each once, in their order."""
        return list(dict.fromkeys(d.language or self.language for d in self.datasets))

    @property
    def evaluation_split(self) -> str:
        """The split of the final metrics: `test`, or `validation` without a test split."""
        return "test" if any("test" in d.splits for d in self.datasets) else "validation"

    @property
    def values(self) -> list[float] | None:
        """The number of each label if they are ordered."""
        return label_values(self.labels) if self.ordered else None

    @property
    def has_pairs(self) -> bool:
        """Whether the model classifies pairs of texts."""
        return self.datasets[0].text_pair is not None


def load(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        path: A YAML file, or the bare name of one in `train/recipes/`.
        overrides: `key=value` pairs; the value is YAML. A dotted key reaches into a section:
            `datasets.source=my.csv` sets it in every dataset, `datasets.1.source=…` in the second.
            Another `base_model` is read at its newest commit, unless `base_revision` is set too.

    Raises:
        RecipeError: The file is missing or not YAML, a key is unknown or a value breaks its rule.
    """
    file = find_file(path)
    values = plain_yaml.read(file)
    if not isinstance(values, dict):
        raise RecipeError(f"{file} must hold `key: value` lines, got {type(values).__name__}")
    for text in overrides or []:
        plain_yaml.override(values, text)
    keys = [text.partition("=")[0].strip() for text in overrides or []]
    if "base_model" in keys and "base_revision" not in keys:
        values.pop("base_revision", None)  # a commit of the recipe's own base model
    return parse(values, f"{file} with --set {', '.join(keys)}" if keys else str(file))


def find_file(path: str | Path) -> Path:
    """The file of a recipe, given by path or by name; see `load`.

    Raises:
        RecipeError: There is no such file.
    """
    # os.path returns False where Path raises, for example for a name of 5,000 characters.
    for file in [str(path), str(RECIPES / f"{path}.yaml")]:
        if os.path.isfile(file):
            return Path(file)
    known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
    problem = "is a folder" if os.path.isdir(path) else "is no recipe"
    raise RecipeError(f"{shorten(path)} {problem} — give a YAML file, or one of: {known}")


def read_header(path: str | Path) -> dict[str, str]:
    """The comments at the top of a recipe by key: `cost`, `hardware`, `expected`, `command`."""
    header: dict[str, str] = {}
    for line in find_file(path).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"# (\w+): +(\S.*)$", line):
            header[match[1]] = match[2]
        elif header and (continuation := re.match(r"# {8,}(\S.*)$", line)):
            header[list(header)[-1]] += f" {continuation[1]}"
        elif not line.startswith("#"):
            break
    return header


AnySection = TypeVar("AnySection", bound=Section)


def parse(values: Any, origin: str = "recipe") -> Recipe:
    """Validate a mapping as a recipe; see `load`."""
    return parse_section(Recipe, values, origin)


def parse_section(kind: type[AnySection], values: Any, origin: str) -> AnySection:
    """Validate a mapping as a recipe or a section of one.

    Args:
        kind: The class of the section.
        values: The mapping, as plain values.
        origin: What the mapping is, for the first line of the error message.

    Raises:
        RecipeError: One line for each rule that is broken.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(detail, kind)}" for detail in error.errors())
        raise RecipeError(f"{origin}:\n{lines}") from None


def parse_step(values: dict[str, Any]) -> DataStep:
    """Validate a data step, as it is written under `requires`."""
    step = parse_section(STEPS[values["step"]], values, values["step"])
    assert isinstance(step, DataStep)
    return step


def parse_dataset(source: str, overrides: list[str]) -> Dataset:
    """Validate a dataset to evaluate on, given by its source and `key=value` overrides.

    Raises:
        RecipeError: A key is unknown, a value breaks its rule, or `label` is null.
    """
    values: dict[str, Any] = {"source": source}
    for override in overrides:
        # Error messages about the datasets of a recipe name keys with this prefix.
        has_prefix = override.startswith("datasets.")
        plain_yaml.override({"datasets": [values]} if has_prefix else values, override)
    dataset = parse_section(Dataset, values, "--dataset with --set")
    if dataset.label is None:
        raise RecipeError("label must name a column to evaluate on, got null — remove it")
    return dataset


def dump(recipe: Recipe) -> str:
    """The recipe as YAML, with every default."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def _explain(detail: Any, root: type[Section]) -> str:
    """A pydantic error as one line: rule, value seen and remedy."""
    *sections, leaf = detail["loc"] or ("recipe",)
    kinds: dict[str, type[Section]]
    kinds = {"datasets": Dataset, "distillation": Distillation, **STEPS}
    section = next((kind for name, kind in kinds.items() if name in sections), root)
    where = shorten(".".join(str(part) for part in detail["loc"])) or "recipe"
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(leaf), section.model_fields, n=1)
        if close:
            return f"unknown key {where!r} — did you mean {close[0]!r}?"
        known = "" if section is Recipe else f" — valid keys: {', '.join(section.model_fields)}"
        return f"unknown key {where!r}{known}"
    if detail["type"] == "missing":
        about = section.model_fields[str(leaf)].description or "see train/recipes/imdb.yaml"
        return f"{where} is missing ({about})"
    if detail["type"].startswith("union_tag"):
        got = shorten(repr(detail["input"]))
        return f"{where} must have a `step` that is one of {', '.join(STEPS)}, got {got}"
    if detail["type"] == "value_error":
        reason = str(detail["ctx"]["error"])
        return shorten(f"{where} {reason}" if detail["loc"] else reason, 600)
    rule = re.sub(r"^(Input|Value|String|List) should ", "must ", detail["msg"])
    field = section.model_fields.get(str(leaf))
    about = f" ({field.description})" if field and field.description else ""
    value = detail["input"]
    is_rate = str(leaf).endswith("learning_rate") and isinstance(value, int | float)
    hint = f" — did you mean {value:g}e-5?" if is_rate and 1 < value < 1000 else ""
    return f"{where} {rule}, got {shorten(repr(value))}{about}{hint}"
