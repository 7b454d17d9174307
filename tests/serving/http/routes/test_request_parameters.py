"""Any valid id in any place of a URL, and what is no id refused with one reason everywhere."""

from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markupsafe import escape

from contracts.ids import MAX_ID_LENGTH, is_id, read_id
from serving.http.app import create_app
from serving.http.routes.request_parameters import accepted_languages
from tests.serving.conftest import copied
from tests.serving.tiny import N_USERS, item_table, user_table

IDS = [
    "acct/42",
    "https://example.org/a/1?x=1&y=2#top",
    "at://did:plc:abc/app.bsky.feed.post/3k",
    "//",
    "/leading",
    "trailing/",
    "x/home-feed",
    "x/personalization",
    "user/u/training",
    ".",
    "..",
    "../../etc",
    "100%",
    "%2F",
    "%25",
    "a+b c",
    "a;b=c,d",
    "Zürich/東京/👩‍👩‍👧",
    "\ufffd",
    "<b>'\"&",
    "{user_id}",
    "👩" * MAX_ID_LENGTH,
]
NO_IDS = [
    ("", "is blank; give an id"),
    ("%20%C2%A0", "is blank; give an id"),
    ("a%00b", "holds a control character or a lone surrogate; remove it"),
    ("a%0Ab", "holds a control character or a lone surrogate; remove it"),
    ("a%0D%0AX-Evil:1", "holds a control character or a lone surrogate; remove it"),
    ("x" * 513, "is longer than 512 characters (513); give a shorter id"),
]
NOT_UTF_8 = ["%FF", "%ED%A0%80", "a%C3", "%C0%AF", "ok/%F5%80%80%80"]


def encoded(id_: str) -> str:
    """Every reserved character percent-encoded; dots too, for clients resolve `..` by themselves."""
    return quote(id_, safe="").replace(".", "%2E")


def feed_path(part: str) -> str:
    return f"/v1/users/{part}/home-feed"


def flag_path(part: str, subject: str = "user", flag: str = "personalization") -> str:
    return f"/v1/opt-outs/{subject}/{part}/{flag}"


@pytest.mark.parametrize("id_", IDS)
class TestAnyId:
    """One server for all ids: what a test changes, it takes back."""

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls, published, tmp_path_factory):
        lake = copied(published, tmp_path_factory.mktemp("any-id"))
        with TestClient(create_app(lake.settings()), base_url="http://127.0.0.1:8000") as client:
            yield client

    def test_reads_a_feed(self, client, id_):
        answer = client.get(feed_path(encoded(id_)))
        assert (answer.status_code, answer.json()["user_id"]) == (200, id_)

    def test_opts_out_and_in_again(self, client, id_):
        path = flag_path(encoded(id_))
        assert client.put(path).json()["subject_id"] == id_
        assert client.get(path).json()["opted_out"]
        assert client.get(feed_path(encoded(id_))).json()["reason"] == "opted_out"
        assert client.get(feed_path("some-user-else")).json()["reason"] == "unknown_user"
        assert not client.delete(path).json()["opted_out"]
        assert client.get(feed_path(encoded(id_))).json()["reason"] == "unknown_user"

    def test_is_an_item_or_a_creator_as_well(self, client, id_):
        for subject in ("item", "creator"):
            assert client.put(flag_path(encoded(id_), subject, "recommendation")).json()["opted_out"]
        active = client.app.state.opt_out_service.opt_outs.active(None)
        assert (active.items, active.creators) == ({id_}, {id_})
        for subject in ("item", "creator"):
            client.delete(flag_path(encoded(id_), subject, "recommendation"))

    def test_asks_for_a_page_and_uses_its_switch(self, client, id_):
        page = client.get("/", params={"user_id": id_})
        assert f'name="user_id" value="{escape(id_)}"' in page.text
        switched = client.post("/personalization", data={"user_id": id_, "opted_out": "true"})
        assert switched.status_code == 200
        assert "You opted out" in switched.text
        assert client.get(flag_path(encoded(id_))).json()["opted_out"]
        client.delete(flag_path(encoded(id_)))


def test_a_proxy_may_have_decoded_the_slash(client):
    assert client.get("/v1/users/https://example.org//a/1/home-feed").json()["user_id"] == "https://example.org//a/1"
    record = client.put("/v1/opt-outs/user//acct/42//personalization").json()
    assert (record["subject_id"], record["opted_out"]) == ("/acct/42/", True)


