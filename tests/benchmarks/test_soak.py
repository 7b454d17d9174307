"""A soak of a minute with real server processes, and that each condition can fail. Here the purpose is what happens to
the server, not the load: 12 feeds and 5 changes of opt-outs a second.
"""

import json
import re

from benchmarks.benchmark_report import write_report
from benchmarks.soak import SoakPlan, failures, soak
from benchmarks.soak_client import Answer, SoakState, cause_of, is_of_one_release
from benchmarks.synthetic_tables import Size
from pipeline.stage_progress import StageProgress
from ranking.reranker import RerankerConfig

SECONDS = 60
QUICK = RerankerConfig(models=1, rounds=10)


def test_no_condition_fails_while_releases_opt_outs_and_workers_change(tmp_path):
    out = tmp_path / "soak"
    out.mkdir()
    plan = SoakPlan(
        out,
        "tastefeed bench soak",
        SECONDS,
        rate=12,
        changes_per_s=5,
        swap_every_s=8,
        rollback_every_s=25,
        kill_every_s=28,
    )
    result = soak(Size(items=1000, users=300), plan, StageProgress(), QUICK)
    counts = result["counts"]
    assert result["failures"] == [], counts
    assert (counts["mixed_releases"], counts["profiled_after_opt_out"]) == (0, 0)
    assert counts["killed_workers"] == 2
    assert result["feeds_per_s"] > 8
    assert result["changes_per_s"] > 3
    assert min(counts[name] for name in ("feeds", "feeds_without_a_profile", "opt_out_changes", "swaps")) > 0
    assert counts["rollbacks"] > 0
    assert counts["releases_served"] >= 2
    assert "Every condition held." in write_report([out], tmp_path / "docs").read_text()
    log = (out / "server.log").read_text()
    assert "Traceback" not in log
    assert not re.search(r"/u\d", log), "a path with a user's id"


def feed(release: str, *items: str, evidence: str | None = None) -> dict:
    explanation = {"item_id": evidence} if evidence else None
    return {"release": release, "items": [{"item_id": item, "explanation": explanation} for item in items]}


def test_a_page_that_mixes_two_releases_is_found():
    prefixes = {"v1": "a-", "v2": "b-"}
    assert is_of_one_release(feed("v1", "a-i1", "a-i2"), prefixes)
    assert not is_of_one_release(feed("v1", "a-i1", "b-i2"), prefixes)
    assert not is_of_one_release(feed("v2", "a-i1"), prefixes)
    assert not is_of_one_release(feed("v1", "a-i1", evidence="b-i2"), prefixes)
    assert not is_of_one_release(feed("v1"), prefixes)


def test_an_opt_out_counts_from_its_acknowledgement_until_it_is_withdrawn():
    state = SoakState({})
    assert state.opt_out_of("u1") is None
    state.opted_out("u1")
    first = state.opt_out_of("u1")
    assert first is not None
    state.opting_in("u1")
    assert state.opt_out_of("u1") is None
    state.opted_out("u1")
    assert state.opt_out_of("u1") != first  # an answer from between the two is not judged by the second


def test_a_refusal_is_counted_by_its_cause():
    refusal = json.dumps({"type": "urn:tastefeed:problem:opt-out-store-unavailable", "status": 503}).encode()
    assert cause_of(Answer(503, refusal)) == "opt_out_store_unavailable"


def test_every_condition_can_fail(tmp_path):
    state = SoakState({}, versions={"v1"})
    names = "status_500 mixed_releases profiled_after_opt_out broken_connections opt_out_changes_not_acknowledged"
    for name in names.split():
        state.count(name)
    found = failures(state, SoakPlan(tmp_path, ""), workers=1)
    assert len(found) == 7
    assert failures(SoakState({}, versions={"v1", "v2"}), SoakPlan(tmp_path, ""), workers=2) == []
