"""Following as a process: until it is told to end."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from netnormal import model, tables, verdict
from netnormal.detection import Detection
from netnormal.follow.files import LiveFiles
from netnormal.follow.follower import Follower
from netnormal.follow.status import Status
from netnormal.interrupts import Interrupts
from netnormal.settings import Settings
from netnormal.sinks import Sink
from netnormal.suppressions import Suppressions
from netnormal.tables import InputError
from netnormal.threats import ThreatList

PAUSE_S = 0.25  # between two looks at a file that did not grow
PATIENCE_S = 10  # a model and its card are written one after the other
_log = logging.getLogger("netnormal")


class ModelFile:
    """The model in a file, and the next one when the file is replaced."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._clock = Path(path), clock
        self._seen = self._stamp()
        self.model = model.load(path)
        self.sha256 = _checksum(self.path)
        self._looked = self._since = clock()
        self.problem = ""

    def renewed(self) -> bool:
        """Was `model` replaced just now? One that cannot be used is said once, and the one before stays."""
        now, stamp = self._clock(), self._stamp()
        if stamp == self._seen or now - self._looked < 1:
            if stamp == self._seen:
                self._since = now
            return False
        self._looked = now
        try:
            made = model.load(self.path)
        except InputError as error:
            if now - self._since > PATIENCE_S and not self.problem:
                self.problem = str(error)
                _log.warning("%s; the model before it stays in use", error)
            return False
        self._seen, self.problem = stamp, ""
        digest = _checksum(self.path)
        if digest == self.sha256:
            return False
        self.model, self.sha256 = made, digest
        return True

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Feed:
    """Standard input, which another process holds open as long as it captures. alive: it does."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=sys.stdin.buffer.read, name="feed", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()


class Session:
    """Following, put together. table: the growing packet table; folder: results/live/; listed: bad hosts, or None.

    Raises InputError where something that is there already cannot be used.
    """

    def __init__(
        self,
        table: Path,
        folder: Path,
        model_path: str,
        settings: Settings,
        listed: ThreatList | None,
        sinks: Sequence[Sink],
        rules: Suppressions,
    ) -> None:
        self._source, self._sinks, self._rules, self._quiet = ModelFile(model_path), sinks, rules, False
        self._day = ""
        files = LiveFiles(folder, settings.detect.follow.incidents, round(settings.detect.follow.file_mb * 1e6))

        def fresh() -> Detection:
            return Detection(self._source.model, settings, listed, live=True)

        self.follower = Follower(table, files, fresh, settings.detect.follow, sinks, self._tell)
        self.status = Status(self.follower)
        self._use()

    def _tell(self, document: dict[str, Any], again: bool) -> None:
        if self._rules.reason(document) is not None:
            self.status.suppressed += not again
        elif not self._quiet:
            day = document["start"][:10]
            verdict.tell(document, again, day if day != self._day else "")
            self._day = day

    def run(self, quiet: bool, until_eof: bool) -> str:
        """Follow until Ctrl+C or SIGTERM, or (then these are left to who captures) until standard input ends and all is
        judged. Returns a summary in one sentence. quiet: incidents are not printed.
        """
        self._quiet, feed = quiet, Feed() if until_eof else None
        try:
            with Interrupts() as signals:
                signals.then(lambda: None)  # they are asked for between steps
                _log.info("following %s%s", self.follower.table, "" if feed else "; Ctrl+C ends it")
                over = self._follow(lambda: signals.asked and not feed, lambda: feed is None or feed.alive)
                self.follower.finish(over)
        except BaseException as error:
            with contextlib.suppress(InputError):  # what failed first is what is to be told
                self.status.write("failed", f"{error}" if isinstance(error, InputError) else repr(error))
            raise
        self.status.write("ended")
        counts, folder = self.follower.counts, self.follower.files.folder
        found = f"{counts['incidents']:,} incident{'' if counts['incidents'] == 1 else 's'}"
        said = f"{found} in {counts['packets']:,} packets → {folder}/"
        return said if over else f"{said}; windows that are still open are judged when it goes on"

    def _follow(self, asked: Callable[[], bool], feeding: Callable[[], bool]) -> bool:
        """Is the capture over?"""
        follower, status = self.follower, self.status
        while not asked():
            fed = feeding()  # before the look, lest something comes in between
            busy = follower.step()
            if self._source.renewed():
                self._use()
                _log.info("a new model judges what comes from now on: %s", self._source.path)
            status.problem = self._source.problem
            for sink in self._sinks:
                sink.tick(follower.now)
            status.write()
            if not busy and not fed:
                return True
            if not busy:
                time.sleep(PAUSE_S)
        return not status.capturing() and not follower.tail.waiting_bytes

    def _use(self) -> None:
        source = self._source
        self.follower.detection.model = source.model
        end = tables.iso(source.model.end)
        self.status.model = {"path": str(source.path), "sha256": source.sha256, "baseline_end": end}
