"""The sections of a recipe: datasets, distillation, required steps.

In: a part of the YAML file. Out: a frozen pydantic model. `train.recipe` combines them.
"""

import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

FOLDER_FILES = [".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt", ".gz"]
FILES = [*FOLDER_FILES, ".xlsx", ".zip"]  # these two are read only if they are named themselves
FORMATS = "CSV, TSV, JSON, JSONL, Parquet, Excel or ZIP"  # in help texts

SplitName = Literal["train", "validation", "test"]
Count = Annotated[int, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]


def is_local(source: str) -> bool:
    """Whether a string is a local file or folder rather than a repository on the Hub."""
    return is_path(source) or os.path.exists(source)


def is_path(source: str) -> bool:
    """Whether a string can only be a path, because it is no valid repository name."""
    has_path_syntax = source.startswith((".", "/", "~")) or source.endswith("/") or "\\" in source
    return has_path_syntax or source.count("/") > 1


def _check_no_url(source: str) -> str:
    if "://" in source:
        raise ValueError(
            f"must be an id on the Hub (user/name) or a path, got the URL {source}: download the "
            "file first"
        )
    return source


HubIdOrPath = Annotated[str, Field(min_length=1), AfterValidator(_check_no_url)]


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a commit hash, which never changes, rather than a tag or a branch."""
    return re.fullmatch(r"[0-9a-f]{40}", revision or "") is not None


def public_name(source: str, is_local: bool) -> str:
    """The name to publish: a Hub id unchanged, of a local path only the last part."""
    return Path(source).name if is_local else source


class Section(BaseModel):
    """A part of a recipe: immutable; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(Section):
    """A source of rows: a dataset on the Hub, a file or a folder."""

    source: HubIdOrPath = Field(description=f"a Hub dataset id, a file ({FORMATS}), or a folder")
    revision: str | None = Field(None, description="commit or tag of a Hub dataset")
    config: str | None = Field(None, description="configuration of a Hub dataset with several")

    @property
    def is_local(self) -> bool:
        """Whether `source` is a file or folder rather than a Hub dataset."""
        return is_local(self.source) or Path(self.source).suffix.lower() in FILES


def label_key(value: Any) -> str:
    """A label as text, as in `label_map`: 4.0 and 4 both give "4", None and NaN give ""."""
    if value is None or value != value:  # NaN
        return ""
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", str(value).strip())


def _is_soft_label(value: Any) -> bool:
    """Whether a value is one probability by name, or several that add up to 1."""
    shares = list(value.values()) if isinstance(value, dict) else []
    if not shares or not all(isinstance(s, int | float) and 0 < s <= 1 for s in shares):
        return False
    return len(shares) == 1 or math.isclose(sum(shares), 1, abs_tol=1e-6)


class Dataset(Source):
    """A source of labeled reviews, and the meaning of its columns."""

    text: str = Field("text", description="column of the review")
    text_pair: str | None = Field(None, description="column of a second text, for text pairs")
    label: str | None = Field(
        "label",
        description="column of the label; null: the rows are unlabeled, and train on the "
        "teacher's probabilities only",
    )
    label_map: dict[str, str | dict[str, float] | None] | None = Field(
        None,
        description="value in the label column -> label name, or probabilities as a soft label: "
        "{name: probability} with the rest spread evenly over the other labels, or {name: "
        "probability, …} of several that add up to 1; null drops the row",
    )
    group: str | None = Field(
        None, description="column, such as a film's title, whose values no two splits share"
    )
    slice_by: list[str] = Field(
        [], description="columns by whose values the test accuracy is reported, if they exist"
    )
    train: str = Field("train", description="split to train on")
    validation: str | None = Field(
        None,
        description="split to validate on; null: `validation` if there is one; without one, or "
        "with the value of `train`, split off from the training reviews",
    )
    test: str | None = Field(
        None, description="split to test on once; null and the value of `train` as in `validation`"
    )
    splits: Annotated[list[SplitName], Field(min_length=1)] = Field(
        ["train", "validation", "test"],
        description="splits that its rows may go to; without `test` in any dataset the final "
        "metrics are of `validation`",
    )
    language: str | None = Field(
        None,
        pattern="^[a-z]{2,3}$",
        description="language code of its texts; null: the `language` of the recipe. With several "
        "languages the test accuracy is also reported by language",
    )
    weight: float = Field(
        1.0, gt=0, le=100, description="mean number of times that an epoch uses each training row"
    )
    on_empty: Literal["error", "skip"] = Field("error", description="what to do with empty reviews")

    @field_validator("label_map", mode="before")
    @classmethod
    def _text_keys(cls, value: Any) -> Any:
        # YAML reads `1:` as an integer; labels are compared as text.
        if not isinstance(value, dict):
            return value
        keys = [label_key(key) for key in value]
        if repeated := [key for number, key in enumerate(keys) if key in keys[:number]]:
            raise ValueError(f"must have each value once, got {repeated[0]!r} in two spellings")
        return dict(zip(keys, value.values(), strict=True))

    @field_validator("label_map", mode="before")
    @classmethod
    def _check_targets(cls, value: Any) -> Any:
        for target in value.values() if isinstance(value, dict) else []:
            if not (target is None or isinstance(target, str) or _is_soft_label(target)):
                raise ValueError(
                    "must map to a label name, to {name: probability} with a probability above 0 "
                    "and at most 1, to several that add up to 1, or to null, got "
                    f"{target!r}"
                )
        return value

    @model_validator(mode="after")
    def _check_splits(self) -> Self:
        if self.test not in {None, self.train} and self.test == self.validation:
            raise ValueError(
                f"validation and test must be different splits, got {self.test!r} for both: remove "
                "validation to split it off from train, or set splits to [train, validation] for "
                "a run without a test split"
            )
        return self

    def label_targets(self) -> dict[str, dict[str, float] | None]:
        """`label_map` as key → label names and their probabilities; None drops the row."""
        return {
            key: {value: 1.0} if isinstance(value, str) else value
            for key, value in (self.label_map or {}).items()
        }


