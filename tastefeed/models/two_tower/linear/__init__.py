"""The two-tower in closed form, for data of which nothing is known but who touched what, and perhaps in which order.

Both towers are linear, so that no step of gradient is needed: a minute where a trained tower takes an hour, and better
than one that has an hour. `fit_linear` chooses by validation on the training rows whether a person is a bag of items or
a fading memory of them. Titles, creators, ages and new items need the trained towers next door.
Knows arrays alone; it must never import Spark, tracking or HTTP, and reads no disk.
"""

from tastefeed.models.two_tower.linear.choice import fit_linear
from tastefeed.models.two_tower.linear.config import LinearConfig
from tastefeed.models.two_tower.linear.histories import Histories, histories_of
from tastefeed.models.two_tower.linear.order import tells_order
from tastefeed.models.two_tower.linear.towers import LinearTwoTower, fit

__all__ = ["Histories", "LinearConfig", "LinearTwoTower", "fit", "fit_linear", "histories_of", "tells_order"]
