"""Other forms of a labelled capture: its attacks at other times, speeds and sizes, by other hosts, in the same benign
traffic. What helps on them too was not made for one capture.

Each attack begins at a chance moment, runs up to 2.5 times as fast or slow, loses up to half of its flows, and comes
from another client of the network. An attacker whom the baseline does not know as a near host stays who it is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from netnormal import evaluation, tables

SECOND = 1_000_000_000
FIRST_S = 60  # attacks begin so long after the capture, whose first packets have no past
STRETCH = 2.5
FEW_FLOWS = 5  # of so few none is left out


def form(
    packets: pd.DataFrame, known: evaluation.Truth, baseline: pd.DataFrame, seed: int
) -> tuple[pd.DataFrame, evaluation.Truth]:
    """Packets (tables.PACKETS, numbered anew) and the truth about them; `baseline` shows who is a client.

    Side effects of attacks (`known.judged` is false) are left out.
    """
    random = np.random.default_rng(seed)
    begin, end = int(packets["time"].min()) + FIRST_S * SECOND, int(packets["time"].max())
    owners = _owners(baseline)
    parts = [packets[known.benign].assign(attack=-1)]
    for attack in range(len(known.names)):
        part = packets[known.of(attack)]
        flow = _flows(part)
        count = int(flow.max()) + 1
        if count > FEW_FLOWS:
            part = part[(random.random(count) < random.uniform(0.5, 1.0))[flow]]
        time = part["time"].to_numpy()
        span = max(int(np.ptp(time)), 1)
        stretch = min(np.exp(random.uniform(-1, 1) * np.log(STRETCH)), (end - begin) / span)
        start = random.integers(begin, max(end - int(span * stretch), begin) + 1)
        moved = start + ((time - time[0]) * stretch).astype(np.int64)
        parts.append(_by_another(part.assign(time=moved, attack=attack), owners, random))
    whole = tables.concat(parts).sort_values("time", kind="stable", ignore_index=True)
    attacks = whole.pop("attack").to_numpy(np.int32)
    whole = whole.assign(packet=np.arange(1, len(whole) + 1))
    return whole, evaluation.Truth(known.names, attacks, np.ones(len(whole), bool))


def renamed(part: pd.DataFrame, ips: dict[str, str], macs: dict[str, str]) -> pd.DataFrame:
    """The same packets with other addresses; those not named stay."""
    columns = {}
    for name, new in (("src_ip", ips), ("dst_ip", ips), ("src_mac", macs), ("dst_mac", macs)):
        words = [new.get(word, word) for word in part[name].array.categories]
        kept, codes = np.unique(words, return_inverse=True) if words else (np.array([]), np.array([], np.int64))
        codes = np.append(codes, -1)[part[name].array.codes]
        columns[name] = pd.Categorical.from_codes(codes, pd.Index(kept, dtype="str"))
    return part.assign(**columns)


def _flows(part: pd.DataFrame) -> np.ndarray:
    ends = [part[f"{end}_ip"].astype(str) + " " + part[f"{end}_port"].astype(str) for end in ("src", "dst")]
    codes = pd.factorize(pd.concat(ends))[0].reshape(2, -1)
    return pd.factorize(codes.min(axis=0) * (codes.max() + 1) + codes.max(axis=0))[0]


def _owners(baseline: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Hardware address → its address of each network, for hosts that ask over TCP and never answer."""
    flags = baseline["tcp_flags"].astype(str)
    asking = set(baseline.loc[flags == "S", "src_mac"]) - set(baseline.loc[flags == "SA", "src_mac"])
    pairs = baseline[["src_mac", "network", "src_ip"]].astype(object).dropna()
    pairs = pairs[pairs["src_mac"].isin(asking) & pairs["network"].isin(["IPv4", "IPv6"])].value_counts().reset_index()
    pairs = pairs[~pairs["src_ip"].isin(["0.0.0.0", "::"]) & ~pairs["src_ip"].str.startswith("fe80")]
    first = pairs.drop_duplicates(["src_mac", "network"])
    return {str(mac): dict(zip(rows["network"], rows["src_ip"], strict=True)) for mac, rows in first.groupby("src_mac")}


def _by_another(part: pd.DataFrame, owners: dict[str, dict[str, str]], random: np.random.Generator) -> pd.DataFrame:
    attacker = str(part["src_mac"].iloc[0])
    if attacker not in owners:
        return part
    involved = {
        str(host) for name in ("src_mac", "dst_mac", "src_ip", "dst_ip") for host in part[name].dropna().unique()
    }
    others = [mac for mac in sorted(owners) if mac not in involved and not involved & set(owners[mac].values())]
    if not others:
        return part
    other = others[random.integers(len(others))]
    ips = {ip: owners[other][family] for family, ip in owners[attacker].items() if family in owners[other]}
    return renamed(part, ips, {attacker: other})
