"""Run one stage of the night: time it, write and print its summary, and record a refusal."""

import time

from pipeline.console import print_stage
from pipeline.model_refusals import REFUSALS, keep_refusal, refused_before
from pipeline.model_refusals import SUMMARY as REDUCED
from pipeline.run_context import RunContext, Summary
from pipeline.stages import STAGES


def run_stage(night: RunContext, name: str) -> Summary:
    """Run one stage by its name and return its summary.

    After an earlier stage refused the models of a night that goes on, only stages that need no models still run.
    """
    started = time.perf_counter()
    refused = refused_before(night, name)
    if refused and STAGES[name].needs_models:
        summary: Summary = {"skipped": f"{refused} refused"}
    else:
        summary = _summary_of(night, name)
    summary = {"seconds": round(time.perf_counter() - started, 2), **summary}
    night.write_summary(name, summary)
    print_stage(name, summary)
    return summary


def _summary_of(night: RunContext, name: str) -> Summary:
    stage = STAGES[name].load()
    try:
        with night.progress.shown(name):
            return stage(night)
    except REFUSALS as refusal:
        keep_refusal(night, name, refusal)
        written = {figure: value for figure, value in night.summary(name).items() if figure != "seconds"}
        return {**written, "refused": night.summary(REDUCED)["message"]}
