"""A benchmark written down in a file, and what a flag does to it."""

from pathlib import Path

import pytest
from typer.main import get_command

from benchmarks.benchmark_config import RetrievalConfig, read_config
from benchmarks.method_registry import METHODS, build
from cli.bench_commands import bench
from contracts.errors import UnreadableInput
from tests import tiny

EXAMPLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "ml-1m.toml"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "bench.toml"
    path.write_text('dataset = "gowalla"\ntrials = 3\nmethods = ["ease"]\n[set.ease]\nmost_items = 18\nl2 = 2\n')
    return path


def test_a_file_holds_what_flags_hold(written: Path) -> None:
    config = read_config(written)
    assert config.flags == {"dataset": "gowalla", "trials": 3, "methods": "ease"}
    assert config.settings == ["ease.most_items=18", "ease.l2=2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 3", "bench.toml: trails: Extra inputs are not permitted; the fields are train, test, ordered, k"),
        ("trials = -1", "bench.toml: trials: Input should be greater than or equal to 0"),
        ("trials = ", "bench.toml: cannot be read as TOML"),
        ("set = 3", "bench.toml: set: Input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(text)
    with pytest.raises(UnreadableInput, match=message):
        read_config(path)


def test_every_flag_has_its_field() -> None:
    flags = {parameter.name for parameter in get_command(bench).commands["retrieval"].params}
    assert flags - {"config", "settings", "help"} == RetrievalConfig.model_fields.keys() - {"set"}


def test_the_example_names_methods_and_settings_that_there_are() -> None:
    config = read_config(EXAMPLE)
    assert set(config.methods) <= METHODS.keys()
    for name, params in config.set.items():
        build(name, params, seed=7, threads=1)


def test_wrong_files_are_reported_in_one_line(tmp_path: Path, written: Path) -> None:
    unsaid = tiny.tastefeed_here("bench", "retrieval", "--config", written, "--data", tmp_path)
    assert unsaid.returncode == 2, "no --out"
    written.write_text("trails = 3")
    wrong = tiny.tastefeed_here("bench", "retrieval", "--config", written)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(f"tastefeed: {written}: trails: ")
    assert wrong.stderr.count("\n") == 1
