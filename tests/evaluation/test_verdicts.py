"""The verdicts of the gates decide whether a release serves."""

import pytest

from contracts.errors import GateRefused
from evaluation.verdicts import Verdict, Verdicts, require

GOOD = Verdict("index_recall", True, 0.99, 0.95, "passed: the index finds 0.99")
SLOW = Verdict("enough_users", False, 3, 50, "refused: 3 users")
WORSE = Verdict("final_beats_newest_first", False, 0.1, 0.2, "refused: 0.1 of final against 0.2")


def test_all_gates_must_pass() -> None:
    assert Verdicts((GOOD,), judged=True).passed
    assert not Verdicts((GOOD, SLOW), judged=True).passed
    assert Verdicts((), judged=False).passed


def test_the_failed_gates_are_named_in_their_order() -> None:
    assert Verdicts((WORSE, GOOD, SLOW), judged=True).failed == (WORSE, SLOW)


def test_a_refusal_has_the_sentence_of_every_failed_gate_and_of_no_other() -> None:
    with pytest.raises(GateRefused, match=r"0\.1 of final against 0\.2; refused: 3 users$") as refused:
        require(Verdicts((WORSE, GOOD, SLOW), judged=True))
    assert GOOD.sentence not in str(refused.value)


def test_no_failure_is_no_refusal() -> None:
    require(Verdicts((GOOD,), judged=True, notes=("no champion is compared",)))
