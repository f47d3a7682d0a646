"""Wireshark display filters: what selects the packets of an incident, in Wireshark and in a packet table alike.

A filter says who, with what, and when. Wireshark looks into what an ICMP error quotes, and takes `udp` or `tcp.port`
found there for the packet's own; so filters for TCP and UDP leave ICMP out. docs/incidents.md tells what else a filter
cannot say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

SECOND = 1_000_000_000
MOST_ADDRESSES = 10  # more destinations than these are left out: the rest of the filter selects them well enough
MOST_PORTS = 10
_TCP, _UDP = "(tcp && !icmp && !icmpv6)", "(udp && !icmp && !icmpv6)"

#: What only these patterns' packets have; others have those of their services.
SHAPES = {
    "null_scan": _TCP,
    "fin_scan": _TCP,
    "xmas_scan": _TCP,
    "ack_scan": _TCP,
    "port_scan": _TCP,
    "udp_scan": _UDP,
    "dns_tunnel": "dns",
    "dga": "dns.flags.rcode == 3",
}
#: And these besides those of their services.
BESIDES = {"syn_flood": "(tcp.flags.syn == 1 || tcp.flags.reset == 1)"}
_ERRORS = {"icmp": "icmp.type in {3..5, 11..12}", "icmpv6": "icmpv6.type in {1..4}"}  # they quote other packets
_REPLIES = {"icmp": {8: 0, 13: 14, 15: 16, 17: 18}, "icmpv6": {128: 129}}
_PORTED = ("tcp", "udp", "sctp")
_DOMAIN = re.compile(r"[a-z0-9_.-]+")  # others hold what a filter would have to quote
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def of(
    pattern: str,
    source: str,
    destinations: Sequence[str],
    services: Sequence[str],
    evidence: Mapping[str, object],
    start: int,
    end: int,
) -> str:
    """The filter for packets between source and destinations with these services, from start to end [ns].

    `many` as a source selects any. Times are epoch seconds with all nine digits, so they need no time zone.
    """
    liar, taken = str(evidence.get("hardware_address", "")), str(evidence.get("taken", "")).split()
    if _MAC.fullmatch(liar) and taken and all(_is_ipv4(name) for name in taken):
        lies = " || ".join(f"arp.src.proto_ipv4 == {name}" for name in taken)  # they carry the addresses of others
        parts = [f"eth.src == {liar}", "arp.opcode == 2", f"({lies})"]
    else:
        chosen = [name for name in destinations if _selectable(name) and name != source]
        few = len(chosen) == len(destinations) and len(chosen) <= MOST_ADDRESSES
        ends = [[name] for name in (liar if _MAC.fullmatch(liar) else source,) if _selectable(name)]
        ends += [chosen] if few and chosen else []
        shape = SHAPES.get(pattern) or _services([name for name in services if name != "ARP"])
        parts = [*(_address(names) for names in ends), shape]
        domain = str(evidence.get("domain", ""))
        if pattern in SHAPES and _DOMAIN.fullmatch(domain):
            parts.append(f'lower(dns.qry.name) contains "{domain}"')
        if pattern in BESIDES:
            parts.append(BESIDES[pattern])
        if "ARP" in services and pattern not in SHAPES:
            asked = _arp(source, chosen if few else [])
            parts = [asked if len(services) == 1 else f"(({_joined(parts)}) || {asked})"]
    parts.append(f"frame.time_epoch >= {_seconds(start)} && frame.time_epoch <= {_seconds(end)}")
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    return " && ".join(part for part in parts if part)


def _is_ipv4(name: str) -> bool:
    return bool(re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", name))


def _selectable(name: str) -> bool:
    return bool(_MAC.fullmatch(name)) or (bool(re.fullmatch(r"[0-9a-f:.]+", name)) and any(c in name for c in ".:"))


def _address(names: Sequence[str]) -> str:
    """Packets from or to one of these."""
    tests = []
    for name in names:
        field = "eth.addr" if _MAC.fullmatch(name) else "ipv6.addr" if ":" in name else "ip.addr"
        tests.append(f"{field} == {name}")
    return tests[0] if len(tests) == 1 else f"({' || '.join(tests)})"


def _arp(source: str, destinations: Sequence[str]) -> str:
    """What the source asked and was answered; whoever it is, if it is no IPv4 address."""
    ways = []
    for opcode, mine, theirs in ((1, "src", "dst"), (2, "dst", "src")):
        test = [f"arp.opcode == {opcode}"]
        if _is_ipv4(source):
            test.append(f"arp.{mine}.proto_ipv4 == {source}")
        elif _MAC.fullmatch(source):
            test.append(f"eth.{mine} == {source}")
        others = [f"arp.{theirs}.proto_ipv4 == {name}" for name in destinations if _is_ipv4(name)]
        if others:
            test.append(others[0] if len(others) == 1 else f"({' || '.join(others)})")
        ways.append(" && ".join(test))
    return f"(({ways[0]}) || ({ways[1]}))"


def _services(services: Sequence[str]) -> str:
    """The services' packets; protocols alone where the ports are many; nothing where a name is no filter."""
    numbers: dict[str, list[str]] = {}
    for service in services:
        protocol, _, number = service.partition("/")
        name = protocol.lower()
        if name not in (*_PORTED, *_ERRORS, "igmp") or not (number.isdecimal() or not number):
            return ""
        numbers.setdefault(name, []).append(number)
    tests: list[str] = []
    for name, known in numbers.items():
        if len(known) > MOST_PORTS or not all(known):
            tests.append(name)
        elif name in _PORTED:
            tests += [f"{name}.port == {number}" for number in known]
        elif name in _ERRORS:
            kinds = {kind for number in known for kind in (int(number), _REPLIES[name].get(int(number), int(number)))}
            tests += [f"{name}.type == {kind}" for kind in sorted(kinds)]
    either = f"({' || '.join(tests)})" if len(tests) > 1 else "".join(tests)
    if not either or numbers.keys() <= {"igmp"}:
        return either
    quoted = [name for name in _ERRORS if name not in numbers]  # no error has a part in it
    for name, error in _ERRORS.items():
        if name in numbers and not any(re.fullmatch(r"|[1345]|11|12|2", number) for number in numbers[name]):
            quoted.append(f"({error})")
    return " && ".join([either, *(f"!{test}" for test in quoted)])


