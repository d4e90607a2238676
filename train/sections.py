"""The sections of a recipe beside its datasets: sources, adaptation, distillation, required steps.

Each is a part of the YAML file, checked by pydantic; `train.recipe` puts them together.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FILES = [".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt", ".gz"]
JSONL = "the JSONL file to write"

Count = Annotated[int, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]


def is_local(source: str) -> bool:
    """Whether a string names a file or folder here rather than a repository on the Hub."""
    return is_path(source) or os.path.exists(source)


def is_path(source: str) -> bool:
    """Whether a string can only be meant as a path, as no repository is named so."""
    odd = source.startswith((".", "/", "~")) or source.endswith("/") or "\\" in source
    return odd or source.count("/") > 1


def is_commit(revision: str | None) -> bool:
    """Whether a revision names a commit, which never changes, rather than a tag or a branch."""
    return re.fullmatch(r"[0-9a-f]{40}", revision or "") is not None


def shown(source: str, local: bool) -> str:
    """A Hub id as it is; of a local path only the last part, for nobody needs to know the rest."""
    return Path(source).name if local else source


class Section(BaseModel):
    """A part of a recipe: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(Section):
    """Where rows come from: a dataset on the Hub, a file or a folder."""

    source: str = Field(
        min_length=1, description="a Hub dataset id, or a CSV, TSV, JSONL, Parquet file or folder"
    )
    revision: str | None = Field(None, description="commit or tag of a Hub dataset")
    config: str | None = Field(None, description="configuration of a Hub dataset that has several")

    @property
    def is_local(self) -> bool:
        """Whether `source` names a file or folder rather than a Hub dataset."""
        return is_local(self.source) or Path(self.source).suffix.lower() in FILES


class Corpus(Source):
    """Where texts without labels come from."""

    split: str = Field("unsupervised", description="the split to read; a single file is `train`")
    text: str = Field("text", description="column of the text")


class Adaptation(Section):
    """Masked-language modelling on unlabelled texts, before the fine-tuning."""

    corpora: Annotated[list[Corpus], Field(min_length=1)]
    with_train: bool = Field(True, description="read the training reviews too, without labels")
    max_texts: Count | None = Field(None, description="read at most so many texts")
    validation_texts: Count = Field(500, description="texts to measure the perplexity on")
    mask_fraction: float = Field(0.15, gt=0, lt=1, description="share of tokens to guess")
    epochs: int = Field(1, ge=1, le=1000, description="passes over the texts")
    max_tokens: int = Field(256, ge=16, description="longer texts are read in parts")
    batch_tokens: int = Field(16384, ge=16, description="padded tokens of one update")
    learning_rate: LearningRate = Field(2e-4, description="peak for the encoder")
    head_learning_rate: LearningRate | None = Field(None, description="peak for the word head")
    warmup_fraction: float = Field(0.05, ge=0, lt=1, description="share of updates that warm up")
    checkpoint_every: Count = Field(100, description="updates between checkpoints")

    def training(self) -> dict[str, Any]:
        """What it says of the training loop, under the recipe's own keys."""
        keys = ["epochs", "max_tokens", "batch_tokens", "learning_rate", "head_learning_rate"]
        keys += ["warmup_fraction", "checkpoint_every"]
        plain = {"evaluations_per_epoch": 2, "early_stopping_patience": None}
        return {key: getattr(self, key) for key in keys} | plain


class Distillation(Section):
    """Training on a teacher's probabilities beside the labels (Hinton et al. 2015, 1503.02531)."""

    probabilities: str = Field(
        min_length=1, description="Parquet file that `train teach` has written"
    )
    weight: float = Field(
        0.9, gt=0, le=1, description="of the teacher's probabilities; the labels have the rest"
    )
    temperature: float = Field(
        1.0, gt=0, le=20, description="by which the logits of both are divided in its loss"
    )


class Run(Section):
    """A run of another recipe, in `runs/NAME`."""

    step: Literal["run"]
    recipe: str = Field(min_length=1, description="a YAML file, or a name in train/recipes")


class Patterns(Section):
    """Invented sentences with negation, contrast and hedges: a folder of splits."""

    step: Literal["patterns"]
    out: str = Field("runs/patterns", min_length=1, description="the folder to write")
    max_rows: Count | None = Field(None, description="maximum rows of each file; null: all")
    seed: int = Field(0, description="the same seed gives the same rows")


class CutSentences(Corpus):
    """Sentences of texts without labels, for a teacher to label."""

    step: Literal["cut-sentences"]
    out: str = Field("runs/cut-sentences/train.jsonl", min_length=1, description=JSONL)
    max_sentences: Count = Field(100_000, description="maximum sentences, drawn at random")


class Sentences(Section):
    """Labelled sentences of a run's training reviews."""

    step: Literal["sentences"]
    run: str = Field(min_length=1, description="the run folder")
    out: str = Field("runs/sentences/train.jsonl", min_length=1, description=JSONL)
    min_confidence: float = Field(
        0.98, ge=0.5, le=1, description="minimum probability of the review's label"
    )
    max_per_review: Count = Field(2, description="maximum sentences of one review")
    max_sentences: int = Field(20_000, ge=2, description="maximum sentences in all")


class PseudoLabels(Corpus):
    """Texts without labels, labelled by a run's model and a bag of n-grams."""

    step: Literal["pseudo-labels"]
    run: str = Field(min_length=1, description="the run folder")
    out: str = Field("runs/pseudo-labels/train.jsonl", min_length=1, description=JSONL)


class Teach(Section):
    """Teachers' probabilities for the recipe's training texts, in the file of `distillation`."""

    step: Literal["teach"]
    teachers: Annotated[list[str], Field(min_length=1)] = Field(description="run folders")


Made = Patterns | CutSentences | Sentences | PseudoLabels | Teach  # by one process, in one go
Step = Run | Made
MADE: dict[str, type[Made]] = {
    "patterns": Patterns,
    "cut-sentences": CutSentences,
    "sentences": Sentences,
    "pseudo-labels": PseudoLabels,
    "teach": Teach,
}
STEPS: dict[str, type[Section]] = {"run": Run, **MADE}
