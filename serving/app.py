"""The HTTP application: `create_app` builds, its lifespan loads."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio.to_thread
import faiss
from fastapi import FastAPI

from contracts import Settings, __version__
from serving.admission import Admission
from serving.auth import Keys
from serving.cors import add_cors, origins_of
from serving.error_handlers import add_problems
from serving.feed import HomeFeed
from serving.middleware import Doorway
from serving.openapi import describe
from serving.privacy.consent import Doorkeeper
from serving.privacy.opt_out_service import Wishes
from serving.releases.release_loader import HeldRelease
from serving.request_metrics import Metrics
from serving.routes import events, feed, health, opt_outs, page


def create_app(settings: Settings) -> FastAPI:
    """The application over one lake. Nothing is read before it starts; without a release it starts and is not ready."""
    app = FastAPI(
        title="tastefeed",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere; routes.page has one that does not
        redoc_url=None,
        redirect_slashes=False,  # the redirect would lose the percent-encoding of an id
    )
    app.state.keys = Keys(settings)
    app.state.metrics = Metrics()
    app.state.wishes = Wishes.of(settings)
    app.state.held = HeldRelease(settings.release_root)
    app.state.home = HomeFeed(app.state.held, Doorkeeper(app.state.wishes.opt_outs, app.state.wishes.pending))
    app.add_middleware(
        Admission,
        keys=app.state.keys,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
    )
    add_cors(app, origins_of(settings))
    app.add_middleware(Doorway, metrics=app.state.metrics)  # the last one added is the first one asked
    add_problems(app)
    for routes in (feed, opt_outs, events, health, page):
        app.include_router(routes.router)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]  # as FastAPI documents it
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    logging.getLogger("uvicorn.access").disabled = True  # it would print every path, and with it user ids
    faiss.omp_set_num_threads(1)  # requests run side by side already
    await anyio.to_thread.run_sync(app.state.held.read_first)
    yield
    app.state.wishes.close()
