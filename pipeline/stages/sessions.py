"""Events get their sessions."""

import features
from contracts import columns as c
from pipeline.run_context import RunContext, Summary


def sessions(night: RunContext) -> Summary:
    """Give every event its session: the given one, else what lies between two silences."""
    night.overwrite("sessions", features.sessions(night.read("events"), gap_minutes=night.settings.session_gap_minutes))
    return {"sessions": night.read("sessions").select(c.USER_ID, c.SESSION_ID).distinct().count()}
