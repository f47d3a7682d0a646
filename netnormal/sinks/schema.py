"""The tables of a database, and how one that an earlier version made is brought up to date.

Times are whole nanoseconds since 1970, UTC, as everywhere inside: no database keeps nanoseconds in its own type.
docs/database.md is written from the comments here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from netnormal.tables import PACKETS, SCORES, InputError

VERSION = 2
METADATA = sa.MetaData()
#: Longest text of a packet's columns [characters]; four for each odd byte of a name (RFC 4343).
_LENGTHS = {"dns_query": 1024, "server_name": 1024, "src_ip": 45, "dst_ip": 45, "src_mac": 17, "dst_mac": 17}
_KEYS = {"source": 64, "destination": 64, "service": 64}
_LONG = sa.Text().with_variant(MEDIUMTEXT(), "mysql")  # MySQL's own Text ends at 64 KiB
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _ns(name: str, comment: str, **more: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, comment=comment, nullable=False, **more)


def _packet_column(name: str) -> sa.Column[Any]:
    column = PACKETS[name]
    kind: sa.types.TypeEngine[Any] = sa.String(_LENGTHS.get(name, 128)) if column.kind == "text" else sa.BigInteger()
    if column.kind == "int" and column.high is not None:
        kind = sa.Integer()
    return sa.Column(name, kind, comment=column.meaning, nullable=column.optional)


SCHEMA_VERSION = sa.Table(
    "schema_version",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False, comment="of these tables"),
    _ns("since_ns", "when the database was brought to it (wall clock)"),
    comment="one row per version that the database has had; the highest counts",
    **_MYSQL,
)
CAPTURES = sa.Table(
    "captures",
    METADATA,
    sa.Column("capture_id", sa.Integer, primary_key=True, comment="1, 2 … in order of arrival"),
    sa.Column("source", sa.String(255), nullable=False, comment="interface, or name of the file"),
    sa.Column("first_packet", sa.String(64), nullable=False, index=True, comment="SHA-256 of its first packet's row"),
    sa.Column("sha256", sa.String(64), comment="SHA-256 of the capture file; empty while it is written, or without"),
    _ns("start_ns", "time of its first packet"),
    sa.Column("lost_packets", sa.BigInteger, nullable=False, comment="captured, but never stored: see Outages"),
    comment="one row per capture file, live capture, or segment of a long one",
    **_MYSQL,
)
PACKET_ROWS = sa.Table(
    "packets",
    METADATA,
    sa.Column("capture_id", sa.Integer, primary_key=True, autoincrement=False, comment="its capture"),
    sa.Column("packet", sa.BigInteger, primary_key=True, autoincrement=False, comment=PACKETS["packet"].meaning),
    _ns("time_ns", "capture time", index=True),
    *(_packet_column(name) for name in PACKETS.names if name not in ("packet", "time")),
    comment="one row per packet: the columns of captured_data.csv",
    sqlite_with_rowid=False,
    **_MYSQL,
)
SCORE_ROWS = sa.Table(
    "scores",
    METADATA,
    sa.Column("window_s", sa.Integer, primary_key=True, autoincrement=False, comment=SCORES["window_s"].meaning),
    sa.Column(
        "window_start_ns",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        index=True,
        comment=SCORES["window_start"].meaning,
    ),
    *(sa.Column(name, sa.String(most), primary_key=True, comment=SCORES[name].meaning) for name, most in _KEYS.items()),
    sa.Column("score", sa.Double, nullable=False, comment=SCORES["score"].meaning),
    sa.Column("tail_probability", sa.Double, nullable=False, comment=SCORES["tail_probability"].meaning),
    sa.Column("anomaly", sa.Integer, nullable=False, comment=SCORES["anomaly"].meaning),
    sa.Column("packets", sa.BigInteger, nullable=False, comment=SCORES["packets"].meaning),
    comment="one row per conversation and window: the columns of scores.csv",
    sqlite_with_rowid=False,
    **_MYSQL,
)
INCIDENT_ROWS = sa.Table(
    "incidents",
    METADATA,
    sa.Column("incident_id", sa.String(64), primary_key=True, comment="as in incidents.csv"),
    _ns("start_ns", "first packet of it"),
    _ns("end_ns", "last packet of it", index=True),
    sa.Column("detected_ns", sa.BigInteger, comment="when it was told; empty if version 1 of these tables stored it"),
    sa.Column("pattern", sa.String(64), nullable=False, comment="port_scan, syn_flood … or unusual_behaviour"),
    sa.Column("title", sa.String(1000), nullable=False, comment="what happened, in one sentence"),
    sa.Column("technique", sa.String(64), comment="MITRE ATT&CK technique; empty where no pattern has a name"),
    sa.Column("severity", sa.String(16), nullable=False, comment="low, medium, high or critical"),
    sa.Column("score", sa.Double, nullable=False, comment="the highest score in it"),
    sa.Column("source", sa.String(64), nullable=False, comment="who did it"),
    sa.Column("destinations", sa.String(2000), nullable=False, comment="to whom, separated by blanks; at most 20"),
    sa.Column("services", sa.String(2000), nullable=False, comment="with which services, separated by blanks"),
    sa.Column("packets", sa.BigInteger, nullable=False, comment="packets of its conversations"),
    sa.Column("bytes", sa.BigInteger, nullable=False, comment="bytes on the wire of its conversations"),
    sa.Column("reasons", _LONG, nullable=False, comment="the evidence in words"),
    sa.Column("display_filter", _LONG, nullable=False, comment="Wireshark display filter that selects its packets"),
    sa.Column("document", _LONG, nullable=False, comment="all that incidents.json says of it, as JSON"),
    comment="one row per incident, as it was last told",
    **_MYSQL,
)
#: The column by which rows of a table get old.
AGE = {
    PACKET_ROWS: PACKET_ROWS.c.time_ns,
    SCORE_ROWS: SCORE_ROWS.c.window_start_ns,
    INCIDENT_ROWS: INCIDENT_ROWS.c.end_ns,
}


def _add(connection: sa.Connection, column: sa.Column[Any]) -> None:
    """Add a column, unless it is there: MariaDB keeps each change of a table, also if the upgrade is then killed."""
    if column.name in {known["name"] for known in sa.inspect(connection).get_columns(column.table.name)}:
        return
    quoted = connection.dialect.identifier_preparer.quote(column.table.name)
    made = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
    connection.execute(sa.DDL("ALTER TABLE %(quoted)s ADD COLUMN %(made)s", context={"quoted": quoted, "made": made}))
    if connection.dialect.supports_comments and not connection.dialect.inline_comments:
        connection.execute(sa.schema.SetColumnComment(column))


#: Version → what brings a database of the version before to it. New databases are made as METADATA says.
UPGRADES: dict[int, Callable[[sa.Connection], None]] = {
    2: lambda connection: _add(connection, INCIDENT_ROWS.c.detected_ns),
}


def prepare(connection: sa.Connection, name: str) -> None:
    """Make the tables, or bring those of an earlier version up to date, in one transaction where the database can.

    name: the database, for people. Raises InputError if it is of a later version, or has other tables of these names.
    """
    with connection.begin():
        _lock(connection)
        there = set(sa.inspect(connection).get_table_names())
        if SCHEMA_VERSION.name not in there:
            strangers = sorted(there & set(METADATA.tables))
            if strangers:
                what = f"has a table {strangers[0]} that netnormal did not make"
                raise InputError(name, what, "name another database")
            METADATA.create_all(connection, checkfirst=False)
            _note(connection, VERSION)
            return
        known = connection.scalar(sa.select(sa.func.max(SCHEMA_VERSION.c.version))) or 0
        if known > VERSION:
            what = f"is of version {known}, and this netnormal knows versions up to {VERSION}"
            raise InputError(name, what, "update netnormal, or name another database")
        for version in range(known + 1, VERSION + 1):
            UPGRADES[version](connection)
            _note(connection, version)


def _lock(connection: sa.Connection) -> None:
    """Let two processes that start together not both make the tables. SQLite's transactions do that by themselves."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7305804402444264049)")
    elif connection.dialect.name == "mysql":
        connection.exec_driver_sql("SELECT GET_LOCK('netnormal', 30)")  # until the connection closes


def _note(connection: sa.Connection, version: int) -> None:
    connection.execute(SCHEMA_VERSION.insert(), {"version": version, "since_ns": time.time_ns()})
