"""Rows and findings become one incident a story, whatever windows saw it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packets import MACS, START, arp, table, tcp
from test_patterns import flat, probe, session

from netnormal import display_filter, features, patterns, settings, tables, words
from netnormal.flows import conversations, flows
from netnormal.incidents import IncidentMerger

SETTINGS = settings.load(Path(__file__).parent.parent / "params.yaml")
A, B, C, D = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"
SECOND = 1_000_000_000


def rows_of(flow_table: pd.DataFrame, unusual: dict[tuple[str, str], float]) -> pd.DataFrame:
    """The window's conversations as scored rows; `unusual` gives (source, destination) a score and an anomaly."""
    keys, of_flow = conversations(flow_table)
    score = [unusual.get((s, d), 0.1) for s, d in zip(keys["source"], keys["destination"], strict=True)]

    def total(*names: str) -> np.ndarray:
        return np.bincount(of_flow, sum(flow_table[name] for name in names), len(keys)).astype(np.int64)

    ends = flow_table.groupby(of_flow).agg({"first_packet": "min", "last_packet": "max"})
    return keys.assign(
        packets=total("packets_out", "packets_in"),
        bytes=total("bytes_out", "bytes_in"),
        first_packet=ends["first_packet"].to_numpy(),
        last_packet=ends["last_packet"].to_numpy(),
        score=score,
        tail_probability=(1 - np.array(score)) ** 4,
        anomaly=[int(s >= 0.8) for s in score],
        reasons=[
            f"odd talk of {s} with {d}" if sc >= 0.8 else None
            for s, d, sc in zip(keys["source"], keys["destination"], score, strict=True)
        ],
    )


class Run:
    """All windows of some packets pushed through the merger; `of_packet` the incident each packet is given first."""

    def __init__(self, rows: list[dict], unusual: dict[tuple[str, str], float] | None = None, order: int = 1) -> None:
        packets = table(sorted(rows, key=lambda row: row["time"]))
        merger = IncidentMerger(SETTINGS.detect.incidents)
        windower = features.Windower(SETTINGS.extract_features)
        draft = np.full(len(packets), -1)
        self.rows = []
        for window in (windower.push(packets) + windower.flush())[::order]:
            flow_table, flow = flows(window.packets)
            found = patterns.find(window.packets, flow_table, flow, SETTINGS.detect.patterns)
            scored = rows_of(flow_table, unusual or {})
            of_row, of_flow = merger.push(window.window_s, scored, found, flow_table)
            at = window.packets["packet"].to_numpy() - 1
            mine = merger.of_packets(of_flow, flow, window.packets["time"].to_numpy())
            draft[at] = np.where(draft[at] < 0, mine, draft[at])
            self.rows.append((scored, of_row))
        self.table, self.place = merger.flush()
        ids = [*self.table["incident_id"].astype(str), None]
        self.of_packet = [ids[place] for place in np.append(self.place, -1)[draft]]

    def brief(self) -> list[tuple[str, str]]:
        return sorted(zip(self.table["pattern"].astype(str), self.table["source"].astype(str), strict=True))


def scan(start: float, ports: int, apart: float, src: str = A, dst: str = B) -> list[dict]:
    return flat(probe(start + i * apart, src, dst, 1 + i, "RA") for i in range(ports))


# ---------------------------------------------------------------- one story, one incident


def test_a_scan_over_many_windows_of_three_lengths_is_one_incident_with_all_its_ports():
    run = Run(scan(3, 200, 0.5))
    assert run.brief() == [("port_scan", A)]
    row = run.table.iloc[0]
    assert row["title"] == f"{A} scanned 200 TCP ports of {B} in 99.5 s; none answered"
    assert (row["start"], row["end"]) == (START + 3 * SECOND, START + round(102.501 * SECOND))
    assert (row["packets"], row["bytes"]) == (400, 400 * 54)
    assert (row["technique"], row["severity"], row["services"].split()[0]) == ("T1046", "medium", "TCP/1")
    assert set(run.of_packet) == {"I0001"}


