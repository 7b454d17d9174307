"""One model, one name: what the night trains and publishes is what the benchmark measures."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from benchmarks.interaction_matrix import dated
from benchmarks.two_tower_method import TwoTowerMethod, after, catalogue_of, examples_for
from contracts.schemas import ITEMS
from models.two_tower import TwoTowerConfig, trained
from pipeline.stages import two_tower as stage
from ranking.candidates import unseen_neighbours
from ranking.feature_arrays import Items, Users
from ranking.feature_names import ITEM_FEATURE_NAMES, USER_FEATURE_NAMES
from serving.releases.serialization import load_release, write_release
from tests.serving.tiny import contents

ROOT = Path(__file__).parent.parent
PACKAGES = [
    "benchmarks",
    "cli",
    "contracts",
    "dags",
    "evaluation",
    "features",
    "models",
    "pipeline",
    "ranking",
    "serving",
]


def modules() -> dict[str, Path]:
    """Every module of the project by its name."""
    paths = {}
    for path in (path for package in PACKAGES for path in ROOT.glob(f"{package}/**/*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        paths[name.removesuffix(".__init__")] = path
    return paths


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """What a module imports, wherever in it; in one that imports by name, every text that is a module's name."""
    tree = ast.parse(MODULES[name].read_text())
    dynamic = any(
        isinstance(node, ast.Name | ast.alias) and "import_module" in ast.dump(node) for node in ast.walk(tree)
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif dynamic and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (node.value.partition(":")[0], f"{name}.{node.value}")


def closure(roots: set[str]) -> set[str]:
    """Every module of the project that these reach."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in reached and name in MODULES:
            reached.add(name)
            waiting += [*imported(name), name.rpartition(".")[0]]
    return reached


@pytest.fixture(scope="module")
def night() -> set[str]:
    """Every module that the night reaches: two seconds of parsing, which no other test file has to wait for."""
    return closure({name for name in MODULES if name.startswith(("dags", "pipeline.stages"))})


def test_every_module_of_models_and_ranking_is_reached_from_the_night(night: set[str]) -> None:
    ours = {name for name in MODULES if name.startswith(("models", "ranking"))}
    assert ours - night == set()
    assert ours - night <= closure({"serving.http.app"})


def test_the_closure_follows_imports_by_name(night: set[str]) -> None:
    assert "models.two_tower.exported" in closure({"models.two_tower"})
    assert "benchmarks.baseline_methods" in closure({"benchmarks.method_registry"})
    assert "benchmarks.two_tower_method" not in night


def rows() -> pl.DataFrame:
    """Sixty users who walk a circle of twelve items, each from a place of their own."""
    walks = [(f"u{user:02}", f"i{(user * 5 + step) % 12:02}") for step in range(8) for user in range(60)]
    return dated(pl.DataFrame(walks, schema=["user_id", "item_id"], orient="row"))


SMALL = TwoTowerConfig(minutes=0.05, encoder="ridge")


def test_the_benchmark_trains_through_the_function_that_the_stage_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stage.train is trained.train
    called = []

    def recorded(*args: object, **kwargs: object):
        called.append(kwargs)
        return stage.train(*args, **kwargs)

    monkeypatch.setattr(trained, "train", recorded)
    fitted = TwoTowerMethod(SMALL, seed=7, threads=1).fit(rows())
    assert len(called) == 1
    assert isinstance(fitted.tower, trained.TrainedTwoTower)


@pytest.mark.parametrize("encoder", ["ridge", "sequence", "auto"])
def test_the_benchmark_s_lists_are_those_of_the_index_of_a_release(encoder: str, tmp_path: Path) -> None:
    """Item and user vectors of one fit, written and read as a release: its index gives the same lists and scores."""
    config = SMALL.model_copy(update={"encoder": encoder})
    fitted = TwoTowerMethod(config, seed=7, threads=1).fit(rows())
    user_ids = rows()["user_id"].unique().sort()
    top = fitted.top_k(user_ids, 3)
    write_release(released(fitted, user_ids, tmp_path), tmp_path / "release")
    release = load_release(tmp_path / "release")
    users = np.arange(len(user_ids), dtype=np.int32)
    near = unseen_neighbours(release.index, release.users, users, 3)
    assert near.tolist() == top.rows.tolist()
    scores = np.einsum("ukv,uv->uk", release.items.vectors[near], release.users.vectors)
    np.testing.assert_allclose(scores, top.scores, rtol=1e-4, atol=1e-5)


def released(fitted, user_ids: pl.Series, folder: Path):
    """A night's contents with the vectors and histories of a fit."""
    items, as_of = catalogue_of(fitted.item_ids), after(fitted.history)
    count, table = len(items), contents(folder)
    history = fitted.interactions.matrix[fitted.interactions.rows_of(user_ids)]
    zeros, ids = np.zeros(count, np.int32), items["item_id"].to_numpy().astype(str)
    return replace(
        table,
        items=Items(
            ids=ids,
            creator=zeros,
            language=zeros,
            category_offsets=np.zeros(count + 1, np.int64),
            category_codes=np.zeros(0, np.int32),
            created_hours=np.zeros(count),
            vectors=fitted.tower.embed_items(items, as_of),
            text_vectors=np.zeros((count, 1), np.float32),
            features=np.zeros((count, len(ITEM_FEATURE_NAMES)), np.float32),
        ),
        users=Users(
            ids=user_ids.to_numpy().astype(str),
            region=np.zeros(len(user_ids), np.int32),
            vectors=fitted.tower.embed_users(examples_for(fitted.history, user_ids), items, as_of),
            features=np.zeros((len(user_ids), len(USER_FEATURE_NAMES)), np.float32),
            history_offsets=history.indptr.astype(np.int64),
            history_items=history.indices.astype(np.int32),
            history_saves=np.zeros(history.nnz, np.float32),
            history_clicks=np.ones(history.nnz, np.float32),
            history_hours=np.zeros(history.nnz),
        ),
        catalogue=pa.Table.from_pylist([{"item_id": item} for item in ids], schema=ITEMS),
        popular=np.arange(3),
        fresh=np.arange(3),
    )
