"""Opt-outs, releases, indexes, the feed, the HTTP app and its page.

Must never import pyspark, airflow, mlflow or torch: it starts in a second or two. The doors: `server.serve` runs the
HTTP calls, `feed.HomeFeed` and `recommend.recommend` make lists, `release.write_release` and `publish.publish` make a
release current, `scrub.scrub` forgets people in it, `opt_outs.OptOutStore` and `pending_events.PendingEvents` keep what
people said and did. `contracts.Settings` gives the path or URL of each of them.
"""
