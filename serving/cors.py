"""Which other sites' pages may call the server from a browser (cross-origin resource sharing); by default none."""

import re

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from contracts import Settings
from contracts.errors import BadSetting
from serving.auth import HOW_TO_SET_KEYS, Keys
from serving.middleware import REQUEST_ID

ORIGIN = re.compile(r"https?://[^/?#@\s]+")
MAX_AGE_S = 600


def origins_of(settings: Settings) -> list[str]:
    """The origins of `TASTEFEED_CORS_ORIGINS`. Raises `BadSetting` for what a browser never sends as one, and for `*`
    without keys, with which any page could read and change what is on this machine."""
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if "*" in origins and not Keys(settings).any:
        raise BadSetting(f"TASTEFEED_CORS_ORIGINS: * needs keys; name the origins, or {HOW_TO_SET_KEYS}")
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise BadSetting(
                f"TASTEFEED_CORS_ORIGINS: {origin!r} is no origin; write it as in https://example.org:8443"
            )
    return [origin.lower() for origin in origins]


def add_cors(app: FastAPI, origins: list[str]) -> None:
    """Let pages of these origins call. They send a key by themselves, never credentials that the browser keeps."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            allow_credentials=False,
            expose_headers=[REQUEST_ID],
            max_age=MAX_AGE_S,
        )
