"""`tastefeed bench …`, the benchmarks."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchmarks.comparison import ComparisonPlan
    from contracts import Settings
    from pipeline.stage_progress import StageProgress

bench = typer.Typer(help="Benchmarks that anyone can rerun.", no_args_is_help=True)


@bench.callback()
def options() -> None:
    """Benchmarks that anyone can rerun; each writes metrics.json and its raw outputs under --out."""


FIXED = "benchmarks.fixed"
"""Where a command's context keeps the settings of methods that its file holds fixed."""


def _from_file(context: typer.Context, path: Path | None) -> Path | None:
    """The file's fields become the defaults of the flags."""
    if path is not None:
        from benchmarks.retrieval_benchmark import read_config

        config = read_config(path)
        context.default_map, context.meta[FIXED] = config.flags, config.settings
    return path


@bench.command()
def retrieval(
    context: typer.Context,
    *,
    config: Annotated[  # noqa: ARG001  its callback has read it
        Path | None,
        typer.Option(
            is_eager=True, callback=_from_file, help="TOML with the fields of these flags; flags count before it."
        ),
    ] = None,
    train: Annotated[
        Path | None, typer.Option(help="Parquet: user_id, item_id, optional timestamp; without it rows have no order.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Parquet: user_id, item_id.")] = None,
    ordered: Annotated[bool, typer.Option("--ordered", help="The rows of --train are in order of time.")] = False,
    k: Annotated[int, typer.Option(min=1, help="Depth of the lists with --train and --test.")] = 20,
    data: Annotated[
        Path | None, typer.Option(help="Folder of public data sets, instead of --train and --test.")
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="gowalla, ml-1m, citeulike-t, amazon-beauty or the bundled deskdrop.")
    ] = "",
    methods: Annotated[str, typer.Option(help="Comma-separated methods; empty: ours and every peer.")] = "",
    trials: Annotated[int, typer.Option(min=0, help="Trials of each method's tuning; 0: defaults.")] = 20,
    settings: Annotated[list[str], typer.Option("--set", help="METHOD.FIELD=VALUE, held fixed.")] = [],  # noqa: B006  typer copies
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for metrics.json and the raw outputs.")],
) -> None:
    """The two-tower on data it has never seen: alone, or beside tuned peers on a public data set."""
    fixed = [*context.meta.get(FIXED, []), *settings]  # of two values for one setting the later counts
    _warn_of_unused(context, ("k", "ordered") if data else ("dataset", "methods", "trials"))
    if data is not None and not (train or test):
        _compare(_plan(data, dataset, methods, trials, fixed, out))
    elif train and test and not data:
        _alone(train, test, k, fixed, out, ordered=ordered)
    else:
        raise typer.BadParameter("give either --train and --test, or --data and --dataset")


def _warn_of_unused(context: typer.Context, flags: tuple[str, ...]) -> None:
    """One line about flags of the other kind of run, which change nothing here."""
    sources = {name: context.get_parameter_source(name) for name in flags}
    if given := [f"--{name}" for name, source in sources.items() if source and source.name == "COMMANDLINE"]:
        typer.echo(f"warning: {', '.join(given)} is ignored in this kind of run", err=True)


def _alone(train: Path, test: Path, k: int, settings: list[str], out: Path, *, ordered: bool) -> None:
    from benchmarks.method_registry import OURS, parsed
    from benchmarks.retrieval_benchmark import run
    from contracts import Settings

    params = parsed(settings, names=[OURS]).get(OURS, {})
    result = run(train, test, k=k, out=out, settings=Settings(), params=params, ordered=ordered)
    for name, value in result.items():
        typer.echo(f"{name:<16} {value:,.4f}" if isinstance(value, float) else f"{name:<16} {value:,}")


def _plan(data: Path, dataset: str, methods: str, trials: int, settings: list[str], out: Path) -> "ComparisonPlan":
    from benchmarks.comparison import ComparisonPlan
    from benchmarks.method_registry import METHODS, parsed

    chosen = methods.split(",") if methods else list(METHODS)
    options = {"--data": _shown(data), "--dataset": dataset, "--methods": ",".join(chosen), "--trials": trials}
    command = _command("retrieval", options, settings, out)
    return ComparisonPlan(data, dataset, chosen, trials, parsed(settings), out, command)


