"""Starts a server. It sets what must hold before the application is imported, so this module imports little itself."""

import os
import socket
from typing import TYPE_CHECKING

from pydantic import SecretStr

from contracts import Settings
from contracts.errors import BadSetting, PortUnavailable
from serving.http.certificate_files import CertificateFiles
from serving.http.light_imports import block_unused_imports
from serving.http.worker_folder import folder_of_workers

if TYPE_CHECKING:
    from fastapi import FastAPI


def serve(settings: Settings, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> None:
    """Serve until stopped.

    Raises `UnsafeBinding` where others could reach a server without keys, `BadSetting`, and `PortUnavailable`. All are
    raised before the release is loaded.
    """
    require_certificate(settings)
    require_port(host, port)
    os.environ.update(environment(settings))
    block_unused_imports()
    with folder_of_workers(workers) as shared_folder:
        from serving.releases.early_copy import EarlyCopy  # noqa: PLC0415  not before the block

        with EarlyCopy(settings) as copying:
            from serving.http.worker_processes import run  # noqa: PLC0415  the metrics' folder must be set before

            run(settings, host=host, port=port, workers=workers, shared_folder=shared_folder, copying=copying)


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


def application() -> "FastAPI":
    """The factory that each worker calls: the application with the settings of the environment."""
    block_unused_imports()
    from serving.http.app import create_app  # noqa: PLC0415  not before the block

    return create_app(Settings())


def environment(settings: Settings) -> dict[str, str]:
    """Settings as the environment variables that workers read."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in given.items()}
    return {f"TASTEFEED_{name.upper()}": str(value) for name, value in plain.items() if value is not None}
