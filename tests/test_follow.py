"""Following says what batch says of the same packets, however they came and whatever befell it."""

from __future__ import annotations

import itertools
import json

import following
import numpy as np
import pytest
from following import Growing

SECOND = 1_000_000_000


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.fixture
def growing(tmp_path, monkeypatch):
    following.remember(monkeypatch)
    return Growing(tmp_path)


def chunks(random: np.random.Generator, count: int):
    """The packets cut at random: (rows, is it a place to rotate at, packet time that passes after it [s])."""
    packets = following.packets()
    time = packets["time"].to_numpy()
    edges = np.unique(np.concatenate([[0, len(packets)], random.integers(1, len(packets), count)]))
    begun = time[0]
    for first, last in itertools.pairwise(edges):
        rotates = bool(time[first] > begun + 3 * SECOND and random.random() < 0.2)
        begun = time[first] if rotates else begun
        passed = (time[last] - time[last - 1]) / SECOND if last < len(packets) else 0.0
        yield packets.iloc[first:last].reset_index(drop=True), rotates, max(passed, 0.0)


def follow(growing: Growing, random: np.random.Generator, cuts: int, killed_at: int = -1, **faults: float) -> None:
    """Feed all packets, cut at random, to a follower that is restarted, and sometimes stalled, on the way."""
    follower, numbered = growing.follower(), 0
    for rows, rotates, passed in chunks(random, cuts):
        if rotates and growing.table.exists():
            growing.rotate()
            numbered = 0
        numbers = np.arange(numbered + 1, numbered + len(rows) + 1)
        numbered += len(rows)
        growing.put(rows.assign(packet=numbers), half=int(random.integers(0, 20)))
        if random.random() < faults.get("stall", 0.1):
            growing.clock.now += 15
        while follower.step():
            pass
        growing.write(growing.rest)
        if random.random() < faults.get("restart", 0.1):
            growing.die(follower)
            follower = growing.follower()
        for _ in range(4):  # time passes, also while nothing comes
            growing.clock.now += passed / 4
            while follower.step():
                pass
    follower.finish(over=True)


@pytest.mark.parametrize("part", range(4))
def test_cut_rotated_stalled_and_restarted_anywhere_it_says_what_batch_says(part, tmp_path, monkeypatch):
    following.remember(monkeypatch)
    for seed in range(5 * part, 5 * (part + 1)):
        growing, random = Growing(tmp_path / str(seed)), np.random.default_rng(seed)
        follow(growing, random, cuts=int(random.choice([0, 3, 10, 40])))
        assert growing.files() == following.batch(), seed
        told = [number for number, again in growing.told if not again]
        assert len(told) == len(set(told)), seed
        assert set(told) >= {one["incident_id"] for one in json.loads(growing.files()["incidents.json"])}
