"""Facts about the loaded model, from its own Hub repository.

In: the loaded classifier. Out: `Facts` (results.json, model card, plots) and the table rows and
sentences that the About tab shows. What a repository lacks is reported as a sentence.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import yaml
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # it is httpx2's
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.download import error_message

RESULTS, CARD, PLOTS = "results.json", "README.md", "plots/*.png"
MAX_BYTES = 10 * 2**20  # of each file that is shown
MAX_PLOTS = 8
TIMEOUT_SECONDS = 10
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*)")
LIMITATIONS = re.compile(r"limit|intended use|out.of.scope|bias|risk|caveat", re.IGNORECASE)
PLOT_CAPTIONS = {
    "confusion": "Confusion matrix on the {split} set",
    "reliability": "Reliability diagram on the {split} set: predicted probability and accuracy",
    "training": "Training curves",
}


@dataclass(frozen=True)
class Facts:
    """What a repository says about its model; `missing` has a sentence for each part it lacks."""

    repo_id: str
    commit: str
    file: str  # name of the ONNX file that this app runs
    results: dict[str, Any] = field(default_factory=dict)  # results.json
    metadata: dict[str, Any] = field(default_factory=dict)  # front matter of the card
    card: str = ""  # Markdown, without the front matter
    plots: dict[str, bytes] = field(default_factory=dict)  # PNG images by caption
    missing: list[str] = field(default_factory=list)
    engine: str = ""  # that runs the file, and why

    @property
    def split(self) -> str:
        """The split of the final metrics: `test`, or `validation` without a test split."""
        return _evaluation_split(self.results)

    @property
    def url(self) -> str:
        """Page of this revision on the Hub."""
        return f"{constants.ENDPOINT}/{self.repo_id}/tree/{self.commit}"


class FactsLoader:
    """Downloads the facts about the loaded model on first use and caches them."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._facts: Facts | None = None
        self._loading = Lock()

    def load(self) -> Facts:
        """Facts about the loaded revision.

        Raises:
            ModelUnavailable: There is no model, or the Hub does not answer and the cache is
                incomplete.
        """
        with self._loading:
            model = self._classifier.load()
            repo_id, commit = self._classifier.repo_id, self._classifier.commit
            assert repo_id and commit
            if self._facts is None or self._facts.commit != commit:
                facts = read_facts(download(repo_id, commit), repo_id, commit, model.file.name)
                self._facts = replace(facts, engine=str(model.engine))
            return self._facts


def download(repo_id: str, commit: str) -> Path:
    """Download the files that the page shows into the cache; returns their folder.

    Raises:
        ModelUnavailable: The download fails and the cache has no complete copy.
    """
    snapshot = partial(
        snapshot_download, repo_id, revision=commit, allow_patterns=[RESULTS, CARD, PLOTS]
    )
    try:
        # Without this check, snapshot_download returns an incomplete cache while the Hub is down.
        HfApi().model_info(repo_id, revision=commit, timeout=TIMEOUT_SECONDS)
        return Path(snapshot())
    except (HTTPError, OSError) as error:
        with suppress(OSError):
            folder = Path(snapshot(local_files_only=True))
            if (folder / RESULTS).is_file() and (folder / CARD).is_file():
                return folder
        raise ModelUnavailable(
            error_message(error, repo_id, commit)
            or f"The Hub at {constants.ENDPOINT} does not answer, so this page can't show the "
            f"results of {repo_id}. Try again later."
        ) from error


def read_facts(folder: Path, repo_id: str, commit: str, file: str) -> Facts:
    """Facts from a local copy of a repository; accepts any content. See `Facts` for the rest."""
    missing: list[str] = []
    results = _parse(json.loads, _read_text(folder / RESULTS) or "{}")
    if not results:
        missing.append(_missing_file(folder, RESULTS, "JSON", "so there are no metrics to show"))
    text = _read_text(folder / CARD) or ""
    front_matter = REGEX_YAML_BLOCK.match(text)
    metadata = _parse(yaml.safe_load, front_matter[2]) if front_matter else {}
    card = text[front_matter.end() :] if front_matter else text
    if not card.strip():
        missing.append(_missing_file(folder, CARD, "text", "so its limitations are unknown"))
    plots = dict(_read_plots(folder, _evaluation_split(results)))
    if not plots:
        missing.append(f"The repository has no {PLOTS}, so there are no plots to show.")
    return Facts(repo_id, commit, file, results, metadata, card, plots, missing)


