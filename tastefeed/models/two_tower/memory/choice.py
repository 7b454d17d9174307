"""Choosing what a memory two-tower is by validation on the training rows: one setting after the other, best first."""

from collections.abc import Sequence
from dataclasses import dataclass

from tastefeed.contracts.errors import UnknownMethod, UntrainableInput
from tastefeed.models.two_tower.memory.budget import (
    SECONDS_OF_EASE,
    Budget,
    seconds_of_space,
    training_minutes,
)
from tastefeed.models.two_tower.memory.config import READOUTS, BagConfig, MemoryConfig
from tastefeed.models.two_tower.memory.histories import Histories
from tastefeed.models.two_tower.memory.steps import (
    EASE,
    EASE_STEPS,
    RIDGE,
    RIDGE_STEPS,
    SPACE,
    SPACE_STEPS,
)
from tastefeed.models.two_tower.memory.tower import MemoryTwoTower
from tastefeed.models.two_tower.memory.trials import Bench, OnTrial, Trial, merit, search
from tastefeed.models.two_tower.memory.tricks import going_without
from tastefeed.models.two_tower.memory.validation import HeldOut, hold_out
from tastefeed.models.two_tower.memory.workshop import fit

FAVOUR = 1.05
"""What EASE's merit counts, for a tenth held out says too little of it: of eleven random fifths of MovieLens-100K and
Deskdrop it was above the item space in ten, by four percent in the median, where validation put it from five percent
below to two above."""
SHARES = (0.6, 0.75, 0.85, 1.0)
TO_CHOOSE = 1 / 3
"""Of the minutes, for a bag that validation chooses the share with. On Gowalla's, the same share was the best
one for 256, 512 and 1,024 dimensions, and more of them were better with it."""
HELD_OUT_AT_MOST = 0.02
"""Share of the touches that trained attention may lack in the end; above it, it is trained again with all."""


def fit_memory(
    histories: Histories,
    *,
    k: int = 20,
    seed: int,
    ordered: bool,
    readouts: Sequence[str] = READOUTS,
    without: Sequence[str] = (),
    minutes: float | None = None,
    on_trial: OnTrial = lambda _: None,
) -> MemoryTwoTower:
    """Choose a config on a held-out part of the histories, then fit it to all of them (attention: to nearly all).

    `ordered` says whether histories are in chronological order; order is a fact that the caller knows, it is not
    detected. Of `readouts` those are tried that apply to the data. `without` are names of `TRICKS` that are left out.
    `minutes` is the approximate training budget on two cores; None: `training_minutes`. A budget too small for the
    shipped sizes makes them smaller. Where nothing can be held out, the defaults are fitted. Raises `UntrainableInput`
    where the histories are empty, `UnknownMethod` for an unknown readout or trick.
    """
    if unknown := set(readouts) - set(READOUTS):
        raise UnknownMethod(f"no readout is called {', '.join(sorted(unknown))}; choose of {', '.join(READOUTS)}")
    space, ease, ridge = (going_without(start, without) for start in (SPACE, EASE, RIDGE))
    held_out = hold_out(histories, ordered=ordered, seed=seed)
    if not len(held_out.asked.histories.counts):
        return fit(histories, space, seed=seed)
    if minutes is None:
        minutes = training_minutes(histories)
    choice = Choice(Bench(held_out, k, seed, on_trial), histories, minutes, space=space, ease=ease, ridge=ridge)
    found: list[Trial] = []
    for name in READOUTS:
        if name in readouts and applies(name, held_out, ordered=ordered):
            found += choice.tried(name, found)
        if name == "ease":  # one of the two is left, and a bag is tried beside it
            found = found and [max(found, key=_favoured)]
    if not found:
        what = f"none of the readouts {', '.join(readouts)} suits rows {'with' if ordered else 'without'} order"
        raise UntrainableInput(f"{what} in {minutes:g} minutes; add space, or minutes")
    return choice.with_everything(max(found, key=merit))


