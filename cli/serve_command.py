"""`tastefeed serve`: the feed over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options


def serve(
    *,
    lake: options.Lake = options.LAKE,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; keys are needed beyond loopback.")] = (
        "127.0.0.1"
    ),
    port: options.Port = 8000,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Number of server processes.")] = 1,
    tls_cert: Annotated[
        Path | None, typer.Option(envvar="TASTEFEED_TLS_CERT", help="Certificate chain (PEM), to serve HTTPS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar="TASTEFEED_TLS_KEY", help="Private key of the certificate (PEM).")
    ] = None,
) -> None:
    """Serve the home feed of the current release."""
    from contracts import Settings
    from contracts.thread_settings import use_threads

    settings = Settings(lake=lake, tls_cert=tls_cert, tls_key=tls_key)
    settings.require_lake_folder()
    # requests already run in parallel: threads of FAISS and BLAS that wait for each other double the processor time
    use_threads(settings.model_copy(update={"threads": settings.threads or 1}))
    from serving.http.server import serve as run_server

    run_server(settings, host=host, port=port, workers=workers)
