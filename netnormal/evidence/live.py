"""Evidence while a capture runs, from its pcap and the segments that it was rotated into."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from netnormal import display_filter, documents, tables
from netnormal.evidence.cases import add
from netnormal.settings import Evidence
from netnormal.suppressions import Suppressions

QUIET_S = 60  # so long after its last packet it is written again, if it grew
END_S = 60  # at the end, how long it may take to write what is left
READ_S = 60  # how long the captures may be read each time
AGAIN_S = 30  # what failed is tried again after so long, in packet time
TRIES = 3
SECOND = 1_000_000_000
_log = logging.getLogger("netnormal")


def segments(table: Path, start: int, end: int) -> list[Path]:
    """The pcaps of a live capture that may hold packets between `start` and `end` (ns), in order of time.

    table : the CSV that is being written. Segments lie in captures/ beside it, each with a manifest.
    """
    found: list[tuple[int, Path]] = []
    for manifest in (table.parent / "captures").glob(f"*/{table.stem}.json"):
        span, pcap = _span(manifest), manifest.with_suffix(".pcap")
        if span and span[0] <= end and start <= span[1] and pcap.exists():
            found.append((span[0], pcap))
    now = table.with_suffix(".pcap")
    return [path for _, path in sorted(found)] + ([now] if now.exists() else [])


def _span(manifest: Path) -> tuple[int, int] | None:
    """First and last packet of a capture; None if it has none, is being moved, or is not ours."""
    try:
        about = tables.read_json(manifest, "")
        return tables.nanoseconds(str(about["start"])), tables.nanoseconds(str(about["end"]))
    except (tables.InputError, KeyError, ValueError):
        return None


class LiveEvidence:
    """A sink (see `netnormal.sinks`) that keeps evidence of incidents as they come, in a thread of its own.

    An incident's folder is written when its context is over, and again when it has grown tenfold or has come to rest.
    Suppressed incidents have none. What fails is said once, and tried again a few times.
    """

    def __init__(self, folder: Path, table: Path, settings: Evidence, rules: Suppressions) -> None:
        self._folder, self._table, self._settings, self._rules = folder, table, settings, rules
        self._known: dict[str, dict[str, Any]] = {}  # grew since it was written, or was not yet
        self._written: dict[str, int] = {}  # packets when it was
        self._from: dict[str, int] = {}  # when it is written first [ns]
        self._tries: dict[str, int] = {}
        self._job: threading.Thread | None = None
        self._failed: list[dict[str, Any]] = []  # by the latest job
        self._failing = False

    def scores(self, rows: pd.DataFrame) -> None:
        """Rows are no incidents."""

    def resumed(self, documents: Sequence[dict[str, Any]]) -> None:
        for document in documents:
            if (self._folder / document["incident_id"]).is_dir():
                self._written[document["incident_id"]] = int(document["packets"])
        self.incidents([one for one in documents if one["incident_id"] not in self._written])

    def incidents(self, documents: Sequence[dict[str, Any]]) -> None:
        for document in documents:
            if self._rules.reason(document) is None:
                self._known.pop(document["incident_id"], None)
                self._known[document["incident_id"]] = document
                end = display_filter.span(document["display_filter"])[1]
                self._from.setdefault(document["incident_id"], end + round(self._settings.context_s * SECOND))
        # Of far more than are kept, the first come is forgotten.
        for kept in (self._known, self._written, self._from, self._tries):
            while len(kept) > 10 * self._settings.incidents:
                kept.pop(next(iter(kept)))

    def tick(self, now_ns: int) -> None:
        if self._job is None or not self._job.is_alive():
            self._try_again(now_ns)
            self._begin([one for one in self._known.values() if self._due(one, now_ns)])

    def close(self) -> None:
        """Write what is left, for at most END_S."""
        if self._job:
            self._job.join(END_S)
        if self._job is None or not self._job.is_alive():
            self._begin(list(self._known.values()))
        if self._job:
            self._job.join(END_S)
            if self._job.is_alive():
                _log.warning("evidence of the last incidents is not complete: it took more than %d s", END_S)

    def _due(self, document: dict[str, Any], now: int) -> bool:
        identifier = document["incident_id"]
        if identifier not in self._written:
            return now >= self._from.get(identifier, 0)
        before, rest = self._written[identifier], now - display_filter.span(document["display_filter"])[1]
        return rest >= QUIET_S * SECOND or documents.escalated(document, before)

    def _try_again(self, now: int) -> None:
        """What the latest job could not write is due later: a segment may have moved while it was read."""
        for document in self._failed:
            name = document["incident_id"]
            self._written.pop(name, None)
            self._tries[name] = self._tries.get(name, 0) + 1
            if self._tries[name] < TRIES:
                self._known.setdefault(name, document)
                self._from[name] = now + AGAIN_S * SECOND
        self._failed = []

    def _begin(self, documents: list[dict[str, Any]]) -> None:
        chosen = documents[-self._settings.incidents :]
        if not chosen:
            return
        for document in chosen:
            self._known.pop(document["incident_id"], None)
            self._written[document["incident_id"]] = int(document["packets"])
        self._job = threading.Thread(target=self._write, args=(chosen,), name="evidence", daemon=True)
        self._job.start()

    def _write(self, documents: list[dict[str, Any]]) -> None:
        spans = [display_filter.span(one["display_filter"]) for one in documents]
        reach = round(self._settings.context_s * SECOND)
        pcaps = segments(self._table, min(s for s, _ in spans) - reach, max(e for _, e in spans) + reach)
        first = _span(pcaps[0].with_suffix(".json")) if pcaps else None
        # Of segments that are no longer kept, earlier evidence of the same incident has the packets still.
        chosen = [
            one
            for one, (begin, _) in zip(documents, spans, strict=True)
            if (first and first[0] <= begin) or not (self._folder / one["incident_id"]).exists()
        ]
        try:
            if chosen:
                add(self._folder, chosen, pcaps, self._settings, READ_S)
            self._failing = False
        except tables.InputError as error:
            if not self._failing:
                _log.warning("no evidence: %s", error)
            self._failing, self._failed = True, documents