def _seconds(time_ns: int) -> str:
    return f"{time_ns // SECOND}.{time_ns % SECOND:09d}"


# ---------------------------------------------------------------- the same filter over a packet table


def select(text: str, packets: pd.DataFrame) -> np.ndarray:
    """Which packets (a table of tables.PACKETS, n rows) a filter of `of` selects, as Wireshark would; bool[n].

    Raises ValueError if the text is no such filter: it knows the fields and the words that `of` writes, no others.
    """
    tokens = re.findall(r'&&|\|\||[!(){},]|"[^"]*"|\.\.|[a-z0-9_:]+(?:\.[a-z0-9_:]+)*|[<>=]+|\S', text)
    reader = _Reader(tokens, packets)
    found = reader.either()
    if reader.left:
        raise ValueError(f"cannot understand {reader.left[0]!r}")
    return found


class _Reader:
    """Recursive descent: either = both (|| both)*; both = one (&& one)*; one = !one, (either), test."""

    def __init__(self, tokens: list[str], packets: pd.DataFrame) -> None:
        self.left, self._packets, self._depth = tokens[::-1], packets, 0
        self._masks: dict[str, np.ndarray] = {}

    def _next(self, *wanted: str) -> str:
        if not self.left or (wanted and self.left[-1] not in wanted):
            raise ValueError(f"expected {' or '.join(wanted) or 'more'} at {self.left[-1] if self.left else 'the end'}")
        return self.left.pop()

    def _is(self, word: str) -> bool:
        return bool(self.left) and self.left[-1] == word

    def either(self) -> np.ndarray:
        found = self._both()
        while self._is("||"):
            self.left.pop()
            found = found | self._both()
        return found

    def _both(self) -> np.ndarray:
        found = self._one()
        while self._is("&&"):
            self.left.pop()
            found = found & self._one()
        return found

    def _one(self) -> np.ndarray:
        self._depth += 1
        if self._depth > 50:
            raise ValueError("too many brackets")
        try:
            if self._is("!"):
                self.left.pop()
                return ~self._one()
            if self._is("("):
                self.left.pop()
                found = self.either()
                self._next(")")
                return found
            return self._test()
        finally:
            self._depth -= 1

    def _test(self) -> np.ndarray:
        name = self._next()
        if name == "lower":
            self._next("(")
            field = self._next()
            self._next(")")
            self._next("contains")
            if field != "dns.qry.name":
                raise ValueError(f"cannot understand {field!r}")
            word = self._next().strip('"')
            return self._texts("dns_query", lambda text: word in text)
        if name in ("tcp", "udp", "sctp", "icmp", "icmpv6", "arp", "igmp", "dns"):
            return self._protocol(name)
        operator = self._next("==", ">=", "<=", "in")
        if operator == "in":
            return self._within(name)
        return self._compared(name, operator, self._next())

    def _within(self, name: str) -> np.ndarray:
        """A set of numbers and ranges, {3..5, 11}."""
        found = np.zeros(len(self._packets), bool)
        self._next("{")
        while not self._is("}"):
            low, _, high = self._next().partition("..")
            if not high and self._is(".."):
                self.left.pop()
                high = self._next()
            for number in range(int(low), int(high or low) + 1):
                found |= self._compared(name, "==", str(number))
            if self._is(","):
                self.left.pop()
        self._next("}")
        return found

    def _protocol(self, name: str) -> np.ndarray:
        if name == "dns":
            return self._packets["dns_query"].notna().to_numpy()
        found = self._texts("protocol", lambda text: text.lower() == name)
        return found & (self._packets["src_port"].to_numpy() >= 0) if name in _PORTED else found

    def _compared(self, name: str, operator: str, value: str) -> np.ndarray:
        packets = self._packets
        if name == "frame.time_epoch" and operator != "==":
            seconds, _, rest = value.partition(".")
            moment = int(seconds) * SECOND + int((rest + "000000000")[:9])
            time = packets["time"].to_numpy()
            return time >= moment if operator == ">=" else time <= moment
        if operator != "==":
            raise ValueError(f"cannot understand {operator!r} for {name!r}")
        protocol, _, field = name.partition(".")
        if name in ("eth.src", "eth.dst", "eth.addr"):
            return self._ends("mac", field, value)
        if name in ("ip.addr", "ipv6.addr"):
            return self._texts("network", lambda text: text == ("IPv4" if protocol == "ip" else "IPv6")) & self._ends(
                "ip", field, value
            )
        if name in ("arp.src.proto_ipv4", "arp.dst.proto_ipv4"):
            return self._protocol("arp") & self._ends("ip", field[:3], value)
        if name == "arp.opcode":
            return self._protocol("arp") & (packets["arp_operation"].to_numpy() == int(value))
        if name == "dns.flags.rcode":
            return packets["dns_rcode"].to_numpy() == int(value)
        if name in ("icmp.type", "icmpv6.type"):
            return self._protocol(protocol) & (packets["icmp_type"].to_numpy() == int(value))
        if field == "port" and protocol in _PORTED:
            either = (packets[f"{end}_port"].to_numpy() == int(value) for end in ("src", "dst"))
            return self._protocol(protocol) & np.logical_or(*either)
        if name in ("tcp.flags.syn", "tcp.flags.reset") and value == "1":
            letter = "S" if name.endswith("syn") else "R"
            return self._texts("tcp_flags", lambda text: letter in text)
        raise ValueError(f"cannot understand {name!r}")

    def _ends(self, kind: str, which: str, value: str) -> np.ndarray:
        ends = ("src", "dst") if which == "addr" else (which,)
        found = np.zeros(len(self._packets), bool)
        for end in ends:
            found |= self._texts(f"{end}_{kind}", lambda text: text == value)
        return found

    def _texts(self, column: str, test: Callable[[str], bool]) -> np.ndarray:
        words = self._packets[column].array
        fits = np.array([*(test(text) for text in words.categories.tolist()), False], bool)
        return fits[words.codes]


def span(text: str) -> tuple[int, int]:
    """First and last moment [ns] of a filter of `of`. Raises ValueError if it names none."""
    found = dict(_times(text))
    if found.keys() != {">=", "<="}:
        raise ValueError("it names no time")
    return found[">="], found["<="]


def _times(text: str) -> Iterator[tuple[str, int]]:
    for operator, seconds, rest in re.findall(r"frame\.time_epoch ([<>]=) (\d{1,12})\.(\d{9})(?!\d)", text):
        yield operator, int(seconds) * SECOND + int(rest)
