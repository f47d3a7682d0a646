"""How following fares: results/live/status.json, and what it says of health."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netnormal import earlier, tables
from netnormal.follow.follower import Follower
from netnormal.tables import InputError

FILE = "status.json"
EVERY_S = 2  # between two states of the file
DEAD_S = 60  # a status this old is that of a process that is gone, or hangs
ALIVE_S = 30  # a capture writes its manifest every 10 s
RECENT_S = 600  # what was lost longer ago does not make the health of now
OK, DEGRADED, DEAD = range(3)


class Status:
    """Keeps status.json in the follower's folder. clock, wall: seconds, of no meaning and of the epoch."""

    def __init__(
        self, follower: Follower, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._follower, self._clock, self._wall = follower, clock, wall
        self._started = _iso(wall())
        self._written = self._alive_at = -1e9
        self._counts: dict[str, tuple[int, float]] = {}  # of what should not happen: how often, and when it rose last
        self._manifest: dict[str, Any] = {}
        self.model: dict[str, Any] = {}
        self.suppressed = 0
        self.problem = ""  # of the model

    def capturing(self) -> bool:
        """Is a capture writing the table? Its manifest says so, while it is written from time to time."""
        path = self._follower.table.with_suffix(".json")
        with contextlib.suppress(OSError, InputError):  # between two segments there is none
            self._manifest = tables.read_json(path, "")
            problems = self._manifest.get("problems", [])
            if earlier.UNFINISHED in problems and self._wall() - path.stat().st_mtime < ALIVE_S:
                self._alive_at = self._clock()
            elif earlier.UNFINISHED not in problems:
                self._alive_at = -1e9
        return self._clock() - self._alive_at < ALIVE_S

    def write(self, state: str = "following", why: str = "") -> None:
        """Replace the file, at most every EVERY_S seconds while following. why: it failed."""
        if state == "following" and self._clock() - self._written < EVERY_S:
            return
        self._written = self._clock()
        follower, wall = self._follower, self._wall()
        packet_time = follower.detection.windower.latest if follower.detection.windower.packets else None
        behind = wall - packet_time / 1e9 if packet_time and follower.tail.waiting_bytes else 0.0
        capturing = self.capturing()
        reasons = [why] if why else self._reasons(capturing, behind)
        tables.write_json(
            follower.files.folder / FILE,
            {
                "state": state,
                "health": "degraded" if reasons else "ok",
                "reasons": reasons,
                "pid": os.getpid(),
                "started": self._started,
                "written": _iso(wall),
                "capture": str(follower.table),
                "capturing": capturing,
                "packet_time": None if packet_time is None else tables.iso(packet_time),
                "lag_s": round(max(behind, 0.0), 1),
                "waiting_bytes": follower.tail.waiting_bytes,
                **follower.counts,
                "suppressed": self.suppressed,
                "model": self.model,
                "evicted": follower.evicted,
                "done_again": follower.contradictions,
                "memory_bytes": _memory(),
            },
        )

    def _reasons(self, capturing: bool, behind: float) -> list[str]:
        follower, reasons = self._follower, []
        if not capturing:
            reasons.append(f"no capture is writing {follower.table}")
        if behind > follower.settings.lag_s:
            reasons.append(f"{behind:,.0f} s behind the capture")
        if self.problem:
            reasons.append(self.problem)
        for name, count in follower.evicted.items():
            if self._rose(name, count):
                most = follower.detection.windower.most
                windows = (
                    f"windows keep their first {most:,} packets (packets_per_window): {count:,} were left out of one"
                )
                short = f"memory is bounded: {count:,} {name} were cut short so far"
                reasons.append(windows if name == "packets" else short)
        for name, words in (("kernel_drops", "the kernel"), ("interface_drops", "the interface")):
            lost, packets = self._manifest.get(name) or 0, self._manifest.get("packets") or 0
            if self._rose(name, lost) and lost > (self._manifest.get("drop_share_limit") or 0.0) * (lost + packets):
                reasons.append(f"{words} lost {lost:,} packets, which nobody has seen")
        problems = [*follower.problems, *follower.tail.problems]
        if self._rose("problems", len(problems)):
            reasons += problems[-5:]
        return reasons

    def _rose(self, name: str, count: int) -> bool:
        before, when = self._counts.get(name, (0, -1e9))
        if count > before:
            when = self._clock()
        self._counts[name] = (count, when)
        return count > 0 and self._clock() - when < RECENT_S


def health(folder: Path, now: float | None = None) -> tuple[int, str]:
    """0 ok, 1 degraded or 2 dead, and why in a sentence, by the status file in `folder`; now: seconds of the epoch."""
    try:
        status = tables.read_json(folder / FILE, "start it with  python detect.py --follow")
        age = (time.time() if now is None else now) - datetime.fromisoformat(str(status["written"])).timestamp()
        state, reasons = str(status["state"]), [str(reason) for reason in status["reasons"]]
        lag, packet_time = float(status["lag_s"]), status["packet_time"]
    except InputError as error:
        return DEAD, f"dead: {error}"
    except (KeyError, TypeError, ValueError) as error:
        return DEAD, f"dead: {folder / FILE}: is no status ({error!r})"
    if state == "failed":
        return DEAD, f"dead: it failed at {status['written']}: {'; '.join(reasons)}"
    if state != "following":
        return DEAD, f"dead: it ended at {status['written']}"
    if age > DEAD_S:
        return DEAD, f"dead: nothing was heard of it for {age:,.0f} s"
    if reasons:
        return DEGRADED, f"degraded: {'; '.join(reasons)}"
    return OK, f"ok: {lag:g} s behind, latest packet {packet_time or 'none yet'}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _memory() -> int | None:
    """Resident, where the system tells (Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
