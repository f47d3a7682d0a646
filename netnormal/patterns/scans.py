"""Scans and sweeps: who tries many ports or many hosts, and mostly in vain."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from netnormal.flows import ACK, FIN, RST, SYN
from netnormal.kernels.patterns import sequential_test
from netnormal.patterns.view import SECOND, Evidence, Finding, View, by_group, groups
from netnormal.settings import Patterns
from netnormal.tables import TCP_FLAGS

PSH, URG = (1 << TCP_FLAGS.index(letter) for letter in "PU")
PING = {"ICMP/8", "ICMPv6/128"}
UNSPECIFIED = ("0.0.0.0", "::")  # senders of address probes (RFC 5227, RFC 4862)

# A sweep of one's own network is mostly ARP, for what does not answer there is never sent a packet. It is named by
# what the hosts that did answer were then sent, if that went to at least so many of them.
LEAST_FOLLOWED, FOLLOWED_SHARE = 3, 0.5


def port_scans(view: View, settings: Patterns) -> list[Finding]:
    """Many ports of one host, opened by SYN and mostly in vain: the sequential test over first contacts of
    (source, destination), each port once. Jung et al. 2004. One finding per source."""
    tried = tcp_attempts(view, settings) | _refused_unseen(view)
    return _vertical(view, settings, np.flatnonzero(tried), "port_scan", settings.scan_ports)


def udp_scans(view: View, settings: Patterns) -> list[Finding]:
    """Many UDP ports of one host, mostly in vain. A port from which its owner itself sends is not probed blindly:
    what goes there answers something, such as an SSDP search or a DNS query seen only in part."""
    return _vertical(view, settings, np.flatnonzero(udp_attempts(view, settings)), "udp_scan", settings.scan_ports)


def stealth_scans(view: View, settings: Patterns) -> list[Finding]:
    """Probes whose first packet has flags that open no connection: none (NULL), FIN alone, FIN+PSH+URG (Xmas), or
    one bare ACK that is refused or unheard. The flags have no use there (RFC 9293 3.10.7), so few ports suffice;
    a bare ACK may end an old connection, so it takes as many ports as a port scan."""
    first, out = view.ints("first_flags"), view.ints("flags_out")
    probe = view.protocol("TCP") & (view.ints("packets_out") > 0) & (out & SYN == 0)
    probe &= view.ints("payload_out") + view.ints("payload_in") == 0
    kept = FIN | SYN | RST | PSH | ACK | URG  # ECN's bits may come along
    kinds = (
        ("null_scan", 0, settings.stealth_ports),
        ("fin_scan", FIN, settings.stealth_ports),
        ("xmas_scan", FIN | PSH | URG, settings.stealth_ports),
        ("ack_scan", ACK, settings.scan_ports),
    )
    findings = []
    for pattern, flags, least in kinds:
        chosen = probe & (first & kept == flags)
        if flags == ACK:
            chosen &= (view.ints("packets_out") <= 2) & (out & ~ACK == 0) & ~view.answered
        findings += _vertical(view, settings, np.flatnonzero(chosen), pattern, least, test=False)
    return findings


def sweeps(view: View, settings: Patterns) -> list[Finding]:
    """One service of many hosts, mostly in vain: the sequential test over first contacts of (source, service), each
    host once; and over ARP, where the question is the contact. Jung et al. 2004. One finding per source and kind."""
    findings: list[Finding] = []
    for pattern, tried in (("ping_sweep", pings(view, settings)), ("port_sweep", tcp_attempts(view, settings))):
        findings += _horizontal(view, settings, np.flatnonzero(tried), pattern)
    by_source = {(finding.source, finding.pattern): finding for finding in findings}
    for finding in _arp_sweeps(view, settings):
        known = by_source.get((finding.source, finding.pattern))
        if known is None:
            findings.append(finding)
        else:  # the same sweep, seen by ARP where hosts are near and by IP where they are far
            findings[findings.index(known)] = view.finding(
                finding.pattern, np.union1d(known.flows, finding.flows), finding.source, known.evidence
            )
    return [with_counts(view, finding) for finding in findings]


def without_repeats(findings: list[Finding]) -> list[Finding]:
    """A source that scans many ports of many hosts is both a port scan and a sweep: the one that says less goes."""
    kept = list(findings)
    scans_by_source = {finding.source: finding for finding in findings if finding.pattern == "port_scan"}
    for sweep in findings:
        scan = scans_by_source.get(sweep.source)
        if sweep.pattern == "port_sweep" and scan is not None:
            less, more = sorted((sweep, scan), key=lambda finding: len(finding.flows))
            if np.isin(less.flows, more.flows).mean() >= 0.5:
                kept.remove(less)
    return kept


def tcp_attempts(view: View, settings: Patterns) -> np.ndarray:
    """Which flows try to open a connection (bool)."""
    return view.protocol("TCP") & _opens(view) & view.attempt & ~_traces_route(view, settings)


def _refused_unseen(view: View) -> np.ndarray:
    """Flows of which nothing but refusals was captured, RST with ACK, as they answer a SYN (RFC 9293 3.10.7.1): the
    probe went another way, or was lost to the capture (bool)."""
    only_resets = (view.ints("packets_out") == 0) & (view.ints("packets_in") == view.ints("rst_in"))
    refused = (view.ints("flags_in") == RST | ACK) & (view.ints("payload_in") == 0)
    return view.protocol("TCP") & only_resets & refused


def udp_attempts(view: View, settings: Patterns) -> np.ndarray:
    """Which flows try a UDP port from which nobody sends by itself (bool)."""
    udp = view.protocol("UDP")
    ports = 1 << 17
    own = np.unique(view.source[udp] * ports + view.ints("src_port")[udp])
    blind = ~np.isin(view.destination * ports + view.ints("dst_port"), own)
    return udp & view.attempt & ~_traces_route(view, settings) & blind


def pings(view: View, settings: Patterns) -> np.ndarray:
    """Which flows are echo requests to one host (bool)."""
    return view.is_service(PING) & view.attempt & ~_traces_route(view, settings)


# ---------------------------------------------------------------- the two shapes of a scan


def _vertical(
    view: View, settings: Patterns, rows: np.ndarray, pattern: str, least_ports: int, *, test: bool = True
) -> list[Finding]:
    """Sources that try at least so many ports of one host; with `test`, mostly in vain by the sequential test."""
    if len(rows) < least_ports:
        return []
    pair, _ = groups(view.source[rows], view.destination[rows])
    wanted = _groups_of_many(view, settings, rows, pair, view.ints("dst_port")[rows], least_ports, test)
    by_source: dict[int, list[np.ndarray]] = {}
    for members in by_group(pair, wanted, len(rows)):
        by_source.setdefault(int(view.source[rows[members[0]]]), []).append(rows[members])
    findings = []
    for source, parts in by_source.items():
        flows = np.concatenate(parts)
        finding = with_counts(view, view.finding(pattern, flows, view.name(source), {}))
        findings.append(replace(finding, ports=frozenset(np.unique(view.ints("dst_port")[flows]).tolist())))
    return findings


def _horizontal(view: View, settings: Patterns, rows: np.ndarray, pattern: str) -> list[Finding]:
    """Sources that try one service of at least `scan_hosts` hosts, mostly in vain by the sequential test."""
    if len(rows) < settings.scan_hosts:
        return []
    pair, _ = groups(view.source[rows], view.service[rows])
    wanted = _groups_of_many(view, settings, rows, pair, view.destination[rows], settings.scan_hosts, True)
    by_source: dict[int, list[np.ndarray]] = {}
    for members in by_group(pair, wanted, len(rows)):
        by_source.setdefault(int(view.source[rows[members[0]]]), []).append(rows[members])
    return [view.finding(pattern, np.concatenate(parts), view.name(s), {}) for s, parts in by_source.items()]


def _groups_of_many(
    view: View, settings: Patterns, rows: np.ndarray, group: np.ndarray, contact: np.ndarray, least: int, test: bool
) -> np.ndarray:
    """The groups of flows with at least `least` distinct contacts, and with `test` so many failed ones and a walk
    that says scanner. A contact that ever succeeded in the window counts as a success at its first attempt."""
    if len(rows) < least:
        return np.zeros(0, np.int64)
    contacts, first = groups(group, contact)
    succeeded = np.zeros(len(first), bool)
    succeeded[contacts[view.answered[rows]]] = True
    owner, n = group[first], int(group.max()) + 1
    if not test:
        return np.flatnonzero(np.bincount(owner, minlength=n) >= least)
    many = np.bincount(owner[~succeeded], minlength=n) >= least
    crossed = sequential_test(owner, ~succeeded, *walk(settings), n)
    return np.flatnonzero(many & (crossed >= 0))


def walk(settings: Patterns) -> tuple[float, float, float]:
    """Step after a failed contact, step after a successful one, and the height that says scanner (natural logs)."""
    benign, scanner = settings.scan_success_benign, settings.scan_success_scanner
    return (
        math.log((1 - scanner) / (1 - benign)),
        math.log(scanner / benign),
        math.log(settings.scan_detection / settings.scan_false_alarm),
    )


# ---------------------------------------------------------------- ARP


def _arp_sweeps(view: View, settings: Patterns) -> list[Finding]:
    arp = view.protocol("ARP") & view.attempt
    if arp.sum() < settings.scan_hosts:
        return []
    probes = [view.names.get_loc(name) for name in UNSPECIFIED if name in view.names]
    rows = np.flatnonzero(arp & ~np.isin(view.source, probes))
    wanted = _groups_of_many(view, settings, rows, view.source[rows], view.destination[rows], settings.scan_hosts, True)
    findings = []
    for members in by_group(view.source[rows], wanted, len(view.names)):
        flows = rows[members]
        source = int(view.source[flows[0]])
        if _asks_for_others(view, source, flows):
            continue
        start = view.ints("first_packet")[flows].min() - SECOND
        end = view.ints("last_packet")[flows].max() + SECOND
        then = np.flatnonzero(
            ~view.protocol("ARP")
            & view.attempt
            & (view.ints("first_packet") >= start)
            & (view.ints("first_packet") <= end)
        )
        alive = view.destination[flows[view.answered[flows]]]
        pattern, who, followed = _what_followed(view, then, flows, alive)
        evidence: Evidence = {} if who == source else {"asked_by": view.name(source)}
        findings.append(view.finding(pattern, np.union1d(flows, followed), view.name(who), evidence))
    return findings


def _asks_for_others(view: View, source: int, flows: np.ndarray) -> bool:
    """Does the asker only deliver, as a router does: was most of what it sought in vain addressed by other hosts?"""
    sought = np.unique(view.destination[flows[view.failed[flows]]])
    others = ~view.protocol("ARP") & (view.source != source)
    return bool(np.isin(sought, view.destination[others]).mean() >= 0.5)


def _what_followed(view: View, then: np.ndarray, flows: np.ndarray, alive: np.ndarray) -> tuple[str, int, np.ndarray]:
    """How a sweep seen by ARP is called, whose it is, and the flows to the hosts that answered.

    `flows` are the asker's questions, `then` the flows during the sweep, `alive` who answered. A router asks for
    whoever sweeps through it; then what the hosts that answered were sent came through the asker's hardware address,
    but from another IP address: the sweep is that one's.
    """
    asker = int(view.source[flows[0]])
    opens = view.protocol("TCP") & _opens(view)
    ping = view.is_service(PING)
    best: tuple[int, str, int, np.ndarray] = (0, "arp_sweep", asker, np.zeros(0, np.int64))
    then = then[np.isin(view.destination[then], alive)]  # whom it had not to ask for is not what it sought
    own, others = then[view.source[then] == asker], then[view.source[then] != asker]
    hardware = view.packets["src_mac"].array.codes[view.first]
    others = others[hardware[others] == hardware[flows[0]]]
    for rows in (own, others):
        for pattern, kind in (("ping_sweep", ping), ("port_sweep", opens)):
            chosen = rows[kind[rows]]
            pairs, first = groups(view.source[chosen], view.service[chosen], view.destination[chosen])
            per_kind, at = groups(view.source[chosen][first], view.service[chosen][first])
            for group, hosts in enumerate(np.bincount(per_kind, minlength=len(at))):
                if hosts > best[0] and hosts >= max(LEAST_FOLLOWED, FOLLOWED_SHARE * len(np.unique(alive))):
                    best = (
                        int(hosts),
                        pattern,
                        int(view.source[chosen[first[at[group]]]]),
                        chosen[per_kind[pairs] == group],
                    )
        if best[0]:
            break
    return best[1], best[2], best[3]


# ---------------------------------------------------------------- helpers


def _opens(view: View) -> np.ndarray:
    flags = view.ints("first_flags")
    return (flags >= 0) & (flags & SYN != 0) & (flags & (ACK | RST | FIN) == 0)


def _traces_route(view: View, settings: Patterns) -> np.ndarray:
    """Flows whose first packet was meant to die on its way, as traceroute's are."""
    return (view.first_ttl >= 0) & (view.first_ttl <= settings.route_trace_ttl)


def with_counts(view: View, finding: Finding) -> Finding:
    """The finding with what came of it: distinct contacts that answered, refused, or stayed silent."""
    flows = finding.flows
    contact, first = groups(view.destination[flows], view.service[flows])
    answered = np.bincount(contact, view.answered[flows], len(first)) > 0
    silent = (np.bincount(contact, ~view.unanswered[flows], len(first)) == 0) & ~answered
    hosts = view.destination[flows][first]
    counts: Evidence = {
        "answered": int(answered.sum()),
        "silent": int(silent.sum()),
        "refused": int(len(first) - answered.sum() - silent.sum()),
        "hosts_answering": len(np.unique(hosts[answered])),
    }
    return replace(finding, evidence=finding.evidence | counts)