def test_a_scan_that_only_the_long_window_sees_is_found():
    run = Run(scan(3, 40, 14))
    assert run.brief() == [("port_scan", A)]
    assert run.table["title"].iloc[0].startswith(f"{A} scanned 40 TCP ports of {B} in 9.1 min")


def test_scans_further_apart_than_the_gap_are_two_incidents_though_one_window_holds_both():
    run = Run(scan(3, 40, 0.01) + scan(400, 30, 0.01))
    assert run.brief() == [("port_scan", A)] * 2
    spans = sorted((row.start - START, row.end - START) for row in run.table.itertuples())
    assert [(s // SECOND, e // SECOND) for s, e in spans] == [(3, 3), (400, 400)]
    assert sorted(run.table["packets"]) == [60, 80]


def test_scans_nearer_than_the_gap_are_one_incident():
    run = Run(scan(3, 40, 0.01) + scan(200, 40, 0.01, dst=C))
    assert run.brief() == [("port_scan", A)]
    assert run.table["destinations"].iloc[0].split() == [B, C]
    assert "2 hosts" in run.table["title"].iloc[0]


def test_different_sources_and_different_kinds_stay_apart():
    null = flat(probe(20 + i / 100, A, B, 1 + i, "RA", "-") for i in range(40))
    assert Run(scan(3, 40, 0.01) + scan(5, 40, 0.01, src=C) + null).brief() == [
        ("null_scan", A),
        ("port_scan", A),
        ("port_scan", C),
    ]


def test_a_spoofed_flood_is_one_incident_of_its_victim():
    flood = flat(probe(5 + i / 300, f"203.0.{i % 200}.{i // 200}", B, 443, None, sport=1024 + i) for i in range(6000))
    run = Run(flood)
    assert run.brief() == [("syn_flood", "many")]
    row = run.table.iloc[0]
    assert row["title"] == (
        f"6,000 addresses flooded TCP/443 of {B} with 6,000 half-open connections, up to 300 a second"
    )
    assert (row["packets"], row["destinations"], row["severity"]) == (6000, B, "high")


def test_honest_packets_of_a_long_flow_outside_the_story_are_not_part_of_it():
    honest = flat([arp(t, A, B, 1, MACS[0]), arp(t + 0.001, B, A, 2, MACS[1])] for t in (0, 100, 500))
    lies = [arp(50 + i, B, A, 2, MACS[2]) for i in range(5)]
    run = Run(honest + lies)
    assert run.brief() == [("arp_spoofing", MACS[2])]
    assert [i for i, incident in enumerate(run.of_packet) if incident] == [2, 3, 4, 5, 6]


# ---------------------------------------------------------------- what the model finds


def test_unusual_rows_without_a_name_are_one_incident_of_their_source():
    rows = session(3, A, B, 443, 40000) + session(7, A, C, 443, 40001) + session(50, A, B, 443, 40002)
    run = Run(rows, {(A, B): 0.9, (A, C): 0.95})
    assert run.brief() == [("unusual_behaviour", A)]
    row = run.table.iloc[0]
    assert (row["score"], row["severity"]) == (0.95, "low") and pd.isna(row["technique"])
    assert row["title"] == f"{A} behaved unusually towards 2 hosts with TCP/443 in 47 s"
    assert row["reasons"] == f"odd talk of {A} with {C}; odd talk of {A} with {B}"
    assert row["packets"] == 18 and set(run.of_packet) == {"I0001"}


def test_what_is_rarer_than_the_setting_is_medium():
    assert Run(session(3, A, B, 443, 40000), {(A, B): 0.99}).table["severity"].tolist() == ["medium"]


def test_unusual_rows_of_a_named_incidents_source_or_victim_belong_to_it():
    rows = scan(3, 40, 0.1) + session(4, A, C, 443, 41000) + session(5, B, D, 25, 42000) + session(6, C, B, 80, 43000)
    run = Run(rows, {(A, C): 0.9, (B, D): 0.95, (C, B): 0.99})
    assert run.brief() == [("port_scan", A)]
    row = run.table.iloc[0]
    assert row["score"] == 0.99 and row["reasons"].count("unusual: odd talk") == 3
    assert all(place == 0 for place in run.place)


def test_unusual_rows_of_others_or_of_another_time_stay_by_themselves():
    rows = scan(3, 40, 0.01) + session(4, C, D, 443, 41000) + session(900, A, D, 25, 42000)
    run = Run(rows, {(C, D): 0.9, (A, D): 0.95})
    assert run.brief() == [("port_scan", A), ("unusual_behaviour", A), ("unusual_behaviour", C)]


def test_very_many_unusual_sources_of_one_destination_are_one_incident():
    crowd = [f"10.1.0.{i}" for i in range(60)]
    rows = flat(session(1 + i / 10, who, B, 443, 40000) for i, who in enumerate(crowd))
    run = Run(rows, {(who, B): 0.9 for who in crowd})
    assert run.brief() == [("unusual_behaviour", "many")]
    assert run.table["title"].iloc[0].startswith(f"60 addresses behaved unusually towards {B}")


def test_rows_alone_suffice_where_the_packets_are_not_at_hand():
    scored = rows_of(flows(table(session(3, A, B, 443, 40000)))[0], {(A, B): 0.9})
    merger = IncidentMerger(SETTINGS.detect.incidents)
    of_row, of_flow = merger.push(10, scored, [])
    incidents, place = merger.flush()
    assert (of_row.tolist(), of_flow.tolist(), place.tolist(), len(incidents)) == ([0], [], [0], 1)


# ---------------------------------------------------------------- laws


def mixed() -> tuple[list[dict], dict]:
    rows = scan(3, 200, 0.5) + scan(590, 60, 0.5, src=C) + session(4, A, D, 443, 41000) + session(650, D, B, 80, 43000)
    return rows, {(A, D): 0.9, (D, B): 0.95}


def test_incidents_do_not_depend_on_the_order_of_the_windows():
    rows, unusual = mixed()
    one, other = Run(rows, unusual), Run(rows, unusual, order=-1)
    pd.testing.assert_frame_equal(one.table, other.table)


def test_flush_changes_nothing():
    rows, unusual = mixed()
    run = Run(rows, unusual)
    merger = IncidentMerger(SETTINGS.detect.incidents)
    for scored, _ in run.rows:
        merger.push(10, scored, [])
    first, second = merger.flush(), merger.flush()
    pd.testing.assert_frame_equal(first[0], second[0])
    assert first[1].tolist() == second[1].tolist()


def test_ids_follow_time_and_the_table_severity():
    rows, unusual = mixed()
    incidents = Run(rows, unusual).table
    in_time = incidents.sort_values("start", kind="stable")["incident_id"].astype(str).tolist()
    assert in_time == [f"I{i:04d}" for i in range(1, len(incidents) + 1)]
    rank = ["critical", "high", "medium", "low"]
    places = [rank.index(severity) for severity in incidents["severity"]]
    assert places == sorted(places)


def test_every_anomalous_row_is_in_an_incident():
    rows, unusual = mixed()
    run = Run(rows, unusual)
    for scored, of_row in run.rows:
        assert (run.place[of_row[scored["anomaly"] == 1]] >= 0).all()


def test_the_table_is_one_of_the_contract(tmp_path):
    rows, unusual = mixed()
    for incidents in (Run(rows, unusual).table, Run(session(3, A, B, 443, 40000)).table):
        tables.write(tmp_path / "incidents.csv", tables.INCIDENTS, incidents)
        again = tables.read(tmp_path / "incidents.csv", tables.INCIDENTS)
        assert again["title"].astype(str).tolist() == incidents["title"].astype(str).tolist()


# ---------------------------------------------------------------- words and filters


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "an instant"), (0.0782, "0.0782 s"), (1.4, "1.4 s"), (119, "119 s"), (180, "3 min"), (9000, "2.5 h")],
)
def test_spans_are_said_as_people_do(seconds, text):
    assert words.span(seconds) == text


