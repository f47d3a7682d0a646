"""Floods and exhaustion: more than a service can serve, from one source or from spoofed many; grouped by victim."""

from __future__ import annotations

import numpy as np

from netnormal.flows import ACK, SYN
from netnormal.patterns.view import MANY, SECOND, Evidence, Finding, View, busiest_second, by_group, groups
from netnormal.settings import Patterns

ECHO = ("ICMP/8", "ICMPv6/128")


def syn_floods(view: View, settings: Patterns) -> list[Finding]:
    """SYNs to one port of one host that no ACK ever follows, more than half of all SYNs there. RFC 4987.

    A scanner leaves half-open connections too, but one or two a port.
    """
    flags = view.ints("flags_out")
    opened = view.protocol("TCP") & view.attempt & (view.ints("syn_out") > 0)
    half_open = opened & (flags & ACK == 0) & (view.ints("first_flags") & (SYN | ACK) == SYN)
    rows = np.flatnonzero(opened)
    if len(rows) < settings.syn_flood_count:
        return []
    group, first = groups(view.destination[rows], view.service[rows])
    count = np.bincount(group, half_open[rows], len(first))
    wanted = np.flatnonzero((count >= settings.syn_flood_count) & (count > np.bincount(group) / 2))
    findings = []
    for members in by_group(group, wanted, len(first)):
        flows = rows[members][half_open[rows[members]]]
        rate = busiest_second(view.ints("first_packet")[flows])
        if rate >= settings.syn_flood_per_s and len(flows) >= settings.flood_least_s * settings.syn_flood_per_s:
            evidence: Evidence = {"half_open": len(flows), "per_s": rate}
            findings.append(_flood(view, settings, "syn_flood", flows, view.source, evidence))
    return findings


def udp_floods(view: View, settings: Patterns) -> list[Finding]:
    """Datagrams to one host that it never answers, at a flood's rate, over many ports or from many sources.

    One lone flow at any rate is a stream (voice, video, a backup): that is for the model to judge. Ports that are
    served one way by design, such as syslog's, do not count.
    """
    silent = view.protocol("UDP") & view.unanswered & ~np.isin(view.ints("dst_port"), settings.udp_stream_ports)
    rows = np.flatnonzero(silent)
    if len(rows) < settings.udp_flood_flows:
        return []
    group, first = groups(view.destination[rows])
    packets = np.bincount(group, view.ints("packets_out")[rows], len(first))
    flows = np.bincount(group, minlength=len(first))
    enough = settings.flood_least_s * settings.udp_flood_per_s
    wanted = np.flatnonzero((packets >= enough) & (flows >= settings.udp_flood_flows))
    return _by_rate(view, settings, "udp_flood", rows, by_group(group, wanted, len(first)), settings.udp_flood_per_s)


def icmp_floods(view: View, settings: Patterns) -> list[Finding]:
    """Echo requests to one host at a flood's rate, or echo replies to one host that never asked (a reflected flood)."""
    echo = view.is_service(ECHO)
    enough = settings.flood_least_s * settings.icmp_flood_per_s
    if len(view.packets) < enough:
        return []
    findings = []
    sent, received = view.ints("packets_out"), view.ints("packets_in")
    unasked = echo & (sent == 0)
    for rows, victim, packets in (
        (np.flatnonzero(echo & (sent > 0)), view.destination, sent),
        (np.flatnonzero(unasked), view.source, received),
    ):
        group, first = groups(victim[rows])
        wanted = np.flatnonzero(np.bincount(group, packets[rows], len(first)) >= enough)
        members = by_group(group, wanted, len(first))
        findings += _by_rate(view, settings, "icmp_flood", rows, members, settings.icmp_flood_per_s)
    return findings


def slow_requests(view: View, settings: Patterns) -> list[Finding]:
    """Many connections of one source to one service that stay open, send a little, and get no answer: requests that
    are never finished, so that each holds a worker of the server (Slowloris; slowhttptest)."""
    open_s = (view.ints("last_packet") - view.ints("first_packet")) / SECOND
    talked = view.ints("payload_out") > 0
    waits = view.protocol("TCP") & view.answered & talked & (view.ints("payload_in") == 0)
    rows = np.flatnonzero(waits & (open_s >= settings.slow_http_least_s))
    if len(rows) < settings.slow_http_connections:
        return []
    group, first = groups(view.source[rows], view.destination[rows], view.service[rows])
    wanted = np.flatnonzero(np.bincount(group, minlength=len(first)) >= settings.slow_http_connections)
    findings = []
    for members in by_group(group, wanted, len(first)):
        flows = rows[members]
        evidence: Evidence = {
            "held": len(flows),
            "open_s": round(float(np.median(open_s[flows])), 1),
            "bytes_each": round(float(view.ints("payload_out")[flows].mean())),
        }
        findings.append(view.finding("slow_http", flows, view.name(int(view.source[flows[0]])), evidence))
    return findings


# ---------------------------------------------------------------- helpers


def _by_rate(
    view: View, settings: Patterns, pattern: str, rows: np.ndarray, groups_of: list[np.ndarray], least_per_s: int
) -> list[Finding]:
    """Findings of the groups of flows whose busiest second has at least so many packets."""
    time = view.packets["time"].to_numpy(np.int64)
    findings = []
    for members in groups_of:
        flows = rows[members]
        belongs = np.zeros(len(view.flows), bool)
        belongs[flows] = True
        chosen = np.flatnonzero(belongs[view.flow_of_packet])
        back = view.ints("packets_out")[flows[0]] == 0
        if not back:  # the victim's own answers are no part of the flood
            chosen = chosen[view.outward(chosen)]
        rate = busiest_second(time[chosen])
        if rate >= least_per_s:
            evidence: Evidence = {
                "packets": len(chosen),
                "per_s": rate,
                "to_ports": len(np.unique(view.ints("dst_port")[flows])),
            }
            sender = view.destination if back else view.source
            findings.append(_flood(view, settings, pattern, flows, sender, evidence, back))
    return findings


def _flood(
    view: View,
    settings: Patterns,
    pattern: str,
    flows: np.ndarray,
    sender: np.ndarray,
    evidence: Evidence,
    back: bool = False,
) -> Finding:
    """The finding with its source: the busiest sender, or `many` where that one sent too small a share."""
    packets = view.ints("packets_in" if back else "packets_out")[flows]
    ids, first = groups(sender[flows])
    sent = np.bincount(ids, packets, len(first))
    share = sent.max() / sent.sum()
    source = view.name(int(sender[flows[first[sent.argmax()]]])) if share >= settings.spoofed_share else MANY
    victim = (view.source if back else view.destination)[flows[0]]
    evidence = evidence | {"sources": len(first), "busiest_source_share": round(float(share), 3)}
    return view.finding(pattern, flows, source, evidence | {"victim": view.name(int(victim))})
