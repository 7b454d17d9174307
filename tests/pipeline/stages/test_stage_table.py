"""The table of stages: one entry a stage, in an order that its dependencies allow, and nothing heavy to read it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.stages import STAGE_NAMES, STAGES
from pipeline.stages.feature_tables import FEATURE_TABLES

HEAVY = "torch", "pyspark", "pandas", "mlflow", "lightgbm", "airflow"


def test_names_are_unique_and_the_order_allows_every_dependency() -> None:
    assert tuple(stage.name for stage in STAGES.values()) == STAGE_NAMES
    for position, name in enumerate(STAGE_NAMES):
        assert set(STAGES[name].upstream) <= set(STAGE_NAMES[:position]), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", STAGE_NAMES)
def test_every_entry_imports_a_function(name: str) -> None:
    assert callable(STAGES[name].load())


def test_every_feature_table_is_a_stage() -> None:
    assert set(FEATURE_TABLES) < set(STAGE_NAMES)


def test_every_stage_but_the_first_waits_for_another_and_the_last_for_all() -> None:
    assert [name for name in STAGE_NAMES if not STAGES[name].upstream] == ["forget"]
    waited_for = {before for stage in STAGES.values() for before in stage.upstream}
    assert set(STAGE_NAMES) - waited_for == {"release"}


def test_a_backtest_neither_forgets_nor_publishes() -> None:
    assert [name for name in STAGE_NAMES if not STAGES[name].in_backtest] == ["forget", "gates", "release"]


def test_only_what_a_list_without_models_reads_needs_no_models() -> None:
    after_events = STAGE_NAMES[STAGE_NAMES.index("events") + 1 :]
    assert [name for name in after_events if not STAGES[name].needs_models] == [
        *("sessions", "interactions", "item_features", "release")
    ]


def test_reading_the_table_imports_nothing_heavy() -> None:
    code = f"import sys, pipeline.stages; print(sorted({set(HEAVY)} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"
