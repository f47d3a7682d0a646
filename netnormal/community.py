"""Community IDs of flows, by which other tools (Zeek, Suricata, Arkime …) know the same flows.

Corelight's specification "Community ID Flow Hashing", version 1, seed 0.
"""

from __future__ import annotations

import communityid
import numpy as np
import pandas as pd

#: protocol and, of ICMP, type of the request → how the ends are written; other protocols have none here
_TUPLES = {
    "TCP": communityid.FlowTuple.make_tcp,
    "UDP": communityid.FlowTuple.make_udp,
    "SCTP": communityid.FlowTuple.make_sctp,
    "ICMP/8": communityid.FlowTuple.make_icmp,
    "ICMPv6/128": communityid.FlowTuple.make_icmp6,
}


def ids(flows: pd.DataFrame, chosen: np.ndarray, most: int) -> dict[str, int]:
    """The Community IDs of the heaviest of some flows → packets, heaviest first, at most `most`.

    flows : table of FLOWS. chosen : its rows (int64). Flows without ports have none, but for echo requests and replies.
    """
    some = flows.iloc[chosen]
    packets = (some["packets_out"] + some["packets_in"]).to_numpy(np.int64)
    names = ["source", "destination", "service", "protocol", "src_port", "dst_port"]
    found: dict[str, int] = {}
    for at in np.argsort(-packets, kind="stable"):
        if len(found) >= most:
            break
        source, destination, service, protocol, src_port, dst_port = some[names].iloc[at]
        make = _TUPLES.get(service if service in _TUPLES else protocol)
        echo = service in _TUPLES
        if make is None or (not echo and src_port < 0):
            continue
        ports = (int(service.partition("/")[2]), 0) if echo else (int(src_port), int(dst_port))
        made = communityid.CommunityID().calc(make(source, destination, *ports))
        if made is not None and made not in found:
            found[made] = int(packets[at])
    return found
