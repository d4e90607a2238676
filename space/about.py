"""What is known of the model on the page, from its own repository: results, card and plots.

In: the classifier that is loaded. Out: `Facts`, pulled once, and rows, sentences and code for the
page; what a repository lacks is a sentence too.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import yaml
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # it is httpx2's

from space.inference.classifier import Classifier, ModelUnavailable
from space.inference.download import error_message

RESULTS, CARD, PLOTS = "results.json", "README.md", "plots/*.png"
MAX_BYTES = 10 * 2**20  # of a file that is shown
MAX_PLOTS = 8
TIMEOUT_SECONDS = 10
FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
PNG = b"\x89PNG\r\n\x1a\n"
HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*)")
LIMITS = re.compile(r"limit|intended use|out.of.scope|bias|risk|caveat", re.IGNORECASE)
PLOT_NAMES = {
    "confusion": "Confusion matrix on test",
    "reliability": "Reliability diagram on test: stated probability and share that is right",
    "training": "Training curves",
}

Row = tuple[str, str]


@dataclass(frozen=True)
class Facts:
    """What a repository says of its model; `missing` holds sentences on what it lacks."""

    repo_id: str
    commit: str
    file: str  # the ONNX file that answers here
    results: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)  # of the card
    card: str = ""  # Markdown, without the metadata
    plots: dict[str, bytes] = field(default_factory=dict)  # what each shows: PNG
    missing: list[str] = field(default_factory=list)

    @property
    def page(self) -> str:
        """Where the Hub shows this very revision."""
        return f"{constants.ENDPOINT}/{self.repo_id}/tree/{self.commit}"


class Source:
    """Pulls the facts of the loaded model when they are first asked for, and keeps them."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._facts: Facts | None = None
        self._pulling = Lock()

    def facts(self) -> Facts:
        """The facts of the revision that is loaded.

        Raises:
            ModelUnavailable: There is no model, or no Hub and not all of it in the cache.
        """
        with self._pulling:
            if self._facts is None:
                file = self._classifier.load().file.name
                repo_id, commit = self._classifier.repo_id, self._classifier.commit
                assert repo_id and commit
                self._facts = read(pull(repo_id, commit), repo_id, commit, file)
            return self._facts


def pull(repo_id: str, commit: str) -> Path:
    """Bring what is shown of a model into the cache; gives its folder.

    Raises:
        ModelUnavailable: The Hub does not give it or the cache does not take it, and not all of it
            is there already.
    """
    shown = [RESULTS, CARD, PLOTS]
    try:
        # It would take what is in the cache for all there is, where the Hub is away.
        HfApi().model_info(repo_id, revision=commit, timeout=TIMEOUT_SECONDS)
        return Path(snapshot_download(repo_id, revision=commit, allow_patterns=shown))
    except (HTTPError, OSError) as error:
        folder = _cached(repo_id, commit, shown)
        if folder and (folder / RESULTS).is_file() and (folder / CARD).is_file():
            return folder
        raise ModelUnavailable(
            error_message(error, repo_id, commit)
            or f"The Hub at {constants.ENDPOINT} does not answer, so there is nothing to show of "
            f"{repo_id}. Open this page again later."
        ) from error


def _cached(repo_id: str, commit: str, shown: list[str]) -> Path | None:
    try:
        return Path(
            snapshot_download(repo_id, revision=commit, allow_patterns=shown, local_files_only=True)
        )
    except OSError:
        return None


def read(folder: Path, repo_id: str, commit: str, file: str) -> Facts:
    """The facts in a copy of a repository, whatever is in it."""
    missing: list[str] = []
    results = _json(_text(folder / RESULTS))
    if not results:
        missing.append(_lacks(folder, RESULTS, "JSON", "so there are no figures to show"))
    text = _text(folder / CARD) or ""
    front = FRONT_MATTER.match(text)
    metadata = _yaml(front[1]) if front else {}
    card = text[front.end() :] if front else text
    if not card.strip():
        missing.append(_lacks(folder, CARD, "text", "so nothing is said of its limits"))
    plots = dict(_plots(folder))
    if not plots:
        missing.append(f"The repository has no {PLOTS}, so there are no plots to show.")
    return Facts(repo_id, commit, file, results, metadata, card, plots, missing)


