"""Packets, scores and incidents into a database, by a thread of its own, so that nobody waits for it.

While the database does not answer, rows wait in memory, up to a bound; what comes beyond it is counted as lost.
All writing is idempotent: a row is known by its key, so writing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from netnormal import tables
from netnormal.plain import plain
from netnormal.sinks import address, bulk, schema
from netnormal.tables import InputError

BATCH_ROWS = 20_000  # in one transaction
CLOSE_S = 10  # how long the end of a live run waits for a database
PATIENCE_S = 30  # how long a run that reads files waits for a database that went away
_RETRY_S = (1, 2, 5, 10, 30)
_DELETE_ROWS = 20_000
_DAY = 86_400 * 1_000_000_000
_HOUR_S = 3600
_log = logging.getLogger("netnormal")
_TEXTS = ("pattern", "title", "technique", "severity", "source", "display_filter", "reasons")
_LOST_FOR_GOOD = (sa.exc.DataError, sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.NotSupportedError)


@dataclass
class Capture:
    """A capture file, a live capture, or a segment of one.

    source: its name. digest: the file's SHA-256, asked only where another capture began with the same packet.
    """

    source: str
    digest: Callable[[], str | None] = lambda: None
    first: str = ""
    start_ns: int = 0
    capture_id: int | None = None
    known_before: bool = False
    lost: int = 0
    _saved_lost: int = field(default=0, repr=False)

    def begins(self, rows: pd.DataFrame) -> None:
        row = [str(value) for name, value in rows.iloc[0].items() if name != "packet"]
        self.first = hashlib.sha256("\n".join(row).encode()).hexdigest()
        self.start_ns = int(rows["time"].iloc[0])


class Database:
    """A sink (see sinks.Sink) that also takes `packets`.

    live: a run that must not wait: rows beyond `most_waiting` are lost. Else the run waits for the database, for at
    most PATIENCE_S while it does not answer, and `close` raises InputError if anything was lost.
    keep_days: rows older than this before the latest row, by packet time, are deleted; None: none are.
    """

    def __init__(self, url: sa.URL, most_waiting: int, live: bool, keep_days: float | None = None) -> None:
        self.name = address.shown(url)
        self._password = url.password or ""
        self._engine = address.engine_of(url)
        self._url, self._most, self._live, self._keep_days = url, most_waiting, live, keep_days
        self._jobs: deque[tuple[str, int, Any]] = deque()
        self._changed = threading.Condition()
        self._waiting = self._busy = 0
        self._closing = self._down = self._full = False
        self._down_since = 0.0
        self._given_up = ""
        self._said: set[str] = set()
        self.lost = self.stored = 0
        self._swept = -float(_HOUR_S)
        self._connection: sa.Connection | None = None
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)

    def start(self) -> None:
        """Connect and make the tables. Raises InputError if that cannot work, or, unless live, does not work now."""
        if self._url.get_backend_name() == "sqlite":
            folder = Path(str(self._url.database)).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(folder, f"cannot be made ({error.strerror})", "name another --database") from error
        try:
            with self._engine.connect() as connection:
                schema.prepare(connection, self.name)
        except sa.exc.DBAPIError as error:
            words = self._words(error)
            if not self._live or self._url.get_backend_name() == "sqlite" or _refused(words):
                raise InputError(
                    self.name,
                    f"cannot be used ({words})",
                    "start it, give its password (docs/database.md), or name another",
                ) from None
            _log.warning("%s does not answer (%s): trying again while up to %s rows wait", self.name, words, self._most)
            self._down = True
        self._thread.start()

    # ------------------------------------------------------------ what comes in

    def packets(self, rows: pd.DataFrame, capture: Capture) -> None:
        """The next packets (tables.PACKETS) of a capture, in order."""
        if len(rows):
            if not capture.first:
                capture.begins(rows)
            if not self._put("packets", len(rows), (rows, capture)):
                capture.lost += len(rows)

    def live_packets(self, source: str) -> Callable[[pd.DataFrame], None]:
        """A function that takes the packets of a live capture, in which numbers begin anew with each segment."""
        capture, last = Capture(source), 0

        def take(rows: pd.DataFrame) -> None:
            nonlocal capture, last
            if len(rows):
                if int(rows["packet"].iloc[0]) <= last:
                    capture = Capture(source)
                last = int(rows["packet"].iloc[-1])
                self.packets(rows, capture)

        return take

    def ended(self, capture: Capture, sha256: str | None) -> None:
        """The capture is over, and its file has this checksum."""
        if capture.first:
            self._put("ended", 0, (capture, sha256))

    def scores(self, rows: pd.DataFrame) -> None:
        if len(rows):
            self._put("scores", len(rows), rows)

    def incidents(self, documents: Sequence[dict[str, Any]]) -> None:
        if documents:
            self._put("incidents", len(documents), list(documents))

    def resumed(self, documents: Sequence[dict[str, Any]]) -> None:
        """It may have missed some: a database that did not answer when the earlier run was killed."""
        self.incidents(documents)

    def tick(self, now_ns: int) -> None:
        """Nothing depends on the time between rows."""

    def _put(self, kind: str, rows: int, what: Any) -> bool:
        with self._changed:
            while not self._live and self._waiting >= BATCH_ROWS and not self._given_up:
                self._changed.wait(1)
            if self._given_up or (self._live and self._waiting + rows > self._most and rows):
                self._lose(rows)
                return False
            self._jobs.append((kind, rows, what))
            self._full = False
            self._waiting += rows
            self._changed.notify_all()
        return True

    def _lose(self, rows: int) -> None:
        self.lost += rows
        if not self._full and not self._given_up:
            self._full = True
            _log.warning("%s: %s rows wait, which is all that may: what comes now is lost to it", self.name, self._most)

    def close(self) -> None:
        """Write what waits, for a live run within CLOSE_S. Raises InputError if not live and rows were lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident:
            self._thread.join(CLOSE_S if self._live else None)
        with self._changed:
            lost = self.lost + self._waiting
        if not lost:
            return
        if self._live:
            _log.warning("%s: %s rows were not stored", self.name, f"{lost:,}")
            return
        why = f" ({self._given_up})" if self._given_up else ""
        remedy = "run this again: what is there already is not stored twice"
        raise InputError(self.name, f"{lost:,} rows were not stored{why}", remedy)

    # ------------------------------------------------------------ the thread

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closing:
                    self._changed.wait(60)
                    if not self._jobs and not self._down:
                        break  # a quiet hour may still have something to sweep
                if not self._jobs and self._closing:
                    break
                batch = self._batch()
            self._store(batch)
            with self._changed:
                self._waiting -= sum(rows for _, rows, _ in batch)
                self._changed.notify_all()
        if not self._live and not self._given_up:
            self._swept = -float(_HOUR_S)  # what was stored since the last time may be old as well
            self._store([])
        self._disconnect()

    def _batch(self) -> list[tuple[str, int, Any]]:
        batch: list[tuple[str, int, Any]] = []
        rows = 0
        while self._jobs and (not batch or rows + self._jobs[0][1] <= BATCH_ROWS):
            batch.append(self._jobs.popleft())
            rows += batch[-1][1]
        return batch

    def _store(self, batch: list[tuple[str, int, Any]]) -> None:
        """Until it is stored, or cannot be."""
        rows, tries = sum(count for _, count, _ in batch), 0
        while True:
            try:
                connection = self._connected()
                with connection.begin():
                    self._write(connection, batch)
                self._sweep(connection)
            except (_RefusedError, InputError, *_LOST_FOR_GOOD) as error:
                self._disconnect()
                self._lose_batch(
                    batch, rows, str(error) if not isinstance(error, sa.exc.DBAPIError) else self._words(error)
                )
                return
            except (sa.exc.DBAPIError, sa.exc.SQLAlchemyError) as error:
                self._disconnect()
                if not self._wait(self._words(error), _RETRY_S[min(tries, len(_RETRY_S) - 1)]):
                    self._lose_batch(batch, rows, self._words(error))
                    return
                tries += 1
                continue
            except Exception as error:  # a fault of ours: it must not end a capture, nor stay unseen
                self._disconnect()
                _log.error("%s: rows cannot be stored", self.name, exc_info=error)
                self._lose_batch(batch, rows, repr(error))
                return
            self.stored += rows
            if self._down:
                self._down = self._full = False
                _log.warning(
                    "%s answers again; %s",
                    self.name,
                    f"{self.lost:,} rows were lost to it" if self.lost else "nothing was lost",
                )
            return

    def _wait(self, words: str, seconds: float) -> bool:
        """Wait for a database that does not answer; False: no longer."""
        now = time.monotonic()
        if not self._down:
            self._down, self._down_since = True, now
            _log.warning(
                "%s does not answer (%s): trying again while up to %s rows wait", self.name, words, f"{self._most:,}"
            )
        self._down_since = self._down_since or now
        if not self._live and now - self._down_since > PATIENCE_S:
            with self._changed:
                self._given_up = words
                self._changed.notify_all()
            return False
        with self._changed:
            if self._closing and self._live:
                seconds = min(seconds, 1)
            self._changed.wait_for(lambda: self._closing and self._live, seconds)
        return True

    def _lose_batch(self, batch: list[tuple[str, int, Any]], rows: int, words: str) -> None:
        with self._changed:
            self.lost += rows
        for kind, count, what in batch:
            if kind == "packets":
                what[1].lost += count
        if words not in self._said and not self._given_up:
            self._said = (self._said | {words}) if len(self._said) < 100 else {words}
            _log.warning("%s: %s rows cannot be stored (%s)", self.name, f"{rows:,}", words)

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            connection = self._engine.connect()
            try:
                schema.prepare(connection, self.name)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sa.exc.SQLAlchemyError as error:
                _log.debug("%s: %s", self.name, self._words(error))

    def _words(self, error: BaseException) -> str:
        cause = getattr(error, "orig", None) or error
        arguments = getattr(cause, "args", ()) or (cause,)
        words = plain(" ".join(str(arguments[-1]).split()), 200)
        return words.replace(self._password, "***") if self._password else words

    # ------------------------------------------------------------ what is written

    def _write(self, connection: sa.Connection, batch: list[tuple[str, int, Any]]) -> None:
        waiting: list[pd.DataFrame] = []
        for at, (kind, _, what) in enumerate(batch):
            if kind == "packets":
                waiting.append(what[0])
                following = batch[at + 1] if at + 1 < len(batch) else None
                if following is None or following[0] != "packets" or following[2][1] is not what[1]:
                    self._write_packets(connection, tables.concat(waiting), what[1])
                    waiting = []
            elif kind == "ended":
                self._end(connection, *what)
            elif kind == "scores":
                _write_scores(connection, what)
            else:
                _write_incidents(connection, what)

    def _write_packets(self, connection: sa.Connection, rows: pd.DataFrame, capture: Capture) -> None:
        table = schema.PACKET_ROWS
        capture_id = self._capture_id(connection, capture)
        if capture.known_before:
            rows = _missing(connection, capture_id, rows)
        columns: dict[str, list[Any]] = {"capture_id": [capture_id] * len(rows)}
        for column in tables.PACKETS:
            name = "time_ns" if column.name == "time" else column.name
            columns[name] = bulk.cells(rows[column.name], column, getattr(table.c[name].type, "length", None))
        bulk.insert(connection, table, columns)
        self._save_lost(connection, capture)

    def _capture_id(self, connection: sa.Connection, capture: Capture) -> int:
        """Its number in the database: that of the same capture where it is there already."""
        table = schema.CAPTURES
        if capture.capture_id is not None and connection.scalar(
            sa.select(table.c.capture_id).where(table.c.capture_id == capture.capture_id)
        ):
            return capture.capture_id
        query = sa.select(table.c.capture_id, table.c.sha256).where(table.c.first_packet == capture.first)
        alike = connection.execute(query.order_by(table.c.capture_id)).all()
        found = next((number for number, sha256 in alike if sha256 is None), None)
        if found is None and alike:
            digest = capture.digest()
            found = next((number for number, sha256 in alike if digest in (None, sha256)), None)
        if found is None:
            row = {"source": plain(capture.source, 255), "first_packet": capture.first, "start_ns": capture.start_ns}
            made = connection.execute(table.insert(), row | {"sha256": None, "lost_packets": 0})
            assert made.inserted_primary_key is not None
            found = int(made.inserted_primary_key[0])
            capture.capture_id, capture.known_before = found, False
        else:
            capture.capture_id, capture.known_before = found, True
        return found

    def _save_lost(self, connection: sa.Connection, capture: Capture) -> None:
        if capture.lost != capture._saved_lost:
            table = schema.CAPTURES
            change = table.update().where(table.c.capture_id == capture.capture_id)
            connection.execute(change.values(lost_packets=capture.lost))
            capture._saved_lost = capture.lost

    def _end(self, connection: sa.Connection, capture: Capture, sha256: str | None) -> None:
        number = self._capture_id(connection, capture)
        change = schema.CAPTURES.update().where(schema.CAPTURES.c.capture_id == number)
        connection.execute(change.values(sha256=sha256, lost_packets=capture.lost))

    def _sweep(self, connection: sa.Connection) -> None:
        """Once an hour: delete what is older than `keep_days` before the latest row (or before now, if that is less:
        a packet with a date in the future must not delete the others)."""
        if self._keep_days is None or time.monotonic() - self._swept < _HOUR_S:
            return
        for table, age in schema.AGE.items():
            with connection.begin():
                newest = connection.scalar(sa.select(sa.func.max(age)))
            if newest is None:
                continue
            cut = min(int(newest), time.time_ns()) - round(self._keep_days * _DAY)
            more = True
            while more:
                with connection.begin():
                    step = sa.select(age).where(age < cut).order_by(age).offset(_DELETE_ROWS).limit(1)
                    until = connection.scalar(step)
                    connection.execute(table.delete().where(age < cut if until is None else age <= until))
                more = until is not None
        self._swept = time.monotonic()


