"""What a pattern finds, and the window it looks at: the flow table as arrays, prepared once for all patterns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from netnormal.flows import ANSWERED, REFUSED, UNANSWERED
from netnormal.kernels.group import pair_ids
from netnormal.known import Known, Most, is_private

SECOND = 1_000_000_000
MANY = "many"  # the source of what came from spoofed or very many addresses
MOST_NAMED = 20  # destinations and services that a finding names
MOST_KEPT = 65_536  # destinations that a finding keeps

#: pattern → MITRE ATT&CK technique, severity, and the family within which findings may tell the same story. What has
#: the severity info is told apart and becomes no incident.
KINDS: dict[str, tuple[str, str, str]] = {
    "port_scan": ("T1046", "medium", "scan"),
    "null_scan": ("T1046", "medium", "scan"),
    "fin_scan": ("T1046", "medium", "scan"),
    "xmas_scan": ("T1046", "medium", "scan"),
    "ack_scan": ("T1046", "medium", "scan"),
    "udp_scan": ("T1046", "medium", "scan"),
    "port_sweep": ("T1046", "medium", "scan"),
    "ping_sweep": ("T1018", "medium", "scan"),
    "arp_sweep": ("T1018", "low", "scan"),
    "syn_flood": ("T1499.001", "high", "syn_flood"),
    "udp_flood": ("T1498.001", "high", "udp_flood"),
    "icmp_flood": ("T1498.001", "high", "icmp_flood"),
    "slow_http": ("T1499.002", "high", "slow_http"),
    "arp_spoofing": ("T1557.002", "critical", "arp_spoofing"),
    "nd_spoofing": ("T1557", "critical", "nd_spoofing"),
    "rogue_router": ("T1557", "high", "rogue_router"),
    "rogue_dhcp": ("T1557.003", "high", "rogue_dhcp"),
    "brute_force": ("T1110", "high", "brute_force"),
    "dir_enumeration": ("T1595.003", "medium", "dir_enumeration"),
    "http_flood": ("T1499.002", "high", "http_flood"),
    "icmp_tunnel": ("T1095", "high", "icmp_tunnel"),
    "dns_tunnel": ("T1071.004", "high", "dns_tunnel"),
    "dga": ("T1568.002", "high", "dga"),
    "beacon": ("T1071", "medium", "beacon"),
    "upload": ("T1048", "medium", "upload"),
    "short_beacon": ("T1071", "info", "short_beacon"),
    "new_device": ("T1200", "info", "new_device"),
    "new_service": ("T1505", "info", "new_service"),
    "first_contact": ("T1071", "info", "first_contact"),
    "threat_list": ("T1071", "high", "threat_list"),
}
#: Logins by SSH and logins by HTTP are different stories, though of one source and pattern.
GUESSING = ("brute_force", "dir_enumeration")

Evidence = dict[str, int | float | str]


@dataclass(frozen=True)
class Earlier:
    """What a finding has in windows before: how many packets and bytes; and which they are, those of the talk with this
    number (`calls.CallMemory.talk_of_flow`) from this packet on, as far as they belong to nothing yet."""

    talk: int
    packet: int
    packets: int
    bytes: int


@dataclass(frozen=True, eq=False)
class Finding:
    """One named behaviour in one window.

    `destinations` and `services`: most affected first, at most 20. `start` and `end` are times of packets [ns];
    `flows` are the rows of the window's flow table that belong to it (int64, ascending). `hosts` are all its
    destinations and `ports` all ports it scanned (both at most 65,536), so that windows can be united.
    """

    pattern: str
    source: str
    destinations: tuple[str, ...]
    services: tuple[str, ...]
    start: int
    end: int
    evidence: Evidence
    flows: np.ndarray
    hosts: frozenset[str]
    ports: frozenset[int] = frozenset()
    earlier: Earlier | None = None

    @property
    def technique(self) -> str:
        return KINDS[self.pattern][0]

    @property
    def severity(self) -> str:
        return KINDS[self.pattern][1]

    @property
    def subject(self) -> str:
        """What findings of one pattern have in common when they tell one story: the victim of a flood, the hardware
        address of a spoofer, else the source, with what is on the list, or with the service at which it guesses."""
        for name in ("victim", "hardware_address"):
            if name in self.evidence:
                return str(self.evidence[name])
        if self.pattern in GUESSING:
            return f"{self.source} {self.services[0]}"
        return f"{self.source} {self.evidence['listed']}" if "listed" in self.evidence else self.source


class View:
    """The packets and flows of one closed window, as arrays.

    `source` and `destination` number the addresses in `names`; `service` the words in `services`. `first` is
    each flow's first packet (row), `first_ttl` its time to live. `known` is what an independent baseline had seen in
    windows of this length, None without one.
    """

    def __init__(
        self,
        packets: pd.DataFrame,
        flows: pd.DataFrame,
        flow_of_packet: np.ndarray,
        window_s: int = 0,
        known: Known | None = None,
    ) -> None:
        self.packets, self.flows, self.flow_of_packet = packets, flows, flow_of_packet
        self.window_s, self.known = window_s, known
        ends = [flows[name].array for name in ("source", "destination")]
        if not ends[0].categories.equals(ends[1].categories):
            names = ends[0].categories.union(ends[1].categories, sort=False)
            ends = [end.set_categories(names) for end in ends]
        self.names = ends[0].categories
        self.source, self.destination = (end.codes.astype(np.int64) for end in ends)
        self.services = list(flows["service"].array.categories)
        self._ints: dict[str, np.ndarray] = {}
        self.service = flows["service"].array.codes.astype(np.int64)
        protocol = flows["protocol"].array
        codes = protocol.codes
        self._protocol = {word: codes == i for i, word in enumerate(protocol.categories)}
        self.first = np.zeros(len(flows), np.int64)
        self.first[flow_of_packet[::-1]] = np.arange(len(packets) - 1, -1, -1)
        self.first_ttl = packets["ttl"].to_numpy(np.int64)[self.first]
        outcome = self.ints("outcome")
        self.answered = outcome == ANSWERED
        self.unanswered = outcome == UNANSWERED
        self.failed = self.unanswered | (outcome == REFUSED)
        self.attempt = self.answered | self.failed

    def ints(self, name: str) -> np.ndarray:
        """A column of the flow table as int64."""
        if name not in self._ints:  # many patterns ask for the same ones, in very many small windows
            self._ints[name] = self.flows[name].to_numpy(np.int64)
        return self._ints[name]

    def outward(self, rows: np.ndarray) -> np.ndarray:
        """Which of these packets (rows) the source of their flow sent, by address and, where there are ports, port."""
        flow = self.flow_of_packet[rows]
        source = self.packets["src_ip"].array
        number = self.names.get_indexer(source.categories)[source.codes[rows]]
        port = self.packets["src_port"].to_numpy(np.int64)[rows]
        return (number == self.source[flow]) & ((port == self.ints("src_port")[flow]) | (port < 0))

    def most(self, flow: int) -> Most:
        """The most of this flow's conversation in the baseline; zeros without one."""
        if self.known is None:
            return Most()
        return self.known.most(self.window_s, *self.talk(flow))

    def most_asked(self, flow: int) -> int:
        """Requests to this flow's service in the baseline, the most in a window of each client; 0 without one."""
        if self.known is None:
            return 0
        return self.known.most_asked(self.window_s, *self.talk(flow)[1:])

    def inside(self, host: str) -> bool:
        """Is the host one of the network's own, by the baseline or, without one, by its address?"""
        return is_private(host) if self.known is None else self.known.inside(host)

    def talk(self, flow: int) -> tuple[str, str, str]:
        """The conversation of a flow: source, destination, service."""
        names = self.name(int(self.source[flow])), self.name(int(self.destination[flow]))
        return *names, str(self.services[int(self.service[flow])])

    def is_service(self, words: Collection[str]) -> np.ndarray:
        """Which flows have one of these services (bool)."""
        return np.isin(self.service, [i for i, word in enumerate(self.services) if word in words])

    def protocol(self, *words: str) -> np.ndarray:
        """Which flows have one of these protocols (bool)."""
        found = np.zeros(len(self.flows), bool)
        for word in words:
            if word in self._protocol:
                found |= self._protocol[word]
        return found

    def flows_of(self, findings: Collection[Finding]) -> np.ndarray:
        """Which flows belong to one of these findings (bool)."""
        found = np.zeros(len(self.flows), bool)
        for finding in findings:
            found[finding.flows] = True
        return found

    def name(self, number: int) -> str:
        return str(self.names[number])

    def finding(self, pattern: str, flows: np.ndarray, source: str, evidence: Evidence) -> Finding:
        """The finding `pattern` by `source`, made of these rows of the flow table."""
        flows = np.sort(flows)
        weight = self.ints("packets_out")[flows] + self.ints("packets_in")[flows]
        hosts = self._ranked(self.destination[flows], weight)
        services = self._ranked(self.service[flows], weight)
        return Finding(
            pattern=pattern,
            source=source,
            destinations=tuple(self.name(host) for host in hosts[:MOST_NAMED]),
            services=tuple(str(self.services[service]) for service in services[:MOST_NAMED]),
            start=int(self.ints("first_packet")[flows].min()),
            end=int(self.ints("last_packet")[flows].max()),
            evidence=evidence,
            flows=flows,
            hosts=frozenset(self.name(host) for host in hosts[:MOST_KEPT]),
        )

    @staticmethod
    def _ranked(numbers: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The distinct numbers, heaviest first, equal ones in order of first appearance."""
        ids, first = pair_ids(numbers, np.zeros(len(numbers), np.int64))
        total = np.bincount(ids, weight, len(first))
        return numbers[first[np.argsort(-total, kind="stable")]]


def groups(*keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A number for each distinct combination of keys, in order of first appearance, and where each appears first."""
    ids, first = pair_ids(keys[0], keys[1] if len(keys) > 1 else np.zeros(len(keys[0]), np.int64))
    for key in keys[2:]:
        ids, first = pair_ids(ids, key)
    return ids, first


def by_group(ids: np.ndarray, wanted: np.ndarray, n: int) -> list[np.ndarray]:
    """For each wanted group the positions of its members, ascending."""
    if not len(wanted):
        return []
    keep = np.flatnonzero(_mask(wanted, n)[ids])
    order = keep[np.argsort(ids[keep], kind="stable")]
    starts = np.searchsorted(ids[order], wanted)
    ends = np.searchsorted(ids[order], wanted, side="right")
    return [order[a:b] for a, b in zip(starts, ends, strict=True)]


def busiest_second(time: np.ndarray) -> int:
    """The most of these moments [ns] that fall into one second of the clock, counted from the first."""
    return int(np.bincount((time - time.min()) // SECOND).max())


def _mask(wanted: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[wanted] = True
    return mask
