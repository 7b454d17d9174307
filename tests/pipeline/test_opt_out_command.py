from pathlib import Path

import pytest

from tests import tiny


@pytest.mark.parametrize("user", ["42", "-1443636648652872475"])  # half of the bundled ids begin with a dash
def test_set_show_clear(tmp_path: Path, user: str) -> None:
    said = tiny.tastefeed_here("opt-out", "set", "user", user, "erasure", "--lake", tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("erasure          opted out")
    assert tiny.tastefeed_here("opt-out", "clear", "user", user, "erasure", "--lake", tmp_path).returncode == 0
    shown = tiny.tastefeed_here("opt-out", "show", "user", user, "--lake", tmp_path)
    assert shown.stdout.startswith("erasure          not opted out")


def test_an_unknown_flag_is_one_line_and_status_1(tmp_path: Path) -> None:
    said = tiny.tastefeed_here("opt-out", "set", "user", "42", "recommendation", "--lake", tmp_path)
    assert said.returncode == 1
    assert said.stderr == (
        "tastefeed: a user has no flag 'recommendation'; use one of personalization, training, erasure\n"
    )
