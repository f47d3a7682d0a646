"""What summary.json says of a capture, against plain Python, and however the capture was cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import reference_traffic as reference
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from packets import MACS, SECOND, START, captures, table, tcp, udp

from netnormal import tables, traffic
from netnormal.kernels import traffic as kernels

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def summary(packets, cuts=(), **more):
    statistics = traffic.TrafficStatistics()
    edges = [0, *sorted(cut % (len(packets) + 1) for cut in cuts), len(packets)]
    for start, end in pairwise(edges):
        statistics.add(packets.iloc[start:end])
    return statistics.summary(**more)


def syn(t: float, src: str = A, dst: str = B, sport: int = 40000) -> dict:
    return tcp(t, src, dst, sport, 443, "S")


def syn_ack(t: float, src: str = B, dst: str = A, dport: int = 40000) -> dict:
    return tcp(t, src, dst, 443, dport, "SA")


# ---------------------------------------------------------------- examples


def test_the_size_speed_and_span_of_a_capture():
    rows = [udp(i / 4, A, B, 1, 2, payload=946) for i in range(9)]  # 1000 bytes each, in seconds 0, 1 and 2
    said = summary(table(rows))
    assert (said["packets"], said["bytes"], said["duration_s"]) == (9, 9000, 2.0)
    assert said["start"] == tables.iso(START) and said["end"] == tables.iso(START + 2 * SECOND)
    flow = said["throughput"]
    assert (flow["mean_packets_per_s"], flow["peak_packets_per_s"]) == (4.5, 4)
    assert flow["mean_mbit_per_s"] == pytest.approx(0.036) and flow["peak_mbit_per_s"] == pytest.approx(0.032)
    assert flow["series"] == {
        "bin_s": 1, "start": tables.iso(START), "packets": [4, 4, 1], "bytes": [4000, 4000, 1000]
    }  # fmt: skip


def test_a_long_capture_has_a_short_series():
    series = summary(table([udp(0, A, B, 1, 2), udp(86_399, A, B, 1, 2)]))["throughput"]["series"]
    assert (series["bin_s"], len(series["packets"]), sum(series["packets"])) == (300, 288, 2)


def test_handshakes_are_timed_by_service():
    rows = [syn(0), syn_ack(0.010), syn(1, sport=40001), syn_ack(1.030, dport=40001), syn(2, C), syn_ack(2.5, B, C)]
    said = summary(table(rows))["handshake_latency"]
    assert (said["count"], said["max_s"]) == (3, 0.5)
    assert said["median_s"] == pytest.approx(0.03, rel=0.01) and said["p95_s"] == 0.5
    (service,) = said["services"]
    assert (service["address"], service["service"], service["count"]) == (B, "TCP/443", 3)


@pytest.mark.parametrize(
    "rows",
    [
        [syn(0), syn(1), syn_ack(1.01)],  # which of the two was answered?
        [syn(0)],
        [syn_ack(0.01)],
        [syn(0), syn_ack(0.01, C)],
        [syn(0), syn_ack(200)],
        [syn(0), tcp(0.01, B, A, 443, 40000, "RA")],
    ],
)
def test_what_is_no_sure_handshake_is_not_timed(rows):
    said = summary(table(rows))["handshake_latency"]
    assert said == {"count": 0, "median_s": None, "p95_s": None, "max_s": None, "services": []}


def test_a_second_connection_from_the_same_port_is_timed_anew():
    rows = [syn(0), syn_ack(0.01), syn_ack(0.5), syn(10), syn_ack(10.02)]
    assert summary(table(rows))["handshake_latency"]["count"] == 2


def test_protocols_sizes_and_addresses_are_counted():
    rows = [
        tcp(0, A, B, 1, 2, "A", src_mac=MACS[0]),
        udp(1, B, C, 1, 2, 1464, src_mac=MACS[1]),
        udp(2, B, C, 1, 2, 1465),
    ]
    said = summary(table([*rows, {"time": START, "length": 60}]))
    first = said["protocols"][0]
    assert (first["protocol"], first["packets"], first["packet_share"]) == ("UDP", 2, 0.5)
    assert [p["protocol"] for p in said["protocols"]] == ["UDP", "TCP", "not decoded"]
    assert said["packet_sizes"]["packets"] == [2, 0, 0, 0, 0, 1, 1]
    assert said["distinct"] == {
        "ip_addresses": 3, "source_ip_addresses": 2, "destination_ip_addresses": 2,
        "sending_hardware_addresses": 2, "exact": True,
    }  # fmt: skip
    top = said["talkers"]["sources_by_packets"][0]
    assert (top["address"], top["packets_sent"], top["packets_received"]) == (B, 2, 1)
    assert [t["address"] for t in said["talkers"]["destinations_by_packets"]] == [C, B]


def test_an_empty_capture_has_a_summary_that_says_so():
    said = summary(tables.empty(tables.PACKETS))
    assert (said["packets"], said["start"], said["protocols"]) == (0, None, [])
    assert said["health"]["status"] == "degraded" and said["health"]["reasons"] == ["the capture has no packets"]
    json.dumps(said)


# ---------------------------------------------------------------- health


def test_a_sound_capture_is_ok():
    rows = [udp(i, A, B, 1, 2) for i in range(9)]
    health = summary(table(rows), manifest={"kernel_drops": 0, "interface_drops": None})["health"]
    assert (health["status"], health["reasons"]) == ("ok", [])
    assert (health["kernel_drops"], health["interface_drops"]) == (0, None)


@pytest.mark.parametrize(
    ("rows", "more", "says"),
    [
        ([{"undecoded": "truncated IPv4 header"}], {}, "10.0% of the packets could not be decoded to the end, most"),
        ([], {"late_packets": 1200}, "1,200 packets came too late"),
        ([{"time": START - 5 * SECOND}], {}, "the clock went back 1 times, by up to 13 s"),
        ([], {"manifest": {"kernel_drops": 7}}, "the kernel lost 7 packets"),
        ([], {"manifest": {"interface_drops": 7}}, "the interface lost 7 packets"),
        ([], {"manifest": {"duplicate_packets": 3}}, "33.3% of the packets were captured twice"),
        ([], {"manifest": {"packets": 50, "oversized_packets": 2}}, "4.0% of the packets are longer than the wire"),
        ([], {"manifest": {"problems": ["the file ends in the middle of a packet"]}}, "the file ends in the middle"),
    ],
)
def test_what_is_missing_or_doubtful_degrades_it(rows, more, says):
    base = [udp(i, A, B, 1, 2) for i in range(9)]
    health = summary(table([*base, *(udp(8, A, B, 1, 2) | row for row in rows)]), **more)["health"]
    assert health["status"] == "degraded" and len(health["reasons"]) == 1 and health["reasons"][0].startswith(says)


# ---------------------------------------------------------------- laws


@hypothesis_settings(deadline=None, max_examples=60)
@given(captures(span_s=40))
def test_the_summary_is_what_plain_python_says(packets):
    said = summary(packets)
    count, size = reference.per_second(packets)
    assert said["throughput"]["peak_packets_per_s"] == max(count.values())
    assert said["throughput"]["peak_mbit_per_s"] == pytest.approx(max(size.values()) * 8e-6)
    first = min(count)
    assert said["throughput"]["series"]["packets"] == [count[first + i] for i in range(max(count) - first + 1)]
    found = [latency for latency, _ in reference.latencies(packets, traffic.SYN_WAIT_NS)]
    latency = said["handshake_latency"]
    assert latency["count"] == len(found)
    if found:
        assert latency["max_s"] == max(found) / SECOND
        for name, q in (("median_s", 0.5), ("p95_s", 0.95)):
            assert latency[name] == pytest.approx(reference.quantile(found, q) / SECOND, rel=0.01, abs=2e-9)
    talkers = reference.talkers(packets)
    assert said["distinct"]["ip_addresses"] == len(talkers)
    for row in said["talkers"]["sources_by_packets"]:
        assert [row[name] for name in traffic._Talkers.COLUMNS] == talkers[row["address"]]
    assert sum(p["packets"] for p in said["protocols"]) == sum(said["packet_sizes"]["packets"]) == len(packets)


@hypothesis_settings(deadline=None, max_examples=40)
@given(captures(), st.lists(st.integers(0, 100), max_size=4), st.sampled_from([1, 3, 1 << 18]))
def test_the_summary_does_not_depend_on_how_the_capture_was_cut(packets, cuts, stride):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "STRIDE", stride)
        patch.setattr(traffic, "MOST_TALKERS", 2)
        patch.setattr(traffic, "MOST_SERVICES", 1)
        patch.setattr(traffic, "MOST_WAITING", 3)
        assert summary(packets, cuts) == summary(packets)


@hypothesis_settings(deadline=None, max_examples=60)
@given(captures())
def test_strides_do_not_matter_as_long_as_nothing_is_forgotten(packets):
    whole = summary(packets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "STRIDE", 3)
        assert summary(packets) == whole


def test_the_heavy_stay_and_the_error_is_bounded_when_a_flood_of_sources_is_forgotten(monkeypatch):
    monkeypatch.setattr(traffic, "STRIDE", 100)
    monkeypatch.setattr(traffic, "MOST_TALKERS", 50)
    rows = [udp(i / 100, A if i % 4 == 0 else f"203.0.{i // 250}.{i % 250}", B, 1, 2) for i in range(2000)]
    said = summary(table(rows))
    talkers = said["talkers"]
    assert talkers["sources_by_packets"][0]["address"] == A
    assert talkers["forgotten_addresses"] > 1000
    assert 0 <= 500 - talkers["sources_by_packets"][0]["packets_sent"] <= talkers["packets_missing_at_most"]
    assert said["distinct"]["source_ip_addresses"] == 1501
    assert traffic.top_talkers([table(rows)], 2) == [B, A]


def test_more_distinct_addresses_than_are_counted_are_said_to_be_so(monkeypatch):
    monkeypatch.setattr(traffic, "MOST_DISTINCT", 5)
    distinct = summary(table([udp(i, f"10.0.1.{i}", B, 1, 2) for i in range(9)]))["distinct"]
    assert (distinct["source_ip_addresses"], distinct["exact"]) == (5, False)


@hypothesis_settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([1, 2, 1, 2, 3]), st.integers(-1, 6)), max_size=30))
def test_handshakes_are_what_their_twin_says(packets):
    key, kind, gap = (np.array([p[i] for p in packets], np.int64) for i in range(3))
    time = np.cumsum(gap)
    latency, waiting = kernels.handshakes(key, kind.astype(np.int8), time, 9)
    assert (latency.tolist(), waiting.tolist()) == reference.handshakes(key, kind, time, 9)


def test_the_kernel_says_the_same_without_compilation():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "twin", __file__]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_losses_below_the_bearable_share_are_told_but_do_not_degrade():
    about = {"kernel_drops": 7, "packets": 99_993, "drop_share_limit": 0.0001}
    assert summary(table([]), manifest=about)["health"]["kernel_drops"] == 7
    assert "the kernel lost 7 packets" not in " ".join(summary(table([]), manifest=about)["health"]["reasons"])
    worse = about | {"packets": 50_000}
    assert "the kernel lost 7 packets" in " ".join(summary(table([]), manifest=worse)["health"]["reasons"])