class Distillation(Section):
    """Training on a teacher's probabilities (Hinton et al. 2015, https://arxiv.org/abs/1503.02531)."""

    probabilities: str = Field(min_length=1, description="Parquet file that `train teach` writes")
    weight: float = Field(
        0.9, gt=0, le=1, description="weight of the teacher's loss; the labels' loss has the rest"
    )
    temperature: float = Field(
        1.0, gt=0, le=20, description="divides the logits of teacher and student"
    )


class RunStep(Section):
    """A run of another recipe, in `runs/NAME`."""

    step: Literal["run"]
    recipe: str = Field(min_length=1, description="a YAML file, or a name in train/recipes")
    set: list[str] = Field(
        [],
        description="changes to that recipe, as `key=value`; with another `name` it is a run of "
        "its own",
    )


class Patterns(Section):
    """Generated sentences with negation, contrast and hedges: a folder of splits."""

    step: Literal["patterns"]
    out: str = Field("runs/patterns", min_length=1, description="the folder to write")
    max_rows: Count | None = Field(None, description="maximum rows of each file; null: all")
    seed: int = Field(0, description="the same seed gives the same rows")


class CutSentences(Source):
    """Sentences cut from unlabeled texts, for a teacher to label."""

    step: Literal["cut-sentences"]
    split: str = Field("unsupervised", description="split to read; `train` for a single file")
    text: str = Field("text", description="column of the text")
    out: str = Field(
        "runs/cut-sentences/train.jsonl", min_length=1, description="the JSONL file to write"
    )
    max_sentences: Count = Field(100_000, description="maximum sentences, drawn at random")


class AspectPairs(Source):
    """Pairs of a review and an aspect of the film, of reviews whose aspects are rated."""

    step: Literal["aspect-pairs"]
    text: str = Field("text", description="column of the text")
    aspects: str = Field("aspects", description="column with lists of `aspect` and `polarity`")
    group: str | None = Field("title", description="column to keep, such as a film's title")
    out: str = Field("runs/aspect-pairs", min_length=1, description="the folder to write")


class AspectContrasts(Section):
    """Generated texts of several opinions about different aspects: a folder of splits."""

    step: Literal["aspect-contrasts"]
    out: str = Field("runs/aspect-contrasts", min_length=1, description="the folder to write")
    texts: Count = Field(12_000, description="texts of training; validation has 5% of it")
    seed: int = Field(0, description="the same seed gives the same texts")


class AspectSentences(Source):
    """Sentences that name an aspect of the film, labeled by a teacher where it is sure."""

    step: Literal["aspect-sentences"]
    split: str = Field("train", description="split to read")
    text: str = Field("text", description="column of the text")
    teacher: str = Field(min_length=1, description="run folder; labels NEGATIVE and POSITIVE")
    min_confidence: float = Field(0.9, gt=0.5, lt=1, description="minimum probability of a label")
    max_sentences: Count = Field(20_000, description="maximum sentences that the teacher reads")
    out: str = Field(
        "runs/aspect-sentences/train.jsonl", min_length=1, description="the JSONL file to write"
    )


class Teach(Section):
    """Teachers' probabilities of the recipe's training texts, in the file of `distillation`."""

    step: Literal["teach"]
    teachers: Annotated[list[str], Field(min_length=1)] = Field(description="run folders")


# Steps that write one output, in the first process; a `RunStep` trains in all processes.
DataStep = Patterns | CutSentences | AspectPairs | AspectContrasts | AspectSentences | Teach
Step = RunStep | DataStep
STEPS: dict[str, type[Section]] = {
    "run": RunStep,
    "patterns": Patterns,
    "cut-sentences": CutSentences,
    "aspect-pairs": AspectPairs,
    "aspect-contrasts": AspectContrasts,
    "aspect-sentences": AspectSentences,
    "teach": Teach,
}
