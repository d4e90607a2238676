"""Every number of a run, in one place, checked.

In: a YAML file and `key=value` overrides. Out: a frozen `Recipe`. Nothing else in the project
holds a default of a run, so that the recipe saved in a run folder says all there is to say.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from train import plain_yaml
from train.errors import RecipeError, shorten
from train.sections import (
    FILES,
    MADE,
    STEPS,
    Adaptation,
    Corpus,
    Count,
    Distillation,
    LearningRate,
    Made,
    Section,
    Source,
    Step,
    Teach,
    is_commit,
    is_local,
    is_path,
    public_name,
)

# What other modules take from here, which `sections` holds for the length of the files.
__all__ = ["FILES", "Adaptation", "Corpus", "Distillation", "Source"]
__all__ += ["is_commit", "is_local", "is_path", "public_name"]

RECIPES = Path(__file__).parent / "recipes"
# Options that did not pay (README, Results) and are gone -> the value that saved recipes may have.
RETIRED = {"layer_decay": 1.0, "average_decay": 0.0, "label_smoothing": 0.0}

Fraction = Annotated[float, Field(gt=0, le=0.5)]  # carved by folds, so at most one of two
SplitName = Literal["train", "validation", "test"]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what numpy takes
Required = Annotated[Step, Field(discriminator="step")]
Dropout = Annotated[float, Field(ge=0, lt=1)]


def label_key(value: Any) -> str:
    """A label as text, as `label_map` has it: 4.0 and 4 are the same star, None and NaN empty."""
    if value is None or value != value:  # NaN alone differs from itself
        return ""
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", str(value).strip())


def is_probability(value: Any) -> bool:
    """Whether a label may have it: a number above 0 and at most 1."""
    return isinstance(value, int | float) and 0 < value <= 1


class Dataset(Source):
    """Where labelled reviews come from, and which columns hold what."""

    text: str = Field("text", description="column of the review")
    text_pair: str | None = Field(None, description="column of a second text, for text pairs")
    label: str | None = Field(
        "label",
        description="column of the label; null: the rows have none, and train on the teacher's "
        "probabilities alone",
    )
    label_map: dict[str, str | dict[str, float] | None] | None = Field(
        None,
        description="value in the label column -> label name, or {name: probability} to train on "
        "that, the rest spread evenly over the other labels; null leaves the row out",
    )
    group: str | None = Field(
        None, description="column (a film's title or id) that splits must not share"
    )
    slice_by: list[str] = Field(
        [], description="columns by whose values the test accuracy is shown, where they are there"
    )
    train: str = Field("train", description="split to train on")
    validation: str | None = Field(
        None, description="split to choose on; null: its own or carved; that of `train`: carved"
    )
    test: str | None = Field(
        None, description="split to test on once; null: its own or carved; that of `train`: carved"
    )
    splits: Annotated[list[SplitName], Field(min_length=1)] = Field(
        ["train", "validation", "test"],
        description="what its rows may go into; with `test` in no dataset, nothing is tested on",
    )
    confidence: str | None = Field(
        None,
        description="column of the label's probability, where a model gave the label: it is "
        "trained on as such, the rest spread evenly over the other labels",
    )
    minimum: dict[str, float] = Field(
        {}, description="column -> least value; rows with less are left out"
    )
    weight: float = Field(
        1.0, gt=0, le=100, description="how often an epoch meets each training row, on average"
    )
    on_empty: Literal["error", "skip"] = Field("error", description="what to do with empty reviews")

    @field_validator("label_map", mode="before")
    @classmethod
    def _text_keys(cls, value: Any) -> Any:
        # YAML reads `1:` as an integer; labels are compared as text.
        if not isinstance(value, dict):
            return value
        keys = [label_key(key) for key in value]
        if twice := [key for number, key in enumerate(keys) if key in keys[:number]]:
            raise ValueError(f"must have each value once, got {twice[0]!r} in two spellings")
        return dict(zip(keys, value.values(), strict=True))

    @field_validator("label_map", mode="before")
    @classmethod
    def _label_or_probability(cls, value: Any) -> Any:
        for target in value.values() if isinstance(value, dict) else []:
            sure = list(target.values()) if isinstance(target, dict) else [1.0]
            known = target is None or isinstance(target, str | dict)
            if not known or len(sure) != 1 or not is_probability(sure[0]):
                raise ValueError(
                    "must lead to a label's name, to {name: probability} with a probability "
                    f"above 0 and at most 1, or to null, got {target!r}"
                )
        return value

    @model_validator(mode="after")
    def _probabilities_once(self) -> Self:
        if self.confidence and any(isinstance(v, dict) for v in (self.label_map or {}).values()):
            raise ValueError(
                f"confidence must be null where label_map gives probabilities, got "
                f"{self.confidence!r}"
            )
        return self

    @model_validator(mode="after")
    def _chosen_and_tested_apart(self) -> Self:
        if self.test not in {None, self.train} and self.test == self.validation:
            raise ValueError(
                f"validation and test must be different splits, got {self.test!r} for both: leave "
                "out validation to carve it from train, or set splits to [train, validation] to "
                "have no test split"
            )
        return self

    def mapped(self) -> dict[str, tuple[str, float] | None]:
        """`label_map` as key -> label name and its probability; None leaves the row out."""
        found: dict[str, tuple[str, float] | None] = {}
        for key, value in (self.label_map or {}).items():
            given = {value: 1.0} if isinstance(value, str) else value
            found[key] = next(iter(given.items())) if given else None
        return found


class Recipe(Section):
    """One run: data, base model, and every number of the training."""

    name: str = Field(
        max_length=50,  # with what is added to it, a file name of at most 255 bytes
        pattern=r"^[A-Za-z0-9][\w.-]*$",
        description="names the run folder",
    )
    language: str = Field("en", description="language code of the reviews, for the card")
    license: str = Field("apache-2.0", description="license of the published weights")
    labels: Annotated[list[str], Field(min_length=2)] = Field(
        ["NEGATIVE", "POSITIVE"], description="label names, in the order of the model's outputs"
    )

    datasets: Annotated[list[Dataset], Field(min_length=1)]
    validation_fraction: Fraction = Field(0.1, description="share of train, where carved")
    test_fraction: Fraction = Field(0.1, description="share of train, where carved")
    split_seed: Seed = Field(0, description="seed of the carving, apart from `seed`")
    max_train: Count | None = Field(None, description="train on at most so many reviews")
    max_validation: Count | None = Field(None, description="validate on at most so many reviews")
    max_test: Count | None = Field(None, description="test on at most so many reviews")

    base_model: str = Field(min_length=1, description="Hub id or folder of the pre-trained encoder")
    base_revision: str | None = Field(None, description="commit or tag of the base model")
    max_position_embeddings: int = Field(
        4096, ge=16, le=32768, multiple_of=8, description="tokens the published model reads"
    )
    max_tokens: int = Field(512, ge=16, description="tokens of a review read in training")
    truncation: Literal["head", "head_tail"] = Field(
        "head_tail", description="what is kept of a review beyond `max_tokens`"
    )

    adaptation: Adaptation | None = Field(
        None, description="masked-language modelling on unlabelled texts first"
    )

    distillation: Distillation | None = Field(
        None, description="train on a teacher's probabilities beside the labels"
    )

    requires: list[Required] = Field([], description="steps whose outputs the run needs, in order")
    requires_sha256: str | None = Field(
        None, description="of these steps and theirs, as they were: filled in when a run begins"
    )

    seed: Seed = Field(0, description="seed of the head, the order and the dropout")
    dropout: Dropout = Field(0.1, description="share of hidden values dropped in training")
    attention_dropout: Dropout = Field(
        0.0,
        description="share of attention weights dropped; above 0 a CPU can't fuse attention",
    )
    precision: Literal["auto", "fp16", "bf16", "fp32"] = Field(
        "auto", description="auto: fp16 on CUDA, bf16 on a CPU that has it, else fp32"
    )
    epochs: int = Field(3, ge=1, le=1000, description="passes over the training reviews")
    batch_tokens: int = Field(
        8192, ge=16, description="padded tokens of one update, over all processes"
    )
    micro_batch_tokens: int | None = Field(
        None,
        ge=16,
        description="padded tokens of one pass, into which an update is split for memory and "
        "speed; null: 2,048 on a CPU, the whole update on a GPU",
    )
    learning_rate: LearningRate = Field(5e-5, description="peak for the body, usually 2e-5 to 2e-4")
    head_learning_rate: LearningRate | None = Field(
        None, description="peak for the classifier, usually 1 to 10 times learning_rate"
    )
    weight_decay: float = Field(0.01, ge=0, lt=1, description="of AdamW; not on biases and norms")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="after warm-up")
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="share of updates that warm up")
    rdrop_alpha: float = Field(
        0.0, ge=0, description="R-Drop: weight of the divergence of two passes of each review"
    )
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    evaluations_per_epoch: Count = Field(1, description="validations, evenly spread over an epoch")
    early_stopping_patience: Count | None = Field(
        None, description="stop after so many validations without a lower loss"
    )
    checkpoint_every: Count = Field(200, description="updates between checkpoints")

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {k: v for k, v in values.items() if k not in RETIRED or v != RETIRED[k]}

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str]) -> list[str]:
        if len({label.casefold() for label in labels}) < len(labels):
            raise ValueError(f"must be different from each other, got {labels}")
        return labels

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_tokens > self.max_position_embeddings:
            raise ValueError(
                "max_tokens must be at most max_position_embeddings "
                f"({self.max_position_embeddings}), got {self.max_tokens}: "
                "the model can't train on more than it reads"
            )
        for dataset in self.datasets:
            unknown = {v[0] for v in dataset.mapped().values() if v} - set(self.labels)
            if unknown:
                raise ValueError(
                    f"label_map must lead to one of {self.labels} or null, got {sorted(unknown)}"
                )
            if dataset.label is None and (self.distillation is None or dataset.splits != ["train"]):
                raise ValueError(
                    f"{dataset.source} has `label: null`, so it needs `splits: [train]` and a "
                    "`distillation` section, whose teacher labels it"
                )
        if self.distillation is None and any(isinstance(step, Teach) for step in self.requires):
            raise ValueError(
                "requires has a step `teach`, so it needs a `distillation` section, which names "
                "the file"
            )
        if len({d.text_pair is None for d in self.datasets}) > 1:
            raise ValueError("text_pair must be set for all datasets or for none")
        if self.has_pairs and self.truncation == "head":
            raise ValueError("truncation must be head_tail for text pairs: head cuts off the pair")
        return self

    @property
    def base_is_local(self) -> bool:
        """Whether `base_model` names a folder rather than a model on the Hub."""
        return is_local(self.base_model)

    @property
    def evaluation_split(self) -> str:
        """What the final figures are of: `test` or, where no dataset has it, `validation`."""
        return "test" if any("test" in d.splits for d in self.datasets) else "validation"

    @property
    def has_pairs(self) -> bool:
        """Whether the model reads two texts at a time."""
        return self.datasets[0].text_pair is not None


def load(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        path: A YAML file, or the bare name of one in `train/recipes/`.
        overrides: `key=value` pairs; the value is YAML. A dotted key reaches into a section:
            `datasets.source=my.csv` sets it in every dataset, `datasets.1.source=…` in the second.

    Raises:
        RecipeError: The file is missing or not YAML, a key is unknown or a value breaks its rule.
    """
    file = existing(path)
    values = plain_yaml.read(file)
    if not isinstance(values, dict):
        raise RecipeError(f"{file} must hold `key: value` lines, got {type(values).__name__}")
    for text in overrides or []:
        plain_yaml.override(values, text)
    return parse(values, str(file))


