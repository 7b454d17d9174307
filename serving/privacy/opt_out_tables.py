"""The four tables in the database of the opt-outs, as SQLAlchemy declares them.

`opt_outs` holds a record for each change of a flag (`opt_out_records`). `opt_out_store` holds one row: the identity of
the store and how much it holds (`store_identity`). `switches` and `admin_audit` belong to administrators.
"""

from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table

from contracts import columns as c
from serving.stores.sql_instants import Instant

METADATA = MetaData()
OPT_OUTS = Table(
    "opt_outs",
    METADATA,
    Column(c.SUBJECT_TYPE, String, primary_key=True),
    Column(c.SUBJECT_ID, String, primary_key=True),
    Column(c.FLAG, String, primary_key=True),
    Column(c.EFFECTIVE_AT, Instant, primary_key=True),
    Column(c.OPTED_OUT, Boolean, nullable=False),
)
IDENTITY = Table(
    "opt_out_store",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("identity", String, nullable=False),
    Column("words", Integer, nullable=False),
    Column("withheld", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("at", Instant, nullable=False),
)
SWITCHES = Table(
    "switches",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
    Column("set_at", Instant, nullable=False),
    Column("set_by", String, nullable=False),
)
AUDIT = Table(
    "admin_audit",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", String, nullable=False),
    sqlite_autoincrement=True,  # no number is given twice
)
