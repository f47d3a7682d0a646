"""The packet table of a live capture, read while it grows, wherever rotation puts it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pandas as pd

from netnormal import tables
from netnormal.tables import PACKETS, InputError

BLOCK_BYTES = 8 << 20  # read at one go; has no meaning
MOST_LINE = 1 << 16  # bytes of a row
_TIME = PACKETS.names.index("time")


@dataclass(frozen=True)
class Position:
    """How far a table was read. first: its first row, which tells it from all others (empty: none was there yet)."""

    first: str = ""
    offset: int = 0


class Tail:
    """Reads the rows of a captured_data.csv as they come: `read` gives the next ones.

    The file may not be there yet and may end in half a row. It may be moved to captures/…/ beside it and replaced by
    the next one: then the rest of it is read there, then the tables that began after it, in order of time, as one
    stream. `position` is what was read; a Tail made with it goes on there. `problems` says what could not be read.
    """

    def __init__(self, path: Path, position: Position | None = None) -> None:
        self.path, self.position = path, position or Position()
        self.problems: list[str] = []
        self.waiting_bytes = 0  # in the file, not read yet
        self._file = path  # where the table at `position` was last

    def begin(self) -> None:
        """Find the table that is there now, if there is one that has rows."""
        if not self.position.first:
            self.position = Position(_first_row(self.path))

    def read(self, most: int = BLOCK_BYTES) -> pd.DataFrame | None:
        """The next rows (tables.PACKETS), or None if there are none now.

        Raises InputError if the file is no packet table or has a row that is none.
        """
        while True:
            stream = self._opened()
            if stream is None:
                self.waiting_bytes = 0
                return None
            with stream:
                header, data = self._next_lines(stream, most)
            if data:
                rows = tables.parse(data, header, PACKETS, self._file)
                self.position = Position(self.position.first, self.position.offset + len(data))
                return rows
            if self._file == self.path or not self._go_on():
                return None

    def _next_lines(self, stream: IO[bytes], most: int) -> tuple[str, bytes]:
        """The header, and the whole lines that follow `position`."""
        header = stream.readline(MOST_LINE)
        size = stream.seek(0, 2)
        start = max(self.position.offset, len(header))
        if start > size:
            self._problem(f"{self._file} lost {start - size:,} bytes that had been read")
            stream.seek(max(size - MOST_LINE, 0))
            start = max(size - len(stream.read().rpartition(b"\n")[2]), len(header))
        stream.seek(start)
        data = stream.read(max(most, MOST_LINE))
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) >= MOST_LINE:
            raise InputError(
                self._file, f"has a line of more than {MOST_LINE} bytes", f"write it with  {PACKETS.stage}"
            )
        self.position = Position(self.position.first, start)
        self.waiting_bytes = size - start - whole
        return header.decode("utf-8-sig", "replace"), data[:whole]

    def _opened(self) -> IO[bytes] | None:
        """The table at `position`, or if that is gone the next one; None if there is none yet."""
        self.begin()
        if not self.position.first:
            return None
        for file in (self._file, self.path):
            if stream := _open_if(file, self.position.first):
                self._file = file
                return stream
        for file, first in self._put_away():
            if first == self.position.first and (stream := _open_if(file, first)):
                self._file = file
                return stream
        if self._go_on():
            self._problem("a table was deleted before all of it was read")
            return _open_if(self._file, self.position.first)
        return None

    def _go_on(self) -> bool:
        """To the table that began next after ours, if there is one: one that was put away too, else that of now.

        Raises InputError if the one of now began earlier.
        """
        mine, now = _time(self.position.first), _first_row(self.path)
        there = [*self._put_away(), (self.path, now)]
        later = [(_time(first), first, file) for file, first in there if first and _time(first) > mine]
        if not later:
            if now and now != self.position.first:
                raise InputError(self.path, "is older than what was followed so far", "name another --output for it")
            return False
        _, first, self._file = min(later)
        self.position = Position(first)
        return True

    def _put_away(self) -> Iterator[tuple[Path, str]]:
        for file in sorted(self.path.parent.glob(f"captures/*/{self.path.name}")):
            if first := _first_row(file):
                yield file, first

    def _problem(self, words: str) -> None:
        self.problems = [*self.problems, words][-20:]


def _open_if(file: Path, first: str) -> IO[bytes] | None:
    """The file, at its start, if `first` is its first row."""
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "check its rights") from error
    if _row_of(stream) != first:
        stream.close()
        return None
    stream.seek(0)
    return stream


def _first_row(file: Path) -> str:
    """The first row of a table as it stands in the file; empty if there is none yet, or no file."""
    try:
        with file.open("rb") as stream:
            return _row_of(stream)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "check its rights") from error


def _row_of(stream: IO[bytes]) -> str:
    header, row = stream.readline(MOST_LINE), stream.readline(MOST_LINE)
    if len(header) == MOST_LINE or len(row) == MOST_LINE:
        raise InputError(stream.name, "is no packet table", f"name what {PACKETS.stage} writes")
    return row.decode("utf-8", "replace") if row.endswith(b"\n") else ""


def _time(row: str) -> str:
    """When a table began; all times of packet tables have one form, so that they sort as texts."""
    cells = row.split(",")
    return cells[_TIME] if len(cells) > _TIME else ""
