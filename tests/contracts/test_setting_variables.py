import pytest

from contracts import Settings
from contracts.errors import BadSetting
from contracts.setting_variables import names, shown, variables
from contracts.settings import NIGHT_ONLY
from pipeline.run_context import NightConfig


def test_the_server_and_the_night_read_different_variables() -> None:
    assert set(NIGHT_ONLY) == set(NightConfig.model_fields)
    assert set(names(Settings)).isdisjoint(names(NightConfig))


@pytest.mark.parametrize("model", [Settings, NightConfig])
def test_each_setting_has_a_description(model: type[Settings | NightConfig]) -> None:
    assert [variable.name for variable in variables(model()) if not variable.description] == []


def test_a_value_has_a_default_and_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEFEED_TWO_TOWER__EPOCHS", "5")
    monkeypatch.setenv("TASTEFEED_GATES", '{"min_users": 7}')
    found = {each.name: (each.value, each.default, each.source) for each in variables(NightConfig())}
    assert found["TASTEFEED_TWO_TOWER__EPOCHS"] == ("5", "20", "environment")
    assert found["TASTEFEED_GATES__MIN_USERS"] == ("7", "20", "environment")
    assert found["TASTEFEED_TWO_TOWER__LAYERS"] == ("1", "1", "default")


@pytest.mark.parametrize(
    ("model", "unknown", "nearest"),
    [
        (Settings, "TASTEFEED_HOLDOUT_DAY", " (did you mean TASTEFEED_HOLDOUT_DAYS?)"),
        (Settings, "tastefeed_seeed", " (did you mean TASTEFEED_SEED?)"),
        (Settings, "TASTEFEED_GATE__MIN_GAIN", " (did you mean TASTEFEED_GATES__MIN_GAIN?)"),
        (Settings, "TASTEFEED_TWO_TOWER_EPOCHS", " (did you mean TASTEFEED_TWO_TOWER__EPOCHS?)"),
        (Settings, "TASTEFEED_XYZ", ""),
        (NightConfig, "TASTEFEED_GATES__MIN_GAINS", " (did you mean TASTEFEED_GATES__MIN_GAIN?)"),
        (NightConfig, "TASTEFEED_RANKING__RERANKR__ROUNDS", " (did you mean TASTEFEED_RANKING__RERANKER__ROUNDS?)"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, model: type[Settings | NightConfig], unknown: str, nearest: str
) -> None:
    monkeypatch.setenv(unknown, "hush")
    with pytest.raises(BadSetting) as refused:
        model()
    assert str(refused.value) == (
        f"{unknown.upper()} is no setting{nearest}; correct or unset it (`tastefeed settings` lists every setting)"
    )


def test_variables_that_kubernetes_adds_for_a_service_of_our_name_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("TASTEFEED", "TASTEFEED_WEB"):
        for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR"):
            monkeypatch.setenv(f"{service}_{name}", "tcp://10.0.0.7:80")
    Settings()
    NightConfig()
    monkeypatch.delenv("TASTEFEED_SERVICE_HOST")
    with pytest.raises(BadSetting, match="TASTEFEED_PORT is no setting"):
        Settings()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("postgresql://feed:hush@db:5432/opt_outs", "postgresql://feed:********@db:5432/opt_outs"),
        ("postgresql://db/opt_outs?user=feed&password=hush", "postgresql://db/opt_outs?user=feed&password=********"),
        ("postgresql://db:5432/opt_outs", "postgresql://db:5432/opt_outs"),
        ("sqlite:////var/lib/opt_outs.db", "sqlite:////var/lib/opt_outs.db"),
        ("spark://master:7077", "spark://master:7077"),
        (0.5, "0.5"),
        (None, ""),
    ],
)
def test_a_url_shows_no_password(value: object, text: str) -> None:
    assert shown(value) == text
