"""The page of a feed, its switch, and the page of the API."""

import pytest

from tests.serving.conftest import is_problem


class TestPage:
    def test_shows_a_feed(self, client):
        page = client.get("/", params={"user_id": "user-1"}).text
        for words in ("Picked for you", "Title 27", "by c2", "Because you saved “Title 8”", "Stop personalizing"):
            assert words in page

    def test_without_a_user_it_is_the_fallback_list(self, client):
        page = client.get("/").text
        assert "For everyone" in page
        assert "Stop personalizing" not in page

    def test_the_switch_works_and_works_back(self, client):
        for opted_out, words in (("true", "You opted out"), ("false", "Picked for you")):
            page = client.post("/personalization", data={"user_id": "user-1", "opted_out": opted_out})
            assert page.status_code == 200
            assert words in page.text

    def test_the_switch_is_for_this_page_alone(self, client):
        form = {"user_id": "user-1", "opted_out": "true"}
        answer = client.post("/personalization", data=form, headers={"Origin": "https://evil.example"})
        assert (
            is_problem(answer, 403)["detail"]
            == "this form was sent from another site; open this server's own page and use its button"
        )
        assert client.get("/v1/users/user-1/home-feed").json()["personalized"]

    @pytest.mark.parametrize(("headers", "status"), [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({}, 200),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8001"}, 403),
        ({"Origin": "http://localhost:8000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"}, 403),
        ({"Origin": ""}, 403),
    ])  # fmt: skip
    def test_the_switch_trusts_the_browser_about_the_sender(self, client, headers, status):
        form = {"user_id": "user-1", "opted_out": "true"}
        assert client.post("/personalization", data=form, headers=headers).status_code == status

    @pytest.mark.parametrize(
        "form", ["", "user_id=user-1", "opted_out=true", "user_id=u&opted_out=maybe", "é", "a&" * 9]
    )
    def test_a_form_that_is_not_whole(self, client, form):
        is_problem(client.post("/personalization", content=form), 422)

    def test_the_page_links_to_the_next_one_where_there_is_one(self, client):
        first = client.get("/", params={"user_id": "stranger"}).text
        assert "Next page" not in first  # the fallback list has 28 items
        assert "Next page" in client.get("/", params={"user_id": "user-1"}).text

    def test_a_cursor_that_leads_nowhere_leads_to_the_top(self, client):
        answer = client.get("/", params={"user_id": "a/b", "cursor": "?"}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/?user_id=a%2Fb")

    @pytest.mark.parametrize("flag", ["personalization", "erasure"])
    def test_an_opted_out_user_sees_the_fallback_list_with_or_without_a_cursor(self, client, flag):
        cursor = client.get("/v1/users/user-1/home-feed", params={"limit": 5}).json()["cursor"]
        client.put(f"/v1/opt-outs/user/user-1/{flag}")
        for query in ({}, {"cursor": cursor}):
            page = client.get("/", params={"user_id": "user-1", **query}).text
            assert "You opted out" in page
            assert "Because you" not in page
            assert ("Personalize again" in page) is (flag == "personalization")  # it cannot take an erasure back

    def test_a_switched_off_personalization_is_not_blamed_on_opt_outs(self, client):
        client.put("/v1/admin/switches/personalization")
        page = client.get("/", params={"user_id": "user-1"}).text
        assert "Personal lists are switched off for everyone" in page
        assert "cannot be read" not in page

    def test_an_empty_list_of_everyone_does_not_claim_that_it_was_read(self, client):
        for source in ("fresh", "popular"):
            client.put(f"/v1/admin/switches/{source}")
        page = client.get("/").text
        assert "There is nothing to show yet." in page

    @pytest.mark.parametrize(
        ("query", "words"), [("user_id=%00", "control character"), ("user_id=" + "x" * 513, "513")]
    )
    def test_an_error_is_a_page_for_a_browser_alone(self, client, query, words):
        answer = client.get(f"/?{query}", headers={"Accept": "text/html,*/*;q=0.8"})
        assert answer.status_code == 422
        assert f"<h1>Unprocessable {'Content' if 'Content' in answer.text else 'Entity'}</h1>" in answer.text
        assert words in answer.text
        assert "style-src 'sha256-" in answer.headers["content-security-policy"]
        is_problem(client.get(f"/?{query}"), 422)

    def test_markup_in_ids_is_text(self, client):
        page = client.get("/", params={"user_id": "<script>alert(1)</script>"}).text
        assert "<script>" not in page

    @pytest.mark.parametrize("path", ["/", "/docs"])
    def test_loads_nothing_from_elsewhere(self, client, path):
        answer = client.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
        assert "src=" not in answer.text

    def test_docs_name_calls_and_shapes(self, client):
        page = client.get("/docs").text
        for words in ("GET /v1/users/{user_id}/home-feed", "Sec-GPC", "Global Privacy Control", "FlagState"):
            assert words in page
