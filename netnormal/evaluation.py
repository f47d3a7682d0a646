"""Labels × results → metrics. What each figure means stands here and in docs/evaluation.md, in the same words.

Packet figures ask how well a score orders packets. Alert figures ask what a person sees: attacks found, false
incidents, and how long it took. Both are needed: a detector may rank well and still bury a person in alerts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn import metrics

from netnormal.tables import UNUSUAL

BENIGN = "benign"
EVENTS = ("attack", "start", "end", "found", "by_forest", "by_pattern", "named", "incidents", "incident_count",
          "patterns", "time_to_detect_s")  # fmt: skip
_CURVE_POINTS = 400
_SECOND = 1_000_000_000
_ROUNDED = 1_000_000  # flows begin so long before their time, which other tools round [ns]
_AFTERWARDS = 5 * _SECOND  # and go on so long after their end: Zeek's tcp_close_delay


@dataclass(frozen=True)
class Truth:
    """What each of n packets really is.

    names: the attacks, in order of their first packet; one label is one attack event.
    attack: int32[n], position in `names`, or -1 for benign.
    judged: bool[n]; False leaves a packet out of the packet figures (its label is merged into another attack's).
    """

    names: tuple[str, ...]
    attack: np.ndarray
    judged: np.ndarray

    @property
    def benign(self) -> np.ndarray:
        return self.judged & (self.attack < 0)

    def of(self, attack: int) -> np.ndarray:
        """bool[n]: the judged packets of one attack."""
        return self.judged & (self.attack == attack)


def truth(labels: pd.DataFrame, packets: pd.DataFrame, merged: Mapping[str, str]) -> Truth:
    """The truth about `packets` from a table of tables.PACKET_LABELS, tables.INTERVAL_LABELS or tables.FLOW_LABELS.

    packets : columns packet, time, src_mac, dst_mac, src_ip, dst_ip, protocol, src_port, dst_port; n rows.
    merged : label → the attack it counts with. Its packets are part of that event, and are in no packet figure.

    By packet: a packet without a label is benign. By interval: a packet has the label of the last interval that holds
    its time (both ends included) and names its two ends, in either direction, by IP or MAC address; an empty cell
    names any. By flow: a packet has the label of the last flow of its ends that began before it, if that is not over.
    Raises ValueError if a label is for a packet that is not there, or a packet has two.
    """
    if "packet" in labels:
        words = _by_packet(labels, packets["packet"].to_numpy())
    else:
        words = _by_flow(labels, packets) if "src_port" in labels else _by_interval(labels, packets)
    code, found = pd.factorize(words)  # in order of first appearance
    events = [merged.get(str(name), str(name)) for name in found]
    names = tuple(dict.fromkeys(name for name in events if name != BENIGN))
    position = np.array([names.index(name) if name != BENIGN else -1 for name in events], np.int32)
    kept = np.array([name not in merged for name in found], bool)
    return Truth(names, position[code], kept[code])


def _by_packet(labels: pd.DataFrame, numbers: np.ndarray) -> np.ndarray:
    words = np.full(len(numbers), BENIGN, object)
    order = np.argsort(numbers, kind="stable")
    wanted = labels["packet"].to_numpy()
    if len(np.unique(wanted)) < len(wanted):
        raise ValueError("a packet has two labels")
    at = np.searchsorted(numbers, wanted, sorter=order)
    known = at < len(numbers)
    known[known] = numbers[order[at[known]]] == wanted[known]
    if not known.all():
        raise ValueError(f"packet {wanted[~known][0]} has a label and is not in the capture")
    words[order[at]] = labels["label"].to_numpy(object)
    return words


def _by_interval(labels: pd.DataFrame, packets: pd.DataFrame) -> np.ndarray:
    time = packets["time"].to_numpy()
    words = np.full(len(time), BENIGN, object)
    for row in labels.itertuples():
        named = np.ones((2, len(time)), bool)  # as sent, and the other way round
        for name, ends in ((row.source, ("src", "dst")), (row.destination, ("dst", "src"))):
            if isinstance(name, str):
                for way, end in enumerate(ends):
                    named[way] &= ((packets[f"{end}_ip"] == name) | (packets[f"{end}_mac"] == name)).to_numpy()
        words[(time >= row.start) & (time <= row.end) & named.any(axis=0)] = row.label
    return words


def _by_flow(labels: pd.DataFrame, packets: pd.DataFrame) -> np.ndarray:
    sides = [pd.concat([labels[name].astype(str), packets[ip].astype(str)], ignore_index=True)
             for name, ip in (("source", "src_ip"), ("destination", "dst_ip"))]  # fmt: skip
    address, _ = pd.factorize(pd.concat(sides, ignore_index=True))
    ports = [np.concatenate([labels[name].to_numpy(), packets[name].to_numpy()]) for name in ("src_port", "dst_port")]
    protocol = pd.concat([labels["protocol"].astype(str), packets["protocol"].astype(str)], ignore_index=True)
    protocol = protocol.replace({"ICMPv6": "ICMP"})
    n = len(labels)
    ends = [part << 17 | (port + 1) for part, port in zip(np.split(address, 2), ports, strict=True)]
    keys = pd.DataFrame({"low": np.minimum(*ends), "high": np.maximum(*ends), "protocol": protocol})
    flow = keys.groupby(["low", "high", "protocol"], sort=False).ngroup().to_numpy()

    # In order of flow and time: before each packet stands the flow's label that began last.
    begun = labels["start"].to_numpy() - _ROUNDED
    time = np.concatenate([begun, packets["time"].to_numpy()])
    is_packet = np.arange(len(flow)) >= n
    order = np.lexsort((is_packet, time, flow))
    last = np.maximum.accumulate(np.where(is_packet[order], -1, np.arange(len(order))))
    label = np.where(last >= 0, order[last], -1)[is_packet[order]]
    packet = order[is_packet[order]]
    mine = (label >= 0) & (flow[label] == flow[packet])
    over = labels["end"].to_numpy()[np.where(mine, label, 0)] + _AFTERWARDS
    mine &= time[packet] <= over
    words = np.full(len(packets), BENIGN, object)
    words[packet[mine] - n] = labels["label"].astype(str).to_numpy(object)[label[mine]]
    return words


# ---------------------------------------------------------------- packets


def packet_figures(
    score: np.ndarray, known: Truth, false_positive_rate: float
) -> tuple[dict[str, float], pd.DataFrame]:
    """How well `score` (float[n], higher = more unusual) tells attack packets from benign ones.

    Returns the figures, and a table with one row per attack: attack, packets, roc_auc, recall. Without benign or
    without attack packets the figures are NaN.

    roc_auc: chance that an attack packet scores over a benign one, ties counting half. average_precision: mean
    precision over the ranks of the attack packets (Davis & Goadrich 2006 on why beside ROC). mean_roc_auc,
    mean_recall: over attacks, so that a flood of many packets counts once. recall: share of the attack packets over
    the lowest threshold that at most `false_positive_rate` of the benign packets are over.
    """
    score = score.astype(np.float64)
    benign = np.sort(score[known.benign])
    limit = _limit(benign, false_positive_rate)
    rows = []
    for attack, name in enumerate(known.names):
        mine = score[known.of(attack)]
        rows.append((name, len(mine), _auc(mine, benign), _share(mine > limit)))
    each = pd.DataFrame(rows, columns=["attack", "packets", "roc_auc", "recall"])
    attacks = score[known.judged & (known.attack >= 0)]
    precision = float("nan")
    if len(attacks) and len(benign):
        is_attack = np.r_[np.ones(len(attacks), bool), np.zeros(len(benign), bool)]
        precision = float(metrics.average_precision_score(is_attack, np.r_[attacks, benign]))
    figures = {
        "roc_auc": _auc(attacks, benign),
        "average_precision": precision,
        "mean_roc_auc": float(each["roc_auc"].mean()),
        "recall": _share(attacks > limit),
        "mean_recall": float(each["recall"].mean()),
    }
    return figures, each


def _limit(benign: np.ndarray, false_positive_rate: float) -> float:
    """The score that at most that share of `benign` (ascending) is over; NaN, which nothing is over, without any."""
    if not len(benign):
        return float("nan")
    return float(benign[len(benign) - 1 - int(false_positive_rate * len(benign))])


def _auc(attacks: np.ndarray, benign: np.ndarray) -> float:
    """Mann & Whitney 1947; `benign` ascending."""
    if not len(attacks) or not len(benign):
        return float("nan")
    below = np.searchsorted(benign, attacks, "left") + np.searchsorted(benign, attacks, "right")
    return float(below.mean() / 2 / len(benign))


def _share(mask: np.ndarray) -> float:
    return float(mask.mean()) if len(mask) else float("nan")


def curves(score: np.ndarray, known: Truth) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ROC curve (false_positive_rate, recall) and the precision-recall curve (recall, precision), to be drawn.

    Both are thinned, and empty without benign or without attack packets.
    """
    is_attack = known.attack[known.judged] >= 0
    roc: dict[str, np.ndarray] = {"false_positive_rate": np.empty(0), "recall": np.empty(0)}
    pr: dict[str, np.ndarray] = {"recall": np.empty(0), "precision": np.empty(0)}
    if is_attack.any() and not is_attack.all():
        values = score[known.judged].astype(np.float64)
        false, true, _ = metrics.roc_curve(is_attack, values)
        roc = {"false_positive_rate": false, "recall": true}
        precision, recall, _ = metrics.precision_recall_curve(is_attack, values)
        pr = {"recall": recall[::-1], "precision": precision[::-1]}
    return _thinned(pd.DataFrame(roc)), _thinned(pd.DataFrame(pr))


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    if len(curve) <= _CURVE_POINTS:
        return curve
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, _CURVE_POINTS).round().astype(int))]


