"""What each training may take."""

import pytest

from contracts.errors import UnknownEncoder
from models.two_tower.catalogue import encode_catalogue
from models.two_tower.encoder_trials import EncoderTrials
from models.two_tower.holdout import hold_out
from models.two_tower.text import fit_text
from models.two_tower.training_loop import EpochResult
from models.two_tower.two_tower_config import TwoTowerConfig
from models.two_tower.vocabulary import Vocabularies
from tests.models.test_selection import tables
from tests.models.tiny_interactions import wanderers


class Clock:
    """A training of content that only notes the seconds that it may take."""

    seconds = 0.0

    def on_past(self, held_out, seconds):
        del held_out
        self.seconds = seconds
        return self, (EpochResult(1, 1, 0.0, 0.0, 0.1, 0.1, refit=False),)


def trials(config: TwoTowerConfig, as_of, content: Clock | None = None) -> EncoderTrials:
    interactions = wanderers()
    items = tables(interactions, as_of)[1]
    catalogue = encode_catalogue(items, Vocabularies(), fit_text(items, config.text, 7))
    held_out = hold_out(interactions, catalogue.created_hours_I.numpy(), config, 7)
    return EncoderTrials(held_out, catalogue, interactions, config, 7, content)


@pytest.mark.parametrize("minutes", [1.0, 6.0])
def test_content_may_take_all_minutes_of_the_settings_by_the_clock(minutes: float, as_of) -> None:
    """An estimate for few events would end it early on a busy machine, with a worse model."""
    content = Clock()
    trial = trials(TwoTowerConfig(encoder="content", minutes=minutes), as_of, content).all()[0]
    assert trial.encoder is content
    assert content.seconds == 60 * minutes


def test_an_encoder_without_a_case_of_its_own_is_no_svd(as_of) -> None:
    new = TwoTowerConfig().model_copy(update={"encoder": "graph"})
    with pytest.raises(UnknownEncoder, match="graph: EncoderTrials cannot fit it without validation; add it"):
        trials(new, as_of).unselected()