def test_every_pattern_has_a_title_that_names_its_source():
    evidence = {
        "victim": B,
        "gap_s": 5.1,
        "taken": B,
        "hardware_address": MACS[0],
        "domain": "bad.test",
        "listed": "bad.test",
    }
    for pattern in [*patterns.KINDS, "unusual_behaviour"]:
        title = words.title(pattern, A, [B], ["TCP/80"], evidence, 3)
        assert title.startswith(A) and not title.endswith("."), title


@pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")
@pytest.mark.parametrize(
    ("pattern", "source", "destinations", "services", "evidence"),
    [
        ("port_scan", A, [B], ["TCP/1", "TCP/2"], {}),
        ("syn_flood", "many", [B], ["TCP/443"], {"victim": B}),
        ("arp_spoofing", A, [B, C], ["ARP"], {"hardware_address": MACS[0]}),
        ("ping_sweep", A, [f"10.0.0.{i}" for i in range(20)], ["ICMP/8", "ARP"], {}),
        ("udp_scan", "fd00::1", ["fd00::2"], ["UDP/53"], {}),
        ("dns_tunnel", A, [B], ["UDP/53"], {"domain": "bad.test"}),
        ("dns_tunnel", A, [B], ["UDP/53"], {"domain": 'a" || frame || "b'}),
        ("unusual_behaviour", A, [B, C], ["TCP/443", "UDP/53", "SCTP/9", "ICMPv6/128", "IGMP", "0x88cc"], {}),
        ("unusual_behaviour", "-", ["-"], ["-"], {}),
        ("threat_list", A, ["evil name"], ["47"], {"listed": "evil name"}),
    ],
)
def test_display_filters_are_understood_by_wireshark(pattern, source, destinations, services, evidence, tmp_path):
    text = display_filter.of(pattern, source, destinations, services, evidence, START, START + SECOND)
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    done = subprocess.run(["tshark", "-n", "-r", empty, "-Y", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (text, done.stderr)
    assert "|| frame ||" not in text


def test_a_filter_names_the_ends_the_service_and_the_time():
    text = display_filter.of("brute_force", A, [B], ["TCP/22"], {}, START, START + 1)
    assert f"ip.addr == {A}" in text and f"ip.addr == {B}" in text and "tcp.port == 22" in text
    assert f"frame.time_epoch >= {START // SECOND}.000000000" in text
    assert f"frame.time_epoch <= {START // SECOND}.000000001" in text


def test_a_flow_in_two_findings_belongs_to_the_more_severe():
    packets = table(sorted(scan(3, 40, 0.01), key=lambda row: row["time"]))
    flow_table, flow = flows(packets)
    (one,) = patterns.find(packets, flow_table, flow, SETTINGS.detect.patterns)
    listed = patterns.Finding(
        "threat_list", A, (B,), ("TCP/1",), one.start, one.end, {"listed": B, "where": "x:1"}, one.flows, one.hosts
    )
    merger = IncidentMerger(SETTINGS.detect.incidents)
    _, of_flow = merger.push(10, rows_of(flow_table, {}), [one, listed], flow_table)
    incidents, place = merger.flush()
    assert incidents["pattern"].astype(str)[place[of_flow]].unique().tolist() == ["threat_list"]
    assert incidents["packets"].tolist() == [80, 80]


def test_a_tcp_row_of_one_packet_is_enough_for_an_incident():
    assert Run([tcp(1, A, B, 1, 2, "S")], {(A, B): 0.9}).brief() == [("unusual_behaviour", A)]
