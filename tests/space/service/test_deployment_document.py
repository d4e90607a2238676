"""docs/deployment.md names the routes, settings and probes that the service has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from service_app import client, loaded

from space.service import lifecycle
from space.service.settings import Settings
from space.web.middleware import MAX_UPLOAD_BYTES

TEXT = (REPOSITORY / "docs/deployment.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Web service")[2].partition("\n## ")[0]
OF_LIBRARIES = {"FORWARDED_ALLOW_IPS"}  # read by uvicorn


@pytest.fixture(scope="module")
def manifest() -> list[dict[str, Any]]:
    (block,) = re.findall(r"```yaml\n(.*?)```", SECTION, flags=re.DOTALL)
    return list(yaml.safe_load_all(block))


def test_settings_table_lists_each_variable_with_its_default() -> None:
    table = SECTION.partition("### Settings")[2].partition("\n\nA wrong value")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row[1])}
    fields = Settings.model_fields
    assert listed - OF_LIBRARIES == {name.upper() for name in fields}
    for row in rows:
        for name in set(re.findall(r"`([A-Z_]+)`", row[1])) - OF_LIBRARIES:
            default = fields[name.lower()].default
            if default is not None and default != ():
                shown = default[0] if isinstance(default, tuple) else default
                assert str(shown) in row[2].replace(",", ""), name


def test_routes_table_lists_each_route(tiny_classifier: Path) -> None:
    schema = client(loaded(tiny_classifier)).get("/openapi.json").json()
    served = {
        f"{method.upper()} {path}"
        for path, methods in schema["paths"].items()
        for method in methods
    }
    table = SECTION.partition("| route |")[2].partition("\n\n")[0]
    listed = {line.split("|")[1] for line in table.splitlines()[2:]}
    assert set(re.findall(r"`(\w+ /[^`]+)`", " ".join(listed))) == served


def test_manifest_has_probes_and_restrictions(manifest: list[dict[str, Any]]) -> None:
    deployment, service = manifest
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    port = container["ports"][0]["containerPort"]
    paths = {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": path, "port": port}
    assert (
        service["spec"]["ports"][0]["targetPort"] == port == Settings.model_fields["port"].default
    )
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {"/tmp", "/models"}
    slept = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > slept + lifecycle.EXIT_SECONDS
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert "annotations" not in deployment["spec"]["template"]["metadata"]  # they send no key


def test_proxy_passes_the_largest_body_and_waits_for_the_longest_answer() -> None:
    (size,) = re.findall(r"client_max_body_size (\d+)m;", SECTION)
    largest = max(MAX_UPLOAD_BYTES, Settings.model_fields["max_body_bytes"].default)
    assert int(size) * 2**20 >= largest
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", SECTION)
    assert int(seconds) > Settings.model_fields["request_timeout_seconds"].default


def test_inference_endpoints_send_nothing_before_the_model_is_loaded() -> None:
    assert "health route `/ready`" in SECTION
