"""benchmarks/inject.py: what it puts into a capture is what it says, and is judged as it should be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import detection as benchmark
from benchmarks import frames_made, inject, injections
from netnormal import frames, settings, tables

SECOND = frames_made.SECOND
ROOT_MAC = "02:00:00:00:00:01"
CLIENTS = [frames_made.End(f"10.0.0.{n}", f"02:00:00:00:00:{n}") for n in (11, 12, 13)]
SERVER = frames_made.End("10.0.0.5", "02:00:00:00:00:05")
BEYOND = [frames_made.End(f"192.0.2.{n}", ROOT_MAC, 55) for n in (1, 2)]
RANDOM = np.random.default_rng(1)


@pytest.fixture(scope="module")
def chosen():
    return settings.load("params.yaml")


def office(begin_s: int, span_s: int) -> list[frames_made.Frame]:
    """Three clients that ask one server and two far ones, and look up names, every ten seconds or so."""
    found = []
    for i, client in enumerate(CLIENTS):
        for time in range(begin_s + i, begin_s + span_s, 10):
            at = time * SECOND
            found += frames_made.session(at, client, SERVER, 30_000 + time % 9_000, 80, [(300, 4_000)], 0.001)
            far = BEYOND[time % 2]
            found += frames_made.session(at + SECOND, client, far, 30_001 + time % 9_000, 443, [(500, 9_000)], 0.03)
            asked = frames_made.dns("www.example.org", 1, time, False)
            found.append(frames_made.udp(at, client, SERVER, 20_000 + i, 53, asked))
            answer = frames_made.dns("www.example.org", 1, time, True)
            found.append(frames_made.udp(at + 10**6, SERVER, client, 53, 20_000 + i, answer))
    return found


@pytest.fixture(scope="module")
def ground(chosen):
    before, later = frames_made.table(office(0, 300)), frames_made.table(office(6_000, 300))
    return inject.Ground(later, benchmark.feature_table(before, chosen), before)


def test_made_frames_are_decoded_as_they_were_meant():
    one, other = CLIENTS[0], BEYOND[0]
    session = frames_made.session(7, one, other, 4_000, 443, [(2_000, 10)], 0.01)
    table = frames_made.table(session)
    assert table["tcp_flags"].astype(str).tolist()[:3] == ["S", "SA", "A"]
    assert table["time"].is_monotonic_increasing
    out = (table["src_ip"] == one.ip).to_numpy()
    assert table.loc[out, "payload"].sum() == 2_000
    assert table.loc[~out, "payload"].sum() == 10
    assert set(table.loc[~out, "ttl"]) == {55}
    assert set(table["src_mac"].astype(str)) == {one.mac, other.mac}
    name = "a.b.example.org"
    asked = frames_made.table([frames_made.udp(1, one, other, 2_000, 53, frames_made.dns(name, 16, 3, True, True))])
    assert asked.loc[0, ["dns_query", "dns_type", "dns_rcode"]].tolist() == [name, 16, 3]
    answer = frames_made.table([frames_made.ping(1, one, other, True, 1)])
    assert answer.loc[0, ["length", "icmp_type", "src_ip"]].tolist() == [98, 0, one.ip]


def test_hosts_play_what_the_baseline_shows_them_to_be(ground):
    scene = ground.scene(1)
    assert scene.client in CLIENTS
    assert (scene.server, scene.port) == (SERVER, 80)
    assert scene.resolver == SERVER
    assert scene.outside.mac == ROOT_MAC
    assert scene.absent.ip not in {end.ip for end in [*CLIENTS, SERVER]}
    assert {ground.scene(seed).client for seed in range(20)} == set(CLIENTS)


def test_a_network_without_tcp_is_refused_in_words(chosen):
    asked = [frames_made.ping(i * SECOND, CLIENTS[0], SERVER, False, i) for i in range(10)]
    packets = frames_made.table(asked)
    rows = benchmark.feature_table(packets, chosen)
    with pytest.raises(ValueError, match="over TCP"):
        injections.scene(packets, rows, 0, SECOND, RANDOM)


@pytest.mark.parametrize(
    ("kind", "count"),
    [("port scan", 1_000), ("beacon", 50), ("password guessing", 300), ("upload", 1), ("DNS tunnel", 50)],
)
def test_an_attack_makes_as_many_conversations_as_its_strength_says(ground, kind, count):
    _, strengths, make = injections.ATTACKS[kind]
    strength = {"DNS tunnel": 30, "password guessing": 600}.get(kind, strengths[-1] if kind == "port scan" else 0.5)
    table = frames_made.table(make(ground.scene(1), np.random.default_rng(1), strength))
    if kind == "DNS tunnel":
        begun = table["dns_rcode"] < 0
        assert table.loc[begun, "dns_query"].str.len().min() > 120
    else:
        begun = table["tcp_flags"] == "S"
    assert begun.sum() == count
    if kind == "upload":
        assert table.loc[table["dst_ip"] == "203.0.113.66", "payload"].sum() == 500_000 + 517
    if kind == "beacon":
        gaps = np.diff(table.loc[begun, "time"].to_numpy()) / SECOND
        assert gaps.std() / gaps.mean() == pytest.approx(0.5 / np.sqrt(1.5), rel=0.25)  # of two uniform deviations


def test_a_fast_scan_gets_its_name_and_harmless_things_get_none(ground, chosen):
    attacks = {"port scan": ("ports/s", (0.01, 100.0), injections.scan)}
    controls = {name: injections.CONTROLS[name] for name in ("browsing", "mistyping", "pinging")}
    rows = inject.trials(ground, chosen, 1, attacks, controls).set_index(["kind", "strength"])
    assert rows.loc[("port scan", 100.0), ["named", "patterns"]].tolist() == [True, "port_scan"]
    assert 0 < rows.loc[("port scan", 100.0), "after_s"] < 60
    assert not rows.loc[("port scan", 0.01), "named"]  # two probes
    assert not rows.loc[list(controls), "named"].any()  # unusual they are: here everything goes by the clock


def test_what_is_written_is_the_capture_and_what_was_put_in(ground, tmp_path):
    whole = tmp_path / "benign.pcap"
    made = office(0, 60)
    with frames.PcapWriter(whole, 1, 65_535) as out:
        out.append(frames_made.block(made))
    benign = np.arange(len(made)) != 5  # one was an attack, and is left out
    added = frames_made.block(injections.pinging(ground.scene(1), RANDOM, 0))
    inject.write(tmp_path / "mixed.pcap", str(whole), added, benign)
    packets = benchmark.packets_of(str(tmp_path / "mixed.pcap"))
    labels = tables.read(tmp_path / "mixed.labels.csv", tables.PACKET_LABELS)
    assert len(packets) == len(labels) == len(made) - 1 + len(added)
    assert packets["time"].is_monotonic_increasing
    is_ping = (packets["protocol"] == "ICMP").to_numpy()
    assert (labels["label"].astype(str) == np.where(is_ping, inject.NAME, "benign")).all()


def test_the_plot_has_a_panel_for_each_attack_and_one_for_what_is_harmless(tmp_path):
    rows = pd.DataFrame(
        {
            "kind": ["scan", "scan", "beacon", "browsing"],
            "unit": ["ports/s", "ports/s", "jitter", ""],
            "strength": [0.1, 10, 0.5, np.nan],
            "packets": 10,
            "named": [False, True, False, False],
            "found": [False, True, True, False],
            "row": [True, True, False, False],
            "patterns": ["", "port_scan", "", ""],
            "after_s": [np.nan, 5, 7, np.nan],
        }
    )
    table = inject.summary(pd.concat([rows, rows.assign(named=False, found=False)]))
    assert table["named"].tolist() == [0, 0.5, 0, 0]
    assert table["row"].tolist() == [1, 1, 0, 0]
    inject.plot(table, str(tmp_path / "plot.png"))
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