class _RefusedError(Exception):
    """Rows that this database cannot take."""


def _refused(words: str) -> bool:
    """Whether an error is one that waiting does not mend."""
    return any(
        part in words.lower()
        for part in ("access denied", "authentication failed", "unknown database", "does not exist")
    )


def _missing(connection: sa.Connection, capture_id: int, rows: pd.DataFrame) -> pd.DataFrame:
    """The packets that are not there yet. Raises _RefusedError if others are there under their numbers."""
    table, numbers = schema.PACKET_ROWS, rows["packet"].to_numpy()
    query = sa.select(table.c.packet, table.c.time_ns).where(
        table.c.capture_id == capture_id, table.c.packet.between(int(numbers[0]), int(numbers[-1]))
    )
    there = dict[int, int](tuple(row) for row in connection.execute(query))
    if not there:
        return rows
    times = rows["time"].to_numpy().tolist()
    known = np.array([number in there for number in numbers.tolist()], bool)
    if any(there.get(number, when) != when for number, when in zip(numbers.tolist(), times, strict=True)):
        raise _RefusedError("another capture that begins with the same packet is there: give this one as a file")
    return rows[~known]


def _write_scores(connection: sa.Connection, rows: pd.DataFrame) -> None:
    table, keys = schema.SCORE_ROWS, ["window_s", "window_start", "source", "destination", "service"]
    rows = rows.drop_duplicates(keys, keep="last")
    columns = {}
    for column in tables.SCORES:
        name = "window_start_ns" if column.name == "window_start" else column.name
        columns[name] = bulk.cells(rows[column.name], column, getattr(table.c[name].type, "length", None))
    bulk.insert(connection, table, columns, replace=True)


def _write_incidents(connection: sa.Connection, documents: list[dict[str, Any]]) -> None:
    table = schema.INCIDENT_ROWS
    last = {str(one["incident_id"]): one for one in documents}
    rows = []
    for number, one in last.items():
        row: dict[str, Any] = {"incident_id": plain(number, 64)}
        row |= {f"{name}_ns": tables.nanoseconds(one[name]) for name in ("start", "end", "detected")}
        for name in _TEXTS:
            most = getattr(table.c[name].type, "length", None) or 1_000_000
            row[name] = None if one.get(name) is None and table.c[name].nullable else plain(one.get(name) or "", most)
        row |= {name: plain(" ".join(map(str, one[name])), 2000) for name in ("destinations", "services")}
        row |= {"score": float(one["score"]), "packets": int(one["packets"]), "bytes": int(one["bytes"])}
        row["document"] = json.dumps(one, default=str)
        rows.append(row)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    bulk.insert(connection, table, columns, replace=True)