def _command(
    kind: str, options: dict[str, Any], repeated: Sequence[Any], out: Path, *, repeated_as: str = "--set"
) -> str:
    words = [str(word) for pair in [*options.items(), *((repeated_as, each) for each in repeated)] for word in pair]
    return shlex.join(["tastefeed", "bench", kind, *words, "--out", _shown(out)])


def _shown(path: Path) -> str:
    return path.name if path.is_absolute() else str(path)  # reports do not disclose the folders of this machine


def _compare(plan: "ComparisonPlan") -> None:
    from benchmarks.comparison import compare
    from benchmarks.summary_text import quality_table
    from contracts import Settings
    from evaluation import rich_table
    from pipeline.console import console

    result: dict[str, Any] = compare(plan, Settings())
    console.print(rich_table(quality_table(result), title=f"{result['dataset']}, {result['counts']['users']:,} users"))


@bench.command()
def ranking(
    *,
    data: Annotated[Path, typer.Option(help="Folder of public data sets.")],
    dataset: Annotated[str, typer.Option(help="ml-100k or ml-1m.")],
    peers: Annotated[str, typer.Option(help="Comma-separated peers; empty: popularity, item-kNN, iALS, EASE.")] = "",
    trials: Annotated[int, typer.Option(min=0, help="Trials of each peer's tuning; 0: defaults.")] = 20,
    settings: Annotated[
        list[str], typer.Option("--set", help="PART.FIELD=VALUE: of reranker, candidates, slate, windows or a peer.")
    ] = [],  # noqa: B006  typer copies
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for metrics.json and the raw outputs.")],
) -> None:
    """The night's two stages on a global split in time, beside retrieval alone and tuned peers."""
    from benchmarks.ranking_benchmark import PEERS, RankingPlan, parsed_parts, rank
    from benchmarks.ranking_report import ranking_table
    from contracts import Settings
    from evaluation import rich_table
    from pipeline.console import console

    chosen = peers.split(",") if peers else list(PEERS)
    ours, fixed = parsed_parts(settings)
    options = {"--data": _shown(data), "--dataset": dataset, "--peers": ",".join(chosen), "--trials": trials}
    command = _command("ranking", options, settings, out)
    result = rank(RankingPlan(data, dataset, chosen, trials, ours, fixed, out, command), Settings())
    console.print(rich_table(ranking_table(result), title=f"{dataset}, {result['methods']['final']['users']:,} users"))


Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for metrics.json, the page and the raw outputs.")]
ItemCount = Annotated[int, typer.Option(min=1000, help="Items of the synthetic release.")]
UserCount = Annotated[int, typer.Option(min=100, help="Users of the synthetic release.")]


@bench.command()
def serving(
    *,
    lake: Annotated[
        str | None, typer.Option("--lake", "-l", help="Measure this lake's release. Default: a synthetic one.")
    ] = None,
    items: ItemCount = 100_000,
    users: UserCount = 1_000_000,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of each load.")] = 10,
    rate: Annotated[list[float], typer.Option(min=0.1, help="Requests a second of an open loop; may be repeated.")] = [  # noqa: B006
        10,
        50,
        100,
    ],
    workers: Annotated[int, typer.Option(min=0, help="Server processes; 0: one for each core.")] = 0,
    price_per_core_hour: Annotated[float, typer.Option(min=0, help="For the cost of 1,000 feeds.")] = 0.05,
    out: Out,
) -> None:
    """A real server under load: latency, throughput, processor time, memory and cost, beside the bare computation."""
    from benchmarks.benchmark_report import write_report
    from benchmarks.load_generator import find_tool
    from benchmarks.serving_benchmark import ServingPlan, measure
    from pipeline.stage_progress import StageProgress

    find_tool()
    out.mkdir(parents=True, exist_ok=True)
    size = {"--lake": Path(lake).name} if lake else {"--items": items, "--users": users}
    options = {**size, "--seconds": f"{seconds:g}", "--workers": workers}
    command = _command("serving", options, [f"{each:g}" for each in rate], out, repeated_as="--rate")
    progress = StageProgress()
    with progress.shown("bench serving"):
        settings = _lake_settings(lake) if lake else _synthetic(items, users, out, progress)
        plan = ServingPlan(out, command, seconds, tuple(rate), workers, price_per_core_hour)
        result = measure(settings, plan, progress)
    typer.echo(f"{result['throughput']:,.0f} feeds a second at most; {write_report([out.absolute()], out)}")


