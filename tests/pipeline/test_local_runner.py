"""One night at a time on a lake, and Airflow's files beside it."""

from pathlib import Path

import pytest

from contracts import Settings
from contracts.errors import NightRunning
from pipeline.lake import Lake
from pipeline.local_runner import ROOT, airflow_environment, locked


def test_a_second_night_on_a_lake_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with locked(lake):
        with (
            pytest.raises(NightRunning, match="another night is running on this lake; wait for it to end"),
            locked(lake),
        ):
            pass
        with locked(Lake(tmp_path / "other")):
            pass
    with locked(lake):
        pass


def test_a_night_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(KeyboardInterrupt), locked(lake):
        raise KeyboardInterrupt
    with locked(lake):
        pass


def test_airflow_lives_in_the_lake_unless_the_settings_name_a_home(tmp_path: Path) -> None:
    home = Lake(tmp_path)
    environment = airflow_environment(Settings(), home)
    assert environment["AIRFLOW_HOME"] == str(tmp_path / ".airflow")
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(ROOT / "dags")
    assert environment["AIRFLOW__LOGGING__LOGGING_LEVEL"] == "CRITICAL"
    elsewhere = airflow_environment(Settings(airflow_home=tmp_path / "af"), home, debug=True)
    assert elsewhere["AIRFLOW_HOME"] == str(tmp_path / "af")
    assert elsewhere["AIRFLOW__LOGGING__LOGGING_LEVEL"] == "ERROR"


def test_the_folder_of_dags_is_the_one_of_this_checkout() -> None:
    assert (ROOT / "dags" / "nightly.py").is_file()
