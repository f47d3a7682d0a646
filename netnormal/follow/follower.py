"""The loop of following: rows as they come → verdicts, files, sentences; and what makes a restart exact."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netnormal import documents
from netnormal.detection import Detection, Judged
from netnormal.features import ContradictionError
from netnormal.follow.files import BOOKMARK, LiveFiles
from netnormal.follow.tail import Position, Tail
from netnormal.settings import Follow
from netnormal.sinks import Sink
from netnormal.tables import InputError

SECOND = 1_000_000_000
GREATEST_PATIENCE_S = 60
_log = logging.getLogger("netnormal")
Teller = Callable[[dict[str, Any], bool], None]


class Follower:
    """Follows a packet table into results/live/. `step` does what there is to do; `finish` ends it.

    fresh: makes a Detection (live) with the model of now. tell: called with each incident that is new, and again
    (then with True) each time it has grown tenfold. Windows are taken to be over when nothing came for `quiet_s`
    beyond their end. If a packet comes for such a window all the same, all since the bookmark is done again, with more
    patience from then on; so the files say in the end what batch says of the same packets.
    """

    def __init__(
        self,
        table: Path,
        files: LiveFiles,
        fresh: Callable[[], Detection],
        settings: Follow,
        sinks: Sequence[Sink] = (),
        tell: Teller = lambda document, again: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table, self.files, self.settings = table, files, settings
        self._fresh, self._sinks, self._tell, self._clock = fresh, sinks, tell, clock
        self.contradictions = 0
        self.patience_s = settings.quiet_s
        self.problems: list[str] = []
        self._told: dict[str, int] = {}  # packets of each incident when it was told last
        earlier = files.bookmark()
        if earlier is not None and earlier.get("table") != str(table.resolve()):
            raise InputError(files.folder / BOOKMARK, "is of another capture", "name another --output for this one")
        if earlier is not None:
            left = files.left()
            self._told = {one["incident_id"]: int(one["packets"]) for one in left}
            for sink in sinks:
                sink.resumed(left)
        self._resume(earlier)
        if earlier is None:  # what is there now is found again, wherever it is when we are killed and started anew
            self.tail.begin()
            self._save()

    def _resume(self, mark: dict[str, Any] | None) -> None:
        self.detection = self._fresh()
        self.tail = Tail(self.table)
        try:
            self.problems += self.files.resumed(mark)
            if mark is not None:
                start = mark["start"]
                self.tail = Tail(self.table, Position(str(start["first"]), int(start["offset"])))
                self.detection.resume(mark["detection"], start["progress"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            path = self.files.folder / BOOKMARK
            raise InputError(path, f"is no bookmark ({error!r})", "delete it to begin anew") from error
        self._last_row = self._last_saved = self._last_written = self._clock()
        self._save_cost = 0.0

    # ------------------------------------------------------------ steps

    def step(self) -> bool:
        """Judge the next rows, or, if there are none, what is over by now. Were there rows?"""
        start = self._start()
        rows = self.tail.read()
        if rows is None:
            self._quiet()
        else:
            self._last_row = self._clock()
            if not start["first"]:  # the very first rows: a restart must find their table wherever it is by then
                start["first"] = self.tail.position.first
                self._save(start)
            try:
                for judged in self.detection.by_window(rows, start):
                    self._take(judged)
            except ContradictionError:
                self._redo()
        self._write()
        return rows is not None

    def _start(self) -> dict[str, Any]:
        """Where the next block comes from."""
        return {**asdict(self.tail.position), "progress": self.detection.windower.progress()}

    @property
    def now(self) -> int:
        """Packet time [ns]: that of the latest packet, and as long as nothing came since. 0 before the first."""
        windower = self.detection.windower
        if not windower.packets:
            return 0
        return windower.latest + round((self._clock() - self._last_row) * SECOND)

    def _quiet(self) -> None:
        windower = self.detection.windower
        now = self.now - max(round(self.patience_s * SECOND) - windower.lateness_ns, 0)
        if self.detection.due(now):
            if windower.firm:
                self._save()  # from here on it is a guess that nothing more comes
            for judged in self.detection.quiet(now):
                self._take(judged)

    def _redo(self) -> None:
        """A packet came for a window that was taken to be over."""
        self.contradictions += 1
        self.patience_s = min(max(2 * self.patience_s, 1), GREATEST_PATIENCE_S)
        _log.debug("rows came late: waiting %g s from now on", self.patience_s)
        self._resume(self.files.bookmark())

    def _take(self, judged: Judged) -> None:
        self.files.append(judged.scores, judged.anomalies)
        self.files.take(judged.documents)
        for sink in self._sinks:
            for table in judged.scores:
                sink.scores(table)
            if judged.documents:
                sink.incidents(judged.documents)
        told = False
        for document in judged.documents:
            number, packets = document["incident_id"], int(document["packets"])
            before = self._told.get(number)
            if before is None or documents.escalated(document, before):
                self._tell(document, before is not None)
                self._told[number] = packets
                told = True
        if told:  # what incidents.json has was told: a restart does not tell it again
            self.files.write_incidents()
        if len(self._told) > 2 * self.files.most:
            open_now = set(self.detection.merger.open_ids())
            kept = self.files.documents.keys() | open_now
            self._told = {number: packets for number, packets in self._told.items() if number in kept}

    def _write(self) -> None:
        """Files that are replaced, from time to time."""
        now = self._clock()
        if now - self._last_written >= 1:
            self._last_written = now
            self.files.write_incidents()
            self.files.write_notices(self.detection.notices)
        if self.detection.windower.firm and now - self._last_saved >= max(
            self.settings.bookmark_s, 20 * self._save_cost
        ):
            self._save()

    def _save(self, start: dict[str, Any] | None = None) -> None:
        """Bookmark what is certain: no window was closed but by packets. start: where to go on, if not as usual."""
        began = self._clock()
        start = start or self.detection.windower.oldest or self._start()
        state = {"table": str(self.table.resolve()), "start": start, "detection": self.detection.state()}
        self.files.mark(state)
        self._last_saved = self._clock()
        self._save_cost = self._last_saved - began

    # ------------------------------------------------------------ the end

    def finish(self, over: bool) -> None:
        """Write everything. over: the capture has ended, so the windows still open are judged as they are.

        The bookmark stays before them: should packets come after all, a restart judges them again.
        """
        if over:
            if not self.detection.windower.firm:  # what was taken for over is cut by the end of sight, as in batch
                self._resume(self.files.bookmark())
            start = self._start()
            while (rows := self.tail.read()) is not None:
                for judged in self.detection.by_window(rows, start):
                    self._take(judged)
                start = self._start()
            if self.detection.windower.packets:
                self._save()
                self._take(self.detection.flush())
        elif self.detection.windower.firm:
            self._save()
        self.files.write_incidents()
        self.files.write_notices(self.detection.notices)
        self.files.close()

    @property
    def counts(self) -> dict[str, int]:
        windower = self.detection.windower
        return {
            "packets": windower.packets,
            "late_packets": windower.late,
            "rows": self.detection.rows,
            "anomalies": self.detection.anomalies,
            "incidents": len(self.files.documents),
            "incidents_open": len(self.detection.merger.open_ids()),
        }

    @property
    def evicted(self) -> dict[str, int]:
        """What the bounds on memory cut short."""
        return {
            **self.detection.evicted,
            "incidents": self.files.evicted,
        }
