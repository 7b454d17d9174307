"""A real server with a real certificate, a file of keys and a JSON log."""

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest
import trustme

from contracts.errors import BadSetting
from serving.http.server import require_certificate
from serving.http.worker_processes import run
from serving.privacy.opt_out_service import OptOutService
from serving.releases.early_copy import EarlyCopy
from tests.serving.http.test_server import free_port

OLD, NEW = {"Authorization": "Bearer old"}, {"Authorization": "Bearer new"}
USERS = "/v1/users"


@dataclass
class Certificate:
    """A certificate for localhost, its key, and the authority that clients trust."""

    chain: Path
    key: Path
    authority: Path

    def replace(self, authority: trustme.CA) -> None:
        """Another certificate and key, one file after the other."""
        issued = authority.issue_cert("localhost", "127.0.0.1")
        self.chain.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(self.key))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(tmp_path, authority) -> Certificate:
    found = Certificate(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    found.replace(authority)
    authority.cert_pem.write_to_path(str(found.authority))
    return found


def served_certificate(client: httpx.Client) -> str:
    return ssl.get_server_certificate(("localhost", client.base_url.port))


@contextmanager
def served_over_tls(lake, certificate, log, **variables: str) -> Iterator[httpx.Client]:
    port = free_port()
    tls = ["--tls-cert", certificate.chain, "--tls-key", certificate.key]
    command = [
        sys.executable,
        "-c",
        "from cli import main; main()",
        "serve",
        "--lake",
        lake.folder,
        "--port",
        port,
        *tls,
    ]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "TASTEFEED_LOG_FORMAT": "json", **variables}
    client = httpx.Client(
        base_url=f"https://localhost:{port}",
        verify=ssl.create_default_context(cafile=str(certificate.authority)),
    )
    with (
        client,
        log.open("w") as output,
        subprocess.Popen([*map(str, command)], env=environ, stdout=output, stderr=output) as process,
    ):
        try:
            wait_for(client, process)
            yield client
        finally:
            process.terminate()
            process.wait(60)


def wait_for(client: httpx.Client, process: subprocess.Popen) -> None:
    for _ in range(300):
        assert process.poll() is None, "the server ended"
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server never came")


def test_tls_rotated_keys_and_a_json_log(lake, certificate, authority, tmp_path):
    keys, log = tmp_path / "keys", tmp_path / "log"
    keys.write_text("feed old\n")
    service = OptOutService.of(lake.settings())
    service.opt_out("user", "user-2", "personalization")
    service.close()
    with served_over_tls(lake, certificate, log, TASTEFEED_KEYS_FILE=str(keys)) as client:
        answer = client.get(f"{USERS}/user-1/home-feed", headers={**OLD, "X-Request-Id": "trace-17"})
        assert answer.json()["personalized"]
        assert "Strict-Transport-Security" in answer.headers
        assert client.get(f"{USERS}/user-2/home-feed", headers=OLD).json()["reason"] == "opted_out"

        def statuses() -> list[int]:
            return [client.get(f"{USERS}/user-1/home-feed", headers=key).status_code for key in (OLD, NEW)]

        assert statuses() == [200, 401]
        keys.write_text("feed old\nfeed new\n")
        assert statuses() == [200, 200]
        keys.write_text("feed new\n")
        assert statuses() == [401, 200]  # without a restart

        before = served_certificate(client)
        certificate.chain.write_text("not a certificate")
        assert {served_certificate(client) for _ in range(2)} == {before}
        certificate.replace(authority)
        served_certificate(client)  # the first connection makes the server look
        assert served_certificate(client) != before
        assert client.get("/healthz").status_code == 200

        plain = httpx.Client(base_url=str(client.base_url).replace("https", "http"))
        with plain, pytest.raises(httpx.TransportError):
            plain.get("/healthz")
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 15  # the client's open connection does not keep the server

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    requests = [line for line in lines if line["logger"] == "tastefeed.requests"]
    traced = next(line for line in requests if line["request_id"] == "trace-17")
    assert (traced["method"], traced["route"], traced["status"]) == ("GET", "/v1/users/{user_id}/home-feed", 200)
    assert traced["release"] == answer.json()["release"]
    assert traced["latency_ms"] > 0
    assert {line["release"] for line in requests if line["status"] == 401} == {None}
    renewals = [line["message"] for line in lines if line["logger"] == "tastefeed.tls"]
    assert renewals[0] == renewals[-1] == "the certificate was read again"
    assert "the certificate that was read before stays in use" in renewals[1]
    assert not [part for part in ("user-1", "user-2", "Bearer", '"old"', '"new"') if part in log.read_text()]


@pytest.mark.parametrize(("setting", "problem"), [
    ({"experiment": Path("missing.json")}, "TASTEFEED_EXPERIMENT: missing.json: No such file"),
    ({"rate_limit": "many"}, "TASTEFEED_RATE_LIMIT: 'many' is no limit"),
    ({"otlp_endpoint": "http://127.0.0.1:4318"}, r"pip install 'tastefeed\[tracing\]'"),
    ({"keys_file": Path("missing")}, "TASTEFEED_KEYS_FILE: cannot read missing"),
])  # fmt: skip
def test_a_wrong_setting_is_refused_before_workers_fail_with_it_again_and_again(
    lake, tmp_path, monkeypatch, setting, problem
):
    monkeypatch.setattr("serving.http.request_tracing.PACKAGES", ("opentelemetry_of_no_release.sdk",))
    settings = lake.settings(**setting)
    place = {"host": "127.0.0.1", "port": free_port()}
    with pytest.raises(BadSetting, match=problem):
        run(settings, **place, workers=2, shared_folder=tmp_path, copying=EarlyCopy(settings))


def test_a_certificate_that_cannot_be_used_is_refused_before_the_start(lake, certificate, tmp_path):
    other = tmp_path / "other.pem"
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(str(other))
    for chain, key, problem in [
        (certificate.chain, None, "TLS needs both --tls-cert and --tls-key"),
        (None, certificate.key, "TLS needs both"),
        (certificate.chain, tmp_path / "none.pem", r"cannot use certificate .* \(No such file or directory\)"),
        (certificate.chain, other, "KEY_VALUES_MISMATCH"),
        (lake.folder / "opt_outs.db", certificate.key, "give a PEM chain and its unencrypted private key"),
    ]:
        with pytest.raises(BadSetting, match=problem):
            require_certificate(lake.settings(tls_cert=chain, tls_key=key))
    require_certificate(lake.settings(tls_cert=certificate.chain, tls_key=certificate.key))
