import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts import Settings
from contracts.errors import BadSetting, LakeMissing


def test_paths_and_urls_lie_in_the_folder_of_the_lake(tmp_path: Path) -> None:
    settings = Settings(lake=str(tmp_path))
    assert settings.release_root == tmp_path / "releases"
    assert settings.opt_out_dsn == f"sqlite:///{tmp_path}/opt_outs.db"
    assert settings.events_dsn == f"sqlite:///{tmp_path}/pending_events.db"


def test_a_set_url_takes_precedence() -> None:
    settings = Settings(opt_out_url="postgresql://host/a", events_url="postgresql://host/b")
    assert settings.opt_out_dsn == "postgresql://host/a"
    assert settings.events_dsn == "postgresql://host/b"


@pytest.mark.parametrize("lake", ["s3://bucket/lake", "memory://lake"])
def test_a_remote_lake_has_a_local_folder(lake: str) -> None:
    assert Settings(lake=lake).lake_folder == Path.cwd() / "lake"


def test_a_file_url_is_a_local_folder(tmp_path: Path) -> None:
    assert Settings(lake=f"file://{tmp_path}").lake_folder == tmp_path


def test_a_missing_lake_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(LakeMissing, match=r"absent: no such lake; .*tastefeed import"):
        Settings(lake=str(tmp_path / "absent")).require_lake_folder()
    assert not (tmp_path / "absent").exists()


def test_a_file_is_not_a_lake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LakeMissing, match="is a file, not a lake"):
        Settings(lake=str(tmp_path / "file")).require_lake_folder()


def test_a_path_that_would_be_read_as_another_is_refused(tmp_path: Path) -> None:
    for name, found in (("a[1]", "[ ]"), ("a{b,c}", "{ }"), ("what?", "?"), ("50%20", "%"), ("all*", "*")):
        message = f"{tmp_path}/{name}/lake: the path of a lake must not contain {found}; rename the folder"
        with pytest.raises(BadSetting, match=re.escape(message)):
            _ = Settings(lake=str(tmp_path / name / "lake")).opt_out_dsn
    assert Settings(lake=str(tmp_path / "é 'x' #+&=:")).lake_folder == tmp_path / "é 'x' #+&=:"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEFEED_SEED", "11")
    assert Settings().seed == 11


def test_keys_are_never_printed() -> None:
    assert "secret" not in repr(Settings(feed_keys="secret"))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"max_bad_share": 2}, {"label_weeks": 0}, {"unknown": 1}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]
