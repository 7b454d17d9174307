"""Erase creators from the vocabularies of trained models, in the lake's tables and in the artifacts of MLflow."""

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.exceptions import MlflowException

from contracts.atomic_files import replace_file
from models.two_tower.exported import MANIFEST, WORDS, forgotten
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.lake import Lake

TABLES = ("two_tower", "champion")
"""The tables whose partitions hold models."""
MODEL = "two_tower"
"""The registered model, and the folder of its files in a run."""
VERSIONS_AT_ONCE = 1000
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one bar per file otherwise


def forget_creators(
    lake: Lake, tracking: MlflowLogger, creators: Collection[str], former_creators: Collection[str] = ()
) -> int:
    """Erase these creators from every copy. Returns the number of changed models."""
    in_lake = sum(_forget_in_table(lake, table, creators, former_creators) for table in TABLES)
    if tracking.artifact_folder is not None:
        return in_lake + _forget_below(tracking.artifact_folder, creators, former_creators)
    return in_lake + sum(_forget_in_run(tracking, run, creators, former_creators) for run in _runs(tracking))


def _forget_in_table(lake: Lake, table: str, creators: Collection[str], former_creators: Collection[str]) -> int:
    changed = 0
    for as_of in lake.partitions(table):
        with lake.open_folder(table, as_of) as folder:
            models = [path.parent for path in sorted(folder.rglob(WORDS))]
            files = {model: forgotten(model, creators, former_creators) for model in models}
            if not any(files.values()):
                continue
            with lake.new_folder(table, as_of) as new:
                shutil.copytree(folder, new, dirs_exist_ok=True)
                for model, contents in files.items():
                    _write(new / model.relative_to(folder), contents)
        changed += sum(map(bool, files.values()))
    return changed


def _forget_below(root: Path, creators: Collection[str], former_creators: Collection[str]) -> int:
    models = [path.parent for path in sorted(root.rglob(WORDS))]
    files = {model: forgotten(model, creators, former_creators) for model in models}
    for model, contents in files.items():
        _write(model, contents)
    return sum(map(bool, files.values()))


def _forget_in_run(
    tracking: MlflowLogger, run: str, creators: Collection[str], former_creators: Collection[str]
) -> bool:
    with TemporaryDirectory() as scratch:
        paths = [tracking.client.download_artifacts(run, f"{MODEL}/{name}", scratch) for name in (WORDS, MANIFEST)]
        folder = Path(paths[0]).parent
        contents = forgotten(folder, creators, former_creators)
        _write(folder, contents)
        for name in contents:
            tracking.client.log_artifact(run, str(folder / name), MODEL)
    return bool(contents)


def _runs(tracking: MlflowLogger) -> Iterator[str]:
    """The runs that keep a model which was registered."""
    seen: set[str] = set()
    token = None
    while True:
        page = tracking.client.search_model_versions(f"name='{MODEL}'", VERSIONS_AT_ONCE, page_token=token)
        for run in (version.run_id for version in page):
            if run and run not in seen and _keeps_model(tracking, run):
                seen.add(run)
                yield run
        token = page.token
        if not token:
            return


def _keeps_model(tracking: MlflowLogger, run: str) -> bool:
    try:
        paths = {file.path for file in tracking.client.list_artifacts(run, MODEL)}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False  # the run was deleted
    return {f"{MODEL}/{WORDS}", f"{MODEL}/{MANIFEST}"} <= paths


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        replace_file(folder / name, content)
