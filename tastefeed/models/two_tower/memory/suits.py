"""Which readouts the data have a use for."""

from tastefeed.models.two_tower.memory.budget import MOST_SECONDS_OF_NEIGHBOURS, seconds_of_neighbours
from tastefeed.models.two_tower.memory.config import NEIGHBOURS, TREES
from tastefeed.models.two_tower.memory.validation import HeldOut


def suits(name: str, held_out: HeldOut, *, ordered: bool) -> bool:
    """Whether the data have what a readout reads; bags are for those that have nothing better."""
    needs = {
        "space": True,
        "ease": not ordered,
        "bag": not ordered,
        NEIGHBOURS: not ordered and _in_time(held_out),
        TREES: not ordered and len(held_out.teachers.histories.counts) > 0,
        "ridge": ordered,
        "attention": ordered and held_out.past.lessons > 0,
    }
    return needs[name]


def _in_time(held_out: HeldOut) -> bool:
    return seconds_of_neighbours(held_out.past, len(held_out.asked.histories.counts)) <= MOST_SECONDS_OF_NEIGHBOURS
