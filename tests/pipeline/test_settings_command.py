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
