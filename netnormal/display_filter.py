"""Wireshark display filters: what selects the packets of an incident."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SECOND = 1_000_000_000
MOST_ADDRESSES = 10  # more destinations than these are left out: the rest of the filter selects them well enough
MOST_PORTS = 10

#: What only these patterns' packets have.
SHAPES = {
    "syn_flood": "(tcp.flags.syn == 1 || tcp.flags.reset == 1)",
    "null_scan": "tcp",
    "fin_scan": "tcp",
    "xmas_scan": "tcp",
    "ack_scan": "tcp",
    "port_scan": "tcp",
    "udp_scan": "(udp || icmp.type == 3 || icmpv6.type == 1)",
    "arp_spoofing": "arp",
    "dns_tunnel": "dns",
}
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
    parts = []
    liar = str(evidence.get("hardware_address", ""))
    if _selectable(liar):  # its lies carry the addresses of others
        parts.append(f"eth.src == {liar}")
    elif _selectable(source):
        parts.append(_address([source]))
    chosen = [name for name in destinations if _selectable(name) and name != source]
    if chosen and len(chosen) == len(destinations) and len(chosen) <= MOST_ADDRESSES:
        parts.append(_address(chosen))
    shape = SHAPES.get(pattern, "")
    if pattern == "syn_flood":
        shape = " && ".join(part for part in (_services(services), shape) if part)
    domain = str(evidence.get("domain", ""))
    if _DOMAIN.fullmatch(domain):
        shape += f' && dns.qry.name contains "{domain}"'
    parts.append(shape or _services(services))
    parts.append(f"frame.time_epoch >= {_seconds(start)} && frame.time_epoch <= {_seconds(end)}")
    return " && ".join(part for part in parts if part)


def _selectable(name: str) -> bool:
    return bool(_MAC.fullmatch(name)) or (bool(re.fullmatch(r"[0-9a-f:.]+", name)) and any(c in name for c in ".:"))


def _address(names: Sequence[str]) -> str:
    """Packets from or to one of these; an IPv4 address also where ARP names it."""
    tests = []
    for name in names:
        if _MAC.fullmatch(name):
            tests.append(f"eth.addr == {name}")
        elif ":" in name:
            tests.append(f"ipv6.addr == {name}")
        else:
            tests += [f"ip.addr == {name}", f"arp.src.proto_ipv4 == {name}", f"arp.dst.proto_ipv4 == {name}"]
    return f"({' || '.join(tests)})"


def _services(services: Sequence[str]) -> str:
    """The services' packets; protocols alone where the ports are many; nothing where a name is no filter."""
    tests: dict[str, list[str]] = {}
    for service in services:
        protocol, _, number = service.partition("/")
        name = protocol.lower()
        if name not in ("tcp", "udp", "sctp", "icmp", "icmpv6", "arp", "igmp"):
            return ""
        tests.setdefault(name, []).append(number)
    parts = []
    for name, numbers in tests.items():
        if name in ("tcp", "udp", "sctp") and len(numbers) <= MOST_PORTS and all(numbers):
            parts += [f"{name}.port == {number}" for number in numbers]
        else:
            parts.append(name)
    return f"({' || '.join(parts)})" if parts else ""


def _seconds(time_ns: int) -> str:
    return f"{time_ns // SECOND}.{time_ns % SECOND:09d}"
