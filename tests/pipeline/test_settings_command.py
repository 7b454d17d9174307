import pytest

from cli.command_line import shown
from tests import tiny


def test_every_setting_is_shown_with_its_source_and_secrets_are_masked():
    done = tiny.tastefeed_here("settings", TASTEFEED_ADMIN_KEYS="hush-hush", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "environment" in rows["TASTEFEED_LABEL_WEEKS"]
    assert "default" in rows["TASTEFEED_SEED"]
    assert "environment" in rows["TASTEFEED_TWO_TOWER__EPOCHS"]
    assert "hush-hush" not in done.stdout
    assert "********" in rows["TASTEFEED_ADMIN_KEYS"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("postgresql://feed:hush@db:5432/opt_outs", "postgresql://feed:********@db:5432/opt_outs"),
        ("postgresql://db/opt_outs?user=feed&password=hush", "postgresql://db/opt_outs?user=feed&password=********"),
        ("postgresql://db:5432/opt_outs", "postgresql://db:5432/opt_outs"),
        ("sqlite:////var/lib/opt_outs.db", "sqlite:////var/lib/opt_outs.db"),
        ("spark://master:7077", "spark://master:7077"),
        (0.5, "0.5"),
    ],
)
def test_a_url_shows_no_password(value: object, text: str) -> None:
    assert shown(value) == text
