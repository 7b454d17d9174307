import json

from tests import tiny


def test_every_setting_is_shown_with_its_source_default_and_description_and_secrets_are_masked() -> None:
    done = tiny.tastefeed_here("settings", TASTEFEED_ADMIN_KEYS="hush-hush")
    assert done.returncode == 0, done.stderr
    assert "TASTEFEED_LABEL_WEEKS = 2 (environment; default 8)\n    weekly cutoffs" in done.stdout
    assert "TASTEFEED_SEED = 7 (default)\n    seed of everything random\n" in done.stdout
    assert "TASTEFEED_TWO_TOWER__EPOCHS = 1 (environment; default 20)\n" in done.stdout
    assert "TASTEFEED_ADMIN_KEYS = ******** (environment; default '')\n" in done.stdout
    assert "hush-hush" not in done.stdout


def test_the_settings_are_also_json() -> None:
    done = tiny.tastefeed_here("settings", "--json", TASTEFEED_ADMIN_KEYS="hush-hush")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["TASTEFEED_SEED"] == {
        "name": "TASTEFEED_SEED",
        "value": "7",
        "default": "7",
        "source": "default",
        "description": "seed of everything random",
    }
    assert rows["TASTEFEED_ADMIN_KEYS"]["value"] == "********"


def test_a_setting_that_follows_the_seed_names_it() -> None:
    done = tiny.tastefeed_here("settings", "--json", TASTEFEED_SEED="9", TASTEFEED_GATES__SEED="5")
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(done.stdout)}
    assert rows["TASTEFEED_SEED"] == ("9", "environment")
    assert rows["TASTEFEED_RANKING__RERANKER__SEED"] == ("9", "TASTEFEED_SEED")
    assert rows["TASTEFEED_GATES__SEED"] == ("5", "environment")


def test_a_misspelled_variable_is_refused_by_every_command_before_its_work() -> None:
    for command in (("settings",), ("releases", "list"), ("init",), ("import", "--users", "absent.csv"), ("serve",)):
        done = tiny.tastefeed_here(*command, TASTEFEED_GATES__MIN_GAINS="1", TASTEFEED_LAKES="lake")
        assert (done.returncode, done.stdout) == (1, "")
        assert "TASTEFEED_LAKES is no setting (did you mean TASTEFEED_LAKE?)" in done.stderr


def test_a_list_is_shown_as_its_variable_takes_it() -> None:
    rows = {row["name"]: row["value"] for row in json.loads(tiny.tastefeed_here("settings", "--json").stdout)}
    lists = {name: value for name, value in rows.items() if name.endswith(("MUST_BEAT", "JUDGED_SLICES"))}
    assert lists["TASTEFEED_GATES__RETRIEVAL_MUST_BEAT"] == '["popular_28d", "item_knn"]'
    assert tiny.tastefeed_here("settings", **lists).returncode == 0


def test_a_list_that_is_no_json_is_one_line_without_the_value() -> None:
    for name in ("TASTEFEED_GATES__RETRIEVAL_MUST_BEAT", "TASTEFEED_GATES"):
        done = tiny.tastefeed_here("settings", **{name: "('hush-hush',)"})
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"tastefeed: no JSON in {name}: lists and whole components are JSON; `tastefeed settings` shows the form\n"
        )
