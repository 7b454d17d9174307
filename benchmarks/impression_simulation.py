"""A simulated feed: what fatigue, position awareness and exploration cost and gain under stated assumptions.

The choice of each page is the shipped code: relevance, fatigue and limits on creators in `ranking.slate`, draws in
`serving.exploration`. Users, items and clicks are simulated. All arms of a scenario have the same random numbers, so
they are compared in pairs, user by user. Shapes: U users, I items, K places of a page, P pairs left to be ranked.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ranking.fatigue import FatigueConfig, PairFatigue
from ranking.feature_arrays import Candidates, Items, ids_of
from ranking.feature_names import ITEM_FEATURE_NAMES
from ranking.slate import SlateConfig, slates
from serving.exploration import NO_EXPLORATION, ExplorationConfig, drawn, places_of, seed_of

Doubles = NDArray[np.float64]
NO_FATIGUE = FatigueConfig(discount=0, limit=0)
SMOOTHING = 2.0
"""Clicks as expected that each item begins with."""


class Assumptions(BaseModel):
    """The simulated world. A user clicks an item at place `p`, from 0, after `n` earlier impressions with probability
    `appeal * (1 + p) ** -examination * repeat_appeal ** n`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: int = Field(300, description="users")
    items: int = Field(200, description="items, all of them candidates of every user")
    creators: int = Field(50, description="creators, with four items each on average")
    new_share: float = Field(
        0.2, description="share of items without any interaction: the ranker has one score for all"
    )
    sessions: int = Field(28, description="sessions of each user, two a day, each of one page")
    page: int = Field(10, description="items of a page")
    examination: float = Field(0.5, description="exponent with which attention falls from place to place")
    repeat_appeal: float = Field(0.8, description="share of the appeal that each earlier impression leaves")
    ranker_noise: float = Field(1.0, description="standard deviation of the ranker's error in log-odds, fixed per pair")
    mean_log_odds: float = Field(
        -3.0, description="mean log-odds of the appeal; standard deviation 1 by item and by pair"
    )
    seed: int = Field(7, description="of everything random")


@dataclass(frozen=True)
class Arm:
    """One way to make pages."""

    name: str
    fatigue: FatigueConfig = NO_FATIGUE
    exploration: ExplorationConfig = NO_EXPLORATION
    learns: str = "nothing"
    """What the ranker learns of an item each night: `nothing`, `clicks` per impression, or with `positions` clicks per
    impression that was looked at."""


@dataclass
class Outcome:
    """What happened in one arm."""

    clicks: Doubles  # [U, sessions]
    impressions: NDArray[np.int64]  # [U, I]
    new_clicks: float
    correction: Doubles
    """[I] what the last night added to the log-odds of each item."""
    explored: int = 0
    explored_clicks: int = 0


