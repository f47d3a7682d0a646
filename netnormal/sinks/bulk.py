"""Many rows at once into each kind of database, by its fastest way that binds every text as a parameter.

SQLite: statements of 100 rows. MariaDB and MySQL: statements of 1,000 rows in which numbers are digits, since binding
them costs more than storing them. PostgreSQL: COPY into a table of the transaction, and from there.
Rows whose key is there already are left as they are, or replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from netnormal.plain import plain
from netnormal.tables import Column

_SQLITE_ROWS = 100  # a statement with 28 columns has 2,800 of the 32,766 parameters that SQLite allows
_MYSQL_ROWS = 1000  # 0.3 MB, at worst 2.3 MB of max_allowed_packet's 16


def cells(values: pd.Series, column: Column, most: int | None) -> list[Any]:
    """A column of a table of ours as plain values; None where it is empty. most: the longest text."""
    if column.kind == "text":
        words = values.array if isinstance(values.dtype, pd.CategoricalDtype) else pd.Categorical(values)
        spelt = [plain(word, most or len(str(word))) for word in words.categories]
        return np.array([*spelt, None], object)[words.codes].tolist()
    numbers = values.to_numpy()
    empty = np.isnan(numbers) if column.kind == "float" else (numbers == -1) & column.optional
    if not empty.any():
        return numbers.tolist()
    plain_values = numbers.astype(object)
    plain_values[empty] = None
    return plain_values.tolist()


def insert(connection: sa.Connection, table: sa.Table, columns: dict[str, list[Any]], replace: bool = False) -> None:
    """Rows into `table`; columns: name → values. Those whose key is there are left, or with `replace` replaced."""
    {"sqlite": _sqlite, "mysql": _mysql, "postgresql": _postgresql}[connection.dialect.name](
        connection, table, columns, replace
    )


def _names(connection: sa.Connection, names: Sequence[str]) -> list[str]:
    return [connection.dialect.identifier_preparer.quote(name) for name in names]


def _conflict(connection: sa.Connection, table: sa.Table, columns: dict[str, list[Any]], replace: bool) -> str:
    keys = [column.name for column in table.primary_key]
    rest = _names(connection, [name for name in columns if name not in keys]) if replace else []
    if connection.dialect.name == "mysql":
        same = _names(connection, keys[:1])[0]
        return " ON DUPLICATE KEY UPDATE " + (
            ", ".join(f"{name} = VALUES({name})" for name in rest) or f"{same} = {same}"
        )
    if not rest:
        return " ON CONFLICT DO NOTHING"
    key = ", ".join(_names(connection, keys))
    return f" ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in rest)


def _head(connection: sa.Connection, table: sa.Table, columns: dict[str, list[Any]]) -> str:
    return f"INSERT INTO {_names(connection, [table.name])[0]} ({', '.join(_names(connection, list(columns)))}) "


def _sqlite(connection: sa.Connection, table: sa.Table, columns: dict[str, list[Any]], replace: bool) -> None:
    rows = list(zip(*columns.values(), strict=True))
    one = f"({', '.join('?' * len(columns))})"
    head, tail = _head(connection, table, columns) + "VALUES ", _conflict(connection, table, columns, replace)
    for at in range(0, len(rows), _SQLITE_ROWS):
        part = rows[at : at + _SQLITE_ROWS]
        connection.exec_driver_sql(head + ", ".join([one] * len(part)) + tail, tuple(chain.from_iterable(part)))


def _mysql(connection: sa.Connection, table: sa.Table, columns: dict[str, list[Any]], replace: bool) -> None:
    texts = [values for name, values in columns.items() if isinstance(table.c[name].type, sa.String)]
    spelt = []
    for name, values in columns.items():
        if isinstance(table.c[name].type, sa.String):
            spelt.append(["NULL" if value is None else "%s" for value in values])
        else:
            spelt.append(["NULL" if value is None else repr(value) for value in values])
    rows = ["(" + ",".join(row) + ")" for row in zip(*spelt, strict=True)]
    bound = list(zip(*texts, strict=True)) if texts else [()] * len(rows)
    head, tail = _head(connection, table, columns) + "VALUES ", _conflict(connection, table, columns, replace)
    for at in range(0, len(rows), _MYSQL_ROWS):
        flat = chain.from_iterable(bound[at : at + _MYSQL_ROWS])
        given = tuple(value for value in flat if value is not None)
        connection.exec_driver_sql(head + ",".join(rows[at : at + _MYSQL_ROWS]) + tail, given)


def _postgresql(connection: sa.Connection, table: sa.Table, columns: dict[str, list[Any]], replace: bool) -> None:
    name, names = _names(connection, [table.name])[0], ", ".join(_names(connection, list(columns)))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT {names} FROM {name} WITH NO DATA")
        with cursor.copy(f"COPY incoming ({names}) FROM STDIN") as copy:
            for row in zip(*columns.values(), strict=True):
                copy.write_row(row)
        conflict = _conflict(connection, table, columns, replace)
        cursor.execute(f"INSERT INTO {name} ({names}) SELECT {names} FROM incoming" + conflict)
        cursor.execute("DROP TABLE incoming")
