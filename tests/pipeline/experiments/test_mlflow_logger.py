"""What is written to MLflow can be read back from it, within the limits that MLflow sets."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr

from contracts import Settings
from pipeline.experiments.mlflow_logger import (
    MAX_METRICS,
    MAX_PARAM_LENGTH,
    MAX_PARAMS,
    MlflowLogger,
    flattened,
    is_place,
    plot_curves,
    tracking_uri,
)
from pipeline.experiments.registered_models import RERANKER, log_model_metrics, register, reranker_interface
from pipeline.lake import Lake

# MLflow warns about its own dependencies when it is imported
pytestmark = pytest.mark.filterwarnings("ignore")


def test_runs_go_to_the_lake_unless_the_settings_name_a_server(tmp_path: Path) -> None:
    assert tracking_uri(Settings(), Lake(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_uri(Settings(mlflow_tracking_uri="http://mlflow:5000"), Lake(tmp_path)) == "http://mlflow:5000"


def test_artifacts_lie_in_the_lake_unless_a_server_stores_them(mlflow: MlflowLogger, store: Path) -> None:
    assert mlflow.artifact_folder == store / "mlartifacts"
    server = Settings(mlflow_tracking_uri="http://127.0.0.1:9")
    assert MlflowLogger(server, Lake(store)).artifact_folder is None


def test_the_page_of_mlflow_shows_training_runs_their_source_and_what_the_experiment_is(mlflow: MlflowLogger) -> None:
    mlflow.client.delete_experiment_tag(mlflow.experiment_id, "mlflow.experimentKind")  # as an earlier version left it
    vars(mlflow).pop("experiment_id")
    tags = mlflow.client.get_experiment(mlflow.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "tastefeed compare" in tags["mlflow.note.content"]
    assert mlflow.client.get_run(mlflow.start("night")).data.tags["mlflow.source.name"] == "tastefeed"


def test_a_child_names_its_parent_and_ends(mlflow: MlflowLogger) -> None:
    parent = mlflow.start("night 2017-03-01")
    child = mlflow.start("retrieval", parent)
    mlflow.end(child)
    mlflow.end(parent, "FAILED")
    runs = {run: mlflow.client.get_run(run) for run in (parent, child)}
    assert runs[child].data.tags["mlflow.parentRunId"] == parent
    assert runs[child].info.run_name == "retrieval"
    assert (runs[child].info.status, runs[parent].info.status) == ("FINISHED", "FAILED")


def test_params_are_flat_short_and_as_many_as_there_are(mlflow: MlflowLogger) -> None:
    run = mlflow.start("many")
    values = {"long": "x" * 2000, "ranking": {"slate": {"window": 10}}}
    mlflow.params(run, values | {f"p{number}": number for number in range(MAX_PARAMS + 1)})
    params = mlflow.client.get_run(run).data.params
    assert params["ranking.slate.window"] == "10"
    assert params["long"] == "x" * MAX_PARAM_LENGTH
    assert params[f"p{MAX_PARAMS}"] == str(MAX_PARAMS)


def test_metrics_that_are_not_finite_are_left_out(mlflow: MlflowLogger) -> None:
    run = mlflow.start("metrics")
    mlflow.metrics(run, {"ndcg": 0.5, "unknown": float("nan"), "endless": float("inf")})
    assert mlflow.client.get_run(run).data.metrics == {"ndcg": 0.5}


def test_mlflow_shows_the_values_of_the_last_try(mlflow: MlflowLogger) -> None:
    run = mlflow.start("metrics")
    for value in (0.5, 0.25, 0.25, 0.125, 0.5):
        mlflow.metrics(run, {"gate/final": value, "same": 1.0})
        assert mlflow.client.get_run(run).data.metrics == {"gate/final": value, "same": 1.0}
    history = mlflow.client.get_metric_history(run, "gate/final")
    assert [metric.value for metric in history] == [0.5, 0.25, 0.125, 0.5], "an equal value is logged once"
    assert len(mlflow.client.get_metric_history(run, "same")) == 1


def test_a_curve_has_a_value_each_step_and_a_plot(mlflow: MlflowLogger) -> None:
    run = mlflow.start("curves")
    mlflow.curves(run, {"loss": [3.0, float("nan"), 1.0]}, "epochs")
    history = mlflow.client.get_metric_history(run, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 3.0), (2, 1.0)]
    assert [file.path for file in mlflow.client.list_artifacts(run)] == ["curves.svg"]


def test_every_path_and_secret_of_the_settings_is_a_place_whose_value_is_not_logged() -> None:
    hidden = [
        name
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr or Path in get_args(field.annotation) or name.endswith(("_url", "_endpoint"))
    ]
    assert len(hidden) >= 8
    assert [name for name in hidden if not is_place(name)] == []


def test_more_metrics_than_one_batch_holds_are_all_logged(mlflow: MlflowLogger) -> None:
    run = mlflow.start("batches")
    mlflow.metrics(run, {f"m{number}": float(number) for number in range(MAX_METRICS + 1)})
    assert mlflow.client.get_run(run).data.metrics[f"m{MAX_METRICS}"] == MAX_METRICS


def test_tags_may_change_where_params_may_not(mlflow: MlflowLogger) -> None:
    run = mlflow.start("tags")
    mlflow.tags(run, {"gates": {"min_gain": 0.0}})
    mlflow.tags(run, {"gates": {"min_gain": 0.1}})
    assert mlflow.client.get_run(run).data.tags["gates.min_gain"] == "0.1"


def test_nested_settings_have_dotted_names_in_their_order() -> None:
    nested = {"b": 1, "a": {"y": None, "x": {"deep": [1]}}, "empty": {}}
    assert list(flattened(nested)) == [("b", 1), ("a.y", None), ("a.x.deep", [1])]


def test_a_plot_has_a_panel_each_curve_with_steps_from_one() -> None:
    figure = plot_curves({"loss": [2.0, 1.0], "validation_ndcg": [0.1, 0.2]}, "epochs")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "validation ndcg"]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 2]
    assert figure.axes[1].get_xlabel() == "epochs"


def test_a_curve_that_never_changes_is_not_plotted_beside_one_that_does() -> None:
    figure = plot_curves({"ndcg_at_20": [0.1, 0.2], "learning_rate": [0.1, 0.1]}, "trees")
    assert [axes.get_ylabel() for axes in figure.axes] == ["ndcg@20"]
    assert len(plot_curves({"loss": [1.0]}, "epochs").axes) == 1


def test_a_retry_replaces_the_metrics_of_a_model_by_what_it_measures(mlflow: MlflowLogger, tmp_path: Path) -> None:
    """An opt-out between two tries of the stage `metrics` changes what the second one measures."""
    run = mlflow.start("night")
    registered = register(mlflow, run, RERANKER, tmp_path, reranker_interface(("clicks",)), "a model")
    for measured in (0.5, 0.25):
        log_model_metrics(mlflow, run, registered, {"ndcg_at_20": measured})
    assert mlflow.client.get_run(run).data.metrics == {"reranker/ndcg_at_20": 0.25}
