"""Opt-outs over HTTP."""

from datetime import UTC, datetime, timedelta


class TestOptOuts:
    def test_a_flag_that_was_never_set(self, client):
        assert client.get("/v1/opt-outs/user/ann/erasure").json() == {
            "subject_type": "user", "subject_id": "ann", "flag": "erasure", "opted_out": False, "effective_at": None,
        }  # fmt: skip

    def test_put_get_delete(self, client):
        path = "/v1/opt-outs/creator/c1/recommendation"
        record = client.put(path).json()
        assert record["opted_out"]
        assert abs(datetime.fromisoformat(record["effective_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
        assert client.get(path).json() == record
        assert not client.delete(path).json()["opted_out"]
        assert not client.get(path).json()["opted_out"]

    def test_erasure_drops_pending_events_and_takes_no_more(self, client):
        row = {"user_id": "user-1", "item_id": "i3", "action": "click", "timestamp": "2017-03-02T00:00:00"}
        client.post("/v1/events", json={"events": [row]})
        pending = client.app.state.event_store
        assert pending.rows().num_rows == 1
        client.put("/v1/opt-outs/user/user-1/erasure")
        assert pending.rows().num_rows == 0
        receipt = client.post("/v1/events", json={"events": [row, {**row, "user_id": "user-2"}]}).json()
        assert (receipt["accepted"], receipt["errors"][0]["reason"]) == (1, "erased")
        assert pending.rows()["user_id"].to_pylist() == ["user-2"]