@bench.command()
def soak(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="Duration.")] = 10,
    items: ItemCount = 10_000,
    users: UserCount = 100_000,
    workers: Annotated[int, typer.Option(min=2, help="Server processes.")] = 2,
    out: Out,
) -> None:
    """A server at 70 % of its throughput for minutes, with swaps, rollbacks, opt-outs and killed workers.

    It fails if an answer mixes two releases, is an error, or is profiled after an acknowledged opt-out."""
    from benchmarks.benchmark_report import write_report
    from benchmarks.soak import SoakPlan
    from benchmarks.soak import soak as run_soak
    from benchmarks.synthetic_tables import Size
    from contracts.errors import LoadFailed
    from pipeline.stage_progress import StageProgress

    out.mkdir(parents=True, exist_ok=True)
    command = _command("soak", {"--minutes": f"{minutes:g}", "--items": items, "--users": users}, [], out)
    progress = StageProgress()
    with progress.shown("bench soak"):
        result = run_soak(Size(items, users), SoakPlan(out, command, 60 * minutes, workers=workers), progress)
    page = write_report([out.absolute()], out)
    if result["failures"]:
        raise LoadFailed(f"{'; '.join(result['failures'])}; the server's log and all counts are in {out}")
    typer.echo(f"{result['counts']['feeds']:,} feeds, and every condition held; {page}")


def _lake_settings(lake: str) -> "Settings":
    from contracts import Settings

    settings = Settings(lake=lake)
    settings.require_lake_folder()
    return settings


def _synthetic(items: int, users: int, out: Path, progress: "StageProgress") -> "Settings":
    from benchmarks.synthetic_release import synthetic_lake
    from benchmarks.synthetic_tables import Size

    progress.report(f"building a release of {items:,} items and {users:,} users, once")
    return synthetic_lake(Size(items, users), out)


@bench.command()
def impressions(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder with men.parquet and women.parquet of Open Bandit; without: simulation.")
    ] = None,
    lake: Annotated[
        str | None, typer.Option(help="Lake whose last night's candidates are shown to simulated users.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for metrics.json and the page.")],
) -> None:
    """What fatigue, the position of an impression and exploration cost and gain, in a simulation and in logs."""
    from benchmarks.impression_benchmark import measured
    from benchmarks.impression_report import write_report
    from benchmarks.impression_simulation import Assumptions
    from contracts import Settings

    given = {"--data": _shown(data)} if data else {}
    command = _command("impressions", given | ({"--lake": _shown(Path(lake))} if lake else {}), [], out)
    assumptions = Assumptions(seed=Settings().seed)
    results = measured(data=data, lake=lake, assumptions=assumptions)
    typer.echo(f"wrote {write_report(results, out, command)}")


@bench.command()
def features(
    *,
    events: Annotated[list[int], typer.Option(min=1_000, help="Events of the synthetic lake; may be repeated.")] = [  # noqa: B006  typer copies
        100_000,
        1_000_000,
    ],
    users: Annotated[int, typer.Option(min=1, help="Users; 0.1 % of them have a tenth of the events.")] = 50_000,
    items: Annotated[int, typer.Option(min=1, help="Items.")] = 20_000,
    days: Annotated[int, typer.Option(min=70, help="Days over which the events are spread.")] = 90,
    out: Out,
) -> None:
    """What each table of features costs with Spark: time, processor time, rows and memory, on synthetic events."""
    from benchmarks.feature_benchmark import measure
    from benchmarks.synthetic_events import EventsSize
    from contracts import Settings

    fixed = {"--users": users, "--items": items, "--days": days}
    command = _command("features", fixed, events, out, repeated_as="--events")
    sizes = [EventsSize(each, users, items, days) for each in events]
    typer.echo(f"wrote {measure(out, command, sizes, Settings())}")


@bench.command()
def report(
    *,
    runs: Annotated[list[Path], typer.Argument(help="Folders with a metrics.json, the --out of earlier runs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for benchmarks.md and its plots.")] = Path("docs"),
) -> None:
    """Make benchmarks.md, or the pages of ranking and serving, and their plots of earlier runs."""
    from benchmarks.benchmark_report import write_report

    typer.echo(f"wrote {write_report(runs, out)}")