class World:
    """Users, items and the ranker's scores."""

    def __init__(self, assumptions: Assumptions) -> None:
        """The same assumptions give the same world."""
        self.assumptions = a = assumptions
        random = np.random.default_rng(a.seed)
        quality, taste = random.normal(size=a.items), random.normal(size=(a.users, a.items))
        log_odds = a.mean_log_odds + quality + taste
        self.appeal = 1 / (1 + np.exp(-log_odds))  # [U, I]
        self.is_new = random.random(a.items) < a.new_share
        known = log_odds + a.ranker_noise * random.normal(size=log_odds.shape)
        # of a new item, the ranker estimates the taste of the user as ever, and the mean quality of all items
        self.scores = known - np.where(self.is_new, quality, 0)
        self.item_error = (log_odds - self.scores).mean(axis=0)  # [I]
        self.creators = random.integers(0, a.creators, a.items).astype(np.int32)
        self.attention = np.power(1.0 + np.arange(a.page), -a.examination, dtype=np.float64)  # [K]
        self.items = _items(self.creators)

    def run(self, arm: Arm) -> Outcome:
        """All sessions of all users."""
        a, log = self.assumptions, _Log(self.assumptions)
        outcome = Outcome(np.zeros((a.users, a.sessions)), log.impressions, 0.0, np.zeros(a.items))
        for session in range(a.sessions):
            if arm.learns != "nothing" and session and session % 2 == 0:
                outcome.correction = log.correction(by_attention=arm.learns == "positions")
            pages, chances = self._pages(arm, self.scores + outcome.correction, log, session)
            clicked = self._clicked(pages, log, session)
            outcome.clicks[:, session] = clicked.sum(axis=1)
            outcome.new_clicks += clicked[self.is_new[pages]].sum()
            drawn_ones = ~np.isnan(chances)
            outcome.explored += int(drawn_ones.sum())
            outcome.explored_clicks += int(clicked[drawn_ones].sum())
            log.add(pages, clicked, self._expected(pages), self.attention)
        return outcome

    def _expected(self, pages: NDArray[np.int64]) -> Doubles:
        """[U, K] the appeal that the ranker expects."""
        return np.asarray(1 / (1 + np.exp(-self.scores[np.arange(len(pages))[:, None], pages])))

    def _clicked(self, pages: NDArray[np.int64], log: "_Log", session: int) -> NDArray[np.bool_]:
        """[U, K] which items are clicked."""
        a = self.assumptions
        random = np.random.default_rng((a.seed, session)).random((a.users, a.items))  # of the pair, whatever the arm
        users = np.arange(a.users)[:, None]
        repeated = a.repeat_appeal ** log.impressions[users, pages]
        return np.asarray(random[users, pages] < self.appeal[users, pages] * self.attention * repeated)

    def _pages(
        self, arm: Arm, scores: Doubles, log: "_Log", session: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """[U, K] the items of each page, and the propensities of the drawn ones."""
        a = self.assumptions
        remaining = arm.fatigue.remaining(log.impressions.ravel()).reshape(log.impressions.shape)
        left = ~log.gone & (remaining > 0)
        short = left.sum(axis=1) < 2 * a.page  # a user who has seen nearly everything: nothing is left out
        left[short] = ~log.gone[short]
        pages = self._best(left, scores, remaining)
        chances = np.full(pages.shape, np.nan)
        if slots := arm.exploration.slots_of(a.page):
            for user in range(a.users):
                self._explore(
                    arm.exploration, slots, user, left[user], scores[user], pages[user], chances[user], session
                )
        return pages, chances

    def _best(self, left: NDArray[np.bool_], scores: Doubles, remaining: NDArray[np.floating]) -> NDArray[np.int64]:
        """[U, K] the slate of the items that are left."""
        a, (users, items) = self.assumptions, np.nonzero(left)
        sources, retrieval_scores = np.ones(len(users), np.uint8), np.zeros(len(users), np.float32)
        candidates = Candidates(users.astype(np.int32), items.astype(np.int32), sources, retrieval_scores)
        fatigue = PairFatigue(np.maximum(remaining[users, items], 1e-6), np.zeros(len(users), bool))
        relevance = scores[users, items].astype(np.float32)
        chosen = slates(self.items, candidates, relevance, SlateConfig(), k=a.page, fatigue=fatigue)
        return items[chosen.matrix(candidates, np.arange(a.users, dtype=np.int32), a.page)]

    def _explore(
        self,
        config: ExplorationConfig,
        slots: int,
        user: int,
        left: NDArray[np.bool_],
        scores: Doubles,
        page: NDArray[np.int64],
        chances: Doubles,
        session: int,
    ) -> None:
        regular = page[: len(page) - slots]
        pool = np.setdiff1d(np.flatnonzero(left & self.is_new), regular)
        low, high = scores[left].min(), scores[left].max()
        relevance = ((scores[pool] - low) / (high - low)).astype(np.float32)
        explored = drawn(relevance, slots, config, seed=seed_of(self.assumptions.seed, user, session))
        places = places_of(len(explored.chosen), len(page))
        others = [place for place in range(len(page)) if place not in places]
        page[others] = page[: len(others)].copy()
        page[places], chances[places] = pool[explored.chosen], explored.propensities


class _Log:
    """What users were shown and clicked so far."""

    def __init__(self, assumptions: Assumptions) -> None:
        shape = assumptions.users, assumptions.items
        self.impressions, self.gone = np.zeros(shape, np.int64), np.zeros(shape, bool)
        self.clicks, self.expected, self.expected_of_attention = (np.zeros(assumptions.items) for _ in range(3))

    def add(self, pages: NDArray[np.int64], clicked: NDArray[np.bool_], expected: Doubles, attention: Doubles) -> None:
        """One session of every user. A clicked item is not shown again."""
        users = np.arange(len(pages))[:, None]
        self.impressions[users, pages] += 1
        self.gone[users, pages] |= clicked
        np.add.at(self.clicks, pages, clicked)
        np.add.at(self.expected, pages, expected)
        np.add.at(self.expected_of_attention, pages, expected * attention)

    def correction(self, *, by_attention: bool) -> Doubles:
        """[I] what to add to an item's log-odds: the log of its clicks over the expected ones, smoothed."""
        expected = self.expected_of_attention if by_attention else self.expected
        scaled = expected * self.clicks.sum() / expected.sum()
        return np.asarray(np.log((self.clicks + SMOOTHING) / (scaled + SMOOTHING)))


def _items(creators: NDArray[np.int32]) -> Items:
    count = len(creators)
    nothing = np.zeros((count, 0), np.float32)
    return Items(
        ids=ids_of(map(str, range(count))),
        creator=creators,
        language=np.zeros(count, np.int32),
        category_offsets=np.zeros(count + 1, np.int64),
        category_codes=np.zeros(0, np.int32),
        created_hours=np.zeros(count),
        vectors=nothing,
        text_vectors=nothing,
        features=np.zeros((count, len(ITEM_FEATURE_NAMES)), np.float32),
    )
