"""Which database: a URL without secrets from the command line, or with them from the environment or .env."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from netnormal.sinks.secrets import secret
from netnormal.tables import InputError

DEFAULT = "results/packet_logs.db"
WAIT_S = 5  # for a connection
STATEMENT_S = 60  # for one statement: the longest, 20,000 rows, takes under a second
_DRIVERS = {
    "sqlite": "sqlite",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
_SHAPE = "write  sqlite:///FILE, mysql://USER@HOST/DATABASE  or  postgresql://USER@HOST/DATABASE"


def url_of(given: str) -> sa.URL:
    """The URL of the database that `--database given` means; "" if it was given without a value.

    Raises InputError if it is none, is of a kind that we do not know, or shows a password to all who list processes.
    """
    text = given or secret("NETNORMAL_DATABASE") or "sqlite"
    where = "--database" if given else "NETNORMAL_DATABASE"
    if text == "sqlite":
        return sa.make_url(f"sqlite:///{DEFAULT}")
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):  # without its cause, which would show the URL
        raise InputError(where, "is no URL of a database", _SHAPE) from None
    if given and (url.password or any("pass" in name.lower() for name in url.query)):
        raise InputError(
            where,
            "has a password, which every user of this machine can see in the list of processes",
            "leave it out, and set NETNORMAL_DATABASE_PASSWORD, or NETNORMAL_DATABASE to the whole URL, in .env",
        )
    if url.drivername not in _DRIVERS:
        raise InputError(where, f"names {url.drivername!r}, which is no kind of database known here", _SHAPE)
    if not url.database or url.database == ":memory:":
        raise InputError(where, "names no database", _SHAPE)
    url = url.set(drivername=_DRIVERS[url.drivername])
    password = secret("NETNORMAL_DATABASE_PASSWORD")
    if password and not url.password and url.get_backend_name() != "sqlite":
        url = url.set(password=password)
    return url


def shown(url: sa.URL) -> str:
    """The URL for people, without password or options; of SQLite the file."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    bare = sa.URL.create(url.get_backend_name(), url.username, None, url.host, url.port, url.database)
    return bare.render_as_string(hide_password=True)


def engine_of(url: sa.URL) -> sa.Engine:
    """An engine without a pool: each `connect` is a connection, and a transaction of SQLite locks when it begins."""
    kind = url.get_backend_name()
    options: dict[str, Any] = {"timeout": STATEMENT_S}
    if kind == "mysql":
        options = {"connect_timeout": WAIT_S, "read_timeout": STATEMENT_S, "write_timeout": STATEMENT_S}
        options |= {"charset": "utf8mb4", "local_infile": False}  # no server reads our files
    elif kind == "postgresql":
        options = {"connect_timeout": WAIT_S, "client_encoding": "utf8", "tcp_user_timeout": 1000 * STATEMENT_S}
        options["options"] = f"-c statement_timeout={STATEMENT_S}s"
    engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True, connect_args=options)
    if kind == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, also around DDL
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):  # readers never wait for us; safe when killed
        connection.execute(f"PRAGMA {pragma}")
