"""What one window says about one story, and the story that many of them become."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from netnormal import display_filter, words
from netnormal.explanation import Sum, said
from netnormal.patterns import KINDS, MANY, Evidence

SECOND = 1_000_000_000
#: Evidence that counts events, which happen in one window only.
EVENTS = {"answered", "refused", "silent", "half_open", "packets", "claims", "connections", "requests", "replies"}
EVENTS |= {
    "bytes",
    "names",
    "letters",
    "calls",
    "sent_bytes",
    "received_bytes",
    "guesses",
    "asked",
    "unasked",
    "advertisements",
    "offers",
}
MOST_NAMED = 20  # destinations and services that an incident names
MOST_COUNTED = 1_000  # destinations and services that a story weighs; at twice as many the lighter half is forgotten
MOST_KEPT = 65_536  # distinct hosts that a story counts


@dataclass
class Draft:
    """What one window says about one story.

    `packets`, `bytes` and `evidence` are by window length: windows of one length never see a packet twice, so they
    add up; windows of different lengths see the same packets, so they do not. `rows` of the window are in it.
    """

    number: int
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
    why: Sum  # of its anomalous rows
    community_ids: dict[str, int]  # of its heaviest flows → packets; at most MOST_NAMED
    rows: int

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

    def plain(self) -> dict[str, Any]:
        """All of it as values that JSON knows; `restored` makes it again."""
        sets = {name: sorted(value) for name, value in vars(self).items() if isinstance(value, set)}
        return vars(self) | sets | {"why": vars(self.why)}

    @classmethod
    def restored(cls, plain: dict[str, Any]) -> Any:
        """What `plain` gave. Raises ValueError, TypeError, KeyError or AttributeError if it is nothing of the kind."""
        values = {field.name: plain[field.name] for field in fields(cls)}
        values |= {name: set(values[name]) for name in ("hosts", "ports")}
        values["why"] = Sum(**values["why"])
        for name in ("packets", "bytes", "evidence"):  # JSON knows no whole numbers as keys
            values[name] = {int(window_s): value for window_s, value in values[name].items()}
        return cls(**values)


@dataclass
class Story(Draft):
    """Drafts that belong together. `incident_id` and `detected` (ns) are those of its first and never change."""

    incident_id: str
    detected: int
    changed: bool = True

    @classmethod
    def begun(cls, draft: Draft, detected: int, taken: Iterable[str]) -> Story:
        """The story that this draft begins; its id is none of those `taken`."""
        evidence = {window_s: dict(numbers) for window_s, numbers in draft.evidence.items()}
        plain = ("destinations", "services", "hosts", "ports", "packets", "bytes", "why", "community_ids")
        own = vars(replace(draft, evidence=evidence, **{name: getattr(draft, name).copy() for name in plain}))
        return cls(**own, incident_id=_identified(draft, taken), detected=detected)

    def lend(self, other: Draft) -> None:
        """Let the other be part of this one without changing when, to whom and how much."""
        self.changed = True
        self.score, self.tail = max(self.score, other.score), min(self.tail, other.tail)
        self.why.add(other.why)

    def join(self, other: Draft) -> None:
        """Become one with the other."""
        self.lend(other)
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        if len(self.hosts) < MOST_KEPT:
            self.hosts |= other.hosts
        self.ports |= other.ports
        for mine, more in ((self.packets, other.packets), (self.bytes, other.bytes)):
            for window_s, count in more.items():
                mine[window_s] = mine.get(window_s, 0) + count
        self.destinations = _counted(self.destinations, other.destinations)
        self.services = _counted(self.services, other.services)
        self.community_ids = _heaviest(self.community_ids, other.community_ids)
        if MANY in (self.source, other.source):
            self.source = MANY
        if other.pattern == self.pattern:
            for window_s, numbers in other.evidence.items():
                self.evidence[window_s] = _added(self.evidence.get(window_s, {}), numbers)

    def become(self, other: Draft) -> None:
        """Become one with the other, and be called as it is: it says more."""
        self.pattern, self.evidence = other.pattern, {}
        self.join(other)

    def best_evidence(self) -> Evidence:
        """The evidence of the window length that saw most packets, with the hosts and ports of all."""
        best = max(self.evidence, key=lambda window_s: (self.packets[window_s], window_s))
        found: Evidence = {**self.evidence[best], "hosts": len(self.hosts)}
        return found | {"ports": len(self.ports)} if self.ports else found

    def severity(self, medium_tail_probability: float) -> str:
        if self.pattern in KINDS:
            return KINDS[self.pattern][1]
        return "medium" if self.tail <= medium_tail_probability else "low"

    def row(self, severity: str) -> dict[str, Any]:
        """The columns of tables.INCIDENTS, and what incidents.json has beside them (docs/schemas.md)."""
        named = self.pattern in KINDS
        destinations, services = _most(self.destinations), _most(self.services)
        evidence = self.best_evidence()
        explanation = self.why.entries()
        told = [words.evidence(evidence)] if named else []
        told += [f"unusual: {text}" if named and not at else text for at, text in enumerate(map(said, explanation))]
        span_s = (self.end - self.start) / SECOND
        ends = list(self.destinations), list(self.services)
        return {
            "incident_id": self.incident_id,
            "start": self.start,
            "end": self.end,
            "detected": self.detected,
            "pattern": self.pattern,
            "title": words.title(self.pattern, self.source, destinations, services, evidence, span_s, explanation),
            "technique": KINDS[self.pattern][0] if named else None,
            "severity": severity,
            "score": self.score,
            "source": self.source,
            "destinations": " ".join(destinations),
            "services": " ".join(services),
            "packets": self.size,
            "bytes": max(self.bytes.values()),
            "reasons": "; ".join(text for text in told if text),
            "display_filter": display_filter.of(self.pattern, self.source, *ends, evidence, self.start, self.end),
            "evidence": evidence,
            "explanation": explanation,
            "normal": words.normal(self.pattern, explanation),
            "community_ids": list(self.community_ids),
        }


def victims(story: Draft) -> set[str]:
    """Who a story happened to, if it is few: of a sweep, everybody is a destination and nobody a victim."""
    return set(story.destinations) if len(story.destinations) < MOST_NAMED else set()


def _identified(draft: Draft, taken: Iterable[str]) -> str:
    """An id that says nothing but is the same whenever the same story begins: in reruns, live and in batch."""
    first = f"{draft.pattern}\n{draft.subject}\n{draft.start}"
    for number in range(1 << 32):
        digest = hashlib.sha256(f"{first}\n{number}".encode() if number else first.encode()).hexdigest()
        if (incident_id := f"I{digest[:8]}") not in taken:
            return incident_id
    raise AssertionError("no id is free")


def _counted(mine: dict[str, int], others: dict[str, int]) -> dict[str, int]:
    total = {name: mine.get(name, 0) + others.get(name, 0) for name in {**mine, **others}}
    if len(total) <= 2 * MOST_COUNTED:
        return total
    heaviest = set(sorted(total, key=lambda name: -total[name])[:MOST_COUNTED])
    return {name: count for name, count in total.items() if name in heaviest}


def _heaviest(mine: dict[str, int], others: dict[str, int]) -> dict[str, int]:
    """Windows of several lengths see the same flow, so of each the larger count holds."""
    found = {name: max(mine.get(name, 0), others.get(name, 0)) for name in mine | others}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMED])


def _added(one: Evidence, other: Evidence) -> Evidence:
    """Evidence of two windows of one length: what counts events adds up, of other numbers the larger holds."""
    total: Evidence = {**other, **one}
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if not isinstance(a, str) and not isinstance(b, str):
            total[name] = a + b if name in EVENTS else max(a, b)
    return total


def _most(names: dict[str, int]) -> list[str]:
    return sorted(names, key=lambda name: -names[name])[:MOST_NAMED]
