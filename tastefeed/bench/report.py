"""`tastefeed bench report`: benchmarks.md and its plots, made of the metrics.json of earlier runs and nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tastefeed.bench.comparison import METRICS
from tastefeed.bench.methods import OURS
from tastefeed.bench.plots import plot
from tastefeed.bench.words import sentences
from tastefeed.contracts import Settings
from tastefeed.contracts.errors import UnreadableInput
from tastefeed.evaluation import markdown

Found = Mapping[str, Any]

PAGE, PLOTS, KEPT = "benchmarks.md", "benchmarks", ".json"
INTRODUCTION = """# Benchmarks

Made by `tastefeed bench report` from the `metrics.json` of the runs below; nothing here is typed by hand. Peers come
from their own libraries (EASE is its closed form) and run on the same split, with the same evaluator. Peers are tuned
on validation with the trials in the table, the first of them the defaults, and not at all where they are 0.
`two_tower` has no trials: it chooses inside its fit, on a part of its training rows, among some twenty to fifty
settings in closed form and one training; where a peer had fewer trials, the budgets were not equal. Its fit is all of
that. Each final fit runs in a fresh process: peak memory is that whole process at its largest, and the start is what
Python, the method's library and the rows take before the fit. Best of a column in bold. Newest-first is not among the
peers where a data set has no clock that all users share. Variants leave out a way to read a person (`readouts`) or
a trick (`without`), or begin with another seed.
"""


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write `benchmarks.md` and `benchmarks/*.svg` under `out`, and `benchmarks-ranking.md` of the runs of ranking.

    The first run of a data set is its table, each further one a row of its variants: other settings, another seed. What
    was read is kept as `benchmarks/*.json`, which can be given again. Returns the page, the ranking's where there is no
    other. Raises `UnreadableInput`.
    """
    read = {name_of(path): read_run(path) for path in runs}
    keep(read, out / PLOTS)
    ranked = [run for run in read.values() if run.get("kind") == "ranking"]
    if ranked:
        written = write_ranking(ranked, out)
    found: dict[str, list[Found]] = {}
    for run in read.values():
        if run.get("kind") != "ranking":
            found.setdefault(run["dataset"], []).append(run)
    if ranked and not found:
        return written
    for name, same in found.items():
        plot(same[0], out / PLOTS / f"{name}.svg")
    page = out / PAGE
    page.write_text("\n".join([INTRODUCTION, *(section(run, others) for run, *others in found.values())]))
    return page


def name_of(path: Path) -> str:
    """What a run is kept as: the name of its folder, or of the file that it was kept in."""
    return path.stem if path.suffix == KEPT else path.name


def keep(read: Mapping[str, Found], into: Path) -> None:
    """Each run's figures; its raw outputs name people and stay where they are."""
    into.mkdir(parents=True, exist_ok=True)
    for name, run in read.items():
        (into / f"{name}{KEPT}").write_text(json.dumps(run, indent=1) + "\n")


def write_ranking(runs: Sequence[Found], out: Path) -> Path:
    """Write `benchmarks-ranking.md` under `out`."""
    from tastefeed.bench.ranking.report import PAGE as RANKING_PAGE  # noqa: PLC0415  it is made of the tables below
    from tastefeed.bench.ranking.report import page  # noqa: PLC0415  see above

    out.mkdir(parents=True, exist_ok=True)
    (out / RANKING_PAGE).write_text(page(runs))
    return out / RANKING_PAGE


def read_run(path: Path) -> dict[str, Any]:
    """The `metrics.json` of a comparison's folder, or one that was kept. Raises `UnreadableInput`."""
    path = path if path.suffix == KEPT else path / METRICS
    if not path.exists():
        raise UnreadableInput(f"{path}: no such file; give the --out folder of `tastefeed bench retrieval --data …`")
    run: dict[str, Any] = json.loads(path.read_text())
    if "methods" not in run:
        raise UnreadableInput(f"{path}: holds no comparison; run `tastefeed bench retrieval` with --data")
    return run


