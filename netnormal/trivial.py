"""The simplest detectors there are, for comparison: packets → one score each. A model has to beat them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest

from netnormal.tables import TCP_FLAGS

WINDOW_S = 10
TREES = 100
COLUMNS = ("time", "length", "src_mac", "dst_mac", "src_ip", "dst_ip", "protocol", "src_port", "dst_port", "ttl",
           "tcp_flags", "tcp_window", "payload")  # fmt: skip
_NUMBERS = ("length", "src_port", "dst_port", "ttl", "tcp_window", "payload")


def scores(packets: pd.DataFrame, baseline: pd.DataFrame | None, jobs: int) -> dict[str, np.ndarray]:
    """Scores (float[n], higher = more unusual) of n packets by each trivial detector.

    single_packet_forest judges each packet alone; packets_per_source and destinations_per_source count in windows of
    10 s.

    packets, baseline : COLUMNS of tables.PACKETS. The forest learns from `baseline`, or from `packets` themselves if
    that is None, as simple tools do; the other two need none.
    """
    source = _host(packets, "src")
    window = packets["time"].to_numpy() // (WINDOW_S * 1_000_000_000)
    behaviour = pd.DataFrame({"window": window, "source": source, "destination": _host(packets, "dst")})
    groups = behaviour.groupby(["window", "source"])["destination"]
    return {
        "single_packet_forest": _forest(packets, packets if baseline is None else baseline, jobs),
        "packets_per_source": groups.transform("size").to_numpy(np.float64),
        "destinations_per_source": groups.transform("nunique").to_numpy(np.float64),
    }


def _forest(packets: pd.DataFrame, baseline: pd.DataFrame, jobs: int) -> np.ndarray:
    """Isolation Forest (Liu et al. 2008) on a packet's length, protocol, ports, TTL, flags, window and payload size."""
    protocols = sorted(baseline["protocol"].dropna().unique())
    train = _matrix(baseline, protocols)
    forest = IsolationForest(n_estimators=TREES, random_state=1, n_jobs=jobs).fit(train)
    different, which = np.unique(_matrix(packets, protocols), axis=0, return_inverse=True)
    return -forest.score_samples(different)[which.reshape(-1)]


def _matrix(packets: pd.DataFrame, protocols: list[str]) -> np.ndarray:
    """float32[n, features]; empty cells are -1, a protocol outside `protocols` is one more number."""
    protocol = packets["protocol"].astype(object).map({name: i for i, name in enumerate(protocols)})
    columns = [packets[name].to_numpy(np.float32) for name in _NUMBERS]
    columns.append(protocol.fillna(len(protocols)).to_numpy(np.float32))
    flags = packets["tcp_flags"].array
    kinds = pd.Series(flags.categories, dtype=object)
    for letter in TCP_FLAGS:
        has = np.r_[kinds.str.contains(letter, regex=False).to_numpy(bool), False]  # the last: no flags at all
        columns.append(has[flags.codes].astype(np.float32))
    return np.column_stack(columns)


def _host(packets: pd.DataFrame, end: str) -> np.ndarray:
    """int64[n]: a number for the IP address, else the MAC address, at that end."""
    ip, mac = packets[f"{end}_ip"].array, packets[f"{end}_mac"].array
    return np.where(ip.codes >= 0, ip.codes.astype(np.int64), len(ip.categories) + mac.codes.astype(np.int64))
