"""Cut the events into sessions."""

from tastefeed import features
from tastefeed.pipeline.night import Night, Summary


def sessions(night: Night) -> Summary:
    """Give every event its session."""
    night.overwrite("sessions", features.sessions(night.read("events"), gap_minutes=night.settings.session_gap_minutes))
    return {"sessions": night.read("sessions").select("session_id").distinct().count()}