def section(run: Found, variants: Sequence[Found] = ()) -> str:
    """One data set."""
    counts = ", ".join(f"{count:,} {name}" for name, count in run["counts"].items())
    parts = [
        f"## {run['dataset']}",
        f"{counts}. Protocol: {run['protocol']}.",
        markdown(quality_table(run)),
        f"![Quality and cost on {run['dataset']}]({PLOTS}/{run['dataset']}.svg)",
        "\n".join(f"- {sentence}" for sentence in sentences(run)),
        markdown(cost_table(run)),
        markdown(search_table(run)),
        conditions(run),
        variants_part([run, *variants]) if variants else "",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def variants_part(runs: Sequence[Found]) -> str:
    """Ours as it is, and with other settings or another seed, with the commands of the others."""
    commands = "\n".join(f"{_seeded(run)}{run['command']}" for run in runs[1:])
    return f"Variants of `{OURS}`, each a run of its own:\n\n{markdown(variants_table(runs))}\n\n```\n{commands}\n```"


def variants_table(runs: Sequence[Found]) -> pl.DataFrame:
    """One row a run that ours took part in: what was set, and what came of it."""
    ours = [(run, run["methods"][OURS]) for run in runs if OURS in run["methods"]]
    return pl.DataFrame(
        {
            "set": [", ".join(f"{name} {value}" for name, value in chosen(method)) or "defaults" for _, method in ours],
            "seed": [run["seed"] for run, _ in ours],
            **{
                name: [method["figures"][f"{name}_at_{run['k']}"] for run, method in ours]
                for name in ("recall", "ndcg", "coverage")
            },
            "fit, s": [f"{method['figures']['fit_seconds']:,.1f}" for _, method in ours],
            "peak memory, MB": [f"{method['figures']['peak_rss_mb']:,.0f}" for _, method in ours],
        }
    )


def _seeded(run: Found) -> str:
    usual = Settings.model_fields["seed"].default
    return f"TASTEFEED_SEED={run['seed']} " if run["seed"] != usual else ""


def quality_table(run: Found) -> pl.DataFrame:
    """One row a method, best first: its quality, and ours minus it."""
    names = [f"{metric}_at_{run['k']}" for metric in ("recall", "ndcg", "hit_rate", "mrr", "coverage")]
    rows = [
        {"method": name, "trials": method["trials"], **{each: method["figures"][each] for each in names}}
        | {f"ours minus it, NDCG@{run['k']}": gain_over(run, name)}
        for name, method in run["methods"].items()
    ]
    return pl.DataFrame(rows).sort(run["tuned_on"], descending=True)


def gain_over(run: Found, name: str) -> str:
    """`+0.012 [+0.010, +0.014]`, empty for ours."""
    gain = run["gains"].get(name, {}).get(run["tuned_on"])
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]" if gain else ""


def cost_table(run: Found) -> pl.DataFrame:
    """One row a method: what it costs."""
    figures = {name: method["figures"] for name, method in run["methods"].items()}
    return pl.DataFrame(
        {
            "method": list(figures),
            "fit, s": [f"{each['fit_seconds']:,.1f}" for each in figures.values()],
            "peak memory, MB": [f"{each['peak_rss_mb']:,.0f}" for each in figures.values()],
            "of it at start, MB": [f"{each['start_rss_mb']:,.0f}" for each in figures.values()],
            "lists a second": [f"{each['users_per_second']:,.0f}" for each in figures.values()],
        }
    )


def search_table(run: Found) -> pl.DataFrame:
    """One row a method: what the search chose."""
    methods = run["methods"]
    return pl.DataFrame(
        {
            "method": list(methods),
            f"validation NDCG@{run['k']}": [method["validation"] for method in methods.values()],
            "chosen": [", ".join(f"{key} {value}" for key, value in chosen(method)) for method in methods.values()],
        },
        schema_overrides={f"validation NDCG@{run['k']}": pl.Float64},
    )


def chosen(method: Found) -> list[tuple[str, Any]]:
    """What was tuned or fixed, in the order of the config."""
    return [(key, _short(value)) for key, value in method["config"].items() if key in method["params"]]


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def conditions(run: Found) -> str:
    """How to run it again, and on what it ran."""
    machine, versions = run["machine"], ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    threads = run["threads"] or f"all {machine['cores']}"
    precision = f" training in {machine['training']}," if "training" in machine else ""  # runs of before it was told
    return (
        f"```\n{run['command']}\n```\n\n"
        f"Seed {run['seed']}, {run['trials']} trials a method, threads: {threads} (BPR one). {versions}. "
        f"{machine['cores']} cores, {machine['memory_gb']} GB of memory,{precision} {machine['system']}, "
        f"Python {machine['python']}."
    )
