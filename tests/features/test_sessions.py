from contracts.schemas import SESSIONS
from features import sessions

MINUTE = 1 / 60


def visits(rows, frame):
    """Event ids by session."""
    by_session = {}
    for row in rows(frame):
        by_session.setdefault((row["user_id"], row["session_id"]), []).append(row["event_id"])
    return sorted(map(sorted, by_session.values()))


def test_silence_ends_a_session(events, rows, hours):
    frame = sessions(
        events(
            ("ana", "click", "x", -10),
            ("ana", "click", "y", -10 + 29 * MINUTE),
            ("ana", "save", "y", -10 + 58 * MINUTE),
            ("ana", "click", "z", -10 + 88 * MINUTE),  # 30 minutes after the one before
            ("bob", "click", "x", -10),
        ),
        gap_minutes=30,
    )
    assert frame.columns == SESSIONS.names
    assert visits(rows, frame) == [["e0", "e1", "e2"], ["e3"], ["e4"]]
    assert [row["session_started_at"] for row in rows(frame)] == [hours(-10)] * 3 + [hours(-10 + 88 * MINUTE)] + [
        hours(-10)
    ]


def test_a_given_session_is_kept_however_long_the_silence(events, rows, hours):
    given = {"session_id": "s"}
    frame = sessions(
        events(
            ("ana", "click", "x", -10, given),
            ("ana", "click", "y", -9.9),  # without a session id: not part of the given one
            ("ana", "click", "z", -5, given),
            ("ana", "click", "w", -9.8),
            ("bob", "click", "x", -3, given),  # another user's session of the same name
        ),
        gap_minutes=30,
    )
    assert visits(rows, frame) == [["e0", "e2"], ["e1", "e3"], ["e4"]]
    by_id = {row["event_id"]: row for row in rows(frame)}
    assert by_id["e2"]["session_id"] == "s"
    assert by_id["e2"]["session_started_at"] == hours(-10)
    assert by_id["e4"]["session_started_at"] == hours(-3)


def test_later_events_rename_no_session(events, rows):
    two_clicks = [("ana", "click", "x", -10), ("ana", "click", "y", -2)]
    before = rows(sessions(events(*two_clicks), gap_minutes=30))
    after = rows(sessions(events(*two_clicks, ("ana", "click", "z", 5), ("ana", "save", "y", -1.9)), gap_minutes=30))
    assert [row for row in after if row["event_id"] in ("e0", "e1")] == before


def test_without_events_there_are_no_sessions(events, rows):
    assert rows(sessions(events(), gap_minutes=30)) == []
