"""The source door: where rows come from. One source a file; names are file suffixes or `folder`, `sql`."""

from trunkline.registry import Door
from trunkline.types import Source

SOURCES: Door[type[Source]] = Door(
    "source",
    {
        "csv": "trunkline.data.sources.csv:CsvSource",
        "jsonl": "trunkline.data.sources.jsonl:JsonlSource",
        "parquet": "trunkline.data.sources.parquet:ParquetSource",
        "folder": "trunkline.data.sources.folder:FolderSource",
        "sql": "trunkline.data.sources.sql:SqlSource",
    },
)
