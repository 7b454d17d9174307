"""Load shedding, with requests that are held in the middle of their answer."""

import asyncio

import httpx2 as httpx
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from serving.http.error_handlers import add_error_handlers
from serving.http.load_shedding import LoadSheddingMiddleware


class Held:
    """An application that answers when it is released, behind the middleware."""

    def __init__(self, max_requests: int) -> None:
        self.release, self.started = asyncio.Event(), 0
        routes = FastAPI()
        add_error_handlers(routes)
        routes.add_api_route("/feed", self.answer, methods=["GET", "POST"])
        routes.add_api_route("/healthz", self.health)
        app = LoadSheddingMiddleware(routes, max_requests=max_requests)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    async def answer(self, request: Request) -> PlainTextResponse:
        await request.body()
        self.started += 1
        await self.release.wait()
        return PlainTextResponse("done")

    async def health(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("alive")

    async def until_started(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.started < count:
                await asyncio.sleep(0)


def test_more_requests_than_the_limit_are_refused_at_once():
    async def scenario() -> None:
        held = Held(max_requests=2)
        answered = [
            asyncio.ensure_future(held.client.request(method, "/feed", content=b"x")) for method in ("GET", "POST")
        ]
        await held.until_started(2)
        for method, body in [("GET", b""), ("POST", b"x")]:
            refused = await held.client.request(method, "/feed", content=body)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert refused.json()["type"] == "urn:tastefeed:problem:overloaded"
            assert "2 requests are being answered (TASTEFEED_MAX_CONCURRENT_REQUESTS)" in refused.json()["detail"]
        assert (await held.client.get("/healthz")).status_code == 200
        held.release.set()
        assert {(await answer).status_code for answer in answered} == {200}
        assert [(await held.client.get("/feed")).status_code for _ in range(5)] == [200] * 5

    asyncio.run(scenario())


def test_a_slow_body_takes_no_place():
    async def scenario() -> None:
        held, arrives = Held(max_requests=1), asyncio.Event()

        async def slow_body():
            yield b"x"
            await arrives.wait()

        slow = [asyncio.ensure_future(held.client.post("/feed", content=slow_body())) for _ in range(3)]
        await asyncio.sleep(0)
        held.release.set()
        assert (await held.client.get("/feed")).status_code == 200
        arrives.set()
        assert {(await answer).status_code for answer in slow} <= {200, 503}

    asyncio.run(scenario())
