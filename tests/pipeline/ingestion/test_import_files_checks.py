from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.errors import SchemaMismatch, UnreadableInput
from pipeline.ingestion import ImportRequest, ImportSummary, import_files, read_items

NOW = datetime(2017, 3, 1, tzinfo=UTC)
HEADER = "user_id,item_id,action,timestamp\n"


def import_items(folder: Path, *lines: str, day: int = 1) -> ImportSummary:
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return import_files(
        ImportRequest(items=folder / "items.jsonl"), lake_root=folder / "lake", landed_at=NOW.replace(day=day)
    )


def import_events(folder: Path, *users: str, share: float = 0.05, item: str = "i") -> ImportSummary:
    (folder / "e.csv").write_text(HEADER + "".join(f"{user},{item},click,2016-03-14\n" for user in users))
    return import_files(
        ImportRequest(events=[folder / "e.csv"]), lake_root=folder / "lake", landed_at=NOW, max_placeholder_share=share
    )


def test_embeddings_of_another_length_are_refused_and_the_lake_is_as_before(tmp_path: Path) -> None:
    import_items(tmp_path, '{"item_id": "a", "embedding": [1, 2, 3]}', '{"item_id": "n"}')
    before = read_items(tmp_path / "lake")
    with pytest.raises(SchemaMismatch) as error:
        import_items(tmp_path, '{"item_id": "b", "embedding": [1, 2, 3, 4]}')
    assert str(error.value) == (
        f"{tmp_path}/items.jsonl: embedding: vectors have length 4, those of 1 items in the lake have length 3; "
        "use the same model, or import every item again in one file"
    )
    assert read_items(tmp_path / "lake").equals(before)


def test_a_new_model_may_replace_every_embedding(tmp_path: Path) -> None:
    import_items(tmp_path, '{"item_id": "a", "embedding": [1, 2, 3]}', '{"item_id": "n"}')
    import_items(tmp_path, '{"item_id": "b"}', day=2)
    import_items(tmp_path, '{"item_id": "a", "embedding": [1, 2]}', '{"item_id": "b", "embedding": [3, 4]}', day=3)
    assert read_items(tmp_path / "lake")["embedding"].list.len().to_list() == [2, 2, None]


@pytest.mark.parametrize(
    "value", ["null", "NULL", "None", "nan", "<NA>", "undefined", r"\N", "N/A", "-", "[object Object]"]
)
def test_a_placeholder_is_counted_in_a_warning(tmp_path: Path, value: str) -> None:
    summary = import_events(tmp_path, value, *(f"u{row}" for row in range(20)))
    assert summary.warnings == (
        f"{tmp_path}/e.csv: user_id: 1 values stand for a missing value ({value} 1); export them as empty",
    )


@pytest.mark.parametrize("value", ["0", "-1", "nano", "nullable", "anonymous"])
def test_an_id_that_only_looks_odd_is_an_id(tmp_path: Path, value: str) -> None:
    assert import_events(tmp_path, value, "u").warnings == ()


def test_ids_that_look_like_others_are_counted_in_a_warning(tmp_path: Path) -> None:
    composed, decomposed, family = "Zo\u00eb", "Zoe\u0308", "\U0001f468\u200d\U0001f467"
    warnings = import_events(tmp_path, composed, decomposed, "\ufeffann", family, "u1").warnings
    assert [line.removeprefix(f"{tmp_path}/e.csv: user_id: 1 values ") for line in warnings] == [
        "are not in Unicode's form NFC, and are other ids than the same letters in NFC; export one form everywhere",
        "hold an invisible character, such as a byte-order mark, and are other ids than without it; remove it",
    ]


def test_too_many_events_of_one_placeholder_stop_the_import(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput) as error:
        import_events(tmp_path, "null", "null", *(f"u{row}" for row in range(37)))
    assert str(error.value) == (
        f"{tmp_path}/e.csv: 2 of 39 events have the user_id null, which stands for a missing value; leave such events "
        "out or give them ids, or raise TASTEFEED_MAX_PLACEHOLDER_SHARE (0.05)"
    )
    assert not (tmp_path / "lake").exists()
    import_events(tmp_path, "null", "null", *(f"u{row}" for row in range(38)))
    import_events(tmp_path, "null", share=1)


def test_an_item_may_be_missing_as_well(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="2 of 2 events have the item_id undefined"):
        import_events(tmp_path, "a", "b", item="undefined")


def test_users_of_other_placeholders_are_counted_apart(tmp_path: Path) -> None:
    users = [f"u{row}" for row in range(36)]
    (warning,) = import_events(tmp_path, "null", "nan", "-", *users).warnings
    assert "3 values stand for a missing value" in warning