def lookup(values: object, *keys: str) -> Any:
    """The value under nested keys; None if any of them is missing."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def lookup_number(values: object, *keys: str) -> float | None:
    """The finite number under nested keys; None if there is none."""
    return _finite(lookup(values, *keys))


def headline_metrics(facts: Facts) -> list[tuple[str, str]]:
    """Formatted final metrics, each with a description; only those that results.json has."""
    measured = lookup(facts.results, "metrics", facts.split)
    rows = []
    if (accuracy := lookup_number(measured, "accuracy")) is not None:
        reviews, interval = (
            lookup_number(measured, "n"),
            _interval(lookup(measured, "accuracy_ci95")),
        )
        description = f"{facts.split} accuracy"
        description += f" on {reviews:,.0f} reviews" if reviews is not None else ""
        description += f" (95% interval {interval})" if interval else ""
        rows.append((f"{accuracy:.2%}", description))
    if (near := lookup_number(measured, "within_one")) is not None:  # of labels such as stars
        rows.append((f"{near:.2%}", "within one step of the label"))
    if (distance := lookup_number(measured, "mae")) is not None:
        rows.append((f"{distance:.2f}", "mean difference between the expected value and the label"))
    if (f1 := lookup_number(measured, "f1")) is not None:
        rows.append((f"{f1:.3f}", "F1"))
    if (ece := lookup_number(measured, "ece")) is not None:
        rows.append((f"{ece:.3f}", "expected calibration error (ECE) of the probabilities"))
    return rows


def accuracy_rows(facts: Facts, *keys: str) -> list[tuple[str, str, str]]:
    """Name, count and accuracy of each slice under nested keys of results.json."""
    slices = lookup(facts.results, *keys)
    rows = []
    for name, metrics in slices.items() if isinstance(slices, Mapping) else ():
        n, accuracy = lookup_number(metrics, "n"), lookup_number(metrics, "accuracy")
        if n is not None and accuracy is not None:
            rows.append((str(name).replace("_", " "), f"{n:,.0f}", f"{accuracy:.2%}"))
    return rows


def unsure_summary(facts: Facts) -> str:
    """When the model counts as unsure, and its accuracy there and elsewhere; may be empty."""
    unsure = lookup(facts.results, "error_analysis", "unsure")
    below, share = lookup_number(unsure, "below"), lookup_number(unsure, "share")
    if below is None or share is None:
        return ""
    inside = lookup_number(unsure, "accuracy_inside")
    outside = lookup_number(unsure, "accuracy_outside")
    is_ordered = lookup_number(facts.results, "metrics", facts.split, "within_one") is not None
    what = "within one step of the label" if is_ordered else "accuracy"
    accuracies = [f"{inside:.2%} {what} there"] if inside is not None else []
    accuracies += [f"{outside:.2%} on the rest"] if outside is not None else []
    return (
        f"The model is uncertain below a probability of {below:.2%}: {share:.2%} of the "
        f"{facts.split} reviews" + (f" ({', '.join(accuracies)})" if accuracies else "") + "."
    )


def _dataset_names(results: Any) -> list[str]:
    """The datasets of a run, each once; of a path on the author's machine only the last part."""
    names = lookup(results, "data", "repo")
    names = [name for name in (names if isinstance(names, list) else [names]) if name]
    short = (Path(name).name if name.startswith((".", "/")) else name for name in map(str, names))
    return list(dict.fromkeys(short))


def provenance(facts: Facts) -> list[tuple[str, str]]:
    """Where the model comes from: data, base model, license; results.json before the card."""
    recipe, card = lookup(facts.results, "recipe"), facts.metadata
    data = _join(_dataset_names(facts.results)) or _join(card.get("datasets"))
    reviews = lookup_number(facts.results, "data", "splits", "train", "rows")
    size = f"{reviews:,.0f} reviews" if reviews is not None else ""
    rows = [
        ("Training data", ": ".join(filter(None, [data, size]))),
        *(
            (key.replace("_", " ").capitalize(), _join(first) or _join(second))
            for key, first, second in (
                ("base_model", lookup(recipe, "base_model"), card.get("base_model")),
                # A recipe also has languages of its datasets.
                ("language", card.get("language"), lookup(recipe, "language")),
                ("license", lookup(recipe, "license"), card.get("license")),
            )
        ),
        ("Revision", facts.commit),
        ("ONNX file", facts.file),
        ("Engine", facts.engine),
    ]
    return [row for row in rows if row[1]]


def limitations(card: str) -> str:
    """The sections of a model card on intended use and limitations, as Markdown."""
    kept, level, fenced = [], 0, False  # level: of the heading whose section is kept
    for line in card.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else HEADING.match(line)
        if heading and (not level or len(heading[1]) <= level):
            level = len(heading[1]) if LIMITATIONS.search(heading[2]) else 0
        if level:
            kept.append(line)
    return "\n".join(kept).strip()


def _read_text(path: Path) -> str | None:
    """Content of a UTF-8 file; None if it is missing, too large or not text."""
    try:
        return path.read_text("utf-8") if path.stat().st_size <= MAX_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _parse(parser: Callable[[str], Any], text: str) -> dict[str, Any]:
    """A JSON or YAML object; empty if the text is anything else."""
    try:
        content = parser(text)
    except (yaml.YAMLError, ValueError, RecursionError, ArithmeticError):
        return {}
    return content if isinstance(content, dict) else {}


def _missing_file(folder: Path, name: str, kind: str, consequence: str) -> str:
    if (folder / name).exists():
        return f"The repository's {name} can't be read as {kind}, {consequence}."
    return f"The repository has no {name}, {consequence}."


def _evaluation_split(results: object) -> str:
    """`train` evaluates validation if a run has no test split; without metrics: `test`."""
    metrics = lookup(results, "metrics")
    has_validation = isinstance(metrics, Mapping) and "validation" in metrics
    return "validation" if has_validation and "test" not in metrics else "test"


def _read_plots(folder: Path, split: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob(PLOTS))[:MAX_PLOTS]:
        if path.stat().st_size <= MAX_BYTES:
            image = path.read_bytes()
            if image.startswith(PNG_SIGNATURE):
                caption = path.stem.replace("_", " ").capitalize()
                yield PLOT_CAPTIONS.get(path.stem, caption).format(split=split), image


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _interval(bounds: object) -> str:
    numbers = [_finite(bound) for bound in bounds] if isinstance(bounds, list) else []
    if len(numbers) != 2 or None in numbers:
        return ""
    return f"{numbers[0]:.2%} to {numbers[1]:.2%}"


def _join(names: object) -> str:
    """One name or a list of names, separated by commas."""
    return ", ".join(str(n) for n in (names if isinstance(names, list) else [names]) if n)
