"""The files of results/live/: appended as windows close, cut back to the bookmark after a restart."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pandas as pd

from netnormal import detection, earlier, tables
from netnormal.notices import Notices
from netnormal.tables import ANOMALIES, SCORES, InputError, Writer

BOOKMARK = "bookmark"
_VERSION = 2
_ANEW = "delete it to begin anew"


class LiveFiles:
    """scores.csv and anomalies.csv, which grow; incidents.csv and .json, which are replaced; and the bookmark.

    documents: the incidents in incidents.json, by id, those that changed last at the end; beyond `most` the first are
    forgotten and counted in `evicted`. A file that grew beyond `most_bytes` is cut to the later half of that.
    A new one has `resumed` called with a bookmark, or with None to begin anew.
    """

    def __init__(self, folder: Path, most: int, most_bytes: int) -> None:
        self.folder, self.most, self.most_bytes, self.evicted = folder, most, most_bytes, 0
        self.documents: dict[str, dict[str, Any]] = {}
        self._unwritten = True
        self._noticed = -1
        self._streams: dict[str, IO[bytes]] = {}
        self._writers: dict[str, Writer] = {}

    def bookmark(self) -> dict[str, Any] | None:
        """What `mark` wrote last; None if there is none. Raises InputError if it cannot be used."""
        path = self.folder / BOOKMARK
        if not path.exists():
            return None
        mark = tables.read_json(path, _ANEW)
        if mark.get("version") != _VERSION:
            raise InputError(path, "is of another version of netnormal", _ANEW)
        return mark

    def resumed(self, mark: dict[str, Any] | None) -> list[str]:
        """Open the files as they were at the bookmark. Returns what is wrong with them, in words.

        Raises InputError if they cannot be written, KeyError, ValueError or TypeError if the bookmark is none.
        """
        problems = []
        self.close()
        known: dict[str, Any] = mark["files"] if mark else {"lengths": {}, "incidents": [], "evicted": 0}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for schema in (SCORES, ANOMALIES):
                shortened = int(known.get("shortened", {}).get(schema.name, -1))
                problems += self._open(schema, int(known["lengths"].get(schema.name, 0)), shortened)
        except BlockingIOError:
            what = "another detect.py --follow is writing it"
            raise InputError(self.folder, what, "end that one, or name another --output") from None
        except OSError as error:
            raise InputError(self.folder, f"cannot be written ({error.strerror})", "choose another --output") from error
        self.evicted = int(known["evicted"])
        there = {str(one["incident_id"]): one for one in self._read_documents()} if known["incidents"] else {}
        self.documents = {name: there[name] for name in known["incidents"] if name in there}
        if len(self.documents) < len(known["incidents"]):
            problems.append(f"incidents.json lost {len(known['incidents']) - len(self.documents):,} incidents")
        self._unwritten = True
        return problems

    def _open(self, schema: tables.Schema, length: int, shortened: int) -> list[str]:
        """Open it as it was when it had `length` bytes, or `shortened` bytes, if it was shortened just then."""
        path = self.folder / f"{schema.name}.csv"
        stream = path.open("r+b" if path.exists() else "w+b")
        self._streams[schema.name] = stream
        earlier.hold(stream)
        size = stream.seek(0, os.SEEK_END)
        length = shortened if size == shortened else length
        stream.truncate(min(length, size))
        stream.seek(0, os.SEEK_END)
        writer = self._writers[schema.name] = Writer(stream, schema, schema.names if min(length, size) else None)
        writer.close()  # the header line
        return [f"{path} lost {length - size:,} bytes"] if size < length else []

    def _read_documents(self) -> list[dict[str, Any]]:
        path = self.folder / "incidents.json"
        try:
            found = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(path, f"cannot be read ({error})", "delete it, and the bookmark beside it") from error
        if not isinstance(found, list) or not all(isinstance(one, dict) and "incident_id" in one for one in found):
            raise InputError(path, "is no list of incidents", "delete it, and the bookmark beside it")
        return found

    def left(self) -> list[dict[str, Any]]:
        """The documents of incidents that an earlier run left, bookmarked or not."""
        return self._read_documents()

    # ------------------------------------------------------------ what comes

    def append(self, scores: Sequence[pd.DataFrame], anomalies: Sequence[pd.DataFrame]) -> None:
        """Raises InputError if there is no room."""
        try:
            for schema, parts in ((SCORES, scores), (ANOMALIES, anomalies)):
                for part in parts:
                    self._writers[schema.name].append(part)
                if parts:
                    self._streams[schema.name].flush()
        except OSError as error:
            what = f"cannot be written ({error.strerror})"
            raise InputError(self.folder, what, "make room: the next start goes on where it was") from error

    def take(self, documents: Sequence[dict[str, Any]]) -> None:
        """Incidents that are new or changed."""
        for document in documents:
            self.documents.pop(document["incident_id"], None)
            self.documents[document["incident_id"]] = document
            self._unwritten = True
        while len(self.documents) > self.most:
            del self.documents[next(iter(self.documents))]
            self.evicted += 1

    def write_notices(self, notices: Notices) -> None:
        """Bring notices.csv up to date."""
        if notices.changes != self._noticed:
            tables.write(self.folder / "notices.csv", tables.NOTICES, notices.table())
            self._noticed = notices.changes

    def write_incidents(self) -> None:
        """Bring incidents.csv and incidents.json up to date."""
        if self._unwritten:
            worst_first = detection.worst_first(self.documents.values())
            tables.write(self.folder / "incidents.csv", tables.INCIDENTS, detection.incident_table(worst_first))
            tables.write_json(self.folder / "incidents.json", worst_first)
            self._unwritten = False

    def mark(self, state: dict[str, Any]) -> None:
        """Make all that was written last, then replace the bookmark: `state` and how long the files are."""
        self.write_incidents()
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())
        kept = {schema.name: self._to_keep(schema) for schema in (SCORES, ANOMALIES)}
        shorter = {name: data for name, data in kept.items() if data is not None}
        self._replace_bookmark(state, {"shortened": {name: len(data) for name, data in shorter.items()}})
        for schema in (SCORES, ANOMALIES):
            if schema.name in shorter:
                self._shorten(schema, shorter[schema.name])
        if shorter:
            self._replace_bookmark(state, {})

    def _to_keep(self, schema: tables.Schema) -> bytes | None:
        """The header and the later rows of a file that has grown too large; None if it has not."""
        stream = self._streams[schema.name]
        size = stream.tell()
        if size <= self.most_bytes:
            return None
        stream.seek(0)
        header = stream.readline()
        stream.seek(size - self.most_bytes // 2)
        stream.readline()
        return header + stream.read()

    def _shorten(self, schema: tables.Schema, data: bytes) -> None:
        """Replace a file by one that has only `data`. Who reads it meanwhile has the old one whole."""
        path = self.folder / f"{schema.name}.csv"
        new = path.with_name(f".{path.name}.new")
        stream = new.open("w+b")
        earlier.hold(stream)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
        new.replace(path)
        self._streams[schema.name].close()
        self._streams[schema.name] = stream
        self._writers[schema.name] = Writer(stream, schema, schema.names)

    def _replace_bookmark(self, state: dict[str, Any], more: dict[str, Any]) -> None:
        lengths = {name: stream.tell() for name, stream in self._streams.items()}
        files = {"lengths": lengths, "incidents": list(self.documents), "evicted": self.evicted, **more}
        with tables.atomic(self.folder / BOOKMARK) as temporary, temporary.open("w", encoding="utf-8") as out:
            json.dump({"version": _VERSION, "files": files, **state}, out)
            out.flush()
            os.fsync(out.fileno())

    def close(self) -> None:
        for stream in self._streams.values():
            stream.close()
        self._streams, self._writers = {}, {}