def existing(path: str | Path) -> Path:
    """The file that is meant, which is there.

    `os.path` answers False where `Path` raises: for a name of 5,000 characters, say.
    """
    for file in [str(path), str(RECIPES / f"{path}.yaml")]:
        if os.path.isfile(file):
            return Path(file)
    known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
    found = "a folder is" if os.path.isdir(path) else "no recipe"
    raise RecipeError(f"{found} at {shorten(path)} — give a YAML file, or one of: {known}")


def header(path: str | Path) -> dict[str, str]:
    """What the comments at the top of a recipe say: cost, hardware, expected and command."""
    found: dict[str, str] = {}
    for line in existing(path).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"# (\w+): +(\S.*)$", line):
            found[match[1]] = match[2]
        elif found and (more := re.match(r"# {8,}(\S.*)$", line)):
            found[list(found)[-1]] += f" {more[1]}"
        elif not line.startswith("#"):
            break
    return found


AnySection = TypeVar("AnySection", bound=Section)


def parse(values: Any, origin: str = "recipe") -> Recipe:
    """Check a mapping and make it a recipe; see `load`."""
    return parse_section(Recipe, values, origin)


def parse_section(kind: type[AnySection], values: Any, origin: str) -> AnySection:
    """Check a mapping and make it a recipe or, with the same messages, a section of one."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(detail, kind)}" for detail in error.errors())
        raise RecipeError(f"{origin}:\n{lines}") from None


def parse_step(values: dict[str, Any]) -> Made:
    """Check a step that is no run, as it would stand under `requires`."""
    return parse_section(MADE[values["step"]], values, values["step"])


def dump(recipe: Recipe) -> str:
    """The recipe as YAML, every default spelled out."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def _explain(detail: Any, root: type[Section]) -> str:
    """One pydantic error as rule, value seen and remedy."""
    *sections, leaf = detail["loc"] or ("recipe",)
    inside: dict[str, type[Section]]
    inside = {"datasets": Dataset, "corpora": Corpus, "adaptation": Adaptation}
    inside |= {"distillation": Distillation, **STEPS}
    section = next((kind for name, kind in inside.items() if name in sections), root)
    where = shorten(".".join(str(part) for part in detail["loc"])) or "recipe"
    if detail["type"] == "extra_forbidden":
        if where in RETIRED:
            return f"{where} is gone: it did not pay — leave it out, or set it to {RETIRED[where]}"
        close = difflib.get_close_matches(str(leaf), section.model_fields, n=1)
        if close:
            return f"unknown key {where!r} — did you mean {close[0]!r}?"
        known = "" if section is Recipe else f" — known are {', '.join(section.model_fields)}"
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
    got = shorten(repr(detail["input"]))
    return f"{where} {rule}, got {got}{about}{_meant(str(leaf), detail['input'])}"


def _meant(leaf: str, value: Any) -> str:
    if leaf.endswith("learning_rate") and isinstance(value, int | float) and 1 < value < 1000:
        return f" — did you mean {value:g}e-5?"
    return ""
