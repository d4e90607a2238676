"""The metadata of README.md: what the Hub accepts."""

import pytest
from hubserver import call

from localhub.validate import read_card


@pytest.mark.parametrize(
    ("kind", "front", "problem"),
    [
        ("models", "license: mit\nlanguage: en\ntags: [a]", None),
        ("models", "license: [mit, apache-2.0]", None),
        ("models", "license: MIT License", '"license[0]": String should match'),
        ("models", "tags: films", '"tags": Input should be a valid list'),
        ("models", "a: [", "Invalid YAML"),
        ("models", "- a", "must be an object"),
        ("models", "model-index: 3", "should be a valid list"),
        ("models", "model-index: [{results: []}]", "name"),
        ("models", "model-index: [{name: x}]", "results"),
        ("models", "model-index: [3]", "model-index[0]"),
        ("models", "model-index: [{name: x, results: [{task: {type: t}}]}]", "dataset"),
        (
            "models",
            "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: D},"
            " metrics: [{type: accuracy, value: .nan}]}]}]",
            "metrics[0].value",
        ),
        (
            "models",
            "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: D},"
            " metrics: [{value: 1}]}]}]",
            "metrics[0].type",
        ),
        (
            "models",
            "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: D},"
            " metrics: [{type: accuracy, value: 0.9}]}]}]",
            None,
        ),
        ("datasets", "configs: [{config_name: x}]", None),
        ("datasets", "configs: x", '"configs"'),
        ("spaces", "sdk: gradio\nsdk_version: 6.31.0\ncolorFrom: blue\nemoji: 🎬", None),
        ("models", "x: !!timestamp z", "a value does not have the type of its tag"),
        ("models", "a: &a [*a]", "aliases are not supported"),
        ("spaces", "title: x", '"sdk" is required'),
        ("spaces", "sdk: flask", '"sdk": Input should be'),
        ("spaces", "sdk: gradio\ncolorTo: orange", '"colorTo": Input should be'),
        ("spaces", "sdk: gradio\nsdk_version: latest", '"sdk_version"'),
        ("spaces", "sdk: gradio\nshort_description: " + "x" * 61, "60 characters"),
    ],
)
def test_validate_yaml(hub, kind, front, problem):
    body = {"content": f"---\n{front}\n---\n# x\n", "repoType": kind[:-1]}
    answer = call(hub, "POST", "/api/validate-yaml", body, token=None)
    messages = [error["message"] for error in answer.json["errors"]]
    assert answer.status == (400 if problem else 200), messages
    assert any(problem in message for message in messages) if problem else not messages


def test_validate_yaml_without_metadata(hub):
    answer = call(hub, "POST", "/api/validate-yaml", {"content": "# x"})
    assert answer.status == 200 and "metadata" in answer.json["warnings"][0]["message"]
    answer = call(hub, "POST", "/api/validate-yaml", {"content": "# x", "repoType": "space"})
    assert answer.status == 400
    assert read_card("---\na: [\n---\n") == {} == read_card("no front matter")
