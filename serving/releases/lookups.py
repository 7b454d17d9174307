"""What a request looks up in a whole release, as arrays: computed once, then mapped by every process that serves it.

Shapes: U users, I items, L languages, C creators, N items of the non-profiled list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts import columns as c
from contracts.csr import Longs, offsets_of
from ranking.feature_arrays import Floats, Hours, Rows
from serving.cursor import item_hashes
from serving.releases.id_column import Find, IdColumn, by_order
from serving.releases.mapped_files import mapped_array, mapped_table, write_array, write_table
from serving.releases.ranked_list import RankedList, fallback_list

MICROSECONDS_AN_HOUR = 3600 * 1e6
MAX_TAG_LENGTH = 35
"""Characters of a language tag that software must support (RFC 5646, section 4.4.1)."""
ARRAY_FILE, IDS_FILE = "lookup_{}.npy", "lookup_{}.arrow"
USER_IDS, CREATORS = "user_ids", "creators"


@dataclass(frozen=True)
class Lookups:
    """The arrays of one release."""

    users_by_id: Rows  # [U] the rows in the order of the ids
    hashes: NDArray[np.uint32]  # [I] the hash that stands for each item in a cursor
    sorted_hashes: NDArray[np.uint32]  # [I]
    items_by_hash: Rows  # [I] the row of each of `sorted_hashes`
    removed_hours: Hours  # [I] hours since 1970 when an item was or will be removed; infinite where none is known
    language_codes: Rows  # [I] positions in `languages`
    languages: NDArray[np.str_]  # [L] primary languages, as in `pt`; empty for the unknown one
    creator_offsets: Longs  # [C + 1] into creator_rows
    creator_rows: Rows  # the rows of each creator's items
    popular: Rows  # best first
    fresh: Rows
    fallback_rows: Rows  # [N] the non-profiled list, before opt-outs
    fallback_scores: Floats  # [N]
    fallback_sources: NDArray[np.str_]  # [N]
    user_ids: IdColumn  # [U]
    item_ids: IdColumn  # [I]
    creators: IdColumn  # [C] their names, sorted

    @classmethod
    def of(cls, user_ids: IdColumn, catalogue: pa.Table, popular: Rows, fresh: Rows) -> Self:
        """Compute them; `catalogue` is in the row order of the items."""
        item_ids = IdColumn(catalogue[c.ITEM_ID])
        hashes = item_hashes(item_ids)
        items_by_hash = np.argsort(hashes, kind="stable").astype(np.int32)
        language_codes, languages = _languages(catalogue[c.LANGUAGE])
        creators, creator_offsets, creator_rows = _by_creator(catalogue[c.CREATOR_ID])
        fallback = fallback_list(fresh, popular)
        return cls(
            users_by_id=user_ids.order(),
            hashes=hashes,
            sorted_hashes=hashes[items_by_hash],
            items_by_hash=items_by_hash,
            removed_hours=_hours(catalogue[c.REMOVED_AT]),
            language_codes=language_codes,
            languages=languages,
            creator_offsets=creator_offsets,
            creator_rows=creator_rows,
            popular=popular,
            fresh=fresh,
            fallback_rows=fallback.rows,
            fallback_scores=fallback.scores,
            fallback_sources=fallback.sources,
            user_ids=user_ids,
            item_ids=item_ids,
            creators=IdColumn(creators),
        )

    @property
    def fallback(self) -> RankedList:
        """The non-profiled list, before opt-outs."""
        return RankedList(self.fallback_rows, self.fallback_scores, self.fallback_sources)

    def write(self, folder: Path) -> None:
        """Write all but the ids of the items, which are in the catalogue."""
        for name in ARRAYS:
            write_array(getattr(self, name), folder / ARRAY_FILE.format(name))
        for name in (USER_IDS, CREATORS):
            write_table(pa.table({name: pa.array(getattr(self, name))}), folder / IDS_FILE.format(name))

    @classmethod
    def mapped(cls, folder: Path, catalogue: pa.Table) -> Self:
        """Map what `write` wrote."""
        arrays: dict[str, Any] = {name: mapped_array(folder / ARRAY_FILE.format(name)) for name in ARRAYS}
        tables = {name: mapped_table(folder / IDS_FILE.format(name)) for name in (USER_IDS, CREATORS)}
        user_ids, creators = (IdColumn(table[name]) for name, table in tables.items())
        return cls(**arrays, user_ids=user_ids, item_ids=IdColumn(catalogue[c.ITEM_ID]), creators=creators)


ARRAYS = [field.name for field in fields(Lookups) if field.type is not IdColumn]


class CreatorRows(Mapping[str, Rows]):
    """The rows of each creator's items."""

    def __init__(self, lookups: Lookups) -> None:
        """Looks nothing up yet."""
        self._lookups = lookups
        self._find: Find = by_order(lookups.creators, np.arange(len(lookups.creators), dtype=np.int32))

    def __getitem__(self, creator: str) -> Rows:
        """The rows of one creator, in order. Raises `KeyError` where there is none."""
        if (place := self._find(creator)) is None:
            raise KeyError  # without the id, which must not reach a log
        return self._lookups.creator_rows[slice(*self._lookups.creator_offsets[place : place + 2])]

    def __len__(self) -> int:
        """The number of creators."""
        return len(self._lookups.creators)

    def __iter__(self) -> Any:
        """The creators in the order of their names."""
        return iter(self._lookups.creators)


def primary_language(tag: str) -> str:
    """The primary language of a tag: `pt` of `pt-BR`, `pt_BR` and `PT`; empty where it names none (`und`)."""
    language = tag.strip().lower().replace("_", "-").split("-")[0]
    return "" if language == "und" else language


def _languages(tags: pa.ChunkedArray) -> tuple[Rows, NDArray[np.str_]]:
    """A text longer than a language tag counts as unknown: one long text would make the whole array as wide."""
    coded = _coded(pc.fill_null(tags, ""))
    names = [primary_language(tag) for tag in coded.dictionary.to_pylist()]
    short = np.array([name if len(name) <= MAX_TAG_LENGTH else "" for name in names], dtype=np.str_)
    languages, code_of = np.unique(short, return_inverse=True)
    return code_of.astype(np.int32)[coded.indices.to_numpy()], languages


def _by_creator(creators: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Longs, Rows]:
    """The names in order, and the rows of each; items of unknown creators are left out."""
    coded = _coded(creators)
    by_name = pc.sort_indices(coded.dictionary)
    place_of = np.argsort(by_name.to_numpy()).astype(np.int32)
    known = np.flatnonzero(creators.is_valid())
    places = place_of[coded.indices.drop_null().to_numpy()]
    rows = known[np.argsort(places, kind="stable")].astype(np.int32)
    names = pa.chunked_array([coded.dictionary.take(by_name)])
    return names, offsets_of(np.bincount(places, minlength=len(by_name))), rows


def _coded(texts: pa.ChunkedArray) -> pa.DictionaryArray:
    return texts.combine_chunks().dictionary_encode()


def _hours(instants: pa.ChunkedArray) -> Hours:
    micros = instants.cast(pa.int64()).cast(pa.float64())
    hours: Hours = pc.fill_null(micros, np.inf).to_numpy() / MICROSECONDS_AN_HOUR
    return hours
