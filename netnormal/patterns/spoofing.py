"""ARP spoofing: one hardware address answers for addresses of others, unasked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netnormal.flows import ARP_REPLIES
from netnormal.kernels.patterns import unasked_replies
from netnormal.patterns.view import MOST_NAMED, SECOND, Evidence, Finding, View
from netnormal.settings import Patterns

REQUEST = 1
# Hardware addresses that wander between routers by design: VRRP and CARP (RFC 5798 7.3), HSRP versions 1 and 2, GLBP.
SHARED_HARDWARE = ("00:00:5e:00:01:", "00:00:5e:00:02:", "00:00:0c:07:ac:", "00:00:0c:9f:f", "00:07:b4:00:")
UNSPECIFIED = "0.0.0.0"


def arp_spoofing(view: View, settings: Patterns) -> list[Finding]:
    """A hardware address that repeats ARP replies nobody asked for, claiming an address that another hardware
    address also holds, or claiming two or more addresses. RFC 826; the attack: MITRE ATT&CK T1557.002.

    No spoofing: answers to requests (proxy ARP, RFC 1027); an address that passes from one host to the next once
    (DHCP); announcements of one's own address (RFC 5227) and address probes from 0.0.0.0; virtual router addresses.
    """
    packets = view.packets
    operation = packets["arp_operation"].to_numpy(np.int64)
    rows = np.flatnonzero(operation >= 0)
    if np.isin(operation[rows], ARP_REPLIES).sum() < settings.arp_unasked_replies:
        return []
    claimed = view.names.get_indexer(packets["src_ip"].array.categories)[packets["src_ip"].array.codes[rows]]
    told = view.names.get_indexer(packets["dst_ip"].array.categories)[packets["dst_ip"].array.codes[rows]]
    hardware = packets["src_mac"].array
    keep = (packets["src_ip"].array.codes[rows] >= 0) & (packets["dst_ip"].array.codes[rows] >= 0)
    shared = [i for i, word in enumerate(hardware.categories) if word.startswith(SHARED_HARDWARE)]
    owner = hardware.codes[rows].astype(np.int64)
    keep &= (claimed >= 0) & (told >= 0) & (owner >= 0) & ~np.isin(owner, shared)
    if UNSPECIFIED in view.names:
        keep &= claimed != view.names.get_loc(UNSPECIFIED)
    rows, claimed, told, owner = rows[keep], claimed[keep].astype(np.int64), told[keep].astype(np.int64), owner[keep]
    time = packets["time"].to_numpy(np.int64)[rows]
    is_reply = np.isin(operation[rows], ARP_REPLIES)
    unasked = (claimed != told) & unasked_replies(
        claimed, told, operation[rows] == REQUEST, is_reply, time, settings.arp_reply_wait_s * SECOND, len(view.names)
    )
    findings = []
    for suspect in np.unique(owner[unasked]):
        by_suspect = owner == suspect
        addresses, repeats = np.unique(claimed[by_suspect & unasked], return_counts=True)
        addresses = addresses[repeats >= settings.arp_unasked_replies]
        contested = [a for a in addresses if interleaved(owner[claimed == a], suspect)]
        taken = addresses if len(addresses) >= 2 else np.array(contested, np.int64)
        if not len(taken):
            continue
        own = own_address(view, suspect, taken)
        lies = by_suspect & np.isin(claimed, taken)
        evidence: Evidence = {
            "claims": int((lies & unasked).sum()),
            "hardware_address": str(hardware.categories[suspect]),
            "taken": " ".join(view.name(int(a)) for a in taken[:MOST_NAMED]),
            "contested": len(contested),
        }
        source = view.name(own) if own >= 0 else str(hardware.categories[suspect])
        flows = np.unique(view.flow_of_packet[rows[lies]])
        victims = [view.name(int(a)) for a in np.union1d(taken, told[lies]) if a != own]
        findings.append(lied_to(view.finding("arp_spoofing", flows, source, evidence), victims, time[lies]))
    return findings


def lied_to(finding: Finding, victims: list[str], time: np.ndarray) -> Finding:
    """The finding with who was told or impersonated, at the times [ns] of the lies: its flows hold honest ARP or
    neighbour discovery of the victims too."""
    return replace(
        finding,
        destinations=tuple(victims[:MOST_NAMED]),
        hosts=frozenset(victims),
        start=int(time.min()),
        end=int(time.max()),
    )


def interleaved(owners: np.ndarray, suspect: int) -> bool:
    """Do others claim the address too, and not only before the suspect's first claim, as after a change of hands?"""
    at = np.flatnonzero(owners == suspect)
    return bool((owners[at[0] :] != suspect).any())


def own_address(view: View, suspect: int, taken: np.ndarray) -> int:
    """The suspect's own address: what it most often asks as; else the address that most often comes from its hardware
    address and from no other (what it relays also comes from others); -1 if it shows none."""
    packets = view.packets
    words = view.names.get_indexer(packets["src_ip"].array.categories)
    source = np.where(packets["src_ip"].array.codes >= 0, words[packets["src_ip"].array.codes], -1)
    mine = packets["src_mac"].array.codes == suspect
    hidden = [view.names.get_loc(UNSPECIFIED)] if UNSPECIFIED in view.names else []
    known = (source >= 0) & ~np.isin(source, [*taken, *hidden])
    asks = source[mine & known & (packets["arp_operation"].to_numpy(np.int64) == REQUEST)]
    if len(asks):
        return int(np.bincount(asks).argmax())
    alone = source[mine & known & ~np.isin(source, source[~mine])]
    return int(np.bincount(alone).argmax()) if len(alone) else -1
