"""benchmarks/forms.py and ideas.py: other forms of a capture keep what an attack is; ideas say what they claim."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import forms, frames_made, ideas
from netnormal import evaluation, features, settings, tables

SECOND = forms.SECOND
SERVER = frames_made.End("10.0.0.5", "02:00:00:00:00:05")
CLIENTS = [frames_made.End(f"10.0.0.{n}", f"02:00:00:00:00:{n}") for n in (11, 12, 13)]


def sessions(client, count: int, gap_s: float, port=80, size=300, begin_s=0) -> list[frames_made.Frame]:
    found = []
    for i in range(count):
        at = round((begin_s + i * gap_s) * SECOND)
        found += frames_made.session(at, client, SERVER, 30_000 + begin_s + i, port, [(size, 4_000)], 0.001)
    return found


@pytest.fixture(scope="module")
def labelled():
    """Three clients that browse for 10 minutes, of which the first guesses passwords for 40 s; and who is who."""
    benign = frames_made.table([frame for client in CLIENTS for frame in sessions(client, 60, 10)])
    guesses = frames_made.table(sessions(CLIENTS[0], 20, 2, 22))
    whole = tables.concat([benign.assign(attack=-1), guesses.assign(attack=0)])
    whole = whole.sort_values("time", kind="stable", ignore_index=True)
    attack = whole.pop("attack").to_numpy(np.int32)
    packets = whole.assign(packet=np.arange(1, len(whole) + 1))
    return packets, evaluation.Truth(("guesses",), attack, np.ones(len(attack), bool)), benign


def test_a_form_moves_an_attack_to_another_client_and_leaves_what_is_benign(labelled):
    packets, known, benign = labelled
    attackers, lengths, flows = set(), set(), set()
    for seed in range(6):
        other, truth = forms.form(packets, known, benign, seed)
        assert other["packet"].tolist() == list(range(1, len(other) + 1)) and other["time"].is_monotonic_increasing
        same = [column for column in other if column != "packet"]
        left, before = (table.loc[of.benign, same].astype(str) for table, of in ((other, truth), (packets, known)))
        assert left.reset_index(drop=True).equals(before.reset_index(drop=True))
        part = other[truth.of(0)]
        assert {22} <= set(part["dst_port"]) and part["time"].min() >= packets["time"].min() + forms.FIRST_S * SECOND
        begun = part[part["tcp_flags"].astype(str) == "S"]
        attackers |= set(begun["src_ip"].astype(str)) | {str(begun["src_mac"].iloc[0])}
        lengths.add(round(np.ptp(part["time"].to_numpy()) / SECOND))
        flows.add(len(begun))
    assert attackers == {end for client in CLIENTS[1:] for end in (client.ip, client.mac)}
    assert min(lengths) < 30 and max(lengths) > 50  # 38 s as recorded
    assert 5 <= min(flows) < max(flows) <= 20


def test_a_form_is_decided_by_its_seed(labelled):
    first, again = (forms.form(*labelled, 3)[0] for _ in range(2))
    assert first.equals(again)
    assert not first.equals(forms.form(*labelled, 4)[0])


def windows(frames: list[frames_made.Frame], window_s: int) -> list[features.Window]:
    windower = features.Windower(settings.ExtractFeatures((window_s,), 1, 10_000))
    return windower.push(frames_made.table(frames)) + windower.flush()


def column(frames: list[frames_made.Frame], idea: str, name: str) -> float:
    (window,) = windows(frames, 600)
    (value,) = ideas.IDEAS[idea](ideas.Scene.of(window))[name]
    return float(value)


def test_burstiness_is_that_of_a_clock_of_chance_and_of_bursts():
    random = np.random.default_rng(1)
    bursts = [burst * 30 * SECOND + i * SECOND // 100 for burst in range(10) for i in range(20)]
    chance = np.cumsum(random.exponential(SECOND, 300)).astype(int).tolist()
    found = [
        column([frames_made.udp(at, CLIENTS[0], SERVER, 20_000, 53) for at in times], "burstiness", name)
        for times in ([i * SECOND for i in range(100)], chance, bursts)
        for name in ideas.SIDES["burstiness"]
    ]
    assert found[:2] == [pytest.approx(0, abs=1e-6), pytest.approx(0.5, abs=0.05)]
    assert found[2] > 0.7


@pytest.mark.parametrize(("idea", "name"), [("alike", "alike"), ("openings", "openings")])
def test_flows_alike_are_counted_by_their_sizes(idea, name):
    frames = sessions(CLIENTS[0], 5, 10) + sessions(CLIENTS[0], 3, 10, size=400, begin_s=100)
    assert column(frames, idea, f"conversation_{name}_count") == 5  # of eight


def test_change_is_against_the_mean_of_the_windows_before():
    frames = [frame for i in range(7) for frame in sessions(CLIENTS[0], 20 if i == 6 else 3, 0.1, begin_s=10 * i)]
    changes = ideas.change(features.features_of(windows(frames, 10)))
    change = changes["source_flows_count_change_ratio"]
    assert np.isnan(change[0]) and change[-1] == pytest.approx(np.log1p(20) - np.log1p(3))
    assert not np.nan_to_num(change[:-1]).any()
