"""The benchmark of serving on a tiny release: its files, and a page with the command to run it again."""

import json

from benchmarks.serving_benchmark import measure
from tests.serving.conftest import lake, published  # noqa: F401  fixtures
from tests.serving.tiny import N_USERS


def test_it_measures_every_part_and_writes_the_page(lake, tmp_path):  # noqa: F811
    costs = measure(lake.settings(), tmp_path, "tastefeed bench serving")
    assert (costs.users, costs.many_users, costs.batch_rows) == (N_USERS, N_USERS, N_USERS * 38)
    assert json.loads((tmp_path / "metrics.json").read_text())["release"] == costs.release
    assert (tmp_path / "lists" / "part-00000.parquet").exists()
    page = (tmp_path / "benchmarks-serving.md").read_text()
    assert f"| {costs.batch_users_per_cpu_s:,} |" in page
    assert page.endswith("Run it again: `tastefeed bench serving`\n")
