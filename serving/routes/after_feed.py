"""What follows a feed: metrics, impressions, the exposure log and shadow mode. None of it makes the answer wait."""

from fastapi import Request

from serving.exposure_log import ExposureLog
from serving.feed import Feed, ServedFeed
from serving.impression_recorder import ImpressionRecorder
from serving.request_metrics import RequestMetrics
from serving.shadow_mode import ShadowMode


def record_feed(request: Request, served: ServedFeed) -> Feed:
    """Record one page, and return it."""
    request.state.release, request.state.stages = served.feed.release, served.stages
    metrics: RequestMetrics = request.app.state.metrics
    recorder: ImpressionRecorder = request.app.state.recorder
    exposure_log: ExposureLog = request.app.state.exposure_log
    metrics.feeds.observe(served)
    recorder.record(served.feed)
    exposure_log.record(served)
    shadow: ShadowMode = request.app.state.shadow
    shadow.record(served)
    return served.feed
