"""The server's log: text lines, or one JSON object for each line. Neither contains a path, an id or a vector."""

from copy import deepcopy
from typing import Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from uvicorn.config import LOGGING_CONFIG

JSON = {
    "()": "pythonjsonlogger.json.JsonFormatter",
    "format": "%(levelname)s %(name)s %(message)s",
    "rename_fields": {"levelname": "level", "name": "logger"},
    "timestamp": True,
    "reserved_attrs": [*RESERVED_ATTRS, "color_message"],  # the latter repeats uvicorn's messages with colours
}


def logging_config(log_format: Literal["text", "json"] = "text") -> dict[str, Any]:
    """uvicorn's logging, with the loggers of tastefeed added."""
    config: dict[str, Any] = deepcopy(LOGGING_CONFIG)
    config["loggers"]["tastefeed"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    if log_format == "json":
        config["formatters"] = {"default": JSON, "access": JSON}
    return config
