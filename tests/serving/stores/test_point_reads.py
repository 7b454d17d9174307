"""Point reads: the rows of SQLAlchemy, without SQLAlchemy's work on each query."""

import sqlite3
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, bindparam, insert, literal, select

from serving.stores.point_reads import PointRead, has_table, point_transaction
from serving.stores.sql_instants import Instant
from serving.stores.sql_store import create_tables, open_engine
from tests.serving.stores.test_sql_store import METADATA, VISITS

NOON = datetime(2017, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
EARLIER = PointRead(
    select(VISITS.c.user_id, VISITS.c.at)
    .where(VISITS.c.user_id.in_([bindparam("one"), literal("bob")]), VISITS.c.at <= bindparam("by", type_=Instant))
    .order_by(VISITS.c.user_id)
)


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/visits.db", wait_s=1)
    create_tables(engine, METADATA)
    with engine.begin() as connection:
        connection.execute(insert(VISITS), [{"user_id": user, "at": NOON} for user in ("ann", "bob", "cy")])
    yield engine
    engine.dispose()


def test_a_point_read_has_the_rows_of_sqlalchemy(engine):
    values = {"one": "ann", "by": NOON}
    with point_transaction(engine) as point, engine.connect() as whole:
        assert isinstance(point, sqlite3.Connection)
        assert isinstance(whole, Connection)
        assert EARLIER.rows(point, values) == [["ann", NOON], ["bob", NOON]]
        assert [tuple(row) for row in EARLIER.rows(point, values)] == [tuple(r) for r in EARLIER.rows(whole, values)]
        assert EARLIER.rows(point, {"one": "ann", "by": datetime(2017, 3, 1, tzinfo=UTC)}) == []
        assert [has_table(each, name) for each in (point, whole) for name in ("visits", "no")] == [True, False] * 2


def test_the_reads_of_a_transaction_are_of_one_instant_and_the_next_transaction_is_current(engine):
    with point_transaction(engine) as point:
        assert len(EARLIER.rows(point, {"one": "ann", "by": NOON})) == 2
        with engine.begin() as writer:
            writer.execute(VISITS.delete())
        assert len(EARLIER.rows(point, {"one": "ann", "by": NOON})) == 2
    with point_transaction(engine) as point:
        assert EARLIER.rows(point, {"one": "ann", "by": NOON}) == []


def test_a_connection_is_given_back_after_an_error(engine):
    for _ in range(20):
        with pytest.raises(sqlite3.OperationalError, match="no such table"), point_transaction(engine) as point:
            point.execute("SELECT 1 FROM absent")
    assert engine.pool.checkedout() == 0
    with engine.begin() as writer:
        writer.execute(VISITS.delete())