def at(values: object, *keys: str) -> Any:
    """What stands under these keys; None where nothing does."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def number(values: object, *keys: str) -> float | None:
    """The finite number under these keys; None where there is none."""
    found = at(values, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if math.isfinite(found) else None


def headline(facts: Facts) -> list[Row]:
    """What the test reviews say: a figure and what it is, and only what is there."""
    test = at(facts.results, "metrics", "test")
    rows = []
    if (accuracy := number(test, "accuracy")) is not None:
        reviews, ends = number(test, "n"), _interval(at(test, "accuracy_ci95"))
        told = "accuracy on test"
        told += f", {reviews:,.0f} reviews" if reviews is not None else ""
        told += f" (95% interval {ends[0]} to {ends[1]})" if ends else ""
        rows.append((percent(accuracy), told))
    if (f1 := number(test, "f1")) is not None:
        rows.append((f"{f1:.3f}", "F1"))
    if (ece := number(test, "ece")) is not None:
        told = "ECE, the expected calibration error: how far its probabilities are from the truth"
        rows.append((f"{ece:.3f}", told))
    return rows


def shares(facts: Facts, *keys: str) -> list[tuple[str, str, str]]:
    """A name, how many, and how many of them right, for each part under these keys."""
    found = at(facts.results, *keys)
    rows = []
    for name, part in found.items() if isinstance(found, Mapping) else ():
        n, accuracy = number(part, "n"), number(part, "accuracy")
        if n is not None and accuracy is not None:
            rows.append((str(name).replace("_", " "), f"{n:,.0f}", percent(accuracy)))
    return rows


def unsure(facts: Facts) -> str:
    """When the model counts as unsure, and how right it is then and otherwise."""
    band = at(facts.results, "error_analysis", "unsure")
    below, share = number(band, "below"), number(band, "share")
    if below is None or share is None:
        return ""
    inside, outside = number(band, "accuracy_inside"), number(band, "accuracy_outside")
    sentence = (
        f"Under a probability of {percent(below)} it counts as unsure: {percent(share)} of the "
        "test reviews"
    )
    sentence += f", of which it gets {percent(inside)} right" if inside is not None else ""
    sentence += f"; of all others {percent(outside)}" if outside is not None else ""
    return sentence + "."


def origin(facts: Facts) -> list[Row]:
    """Where the model comes from: data, base model, license."""
    recipe, card = at(facts.results, "recipe"), facts.metadata
    data = ", ".join(_names(at(facts.results, "data", "repo")) or _names(card.get("datasets")))
    reviews = number(facts.results, "data", "splits", "train", "rows")
    counted = f"{reviews:,.0f} reviews" if reviews is not None else ""
    base = at(recipe, "base_model") or ", ".join(_names(card.get("base_model")))
    license = at(recipe, "license") or ", ".join(_names(card.get("license")))
    languages = ", ".join(_names(at(recipe, "language")) or _names(card.get("language")))
    rows = [
        ("Training data", ": ".join(filter(None, [data, counted]))),
        ("Base model", str(base)),
        ("Language", languages),
        ("License", str(license)),
        ("Revision", facts.commit),
        ("File that answers here", facts.file),
    ]
    return [row for row in rows if row[1]]


def limits(card: str) -> str:
    """The sections of a card on what the model is for and where it fails, as Markdown."""
    kept, level, fenced = [], 0, False
    for line in card.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else HEADING.match(line)
        if heading and (not level or len(heading[1]) <= level):
            level = len(heading[1]) if LIMITS.search(heading[2]) else 0
        if level:
            kept.append(line)
    return "\n".join(kept).strip()


def percent(value: float | None) -> str:
    """A share in percent; empty where there is none."""
    return "" if value is None else f"{value:.2%}"


def _text(path: Path) -> str | None:
    """A file's text; None where it is not there, too large or no text."""
    try:
        return path.read_text("utf-8") if path.stat().st_size <= MAX_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _yaml(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, ArithmeticError):
        return {}
    return found if isinstance(found, dict) else {}


def _lacks(folder: Path, name: str, kind: str, therefore: str) -> str:
    if (folder / name).exists():
        return f"The repository's {name} can't be read as {kind}, {therefore}."
    return f"The repository has no {name}, {therefore}."


def _plots(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob(PLOTS))[:MAX_PLOTS]:
        if path.stat().st_size <= MAX_BYTES and (image := path.read_bytes()).startswith(PNG):
            yield PLOT_NAMES.get(path.stem, path.stem.replace("_", " ").capitalize()), image


def _interval(ends: object) -> Row | None:
    numbers = [number({"end": end}, "end") for end in ends] if isinstance(ends, list) else []
    if len(numbers) != 2 or None in numbers:
        return None
    return percent(numbers[0]), percent(numbers[1])


def _names(found: object) -> list[str]:
    """One name or a list of them."""
    return [str(name) for name in (found if isinstance(found, list) else [found]) if name]
