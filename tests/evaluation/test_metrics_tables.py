from io import StringIO

import numpy as np
from rich.console import Console

from evaluation import GateConfig, judge, markdown, metrics_table, rich_table, verdicts_table
from tests.evaluation.builders import measured

METHODS = [
    measured("final", [0.5, 0.25], coverage_at_20=0.1),
    measured("newest_first", [0.25, 0.25], coverage_at_20=0.4),
]


def test_methods_beside_metrics():
    table = metrics_table(METHODS)
    assert table.columns == ["method", "users", "ndcg_at_20", "coverage_at_20"]
    assert table.rows() == [("final", 2, 0.375, 0.1), ("newest_first", 2, 0.25, 0.4)]


def test_columns_are_picked_and_ordered_and_what_lacks_is_null():
    assert metrics_table(METHODS, ["mrr_at_20", "ndcg_at_20"]).rows()[0] == ("final", 2, None, 0.375)
    assert metrics_table([]).shape == (0, 2)


def test_markdown_highlights_the_best_accuracy_and_no_best_coverage():
    assert markdown(metrics_table(METHODS)) == (
        "| Method | Users | NDCG@20 | Coverage@20 |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| final | 2 | **0.3750** | 0.1000 |\n"
        "| newest_first | 2 | 0.2500 | 0.4000 |\n"
    )


def test_rows_that_do_not_compete_are_not_marked():
    assert "| final | 2 | 0.3750 | 0.1000 |" in markdown(metrics_table(METHODS), marked=False)


def test_nothing_measured_is_a_dash_and_never_the_best():
    table = metrics_table([measured("final", [np.nan]), METHODS[1]], ["ndcg_at_20", "mrr_at_20"])
    assert "| final | 1 | – | – |" in markdown(table)
    assert "**0.2500**" in markdown(table)


def test_a_terminal_shows_the_same_numbers():
    console = Console(width=100, record=True, file=StringIO())
    console.print(rich_table(metrics_table(METHODS), title="The night"))
    text = console.export_text()
    assert all(word in text for word in ("The night", "NDCG@20", "newest_first", "0.3750", "0.4000"))


def test_verdicts_as_a_table():
    config = GateConfig(must_beat=("newest_first",), retrieval_must_beat=(), reranked_must_beat=(), min_users=2)
    table = verdicts_table(judge(METHODS[0], METHODS[1:], config=config))
    assert table["gate"].to_list() == ["finite_metrics", "final_beats_newest_first"]
    assert table["passed"].to_list() == [True, True]
    # drawn from the users' gains 0.25 and 0
    assert table.row(1)[2:6] == (0.375, 0.25, 0.0, 0.25)
    assert "| finite_metrics | yes |" in markdown(table)
