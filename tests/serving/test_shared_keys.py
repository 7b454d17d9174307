"""The keys in files of a lake: shared by the group of the lake, and never replaced by another one without a word."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from contracts import Settings
from contracts.errors import BadSetting
from serving.privacy.pseudonyms import KEY_FILE, pseudonym_key
from tests.tiny import BOUND_BY_PERMISSIONS

READ = """
import sys
from contracts import Settings
from serving.privacy.pseudonyms import pseudonym_key
print(pseudonym_key(Settings(lake=sys.argv[1])))
"""


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(lake=str(tmp_path))


def test_the_group_of_the_lake_may_read_a_key(settings, tmp_path):
    if os.geteuid() == 0:
        os.chown(tmp_path, -1, 4321)
    key = pseudonym_key(settings)
    made = (tmp_path / KEY_FILE).stat()
    assert (stat.S_IMODE(made.st_mode), made.st_gid) == (0o640, tmp_path.stat().st_gid)
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert pseudonym_key(settings) == key


def test_a_key_of_an_earlier_version_is_given_to_the_group_by_its_owner(settings, tmp_path):
    key = pseudonym_key(settings)
    (tmp_path / KEY_FILE).chmod(0o600)
    assert pseudonym_key(settings) == key
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o640


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EINVAL])
def test_a_file_system_without_groups_has_a_key_as_well(settings, tmp_path, monkeypatch, number):
    def without_groups(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "chown", without_groups)
    key = pseudonym_key(settings)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert pseudonym_key(settings) == key


def test_a_key_that_another_user_made_private_is_an_error(settings, tmp_path):
    key = pseudonym_key(settings)
    path = tmp_path / KEY_FILE
    path.chmod(0)
    command = [*BOUND_BY_PERMISSIONS, sys.executable, "-c", READ, str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert f"BadSetting: {path}: this user may not read the key; let servers and nights of the lake" in refused.stderr
    assert "(mode 640, a group of all of them), or set TASTEFEED_PSEUDONYM_KEY to one key for all" in refused.stderr
    assert key not in refused.stderr


@pytest.mark.parametrize(("content", "problem"), [(b" \n", "is empty"), (b"\xff\xfe", "cannot be read .it is not UTF")])
def test_a_file_without_a_key_is_an_error(settings, tmp_path, content, problem):
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(BadSetting, match=f"{KEY_FILE}: the key {problem}"):
        pseudonym_key(settings)


def test_where_no_key_can_be_written_a_process_has_its_own(settings, tmp_path):
    (tmp_path / "file").write_text("")
    nowhere = Settings(lake=str(tmp_path / "file"))
    assert pseudonym_key(nowhere) != pseudonym_key(nowhere)
