"""Erase creators from the vocabularies of trained models, in the lake's tables and in the artifacts of MLflow."""

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from contracts.atomic_files import replace_file
from models.two_tower.exported import MANIFEST, WORDS, forgotten
from pipeline.experiments.mlflow_logger import MlflowLogger
from pipeline.lake import Lake

TABLES = ("two_tower", "champion")
"""The tables whose partitions hold models."""
MODEL = "two_tower"
"""The registered model."""
VERSIONS_AT_ONCE = 1000
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one bar per file otherwise


def forget_creators(
    lake: Lake, tracking: MlflowLogger, creators: Collection[str], former_creators: Collection[str] = ()
) -> int:
    """Erase these creators from every copy. Returns the number of changed models."""
    in_lake = sum(_forget_in_table(lake, table, creators, former_creators) for table in TABLES)
    if tracking.artifact_folder is not None:
        return in_lake + _forget_below(tracking.artifact_folder, creators, former_creators)
    return in_lake + sum(
        _forget_in_artifacts(artifacts, creators, former_creators) for artifacts in _registered(tracking)
    )


def _forget_in_table(lake: Lake, table: str, creators: Collection[str], former_creators: Collection[str]) -> int:
    changed = 0
    for as_of in lake.partitions(table):
        with lake.open_folder(table, as_of) as folder:
            files = _forgotten_below(folder, creators, former_creators)
            if not any(files.values()):
                continue
            with lake.new_folder(table, as_of) as new:
                shutil.copytree(folder, new, dirs_exist_ok=True)
                for model, contents in files.items():
                    _write(new / model.relative_to(folder), contents)
        changed += sum(map(bool, files.values()))
    return changed


def _forget_below(root: Path, creators: Collection[str], former_creators: Collection[str]) -> int:
    files = _forgotten_below(root, creators, former_creators)
    for model, contents in files.items():
        _write(model, contents)
    return sum(map(bool, files.values()))


def _forgotten_below(
    root: Path, creators: Collection[str], former_creators: Collection[str]
) -> dict[Path, dict[str, bytes]]:
    models = [path.parent for path in sorted(root.rglob(WORDS))]
    return {model: forgotten(model, creators, former_creators) for model in models}


def _forget_in_artifacts(
    artifacts: ArtifactRepository, creators: Collection[str], former_creators: Collection[str]
) -> bool:
    with TemporaryDirectory() as scratch:
        paths = [artifacts.download_artifacts(name, scratch) for name in (WORDS, MANIFEST)]
        folder = Path(paths[0]).parent
        contents = forgotten(folder, creators, former_creators)
        _write(folder, contents)
        for name in contents:
            artifacts.log_artifact(str(folder / name))
    return bool(contents)


def _registered(tracking: MlflowLogger) -> Iterator[ArtifactRepository]:
    """The folder of every registered model that still has its files."""
    seen: set[str] = set()
    token = None
    while True:
        page = tracking.client.search_model_versions(f"name='{MODEL}'", VERSIONS_AT_ONCE, page_token=token)
        for version in page:
            location = tracking.client.get_model_version_download_uri(MODEL, version.version)
            artifacts = get_artifact_repository(location, tracking_uri=tracking.client.tracking_uri)
            if location not in seen and _keeps_model(artifacts):
                seen.add(location)
                yield artifacts
        token = page.token
        if not token:
            return


def _keeps_model(artifacts: ArtifactRepository) -> bool:
    try:
        paths = {file.path for file in artifacts.list_artifacts()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False  # the run was deleted
    return {WORDS, MANIFEST} <= paths


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        replace_file(folder / name, content)