@dataclass(frozen=True)
class Choice:
    """Where each readout's search begins, and how long what is trained may take."""

    bench: Bench
    histories: Histories
    minutes: float
    space: MemoryConfig
    ease: MemoryConfig
    ridge: MemoryConfig

    def tried(self, name: str, found: Sequence[Trial]) -> list[Trial]:
        """The best of a readout, if there is time for it; what is in closed form is searched, for it costs little."""
        if name == "space":
            return [search(self.bench, self._fitting(self.space), SPACE_STEPS)]
        if name == "ease":
            return [search(self.bench, self._whole(self.ease), EASE_STEPS)]
        if name == "ridge":
            return [search(self.bench, self._fitting(self.ridge), RIDGE_STEPS)]
        if name == "bag":
            beside = found[0].config if found else self._fitting(self.space)
            bags = [self.bench.trial(config) for config in self._bags(beside)]
            return sorted(bags, key=merit)[-1:]
        return [self.bench.trial(self._attending(self.ridge))]

    def with_everything(self, best: Trial) -> MemoryTwoTower:
        """The chosen config fitted to what was held out as well; attention stays as it is where that is next to
        nothing."""
        config = best.config
        if config.readout == "attention":
            if self._nearly_everything:
                return best.tower
            epochs = max(best.tower.epochs, key=lambda result: result.ndcg).epoch
            sizes = config.attention.model_copy(update={"epochs": epochs, "fewest_steps": 1})
            config = config.model_copy(update={"attention": sizes})
        if config.readout == "bag":
            wider = Budget(self.histories, 60 * self.minutes * (1 - TO_CHOOSE)).bag(self._widest(config))
            config = config.model_copy(update={"bag": wider or config.bag})
        return fit(self.histories, config, seed=self.bench.seed)

    @property
    def past(self) -> Histories:
        """What trials are fitted to."""
        return self.bench.held_out.past

    @property
    def _nearly_everything(self) -> bool:
        return len(self.past.items) >= (1 - HELD_OUT_AT_MOST) * len(self.histories.items)

    def _fitting(self, start: MemoryConfig) -> MemoryConfig:
        """Not all dimensions: they would tell every item apart and liken none."""
        learnable = max(1, min(len(self.past.counts), self.past.item_count) // 4)
        return start.model_copy(update={"embedding_size": min(start.embedding_size, learnable)})

    def _whole(self, start: MemoryConfig) -> MemoryConfig:
        """As many dimensions as a search has time for: shrinkage likens items without cutting any off."""
        size = min(start.embedding_size, len(self.past.counts), self.past.item_count)
        while size > 1 and seconds_of_space(self.past, size) > SECONDS_OF_EASE:
            size //= 2
        return start.model_copy(update={"embedding_size": size})

    def _bags(self, space: MemoryConfig) -> list[MemoryConfig]:
        """Learned bags beside an item space, of several shares; of few dimensions, for the time is for the last fit."""
        if not (sizes := Budget(self.past, 60 * self.minutes * TO_CHOOSE).bag(self._widest(space))):
            return []
        bags = [sizes.model_copy(update={"share": share}) for share in SHARES]
        return [space.model_copy(update={"readout": "bag", "bag": bag}) for bag in bags]

    def _widest(self, config: MemoryConfig) -> BagConfig:
        """As many dimensions as there may be, time aside: it begins with those of the item space."""
        size = min(self.space.bag.embedding_size, config.embedding_size)
        return config.bag.model_copy(update={"embedding_size": size})

    def _attending(self, start: MemoryConfig) -> MemoryConfig:
        """Attention that begins in the item space of another config; every head has whole dimensions."""
        sizes = start.attention
        size = self._fitting(start.model_copy(update={"embedding_size": sizes.embedding_size})).embedding_size
        size = max(sizes.heads, size // sizes.heads * sizes.heads)
        trainings = 1 if self._nearly_everything else 2
        within = Budget(self.past, 60 * self.minutes / trainings)
        sizes = within.attention(sizes.model_copy(update={"embedding_size": size}))
        change = {"embedding_size": sizes.embedding_size, "attention": sizes}
        return start.model_copy(update={"readout": "attention", **change})


def applies(name: str, held_out: HeldOut, *, ordered: bool) -> bool:
    """Whether a readout applies to the data: sequential ones need order, order-free ones are for data without it."""
    if name == "attention":
        return ordered and held_out.past.lessons > 0
    return name == "space" or ordered == (name == "ridge")


def _favoured(trial: Trial) -> float:
    return trial.ndcg * (FAVOUR if trial.config.readout == "ease" else 1)
