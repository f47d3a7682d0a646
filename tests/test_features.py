"""What a row of features.csv says, as examples and as laws."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import MACS, SECOND, START, arp, captures, icmp, table, tcp, udp

from netnormal import tables
from netnormal.features import Window, Windower, conversations, flows, window_features
from netnormal.kernels import group as kernels
from netnormal.settings import ExtractFeatures
from netnormal.tables.flow_columns import FLOWS, OUTCOMES

NAMES = [feature.name for feature in tables.FEATURE_COLUMNS]
KEY = ["source", "destination", "service"]
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def in_order(packets: pd.DataFrame) -> pd.DataFrame:
    return packets.iloc[np.argsort(packets["time"].to_numpy(), kind="stable")]


def features(rows: list[dict] | pd.DataFrame, window_s: int = 10) -> pd.DataFrame:
    packets = rows if isinstance(rows, pd.DataFrame) else table(rows)
    return window_features(Window(window_s, START, in_order(packets)))


def by_key(found: pd.DataFrame) -> dict[tuple[str, str, str], pd.Series]:
    return {tuple(row[name] for name in KEY): row for _, row in found.astype(dict.fromkeys(KEY, object)).iterrows()}


def flow_of(*rows: dict) -> pd.Series:
    found, _ = flows(in_order(table(list(rows))))
    assert len(found) == 1
    return found.iloc[0]


# ---------------------------------------------------------------- kernels and their slow twins

ints = st.integers(-3, 3)
groups = st.lists(st.integers(0, 3), min_size=1, max_size=30)


def array(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


@given(st.lists(st.tuples(st.one_of(ints, st.integers(-(2**62), 2**62)), ints), max_size=60))
def test_kernel_pair_ids_numbers_pairs_in_order_of_appearance(pairs):
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    ids, first = kernels.pair_ids(array(a), array(b))
    assert (ids.tolist(), first.tolist()) == reference.pair_ids(a, b)


@given(groups, st.data())
def test_kernel_peaks(group, data):
    values = data.draw(st.lists(st.integers(0, 9), min_size=len(group), max_size=len(group)))
    assert kernels.peaks(array(group), array(values), 4).tolist() == reference.peaks(group, values, 4)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=25))
def test_kernel_most_open(intervals):
    intervals.sort(key=lambda i: i[1])
    group, start, end = [i[0] for i in intervals], [i[1] for i in intervals], [i[1] + i[2] for i in intervals]
    order = np.argsort(array(end), kind="stable")
    found = kernels.most_open(array(group), array(start), array(end), order, 3)
    assert found.tolist() == reference.most_open(group, start, end, 3)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.booleans()), min_size=1, max_size=40))
def test_kernel_call_gaps(rows):
    group, time = [r[0] for r in rows], sorted(r[1] * SECOND // 3 for r in rows)
    outward = [int(r[2]) for r in rows]
    found = kernels.call_gaps(array(group), array(time), array(outward), SECOND, 3)
    for one, wanted in zip(zip(*found, strict=True), reference.call_gaps(group, time, outward, SECOND, 3), strict=True):
        assert one == pytest.approx(wanted, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 2)), min_size=1, max_size=30))
def test_kernel_unmatched(rows):
    flow, time = [r[0] for r in rows], sorted(r[1] for r in rows)
    ask, answer = [r[2] == 1 for r in rows], [r[2] == 2 for r in rows]
    limits = array([4, 4, 4]), array([16, 16, 16])
    waiting, unasked = kernels.unmatched(array(flow), array(time), np.array(ask), np.array(answer), *limits, 3)
    assert (waiting.tolist(), unasked.tolist()) == reference.unmatched(flow, time, ask, answer, 4, 16, 3)


@given(st.lists(st.binary(min_size=0, max_size=12), max_size=6))
def test_kernel_name_bits(names):
    offsets = np.cumsum([0, *map(len, names)])
    found = kernels.name_bits(offsets.astype(np.int64), np.frombuffer(b"".join(names), np.uint8))
    assert found.tolist() == pytest.approx([reference.entropy(name) if name else 0 for name in names])


@settings(max_examples=150, deadline=None)
@given(captures())
def test_kernels_together_give_the_features_that_plain_python_gives(packets):
    found = by_key(features(packets))
    wanted = reference.window_features(10, START, in_order(packets))
    assert found.keys() == wanted.keys()
    for key, row in found.items():
        assert row["kind"] == wanted[key]["kind"]
        for name in NAMES:
            value = wanted[key][name]
            assert row[name] == pytest.approx(np.nan if value is None else value, nan_ok=True, abs=1e-9), (key, name)


def test_kernels_agree_with_their_twins_without_compilation():
    """The same tests with NUMBA_DISABLE_JIT=1: what numba compiles means what Python means."""
    named = "test_kernel_ or test_kernels_together"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-k", named, __file__],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "7 passed" in done.stdout


# ---------------------------------------------------------------- who asked whom


def test_a_flow_has_the_columns_of_its_schema():
    found, row = flows(table([tcp(0, A, B, 40000, 80, "S"), tcp(0.1, B, A, 80, 40000, "SA")]))
    assert list(found) == FLOWS.names
    assert row.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("rows", "source", "service"),
    [
        pytest.param([tcp(0, A, B, 80, 443, "S")], A, "TCP/443", id="a SYN is sent by who initiates"),
        pytest.param([tcp(0, A, B, 22, 50000, "SA")], B, "TCP/22", id="a SYN+ACK is sent to who initiated"),
        pytest.param([tcp(0, A, B, 40000, 22, "SA")], B, "TCP/40000", id="even to a high port"),
        pytest.param([tcp(0, A, B, 443, 50000, "PA")], B, "TCP/443", id="a system port responds"),
        pytest.param([udp(0, A, B, 5060, 50000)], B, "UDP/5060", id="a port below the ephemeral range responds"),
        pytest.param([udp(0, A, B, 50000, 60000)], A, "UDP/60000", id="else who is seen first initiates"),
        pytest.param([udp(0, A, B, 123, 123)], A, "UDP/123", id="as with equal ports"),
        pytest.param([udp(0, A, "224.0.0.251", 53, 50000)], A, "UDP/50000", id="a multicast address never initiates"),
        pytest.param([icmp(0, A, B, 8)], A, "ICMP/8", id="an echo request asks"),
        pytest.param([icmp(0, A, B, 0)], B, "ICMP/8", id="an echo reply was asked for"),
        pytest.param([icmp(0, A, B, 14)], B, "ICMP/13", id="so was a timestamp reply"),
        pytest.param([icmp(0, A, B, 129, protocol="ICMPv6")], B, "ICMPv6/128", id="and an ICMPv6 echo reply"),
        pytest.param([icmp(0, A, B, 3)], A, "ICMP/3", id="an ICMP error is its own service"),
        pytest.param([arp(0, A, B, 1)], A, "ARP", id="an ARP request asks"),
        pytest.param([arp(0, A, B, 2)], B, "ARP", id="an ARP reply was asked for"),
        pytest.param([udp(0, A, B, None, None, fragment=2)], A, "UDP", id="a later fragment has no port"),
        pytest.param(
            [{"time": START, "length": 60, "src_mac": MACS[0], "protocol": "LLDP"}], MACS[0], "LLDP", id="MAC"
        ),
        pytest.param([{"time": START, "length": 60}], "-", "-", id="nothing known"),
    ],
)
def test_direction_and_service(rows, source, service):
    found = flow_of(*rows)
    assert (found["source"], found["service"]) == (source, service)


@pytest.mark.parametrize(
    ("outcome", "rows"),
    [
        ("answered", [tcp(0, A, B, 40000, 80, "S"), tcp(0.1, B, A, 80, 40000, "SA"), tcp(0.2, A, B, 40000, 80, "A")]),
        ("answered", [tcp(0, A, B, 40000, 80, "A"), tcp(0.1, B, A, 80, 40000, "PA", 9)]),
        ("answered", [tcp(0, A, B, 40000, 80, "PA", 9), tcp(0.1, B, A, 80, 40000, "R")]),
        ("answered", [icmp(0, A, B, 8), icmp(0.1, B, A, 0)]),
        ("answered", [arp(0, A, B, 1), arp(0.1, B, A, 2)]),
        ("refused", [tcp(0, A, B, 40000, 80, "S"), tcp(0.1, B, A, 80, 40000, "RA")]),
        ("refused", [tcp(0, A, B, 40000, 80, "F"), tcp(0.1, B, A, 80, 40000, "RA")]),
        ("refused", [tcp(0, A, B, 40000, 80, "A"), tcp(0.1, B, A, 80, 40000, "R")]),
        ("unanswered", [tcp(0, A, B, 40000, 80, "S"), tcp(1, A, B, 40000, 80, "S")]),
        ("unanswered", [tcp(0, A, B, 40000, 80, "FPU")]),
        ("unanswered", [udp(0, A, B, 40000, 53)]),
        ("unanswered", [arp(0, A, B, 1)]),
        ("broadcast", [udp(0, A, "239.255.255.250", 40000, 1900)]),
        ("broadcast", [udp(0, A, "10.0.0.255", 138, 138, dst_mac=MACS[3])]),
        ("broadcast", [arp(0, A, A, 1)]),
        ("midstream", [tcp(0, A, B, 40000, 80, "A"), tcp(1, A, B, 40000, 80, "FA")]),
        ("midstream", [tcp(0, B, A, 80, 40000, "PA", 100)]),
        ("midstream", [arp(0, B, A, 2)]),
        ("notice", [icmp(0, A, B, 3)]),
    ],
)
def test_outcome(outcome, rows):
    assert OUTCOMES[flow_of(*rows)["outcome"]] == outcome


def test_flows_count_both_directions_and_time_the_handshake():
    found = flow_of(
        tcp(0, A, B, 40000, 80, "S"),
        tcp(0.25, B, A, 80, 40000, "SA"),
        tcp(0.5, A, B, 40000, 80, "A"),
        tcp(0.5, A, B, 40000, 80, "PA", 100),
        tcp(1, B, A, 80, 40000, "PA", 900),
        tcp(2, A, B, 40000, 80, "PA", 10),
        tcp(3, B, A, 80, 40000, "R"),
    )
    assert found["packets_out"] == 4
    assert found["packets_in"] == 3
    assert (found["payload_out"], found["payload_in"]) == (110, 900)
    assert (found["bytes_out"], found["bytes_in"]) == (4 * 54 + 110, 3 * 54 + 900)
    assert (found["handshake_s"], found["turns"], found["rst_in"], found["half_open"]) == (0.25, 2, 1, 0)


def test_conversations_are_sorted_and_keep_keys_apart_that_joined_strings_would_mix():
    rows = [{"time": START, "length": 60, "src_mac": f"02:00:00:00:00:{n}", "protocol": "x"} for n in ("2a", "10", "2")]
    found, _ = flows(table(rows))
    keys, row = conversations(found)
    assert keys["source"].tolist() == sorted(found["source"])
    assert keys["source"].iloc[row].tolist() == found["source"].tolist()


def test_packets_out_of_order_are_refused():
    with pytest.raises(ValueError, match="order of time"):
        flows(table([udp(1, A, B, 40000, 53), udp(0, A, B, 40000, 53)]))


# ---------------------------------------------------------------- laws


@settings(max_examples=60, deadline=None)
@given(captures(), st.permutations(range(3)), st.permutations(range(2)), st.integers(1, 9))
def test_features_hold_no_address_and_no_time(packets, ipv4, ipv6, shift):
    """Renaming the hosts, and moving the clock by whole windows, changes nothing but the key."""
    names = [*(f"10.0.0.{i + 1}" for i in ipv4), "192.0.2.9", "0.0.0.0", "224.0.0.251"]
    names += [*(f"fd00::{i + 1}" for i in ipv6), "ff02::fb"]
    rename = dict(
        zip([A, B, C, "192.0.2.9", "0.0.0.0", "224.0.0.251", "fd00::1", "fd00::2", "ff02::fb"], names, strict=True)
    )
    rename |= {"02:00:00:00:00:01": "02:00:00:00:00:03", "02:00:00:00:00:03": "02:00:00:00:00:01"}
    moved = packets.assign(time=packets["time"] + shift * 600 * SECOND)
    for name in ("src_ip", "dst_ip", "src_mac", "dst_mac"):
        moved[name] = pd.Categorical(packets[name].astype(object).map(lambda word: rename.get(word, word)))
    before = by_key(features(packets))
    after = by_key(window_features(Window(10, START + shift * 600 * SECOND, in_order(moved))))
    assert {tuple(rename.get(word, word) for word in key) for key in before} == after.keys()
    for key, row in before.items():
        other = after[tuple(rename.get(word, word) for word in key)]
        np.testing.assert_array_equal(other[NAMES].to_numpy(float), row[NAMES].to_numpy(float))


@settings(max_examples=60, deadline=None)
@given(captures())
def test_features_hold_no_port(packets):
    """Other ports of the same class (system, registered, ephemeral) change nothing but the name of the service."""
    renumber = {22: 53, 53: 22, 80: 443, 443: 80, 5353: 8443, 8443: 5353, 33000: 50000, 50000: 33000}
    moved = packets.copy()
    for name in ("src_port", "dst_port"):
        moved[name] = packets[name].map(lambda port: renumber.get(port, port)).astype(np.int64)

    def service(word: str) -> str:
        protocol, _, port = word.partition("/")
        return f"{protocol}/{renumber.get(int(port), port)}" if protocol in ("TCP", "UDP") and port else word

    before, after = by_key(features(packets)), by_key(features(moved))
    for (source, destination, name), row in before.items():
        other = after[source, destination, service(name)]
        np.testing.assert_array_equal(other[NAMES].to_numpy(float), row[NAMES].to_numpy(float))


def test_no_feature_is_named_after_an_identifier():
    for name in NAMES:
        assert name.startswith(("conversation_", "source_", "destination_"))
        assert name.endswith(("_count", "_bytes", "_s", "_per_s", "_ratio", "_bits"))
        words = set(name.split("_"))
        assert not words & {"ip", "mac", "address", "port", "time", "packet", "id", "number", "ttl", "vlan"}, name


def test_there_are_no_more_features_than_a_person_can_read():
    assert len(NAMES) == len(set(NAMES)) < 70


@settings(max_examples=60, deadline=None)
@given(captures())
def test_rows_follow_the_schema_and_account_for_every_packet(packets):
    found = features(packets)
    assert list(found) == tables.FEATURES.names
    assert found["packets"].sum() == len(packets)
    assert found["bytes"].sum() == packets["length"].sum()
    keys = [tuple(row) for row in found[KEY].astype(object).itertuples(index=False)]
    assert keys == sorted(set(keys))
    values = found[NAMES].to_numpy(float)
    assert not np.isinf(values).any()
    assert (np.nan_to_num(values) >= 0).all()
    ratios = found[[name for name in NAMES if name.endswith("_ratio")]].to_numpy(float)
    assert (np.nan_to_num(ratios) <= 1).all()


# ---------------------------------------------------------------- what they are for


def scan(ports: int = 50) -> list[dict]:
    return [tcp(1 + i / 100, A, B, 40000, 1000 + i, "S") for i in range(ports)]


def browse() -> list[dict]:
    rows = [udp(0.5, A, C, 50001, 53, dns_query="example.org", dns_type=1)]
    return [*rows, udp(0.6, C, A, 53, 50001, dns_query="example.org", dns_type=1, dns_rcode=0)]


def test_each_probe_of_a_scan_sees_the_scan_and_the_scanners_name_lookup_does_not():
    found = by_key(features(scan() + browse()))
    lookup, probe = found[A, C, "UDP/53"], found[A, B, "TCP/1007"]
    assert probe["source_services_at_destination_count"] == 50
    assert probe["source_failed_ratio"] == 1
    assert (lookup["source_services_count"], lookup["source_flows_count"]) == (1, 1)
    assert np.isnan(lookup["source_failed_ratio"])


def test_a_conversation_counts_with_the_class_of_most_of_its_flows():
    def shaken(time: float, port: int) -> list[dict]:
        rows = [tcp(time, A, B, port, 80, "S"), tcp(time + 0.1, B, A, 80, port, "SA")]
        return [*rows, tcp(time + 0.2, A, B, port, 80, "A")]

    mostly = shaken(1, 40001) + shaken(2, 40002) + [tcp(3, A, B, 40003, 80, "S")]
    row = by_key(features(mostly + scan()))[A, B, "TCP/80"]
    assert row["kind"] == "TCP answered"
    assert (row["conversation_failed_count"], row["source_flows_count"]) == (1, 2)
    tie = by_key(features([*shaken(1, 40001), tcp(3, A, B, 40003, 80, "S"), *scan()]))[A, B, "TCP/80"]
    assert (tie["kind"], tie["source_flows_count"]) == ("TCP failed", 51)


def test_being_cut_by_the_windows_end_is_no_failure():
    row = features([tcp(9.9, A, B, 40000, 80, "S")]).iloc[0]
    assert (row["kind"], row["conversation_failed_count"]) == ("TCP pending", 0)
    row = features([icmp(9.9, A, B, 8), icmp(0.2, C, B, 0), icmp(9.95, B, C, 8)])
    assert row["conversation_unanswered_count"].tolist() == [0, 0]
    assert row["conversation_unasked_count"].tolist() == [0, 0]


def ordinary(seconds: int) -> list[dict]:
    """A name lookup, a web page and a ping each second, all of them answered."""
    rows = []
    for i in range(seconds):
        port, t = 40000 + i, i + 0.3
        rows += [udp(t, A, C, port, 53, dns_query="example.org", dns_type=1)]
        rows += [udp(t + 0.05, C, A, 53, port, dns_query="example.org", dns_type=1, dns_rcode=0)]
        rows += [
            tcp(t + 0.1, A, B, port, 80, "S"),
            tcp(t + 0.2, B, A, 80, port, "SA"),
            tcp(t + 0.3, A, B, port, 80, "A"),
        ]
        rows += [tcp(t + 0.4, A, B, port, 80, "PA", 80), tcp(t + 0.5, B, A, 80, port, "PA", 900)]
        rows += [tcp(t + 0.6, B, A, 80, port, "FA"), tcp(t + 0.7, A, B, port, 80, "FA"), icmp(t + 0.8, A, B, 8)]
        rows += [icmp(t + 0.9, B, A, 0)]
    return sorted(rows, key=lambda row: row["time"])


def test_a_capture_that_begins_or_ends_anywhere_shows_nothing_unusual_for_that():
    packets = table(ordinary(12))
    for cut in range(1, len(packets) - 1, 3):
        for part in (packets.iloc[:cut], packets.iloc[cut:]):
            windower = Windower(ExtractFeatures(windows_s=(5,), lateness_s=1, packets_per_window=1000))
            for window in windower.push(part) + windower.flush():
                found = window_features(window)
                assert found["conversation_failed_count"].max() == 0
                assert not found["kind"].str.contains("failed").any()
                assert not (found["conversation_unanswered_count"] > 0).any()
                assert not (found["conversation_unasked_count"] > 0).any()
                assert found["conversation_flows_count"].max() <= 6


def test_a_clock_is_regular_and_chance_is_not():
    rng = np.random.default_rng(1)
    clock = [tcp(5 * i + 0.1, A, B, 40000 + i, 443, "S") for i in range(60)]
    chance = [tcp(t, A, C, 40000 + i, 443, "S") for i, t in enumerate(np.sort(rng.uniform(1, 590, 100)))]
    few = [tcp(5 * i, A, "192.0.2.9", 40000 + i, 443, "S") for i in range(4)]
    found = by_key(features(clock + chance + few, 600))
    assert found[A, B, "TCP/443"]["conversation_regularity_ratio"] > 0.99
    assert found[A, C, "TCP/443"]["conversation_regularity_ratio"] < 0.6
    assert np.isnan(found[A, "192.0.2.9", "TCP/443"]["conversation_regularity_ratio"])


def test_an_arp_spoofers_replies_are_unasked_and_from_an_odd_hardware_address():
    gateway = [r for i in range(5) for r in (arp(i, A, C, 1, MACS[0]), arp(i + 0.1, C, A, 2, MACS[2]))]
    spoofed = [arp(i + 2, C, B, 2, MACS[1]) for i in range(4)]
    found = by_key(features(gateway + spoofed))
    assert found[B, C, "ARP"]["conversation_unasked_count"] == 4
    assert found[B, C, "ARP"]["conversation_odd_macs_ratio"] == 1
    assert found[A, C, "ARP"]["conversation_unasked_count"] == found[A, C, "ARP"]["conversation_odd_macs_ratio"] == 0


def test_a_dns_tunnel_asks_many_long_odd_names_of_one_domain():
    tunnel = [
        udp(i / 10, A, B, 50000, 53, dns_query=f"{i:02}qz7x{i * 7919 % 1000:03}kv.t.evil.test", dns_type=16)
        for i in range(50)
    ]
    row = by_key(features(tunnel + browse()))[A, B, "UDP/53"]
    assert row["conversation_dns_names_per_domain_count"] == 50
    assert row["conversation_dns_odd_types_ratio"] == 1
    assert row["conversation_dns_name_mean_bytes"] == len("00qz7x000kv.t.evil.test")
    assert row["conversation_dns_name_entropy_bits"] > 3.3


def test_a_feature_without_meaning_is_empty_and_never_0():
    row = features([arp(0, A, B, 1), arp(0.1, B, A, 2)]).iloc[0]
    for name in (
        "payload_out_bytes",
        "empty_ratio",
        "rst_count",
        "dns_queries_count",
        "regularity_ratio",
        "ttls_count",
    ):
        assert np.isnan(row[f"conversation_{name}"]), name
    assert row["conversation_unanswered_count"] == 0
