"""Scans slower than any window: first contacts remembered over windows, for the same sequential test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from netnormal.patterns import scans
from netnormal.patterns.view import SECOND, Finding, View, by_group, groups
from netnormal.settings import Patterns

MOST_PAIRS = 20_000  # of who tried and what, that are remembered; beyond, those quiet for longest are forgotten
MOST_CONTACTS = 1_000  # of each; more ports or hosts than that are found anyway

Key = tuple[str, str, str]  # pattern, source, and the host whose ports are tried, or the service tried at hosts


@dataclass
class Past:
    """Contacts of one source: port or host → when first tried [ns], and whether always in vain."""

    contacts: dict[str, tuple[int, bool]] = field(default_factory=dict)
    last: int = 0

    def add(self, contact: str, time: int, failed: bool) -> None:
        first, before = self.contacts.get(contact, (time, True))
        if contact in self.contacts or len(self.contacts) < MOST_CONTACTS:
            self.contacts[contact] = (first, before and failed)
        self.last = max(self.last, time)


class ScanMemory:
    """Contacts of the last `scan_memory_s` of sources that tried something in vain. `push` windows of one length in
    order of time; a source that tried nothing in vain is not remembered, as its walk would be at 0 still.

    Hosts searched are those of the network alone: who has no way out tries distant ones in vain for hours."""

    def __init__(self, settings: Patterns) -> None:
        self._settings = settings
        self._past: dict[Key, Past] = {}
        self.evicted = 0

    def push(self, view: View) -> list[Finding]:
        """The scans of which this window saw a part, with all that is remembered of them. Jung et al. 2004."""
        if not len(view.flows):
            return []
        self._forget(int(view.ints("last_packet").max()) - self._settings.scan_memory_s * SECOND)
        findings = []
        for key, flows, contacts in self._contacts(view):
            past = self._past.get(key)
            failed = view.failed[flows]
            if past is None:
                if not failed.any():
                    continue
                past = self._past[key] = Past()
            times = view.ints("first_packet")[flows]
            for contact, time, in_vain in zip(contacts, times.tolist(), failed.tolist(), strict=True):
                past.add(contact, time, in_vain)
            if failed.any() and self._scans(key[0], past):
                findings.append(_finding(view, key, flows, past))
        self._evict()
        return findings

    def state(self) -> list[Any]:
        """All of it as values that JSON knows, for `restore`."""
        plain = [[*key, past.last, list(past.contacts.items())] for key, past in self._past.items()]
        return [self.evicted, plain]

    def restore(self, state: list[Any]) -> None:
        """Go on from `state`. Raises ValueError or TypeError if it is nothing of the kind."""
        self.evicted, self._past = int(state[0]), {}
        for pattern, source, what, last, contacts in state[1]:
            known = {str(contact): (int(time), bool(failed)) for contact, (time, failed) in contacts}
            self._past[str(pattern), str(source), str(what)] = Past(known, int(last))

    def _contacts(self, view: View) -> Iterator[tuple[Key, np.ndarray, list[str]]]:
        """Of each source and what it tried: the flows, and the contact of each."""
        ports = view.ints("dst_port")
        tcp, udp = scans.tcp_attempts(view, self._settings), scans.udp_attempts(view, self._settings)
        for pattern, tried in (("port_scan", tcp), ("udp_scan", udp)):
            for flows in _parts(np.flatnonzero(tried), view.source, view.destination):
                source, destination, _ = view.talk(int(flows[0]))
                yield (pattern, source, destination), flows, [str(port) for port in ports[flows].tolist()]
        for pattern, tried in (("port_sweep", tcp), ("ping_sweep", scans.pings(view, self._settings))):
            for flows in _parts(np.flatnonzero(tried), view.source, view.service):
                hosts = [view.name(int(host)) for host in view.destination[flows]]
                near = np.array([view.inside(host) for host in hosts])
                if near.any():
                    source, _, service = view.talk(int(flows[0]))
                    yield (pattern, source, service), flows[near], [host for host in hosts if view.inside(host)]

    def _scans(self, pattern: str, past: Past) -> bool:
        """Are there enough failures, and does the walk over the contacts, by time, say scanner?"""
        least = self._settings.scan_hosts if pattern.endswith("sweep") else self._settings.scan_ports
        if sum(failed for _, failed in past.contacts.values()) < least:
            return False
        failed = np.array([failed for _, failed in sorted(past.contacts.values())], bool)
        crossed = scans.sequential_test(np.zeros(len(failed), np.int64), failed, *scans.walk(self._settings), 1)
        return bool(crossed[0] >= 0)

    def _forget(self, before: int) -> None:
        for key, past in list(self._past.items()):
            past.contacts = {name: one for name, one in past.contacts.items() if one[0] >= before}
            if not any(failed for _, failed in past.contacts.values()):
                del self._past[key]

    def _evict(self) -> None:
        excess = len(self._past) - MOST_PAIRS
        if excess > 0:
            for key in sorted(self._past, key=lambda one: self._past[one].last)[:excess]:
                del self._past[key]
            self.evicted += excess


def _parts(rows: np.ndarray, one: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    """The flows with each combination of two keys."""
    if not len(rows):
        return []
    group, first = groups(one[rows], other[rows])
    return [rows[members] for members in by_group(group, np.arange(len(first)), len(first))]


def _finding(view: View, key: Key, flows: np.ndarray, past: Past) -> Finding:
    finding = scans.with_counts(view, view.finding(key[0], flows, key[1], {}))
    start = min(time for time, _ in past.contacts.values())
    if key[0].endswith("sweep"):
        return replace(finding, start=start, hosts=frozenset(past.contacts))
    return replace(finding, start=start, ports=frozenset(int(port) for port in past.contacts))
