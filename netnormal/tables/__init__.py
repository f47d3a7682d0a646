"""The contracts: every column of every file, and how the files are read and written.

A table in memory is a pandas DataFrame whose columns follow a `Schema`: integers are int64 with -1 for an
empty cell, floats float64 with NaN, text pandas Categorical with a missing category, time int64 nanoseconds UTC.
"""

from netnormal.tables.columns import Column, InputError, Schema
from netnormal.tables.contracts import (
    ANOMALIES,
    DOCUMENT,
    FEEDBACK,
    INCIDENTS,
    INTERVAL_LABELS,
    LABELLED_PACKETS,
    PACKET_LABELS,
    PACKETS,
    ROW_KEY,
    SCHEMAS,
    SCORES,
    SUPPRESSIONS,
    TCP_FLAGS,
)
from netnormal.tables.feature_columns import FEATURE_COLUMNS, FEATURES
from netnormal.tables.files import (
    Writer,
    alone,
    atomic,
    blocks,
    concat,
    empty,
    identify,
    iso,
    nanoseconds,
    parse,
    read,
    read_json,
    text,
    write,
    write_json,
    writer,
)

__all__ = [
    "ANOMALIES",
    "DOCUMENT",
    "FEATURES",
    "FEATURE_COLUMNS",
    "FEEDBACK",
    "INCIDENTS",
    "INTERVAL_LABELS",
    "LABELLED_PACKETS",
    "PACKETS",
    "PACKET_LABELS",
    "ROW_KEY",
    "SCHEMAS",
    "SCORES",
    "SUPPRESSIONS",
    "TCP_FLAGS",
    "Column",
    "InputError",
    "Schema",
    "Writer",
    "alone",
    "atomic",
    "blocks",
    "concat",
    "empty",
    "identify",
    "iso",
    "nanoseconds",
    "parse",
    "read",
    "read_json",
    "text",
    "write",
    "write_json",
    "writer",
]
