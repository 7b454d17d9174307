"""Choosing what a memory two-tower is by validation on the training rows: one setting after the other, best first."""

from collections.abc import Iterable, Sequence

from tastefeed.contracts.errors import UnknownMethod, UntrainableInput
from tastefeed.models.two_tower.memory.config import READOUTS, MemoryConfig
from tastefeed.models.two_tower.memory.fitting import fit
from tastefeed.models.two_tower.memory.histories import Histories
from tastefeed.models.two_tower.memory.order import tells_order
from tastefeed.models.two_tower.memory.steps import EASE, EASE_STEPS, RIDGE, RIDGE_STEPS, SPACE, SPACE_STEPS, Change
from tastefeed.models.two_tower.memory.tower import MemoryTwoTower
from tastefeed.models.two_tower.memory.trials import Bench, OnTrial, Trial
from tastefeed.models.two_tower.memory.tricks import going_without
from tastefeed.models.two_tower.memory.validation import HeldOut, hold_out

MOST_SECONDS, SECONDS_OF_EASE = 60.0, 10.0
"""Of one core, about, for an item space that may be asked for; and for the one that a search of EASE begins with."""
FAVOUR = 1.05
"""What EASE's merit counts, for a tenth held out says too little of it: of eleven random fifths of MovieLens-100K and
Deskdrop it was above the item space in ten, by four percent in the median, where validation put it from five percent
below to two above."""
SHARES = (0.6, 0.75, 0.85, 1.0)
MOST_PRODUCTS = 4.0e12
"""Multiplications of people with items, a fifth of what a training of them takes: five minutes of one core."""
HELD_OUT_AT_MOST = 0.02
"""Share of the touches that trained attention may lack in the end; above it, it is trained again with all."""


def fit_memory(
    histories: Histories,
    *,
    k: int = 20,
    seed: int,
    ordered: bool | None = None,
    readouts: Sequence[str] = READOUTS,
    without: Sequence[str] = (),
    on_trial: OnTrial = lambda _: None,
) -> MemoryTwoTower:
    """Choose a config on a held-out part of the histories, then fit it to all of them.

    `ordered` says whether the histories' order is that of time; None: as `tells_order` finds. Of `readouts` those are
    tried that the data have a use for; "attention" takes minutes. `without` are names of `TRICKS` that are left out.
    Where nothing can be held out, the defaults are fitted. Raises `UntrainableInput` where nobody touched anything,
    `UnknownMethod` for a readout or a trick that is none.
    """
    if unknown := set(readouts) - set(READOUTS):
        raise UnknownMethod(f"no readout is called {', '.join(sorted(unknown))}; choose of {', '.join(READOUTS)}")
    space, ease, ridge = (going_without(start, without) for start in (SPACE, EASE, RIDGE))
    ordered = tells_order(histories, seed) if ordered is None else ordered
    held_out = hold_out(histories, ordered=ordered, seed=seed)
    if not len(held_out.asked.counts):
        return fit(histories, space, seed=seed)
    bench = Bench(held_out, k, seed, on_trial)
    found: list[Trial] = []
    for name in READOUTS:
        if name in readouts and suits(name, held_out, ordered=ordered):
            found.append(tried(bench, name, found, space=space, ease=ease, ridge=ridge))
        if name == "ease":  # one of the two is left, and a bag is tried beside it
            found = found and [max(found, key=_favoured)]
    if not found:
        raise UntrainableInput(f"none of the readouts {', '.join(readouts)} is for data without order; add space")
    return _with_everything(max(found, key=_merit), histories, held_out, seed)


def suits(name: str, held_out: HeldOut, *, ordered: bool) -> bool:
    """Whether the data have what a readout reads; bags are for those that have nothing better."""
    needs = {
        "space": True,
        "ease": not ordered,
        "bag": not ordered,
        "ridge": ordered,
        "attention": ordered and held_out.past.lessons > 0,
    }
    return needs[name]


