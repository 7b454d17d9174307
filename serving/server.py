"""Runs the application under uvicorn, with as many workers as configured."""

import os
import socket
import tempfile
from importlib import import_module

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from contracts import Settings
from contracts.errors import BadSetting, PortUnavailable
from contracts.stop_signals import leave_signals
from serving.auth import check_binding
from serving.certificate_files import CertificateFiles
from serving.cursor import signing_keys
from serving.light_imports import without_unused_imports
from serving.middleware import origins_of
from serving.privacy.pseudonyms import pseudonym_key
from serving.protocol import LimitedProtocol
from serving.rate_limits import COUNTS_FILE, RateLimits
from serving.request_metrics import MULTIPROCESS
from serving.server_logging import logging_config

WORKER_TIMEOUT_S = 30
"""How long a worker may give no sign of life, from the start of its process. With uvicorn's five seconds, workers on a
busy machine were killed while they started, again and again."""


def serve(settings: Settings, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> None:
    """Serve until stopped.

    Raises `UnsafeBinding` where others could reach a server without keys, `BadSetting`, and `PortUnavailable`. All are
    raised before the release is loaded.
    """
    check_binding(settings, host)
    origins_of(settings)
    RateLimits(settings)
    require_certificate(settings)
    require_port(host, port)
    os.environ.update(environment(settings))
    leave_signals()  # uvicorn ends the requests in progress first
    os.environ["TASTEFEED_CURSOR_KEYS"] = signing_keys(settings)  # the same in all workers
    os.environ["TASTEFEED_PSEUDONYM_KEY"] = pseudonym_key(settings)
    with tempfile.TemporaryDirectory() as shared_folder:
        if workers > 1:
            os.environ[MULTIPROCESS] = shared_folder
            os.environ[COUNTS_FILE] = f"{shared_folder}/rate_counts"
        uvicorn.run(
            "serving.server:application",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,  # its lines contain paths, and paths contain user ids
            log_config=logging_config(settings.log_format),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            http=LimitedProtocol,
            ws="none",  # the server has no WebSockets, and their protocol would bypass the limits
            server_header=False,
            timeout_worker_healthcheck=WORKER_TIMEOUT_S,
        )


def require_port(host: str, port: int) -> None:
    """Listen for a moment, because uvicorn does so only after it has loaded the release. Raises `PortUnavailable`."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise PortUnavailable(
            f"cannot listen on {host}:{port} ({problem}); stop the other program, or give another --port"
        ) from None


def require_certificate(settings: Settings) -> None:
    """Load the certificate and its key for a check, because each worker would fail with them. Raises `BadSetting`."""
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise BadSetting("TLS needs both --tls-cert and --tls-key (TASTEFEED_TLS_CERT and TASTEFEED_TLS_KEY)")
    CertificateFiles(certificate, key).check()


def application() -> FastAPI:
    """The factory that each worker calls: the application with the settings of the environment."""
    with without_unused_imports():
        import_module("lightgbm")  # a release needs it later; here its optional imports are blocked
        from serving.app import create_app  # noqa: PLC0415  the block must cover this import
    return create_app(Settings())


def environment(settings: Settings) -> dict[str, str]:
    """Settings as the environment variables that workers read."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in given.items()}
    return {f"TASTEFEED_{name.upper()}": str(value) for name, value in plain.items() if value is not None}
