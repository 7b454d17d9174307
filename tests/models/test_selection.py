"""Which encoder is selected, that its vectors survive an export, and that a baseline that wins is reported."""

import json
from datetime import timedelta
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest

from contracts.errors import UntrainableInput
from models.two_tower import RunWith, Selection, TrainedTwoTower, TwoTowerConfig, budget, export, load, train
from models.two_tower.collaborative.collaborative_config import BagConfig, SequenceConfig
from models.two_tower.collaborative.id_encoder import CollaborativeEncoder
from models.two_tower.csr_interactions import Interactions
from models.two_tower.encoders import Concatenation, ContentEncoder, concatenated
from models.two_tower.two_tower_config import EncoderName
from tests.models.tiny_interactions import blocks, of, wanderers

SMALL = {
    "minutes": 0.2,
    "epochs": 2,
    "validation_k": 2,
    "bag": BagConfig(embedding_size=6, min_steps=20),
    "sequence": SequenceConfig(
        embedding_size=8, history_length=8, layers=1, heads=2, batch_size=64, epochs=30, min_steps=1, learning_rate=0.02
    ),
}


def tables(interactions: Interactions, as_of) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The interactions as retrieval_examples, a minute apart, and their items, of which only ids are known."""
    rows = np.split(interactions.items, interactions.offsets[1:-1])
    examples = pl.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(len(rows))],
            "item_ids": [[f"i{item:02}" for item in items] for items in rows],
            "actions": [["click"] * len(items) for items in rows],
            "timestamps": [[as_of - timedelta(minutes=len(items) - n) for n in range(len(items))] for items in rows],
            "trainable": True,
        }
    )
    return examples, pl.DataFrame({"item_id": [f"i{item:02}" for item in range(interactions.item_count)]})


def trained(interactions: Interactions, as_of, **changes: object) -> TrainedTwoTower:
    return train(*tables(interactions, as_of), config=TwoTowerConfig(**SMALL | changes), seed=7)


def unseen(tower: TrainedTwoTower, interactions: Interactions, as_of) -> np.ndarray:
    examples, items = tables(interactions, as_of)
    scores = tower.embed_users(examples, items, as_of) @ tower.embed_items(items, as_of).T
    scores[interactions.pairs().nonzero()] = -np.inf
    return scores


def test_who_walks_a_path_needs_an_encoder_of_order(as_of) -> None:
    tower = trained(wanderers(), as_of, validation="last_interactions")
    assert set(tower.selection.encoders) & {"ridge", "sequence"}
    assert tower.selection.selected.split(" and ")[0] in ("ridge", "sequence")
    best = unseen(tower, wanderers(), as_of).argmax(axis=1)
    assert best.tolist() == [(user * 5 + 8) % 12 for user in range(60)]
    assert tower.selection.beaten_by == ()


def test_without_order_nothing_that_reads_order_is_tried(as_of) -> None:
    tower = trained(blocks(), as_of, validation="random")
    assert set(tower.selection.encoders) <= {"svd", "ease", "ials", "bag"}
    best = np.argsort(-unseen(tower, blocks(), as_of), axis=1)[:, :2]
    assert (best % 2 == np.arange(60)[:, None] % 2).mean() > 0.9  # a guess: one half


def test_every_encoder_that_was_tried_is_reported_with_its_baselines(as_of) -> None:
    tried: dict[str, float] = {}
    tower = train(
        *tables(blocks(), as_of),
        config=TwoTowerConfig(**SMALL | {"validation": "random"}),
        seed=7,
        run_with=RunWith(on_trial=tried.__setitem__),
    )
    assert tried.items() >= tower.selection.encoders.items()
    assert set(tower.selection.baselines) == {"most_popular", "item_knn", "ials"}
    assert tower.selection.users > 20


@pytest.mark.parametrize("encoder", get_args(EncoderName))
def test_an_encoder_can_be_forced_and_its_export_gives_the_same_vectors(encoder: str, as_of, tmp_path: Path) -> None:
    interactions = wanderers()
    tower = trained(interactions, as_of, encoder=encoder, validation="last_interactions")
    assert tower.selection.selected == encoder
    examples, items = tables(interactions, as_of)
    export(tower, tmp_path / "tower")
    again = load(tmp_path / "tower")
    assert again.selection == Selection.from_json(json.loads(json.dumps(tower.selection.as_json())))
    np.testing.assert_array_equal(again.embed_items(items, as_of), tower.embed_items(items, as_of))
    np.testing.assert_array_equal(again.embed_users(examples, items, as_of), tower.embed_users(examples, items, as_of))
    assert tower.embed_users(examples, items, as_of).shape == (60, tower.vector_size)


def test_a_concatenation_scores_as_the_weighted_sum_of_its_parts_in_standard_deviations(as_of) -> None:
    interactions = blocks()
    examples, items = tables(interactions, as_of)
    parts = [trained(interactions, as_of, encoder=name, validation="random") for name in ("svd", "ridge")]
    catalogue = parts[0]._catalogue(items)
    both = concatenated(tuple(part.encoder for part in parts), (0.7, 0.3), catalogue, 0.0)
    vectors = [(part.embed_users(examples, items, as_of), part.embed_items(items, as_of)) for part in parts]
    scores = [users @ of_items.T for users, of_items in vectors]
    wanted = sum(w * s / s.std(axis=1, keepdims=True) for w, s in zip((0.7, 0.3), scores, strict=True))
    users = both.user_vectors(catalogue, interactions, np.inf)
    assert users @ both.item_vectors(catalogue, 0.0).T == pytest.approx(wanted, abs=1e-3)


def test_a_concatenation_is_exported_and_goes_on_with_every_part(as_of, tmp_path: Path) -> None:
    interactions = wanderers()
    examples, items = tables(interactions, as_of)
    protocol = {"validation": "last_interactions"}
    parts = [trained(interactions, as_of, encoder=name, **protocol) for name in ("ridge", "sequence")]
    both = concatenated(tuple(part.encoder for part in parts), (0.7, 0.3), parts[0]._catalogue(items), 0.0)
    tower = TrainedTwoTower(both, parts[0].config, parts[0].words, parts[0].text)
    export(tower, tmp_path / "tower")
    again = load(tmp_path / "tower")
    np.testing.assert_array_equal(again.embed_users(examples, items, as_of), tower.embed_users(examples, items, as_of))
    more = pl.concat([items, pl.DataFrame({"item_id": ["i99"]})])
    later = train(examples, more, config=tower.config.model_copy(update={"epochs": 1}), seed=7, start=tower)
    assert isinstance(later.encoder, Concatenation)
    assert later.embed_items(more, as_of).shape == (13, tower.vector_size)
    assert later.encoder.parts[1].config == parts[1].encoder.config, "a transformer that goes on keeps its settings"


def test_items_without_interactions_are_left_to_content(examples, items, as_of, tiny) -> None:
    """The latest items of all users are new: encoders of ids are not tried, however fast they are."""
    new = pl.concat([items, items.with_columns(item_id=pl.col("item_id") + "-new")])
    grown = examples.with_columns(
        item_ids=pl.concat_list("item_ids", pl.col("item_ids").list.first() + "-new"),
        actions=pl.concat_list("actions", pl.lit("click")),
        timestamps=pl.concat_list("timestamps", pl.lit(as_of - timedelta(minutes=1))),
    )
    config = tiny.model_copy(update={"encoder": "auto", "epochs": 1, "refit_epochs": 0, "validation_days": 0.01})
    tower = train(grown, new, config=config, seed=3)
    assert list(tower.selection.encoders) == ["content"]
    assert isinstance(tower.encoder, ContentEncoder)


def test_few_users_select_nothing_and_get_an_encoder(as_of, items, examples) -> None:
    tower = train(examples.head(5), items.select("item_id"), config=TwoTowerConfig(), seed=7)
    assert tower.selection is None
    assert isinstance(tower.encoder, CollaborativeEncoder)
    assert tower.encoder.config.encoder == "svd"


def test_a_new_item_has_no_vector_of_an_encoder_of_ids_and_a_new_user_the_popular_ones(as_of) -> None:
    interactions = wanderers()
    tower = trained(interactions, as_of, encoder="ridge", validation="last_interactions")
    _, items = tables(interactions, as_of)
    more = pl.concat([pl.DataFrame({"item_id": ["new"]}), items])
    vectors = tower.embed_items(more, as_of)
    assert not vectors[0].any()
    np.testing.assert_array_equal(vectors[1:], tower.embed_items(items, as_of))


def test_a_baseline_that_validates_better_is_reported() -> None:
    selection = Selection("svd", {"svd": 0.2, "ridge": 0.1}, {"ials": 0.3, "most_popular": 0.2}, {}, 50)
    assert selection.beaten_by == ("ials",)
    assert selection.as_json()["beaten_by"] == ["ials"]


def test_a_forced_transformer_without_any_next_item_to_predict_is_refused(as_of) -> None:
    pairs = of(*([user % 12, (user + 1) % 12] for user in range(60)), items=12)  # validation takes each second one
    with pytest.raises(UntrainableInput, match="no history holds two items"):
        trained(pairs, as_of, encoder="sequence", validation="last_interactions")


def test_an_encoder_that_the_data_cannot_train_is_refused(as_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SMALLEST", 1)
    config = TwoTowerConfig(encoder="bag", minutes=1e-9, validation="random")
    with pytest.raises(UntrainableInput, match="the encoder bag cannot be trained on these data; use auto"):
        train(*tables(blocks(), as_of), config=config, seed=7)
