"""Limits on the requests of each key."""

import pytest
from fastapi.testclient import TestClient

from contracts.errors import BadSetting
from serving.app import create_app
from tests.serving.conftest import ADMIN, FEED, is_problem

PATH = "/v1/releases/current"


def test_a_key_above_its_limit_gets_the_time_to_wait(lake):
    settings = lake.settings(feed_keys="f2,f3", admin_keys="a1", rate_limit="3/minute")
    with TestClient(create_app(settings)) as client:
        assert [client.get(PATH, headers=FEED).status_code for _ in range(3)] == [200] * 3
        refused = client.get(PATH, headers=FEED)
        problem = is_problem(refused, 429)
        assert problem["detail"] == (
            "this key may send 3 per 1 minute (TASTEFEED_RATE_LIMIT); wait as many seconds as Retry-After has"
        )
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        is_problem(client.get("/", auth=("me", "f2")), 429)  # the page takes the same keys
        assert client.get(PATH, headers=ADMIN).status_code == 200  # each key has its own count
        assert client.get(PATH, headers={"Authorization": "Bearer f3"}).status_code == 200
        is_problem(client.get(PATH), 401)
        assert client.get("/readyz").status_code == 200
        counted = 'tastefeed_requests_total{method="GET",route="unmatched",status="429"} 2.0'
        assert counted in client.get("/metrics").text


def test_all_limits_hold(lake):
    settings = lake.settings(feed_keys="f2", rate_limit="100/second; 2 per hour")
    with TestClient(create_app(settings)) as client:
        statuses = [client.get(PATH, headers=FEED) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 200, 429]
    assert int(statuses[-1].headers["Retry-After"]) > 3500


@pytest.mark.parametrize("setting", ["many", "0/second", "5/second;", "-1/second", "10/fortnight"])
def test_what_is_no_limit_is_refused(lake, setting):
    with pytest.raises(BadSetting, match="is no limit; write one as in 100/second"):
        create_app(lake.settings(rate_limit=setting))
