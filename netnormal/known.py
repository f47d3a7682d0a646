"""What the baseline had seen: who talked to whom, with what, and how much at most. Some patterns need novelty."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import numpy as np
import pandas as pd

Talk = tuple[str, str, str]  # source, destination, service

#: Services whose askers and answerers are on the same link: ARP, router and neighbour discovery (RFC 826, RFC 4861).
ON_LINK = ("ARP", "ICMPv6/133", "ICMPv6/134", "ICMPv6/135", "ICMPv6/136")
UNSPECIFIED = ("0.0.0.0", "::", "-")
PRIVATE = [
    ip_network(word)
    for word in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
]
COUNTS = ("conversation_flows_count", "conversation_payload_out_bytes", "conversation_payload_in_bytes")
TURNS = "conversation_turns_mean_count"  # per flow
COUNTED = len(COUNTS) + 2
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Most:
    """The most of one conversation in any window of one length: in how many windows it was, flows, payload bytes from
    its source, payload bytes from its destination, times that payload changed its direction."""

    windows: int = 0
    flows: int = 0
    sent: int = 0
    received: int = 0
    turns: int = 0

    @property
    def asked(self) -> int:
        """Requests, each with its answer; at least one a flow."""
        return max(self.flows, self.turns // 2)


@dataclass
class Known:
    """Conversations of a baseline by window length, and what follows from them. Names are addresses as in the files.

    `most` maps a window length and (source, destination, service) to int64 (windows, flows, sent, received, turns), the
    rows of `counts`. Hosts count as known only where a conversation of theirs was answered or needs no answer.
    """

    talks: dict[Talk, int] = field(default_factory=dict)  # → row of `counts`
    counts: dict[int, np.ndarray] = field(default_factory=dict)  # window length → int64 (talks, COUNTED)
    devices: set[str] = field(default_factory=set)  # seen on the link
    served: set[tuple[str, str]] = field(default_factory=set)  # host and service that answered
    pairs: set[tuple[str, str]] = field(default_factory=set)  # hosts that talked, in alphabetical order
    hosts: set[str] = field(default_factory=set)  # seen at all
    span_s: float = 0.0  # how long the baseline is, in its shortest windows

    @classmethod
    def fit(cls, table: pd.DataFrame) -> Known:
        """Learn from a table of tables.FEATURES, not empty."""
        made = cls()
        columns = {name: table[name].astype(str) for name in ("source", "destination", "service", "kind")}
        part = pd.DataFrame(columns | {"window_s": table["window_s"].to_numpy()})
        for name in COUNTS:
            part[name] = np.nan_to_num(table[name].to_numpy(np.float64)).astype(np.int64)
        part[TURNS] = np.nan_to_num(table[TURNS].to_numpy(np.float64) * part[COUNTS[0]]).round().astype(np.int64)
        by = part.groupby(["source", "destination", "service", "window_s"], sort=True)
        found = by[[*COUNTS, TURNS]].max()
        found.insert(0, "windows", by.size())
        made.talks = {talk: i for i, talk in enumerate(dict.fromkeys(key[:3] for key in found.index))}
        row = np.array([made.talks[key[:3]] for key in found.index], np.int64)
        length = found.index.get_level_values("window_s").to_numpy(np.int64)
        for window_s in np.unique(length).tolist():
            made.counts[window_s] = np.zeros((len(made.talks), COUNTED), np.int64)
            made.counts[window_s][row[length == window_s]] = found.to_numpy(np.int64)[length == window_s]
        kinds = part.drop_duplicates(["source", "destination", "service", "kind"])
        for source, destination, service, kind in zip(
            kinds["source"], kinds["destination"], kinds["service"], kinds["kind"], strict=True
        ):
            answered = kind.endswith(" answered")
            if service in ON_LINK:
                made.devices |= {source, destination} if answered else {source}
            if answered:
                made.served.add((destination, service))
                made.pairs.add((min(source, destination), max(source, destination)))
        made.devices -= set(UNSPECIFIED)
        made.hosts = {host for talk in made.talks for host in talk[:2]} | made.devices
        length_s = int(table["window_s"].min())  # the shortest windows measure it best
        start = table["window_start"].to_numpy(np.int64)[table["window_s"].to_numpy() == length_s]
        made.span_s = float(start.max() - start.min()) / SECOND + length_s
        return made

    def most(self, window_s: int, source: str, destination: str, service: str) -> Most:
        """The most of a conversation in a window of this length; zeros if it never was."""
        row = self.talks.get((source, destination, service))
        return Most(*self._counts(window_s)[row].tolist()) if row is not None else Most()

    def most_flows(self, span_s: float, source: str, destination: str, service: str) -> float:
        """The flows of a conversation in so long that would be no surprise: the most there were, by the longest
        windows, and one more, which the baseline may have missed; in proportion where it lasted less than so long."""
        longest = max(self.counts, default=0)
        seen_s = min(longest, self.span_s)
        flows = self.most(longest, source, destination, service).flows + 1
        return flows * max(1.0, span_s / seen_s) if seen_s else float("inf")

    def most_asked(self, window_s: int, host: str, service: str) -> int:
        """Requests to a service of a host: the most of each client in a window, together."""
        counts = self._counts(window_s)
        rows = [row for (_, to, what), row in self.talks.items() if (to, what) == (host, service)]
        return sum(Most(*counts[row].tolist()).asked for row in rows)

    def most_sent(self, window_s: int, host: str) -> tuple[int, int]:
        """The most payload [bytes] that a host ever sent in one conversation of a window: asking, and answering."""
        counts = self._counts(window_s)
        asked = [counts[row, 2] for (source, _, _), row in self.talks.items() if source == host]
        answered = [counts[row, 3] for (_, destination, _), row in self.talks.items() if destination == host]
        return int(max(asked, default=0)), int(max(answered, default=0))

    def most_taken(self, window_s: int, host: str) -> tuple[int, int]:
        """The most payload [bytes] that a host inside ever sent to this one in a conversation of a window: asking it,
        and answering it."""
        counts = self._counts(window_s)
        asked = [counts[row, 2] for (source, to, _), row in self.talks.items() if to == host and self.inside(source)]
        answered = [counts[row, 3] for (who, to, _), row in self.talks.items() if who == host and self.inside(to)]
        return int(max(asked, default=0)), int(max(answered, default=0))

    def sent_inside(self, window_s: int) -> tuple[np.ndarray, np.ndarray]:
        """Most payload [bytes] of each conversation whose sender is inside, asking and answering; without zeros."""
        counts = self._counts(window_s)
        asked = [counts[row, 2] for (source, _, _), row in self.talks.items() if self.inside(source)]
        answered = [counts[row, 3] for (_, destination, _), row in self.talks.items() if self.inside(destination)]
        both = np.array(asked, np.int64), np.array(answered, np.int64)
        return both[0][both[0] > 0], both[1][both[1] > 0]

    def met(self, one: str, other: str) -> bool:
        """Did the two hosts ever talk with each other?"""
        return (min(one, other), max(one, other)) in self.pairs

    def _counts(self, window_s: int) -> np.ndarray:
        return self.counts.get(window_s, np.zeros((len(self.talks), COUNTED), np.int64))

    def inside(self, host: str) -> bool:
        """Is the host one of the network's own: seen on the link; where no link was seen, of a private range."""
        if self.devices:
            return host in self.devices
        return is_private(host)

    def servers(self, *services: str) -> set[str]:
        """Who answered, or sent unasked, with these services."""
        return {source for source, _, service in self.talks if service in services}

    def dhcp_servers(self) -> set[str]:
        """Who answered DHCP or DHCPv6: a server's answer is seen as one, or as a question to the client."""
        answered = {host for host, service in self.served if service in ("UDP/67", "UDP/547")}
        return answered | self.servers("UDP/68", "UDP/546")


def is_private(host: str) -> bool:
    """Is it an address of a private or link-local range (RFC 1918, RFC 3927, RFC 4193, RFC 4291)?"""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in PRIVATE)
