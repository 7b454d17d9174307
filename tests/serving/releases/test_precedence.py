"""Which release serves after another is published: never one of an earlier day, never a weaker one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from serving.releases import publish as p
from serving.releases.manifest import ReducedTo
from serving.releases.publish import Publication
from serving.releases.serialization import write_release
from tests.serving.tiny import AS_OF, contents

WHOLE, TWO_TOWER, LIST = None, ReducedTo.TWO_TOWER, ReducedTo.NON_PROFILED
Publish = Callable[..., Publication]


@pytest.fixture(scope="module")
def publish_at(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Publish a release of a day under a root; the content is always the same."""
    shop = tmp_path_factory.mktemp("shop")
    whole = contents(shop)

    def publish_at(root: Path, day: int, kind: ReducedTo | None = WHOLE, *, tower: str = "a", **options) -> Publication:
        folder = shop / f"built-{len(list(shop.iterdir()))}"
        ranker = whole.ranker if kind is WHOLE else None
        as_of = AS_OF + timedelta(days=day)
        write_release(replace(whole, as_of=as_of, tower=tower, ranker=ranker, reduced_to=kind), folder)
        return p.publish(folder, root, **options)

    return publish_at


def test_the_first_and_every_later_day_serve(root: Path, publish_at: Publish) -> None:
    first, second = publish_at(root, 0), publish_at(root, 1)
    assert (first.serves, first.why) == (True, "no readable release served before")
    assert second.serves
    assert second.why == f"its as_of is later than 2017-03-01 of {first.manifest.version}, which served before"
    assert p.current(root) == second.manifest.version


def test_an_earlier_day_leaves_the_feed_in_place(root: Path, publish_at: Publish) -> None:
    live = publish_at(root, 5).manifest.version
    backfill = [publish_at(root, day) for day in (1, 2, 3)]
    assert {each.serving for each in backfill} == {live} == {p.current(root)}
    assert backfill[0].why == "its as_of 2017-03-06 is later than 2017-03-02, and --publish was not given"
    assert p.verify(root, backfill[2].manifest.version)
    forced = publish_at(root, 1, even_if_older=True)
    assert forced.serves
    assert "--publish was given, although its as_of is earlier than 2017-03-06" in forced.why


def test_of_two_runs_of_a_day_the_later_one_serves(root: Path, publish_at: Publish) -> None:
    publish_at(root, 0)
    other = publish_at(root, 0, tower="b")
    assert other.serves
    assert "it is the later run of its as_of" in other.why
    again = publish_at(root, 0)
    assert again.serves
    assert "the same content" in publish_at(root, 0).why


@pytest.mark.parametrize(
    ("serving", "new", "serves"),
    [
        (WHOLE, TWO_TOWER, False),
        (WHOLE, LIST, False),
        (TWO_TOWER, LIST, False),
        (TWO_TOWER, TWO_TOWER, True),
        (LIST, LIST, True),
        (LIST, TWO_TOWER, True),
        (TWO_TOWER, WHOLE, True),
    ],
)
def test_a_weaker_release_replaces_none_that_is_stronger(
    root: Path, publish_at: Publish, serving: ReducedTo | None, new: ReducedTo | None, *, serves: bool
) -> None:
    old = publish_at(root, 0, serving)
    done = publish_at(root, 1, new, even_if_older=True)
    assert done.serves is serves
    assert p.current(root) == (done if serves else old).manifest.version


def test_what_cannot_be_read_is_replaced_by_a_whole_release_alone(root: Path, publish_at: Publish) -> None:
    live = publish_at(root, 5).manifest.version
    (root / live / "manifest.json").write_text("{}")
    assert not publish_at(root, 6, LIST).serves
    assert publish_at(root, 1).serves


def test_a_backfill_is_neither_pruned_at_once_nor_rolled_back_to(root: Path, publish_at: Publish) -> None:
    """Old releases are those of old days, not those that were built first."""
    before, live = (publish_at(root, day, keep=2).manifest.version for day in (8, 9))
    last = [publish_at(root, day, keep=2).manifest.version for day in (1, 2)][-1]
    assert [manifest.version for manifest in p.list_releases(root)] == [last, before, live]
    assert p.rollback(root).version == before
    # after a rollback the rule holds against what serves: the same day and later ones replace it, an earlier one not
    assert not publish_at(root, 7).serves
    assert publish_at(root, 9).serves


def test_a_manifest_names_what_it_is_reduced_to(root: Path, publish_at: Publish) -> None:
    versions = {publish_at(root, 0, kind).manifest.version for kind in (LIST, TWO_TOWER, WHOLE)}
    assert len(versions) == 3, "what a release serves is a part of its version"
    for version in versions:
        manifest = p.verify(root, version)
        release = p.load(root, version)
        assert manifest.profiled is release.profiled is (manifest.reduced_to is not LIST)
        assert ("ranker.txt" in manifest.files) is (manifest.reduced_to is WHOLE)
