"""The files of `deploy/` are valid, and name only metrics, settings, commands and pages that exist."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import kubernetes_validate
import promql_parser
import pytest
import uvicorn
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.main import get_command

from cli.command_line import app as command_line
from contracts import Settings, __version__
from contracts.setting_variables import names
from pipeline.run_context import NightConfig
from serving.http.app import create_app
from tests.serving.conftest import Lake, copied, published  # noqa: F401  a fixture

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
def application(published, tmp_path_factory) -> FastAPI:  # noqa: F811
    return create_app(Lake(published.parent, tmp_path_factory.mktemp("builds")).settings())


@pytest.fixture(scope="module")
def labels_of(application) -> dict[str, set[str]]:
    """The labels of each series of `/metrics`."""
    with TestClient(application, base_url="http://127.0.0.1:8000") as client:
        client.get("/v1/users/user-1/home-feed")
        text = client.get("/metrics").text
    exposed = re.findall(r"(?m)^(tastefeed_\w+)(?:\{(.*)\})? \S+$", text)
    found = {name: set(re.findall(r'(\w+)="', labels)) for name, labels in exposed}
    registered = application.state.metrics._own._names_to_collectors  # a counter without a value shows no labels yet
    for name, metric in registered.items():
        found[name] = found.get(name, set()) | set(metric._labelnames)
    return found


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


SELECTOR = re.compile(r'\b(tastefeed_\w+)(?:\{((?:"[^"]*"|[^}"])*)\})?')
OF_PROMETHEUS = {"instance", "job"}


@pytest.mark.parametrize("name", expressions())
def test_queries_are_promql_of_existing_metrics_and_labels(name, labels_of, application):
    expression = expressions()[name]
    promql_parser.parse(expression)
    selectors = SELECTOR.findall(expression)
    assert {metric for metric, _ in selectors} <= labels_of.keys()
    for metric, given in selectors:
        for label, value in re.findall(r'(\w+)!?=~?"([^"]*)"', given):
            assert label in labels_of[metric], (metric, label)
            assert known_value(application, label, value), (metric, label, value)
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
    assert grouped <= set().union(OF_PROMETHEUS, *(labels_of[metric] for metric, _ in selectors)), expression


def known_value(application: FastAPI, label: str, value: str) -> bool:
    """Whether the server can give a label this value: a route, statuses, or a word of the code."""
    if label == "route":
        return value in application.openapi()["paths"]
    if label == "status":
        return all(re.match("[1-5]([0-9]{2}|[.]{2})$", status) for status in value.split("|"))
    return any(f'"{value}"' in path.read_text() for path in (ROOT / "serving").rglob("*.py"))


def test_every_alert_has_its_part_of_the_runbook():
    headings = re.findall(r"(?m)^### (Tastefeed\w+)$", RUNBOOK.read_text())
    assert headings == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_the_runbook_names_panels_of_the_dashboard():
    named = re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*", RUNBOOK.read_text())
    assert named
    assert set(named) <= {panel["title"] for panel in panels()}


def test_panels_do_not_overlap():
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_settings_and_commands_exist():
    texts = {path: path.read_text() for path in DEPLOY.rglob("*") if path.is_file()}
    for path, text in texts.items():
        assert set(re.findall(r"\bTASTEFEED_\w+", text)) <= SETTINGS, path
    image = (DEPLOY / "Dockerfile").read_text()
    default = json.loads(re.search(r"(?m)^CMD (.*)$", image)[1])
    for arguments in [default, *(container["args"] for container in all_containers())]:
        command, *options = arguments
        parameters = get_command(command_line).commands[command].params
        assert {option for option in options if option.startswith("--")} <= {
            option for parameter in parameters for option in parameter.opts
        }


def test_paths_ports_and_versions_are_those_of_the_server(application):
    paths = set(application.openapi()["paths"])
    server = next(container for container in all_containers() if container["name"] == "server")
    port = str(server["ports"][0]["containerPort"])
    assert {server[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")} <= paths
    assert server["args"][server["args"].index("--port") + 1] == port
    texts = {str(path.relative_to(DEPLOY)): path.read_text() for path in DEPLOY.rglob("*") if path.is_file()}
    assert f"EXPOSE {port}\n" in texts["Dockerfile"]
    assert f'"{port}:{port}"' in texts["compose.yaml"]
    assert f'"server:{port}"' in texts["prometheus/prometheus.yml"]
    assert f'prometheus.io/port: "{port}"' in texts["kubernetes/server.yaml"]
    checked = [found for text in texts.values() for found in re.findall(r"127\.0\.0\.1:(\d+)(/\w+)", text)]
    assert set(checked) <= {(port, path) for path in paths}
    versions = [found for text in texts.values() for found in re.findall(r"(?:tastefeed:|newTag: )(\d[\d.]+)", text)]
    assert set(versions) == {__version__}


def test_a_pod_starts_unless_it_alone_cannot_read_the_opt_outs(published, tmp_path):  # noqa: F811
    lake = copied(published, tmp_path)
    right, wrong = lake.settings(), lake.settings(opt_out_url="postgresql+psycopg://127.0.0.1:1/wrong")
    assert probed(right) == 0
    (tmp_path / "new").mkdir()
    assert probed(Settings(lake=str(tmp_path / "new"))) == 0, "it waits for a first night"
    assert probed(wrong) == 0, "no pod has started"
    with served(right) as others:
        assert probed(wrong, others) == 1, "a rollout with a wrong URL stops"
    with served(wrong) as others:
        assert probed(wrong, others) == 0, "the database does not answer any pod"


def probed(settings: Settings, others: str = "http://127.0.0.1:1") -> int:
    """The status of the startup probe of a server; `others` are the pods that have started."""
    container = next(container for container in all_containers() if container["name"] == "server")
    program, *arguments, script = container["startupProbe"]["exec"]["command"]
    port = container["ports"][0]["containerPort"]
    with served(settings) as address:
        for written, used in ((f'"127.0.0.1", {port}', address), ('"server", 80', others)):
            assert f"readiness({written})" in script
            script = script.replace(written, f'"127.0.0.1", {used.rsplit(":", 1)[1]}')
        assert program == "python"
        return subprocess.run([sys.executable, *arguments, script], check=False).returncode


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """A server in a thread."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None))
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(server.run)
        try:
            while not server.started and not running.done():
                time.sleep(0.02)
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True


def test_files_that_the_containers_use_exist():
    text = (DEPLOY / "compose.yaml").read_text()
    installed = set(re.findall(r"/opt/tastefeed/lib/python3.11/site-packages/([\w/-]+)", text))
    site_packages = Path(sysconfig.get_path("purelib"))
    assert [path for path in installed if not (site_packages / path).exists() and not (ROOT / path).exists()] == []
    mounted = re.findall(r"- \./([\w/.]+):", text)
    assert [path for path in mounted if not (DEPLOY / path).exists()] == []
    assert (DEPLOY / ".env.example").read_text().count("=\n") == len(set(re.findall(r"\$\{(\w+)", text)))


def all_containers() -> Iterator[dict]:
    """The containers of all manifests."""
    for path in MANIFESTS:
        for manifest in yaml.safe_load_all(path.read_text()):
            yield from containers(manifest)


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
def test_kustomize_builds_the_manifests():
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("\nkind: ") >= 8
