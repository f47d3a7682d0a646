"""Tunnels: data carried where only questions and echoes belong."""

from __future__ import annotations

import numpy as np

from netnormal.patterns.floods import ECHO
from netnormal.patterns.view import Evidence, Finding, View, by_group, groups
from netnormal.settings import Patterns

REPLIES = (0, 129)  # echo replies of ICMP and ICMPv6
# What a resolver or a host looks up by the number of an address is long and distinct by design (RFC 1035, RFC 3596).
NUMBERS = (".in-addr.arpa", ".ip6.arpa")
# Names below these two-label endings belong to the label before them; see the public suffix list.
SECOND_LEVEL = {"ac", "co", "com", "edu", "gov", "net", "ne", "or", "org"}
MORE_REPLIES = 1.5  # replies to a request; a ping to one host has one, and a few duplicates at worst
PING_SIZES = 2  # sizes of payload that a ping between two hosts has: one, or two where someone tried another


def icmp_tunnels(view: View, settings: Patterns) -> list[Finding]:
    """Echo packets between two hosts that carry much, and are no ping: more than two sizes of payload, or replies
    that outnumber the requests by more than a half. A reply repeats its request (RFC 792), so a ping has neither."""
    packets = view.packets
    echo = view.is_service(ECHO)
    carried = view.ints("payload_out") + view.ints("payload_in")
    wanted = np.flatnonzero(echo & (carried >= settings.icmp_tunnel_bytes))
    if not len(wanted):
        return []
    payload = packets["payload"].to_numpy(np.int64)
    reply = np.isin(packets["icmp_type"].to_numpy(np.int64), REPLIES)
    whole = packets["fragment"].to_numpy(np.int64) == 0
    findings = []
    for flow, members in zip(wanted, by_group(view.flow_of_packet, wanted, len(view.flows)), strict=True):
        rows = members[whole[members]]
        sizes = len(np.unique(payload[rows]))
        requests, replies = int((~reply[rows]).sum()), int(reply[rows].sum())
        if requests == 0 or replies == 0 or (sizes <= PING_SIZES and replies <= MORE_REPLIES * requests):
            continue
        evidence: Evidence = {"bytes": int(carried[flow]), "requests": requests, "replies": replies, "sizes": sizes}
        findings.append(view.finding("icmp_tunnel", np.array([flow]), view.name(int(view.source[flow])), evidence))
    return findings


def dns_tunnels(view: View, settings: Patterns) -> list[Finding]:
    """Distinct names below one domain, asked by one host, with more letters in all than an honest host's lookups tell
    anybody: what is asked is what can be smuggled. Paxson et al. 2013 bound it at 4 kB a day for a domain."""
    column = view.packets["dns_query"].array
    rows = np.flatnonzero(column.codes >= 0)
    if not len(rows):
        return []
    source = view.source[view.flow_of_packet[rows]]
    name = column.codes[rows].astype(np.int64)
    used = np.unique(name)
    domains: dict[str, int] = {}
    domain, letters = np.full(int(used[-1]) + 1, -1, np.int64), np.zeros(int(used[-1]) + 1, np.int64)
    for code in used:
        word = column.categories[code]
        if word.endswith(NUMBERS):
            continue
        registered, below = split_name(word)
        domain[code] = domains.setdefault(registered, len(domains))
        letters[code] = len(below)
    keep = (domain[name] >= 0) & (letters[name] > 0)
    rows, source, name = rows[keep], source[keep], name[keep]
    group, first = groups(source, domain[name])
    _, at = groups(group, name)
    total = np.bincount(group[at], letters[name[at]], len(first))
    words = list(domains)
    findings = []
    wanted = np.flatnonzero(total >= settings.dns_tunnel_bytes)
    for g, members in zip(wanted, by_group(group, wanted, len(first)), strict=True):
        names = np.unique(name[members])
        asked = words[int(domain[names[0]])]
        evidence: Evidence = {
            "domain": asked,
            "names": len(names),
            "letters": int(total[g]),
            "mean_letters": round(float(letters[names].mean()), 1),
        }
        flows = np.unique(view.flow_of_packet[rows[members]])
        findings.append(view.finding("dns_tunnel", flows, view.name(int(source[members[0]])), evidence))
    return findings


def split_name(name: str) -> tuple[str, str]:
    """A name as the domain somebody registered and what stands below it: `a.b.example.org` → `example.org`, `a.b`."""
    labels = name.rstrip(".").split(".")
    own = 3 if len(labels) > 2 and labels[-2] in SECOND_LEVEL and len(labels[-1]) == 2 else 2
    return ".".join(labels[-own:]), ".".join(labels[:-own])
