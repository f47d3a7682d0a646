"""Slow, obvious twins: what the kernels and `window_features` compute, said again in plain Python, a row at a time."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from itertools import pairwise

import pandas as pd
from scipy.stats import chi2

S = 1_000_000_000
FLAGS = "FSRPAUECN"

# ---------------------------------------------------------------- kernels


def pair_ids(a, b):
    known = {}
    ids = [known.setdefault(pair, len(known)) for pair in zip(a, b, strict=True)]
    return ids, [ids.index(i) for i in range(len(known))]


def sent(name):
    r"""The bytes of a name: those that the table spells as `\DDD` are one each."""
    found, data = [], name.encode()
    while data:
        odd = data[:1] == b"\\" and len(data) >= 4 and data[1:4].isdigit() and int(data[1:4]) < 256
        found.append(int(data[1:4]) if odd else data[0])
        data = data[4 if odd else 1 :]
    return bytes(found)


def peaks(group, values, n):
    return [max((v for g, v in zip(group, values, strict=True) if g == i), default=0) for i in range(n)]


def most_open(group, start, end, n):
    most = [0] * n
    for i, at in enumerate(start):
        most[group[i]] = max(
            most[group[i]],
            sum(g == group[i] and s <= at <= e for g, s, e in zip(group[: i + 1], start, end, strict=False)),
        )
    return most


def call_gaps(group, time, outward, silence, n):
    out = []
    for g in range(n):
        rows = [(t, o) for i, t, o in zip(group, time, outward, strict=True) if i == g]
        calls = [t for (before, _), (t, o) in pairwise(rows) if o and t - before >= silence]
        gaps = [(b - a) / S for a, b in pairwise(calls)]
        mean = statistics.fmean(gaps) if gaps else 0.0
        out.append((len(gaps), mean, sum((gap - mean) ** 2 for gap in gaps)))
    return out


def unmatched(flow, time, is_request, is_reply, begin, end, n):
    queues = [[] for _ in range(n)]
    unasked = [0] * n
    for f, t, ask, answer in zip(flow, time, is_request, is_reply, strict=True):
        if ask:
            queues[f].append(t)
        elif answer and queues[f]:
            queues[f].pop(0)
        elif answer and t >= begin:
            unasked[f] += 1
    return [sum(t < end for t in queue) for queue in queues], unasked


def entropy(values):
    counts = Counter(values)
    return -sum(c / len(values) * math.log2(c / len(values)) for c in counts.values())


# ---------------------------------------------------------------- flows


def bits(letters):
    return sum(1 << FLAGS.index(letter) for letter in letters if letter != "-")


def is_group(address):
    if address.count(":") == 5 and "::" not in address:
        return int(address[:2], 16) % 2 == 1
    if ":" in address:
        return address.lower().startswith("ff")
    return address == "255.255.255.255" or (address[:1].isdigit() and 224 <= int(address.split(".")[0]) < 240)


def question(p):
    """(the query's ICMP type or None, 'ask', 'answer' or None) of a packet."""
    answers = {"ICMP": {0: 8, 14: 13, 16: 15, 18: 17}, "ICMPv6": {129: 128}}.get(p["protocol"], {})
    kind = p["icmp_type"]
    if p["protocol"] == "ARP":
        return None, "answer" if p["arp_operation"] in (2, 4, 9) else "ask"
    if kind in answers:
        return answers[kind], "answer"
    return kind, "ask" if kind in answers.values() else None


def by_ports(a, b):
    """Which of two ends (address, port) initiates, or None."""
    if is_group(a[0]) != is_group(b[0]):
        return b if is_group(a[0]) else a
    for limit in (1024, 32768):
        if a[1] is not None and b[1] is not None and (a[1] < limit) != (b[1] < limit):
            return b if a[1] < limit else a
    return None


def records(packets: pd.DataFrame):
    """Packets as dicts with None for an empty cell."""
    text = [name for name in packets if isinstance(packets[name].dtype, pd.CategoricalDtype)]
    return [
        {k: None if pd.isna(v) or (k not in text and v == -1) else v for k, v in row.items()}
        for row in packets.astype(dict.fromkeys(text, object)).to_dict("records")
    ]


def flows(rows):
    """Flows as dicts, in order of first packet; `rows` holds (packet, sent by the initiator) of each."""
    found = {}
    for p in rows:
        kind, side = question(p)
        a = (p["src_ip"] or p["src_mac"] or "-", p["src_port"])
        b = (p["dst_ip"] or p["dst_mac"] or "-", p["dst_port"])
        ends = ((a, b) if side == "ask" else (b, a)) if side else tuple(sorted([a, b], key=str))
        found.setdefault((ends, p["protocol"], kind, bool(side)), []).append((p, a, b))
    made = []
    for (ends, protocol, kind, asked), packets in found.items():
        syns = [a for p, a, b in packets if p["tcp_flags"] and "S" in p["tcp_flags"] and "A" not in p["tcp_flags"]]
        acks = [b for p, a, b in packets if p["tcp_flags"] and "S" in p["tcp_flags"] and "A" in p["tcp_flags"]]
        ports = by_ports(*ends)
        first = packets[0][1]
        source = syns[0] if syns else acks[0] if acks else ends[0] if asked else ports or first
        destination = ends[1] if source == ends[0] else ends[0]
        made.append(flow(source, destination, protocol, kind, asked, packets))
    return made


def flow(source, destination, protocol, kind, asked, packets):
    # to itself, without ports or from a port to the same one: who answers is told by the question, or nobody answers
    rows = []
    for p, a, _ in packets:
        outward = question(p)[1] != "answer" if asked else a == source
        rows.append((p, outward))
    out = [p for p, outward in rows if outward]
    back = [p for p, outward in rows if not outward]
    number = destination[1] if destination[1] is not None else kind
    flags_out, flags_in = set(), set()
    for p in out:
        flags_out |= set(p["tcp_flags"] or "")
    for p in back:
        flags_in |= set(p["tcp_flags"] or "")
    is_tcp = packets[0][0]["tcp_flags"] is not None
    syn = [p["time"] for p in out if p["tcp_flags"] and "S" in p["tcp_flags"] and "A" not in p["tcp_flags"]]
    syn_ack = [p["time"] for p in back if p["tcp_flags"] and "S" in p["tcp_flags"] and "A" in p["tcp_flags"]]
    shaken = bool(syn and syn_ack and syn_ack[0] >= syn[0])
    payload_in = sum(p["payload"] or 0 for p in back)
    only_reset = all("R" in (p["tcp_flags"] or "") for p in back) and payload_in == 0
    probe = is_tcp and (
        "S" in flags_out or not flags_out & {"A", "R"} or (len(out) == 1 and bits("".join(flags_out)) == bits("A"))
    )
    outcome = "answered" if back else "unanswered"
    if back and only_reset and probe:
        outcome = "refused"
    if is_tcp and not back and "S" not in flags_out and flags_out & {"A", "R"}:
        outcome = "midstream"
    if not out:
        outcome = "midstream"
    if kind is not None and not asked:
        outcome = "notice"
    if protocol == "ARP":
        outcome = "broadcast" if source == destination else outcome
    elif any(is_group(destination[0]) or (p["dst_mac"] and is_group(p["dst_mac"])) for p in out):
        outcome = "broadcast"
    sides = [outward for p, outward in rows if (p["payload"] or 0) > 0]
    return {
        "source": source[0],
        "destination": destination[0],
        "service": f"{protocol or '-'}/{number}" if number is not None else protocol or "-",
        "protocol": protocol or "-",
        "rows": rows,
        "first": rows[0][0]["time"],
        "last": rows[-1][0]["time"],
        "outcome": outcome,
        "half_open": shaken and "A" not in flags_out,
        "reset": "R" in flags_out | flags_in,
        "handshake": (syn_ack[0] - syn[0]) / S if shaken else None,
        "turns": sum(a != b for a, b in pairwise(sides)),
        "out": len(out),
        "payload_out": sum(p["payload"] or 0 for p in out),
        "payload_in": payload_in,
        "is_tcp": is_tcp,
    }


# ---------------------------------------------------------------- features


def class_of(f, deadline):
    waits = f["outcome"] == "unanswered" or (f["half_open"] and not f["reset"])
    if waits and f["first"] >= deadline:
        return "pending"
    if f["half_open"] or f["outcome"] in ("refused", "unanswered"):
        return "failed"
    return "one-way" if f["outcome"] in ("broadcast", "notice") else "answered"


def mean(values):
    return statistics.fmean(values) if values else None


def busiest_second(times):
    return max(Counter(t // S for t in times).values(), default=0)


def open_at_once(some):
    some = [f for f in some if f["is_tcp"]]
    return max((sum(f["first"] <= at["first"] <= f["last"] for f in some) for at in some), default=None)


def window_features(window_s, start, packets):
    """{(source, destination, service): {feature: value or None}} for the packets of a window."""
    rows = records(packets)
    all_flows = flows(rows)
    end = start + window_s * S
    patience = min(S, window_s * S // 10)
    of_conversation = defaultdict(list)
    for f in all_flows:
        f["class"] = class_of(f, end - patience)
        of_conversation[f["source"], f["destination"], f["service"]].append(f)
    sent = []
    for f in all_flows:
        for p, outward in f["rows"]:
            sender = f["source"] if outward else f["destination"]
            if p["src_mac"] and sender not in ("0.0.0.0", "::"):
                sent.append((p["time"], p["packet"], sender, p["src_mac"]))
    macs = defaultdict(Counter)
    for _, _, sender, mac in sorted(sent):
        macs[sender][mac] += 1
    usual = {sender: max(counts, key=lambda mac: counts[mac]) for sender, counts in macs.items()}
    return {
        key: own_features(mine, usual, start + patience, end - patience) | context(mine, all_flows)
        for key, mine in of_conversation.items()
    }


def own_features(mine, usual, begin, end):
    rows = sorted(((p, o, f) for f in mine for p, o in f["rows"]), key=lambda r: (r[0]["time"], r[0]["packet"]))
    times = [p["time"] for p, _, _ in rows]
    out = [p for p, o, _ in rows if o]
    back = [p for p, o, _ in rows if not o]
    failed = sum(f["class"] == "failed" for f in mine)
    asking = sum(f["class"] in ("failed", "answered") for f in mine)
    has_ip = any(p["payload"] is not None for p, _, _ in rows)
    payload_out, payload_in = (sum(p["payload"] or 0 for p in side) for side in (out, back))
    payload = payload_out + payload_in
    sizes_out, sizes_in = ([p["payload"] for p in side if p["payload"]] for side in (out, back))
    tcp = [set(p["tcp_flags"]) - {"-"} for p, _, _ in rows if p["tcp_flags"] is not None]
    odd = [f for f in tcp if not f & {"S", "A", "R"} or ("S" in f and f & {"F", "R"})]
    ((gaps, gap, squares),) = call_gaps([0] * len(rows), times, [o for _, o, _ in rows], S, 1)
    regular = None
    if gaps >= 3:
        regular = 1 / (1 + math.sqrt(squares / chi2.ppf(0.05, gaps - 1)) / gap)
    macs = [
        p["src_mac"] != usual[f["source"] if o else f["destination"]]
        for p, o, f in rows
        if p["src_mac"] and (f["source"] if o else f["destination"]) not in ("0.0.0.0", "::")
    ]
    asks = waiting = unasked = 0
    for f in mine:
        is_request = [
            question(p)[1] == "ask" or (p["dns_type"] is not None and p["dns_rcode"] is None) for p, _ in f["rows"]
        ]
        is_reply = [question(p)[1] == "answer" or p["dns_rcode"] is not None for p, _ in f["rows"]]
        one = unmatched([0] * len(is_reply), [p["time"] for p, _ in f["rows"]], is_request, is_reply, begin, end, 1)
        waiting, unasked = waiting + one[0][0], unasked + one[1][0]
        asks += f["outcome"] != "broadcast" and any(is_request + is_reply)
    queries = [p for p, _, _ in rows if p["dns_type"] is not None and p["dns_rcode"] is None]
    answers = [p for p, _, _ in rows if p["dns_rcode"] is not None]
    names = [p["dns_query"] or "" for p in queries]
    below = defaultdict(set)
    for name in names:
        below[".".join(name.split(".")[-2:])].add(name)
    found = {
        "flows_count": len(mine),
        "failed_count": failed,
        "failed_ratio": failed / asking if asking else None,
        "most_open_count": open_at_once(mine),
        "packets_out_count": len(out),
        "packets_in_count": len(back),
        "payload_out_bytes": payload_out if has_ip else None,
        "payload_in_bytes": payload_in if has_ip else None,
        "upload_ratio": payload_out / payload if payload else None,
        "peak_packets_per_s": busiest_second(times),
        "peak_flows_per_s": busiest_second([f["first"] for f in mine]),
        "payload_out_mean_bytes": mean(sizes_out),
        "payload_in_mean_bytes": mean(sizes_in),
        "payload_out_entropy_bits": entropy(sizes_out) if sizes_out else None,
        "duration_s": (max(times) - min(times)) / S,
        "flow_duration_mean_s": mean([(f["last"] - f["first"]) / S for f in mine]),
        "regularity_ratio": regular,
        "handshake_mean_s": mean([f["handshake"] for f in mine if f["handshake"] is not None]),
        "rst_count": sum("R" in f for f in tcp) if tcp else None,
        "odd_flags_count": len(odd) if tcp else None,
        "empty_ratio": mean([p["payload"] == 0 for p, _, _ in rows if p["tcp_flags"] is not None]),
        "turns_mean_count": mean([f["turns"] for f in mine]) if payload else None,
        "payload_per_flow_bytes": payload / len(mine) if payload else None,
        "fragments_count": sum((p["fragment"] or 0) > 0 for p, _, _ in rows) if has_ip else None,
        "ttls_count": len({p["ttl"] for p in out if p["ttl"] is not None}) or None,
        "odd_macs_ratio": mean(macs),
        "unanswered_count": waiting if asks else None,
        "unasked_count": unasked if asks else None,
        "dns_queries_count": len(queries) or None,
        "dns_names_count": len(set(names)) or None,
        "dns_names_per_domain_count": max(map(len, below.values()), default=None),
        "dns_name_mean_bytes": mean([len(sent(name)) for name in names]),
        "dns_name_max_bytes": max((len(sent(name)) for name in names), default=None),
        "dns_name_entropy_bits": mean([entropy(sent(name)) if name else 0.0 for name in names]),
        "dns_failed_ratio": mean([p["dns_rcode"] > 0 for p in answers]),
        "dns_odd_types_ratio": mean([p["dns_type"] not in (1, 12, 28, 33, 65) for p in queries]),
        "dns_answer_mean_bytes": mean([p["payload"] or 0 for p in answers]),
    }
    return {f"conversation_{name}": value for name, value in found.items()} | {"has_ip": has_ip}


def context(mine, all_flows):
    votes = Counter(f["class"] for f in mine)
    order = ("failed", "answered", "one-way", "pending")
    kind = max(order, key=lambda name: (votes[name], -order.index(name)))
    has_ip = any(p["payload"] is not None for f in mine for p, _ in f["rows"])
    me = mine[0]
    found = {"kind": f"{me['protocol']} {kind}"}
    for side, other in (("source", "destination"), ("destination", "source")):
        everything = [f for f in all_flows if f[side] == me[side] and f["protocol"] == me["protocol"]]
        alike = [f for f in everything if f["class"] == kind]
        sent, got = ("payload_out", "payload_in") if side == "source" else ("payload_in", "payload_out")
        found |= {
            f"{side}_flows_count": len(alike),
            f"{side}_services_count": len({f["service"] for f in alike}),
            f"{side}_peak_flows_per_s": busiest_second([f["first"] for f in alike]),
            f"{side}_failed_ratio": mean([f["class"] == "failed" for f in everything]) if kind == "failed" else None,
            f"{side}_{other}s_count": len({f[other] for f in alike}),
            f"{side}_{other}s_entropy_bits": entropy([f[other] for f in alike]),
            f"{side}_packets_{'out' if side == 'source' else 'in'}_count": sum(f["out"] for f in alike),
            f"{side}_payload_out_bytes": sum(f[sent] for f in alike) if has_ip else None,
            f"{side}_payload_in_bytes": sum(f[got] for f in alike) if has_ip else None,
        }
        if side == "source":
            found["source_services_entropy_bits"] = entropy([f["service"] for f in alike])
            found["source_services_at_destination_count"] = len(
                {f["service"] for f in alike if f["destination"] == me["destination"]}
            )
            found["source_destinations_of_service_count"] = len(
                {f["destination"] for f in alike if f["service"] == me["service"]}
            )
        else:
            found["destination_most_open_count"] = open_at_once(alike)
    return found
