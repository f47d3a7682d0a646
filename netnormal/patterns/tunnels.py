"""Tunnels: data carried where only echoes belong."""

from __future__ import annotations

import numpy as np

from netnormal.patterns.floods import ECHO
from netnormal.patterns.view import Evidence, Finding, View, by_group
from netnormal.settings import Patterns

REPLIES = (0, 129)  # echo replies of ICMP and ICMPv6
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
