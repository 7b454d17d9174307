"""Ingestion: files become contract tables in the landing zone, each batch stored once.

`import_files` is what `tastefeed import` calls; `convert` stops before the landing zone. Ingested tables have the
contract's columns and types, and no more is promised: the night's `events` stage validates the rows. Reading and
writing must not import Spark.
"""

from pipeline.ingestion.import_files import convert, import_files, read_import, write_tables
from pipeline.ingestion.import_report import ImportSummary
from pipeline.ingestion.landing_zone import (
    erase_rows,
    ingested_files,
    items_by_creator,
    read_items,
    read_users,
    remove_creator_names,
    store_batch,
    valid_id,
)
from pipeline.ingestion.name_mapping import NO_MAPPING, NameMapping, read_mapping
from pipeline.ingestion.readers import ImportRequest, Incoming

__all__ = [
    "NO_MAPPING",
    "ImportRequest",
    "ImportSummary",
    "Incoming",
    "NameMapping",
    "convert",
    "erase_rows",
    "import_files",
    "ingested_files",
    "items_by_creator",
    "read_import",
    "read_items",
    "read_mapping",
    "read_users",
    "remove_creator_names",
    "store_batch",
    "valid_id",
    "write_tables",
]
