"""Uploads: a host that sends out much more than it, and hosts like it, ever did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netnormal.patterns.view import Evidence, Finding, View, by_group, groups
from netnormal.settings import Patterns


def uploads(view: View, settings: Patterns) -> list[Finding]:
    """A conversation that carries more payload out of a host of the network than ever: `upload_factor` times the most
    that this host sent to anybody, and that any host of the network sent to this receiver, in a conversation of a
    window of this length, in the same role (asking or answering); and more than all such conversations of the network's
    hosts, or, to a host that it never talked to, more than the share `upload_quantile` of them. At least
    `upload_bytes`. T1048. Needs a baseline as long as the window at least: in less time, less is sent.

    Who sends counts, not who asked: a file fetched from a host is sent by that host.
    """
    if view.known is None or view.known.span_s < view.window_s:
        return []
    sent, received = view.ints("payload_out"), view.ints("payload_in")
    rows = np.flatnonzero(view.protocol("TCP", "UDP", "SCTP") & view.answered)
    if sent[rows].sum() + received[rows].sum() < settings.upload_bytes:
        return []
    group, first = groups(view.source[rows], view.destination[rows], view.service[rows])
    findings = []
    for role, amount, back in ((0, sent, received), (1, received, sent)):
        total = np.bincount(group, amount[rows], len(first))
        wanted = np.flatnonzero(total >= settings.upload_bytes)
        for g, members in zip(wanted, by_group(group, wanted, len(first)), strict=True):
            flows = rows[members]
            ends = view.talk(int(flows[0]))[:2]
            sender, receiver = ends[role], ends[1 - role]
            if not view.known.inside(sender):
                continue
            own = view.known.most_sent(view.window_s, sender)[role]
            taken = view.known.most_taken(view.window_s, receiver)[role]
            others = view.known.sent_inside(view.window_s)[role]
            share = 1.0 if view.known.met(sender, receiver) else settings.upload_quantile
            usual = int(np.quantile(others, share)) if len(others) else 0
            if total[g] < settings.upload_factor * max(own, taken) or total[g] <= usual:
                continue
            evidence: Evidence = {
                "sent_bytes": int(total[g]),
                "received_bytes": int(back[flows].sum()),
                "own_most_bytes": own,
                "usual_most_bytes": usual,
            }
            finding = view.finding("upload", flows, sender, evidence)
            findings.append(replace(finding, destinations=(receiver,), hosts=frozenset({receiver})))
    return findings
