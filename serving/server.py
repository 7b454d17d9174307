"""Running the application under uvicorn, with as many workers as asked."""

import os
import tempfile
from copy import deepcopy
from importlib import import_module
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from uvicorn.config import LOGGING_CONFIG

from contracts import Settings
from serving.auth import check_binding
from serving.cors import origins_of
from serving.light import without_heavy_imports
from serving.protocol import LimitedProtocol
from serving.request_metrics import MULTIPROCESS


def serve(settings: Settings, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> None:
    """Serve until stopped. Raises `UnsafeBinding` where others could reach a server without keys, `BadSetting`."""
    check_binding(settings, host)
    origins_of(settings)
    os.environ.update(environment(settings))
    with tempfile.TemporaryDirectory() as figures:
        if workers > 1:
            os.environ[MULTIPROCESS] = figures
        uvicorn.run(
            "serving.server:application",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,  # its lines hold paths, and those hold user ids
            log_config=logging_config(),
            http=LimitedProtocol,
            ws="none",  # there are no WebSockets here, and their protocol would be outside the limits
            server_header=False,
        )


def application() -> FastAPI:
    """What each worker calls: the application over the settings of the environment."""
    with without_heavy_imports():
        import_module("lightgbm")  # reading a release would import it, with everything it finds
        from serving.app import create_app  # noqa: PLC0415  inside the block, that is its point
    return create_app(Settings())


def environment(settings: Settings) -> dict[str, str]:
    """Settings as the environment variables that workers read."""
    said = {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in said.items()}
    return {f"TASTEFEED_{name.upper()}": str(value) for name, value in plain.items() if value is not None}


def logging_config() -> dict[str, Any]:
    """uvicorn's own, with our lines beside it."""
    config: dict[str, Any] = deepcopy(LOGGING_CONFIG)
    config["loggers"]["tastefeed"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