def score_timeline(score: np.ndarray, time: np.ndarray, known: Truth) -> tuple[pd.DataFrame, float]:
    """The highest score of benign and of attack packets over time, and the width of a bin [s].

    score : float[n]; time : int64[n], ns. Returns time (start of a bin), benign, attack (NaN: no such packets in it),
    at most 400 bins; those without packets are left out.
    """
    first = int(time.min())
    width = max((int(time.max()) - first) // _CURVE_POINTS + 1, _SECOND)
    bins = (time - first) // width
    table = pd.DataFrame({"time": first + width * np.unique(bins)})
    for name, mine in (("benign", known.benign), ("attack", known.attack >= 0)):
        highest = pd.Series(score[mine]).groupby(bins[mine]).max()
        table[name] = highest.reindex(np.unique(bins)).to_numpy(np.float64)
    return table, width / _SECOND


# ---------------------------------------------------------------- alerts


def alert_figures(
    known: Truth,
    packets: pd.DataFrame,
    results: pd.DataFrame,
    incidents: pd.DataFrame,
    anomalies: pd.DataFrame,
    shortest_window_s: int,
) -> tuple[dict[str, float], pd.DataFrame]:
    """What a person sees: the figures, and the table of `attack_events`.

    packets : n rows as for `truth`. results, incidents, anomalies : tables of tables.LABELLED_PACKETS (n rows),
    tables.INCIDENTS and tables.ANOMALIES. shortest_window_s : as for `attack_events`.
    """
    events = attack_events(known, packets, results["incident_id"], incidents, anomalies, shortest_window_s)
    verdicts = incident_verdicts(known, packets, results["incident_id"], incidents)
    anomalous = (results["label"] == "anomalous").to_numpy()
    hours = float(np.ptp(packets["time"].to_numpy())) / 3600 / _SECOND
    false = int((verdicts == "false").sum())
    return {
        "packets": len(packets),
        "attack_packets": int((known.attack >= 0).sum()),
        "hours": hours,
        "anomalous_share_of_attacks": _share(anomalous[known.judged & (known.attack >= 0)]),
        "anomalous_share_of_benign": _share(anomalous[known.benign]),
        "attacks": len(events),
        "attacks_found": int(events["found"].sum()),
        "attacks_found_by_forest": int((events["found"] & events["by_forest"]).sum()),
        "attacks_found_by_pattern": int(events["by_pattern"].sum()),
        "attacks_named": int(events["named"].sum()),
        "median_time_to_detect_s": float(events["time_to_detect_s"].median()),
        "incidents": len(incidents),
        "true_incidents": int((verdicts == "true").sum()),
        "incidents_beside_attacks": int((verdicts == "beside").sum()),
        "false_incidents": false,
        "false_incidents_per_hour": false / hours if hours else float("nan"),
    }, events


def attack_events(
    known: Truth,
    packets: pd.DataFrame,
    incident_id: pd.Series,
    incidents: pd.DataFrame,
    anomalies: pd.DataFrame,
    shortest_window_s: int,
) -> pd.DataFrame:
    """One row per attack event: attack, start, end, found, by_forest, by_pattern, named, incidents, incident_count,
    patterns, time_to_detect_s.

    packets : n rows as for `truth`. incident_id : of labelled_packets.csv, n rows. incidents, anomalies : the tables of
    tables.INCIDENTS and tables.ANOMALIES. shortest_window_s : the shortest window length that was judged.

    found: an incident contains a packet of the attack and overlaps it in time. by_pattern: one of these has a named
    pattern. by_forest: a row between two of the attack's hosts, in a window that overlaps it, is anomalous; such a row
    is part of an incident, but perhaps of one with a pattern's name. named: an incident overlaps it in time
    and names one of its hosts as source or destination; more lenient, as two attacks by one host at one time are then
    both named. time_to_detect_s: from the attack's first packet to the moment the first of these incidents was told
    (`detected`). An incident that was told before the attack began counts from when it could show the attack: the end
    of the first window with an anomalous row of it between two of the attack's hosts, or without such a row of the
    shortest window that holds the last packet of both, incident and attack. Empty if not found.
    """
    window_end = anomalies["window_start"].to_numpy() + anomalies["window_s"].to_numpy() * _SECOND
    time, shortest = packets["time"].to_numpy(), shortest_window_s * _SECOND
    rows = []
    for attack, name in enumerate(known.names):
        mine = known.attack == attack
        start, end = int(time[mine].min()), int(time[mine].max())
        hosts = hosts_of(packets, known, attack)
        containing = incidents["incident_id"].isin(incident_id[mine].dropna().unique())
        found = incidents[containing & (incidents["start"] <= end) & (incidents["end"] >= start)]
        overlapping = (anomalies["window_start"] <= end).to_numpy() & (window_end > start)
        between = anomalies["source"].isin(hosts) & anomalies["destination"].isin(hosts)
        rows_of_it = overlapping & between.to_numpy()
        verdicts = []
        for one in found.itertuples():
            ends = window_end[rows_of_it & (anomalies["incident_id"] == one.incident_id).to_numpy()]
            last = min(int(one.end), end)  # type: ignore[arg-type]
            shown = int(ends.min()) if len(ends) else last // shortest * shortest + shortest
            # An incident that was told before the attack began is found by it later: when a window shows it.
            verdicts.append(int(one.detected) if one.detected >= start else shown)  # type: ignore[arg-type, operator]
        rows.append(
            {
                "attack": name,
                "start": start,
                "end": end,
                "found": bool(len(found)),
                "by_forest": bool(rows_of_it.any()),
                "by_pattern": bool((found["pattern"].astype(str) != UNUSUAL).any()),
                "named": any(_touches(one, start, end, hosts) for one in incidents.itertuples()),
                "incidents": " ".join(found["incident_id"].astype(str)),
                "incident_count": len(found),
                "patterns": " ".join(dict.fromkeys(found["pattern"].astype(str))),
                "time_to_detect_s": (min(verdicts) - start) / _SECOND if verdicts else float("nan"),
            }
        )
    return pd.DataFrame(rows, columns=list(EVENTS))


def incident_verdicts(
    known: Truth, packets: pd.DataFrame, incident_id: pd.Series, incidents: pd.DataFrame
) -> pd.Series:
    """For each incident `true`, `beside` or `false`, in the order of `incidents`.

    true: it contains a packet of an attack. beside: it does not, but overlaps an attack in time and names one of its
    hosts, so that who follows it up comes upon the attack. false: nothing of that.
    """
    time = packets["time"].to_numpy()
    attacks = []
    for attack in range(len(known.names)):
        mine = known.attack == attack
        attacks.append((int(time[mine].min()), int(time[mine].max()), hosts_of(packets, known, attack)))
    true = set(incident_id[known.attack >= 0].dropna())

    def verdict(one: object) -> str:
        if one.incident_id in true:  # type: ignore[attr-defined]
            return "true"
        return "beside" if any(_touches(one, *attack) for attack in attacks) else "false"

    return pd.Series([verdict(one) for one in incidents.itertuples()], index=incidents.index, dtype=object)


def _touches(incident: object, start: int, end: int, hosts: set[str]) -> bool:
    first, last = incident.start, incident.end  # type: ignore[attr-defined]
    named = {str(incident.source), *str(incident.destinations).split()}  # type: ignore[attr-defined]
    return bool(first <= end and last >= start and named & hosts)


def hosts_of(packets: pd.DataFrame, known: Truth, attack: int) -> set[str]:
    """The IP and MAC addresses in an attack's packets, without multicast and broadcast ones, which name nobody.

    Its merged packets add none, unless it has no others: relayed traffic is with innocent hosts.
    """
    mine = known.of(attack)
    mine = mine if mine.any() else known.attack == attack
    named: set[str] = set()
    for column in ("src_ip", "dst_ip", "src_mac", "dst_mac"):
        named.update(str(host) for host in packets.loc[mine, column].dropna().unique())
    return {host for host in named if not _is_group(host)}


def _is_group(host: str) -> bool:
    if host.count(":") == 5 and len(host) == 17:
        return bool(int(host[:2], 16) & 1)
    if ":" in host:
        return host.startswith("ff")
    first = host.partition(".")[0]
    return first.isdigit() and int(first) >= 224
