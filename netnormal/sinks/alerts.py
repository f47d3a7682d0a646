"""Which incidents people are told of, and when: at once, in a digest, or not again. `channels` carry it to them.

Time is the packets', and the wall clock's where that is slower: who catches up with a week of packets in an hour is
not sent the messages of a week. Nothing grows without bound.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from netnormal import tables
from netnormal.settings import Alerts as Settings
from netnormal.sinks import messages
from netnormal.sinks.channels import PREFIX, Channel, configured, tested
from netnormal.sinks.messages import Message, rank
from netnormal.suppressions import Suppressions
from netnormal.tables import InputError

MEMORY = "alerts.json"  # in results/live/: what was told, so that a restart does not tell it again
MOST_KNOWN = 10_000  # incidents, and pairs of source and pattern, that are remembered
MOST_PENDING = 1000  # incidents that a digest keeps apart; of more only the number is told
CLOSE_S = 10  # how long the end of a live run waits for channels
PATIENCE_S = 60  # and of a run that reads files
HOUR_S = 3600
_log = logging.getLogger("netnormal")


class Moment(NamedTuple):
    """A time of the packets [ns], and of the wall clock [s]."""

    packets_ns: int
    wall_s: float

    def since(self, earlier: Moment) -> float:
        """Seconds that went by on both clocks; long ago if one of them was set back since."""
        passed = min((self.packets_ns - earlier.packets_ns) / 1e9, self.wall_s - earlier.wall_s)
        return passed if passed > -HOUR_S else math.inf


class Alerts:
    """A sink (see sinks.Sink) that tells people.

    live: incidents from `severity` on are told at once, within alert_interval_s and per_hour, the others in digests.
    Else there is one message about all, at the end. window_s: the shortest windows, by whose scores the share of
    anomalous packets is judged. memory: where a live run remembers what was told; None: nowhere.
    """

    def __init__(
        self,
        settings: Settings,
        channels: Sequence[Channel],
        rules: Suppressions,
        window_s: int,
        live: bool,
        memory: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._channels, self._rules, self._live = settings, channels, rules, live
        self._clock, self._now_ns = clock, 0
        self._rate = _Rate(settings, window_s)
        self._told: dict[str, int] = {}  # incident → rank of the severity that was told
        self._last: dict[tuple[str, str], Moment] = {}  # source, pattern → when told at once
        self._sent: deque[Moment] = deque()  # what was told at once within the hour
        self._pending: dict[str, dict[str, str]] = {}  # for the next digest
        self._more = 0  # incidents of the next digest that are only counted
        self._digest: Moment | None = None  # when the first of them came
        self._memory, self._changed = memory, False
        self._under_way: list[tuple[Message, str, tuple[str, str] | None]] = []  # with incident, source and pattern
        if live:
            names = ", ".join(channel.name for channel in channels)
            _log.info("telling %s of incidents from %s on", names, settings.severity)
        if memory is not None and memory.exists():
            self._remember(memory)

    def scores(self, rows: pd.DataFrame) -> None:
        over = self._rate.add(rows) if self._live else None
        if over is not None:
            self._now_ns = max(self._now_ns, over.end_ns)
            if self._may_tell("network", "anomaly_rate"):
                threshold = self._settings.anomaly_rate_threshold
                message = messages.of_rate(over.share, over.packets, over.seconds, threshold)
                self._tell(message, "", ("network", "anomaly_rate"))

    def incidents(self, documents: Sequence[dict[str, Any]]) -> None:
        for document in documents:
            if rank(document["severity"]) >= 0 and self._rules.reason(document) is None:
                if not self._now_ns:
                    self._now_ns = tables.nanoseconds(document["detected"])
                self._consider(document)
        self._save()

    def resumed(self, documents: Sequence[dict[str, Any]]) -> None:
        """It remembers by itself what it told."""

    def tick(self, now_ns: int) -> None:
        self._now_ns = now_ns
        every = self._settings.digest_s
        if every and self._digest is not None and self._now().since(self._digest) >= every:
            self._send_digest(f"since {tables.iso(self._digest.packets_ns)[:16].replace('T', ' ')} UTC")
        self._save()

    def close(self) -> None:
        """Send what waits, within bounds. Raises InputError if not live and a channel did not take it."""
        self._send_digest("until detection ended" if self._live else "found in what was read")
        until = time.monotonic() + (CLOSE_S if self._live else PATIENCE_S)
        for channel in self._channels:
            channel.close(until)
        self._save()
        failed = {channel.name: channel.failing or "no answer" for channel in self._channels if channel.lost}
        if failed and not self._live:
            words = "; ".join(f"{name}: {why}" for name, why in failed.items())
            remedy = "try with  python detect.py --test-alert"
            raise InputError("--alert", f"was not sent by {words} (all results are written)", remedy)

    # ------------------------------------------------------------ what is told, and when

    def _now(self) -> Moment:
        return Moment(self._now_ns, self._clock())

    def _consider(self, document: dict[str, Any]) -> None:
        name, severity = str(document["incident_id"]), rank(document["severity"])
        told = self._told.get(name, -1)
        if severity <= told:
            return
        at_once = self._live and severity >= rank(self._settings.severity)
        if at_once and self._may_tell(document["source"], document["pattern"], again=told >= 0):
            self._tell(messages.of_incident(document), name, (document["source"], document["pattern"]))
            self._pending.pop(name, None)
            self._note(name, severity)
        elif severity >= rank(self._settings.digest_severity) and (self._settings.digest_s or not self._live):
            self._digest = self._digest or self._now()
            if name in self._pending or len(self._pending) < MOST_PENDING:
                self._pending[name] = messages.in_short(document)
            else:
                self._more += 1
                self._note(name, severity)
            self._changed = True

    def _may_tell(self, source: str, pattern: str, again: bool = False) -> bool:
        """Whether one may be told at once now; if so it counts. again: worse news of an incident that was told."""
        now, key = self._now(), (source, pattern)
        last = self._last.get(key)
        if last is not None and now.since(last) < self._settings.alert_interval_s and not again:
            return False
        while self._sent and now.since(self._sent[0]) >= HOUR_S:
            self._sent.popleft()
        if len(self._sent) >= self._settings.per_hour:
            return False
        self._sent.append(now)
        self._last.pop(key, None)  # so that the oldest stand first
        self._last[key] = now
        _bound(self._last)
        return True

    def _tell(self, message: Message, name: str = "", key: tuple[str, str] | None = None) -> None:
        for channel in self._channels:
            channel.offer(message)
        self._under_way.append((message, name, key))
        self._changed = True

    def _note(self, name: str, severity: int) -> None:
        self._told.pop(name, None)
        self._told[name] = severity
        _bound(self._told)

    def _send_digest(self, why: str) -> None:
        if self._pending:  # else what waited was told at once by now
            self._tell(messages.digest(list(self._pending.values()), self._more, why))
        for name, short in self._pending.items():
            self._note(name, rank(short["severity"]))
        self._pending, self._more, self._digest = {}, 0, None

    # ------------------------------------------------------------ what a restart must know

    def _save(self) -> None:
        """What was told, without what no channel tried yet: who is killed before tells it twice, rather than never."""
        before = len(self._under_way)
        self._under_way = [one for one in self._under_way if any(channel.owes(one[0]) for channel in self._channels)]
        changed = self._changed or len(self._under_way) < before
        if self._memory is None or not changed or any(key is None for _, _, key in self._under_way):
            return
        names, keys = ({one[i] for one in self._under_way} for i in (1, 2))
        known = {
            "told": {name: told for name, told in self._told.items() if name not in names},
            "last": [[*key, *moment] for key, moment in self._last.items() if key not in keys],
            "sent": [list(moment) for moment in self._sent][: len(self._sent) - len(self._under_way)],
            "pending": self._pending,
            "more": self._more,
            "digest": self._digest and list(self._digest),
        }
        self._changed = False
        try:
            tables.write_json(self._memory, known)
        except InputError as error:
            _log.warning("%s; after a restart alerts may come twice", error)
            self._memory = None

    def _remember(self, path: Path) -> None:
        try:
            known = json.loads(path.read_text("utf-8"))
            self._told = {str(name): int(told) for name, told in known["told"].items()}
            self._last = {(str(a), str(b)): Moment(int(ns), float(s)) for a, b, ns, s in known["last"]}
            self._sent = deque(Moment(int(ns), float(s)) for ns, s in known["sent"])
            self._pending = {
                str(name): {key: str(short[key]) for key in ("severity", "start", "title")}
                for name, short in known["pending"].items()
                if rank(short["severity"]) >= 0
            }
            self._more = int(known["more"])
            self._digest = Moment(int(known["digest"][0]), float(known["digest"][1])) if known["digest"] else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(
                path, f"is no memory of alerts ({error!r})", "delete it: some alerts may come twice"
            ) from error


class Over(NamedTuple):
    """More than the bearable share of anomalous packets, in so many packets and seconds up to `end_ns`."""

    share: float
    packets: int
    seconds: float
    end_ns: int


class _Rate:
    """The share of packets in anomalous conversations over the last anomaly_rate_s, told when it gets too high."""

    def __init__(self, settings: Settings, window_s: int) -> None:
        self._settings, self._window_s = settings, window_s
        self._windows: dict[int, tuple[int, int]] = {}  # start [ns] → packets, anomalous ones
        self._first: int | None = None
        self._over = False

    def add(self, rows: pd.DataFrame) -> Over | None:
        """Rows of tables.SCORES of closed windows; a window may come again, as after a restart."""
        rows = rows[rows["window_s"] == self._window_s]
        if not len(rows):
            return None
        anomalous = rows["packets"].where(rows["anomaly"] == 1, 0)
        sums = pd.DataFrame({"packets": rows["packets"], "anomalous": anomalous}).groupby(rows["window_start"]).sum()
        self._windows |= {int(start): (int(every), int(bad)) for start, every, bad in sums.itertuples()}
        end, span = max(self._windows) + self._window_s * 10**9, self._settings.anomaly_rate_s * 10**9
        self._first = min(self._windows) if self._first is None else self._first
        self._windows = {start: counts for start, counts in self._windows.items() if start >= end - span}
        packets, bad = (sum(counts[i] for counts in self._windows.values()) for i in (0, 1))
        enough = end - self._first >= span and packets >= self._settings.anomaly_rate_packets
        over = enough and bad > self._settings.anomaly_rate_threshold * packets
        news, self._over = over and not self._over, over
        return Over(bad / packets, packets, self._settings.anomaly_rate_s, end) if news else None


def test(settings: Settings) -> str:
    """Send a test by each channel, print what came of it; returns a sentence. Raises InputError if one failed."""
    channels = opened(settings, needed=True)
    came = tested(channels, messages.test())
    for name, why in came.items():
        print(f"{name}: {f'FAILED: {why}' if why else 'sent'}")
    failed = [name for name, why in came.items() if why]
    if failed:
        what = f"{len(failed)} of {len(came)} channels did not take the test"
        raise InputError("--test-alert", what, f"correct {PREFIX}{failed[0].upper()} (docs/alerts.md)")
    return f"{len(came)} test message{'s' if len(came) > 1 else ''} sent: see whether they arrived"


def opened(settings: Settings, needed: bool) -> list[Channel]:
    """The channels of the environment and .env. Raises InputError if one is wrong, or if there is none and `needed`."""
    channels = configured(settings.most_waiting, settings.tries)
    if needed and not channels:
        what = "no alert channel is set up"
        raise InputError(f"{PREFIX}…", what, "write one into .env, as .env.example shows (docs/alerts.md)")
    return channels


def _bound(known: dict[Any, Any]) -> None:
    while len(known) > MOST_KNOWN:
        del known[next(iter(known))]
