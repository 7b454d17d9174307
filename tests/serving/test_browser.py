"""The page's buttons in Chromium, and the forms of other sites, which must not work."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import httpx2 as httpx
import numpy as np
import pytest

from tests.serving.conftest import Lake
from tests.serving.http.test_server import served
from tests.serving.tiny import item_table, user_table

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytest.importorskip("playwright", reason="install the dev extra")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH; on Debian: apt-get install chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SLASHED = "https://example.org/u?a=1&b=2#é"
PICTURE = Path(__file__).parents[2] / "docs" / "architecture.svg"
KEYS = {"TASTEFEED_FEED_KEYS": "f1", "TASTEFEED_ADMIN_KEYS": "a1"}


@dataclass
class OtherSite:
    """A server of another site, on a port of its own; its only page is `html`."""

    html: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    port: int = 0


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser):
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def slashed(tmp_path_factory) -> Lake:
    folder = tmp_path_factory.mktemp("browser")
    lake, users = Lake(folder / "lake", folder / "builds"), user_table(item_table())
    lake.publish(users=replace(users, ids=np.array([*users.ids[:2], SLASHED, *users.ids[3:]])))
    return lake


@pytest.fixture(scope="module")
def site(slashed) -> Iterator[str]:
    with served(slashed, slashed.builds / "server.log", workers=1) as url:
        yield url


@pytest.fixture(scope="module")
def keyed_site(slashed) -> Iterator[str]:
    with served(slashed, slashed.builds / "keyed.log", workers=1, **KEYS) as url:
        yield url


@pytest.fixture
def other_site() -> Iterator[OtherSite]:
    other = OtherSite()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            for name, value in {"Content-Type": "text/html; charset=utf-8", **other.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(other.html.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        other.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield other
        server.shutdown()


def is_opted_out(url: str, user: str) -> bool:
    path = f"{url}/v1/opt-outs/user/{quote(user, safe='')}/personalization"
    return bool(httpx.get(path, headers={"Authorization": "Bearer a1"}).json()["opted_out"])


def prize(url: str, user: str = "user-1") -> str:
    """A form that looks like something else."""
    return (
        f'<form action="{url}/personalization" method="post"><button>Win a prize</button>'
        f'<input type="hidden" name="user_id" value="{escape(user)}">'
        '<input type="hidden" name="opted_out" value="true"></form>'
    )


@pytest.mark.parametrize("user", ["user-1", SLASHED])
def test_the_buttons_stop_and_resume_personalization(site, tab, user):
    tab.goto(site)
    tab.get_by_label("User").fill(user)
    tab.get_by_role("button", name="Show feed").click()
    tab.get_by_text("Picked for you").wait_for()
    with tab.expect_request(f"{site}/personalization") as asked:
        tab.get_by_role("button", name="Stop personalizing").click()
    assert asked.value.all_headers()["origin"] == site  # all there is to see where `Sec-Fetch-Site` is not sent: http
    tab.get_by_text("You opted out").wait_for()
    assert is_opted_out(site, user)
    tab.get_by_role("button", name="Personalize again").click()
    tab.get_by_text("Picked for you").wait_for()
    assert not is_opted_out(site, user)
    assert tab.get_by_label("User").input_value() == user


def test_the_style_sheet_of_the_page_is_applied_and_no_other(site, tab):
    tab.goto(site)
    assert tab.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "736px"
    refused = "const sheet = document.createElement('style'); sheet.textContent = 'main { max-width: 9px }';"
    tab.evaluate(f"() => {{ {refused} document.head.append(sheet) }}")
    assert tab.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "736px"


def test_an_unknown_user_opts_out_in_advance(site, tab):
    tab.goto(f"{site}/?user_id=org%2Fnew")
    tab.get_by_role("button", name="Stop personalizing").click()
    tab.get_by_text("You opted out").wait_for()
    assert is_opted_out(site, "org/new")


def test_the_next_page_and_back_of_an_id_with_a_slash(site, tab):
    tab.goto(f"{site}/?user_id={quote(SLASHED, safe='')}")
    tab.get_by_role("link", name="Next page").click()
    tab.get_by_text("Back to the top").click()
    tab.get_by_text("Picked for you").wait_for()
    assert tab.get_by_label("User").input_value() == SLASHED


def test_both_buttons_with_a_key_as_the_password(keyed_site, browser):
    with browser.new_context(http_credentials={"username": "any", "password": "a1"}) as context:
        tab = context.new_page()
        tab.goto(f"{keyed_site}/?user_id=user-1")
        tab.get_by_role("button", name="Stop personalizing").click()
        tab.get_by_text("You opted out").wait_for()
        tab.get_by_role("button", name="Personalize again").click()
        tab.get_by_text("Picked for you").wait_for()


def test_a_feed_key_is_shown_no_button_that_would_refuse_it(keyed_site, browser):
    with browser.new_context(http_credentials={"username": "any", "password": "f1"}) as context:
        tab = context.new_page()
        tab.goto(f"{keyed_site}/?user_id=user-1")
        tab.get_by_text("open the page with an admin key").wait_for()
        assert tab.get_by_role("button", name="Stop personalizing").count() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("headers", [{}, {"Referrer-Policy": "no-referrer"}, {"Referrer-Policy": "unsafe-url"}])
def test_a_form_of_another_origin_is_refused(site, tab, other_site, host, headers):
    other_site.html, other_site.headers = prize(site), headers
    tab.goto(f"http://{host}:{other_site.port}/")
    with tab.expect_response(f"{site}/personalization") as answered:
        tab.get_by_role("button").click()
    assert answered.value.status == 403
    assert not is_opted_out(site, "user-1")


def test_a_form_in_a_sandbox_is_refused(site, tab, other_site):
    """Its origin is `null`, as that of a page that sends no referrer."""
    other_site.html = f'<iframe sandbox="allow-forms" srcdoc="{escape(prize(site))}"></iframe>'
    tab.goto(f"http://localhost:{other_site.port}/")
    with tab.expect_request(f"{site}/personalization") as asked, tab.expect_response(f"{site}/personalization") as got:
        tab.frame_locator("iframe").get_by_role("button").click()
    assert asked.value.all_headers()["origin"] == "null"
    assert got.value.status == 403
    assert not is_opted_out(site, "user-1")


def test_a_form_of_another_origin_is_refused_though_the_browser_sends_the_key(keyed_site, browser, other_site):
    with browser.new_context(http_credentials={"username": "any", "password": "a1"}) as context:
        tab = context.new_page()
        tab.goto(f"{keyed_site}/?user_id=user-1")
        other_site.html = prize(keyed_site)
        tab.goto(f"http://127.0.0.1:{other_site.port}/")
        with tab.expect_response(f"{keyed_site}/personalization") as answered:
            tab.get_by_role("button").click()
        assert answered.value.status == 403
        assert not is_opted_out(keyed_site, "user-1")


def test_no_other_site_is_sent_the_address_with_the_user(site, tab, other_site):
    other_site.html = "<title>elsewhere</title>"
    tab.goto(f"{site}/?user_id=user-1")
    requested = []
    tab.on("request", lambda request: requested.append(request.all_headers()))
    tab.evaluate(f"location.href = 'http://localhost:{other_site.port}/'")
    tab.wait_for_url(f"http://localhost:{other_site.port}/")
    assert requested
    assert all("referer" not in headers for headers in requested)


OVERFLOWING = """() => {
  const boxes = [...document.querySelectorAll("rect")].map(rect => rect.getBBox());
  const outside = (text, box, air) => text.x < box.x + air || text.x + text.width > box.x + box.width - air
    || text.y < box.y || text.y + text.height > box.y + box.height;
  return [...document.querySelectorAll("text")].filter(element => {
    const text = element.getBBox(), x = text.x + text.width / 2, y = text.y + text.height / 2;
    const around = boxes.filter(box => x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height);
    return outside(text, around.sort((a, b) => a.width * a.height - b.width * b.height)[0], AIR);
  }).map(element => element.textContent);
}"""
AIR = 8
"""Pixels between a text and the sides of its box."""


def test_no_text_of_the_architecture_picture_overflows_its_box(tab):
    tab.set_content(PICTURE.read_text())
    assert tab.locator("text").count() > 20
    assert tab.evaluate(OVERFLOWING.replace("AIR", str(AIR))) == []
