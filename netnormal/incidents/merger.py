"""Which drafts belong to one story: `IncidentMerger`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from netnormal.explanation import Attribution
from netnormal.incidents.story import SECOND, Draft, Story, victims
from netnormal.incidents.window import WindowView
from netnormal.patterns import MANY, Finding
from netnormal.settings import Incidents
from netnormal.tables import SEVERITIES, UNUSUAL

#: A pattern that says less than these others of the same source, when they are near in time: it is part of them.
LESS_THAN = {"arp_sweep": ("ping_sweep", "port_sweep")}
#: Goes on for minutes beside whatever else its source does: of it is only what is between its own hosts.
STEADY = ("beacon", "upload")
MOST_PAIRS = 50  # unusual sources of one destination in one window, or destinations of one source: more become one
MOST_DRAFTS = 1_000  # of unusual conversations in one window; what is beyond becomes one, of `many`
MOST_WAITING = 5_000  # rows that wait to be settled
MOST_STORIES = 2_000  # that may still go on
MOST_NAMES = 1_000_000  # hosts and ports in all of them
MOST_IDS = 1_000  # the latest, none of which is given again


class IncidentMerger:
    """Makes incidents of what each closed window says, as it comes.

    `push` each window of each length, in order of (end, length); each call answers with numbers of drafts, one for each
    anomalous row and each flow that belongs to something. `decided` says which incident each draft became part of,
    `changed` what is known of the incidents that are new or grew.

    A named draft belongs to an incident at once. An unusual one waits for `settle_s` of packet time, since a longer
    window or the next may give it a name: then it is part of that incident, else it becomes one itself, which is
    detected then. `advance` says that time moved on. A story is over when nothing it could be given can come any more
    (`gap_s` and `absorb_s` after the longest window that holds its end), or when it is `most_age_s` old. So all depends
    on the windows and their order alone; `flush` ends everything, and a restart goes on from `state`.

    Memory is bounded by the constants above: `evicted` counts what they cut short.
    """

    def __init__(self, settings: Incidents, windows_s: Iterable[int]) -> None:
        self.settings = settings
        self.evicted = {"stories": 0, "drafts": 0}
        self._keep = (max(windows_s) + settings.gap_s + settings.absorb_s) * SECOND
        self._next = 0  # number of the next draft
        self._latest: list[Draft] = []  # of the last push
        self._number_of: dict[Finding, int] = {}  # of the last push
        self._waiting: list[tuple[int, Draft]] = []  # (when it is settled, draft), in that order
        self._stories: dict[tuple[str, str], list[Story]] = {}  # by family and subject
        self._over: list[Story] = []  # since `changed` was asked last
        self._decided: list[tuple[int, str]] = []
        self._ids: list[str] = []

    def push(
        self,
        window_s: int,
        end: int,
        rows: pd.DataFrame,
        findings: list[Finding],
        flows: pd.DataFrame | None = None,
        row_of_flow: np.ndarray | None = None,
        why: Attribution | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What one closed window says, which ends at `end` (ns).

        rows : scored rows of the window: source, destination, service, packets, bytes, first_packet, last_packet,
            score, tail_probability, anomaly; n rows, each key once.
        findings : of the same window: `patterns.find` and `threats.find`. They need `flows`, the window's flow table,
            whose conversations are looked up in `rows` unless `row_of_flow` says where they are (-1: nowhere).
        why : what made the anomalous rows so, in their order; incidents are not explained without.
        Returns the draft of each row (int64[n]) and of each flow (int64[len(flows)]), -1 for none. A row or flow in
        several findings belongs to the most severe. Every row and flow of a finding belongs to it, anomalous or not.
        """
        self.advance(end - 1)
        self._latest, self._number_of = [], {}
        draft_of_row = np.full(len(rows), -1, np.int64)
        draft_of_flow = np.full(0 if flows is None else len(flows), -1, np.int64)
        window = WindowView(window_s, rows, flows, row_of_flow, why)
        anomaly, row_of_flow = window.anomaly, window.row_of_flow
        counted: dict[tuple[str, str], np.ndarray] = {}
        by_severity = sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.start, f.pattern, f.source))
        for finding in by_severity:
            assert flows is not None, "findings need the flow table they point into"
            number = self._next + len(self._latest)
            seen = counted.setdefault((finding.pattern, finding.subject), np.zeros(len(flows), bool))
            new = finding.flows[~seen[finding.flows]]
            seen[finding.flows] = True
            touched = np.unique(row_of_flow[finding.flows])
            touched = touched[touched >= 0]
            draft_of_flow[finding.flows[draft_of_flow[finding.flows] < 0]] = number
            draft_of_row[touched[draft_of_row[touched] < 0]] = number
            self._number_of[finding] = number
            self._latest.append(self._named(number, window, finding, new, touched))
        self._push_unusual(window, np.flatnonzero(anomaly & (draft_of_row < 0)), draft_of_row)
        if flows is not None:
            free = (draft_of_flow < 0) & (row_of_flow >= 0)
            draft_of_anomaly = np.where(anomaly, draft_of_row, -1)
            draft_of_flow[free] = draft_of_anomaly[row_of_flow[free]]
        self._next += len(self._latest)
        self._take(end)
        return draft_of_row, draft_of_flow

    def of_packets(self, draft_of_flow: np.ndarray, flow_of_packet: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The draft of each packet of the window pushed last: that of its flow, if the packet lies between the draft's
        start and end; else -1. A long window's flow may have begun long before what was found in it, as ARP between two
        victims.
        """
        draft = draft_of_flow[flow_of_packet]
        used, at = np.unique(draft, return_inverse=True)
        first = self._next - len(self._latest)
        known = [self._latest[number - first] if number >= 0 else None for number in used]
        spans = [(one.start, one.end) if one else (1, 0) for one in known]
        start, end = np.array(spans, np.int64).reshape(-1, 2)[at].T
        return np.where((start <= time) & (time <= end), draft, -1)

    def of_finding(self, finding: Finding) -> int:
        """The draft of a finding of the window pushed last."""
        return self._number_of[finding]

    def named(self, drafts: np.ndarray) -> np.ndarray:
        """Which drafts of the latest window (int64[n], -1: none) come from a named pattern (bool[n])."""
        first = self._next - len(self._latest)
        is_named = np.array([draft.pattern != UNUSUAL for draft in self._latest] + [False])
        return is_named[np.where(drafts >= 0, drafts - first, -1)]

    def advance(self, now: int) -> None:
        """All windows that end by `now` (ns) have been pushed: settles what waited, ends what is over."""
        while self._waiting and self._waiting[0][0] <= now:
            when, draft = self._waiting.pop(0)
            self._end(when - 1)
            self._settle(draft, when)
        self._end(now)

    def due(self, now: int) -> bool:
        """Would `advance` settle anything?"""
        return bool(self._waiting) and self._waiting[0][0] <= now

    def flush(self) -> None:
        """There are no more windows: settles and ends all."""
        while self._waiting:
            when, draft = self._waiting.pop(0)
            self._end(when - 1)
            self._settle(draft, when)
        self._end(None)

    def decided(self) -> list[tuple[int, str]]:
        """(draft, incident_id) of all that became part of an incident since the last call."""
        decided, self._decided = self._decided, []
        return decided

    def changed(self) -> list[dict[str, Any]]:
        """The incidents that are new or changed since the last call, rows of tables.INCIDENTS as plain values."""
        changed = [story for story in [*self._over, *self._open()] if story.changed]
        self._over = []
        for story in changed:
            story.changed = False
        return [story.row(story.severity(self.settings.medium_tail_probability)) for story in changed]

    def open_ids(self) -> list[str]:
        """Of the incidents that may still change."""
        return [story.incident_id for story in self._open()]

    # ------------------------------------------------------------ restarts

    def state(self) -> dict[str, Any]:
        """All that the next windows depend on, as values that JSON knows. After `decided` and `changed`."""
        assert not self._decided and not self._over, "what was not told yet would be lost"
        return {
            "next": self._next,
            "waiting": [[when, draft.plain()] for when, draft in self._waiting],
            "stories": [story.plain() for story in self._open()],
            "ids": self._ids,
            "evicted": self.evicted,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; `changed` tells all open incidents again.

        Raises ValueError, TypeError, KeyError or AttributeError if it is nothing of the kind.
        """
        self._next, self._ids = int(state["next"]), [str(one) for one in state["ids"]]
        self._waiting = [(int(when), Draft.restored(draft)) for when, draft in state["waiting"]]
        self.evicted = {name: int(state["evicted"][name]) for name in self.evicted}
        self._stories = {}
        for plain in state["stories"]:
            story = Story.restored(plain)
            story.changed = True
            self._stories.setdefault((story.family, story.subject), []).append(story)

    # ------------------------------------------------------------ one window

    def _named(self, number: int, window: WindowView, finding: Finding, new: np.ndarray, touched: np.ndarray) -> Draft:
        """The draft of a finding: `new` are flows that no other draft of its story counted, `touched` its rows."""
        assert window.flows is not None
        rows, window_s = window.rows.iloc[touched], window.window_s
        packets, size = _sums(window.flows, new)
        if finding.earlier is not None:
            packets, size = packets + finding.earlier.packets, size + finding.earlier.bytes
        return Draft(
            number=number,
            pattern=finding.pattern,
            subject=finding.subject,
            source=finding.source,
            window_s=window_s,
            start=finding.start,
            end=finding.end,
            destinations=_ranked(finding.destinations, packets),
            services=_ranked(finding.services, packets),
            hosts=set(finding.hosts),
            ports=set(finding.ports),
            packets={window_s: packets},
            bytes={window_s: size},
            evidence={window_s: finding.evidence},
            score=float(rows["score"].max()) if len(rows) else 0.0,
            tail=float(rows["tail_probability"].min()) if len(rows) else 1.0,
            why=window.explained(touched),
            community_ids=window.community_ids(finding.flows),
            rows=len(rows),
        )

    def _push_unusual(self, window: WindowView, chosen: np.ndarray, draft_of_row: np.ndarray) -> None:
        """Drafts for anomalous rows that no pattern names: one for each source and destination, or one for a
        destination that very many sources behave unusually towards, or a source that does so to very many."""
        if not len(chosen):
            return
        rows, score, tail, window_s = window.rows, window.score, window.tail, window.window_s
        some = rows.iloc[chosen]
        pairs = pd.DataFrame({name: some[name].astype(str).to_numpy() for name in ("source", "destination")})
        crowd = pairs.groupby("destination")["source"].transform("nunique") > MOST_PAIRS
        pairs.loc[crowd, "source"] = MANY
        crowd = pairs.groupby("source")["destination"].transform("nunique") > MOST_PAIRS
        pairs.loc[crowd & (pairs["source"] != MANY), "destination"] = MANY
        worst_first = pairs.iloc[np.argsort(tail[chosen], kind="stable")].drop_duplicates()
        if len(worst_first) > MOST_DRAFTS:
            kept = pd.MultiIndex.from_frame(worst_first.iloc[:MOST_DRAFTS])
            pairs.loc[~pd.MultiIndex.from_frame(pairs).isin(kept)] = MANY
        group, keys = pd.MultiIndex.from_frame(pairs).factorize(sort=True)
        for i, (who, whom) in enumerate(keys):
            number = self._next + len(self._latest)
            mine = chosen[group == i]
            part = rows.iloc[mine]
            draft_of_row[mine] = number
            destinations, services = (
                part.groupby(part[name].astype(str))["packets"].sum() for name in ("destination", "service")
            )
            self._latest.append(
                Draft(
                    number=number,
                    pattern=UNUSUAL,
                    subject=f"to {whom}" if who == MANY else who,
                    source=who,
                    window_s=window_s,
                    start=int(part["first_packet"].min()),
                    end=int(part["last_packet"].max()),
                    destinations={str(name): int(count) for name, count in destinations.items()},
                    services={str(name): int(count) for name, count in services.items()},
                    hosts={str(name) for name in destinations.index},
                    ports=set(),
                    packets={window_s: int(part["packets"].sum())},
                    bytes={window_s: int(part["bytes"].sum())},
                    evidence={window_s: {"sources": int(part["source"].nunique())}},
                    score=float(score[mine].max()),
                    tail=float(tail[mine].min()),
                    why=window.explained(mine),
                    community_ids=window.community_ids(window.flows_of(mine)),
                    rows=len(part),
                )
            )

    # ------------------------------------------------------------ stories

    def _take(self, end: int) -> None:
        """The drafts of a window: named ones at once, the others wait."""
        named = [draft for draft in self._latest if draft.pattern != UNUSUAL]
        for draft in sorted(named, key=lambda d: (d.pattern in LESS_THAN, d.start, d.end, d.number)):
            self._merge(draft, end)
        settled = end + self.settings.settle_s * SECOND
        self._waiting += [(settled, draft) for draft in self._latest if draft.pattern == UNUSUAL]
        rows = sum(draft.rows for _, draft in self._waiting)
        while self._waiting and (rows > MOST_WAITING or not self.settings.settle_s):
            _, draft = self._waiting.pop(0)
            rows -= draft.rows
            self.evicted["drafts"] += bool(self.settings.settle_s)
            self._settle(draft, end)
        names = sum(len(story.hosts) + len(story.ports) for story in self._open())
        count = sum(map(len, self._stories.values()))
        if count > MOST_STORIES or names > MOST_NAMES:
            for story in sorted(self._open(), key=lambda s: s.end):
                if count <= MOST_STORIES and names <= MOST_NAMES:
                    break
                self._close(story)
                self.evicted["stories"] += 1
                count, names = count - 1, names - len(story.hosts) - len(story.ports)

    def _settle(self, draft: Draft, when: int) -> None:
        home = self._home(draft)
        if home is None:
            self._merge(draft, when)
        else:
            home.lend(draft)
            self._decided.append((draft.number, home.incident_id))

    def _merge(self, draft: Draft, when: int) -> None:
        """Drafts of one subject and pattern, not further apart than `gap_s`, become one story.

        Short windows end first: they say best when something began and ended. A longer window's draft that overlaps
        such stories of its family belongs to the one it overlaps most. It changes that story only if it saw the same
        thing (its pattern, no other story of the family) and is not much wider, or the short windows saw but a part
        of it: less than half of its packets. A story that says less than the draft takes its name.
        """
        gap, near = self.settings.gap_s * SECOND, self.settings.absorb_s * SECOND
        stories = self._stories.setdefault((draft.family, draft.subject), [])
        shorter = [s for s in stories if s.window_s < draft.window_s and s.overlap(draft) >= 0]
        alike = [s for s in shorter if s.pattern == draft.pattern]
        larger = [s for s in stories if s.pattern in LESS_THAN.get(draft.pattern, ()) and s.distance(draft) <= near]
        smaller = [s for s in stories if draft.pattern in LESS_THAN.get(s.pattern, ()) and s.distance(draft) <= near]
        adjacent = [s for s in stories if s.pattern == draft.pattern and s.distance(draft) <= gap]
        if shorter and (alike or not smaller):
            home = max(alike or shorter, key=lambda s: (s.overlap(draft), -s.start))
            wider = max(home.start - draft.start, draft.end - home.end)
            if len(shorter) == len(alike) == 1 and (wider <= near or 2 * home.size < draft.size):
                home.join(draft)
            else:
                home.lend(draft)
        elif larger or adjacent:
            home = min(larger or adjacent, key=lambda s: (s.distance(draft), s.start))
            home.join(draft)
        elif smaller:
            home = min(smaller, key=lambda s: (s.distance(draft), s.start))
            home.become(draft)
        else:
            home = Story.begun(draft, when, self._ids)
            self._ids = [*self._ids, home.incident_id][-MOST_IDS:]
            stories.append(home)
        self._decided.append((draft.number, home.incident_id))

    def _home(self, draft: Draft) -> Story | None:
        """The named story an unusual conversation is part of: one between the same hosts at about the same time, or one
        that its source did then with the same services, or one at that very time that its source did, was sent to, or
        was the victim of (both unless the story is STEADY). The nearest in time, then the one that overlaps most."""
        near, found = self.settings.absorb_s * SECOND, []
        for story in self._open():
            if story.pattern == UNUSUAL or (distance := story.distance(draft)) > near:
                continue
            sides = ({story.source}, victims(story))
            known = [any(end in side for side in sides) for end in (draft.source, *draft.destinations)]
            beside = any(known) and distance == 0 and story.pattern not in STEADY
            alike = draft.source == story.source and draft.services.keys() <= story.services.keys()
            if all(known) or beside or (alike and story.pattern not in STEADY):
                found.append(story)
        return min(found, key=lambda s: (s.distance(draft), -s.overlap(draft), s.start, s.pattern), default=None)

    def _open(self) -> Iterator[Story]:
        return (story for stories in self._stories.values() for story in stories)

    def _end(self, now: int | None) -> None:
        """Close the stories that are over by `now`; None: all."""
        age = self.settings.most_age_s * SECOND
        for story in list(self._open()):
            if now is None or min(story.end + self._keep, story.start + age) <= now:
                self._close(story)

    def _close(self, story: Story) -> None:
        key = (story.family, story.subject)
        self._stories[key] = [one for one in self._stories[key] if one is not story]
        if not self._stories[key]:
            del self._stories[key]
        self._over.append(story)


# ---------------------------------------------------------------- helpers


def _sums(flows: pd.DataFrame, chosen: np.ndarray) -> tuple[int, int]:
    part = flows.iloc[chosen]
    packets = int(part["packets_out"].sum() + part["packets_in"].sum())
    return packets, int(part["bytes_out"].sum() + part["bytes_in"].sum())


def _ranked(names: Iterable[str], packets: int) -> dict[str, int]:
    """Names, most affected first, with falling weights, so that merged lists keep the heaviest first."""
    return {name: max(packets // (place + 1), 1) for place, name in enumerate(names)}
