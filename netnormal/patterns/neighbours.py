"""Who lies to a link: false neighbour advertisements, and routers and DHCP servers that nobody installed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import AddressValueError, IPv6Address

import numpy as np

from netnormal.kernels.patterns import unasked_replies
from netnormal.patterns.spoofing import SHARED_HARDWARE, interleaved, lied_to, own_address
from netnormal.patterns.view import MANY, MOST_KEPT, MOST_NAMED, SECOND, Evidence, Finding, View
from netnormal.settings import Patterns

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT = 133, 134, 135, 136
ON_LINK_TTL = 255  # what was forwarded has less, and is no neighbour's (RFC 4861 7.1)
UNSPECIFIED, ALL_NODES = "::", "ff02::1"
MOST_CONTESTED = 2  # of one address two owners may quarrel; who contests more than that lies
SERVER_PORTS = {67: 68, 547: 546}  # DHCP and DHCPv6: server's port → client's (RFC 2131, RFC 8415)


def nd_spoofing(view: View, settings: Patterns) -> list[Finding]:
    """A hardware address that claims IPv6 addresses that others claim too: one of them unasked, again and again, or
    several. RFC 4861, RFC 3756 4.1.1; T1557.

    The claimed address is taken for the sender's own: what an advertisement with another sender claims is not seen. An
    address that passes from one host to the next, and virtual routers, are no spoofing.
    """
    packets = view.packets
    kind = packets["icmp_type"].to_numpy(np.int64)
    is_icmpv6 = packets["protocol"].array == "ICMPv6"
    rows = np.flatnonzero(np.asarray(is_icmpv6) & (kind >= ROUTER_SOLICITATION) & (kind <= ADVERTISEMENT))
    rows = rows[packets["ttl"].to_numpy(np.int64)[rows] == ON_LINK_TTL]
    if (kind[rows] == ADVERTISEMENT).sum() < settings.arp_unasked_replies:
        return []
    hardware = packets["src_mac"].array
    shared = [i for i, word in enumerate(hardware.categories) if word.startswith(SHARED_HARDWARE)]
    owner = hardware.codes[rows].astype(np.int64)
    keep = (owner >= 0) & ~np.isin(owner, shared)
    rows, owner = rows[keep], owner[keep]
    claimed, told = _numbered(view, rows, "src_ip"), _numbered(view, rows, "dst_ip")
    time, is_claim = packets["time"].to_numpy(np.int64)[rows], kind[rows] == ADVERTISEMENT
    (who, whom), count = _by_group(view, claimed, told)
    unasked = unasked_replies(
        who, whom, kind[rows] == SOLICITATION, is_claim, time, settings.arp_reply_wait_s * SECOND, count
    )
    hidden = view.names.get_loc(UNSPECIFIED) if UNSPECIFIED in view.names else -1
    findings = []
    for suspect in np.unique(owner[is_claim]):
        mine = (owner == suspect) & is_claim & (claimed != hidden)
        addresses, times = np.unique(claimed[mine], return_counts=True)
        addresses = addresses[times >= settings.arp_unasked_replies]
        contested = [int(a) for a in addresses if interleaved(owner[claimed == a], suspect)]
        repeated = [a for a in contested if (mine & unasked & (claimed == a)).sum() >= settings.arp_unasked_replies]
        taken = contested if len(contested) > MOST_CONTESTED else repeated
        if not taken:
            continue
        lies = mine & np.isin(claimed, taken)
        own = own_address(view, suspect, np.array(taken))
        evidence: Evidence = {
            "claims": int(lies.sum()),
            "unasked": int((lies & unasked).sum()),
            "hardware_address": str(hardware.categories[suspect]),
            "taken": " ".join(view.name(a) for a in taken[:MOST_NAMED]),
            "contested": len(taken),
        }
        source = view.name(own) if own >= 0 else str(hardware.categories[suspect])
        flows = np.unique(view.flow_of_packet[rows[lies]])
        victims = [view.name(int(a)) for a in np.union1d(taken, told[lies]) if a != own]
        victims = [name for name in victims if name != ALL_NODES]
        findings.append(lied_to(view.finding("nd_spoofing", flows, source, evidence), victims, time[lies]))
    return findings


def rogue_routers(view: View, settings: Patterns) -> list[Finding]:
    """A router that advertises itself (RFC 4861) and never did in an independent baseline, which heard another, or was
    long enough to hear any. RFC 6104; T1557. Of very many at once, as some tools invent, one finding by `many`."""
    flows = np.flatnonzero(view.is_service(("ICMPv6/134",)))
    if view.known is None or not len(flows):
        return []
    known = view.known.servers("ICMPv6/134")
    if not known and view.known.span_s < settings.router_silence_s:
        return []
    new = [int(one) for one in np.unique(view.source[flows]) if view.name(int(one)) not in known]
    findings = []
    for sources, name in [([one], view.name(one)) for one in new] if len(new) <= MOST_NAMED else [(new, MANY)]:
        mine = flows[np.isin(view.source[flows], sources)]
        evidence: Evidence = {
            "advertisements": int(view.ints("packets_out")[mine].sum()),
            "routers": len(sources),
            "servers_before": len(known),
        }
        findings.append(view.finding("rogue_router", mine, name, evidence))
    return findings


def rogue_dhcp(view: View) -> list[Finding]:
    """A host that answers as a DHCP server does and never did in an independent baseline, which knew another, or did
    not know this host at all. RFC 2131, RFC 8415; T1557.003."""
    if view.known is None:
        return []
    packets = view.packets
    ports = [packets[name].to_numpy(np.int64) for name in ("src_port", "dst_port")]
    answers = np.zeros(len(packets), bool)
    for server, client in SERVER_PORTS.items():
        answers |= (ports[0] == server) & (ports[1] == client)
    rows = np.flatnonzero(answers & np.asarray(packets["protocol"].array == "UDP"))
    rows = rows[packets["src_ip"].array.codes[rows] >= 0]
    if not len(rows):
        return []
    known, findings = view.known.dhcp_servers(), []
    server = packets["src_ip"].array.codes[rows]
    for one in np.unique(server):
        name = str(packets["src_ip"].array.categories[one])
        if name in known or (not known and name in view.known.hosts):
            continue
        mine = rows[server == one]
        told = tuple(dict.fromkeys(packets["dst_ip"].iloc[mine].dropna().astype(str)))
        evidence: Evidence = {"offers": len(mine), "servers_before": len(known)}
        finding = view.finding("rogue_dhcp", np.unique(view.flow_of_packet[mine]), name, evidence)
        findings.append(replace(finding, destinations=told[:MOST_NAMED], hosts=frozenset(told[:MOST_KEPT])))
    return findings


# ---------------------------------------------------------------- helpers


def _numbered(view: View, rows: np.ndarray, side: str) -> np.ndarray:
    """The addresses in a column of these packets as in `view.names`; -1 without one."""
    column = view.packets[side].array
    words = np.append(view.names.get_indexer(column.categories), -1)
    return words[column.codes[rows]].astype(np.int64)


def _by_group(view: View, *columns: np.ndarray) -> tuple[list[np.ndarray], int]:
    """Addresses as numbers of the group that they are asked for at, which has their last 24 bits (RFC 4291 2.7.1), and
    how many numbers there are. Who has no address yet is told at the address of all nodes (RFC 4861 7.2.4)."""
    numbers: dict[str, int] = {}
    of = np.full(len(view.names) + 1, -1, np.int64)
    for one in np.unique(np.concatenate(columns)):
        name = view.name(int(one)) if one >= 0 else ""
        of[one] = numbers.setdefault(_group(name), len(numbers))
    return [of[column] for column in columns], len(numbers)


def _group(name: str) -> str:
    if name in (UNSPECIFIED, ALL_NODES):
        return UNSPECIFIED
    try:
        return str(int(IPv6Address(name)) & 0xFFFFFF)
    except AddressValueError:  # of a packet table that somebody made: a group of its own
        return name
