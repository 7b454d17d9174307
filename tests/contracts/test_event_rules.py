from contracts import GAIN, HARMLESS, POSITIVE, Action, Reason


def test_only_positive_actions_have_a_gain() -> None:
    assert set(GAIN) == set(POSITIVE)
    assert GAIN[Action.SAVE] > GAIN[Action.CLICK] > 0


def test_names_of_actions_and_reasons_are_public() -> None:
    assert list(Action) == ["impression", "click", "save", "hide", "unhide"]
    assert list(Reason) == [
        "null_id", "unknown_action", "bad_timestamp", "before_1990", "in_the_future", "after_as_of",
        "duplicate_event_id", "unknown_item", "own_item",
    ]  # fmt: skip


def test_only_later_events_are_harmless() -> None:
    assert HARMLESS == (Reason.AFTER_AS_OF,)
