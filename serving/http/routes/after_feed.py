"""What follows a feed, or the feeds of many users: metrics, impressions, the exposure log and shadow mode. None of it
makes the answer wait."""

from collections.abc import Sequence

from fastapi import Request

from contracts.request_stages import MeasuredStage
from serving.bulk_feed import FeedBatch, ServedBatch
from serving.exposure_log import ExposureLog
from serving.feed import Feed, ServedFeed
from serving.http.request_metrics import RequestMetrics
from serving.impression_recorder import ImpressionRecorder
from serving.shadow_mode import ShadowMode


def record_feed(request: Request, served: ServedFeed) -> Feed:
    """Record one page, and return it."""
    request.state.release, request.state.stages = served.feed.release, served.stages
    metrics: RequestMetrics = request.app.state.metrics
    recorder: ImpressionRecorder = request.app.state.recorder
    exposure_log: ExposureLog = request.app.state.exposure_log
    metrics.feeds.observe(served)
    recorder.record(served.feed)
    exposure_log.record(served.feed, served.choice, served.page)
    shadow: ShadowMode = request.app.state.shadow
    shadow.record(served)
    return served.feed


def record_feeds(request: Request, served: ServedBatch, stages: Sequence[MeasuredStage]) -> FeedBatch:
    """Record the first pages of many users, and return them. Shadow mode compares single feeds only."""
    request.state.release, request.state.stages = served.batch.release, stages
    metrics: RequestMetrics = request.app.state.metrics
    recorder: ImpressionRecorder = request.app.state.recorder
    exposure_log: ExposureLog = request.app.state.exposure_log
    metrics.feeds.observe_many(served.batch.feeds, stages)
    for feed in served.batch.feeds:
        user = feed.user_id or ""
        recorder.record(feed)
        exposure_log.record(feed, served.choices[user], served.pages[user])
    return served.batch
