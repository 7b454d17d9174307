"""What tests of the opt-out store share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from serving.privacy.opt_out_tables import METADATA
from serving.stores.sql_store import create_tables, open_engine


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """A connection to the empty tables of an opt-out store."""
    engine = open_engine(f"sqlite:///{tmp_path}/opt_outs.db")
    create_tables(engine, METADATA)
    with engine.connect() as connection:
        yield connection
