"""Airflow's settings for a lake."""

from pathlib import Path

from contracts import Settings
from pipeline.airflow_servers import ROOT, SERVERS, airflow_environment, server_environment
from pipeline.lake import Lake


def test_airflow_lives_in_the_lake_unless_the_settings_name_a_home(tmp_path: Path) -> None:
    home = Lake(tmp_path)
    environment = airflow_environment(Settings(), home)
    assert environment["AIRFLOW_HOME"] == str(tmp_path / ".airflow")
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(ROOT / "dags")
    elsewhere = airflow_environment(Settings(airflow_home=tmp_path / "af"), home)
    assert elsewhere["AIRFLOW_HOME"] == str(tmp_path / "af")


def test_the_folder_of_dags_is_the_one_of_this_checkout() -> None:
    assert (ROOT / "dags" / "nightly.py").is_file()


def test_every_address_is_loopback_with_the_port_that_was_given(tmp_path: Path) -> None:
    environment = server_environment(Settings(), Lake(tmp_path), 8123)
    addresses = {
        name: value for name, value in environment.items() if name.startswith(("AIRFLOW__API", "AIRFLOW__CORE__EX"))
    }
    assert addresses["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert addresses["AIRFLOW__API__PORT"] == "8123"
    assert addresses["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8123"
    assert addresses["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"
    assert "--skip-serve-logs" in SERVERS["scheduler"], "the log server listens on every address"
