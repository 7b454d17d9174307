"""Keys of a file: rotation without a restart, and edits that fail."""

import os

import pytest
from fastapi.testclient import TestClient

from contracts.errors import BadSetting
from serving.http.api_keys import ApiKeys, Role
from serving.http.app import create_app
from tests.serving.conftest import is_problem

PATH = "/v1/releases/current"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# since May\nfeed old\n\nadmin boss\n")
    return path


def replace(file, text: str) -> None:
    """As an editor or Kubernetes does: another file takes the name."""
    new = file.with_name("new")
    new.write_text(text)
    os.replace(new, file)


def test_keys_rotate_without_a_restart_and_two_of_a_role_are_valid_at_once(lake, file):
    with TestClient(create_app(lake.settings(keys_file=file, feed_keys="fixed"))) as client:

        def status(key: str) -> int:
            return client.get(PATH, headers={"Authorization": f"Bearer {key}"}).status_code

        assert [status(key) for key in ("old", "new", "boss", "fixed")] == [200, 401, 200, 200]
        replace(file, "feed old\nfeed new\nadmin boss\n")
        assert [status(key) for key in ("old", "new", "boss", "fixed")] == [200, 200, 200, 200]
        replace(file, "feed new\n")
        assert [status(key) for key in ("old", "new", "boss", "fixed")] == [401, 200, 401, 200]
        is_problem(client.put("/v1/opt-outs/user/u/training", headers={"Authorization": "Bearer new"}), 403)


@pytest.mark.parametrize("text", ["", "# nothing\n", "feed\n", "feed secret secret\n", "root secret\n", None])
def test_a_failed_edit_keeps_the_keys_and_is_logged_without_them(lake, file, text, caplog):
    caplog.set_level("WARNING")  # a night in this process leaves Airflow's level behind
    keys = ApiKeys(lake.settings(keys_file=file))
    if text is None:
        file.unlink()
    else:
        replace(file, text)
    assert [keys.role(key) for key in ("old", "boss", "", "secret")] == [Role.FEED, Role.ADMIN, Role.NONE, Role.NONE]
    assert keys.any
    assert keys.role("old") is Role.FEED
    assert len(caplog.records) == 1
    assert "the keys that were read before stay valid" in caplog.text
    assert "secret" not in caplog.text
    replace(file, "admin secret\n")
    assert [keys.role(key) for key in ("old", "secret")] == [Role.NONE, Role.ADMIN]


@pytest.mark.parametrize(("text", "problem"), [
    ("", "has no key; write lines such as `feed KEY`"),
    ("feed a\nroot secret\n", "line 2 of .* is neither `feed KEY` nor `admin KEY`"),
    (None, "cannot read .*: No such file"),
])  # fmt: skip
def test_a_server_does_not_start_with_a_file_that_has_no_keys(lake, file, text, problem):
    file.unlink()
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadSetting, match=problem) as error:
        create_app(lake.settings(keys_file=file))
    assert "secret" not in str(error.value)


def test_a_key_of_both_roles_is_an_admin_key(lake, file):
    keys = ApiKeys(lake.settings(keys_file=file, admin_keys="old"))
    assert keys.role("old") is Role.ADMIN


def test_keys_are_held_as_digests_only(lake, file):
    keys = ApiKeys(lake.settings(keys_file=file, feed_keys="plain-text"))
    assert "plain-text" not in repr(vars(keys))
    assert "old" not in repr(keys._file.roles())
