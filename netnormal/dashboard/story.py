"""What the pages say of incidents, of what is live, and of hosts; in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from netnormal import answers, quantities
from netnormal.dashboard.results import Incident
from netnormal.plain import plain
from netnormal.tables import nanoseconds

SILENT_S = 60  # a live status this old is that of a process that is gone, or hangs


def liveness(status: Mapping[str, Any], now: float) -> tuple[bool, str, str]:
    """Is all well with what follows a capture, its state in two words, and in a sentence; now: seconds of the epoch."""
    if not status:
        return False, "no status", "detect.py --follow has not said how it fares"
    reasons = [plain(reason) for reason in status.get("reasons") or []]
    try:
        age = now - nanoseconds(str(status["written"])) / 1e9
        latest = f"latest packet {clock(nanoseconds(str(status['packet_time'])))} UTC"
    except (KeyError, ValueError):
        age, latest = 0.0, "no packet yet"
    if status.get("state") != "following":
        return False, "not live", f"detect.py --follow has ended; {latest}"
    if age > SILENT_S:
        return False, "not live", f"nothing was heard of detect.py --follow for {quantities.span(age)}; {latest}"
    if reasons:
        return False, "live, with gaps", "; ".join([*reasons, latest])
    return True, "live", f"{latest}, {plain(status.get('lag_s'))} s behind"


def facts(one: Incident) -> list[tuple[str, str]]:
    """What, who, to whom, when, how much, how sure: names and values, all plain text."""
    rows = [
        ("Who", answers.name_of(one.source)),
        ("To whom", answers.listed(one.destinations, 6)),
        ("When", f"{moment(one.start)} to {clock(one.end)} UTC ({quantities.span(one.lasts_s)})"),
        ("With what", ", ".join(one.services[:6]) + (" …" if len(one.services) > 6 else "")),
        ("How much", f"{one.packets:,} packets, {quantities.size(one.bytes)}"),
        ("How sure", answers.sure(one.pattern, one.score)),
        ("Kind", one.kind + (f" (ATT&CK {one.technique})" if one.technique else "")),
    ]
    return [(name, value) for name, value in rows if value]


def moment(time_ns: int) -> str:
    """2026-11-21 04:15:28"""
    return words_time(time_ns)[:19]


def clock(time_ns: int) -> str:
    """04:15:28"""
    return words_time(time_ns)[11:19]


def words_time(time_ns: int) -> str:
    return str(np.datetime64(int(time_ns), "ns")).replace("T", " ")


def matching(incidents: Iterable[Incident], severities: Sequence[str], text: str) -> list[Incident]:
    """Those of the severities (none: all) in which every word of `text` occurs; source:10.0.0.7 is who did it."""
    wanted = text.lower().split()
    chosen = []
    for one in incidents:
        names = (one.incident_id, one.title, one.kind, one.pattern, one.source, one.technique)
        held = " ".join((*names, *one.destinations, *one.services)).lower()
        did = f"source:{one.source.lower()}"
        fits = all(word == did if word.startswith("source:") else word in held for word in wanted)
        if fits and (not severities or one.severity in severities):
            chosen.append(one)
    return chosen


def contested(bindings: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Addresses that more than one hardware address sent from: ip → MACs."""
    macs: dict[str, list[str]] = {}
    for mac, ip in bindings:
        macs.setdefault(ip, []).append(mac)
    return {ip: names for ip, names in macs.items() if len(names) > 1 and ip not in ("0.0.0.0", "::")}


LINK = ("ARP", "ICMPv6/135")  # answered by who is on this link
MANY_ADDRESSES = 8  # that one hardware address sends for; more are a router's


def role(name: str, answered: str, asked: str, macs_addresses: int, on_link: bool = False) -> str:
    """What a host seems to be: by what it answers, what it asks for, how many addresses its hardware sends for, and
    whether it was asked on this link."""
    if is_group(name):
        return "group address"
    if macs_addresses > MANY_ADDRESSES:
        return "router" if on_link else "behind a router"
    serves = [word for word in answered.split() if word.startswith(("TCP/", "UDP/", "SCTP/"))]
    uses = [word for word in asked.split() if word.startswith(("TCP/", "UDP/", "SCTP/"))]
    if serves and uses:
        return "server and client"
    return "server" if serves else "client" if uses else "seen only"


def is_group(name: str) -> bool:
    first = name.split(".", maxsplit=1)[0]
    multicast = first.isdigit() and 224 <= int(first) <= 239
    return multicast or name.lower().startswith("ff") or name.endswith(".255") or name == "255.255.255.255"
