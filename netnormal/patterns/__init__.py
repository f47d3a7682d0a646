"""Named behaviours: small pure functions over the packets and flows of one closed window.

Most need no baseline, so they name what the forest only calls unusual, and find what a missing or dirty baseline
hides. What honest hosts do too (regular calls, uploads, new services) is found only where an independent baseline
had nothing like it. Every threshold stands in params.yaml, section detect.patterns, with its source.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from netnormal.known import Known
from netnormal.patterns import (
    floods,
    guessing,
    names,
    neighbours,
    novelty,
    scans,
    spoofing,
    tunnels,
    uploads,
    web,
)
from netnormal.patterns.calls import CallMemory
from netnormal.patterns.memory import ScanMemory
from netnormal.patterns.names import NameMemory
from netnormal.patterns.view import KINDS, MANY, Earlier, Evidence, Finding, View
from netnormal.settings import Patterns

__all__ = ["KINDS", "MANY", "CallMemory", "Earlier", "Evidence", "Finding", "NameMemory", "ScanMemory", "find"]


def find(
    packets: pd.DataFrame,
    flows: pd.DataFrame,
    flow_of_packet: np.ndarray,
    settings: Patterns,
    window_s: int = 0,
    known: Known | None = None,
    memory: ScanMemory | None = None,
    asked: NameMemory | None = None,
    calls: CallMemory | None = None,
) -> list[Finding]:
    """All named behaviours in one closed window, in order of start.

    packets : table of tables.PACKETS in order of time; n rows.
    flows, flow_of_packet : what `netnormal.flows.flows(packets)` gives.
    window_s, known : the window's length and what a baseline that does not hold the window had seen; without one,
        patterns that need novelty are not looked for.
    memory : of earlier windows of this length, for scans that are slower than a window; it learns from this one.
    asked : the same for tunnels in DNS.
    calls : the same for beacons, and for guessing that is slower than a window.
    Each function's docstring says what it calls by its name, and where that comes from.
    """
    if not len(packets):
        return []
    view = View(packets, flows, flow_of_packet, window_s, known)
    found = scans.without_repeats([*scans.port_scans(view, settings), *scans.sweeps(view, settings)])
    found += _slower(memory.push(view), found) if memory is not None else []
    found += scans.stealth_scans(view, settings)
    found += scans.udp_scans(view, settings)
    found += floods.syn_floods(view, settings)
    found += floods.udp_floods(view, settings)
    found += floods.icmp_floods(view, settings)
    found += floods.slow_requests(view, settings)
    found += spoofing.arp_spoofing(view, settings)
    found += neighbours.nd_spoofing(view, settings) + neighbours.rogue_routers(view, settings)
    found += neighbours.rogue_dhcp(view)
    guessed = guessing.brute_force(view, settings) + web.guessing(view, settings)
    found += guessed
    found += web.request_floods(view, settings, view.flows_of(guessed))
    found += tunnels.icmp_tunnels(view, settings)
    found += asked.push(view) if asked is not None else names.dns_tunnels(view, settings)
    found += names.generated_names(view, settings)
    found += calls.push(view) if calls is not None else []
    found += uploads.uploads(view, settings)
    found += novelty.new_devices(view) + novelty.new_services(view) + novelty.first_contacts(view)
    return sorted(found, key=lambda finding: (finding.start, finding.pattern, finding.source))


def _slower(remembered: list[Finding], found: list[Finding]) -> list[Finding]:
    """Of the scans that are remembered those by sources that scan nothing in this window by itself."""
    sources = {finding.source for finding in found}
    return [finding for finding in remembered if finding.source not in sources]
