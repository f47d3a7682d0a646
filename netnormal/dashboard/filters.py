"""Which packets a reader wants to see: as typed, and as a choice of rows of a `store.Store`'s tables."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from netnormal.dashboard.store import SECOND, Part


@dataclass(frozen=True)
class Filter:
    """Which packets. host: an address or a network (10.0.0.0/8); service: TCP/443, TCP, or a port; times in ns;
    among: the hosts that both ends belong to, if any are named; mac: who sent it, which only packets know.

    start and end are both included; on tables of seconds their whole seconds are.
    """

    protocols: tuple[str, ...] = ()
    host: str = ""
    service: str = ""
    start: int | None = None
    end: int | None = None
    among: frozenset[str] = frozenset()
    mac: str = ""

    def hits(self, part: Part) -> bool:
        return (self.start is None or part.end >= self.start) and (self.end is None or part.start <= self.end)

    def of(self, table: pa.Table, clock: str, ends: tuple[str, str]) -> pa.Table:
        """The rows of `table` that match; `ends` are the columns that name hosts."""
        mask = None
        second = SECOND if clock == "second" else 1
        tests = []
        if self.start is not None:
            tests.append(pc.greater_equal(table[clock], self.start // second * second))
        if self.end is not None:
            tests.append(pc.less_equal(table[clock], self.end))
        if self.protocols:
            tests.append(_matching(table["protocol"], set(self.protocols).__contains__))
        if self.service.strip():
            tests.append(_matching(table["service"], lambda word: of_service(word, self.service)))
        if self.host.strip():
            wanted = _Hosts(self.host)
            tests.append(pc.or_(*(_matching(table[name], wanted.has) for name in ends)))
        if self.among:
            tests += [_matching(table[name], self.among.__contains__) for name in ends]
        if self.mac:
            tests.append(_matching(table["src_mac"], self.mac.__eq__))
        for test in tests:
            mask = test if mask is None else pc.and_(mask, test)
        return table if mask is None else table.filter(mask)


class _Hosts:
    """What a person typed for a host: one address, the beginning of one, or a network in CIDR notation."""

    def __init__(self, text: str) -> None:
        self.text = text.strip().lower()
        self.network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
        if "/" in self.text:
            try:
                self.network = ipaddress.ip_network(self.text, strict=False)
            except ValueError:
                self.network = None

    def has(self, name: str) -> bool:
        if self.network is not None:
            try:
                return ipaddress.ip_address(name) in self.network
            except ValueError:
                return False
        return name == self.text or (self.text.endswith((".", ":")) and name.startswith(self.text))


def of_service(service: str, wanted: str) -> bool:
    """Does TCP/443 match what a person typed: TCP/443, tcp, 443, several with commas or blanks?"""
    protocol, _, port = service.lower().partition("/")
    return any(word in (service.lower(), protocol, port) for word in wanted.lower().replace(",", " ").split())


def _matching(words: pa.ChunkedArray, test: Callable[[str], bool]) -> pa.ChunkedArray:
    """Which cells of a dictionary column pass `test`, which is asked once for each distinct word."""
    masks = []
    for chunk in words.chunks:
        right = np.array([*map(test, chunk.dictionary.to_pylist()), False], bool)
        masks.append(pa.array(right[chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)]))
    return pa.chunked_array(masks, pa.bool_())
