"""Labels of a scale in the static Space: the same numbers as in the app."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from conftest import REPOSITORY

from space.inference.labels import (
    expected_value,
    in_order,
    label_values,
    sentiments,
    sides,
    support,
    unit,
)
from space.views.scale import side, step_style

LABELS = [
    ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"],
    ["0 points", "5 points", "10 points"],
    ["0.5 Stars", "1 Star", "1.5 Stars"],
    ["1_STAR", "2_STARS", "3_STARS"],
    ["NEGATIVE", "POSITIVE"],
    ["POSITIVE", "NEGATIVE"],
    ["positive", "neutral", "negative"],
    ["other", "positive"],
    ["cat", "dog", "bird"],
    ["0", "1", "2"],
    ["LABEL_0", "LABEL_1", "LABEL_2"],
    ["3 stars", "2 stars", "1 star"],
    ["1 star", "2 apples", "3 stars"],
    ["1 star", "2 stars", "unknown"],
]
CODE = """
import { inOrder, sentiments, sides } from "./labels.js";
import { expectedValue, scaleOf, side, stepStyle, support } from "./scale.js";
let input = "";
for await (const part of process.stdin) input += part;
console.log(JSON.stringify(JSON.parse(input).map((probabilities) => {
  const labels = Object.keys(probabilities), scale = scaleOf(labels);
  return {
    values: scale?.values ?? null, unit: scale?.unit ?? null,
    expected: expectedValue(probabilities), support: support(probabilities, labels[0]),
    side: scale && side(expectedValue(probabilities), scale.values),
    sentiments: Object.fromEntries(sentiments(labels)),
    sides: Object.fromEntries(sides(labels)), order: inOrder(labels),
    styles: scale && scale.values.map((value) => stepStyle(value, scale.values)),
  };
})));
"""


def python_of(probabilities: dict[str, float]) -> dict[str, Any]:
    labels = list(probabilities)
    values, expected = label_values(labels), expected_value(probabilities)
    styles = None
    if values:
        parts = [step_style(value, values).split(";") for value in values]
        styles = [dict(part.split(":") for part in style) for style in parts]
    return {
        "values": values,
        "unit": unit(labels),
        "expected": expected if expected is None else pytest.approx(expected),
        "support": pytest.approx(support(probabilities, labels[0])),
        "side": side(expected, values) if values and expected is not None else None,
        "sentiments": sentiments(labels),
        "sides": sides(labels),
        "order": in_order(labels),
        "styles": styles,
    }


def test_javascript_reads_scales_as_python_does() -> None:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    cases = []
    for labels in LABELS:
        for first in [1 / len(labels), 0.6, 0.01]:
            rest = (1 - first) / (len(labels) - 1)
            cases.append({label: rest if i else first for i, label in enumerate(labels)})
    done = subprocess.run(
        ["node", "--input-type=module", "-e", CODE],
        cwd=REPOSITORY / "space_static", input=json.dumps(cases), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [python_of(case) for case in cases]
