"""What the incidents say together: who did it, to whom, how sure that is; in plain words and small tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netnormal import quantities
from netnormal.dashboard.results import Incident
from netnormal.patterns import MANY
from netnormal.plain import plain
from netnormal.tables import SEVERITIES, UNUSUAL, nanoseconds


def headline(incidents: Sequence[Incident]) -> str:
    """How many, of which severity."""
    if not incidents:
        return "No incidents"
    counts = Counter(one.severity for one in incidents)
    parts = [f"{counts[name]:,} {name}" for name in SEVERITIES if counts[name]]
    return f"{len(incidents):,} incident{'s' if len(incidents) > 1 else ''}: {', '.join(parts)}"


@dataclass(frozen=True)
class Culprit:
    """All that one source did."""

    source: str
    incidents: int
    worst: str
    kinds: tuple[str, ...]
    targets: tuple[str, ...]
    start: int
    end: int


def culprits(incidents: Iterable[Incident]) -> list[Culprit]:
    """Who stands behind the incidents, worst first. Kinds and targets: most frequent first."""
    by_source: dict[str, list[Incident]] = {}
    for one in incidents:
        by_source.setdefault(one.source, []).append(one)
    made = []
    for source, own in by_source.items():
        kinds, targets = Counter(one.kind for one in own), Counter(name for one in own for name in one.destinations)
        worst = min((one.severity for one in own), key=SEVERITIES.index)
        made.append(
            Culprit(
                source,
                len(own),
                worst,
                tuple(name for name, _ in kinds.most_common()),
                tuple(name for name, _ in targets.most_common()),
                min(one.start for one in own),
                max(one.end for one in own),
            )
        )
    return sorted(made, key=lambda one: (SEVERITIES.index(one.worst), -one.incidents, one.source))


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


def who(incidents: Sequence[Incident]) -> str:
    """One sentence: who is behind it, and who was met most."""
    found = culprits(incidents)
    if not found:
        return "Nothing was unusual enough to be an incident."
    names = [f"{name_of(one.source)} ({one.incidents:,})" for one in found[:3]]
    more = f" and {len(found) - 3:,} others" if len(found) > 3 else ""
    behind = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 and not more else ", ".join(names)
    targets = Counter(name for one in incidents for name in one.destinations)
    met = [name for name, _ in targets.most_common(3)]
    verb = "stands" if len(found) == 1 else "stand"
    return f"{behind}{more} {verb} behind {'it' if len(incidents) == 1 else 'all of it'}. Most affected: " + (
        ", ".join(met) + "." if met else "nobody in particular."
    )


def name_of(source: str) -> str:
    return "many forged addresses" if source == MANY else source


def sure(one: Incident) -> str:
    """How sure it is, and on what that rests."""
    rare = rarity(one.score)
    if one.pattern == UNUSUAL:
        return f"Only unusual, not known as an attack: the model expects its like in {rare}."
    return f"A named pattern, counted packet by packet. Score {one.score:.2f}: expected in {rare}."


def rarity(score: float) -> str:
    """A score as the share of ordinary conversations that would reach it, in words. See tables.SCORES: 1 - p^(1/4)."""
    tail = (1 - min(max(score, 0.0), 1.0)) ** 4
    if tail < 1e-9:
        return "less than 1 of a billion ordinary conversations"
    number = round(1 / tail)
    rounded = round(number, -len(str(number)) + 2) if number >= 100 else number
    return f"1 of {rounded:,} ordinary conversations"


def facts(one: Incident) -> list[tuple[str, str]]:
    """What, who, to whom, when, how much, how sure: names and values, all plain text."""
    many = f" and {len(one.destinations) - 6} more" if len(one.destinations) > 6 else ""
    rows = [
        ("Who", name_of(one.source)),
        ("To whom", ", ".join(one.destinations[:6]) + many),
        ("When", f"{moment(one.start)} to {clock(one.end)} UTC ({quantities.span(one.lasts_s)})"),
        ("With what", ", ".join(one.services[:6]) + (" …" if len(one.services) > 6 else "")),
        ("How much", f"{one.packets:,} packets, {quantities.size(one.bytes)}"),
        ("How sure", sure(one)),
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
    """Those of the severities (none: all) in which every word of `text` occurs."""
    wanted = text.lower().split()
    chosen = []
    for one in incidents:
        names = (one.incident_id, one.title, one.kind, one.pattern, one.source, one.technique)
        held = " ".join((*names, *one.destinations, *one.services)).lower()
        if (not severities or one.severity in severities) and all(word in held for word in wanted):
            chosen.append(one)
    return chosen


def contested(bindings: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Addresses that more than one hardware address sent from: ip → MACs."""
    macs: dict[str, list[str]] = {}
    for mac, ip in bindings:
        macs.setdefault(ip, []).append(mac)
    return {ip: names for ip, names in macs.items() if len(names) > 1 and ip not in ("0.0.0.0", "::")}


def role(name: str, answered: str, asked: str, macs_addresses: int) -> str:
    """What a host seems to be: by what it answers, what it asks for, and how many addresses its hardware sends for."""
    if is_group(name):
        return "group address"
    if macs_addresses > 8:
        return "behind a router"
    serves = [word for word in answered.split() if word.startswith(("TCP/", "UDP/", "SCTP/"))]
    uses = [word for word in asked.split() if word.startswith(("TCP/", "UDP/", "SCTP/"))]
    if serves and uses:
        return "server and client"
    return "server" if serves else "client" if uses else "seen only"


def is_group(name: str) -> bool:
    first = name.split(".", maxsplit=1)[0]
    multicast = first.isdigit() and 224 <= int(first) <= 239
    return multicast or name.lower().startswith("ff") or name.endswith(".255") or name == "255.255.255.255"