def tried(
    bench: Bench, name: str, found: Sequence[Trial], *, space: MemoryConfig, ease: MemoryConfig, ridge: MemoryConfig
) -> Trial:
    """The best of a readout: those in closed form are searched, for they cost little; the others are trained once."""
    if name == "space":
        return search(bench, _fitting(bench, space), SPACE_STEPS)
    if name == "ease":
        return search(bench, _whole(bench, ease), EASE_STEPS)
    if name == "bag":
        beside = found[0].config if found else _fitting(bench, space)
        return max((bench.trial(config) for config in _bags(bench, beside)), key=_merit)
    if name == "ridge":
        return search(bench, _fitting(bench, ridge), RIDGE_STEPS)
    return bench.trial(_attending(bench, ridge))


def search(bench: Bench, start: MemoryConfig, steps: Iterable[Sequence[Change]]) -> Trial:
    """Coordinate search: of each step the best change stays."""
    best = bench.trial(start)
    for changes in steps:
        for config in [best.config.model_copy(update=change) for change in changes]:
            if _affordable(bench, config):
                best = max(best, bench.trial(config), key=_merit)  # one after the other: towers can be large
    return best


def _with_everything(best: Trial, histories: Histories, held_out: HeldOut, seed: int) -> MemoryTwoTower:
    """The chosen config fitted to what was held out as well."""
    if best.config.readout != "attention":
        return fit(histories, best.config, seed=seed)
    if len(held_out.past.items) >= (1 - HELD_OUT_AT_MOST) * len(histories.items):
        return best.tower
    epochs = max(best.tower.epochs, key=lambda result: result.ndcg).epoch
    sizes = best.config.attention.model_copy(update={"epochs": epochs, "fewest_steps": 1})
    return fit(histories, best.config.model_copy(update={"attention": sizes}), seed=seed)


def _fitting(bench: Bench, start: MemoryConfig) -> MemoryConfig:
    """Not all dimensions: they would tell every item apart and liken none."""
    learnable = max(1, min(len(bench.held_out.past.counts), bench.held_out.past.item_count) // 4)
    return start.model_copy(update={"embedding_size": min(start.embedding_size, learnable)})


def _whole(bench: Bench, start: MemoryConfig) -> MemoryConfig:
    """As many dimensions as there are and as a search has time for: shrinkage likens items without cutting any off."""
    past = bench.held_out.past
    size = min(start.embedding_size, len(past.counts), past.item_count)
    while size > 1 and seconds_of_space(past, size) > SECONDS_OF_EASE:
        size //= 2
    return start.model_copy(update={"embedding_size": size})


def _bags(bench: Bench, space: MemoryConfig) -> list[MemoryConfig]:
    """Learned bags beside an item space; as large as they may be."""
    past, sizes = bench.held_out.past, space.bag
    size = min(sizes.embedding_size, space.embedding_size)
    while size > 1 and sizes.epochs * len(past.counts) * past.item_count * size > MOST_PRODUCTS:
        size //= 2
    bags = [sizes.model_copy(update={"embedding_size": size, "share": share}) for share in SHARES]
    return [space.model_copy(update={"readout": "bag", "bag": bag}) for bag in bags]


def _attending(bench: Bench, start: MemoryConfig) -> MemoryConfig:
    """Attention that begins in the item space of another config; every head has whole dimensions."""
    sizes = start.attention
    size = _fitting(bench, start.model_copy(update={"embedding_size": sizes.embedding_size})).embedding_size
    size = max(sizes.heads, size // sizes.heads * sizes.heads)
    change = {"embedding_size": size, "attention": sizes.model_copy(update={"embedding_size": size})}
    return start.model_copy(update={"readout": "attention", **change})


def seconds_of_space(past: Histories, size: int) -> float:
    """What a decomposition takes of one core, about: products with who touched what, and orthogonal directions."""
    return 7e-9 * len(past.items) * size + 2e-10 * (len(past.counts) + past.item_count) * size**2


def _affordable(bench: Bench, config: MemoryConfig) -> bool:
    past = bench.held_out.past
    within = config.embedding_size <= min(len(past.counts), past.item_count)
    return within and seconds_of_space(past, config.embedding_size) <= MOST_SECONDS


def _merit(trial: Trial) -> float:
    return trial.ndcg


def _favoured(trial: Trial) -> float:
    return trial.ndcg * (FAVOUR if trial.config.readout == "ease" else 1)
