"""The files of `deploy/` are valid, and name only metrics, settings, commands and pages that exist."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import promql_parser
import pytest
import yaml
from fastapi.testclient import TestClient
from typer.main import get_command

from cli.command_line import app as command_line
from contracts import Settings
from contracts.setting_variables import names
from pipeline.run_context import NightConfig
from serving.app import create_app
from tests.serving.conftest import Lake, published  # noqa: F401  a fixture

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOK = ROOT / "docs" / "operations.md"
MANIFESTS = [path for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) if path.name != "kustomization.yaml"]
KUBERNETES = "1.33"
ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "tastefeed.json").read_text())
SETTINGS = {*names(Settings), *names(NightConfig)}


def panels() -> Iterator[dict]:
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> dict[str, str]:
    """The queries of alerts and panels, with a duration in place of Grafana's variable."""
    alerts = {rule["alert"]: rule["expr"] for rule in ALERTS}
    shown = {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels() for target in panel["targets"]}
    return {name: text.replace("$__rate_interval", "5m") for name, text in {**alerts, **shown}.items()}


@pytest.fixture(scope="module")
def metric_names(published, tmp_path_factory) -> set[str]:  # noqa: F811
    """The series of `/metrics`, with the suffixes of histograms."""
    settings = Lake(published.parent, tmp_path_factory.mktemp("builds")).settings()
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        client.get("/v1/users/user-1/home-feed")
        text = client.get("/metrics").text
    types = dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + suffix for name, kind in types.items() for suffix in suffixes.get(kind, ("",))}


def program(name: str, *arguments: object) -> str:
    """Run a linter of the environment, and return what it finds."""
    run = subprocess.run(
        [Path(sys.executable).with_name(name), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return "" if run.returncode == 0 else run.stdout + run.stderr


def test_the_linters_find_nothing():
    assert program("yamllint", "-c", DEPLOY / ".yamllint", DEPLOY) == ""
    assert program("hadolint", DEPLOY / "Dockerfile") == ""
    assert program("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml") == ""


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_follow_the_schemas_of_kubernetes(path):
    for manifest in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_kustomize_reads_every_manifest():
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [path.name for path in MANIFESTS]


@pytest.mark.parametrize("name", expressions())
def test_queries_are_promql_of_existing_metrics(name, metric_names):
    expression = expressions()[name]
    promql_parser.parse(expression)
    assert set(re.findall(r"\btastefeed_\w+", expression)) <= metric_names


def test_every_alert_has_its_part_of_the_runbook():
    headings = re.findall(r"(?m)^### (Tastefeed\w+)$", RUNBOOK.read_text())
    assert headings == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_panels_do_not_overlap():
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_settings_and_commands_exist():
    texts = {path: path.read_text() for path in DEPLOY.rglob("*") if path.is_file()}
    for path, text in texts.items():
        assert set(re.findall(r"\bTASTEFEED_\w+", text)) <= SETTINGS, path
    commands = get_command(command_line).commands
    for path in MANIFESTS:
        for manifest in yaml.safe_load_all(path.read_text()):
            for container in containers(manifest):
                command, *options = container["args"]
                known = {option for parameter in commands[command].params for option in parameter.opts}
                assert {option for option in options if option.startswith("--")} <= known


def containers(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield from node.get("containers", [])
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from containers(part)


def test_the_image_holds_every_package_of_the_wheel():
    """What `.dockerignore` lets through has each package that setuptools includes."""
    copied = set(re.findall(r"(?m)^!(\w+)$", (ROOT / ".dockerignore").read_text()))
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages - {"data"} <= copied
    assert {"data", "LICENSE"} <= copied


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_kustomize_builds():
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("\nkind: ") >= 8
