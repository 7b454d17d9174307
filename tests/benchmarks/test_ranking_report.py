"""How the page of the ranking benchmark reports a missed target."""

from benchmarks.ranking_report import percent, verdicts


def run(**ndcg: float) -> dict:
    """A run of final 0.33 with an interval of half-width 0.01 everywhere."""
    figures = {"final": 0.33, **ndcg}
    return {
        "k": 10,
        "tuned_on": "ndcg_at_10",
        "ours": "final",
        "target": 1.1,
        "methods": {name: {"figures": {"ndcg_at_10": value}} for name, value in figures.items()},
        "gains": {
            name: {"ndcg_at_10": {"mean": 0.33 - value, "low": 0.32 - value, "high": 0.34 - value}}
            for name, value in ndcg.items()
        },
    }


def test_misses_come_first() -> None:
    sentences = verdicts(run(two_tower=0.25, ials=0.32, ease=0.4))
    assert sentences == [
        "**Not reached** over `ials`: +3.1 % NDCG@10, +0.0100 [+0.0000, +0.0200]; "
        "10 % and an interval above zero wanted.",
        "Reached over `two_tower`: +32.0 % NDCG@10, +0.0800 [+0.0700, +0.0900]; "
        "10 % and an interval above zero wanted.",
    ]


def test_enough_on_average_does_not_reach_where_the_interval_holds_zero() -> None:
    wide = run(two_tower=0.3)
    wide["gains"]["two_tower"]["ndcg_at_10"]["low"] = -0.01
    assert verdicts(wide)[0].startswith("**Not reached** over `two_tower`: +10.0 %")


def test_a_baseline_of_zero_has_no_per_cent() -> None:
    assert percent(run(most_popular=0.0), "most_popular") == ""
    assert percent(run(), "final") == ""
