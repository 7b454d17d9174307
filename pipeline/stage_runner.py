"""Run one stage of the night: time it, keep its summary, print it, and record a refusal."""

import time
from importlib import import_module

from pipeline.console import say
from pipeline.refusals import REFUSALS, keep_refusal, refused_before
from pipeline.refusals import SUMMARY as NOT_PROFILED
from pipeline.run_context import RunContext, Summary
from pipeline.stages import STAGES

LAST = STAGES[-1]


def run_stage(night: RunContext, stage: str) -> Summary:
    """Run one stage by its name, time it, keep and print its summary.

    Where an earlier stage refused and the night goes on without models, only `release` still has something to do.
    """
    started = time.perf_counter()
    refused = refused_before(night, stage)
    if refused and stage != LAST:
        summary: Summary = {"skipped": f"{refused} refused"}
    else:
        summary = _summary_of(night, stage)
    summary = {"seconds": round(time.perf_counter() - started, 2), **summary}
    night.write_summary(stage, summary)
    say(stage, summary)
    return summary


def _summary_of(night: RunContext, stage: str) -> Summary:
    function = getattr(import_module(f"pipeline.stages.{stage}"), stage)
    try:
        return function(night) or {}
    except REFUSALS as refusal:
        keep_refusal(night, stage, refusal)
        said = {name: value for name, value in night.summary(stage).items() if name != "seconds"}
        return {**said, "refused": night.summary(NOT_PROFILED)["message"]}
