"""Which readouts the data have a use for."""

from models.two_tower.memory.budget import seconds_left
from models.two_tower.memory.config import NEIGHBOURS, TREES
from models.two_tower.memory.validation import HeldOut


def suits(name: str, held_out: HeldOut, *, ordered: bool) -> bool:
    """Whether the data have what a readout reads; bags are for those that have nothing better."""
    in_time = seconds_left(held_out.past) > 0
    needs = {
        "space": True,
        "ease": not ordered,
        "bag": not ordered,
        NEIGHBOURS: not ordered and in_time,
        TREES: not ordered and in_time and len(held_out.teachers.histories.counts) > 0,
        "ridge": ordered,
        "attention": ordered and held_out.past.lessons > 0,
    }
    return needs[name]
