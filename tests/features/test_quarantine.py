import pytest

from contracts import Reason
from contracts.errors import TooManyBadRows
from contracts.schemas import QUARANTINE
from features import accept, bad_share, quarantine_counts


def test_counts_by_reason_in_the_order_of_the_contract(table):
    reasons = ["unknown_item", "null_id", "unknown_item"]
    counts = quarantine_counts(table(QUARANTINE, [{"reason": reason} for reason in reasons]))
    assert list(counts.items()) == [(Reason.NULL_ID, 1), (Reason.UNKNOWN_ITEM, 2)]


def test_harmless_rows_count_on_neither_side():
    # 100 landed, 60 of them of later days: 2 of the 40 that matter are broken
    assert bad_share({Reason.NULL_ID: 2, Reason.AFTER_AS_OF: 60}, 100) == 2 / 40


@pytest.mark.parametrize(("counts", "total"), [({}, 0), ({Reason.AFTER_AS_OF: 5}, 5)])
def test_nothing_that_matters_is_nothing_bad(counts, total):
    assert bad_share(counts, total) == 0


def test_the_share_itself_is_still_accepted():
    assert accept({Reason.NULL_ID: 5}, 100, max_bad_share=0.05) == 0.05


def test_refusal_names_share_reasons_and_setting():
    counts = {Reason.NULL_ID: 2, Reason.AFTER_AS_OF: 50, Reason.UNKNOWN_ITEM: 4}
    with pytest.raises(
        TooManyBadRows,
        match=r"^12\.00% of the landed events are broken \(null_id 2, unknown_item 4\), accepted are 5\.00%; "
        r".*TASTEFEED_MAX_BAD_SHARE$",
    ):
        accept(counts, 100, max_bad_share=0.05)
