"""Rows and findings become one incident a story, whatever windows saw it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import communityid
import following
import numpy as np
import pandas as pd
import pytest
from packets import MACS, START, arp, icmp, table, tcp
from test_patterns import flat, probe, session

from netnormal import (
    community,
    detection,
    display_filter,
    explanation,
    features,
    patterns,
    quantities,
    settings,
    tables,
    words,
)
from netnormal.explanation import Attribution
from netnormal.flows import conversations, flows
from netnormal.incidents import IncidentMerger, Story
from netnormal.incidents import merger as merger_module
from netnormal.model.baseline import NOVELTIES

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
    )


def why_of(rows: pd.DataFrame) -> Attribution:
    """An attribution of the anomalous rows in which every number tells the row it is of."""
    names = ("conversation_failed_count", "conversation_upload_ratio", "source_flows_count", "novelty_service_ratio")
    some = rows[rows["anomaly"] == 1]
    mine = some["score"].to_numpy()[:, None] * np.array([4.0, 2.0, -1.0, 1.0])
    value = some["packets"].to_numpy()[:, None] * np.array([1.0, 0.01, 1.0, 0.0])
    usual = np.broadcast_to(np.array([2.9, 0.02, 5.0, 0.0]), mine.shape)
    outside = np.broadcast_to(np.array([True, True, False, True]), mine.shape)
    return Attribution(names, mine, value, np.zeros_like(mine), usual, value, outside)


def merger_of(**changed: int) -> IncidentMerger:
    chosen = dataclasses.replace(SETTINGS.detect.incidents, **changed)
    return IncidentMerger(chosen, SETTINGS.extract_features.windows_s)


class Run:
    """All windows of some packets pushed through a merger; `of_packet` the incident each packet is given first.

    With `restarts` the merger is made anew from its state before each window; with `eager` it is told of time whenever
    it may be. `documents` are what was told of each incident, in order.
    """

    def __init__(
        self,
        rows: list[dict],
        unusual: dict[tuple[str, str], float] | None = None,
        restarts: bool = False,
        eager: bool = False,
        **changed: int,
    ) -> None:
        packets = table(sorted(rows, key=lambda row: row["time"]))
        merger, windower = merger_of(**changed), features.Windower(SETTINGS.extract_features)
        draft = np.full(len(packets), -1)
        self.rows, self.incident, self.documents, self.splits = [], {}, [], []
        for window in windower.push(packets) + windower.flush():
            end = window.start + window.window_s * SECOND
            if eager:
                merger.advance(end - 1)
            self.hear(merger)
            if restarts:
                state = json.loads(json.dumps(merger.state()))
                merger = merger_of(**changed)
                merger.restore(state)
            flow_table, flow = flows(window.packets)
            found = patterns.find(window.packets, flow_table, flow, SETTINGS.detect.patterns)
            scored = rows_of(flow_table, unusual or {})
            why = why_of(scored)
            of_row, of_flow = merger.push(window.window_s, end, scored, found, flow_table, why=why)
            at = window.packets["packet"].to_numpy() - 1
            mine = merger.of_packets(of_flow, flow, window.packets["time"].to_numpy())
            draft[at] = np.where(draft[at] < 0, mine, draft[at])
            self.rows.append((scored, of_row))
            self.splits += [
                (row, splits) for row, splits in zip(of_row[scored["anomaly"] == 1], why.splits, strict=True)
            ]
        merger.flush()
        self.hear(merger)
        self.evicted = merger.evicted
        last = {document["incident_id"]: document for document in self.documents}
        self.table = detection.incident_table(detection.worst_first(last.values()))
        self.of_packet = [self.incident.get(number) for number in draft]

    def hear(self, merger: IncidentMerger) -> None:
        self.incident |= dict(merger.decided())
        self.documents += detection.documents(merger.changed())

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
    assert set(run.of_packet) == set(run.table["incident_id"])


def test_a_scan_of_many_windows_is_told_on_a_logarithmic_scale(tmp_path):
    growing = following.Growing(tmp_path)
    follower = growing.follower()
    times = [3 + 0.5 * i for i in range(200)] + [103 + 0.025 * i for i in range(4400)]
    probes = flat(probe(time, A, B, 1 + port, "RA") for port, time in enumerate(times))
    packets = table(probes)
    for part in np.array_split(np.arange(len(packets)), 20):
        growing.put(packets.iloc[part])
        while follower.step():
            pass
    follower.finish(True)
    follower.files.close()
    told = [again for number, again in growing.told if number == growing.told[0][0]]
    documents = json.loads((growing.live / "incidents.json").read_text("utf-8"))
    assert [one["pattern"] for one in documents] == ["port_scan"] and documents[0]["packets"] == 9200
    assert told == [False, True]  # with 360 packets and with 4,132, in 22 windows


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
    assert "of 10.0.0.2 and 10.0.0.3 in" in run.table["title"].iloc[0]


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
    furthest = "failed connections 6, usually up to 2"
    assert row["title"] == f"{A} behaved unusually towards {B} and {C} with TCP/443 in 47 s: {furthest}"
    assert row["reasons"] == (
        "failed connections 6 (usually up to 2; 6 spreads out); sent share of the data 6% (usually up to 2%; 0 spreads "
        "out); this service was used by anybody in none of the baseline's windows"
    )
    assert row["packets"] == 18 and set(run.of_packet) == set(run.table["incident_id"])


def test_an_explanation_adds_up_all_anomalous_rows_of_the_incident():
    rows = session(3, A, B, 443, 40000) + session(7, A, C, 443, 40001) + session(50, A, B, 443, 40002)
    run = Run(rows, {(A, B): 0.9, (A, C): 0.95}, restarts=True)
    (told,) = {one["incident_id"]: one for one in run.documents}.values()
    total = sum(splits for draft, splits in run.splits if run.incident[draft] == told["incident_id"])
    assert len(run.splits) == 7  # in windows of three lengths
    entries = told["explanation"]
    names = ["conversation_failed_count", "conversation_upload_ratio", "novelty_service_ratio"]
    assert [one["feature"] for one in entries] == names  # what made it less unusual, or is usual, is no reason
    shares = total[[0, 1, 3]] / total[[0, 1, 3]].sum()
    assert [one["share"] for one in entries] == pytest.approx(shares.tolist(), abs=1e-4)
    assert entries[0]["value"] == 6 and entries[0]["usual_high"] == 2.9
    assert entries[2]["value"] is None
    here = "failed connections up to 2, sent share of the data up to 2% in 10 s"
    assert told["normal"] == f"In the baseline: {here}."
    assert json.loads(json.dumps(told["explanation"], allow_nan=False)) == entries


def test_an_incident_has_the_community_ids_of_its_heaviest_flows():
    rows = session(3, A, B, 443, 40000) + session(7, A, C, 443, 40001) * 2 + session(8, A, D, 25, 41000)
    run = Run(rows, {(A, B): 0.9, (A, C): 0.95})
    made = communityid.CommunityID()
    wanted = [made.calc(communityid.FlowTuple.make_tcp(A, to, port, 443)) for to, port in ((C, 40001), (B, 40000))]
    assert run.documents[-1]["community_ids"] == wanted
    many = Run(scan(3, 200, 0.5)).documents[-1]["community_ids"]
    assert len(many) == len(set(many)) == 20
    assert Run([arp(1, A, B, 1)], {(A, B): 0.9}).documents[-1]["community_ids"] == []


def test_pings_have_the_community_id_that_other_tools_give_them():
    flow_table, _ = flows(table([icmp(1, A, B, 8), icmp(1.1, B, A, 0)]))
    (found,) = community.ids(flow_table, np.array([0]), 20)
    assert found == communityid.CommunityID().calc(communityid.FlowTuple.make_icmp(A, B, 8, 0))


def test_every_feature_and_every_pattern_has_words():
    names = [column.name for column in tables.FEATURE_COLUMNS]
    assert set(explanation.WORDS) == set(names) and set(explanation.NOVEL) == set(NOVELTIES)
    assert len(set(explanation.WORDS.values())) == len(names)
    assert {name for name, (_, severity, _) in patterns.KINDS.items() if severity != "info"} <= set(words.NORMAL)


@pytest.mark.parametrize(
    ("feature", "value", "low", "high", "said"),
    [
        ("source_flows_count", 1234.0, 0.0, 3.9, "connections of the source 1,234 (usually up to 3; 7 spreads out)"),
        ("conversation_rst_count", 4.0, 0.0, 0.49, "resets 4 (usually none; 7 spreads out)"),
        (
            "conversation_turns_mean_count",
            0.1,
            0.0,
            3.9,
            "turns of the dialogue in a connection 0.1 (usually up to 3.9; ",
        ),
        ("conversation_upload_ratio", 0.98, 0.0, 0.5, "sent share of the data 98% (usually up to 50%; 7 spreads out)"),
        (
            "conversation_payload_per_flow_bytes",
            9.0,
            48.94,
            456.0,
            "data in a connection 9 bytes (usually 48.9 to 456 b",
        ),
        (
            "source_peak_flows_per_s",
            40.0,
            0.0,
            9.7,
            "peak rate of the source's new connections 40/s (usually up to 9.7/s",
        ),
    ],
)
def test_a_feature_is_told_in_words_and_units(feature, value, low, high, said):
    unit = next(unit for ending, unit in explanation.UNITS.items() if feature.endswith(ending))
    entry = {"feature": feature, "words": explanation.WORDS[feature], "value": value, "unit": unit}
    assert explanation.said(entry | {"usual_low": low, "usual_high": high, "spreads": 7.0}).startswith(said)


def test_what_is_rarer_than_the_setting_is_medium():
    assert Run(session(3, A, B, 443, 40000), {(A, B): 0.99}).table["severity"].tolist() == ["medium"]


def test_unusual_rows_of_a_named_incidents_source_or_victim_belong_to_it():
    rows = scan(3, 40, 0.1) + session(4, A, C, 443, 41000) + session(5, B, D, 25, 42000) + session(6, C, B, 80, 43000)
    run = Run(rows, {(A, C): 0.9, (B, D): 0.95, (C, B): 0.99})
    assert run.brief() == [("port_scan", A)]
    row = run.table.iloc[0]
    assert row["score"] == 0.99 and row["reasons"].count("unusual: failed connections") == 1
    assert set(run.incident.values()) == {row["incident_id"]}


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
    merger = merger_of()
    of_row, of_flow = merger.push(10, START + 10 * SECOND, scored, [])
    merger.flush()
    (incident,) = merger.changed()
    assert (of_row.tolist(), of_flow.tolist(), merger.decided()) == ([0], [], [(0, incident["incident_id"])])


# ---------------------------------------------------------------- laws


def mixed() -> tuple[list[dict], dict]:
    rows = scan(3, 200, 0.5) + scan(590, 60, 0.5, src=C) + session(4, A, D, 443, 41000) + session(650, D, B, 80, 43000)
    return rows, {(A, D): 0.9, (D, B): 0.95}


@pytest.mark.parametrize("how", [{"restarts": True}, {"eager": True}, {"restarts": True, "eager": True}])
def test_incidents_depend_neither_on_restarts_nor_on_when_time_is_told(how):
    one, other = Run(*mixed()), Run(*mixed(), **how)
    pd.testing.assert_frame_equal(one.table, other.table)
    assert one.of_packet == other.of_packet and one.incident == other.incident


def test_an_id_is_fixed_from_the_first_and_says_nothing():
    run = Run(*mixed())
    told: dict[str, list] = {}
    for document in run.documents:
        told.setdefault(document["incident_id"], []).append((document["detected"], document["source"]))
    assert len(told) == len(run.table) and all(len(set(what)) == 1 for what in told.values())
    assert max(map(len, told.values())) > 5
    assert all(re.fullmatch("I[0-9a-f]{8}", one) for one in told)
    later = Run(scan(3, 60, 0.5), {})
    assert later.table["incident_id"][0] == Run(scan(3, 200, 0.5)).table["incident_id"][0]
    assert later.table["incident_id"][0] != Run(scan(3.001, 60, 0.5)).table["incident_id"][0]


def test_an_id_that_is_taken_is_not_given_again():
    (draft,) = [draft for _, draft in half_way(settle_s=60)._waiting]
    first = Story.begun(draft, 0, []).incident_id
    second = Story.begun(draft, 0, [first]).incident_id
    assert first != second != Story.begun(draft, 0, [first, second]).incident_id


def half_way(**changed: int) -> IncidentMerger:
    """A merger that was told of one unusual conversation."""
    merger = merger_of(**changed)
    merger.push(10, START + 10 * SECOND, rows_of(flows(table(session(3, A, B, 443, 40000)))[0], {(A, B): 0.9}), [])
    return merger


def test_detected_is_the_end_of_the_window_that_first_showed_it_or_when_nothing_named_it():
    rows, unusual = mixed()
    detected = Run(rows, unusual).table.set_index(["pattern", "source"])["detected"] - START
    assert detected["port_scan", A] == 20 * SECOND  # the first window has but 14 of the 15 ports
    assert detected["unusual_behaviour", D] == (660 + SETTINGS.detect.incidents.settle_s) * SECOND


def test_an_unusual_conversation_waits_for_a_name():
    rows = scan(13, 40, 0.1) + session(8, A, C, 443, 41000)  # the scan is seen a window later
    assert Run(rows, {(A, C): 0.9}).brief() == [("port_scan", A), ("unusual_behaviour", A)]  # not at the very time
    rows = scan(13, 40, 0.1) + session(8, A, B, 443, 41000)
    assert Run(rows, {(A, B): 0.9}).brief() == [("port_scan", A)]
    assert Run(rows, {(A, B): 0.9}, settle_s=0).brief() == [("port_scan", A), ("unusual_behaviour", A)]
    merger = half_way()
    merger.advance(START + (10 + SETTINGS.detect.incidents.settle_s) * SECOND - 1)
    assert merger.changed() == []
    merger.advance(START + (10 + SETTINGS.detect.incidents.settle_s) * SECOND)
    assert [row["pattern"] for row in merger.changed()] == ["unusual_behaviour"]


def test_a_story_is_closed_when_nothing_can_be_added_and_its_memory_freed():
    chosen = SETTINGS.detect.incidents
    merger = half_way()
    merger.advance(START + (3 + 600 + chosen.gap_s + chosen.absorb_s) * SECOND)
    assert len(merger.open_ids()) == 1
    merger.advance(START + (4 + 600 + chosen.gap_s + chosen.absorb_s) * SECOND)
    assert merger.open_ids() == []
    assert len(merger.changed()) == len(merger.decided()) == 1 and merger.state()["stories"] == []


def test_what_goes_on_for_ever_is_told_anew():
    rows = flat(scan(start, 20, 0.1) for start in range(0, 8000, 250))
    run = Run(rows, most_age_s=3600)
    assert run.brief() == [("port_scan", A)] * 3
    assert sorted(run.table["packets"])[-1] < 40 * 25
    assert Run(rows).brief() == [("port_scan", A)]


def test_a_sweep_that_began_as_one_by_arp_takes_the_better_name_and_keeps_its_id():
    hosts = [f"10.0.0.{i}" for i in range(20, 80)]
    asks = [arp(3 + i / 100, A, host, 1, MACS[0]) for i, host in enumerate(hosts)]
    probes = flat(probe(12 + i / 100, A, host, 23, "RA") for i, host in enumerate(hosts))
    run = Run(asks + probes)
    assert run.brief() == [("port_sweep", A)]
    assert next(d["pattern"] for d in run.documents) == "arp_sweep"
    assert len({d["incident_id"] for d in run.documents}) == 1


def test_memory_is_bounded_and_what_it_costs_is_counted(monkeypatch):
    monkeypatch.setattr(merger_module, "MOST_STORIES", 5)
    monkeypatch.setattr(merger_module, "MOST_WAITING", 3)
    rows = flat(session(1 + i, f"10.1.0.{i}", f"10.2.0.{i}", 443, 40000) for i in range(30))
    run = Run(rows, {(f"10.1.0.{i}", f"10.2.0.{i}"): 0.9 for i in range(30)})
    assert run.evicted["drafts"] > 20 and run.evicted["stories"] > 20
    assert set(run.table["source"]) == {f"10.1.0.{i}" for i in range(30)}  # told all the same


def test_very_many_unusual_pairs_in_one_window_become_few_drafts(monkeypatch):
    monkeypatch.setattr(merger_module, "MOST_DRAFTS", 4)
    one_to_many = flat(session(1, A, f"10.1.0.{i}", 443, 40000) for i in range(60))
    assert Run(one_to_many, {(A, f"10.1.0.{i}"): 0.9 for i in range(60)}).table["source"].tolist() == [A]
    pairs = {(f"10.1.0.{i}", f"10.2.0.{i}"): 0.9 + i / 1000 for i in range(10)}
    run = Run(flat(session(1, *pair, 443, 40000) for pair in pairs), pairs)
    assert sorted(run.table["source"]) == [*(f"10.1.0.{i}" for i in range(6, 10)), "many"]
    assert run.table["title"][run.table["source"] == "many"].str.startswith("6 addresses behaved unusually").all()


@pytest.mark.parametrize("spoil", [lambda s: s.pop("stories"), lambda s: s.update(waiting=[[1]]), lambda s: s.clear()])
def test_a_state_that_is_none_is_refused(spoil):
    state = half_way().state()
    spoil(state)
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        merger_of().restore(state)


def test_the_worst_come_first():
    incidents = Run(*mixed()).table
    rank = ["critical", "high", "medium", "low"]
    places = [rank.index(severity) for severity in incidents["severity"]]
    assert places == sorted(places)


def test_every_anomalous_row_is_in_an_incident():
    run = Run(*mixed())
    for scored, of_row in run.rows:
        assert all(run.incident[draft] for draft in of_row[scored["anomaly"] == 1])


def test_the_table_is_one_of_the_contract(tmp_path):
    rows, unusual = mixed()
    for incidents in (Run(rows, unusual).table, Run(session(3, A, B, 443, 40000)).table):
        tables.write(tmp_path / "incidents.csv", tables.INCIDENTS, incidents)
        again = tables.read(tmp_path / "incidents.csv", tables.INCIDENTS)
        assert again["title"].astype(str).tolist() == incidents["title"].astype(str).tolist()


# ---------------------------------------------------------------- words and filters


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "an instant"), (0.0782, "78.2 ms"), (1.4, "1.4 s"), (119, "119 s"), (180, "3 min"), (9000, "2.5 h")],
)
def test_spans_are_said_as_people_do(seconds, text):
    assert quantities.span(seconds) == text


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
        ("dga", A, [B], ["UDP/53"], {"missing": 30}),
        ("rogue_router", "fe80::1", ["ff02::1"], ["ICMPv6/134"], {"routers": 1}),
        ("nd_spoofing", "fe80::1", ["fe80::2"], ["ICMPv6/136"], {"hardware_address": MACS[0], "taken": "fe80::2"}),
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
    merger = merger_of()
    _, of_flow = merger.push(10, START + 10 * SECOND, rows_of(flow_table, {}), [one, listed], flow_table)
    incidents, decided = {row["incident_id"]: row for row in merger.changed()}, dict(merger.decided())
    assert {incidents[decided[draft]]["pattern"] for draft in of_flow} == {"threat_list"}
    assert [row["packets"] for row in incidents.values()] == [80, 80]


def test_a_tcp_row_of_one_packet_is_enough_for_an_incident():
    assert Run([tcp(1, A, B, 1, 2, "S")], {(A, B): 0.9}).brief() == [("unusual_behaviour", A)]
