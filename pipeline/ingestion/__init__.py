"""Ingestion: files become contract tables in the landing zone, each batch stored once.

`import_files` is what `tastefeed import` calls; `convert` stops before the landing zone. Ingested tables have the
contract's columns and types, and no more is promised: the night's `events` stage validates the rows. Reading and
writing must not import Spark.
"""

from pipeline.ingestion.import_files import convert, import_files, read_import, write_tables
from pipeline.ingestion.import_report import ImportSummary
from pipeline.ingestion.landing_zone import (
    erase,
    land,
    landed_creators,
    landed_files,
    landed_items,
    landed_users,
    unname_creators,
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
    "erase",
    "import_files",
    "land",
    "landed_creators",
    "landed_files",
    "landed_items",
    "landed_users",
    "read_import",
    "read_mapping",
    "unname_creators",
    "valid_id",
    "write_tables",
]
