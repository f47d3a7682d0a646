"""Scored rows and findings → incidents: one incident for one story, not one for each window that saw part of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from netnormal import display_filter, words
from netnormal.flows import conversations
from netnormal.patterns import KINDS, MANY, Evidence, Finding
from netnormal.settings import Incidents
from netnormal.tables import INCIDENTS

SECOND = 1_000_000_000
UNUSUAL = "unusual_behaviour"
SEVERITIES = ("critical", "high", "medium", "low")  # worst first
#: A pattern that says less than these others of the same source, when they are near in time: it is part of them.
LESS_THAN = {"arp_sweep": ("ping_sweep", "port_sweep")}
#: Evidence that counts events, which happen in one window only.
EVENTS = {"answered", "refused", "silent", "half_open", "packets", "claims", "connections", "requests", "replies"}
EVENTS |= {"bytes", "names", "letters", "calls", "sent_bytes", "received_bytes"}
MOST_NAMED = 20  # destinations and services that an incident names
MOST_SOURCES = 50  # unusual sources of one destination in one window; more of them become one, `many`
MOST_REASONS = 3  # unusual conversations whose reasons an incident quotes


@dataclass
class Draft:
    """What one window says about one story; merged, the story.

    `packets`, `bytes` and `evidence` are by window length: windows of one length never see a packet twice, so they
    add up; windows of different lengths see the same packets, so they do not.
    """

    pattern: str
    subject: str
    source: str
    window_s: int
    start: int
    end: int
    destinations: dict[str, int]  # the most affected → packets
    services: dict[str, int]
    hosts: set[str]  # all destinations
    ports: set[int]  # all ports of a port scan
    packets: dict[int, int]
    bytes: dict[int, int]
    evidence: dict[int, Evidence]
    score: float
    tail: float
    reasons: dict[str, float]  # words → score of the row
    members: list[int]  # numbers of the drafts merged into it

    @property
    def family(self) -> str:
        return KINDS[self.pattern][2] if self.pattern in KINDS else self.pattern

    @property
    def size(self) -> int:
        """Packets of the window length that saw most of it."""
        return max(self.packets.values())

    def distance(self, other: Draft) -> int:
        """Nanoseconds between the two; 0 when they overlap."""
        return max(self.start - other.end, other.start - self.end, 0)

    def overlap(self, other: Draft) -> int:
        """Nanoseconds that both cover; negative when they do not meet."""
        return min(self.end, other.end) - max(self.start, other.start)

    def copy(self) -> Draft:
        """A draft that may grow into a story while this one stays as it is."""
        evidence = {window_s: dict(numbers) for window_s, numbers in self.evidence.items()}
        plain = ("destinations", "services", "hosts", "ports", "packets", "bytes", "reasons", "members")
        return replace(self, evidence=evidence, **{name: getattr(self, name).copy() for name in plain})

    def lend(self, other: Draft) -> None:
        """Let the other be part of this one without changing when, to whom and how much."""
        self.members += other.members
        self.score, self.tail = max(self.score, other.score), min(self.tail, other.tail)
        self.reasons |= {text: s for text, s in other.reasons.items() if s > self.reasons.get(text, -1)}

    def join(self, other: Draft) -> None:
        """Become one with the other."""
        self.lend(other)
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        self.hosts |= other.hosts
        self.ports |= other.ports
        for mine, more in ((self.packets, other.packets), (self.bytes, other.bytes)):
            for window_s, count in more.items():
                mine[window_s] = mine.get(window_s, 0) + count
        for named, others in ((self.destinations, other.destinations), (self.services, other.services)):
            for name, count in others.items():
                named[name] = named.get(name, 0) + count
        if MANY in (self.source, other.source):
            self.source = MANY
        if other.pattern == self.pattern:
            for window_s, numbers in other.evidence.items():
                self.evidence[window_s] = _added(self.evidence.get(window_s, {}), numbers)

    def best_evidence(self) -> Evidence:
        """The evidence of the window length that saw most packets, with the hosts and ports of all."""
        best = max(self.evidence, key=lambda window_s: (self.packets[window_s], window_s))
        found: Evidence = {**self.evidence[best], "hosts": len(self.hosts)}
        return found | {"ports": len(self.ports)} if self.ports else found


class IncidentMerger:
    """Collects what each closed window says, and makes incidents of it.

    `push` each window of each length, in any order; each call answers with numbers of drafts, one for each anomalous
    row and each flow that belongs to something. `flush` gives the incidents and says which one each draft became:

        draft_of_row, draft_of_flow = merger.push(...)
        incidents, place = merger.flush()
        incidents["incident_id"][place[draft]]         # the incident of a draft
        place[draft]                                   # its row in `incidents`: the smaller, the worse

    A draft is small (names and sums, never packets), so memory grows with what was found, not with the traffic.
    """

    def __init__(self, settings: Incidents) -> None:
        self.settings = settings
        self._drafts: list[Draft] = []

    def push(
        self,
        window_s: int,
        rows: pd.DataFrame,
        findings: list[Finding],
        flows: pd.DataFrame | None = None,
        row_of_flow: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What one closed window says.

        rows : scored rows of the window: source, destination, service, packets, bytes, first_packet, last_packet,
            score, tail_probability, anomaly, reasons (text; read where anomaly is 1); n rows, each key once.
        findings : of the same window: `patterns.find` and `threats.find`. They need `flows`, the window's flow table,
            whose conversations are looked up in `rows` unless `row_of_flow` says where they are (-1: nowhere).
        Returns the draft of each row (int64[n]) and of each flow (int64[len(flows)]), -1 for none. A row or flow in
        several findings belongs to the most severe. Every row and flow of a finding belongs to it, anomalous or not.
        """
        draft_of_row = np.full(len(rows), -1, np.int64)
        draft_of_flow = np.full(0 if flows is None else len(flows), -1, np.int64)
        score = rows["score"].to_numpy(np.float64)
        tail = rows["tail_probability"].to_numpy(np.float64)
        anomaly = rows["anomaly"].to_numpy() == 1
        if row_of_flow is None:
            row_of_flow = _row_of_flow(rows, flows) if flows is not None else np.zeros(0, np.int64)
        counted: dict[tuple[str, str], np.ndarray] = {}
        by_severity = sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.start, f.pattern, f.source))
        for finding in by_severity:
            assert flows is not None, "findings need the flow table they point into"
            number = len(self._drafts)
            seen = counted.setdefault((finding.pattern, finding.subject), np.zeros(len(flows), bool))
            new = finding.flows[~seen[finding.flows]]
            seen[finding.flows] = True
            touched = np.unique(row_of_flow[finding.flows])
            touched = touched[touched >= 0]
            draft_of_flow[finding.flows[draft_of_flow[finding.flows] < 0]] = number
            draft_of_row[touched[draft_of_row[touched] < 0]] = number
            self._drafts.append(self._named(number, window_s, finding, flows, new, rows.iloc[touched]))
        self._push_unusual(window_s, rows, np.flatnonzero(anomaly & (draft_of_row < 0)), score, tail, draft_of_row)
        if flows is not None:
            free = (draft_of_flow < 0) & (row_of_flow >= 0)
            unnamed = np.where(anomaly, draft_of_row, -1)
            draft_of_flow[free] = unnamed[row_of_flow[free]]
        return draft_of_row, draft_of_flow

    def of_packets(self, draft_of_flow: np.ndarray, flow_of_packet: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The draft of each packet: that of its flow, if the packet lies between the draft's start and end; else -1.

        A long window's flow may have begun long before what was found in it, as ARP between two victims.
        """
        draft = draft_of_flow[flow_of_packet]
        used, at = np.unique(draft, return_inverse=True)
        spans = [(self._drafts[number].start, self._drafts[number].end) if number >= 0 else (1, 0) for number in used]
        start, end = np.array(spans, np.int64).reshape(-1, 2)[at].T
        return np.where((start <= time) & (time <= end), draft, -1)

    def flush(self) -> tuple[pd.DataFrame, np.ndarray]:
        """The incidents so far, worst first (a table of tables.INCIDENTS), and for each draft its row there (int64)."""
        stories = self._merged([draft for draft in self._drafts if draft.pattern != UNUSUAL])
        unnamed = []
        for draft in self._drafts:
            if draft.pattern == UNUSUAL:
                home = _home(draft, stories, self.settings.absorb_s * SECOND)
                if home is None:
                    unnamed.append(draft)
                else:
                    home.lend(draft)
        stories += self._merged(unnamed)
        stories.sort(key=lambda s: (s.start, s.end, s.pattern, s.subject))
        severity = [self._severity(story) for story in stories]
        order = sorted(
            range(len(stories)),
            key=lambda i: (SEVERITIES.index(severity[i]), -stories[i].score, -stories[i].size, i),
        )
        rows = [self._row(f"I{i + 1:04d}", severity[i], stories[i]) for i in order]
        place = np.full(len(self._drafts), -1, np.int64)
        for row, i in enumerate(order):
            place[stories[i].members] = row
        return _table(rows), place

    # ------------------------------------------------------------ one window

    def _named(
        self, number: int, window_s: int, finding: Finding, flows: pd.DataFrame, new: np.ndarray, rows: pd.DataFrame
    ) -> Draft:
        packets, size = _sums(flows, new)
        unusual = rows[rows["anomaly"] == 1]
        return Draft(
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
            reasons=_best_reasons(unusual),
            members=[number],
        )

    def _push_unusual(
        self,
        window_s: int,
        rows: pd.DataFrame,
        chosen: np.ndarray,
        score: np.ndarray,
        tail: np.ndarray,
        draft_of_row: np.ndarray,
    ) -> None:
        """Drafts for anomalous rows that no pattern names: one for each source and destination, or one for a
        destination that very many sources behave unusually towards."""
        if not len(chosen):
            return
        some = rows.iloc[chosen]
        destination = some["destination"].astype(str).to_numpy()
        source = some["source"].astype(str).to_numpy()
        pairs = pd.DataFrame({"source": source, "destination": destination})
        crowd = pairs.groupby("destination")["source"].transform("nunique") > MOST_SOURCES
        pairs.loc[crowd, "source"] = MANY
        group, keys = pd.MultiIndex.from_frame(pairs).factorize(sort=True)
        for i, (who, whom) in enumerate(keys):
            number = len(self._drafts)
            mine = chosen[group == i]
            part = rows.iloc[mine]
            draft_of_row[mine] = number
            packets, size = int(part["packets"].sum()), int(part["bytes"].sum())
            services = part.groupby(part["service"].astype(str))["packets"].sum()
            self._drafts.append(
                Draft(
                    pattern=UNUSUAL,
                    subject=f"to {whom}" if who == MANY else who,
                    source=who,
                    window_s=window_s,
                    start=int(part["first_packet"].min()),
                    end=int(part["last_packet"].max()),
                    destinations={whom: packets},
                    services={str(name): int(count) for name, count in services.items()},
                    hosts={whom},
                    ports=set(),
                    packets={window_s: packets},
                    bytes={window_s: size},
                    evidence={window_s: {"sources": int(part["source"].nunique())}},
                    score=float(score[mine].max()),
                    tail=float(tail[mine].min()),
                    reasons=_best_reasons(part),
                    members=[number],
                )
            )

    # ------------------------------------------------------------ stories

    def _merged(self, drafts: list[Draft]) -> list[Draft]:
        """Drafts of one subject and pattern, not further apart than `gap_s`, become one story.

        Short windows come first: they say best when something began and ended. A longer window's draft that overlaps
        such stories of its family belongs to the one it overlaps most. It changes that story only if it saw the same
        thing (its pattern, no other story of the family) and is not much wider, or the short windows saw but a part
        of it: less than half of its packets.
        """
        gap, near = self.settings.gap_s * SECOND, self.settings.absorb_s * SECOND
        by_subject: dict[tuple[str, str], list[Draft]] = {}
        for draft in sorted(drafts, key=lambda d: (d.window_s, d.pattern in LESS_THAN, d.start, d.end, d.members)):
            stories = by_subject.setdefault((draft.family, draft.subject), [])
            shorter = [s for s in stories if s.window_s < draft.window_s and s.overlap(draft) >= 0]
            alike = [s for s in shorter if s.pattern == draft.pattern]
            larger = [s for s in stories if s.pattern in LESS_THAN.get(draft.pattern, ()) and s.distance(draft) <= near]
            adjacent = [s for s in stories if s.pattern == draft.pattern and s.distance(draft) <= gap]
            if shorter:
                home = max(alike or shorter, key=lambda s: (s.overlap(draft), -s.start))
                wider = max(home.start - draft.start, draft.end - home.end)
                if len(shorter) == len(alike) == 1 and (wider <= near or 2 * home.size < draft.size):
                    home.join(draft)
                else:
                    home.lend(draft)
            elif larger:
                min(larger, key=lambda s: (s.distance(draft), s.start)).join(draft)
            elif adjacent:
                for other in adjacent[1:]:
                    adjacent[0].join(other)
                    stories.remove(other)
                adjacent[0].join(draft)
            else:
                stories.append(draft.copy())
        return [story for stories in by_subject.values() for story in stories]

    def _severity(self, story: Draft) -> str:
        if story.pattern in KINDS:
            return KINDS[story.pattern][1]
        return "medium" if story.tail <= self.settings.medium_tail_probability else "low"

    def _row(self, incident_id: str, severity: str, story: Draft) -> dict[str, object]:
        named = story.pattern in KINDS
        destinations, services = _most(story.destinations), _most(story.services)
        quoted = sorted(story.reasons, key=lambda words: (-story.reasons[words], words))[:MOST_REASONS]
        reasons = [words.evidence(story.best_evidence())] if named else []
        reasons += [f"unusual: {text}" if named else text for text in quoted]
        span_s = (story.end - story.start) / SECOND
        evidence = story.best_evidence()
        return {
            "incident_id": incident_id,
            "start": story.start,
            "end": story.end,
            "pattern": story.pattern,
            "title": words.title(story.pattern, story.source, destinations, services, evidence, span_s),
            "technique": KINDS[story.pattern][0] if named else None,
            "severity": severity,
            "score": story.score,
            "source": story.source,
            "destinations": " ".join(destinations),
            "services": " ".join(services),
            "packets": story.size,
            "bytes": max(story.bytes.values()),
            "reasons": "; ".join(text for text in reasons if text),
            "display_filter": display_filter.of(
                story.pattern,
                story.source,
                list(story.destinations),
                list(story.services),
                evidence,
                story.start,
                story.end,
            ),
        }


# ---------------------------------------------------------------- helpers


def _home(draft: Draft, stories: list[Draft], near: int) -> Draft | None:
    """The named story an unusual conversation is part of: one between the same hosts at about the same time, or one at
    that very time that its source did, was sent to, or was the victim of. The nearest in time, then the one that
    overlaps most."""
    found = []
    for story in stories:
        sides = ({story.source}, _victims(story))
        known = [any(end in side for side in sides) for end in (draft.source, *draft.destinations)]
        if story.distance(draft) <= (near if all(known) else 0) and any(known):
            found.append(story)
    return min(found, key=lambda s: (s.distance(draft), -s.overlap(draft), s.start, s.pattern)) if found else None


def _victims(story: Draft) -> set[str]:
    """Who a story happened to, if it is few: of a sweep, everybody is a destination and nobody a victim."""
    return set(story.destinations) if len(story.destinations) < MOST_NAMED else set()


def _added(one: Evidence, other: Evidence) -> Evidence:
    """Evidence of two windows of one length: what counts events adds up, of other numbers the larger holds."""
    total: Evidence = {**other, **one}
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if not isinstance(a, str) and not isinstance(b, str):
            total[name] = a + b if name in EVENTS else max(a, b)
    return total


def _row_of_flow(rows: pd.DataFrame, flows: pd.DataFrame) -> np.ndarray:
    """For each flow the row of its conversation, -1 where the rows have none."""
    keys, conversation = conversations(flows)
    names = ["source", "destination", "service"]
    if len(keys) == len(rows) and all((keys[n].to_numpy(str) == rows[n].to_numpy(str)).all() for n in names):
        return conversation  # the usual case: the rows are those of this flow table, in order
    known = pd.MultiIndex.from_frame(rows[names].astype(str))
    return np.asarray(known.get_indexer(pd.MultiIndex.from_frame(keys.astype(str))))[conversation].astype(np.int64)


def _sums(flows: pd.DataFrame, chosen: np.ndarray) -> tuple[int, int]:
    part = flows.iloc[chosen]
    packets = int(part["packets_out"].sum() + part["packets_in"].sum())
    return packets, int(part["bytes_out"].sum() + part["bytes_in"].sum())


def _ranked(names: Iterable[str], packets: int) -> dict[str, int]:
    """Names, most affected first, with falling weights, so that merged lists keep the heaviest first."""
    return {name: max(packets // (place + 1), 1) for place, name in enumerate(names)}


def _most(names: dict[str, int]) -> list[str]:
    return sorted(names, key=lambda name: -names[name])[:MOST_NAMED]


def _best_reasons(rows: pd.DataFrame) -> dict[str, float]:
    best = rows.nlargest(MOST_REASONS, "score")
    return {str(text): float(score) for text, score in zip(best["reasons"], best["score"], strict=True)}


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns: dict[str, object] = {}
    for column in INCIDENTS:
        values = [row[column.name] for row in rows]
        if column.kind == "text":
            columns[column.name] = pd.Categorical(values)
        else:
            columns[column.name] = np.array(values, np.float64 if column.kind == "float" else np.int64)
    return pd.DataFrame(columns)
