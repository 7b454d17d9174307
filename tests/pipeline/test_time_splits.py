from datetime import UTC, date, datetime

from pipeline.time_splits import backtest_plan, night_plan

DAY = {day: datetime(2017, 3, day, tzinfo=UTC) for day in (1, 8, 15, 22, 29)}


def test_a_night_labels_its_published_ranker_with_the_held_out_week_too():
    plan = night_plan(date(2017, 3, 29), holdout_days=7, label_weeks=2)
    assert plan.measured == (DAY[22],)
    assert plan.label_cuts(DAY[22]) == (DAY[8], DAY[15])
    assert plan.label_cuts(plan.end) == (DAY[15], DAY[22])
    assert plan.cuts == (DAY[8], DAY[15], DAY[22], DAY[29])


def test_no_label_window_reaches_past_the_cut_it_serves():
    plan = night_plan(date(2017, 3, 29), holdout_days=7, label_weeks=5)
    for cut in (*plan.measured, plan.end):
        assert all(label + plan.step <= cut for label in plan.label_cuts(cut))


def test_a_rehearsal_is_a_label_cut_that_earlier_ones_teach():
    plan = night_plan(date(2017, 3, 29), holdout_days=7, label_weeks=3, rehearsal_weeks=2)
    assert plan.rehearsals == (DAY[8], DAY[15])
    assert plan.rehearsal_label_cuts(DAY[15]) == (DAY[1], DAY[8])
    assert plan.rehearsal_label_cuts(DAY[8]) == (DAY[1],)
    assert set(plan.rehearsals) <= set(plan.cuts), "it costs no features and no retrieval of its own"
    without = night_plan(date(2017, 3, 29), holdout_days=7, label_weeks=3)
    assert (without.rehearsals, without.cuts) == ((), plan.cuts)
    alone = night_plan(date(2017, 3, 29), holdout_days=7, label_weeks=1, rehearsal_weeks=2)
    assert alone.rehearsals == (), "the first label cut has none before it"


def test_a_backtest_of_one_week_is_the_night_without_publishing():
    plan = backtest_plan(date(2017, 3, 29), weeks=1, holdout_days=7, label_weeks=2)
    assert plan.cuts == (DAY[8], DAY[15], DAY[22])
    assert plan.measured == night_plan(date(2017, 3, 29), holdout_days=7, label_weeks=2).measured


def test_weeks_share_their_cuts():
    plan = backtest_plan(date(2017, 3, 29), weeks=2, holdout_days=7, label_weeks=1)
    assert plan.measured == (DAY[15], DAY[22])
    assert plan.cuts == (DAY[8], DAY[15], DAY[22])
