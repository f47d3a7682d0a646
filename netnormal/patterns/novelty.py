"""What an independent baseline had not seen, and is no attack for that: hosts, services, contacts. To be told, not to
alert (severity info)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netnormal.flows import EPHEMERAL
from netnormal.known import ON_LINK, UNSPECIFIED, Known
from netnormal.patterns.view import Evidence, Finding, View, by_group, groups


def new_devices(view: View) -> list[Finding]:
    """Hosts on the link (who ask or answer in ARP or neighbour discovery) that were not there before. T1200."""
    known = view.known
    if known is None or not known.devices:
        return []
    on_link = np.flatnonzero(view.is_service(ON_LINK))
    answered = on_link[view.answered[on_link]]
    hosts = np.concatenate([view.source[on_link], view.destination[answered]])
    flows = np.concatenate([on_link, answered])
    return [
        view.finding("new_device", np.unique(flows[hosts == host]), name, {"contacts": int((hosts == host).sum())})
        for host in np.unique(hosts)
        if (name := view.name(int(host))) not in known.devices and name not in UNSPECIFIED
    ]


def new_services(view: View) -> list[Finding]:
    """Services that hosts of the network answer with, and did not before; of ports that are given to clients none.
    T1505. One finding for each host."""
    if view.known is None:
        return []
    port, known = view.ints("dst_port"), view.known
    rows = np.flatnonzero(view.answered & (port >= 0) & (port < EPHEMERAL))

    def is_new(known: Known, flow: int) -> bool:
        _, host, service = view.talk(flow)
        return known.inside(host) and (host, service) not in known.served

    rows = _chosen(rows, view.destination, view.service, lambda flow: is_new(known, flow))
    return _per_host(view, rows, view.destination, "new_service")


def first_contacts(view: View) -> list[Finding]:
    """Hosts of the network, known before, that talk with hosts they never talked with. T1071. One finding for each."""
    if view.known is None:
        return []
    known = view.known

    def is_new(flow: int) -> bool:
        source, destination, _ = view.talk(flow)
        return known.inside(source) and source in known.hosts and not known.met(source, destination)

    rows = _chosen(np.flatnonzero(view.answered), view.source, view.destination, is_new)
    return _per_host(view, rows, view.source, "first_contact")


# ---------------------------------------------------------------- helpers


def _chosen(rows: np.ndarray, one: np.ndarray, other: np.ndarray, wanted: Callable[[int], bool]) -> np.ndarray:
    """The flows among `rows` of those pairs of keys of which `wanted` says so, asked once a pair."""
    if not len(rows):
        return rows
    group, first = groups(one[rows], other[rows])
    return rows[np.array([wanted(int(rows[at])) for at in first], bool)[group]]


def _per_host(view: View, rows: np.ndarray, host: np.ndarray, pattern: str) -> list[Finding]:
    findings = []
    for members in by_group(host[rows], np.unique(host[rows]), len(view.names)):
        flows = rows[members]
        evidence: Evidence = {"contacts": len(flows)}
        findings.append(view.finding(pattern, flows, view.name(int(host[flows[0]])), evidence))
    return findings
