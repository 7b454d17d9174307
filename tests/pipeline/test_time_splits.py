from datetime import UTC, date, datetime

from pipeline.time_splits import backtest_splits, night_splits

DAY = {day: datetime(2017, 3, day, tzinfo=UTC) for day in (1, 8, 15, 22, 29)}


def test_a_night_labels_its_published_ranker_with_the_held_out_week_too():
    splits = night_splits(date(2017, 3, 29), holdout_days=7, label_weeks=2)
    assert splits.eval_cutoffs == (DAY[22],)
    assert splits.training_cutoffs(DAY[22]) == (DAY[8], DAY[15])
    assert splits.training_cutoffs(splits.end) == (DAY[15], DAY[22])
    assert splits.cutoffs == (DAY[8], DAY[15], DAY[22], DAY[29])


def test_no_label_window_reaches_past_the_cutoff_it_serves():
    splits = night_splits(date(2017, 3, 29), holdout_days=7, label_weeks=5)
    for cutoff in (*splits.eval_cutoffs, splits.end):
        assert all(label + splits.step <= cutoff for label in splits.training_cutoffs(cutoff))


def test_a_rehearsal_cutoff_is_a_label_cutoff_with_earlier_ones_to_train_on():
    splits = night_splits(date(2017, 3, 29), holdout_days=7, label_weeks=3, rehearsal_weeks=2)
    assert splits.rehearsal_cutoffs == (DAY[8], DAY[15])
    assert splits.rehearsal_training_cutoffs(DAY[15]) == (DAY[1], DAY[8])
    assert splits.rehearsal_training_cutoffs(DAY[8]) == (DAY[1],)
    assert set(splits.rehearsal_cutoffs) <= set(splits.cutoffs), "it costs no features and no retrieval of its own"
    without = night_splits(date(2017, 3, 29), holdout_days=7, label_weeks=3)
    assert (without.rehearsal_cutoffs, without.cutoffs) == ((), splits.cutoffs)
    alone = night_splits(date(2017, 3, 29), holdout_days=7, label_weeks=1, rehearsal_weeks=2)
    assert alone.rehearsal_cutoffs == (), "the first label cutoff has none before it"


def test_a_backtest_of_one_week_is_the_night_without_publishing():
    splits = backtest_splits(date(2017, 3, 29), weeks=1, holdout_days=7, label_weeks=2)
    assert splits.cutoffs == (DAY[8], DAY[15], DAY[22])
    assert splits.eval_cutoffs == night_splits(date(2017, 3, 29), holdout_days=7, label_weeks=2).eval_cutoffs


def test_weeks_share_their_cutoffs():
    splits = backtest_splits(date(2017, 3, 29), weeks=2, holdout_days=7, label_weeks=1)
    assert splits.eval_cutoffs == (DAY[15], DAY[22])
    assert splits.cutoffs == (DAY[8], DAY[15], DAY[22])
