"""A typed client for the HTTP API of tastefeed. It imports nothing of the server."""

from tastefeed_client.async_client import AsyncTastefeedClient
from tastefeed_client.client_errors import NoAnswer, RequestRefused, TastefeedClientError
from tastefeed_client.response_models import (
    CurrentRelease,
    Event,
    Explanation,
    Feed,
    FeedBatch,
    FeedItem,
    OptOut,
    Receipt,
    RowError,
)
from tastefeed_client.retry_policy import RetryPolicy
from tastefeed_client.sync_client import TastefeedClient

__all__ = [
    "AsyncTastefeedClient",
    "CurrentRelease",
    "Event",
    "Explanation",
    "Feed",
    "FeedBatch",
    "FeedItem",
    "NoAnswer",
    "OptOut",
    "Receipt",
    "RequestRefused",
    "RetryPolicy",
    "RowError",
    "TastefeedClient",
    "TastefeedClientError",
]