def test_a_server_that_sends_no_raw_path(app):
    """`raw_path` is optional in ASGI."""

    async def without_raw_path(scope, receive, send):
        scope.pop("raw_path", None)
        await app(scope, receive, send)

    with TestClient(without_raw_path, base_url="http://localhost") as client:
        client.app = app
        assert client.get(feed_path("acct%2F42")).json()["user_id"] == "acct/42"


@pytest.mark.parametrize(("part", "reason"), NO_IDS)
def test_what_is_no_id_is_refused_with_the_reason(client, part, reason):
    for answer in (client.get(feed_path(part)), client.put(flag_path(part))):
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"][0]["why"] == reason
    form = f"user_id={part}&opted_out=true"
    switched = client.post("/personalization", content=form)
    assert switched.status_code == 422
    if reason != "is blank; give an id":  # a page without a user shows the fallback list; parse_qsl drops blank values
        assert switched.json()["errors"][0]["why"] == reason
        assert client.get(f"/?user_id={part}").json()["errors"][0] == {"where": "query.user_id", "why": reason}


@pytest.mark.parametrize("part", NOT_UTF_8)
def test_bytes_that_are_not_utf_8_are_no_id(client, part):
    """Servers decode them to U+FFFD, which is an id of its own."""
    for answer in (
        client.get(feed_path(part)),
        client.put(flag_path(part)),
        client.get(f"/?user_id={part}"),
        client.post("/personalization", content=f"user_id={part}&opted_out=true"),
    ):
        assert answer.status_code == 422
        assert "UTF-8" in answer.json()["detail"]
    assert not client.app.state.opt_out_service.opt_outs.show("user", "\ufffd")


def test_blanks_around_an_id_are_no_part_of_it(client):
    assert client.get(feed_path("%20user-1%09")).json()["user_id"] == "user-1"
    assert client.put(flag_path("%C2%A0user-1")).json()["subject_id"] == "user-1"
    assert "You opted out" in client.get("/", params={"user_id": " user-1 "}).text


@pytest.mark.parametrize("written", ["42", "42.0"])
def test_an_integer_written_as_a_float_is_the_same_user(client, lake, written):
    """A release of an earlier night, or of a column that mixes both, names the user `42.0`."""
    users = user_table(item_table())
    lake.publish(seed=1, users=replace(users, ids=np.array([*users.ids[: N_USERS - 1], written])))
    client.app.state.release_loader.load_first()
    for spelling in ("42", "42.0"):
        page = client.get(feed_path(spelling)).json()
        assert (page["user_id"], page["personalized"]) == ("42", True)
    client.put(flag_path("42.0"))
    assert client.get(feed_path("42")).json()["reason"] == "opted_out"


def test_a_slash_too_many_is_not_redirected_to_another_id(client):
    answer = client.get(f"{feed_path('a%3Fb')}/", follow_redirects=False)
    assert answer.status_code == 404


def test_no_id_reaches_a_label_or_a_log(client, caplog):
    caplog.set_level("DEBUG")
    client.get(feed_path("secret%2Fuser"))
    client.get(feed_path("secret%00user"))
    assert "secret" not in client.get("/metrics").text
    assert 'route="/v1/users/{user_id}/home-feed",status="422"' in client.get("/metrics").text
    assert "secret" not in "\n".join(r.getMessage() for r in caplog.records if r.name != "httpx2")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@example("\x85/")
@example("/\u2028")
def test_the_rule_is_that_of_every_other_entry_point(client, text):
    answers = [client.get(feed_path(encoded(text))), client.get(flag_path(encoded(text)))]
    if is_id(text):
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json()["user_id"] == answers[1].json()["subject_id"] == read_id(text)
    else:
        assert [answer.status_code for answer in answers] == [422, 422]


@pytest.mark.parametrize(("header", "languages"), [
    (None, None),
    ("", None),
    ("*", None),
    ("pt", {"pt"}),
    ("pt-BR,pt;q=0.9,en;q=0.8", {"pt", "en"}),
    ("EN-us", {"en"}),
    ("en;q=0, pt", {"pt"}),
    ("en, *;q=0.1", None),
    ("en;q=often", {"en"}),
    ("en;q=0", set()),
    ("pt_BR", {"pt"}),
    ("PT_br;q=0.5, zh_Hant-TW", {"pt", "zh"}),
])  # fmt: skip
def test_languages_are_accepted_unless_their_weight_is_zero(header, languages):
    assert accepted_languages(header) == languages
