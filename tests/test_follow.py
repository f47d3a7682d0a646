"""Following says what batch says of the same packets, however they came and whatever befell it."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import following
import numpy as np
import pytest
from following import Growing

from netnormal import detection, tables
from netnormal.follow import files

SECOND = 1_000_000_000
# NETNORMAL_CUTTINGS=200 NETNORMAL_KILLS=50 pytest tests/test_follow.py  takes minutes
CUTTINGS, KILLS = (int(os.environ.get(f"NETNORMAL_{name}", count)) for name, count in (("CUTTINGS", 60), ("KILLS", 30)))


class Killed(BaseException):
    """Stands for kill -9."""


class Faults:
    """Kills at the `at`-th of the moments before and after whatever writes, judges or tells (0: never)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        following.batch()  # is not to be killed
        self.at, self.passed = 0, 0
        kept = type("Writer", (tables.Writer,), {"append": self._around(tables.Writer.append)})  # of live files only
        monkeypatch.setattr(files, "Writer", kept)
        for owner, name in (
            (tables, "write"),
            (tables, "write_json"),
            (files, "LiveFiles.take"),
            (files, "LiveFiles.mark"),
            (files.os, "fsync"),
            (files.json, "dump"),
            (detection.Detection, "push"),
            (detection.Detection, "quiet"),
            (detection.Detection, "flush"),
            (Growing, "tell"),
        ):
            holder = getattr(owner, name.split(".")[0]) if "." in name else owner
            monkeypatch.setattr(holder, name.split(".")[-1], self._around(getattr(holder, name.split(".")[-1])))

    def _around(self, function):
        def call(*given, **more):
            self._moment()
            found = function(*given, **more)
            self._moment()
            return found

        return call

    def _moment(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed


@pytest.fixture
def growing(tmp_path, monkeypatch):
    following.remember(monkeypatch)
    return Growing(tmp_path)


class Feeding:
    """All packets, cut at random, fed to a follower that is restarted, killed and sometimes stalled on the way."""

    def __init__(self, growing: Growing, random: np.random.Generator, cuts: int) -> None:
        self.growing, self.random, self.cuts = growing, random, cuts
        self.follower = growing.follower()
        self.kills = 0

    def run(self) -> None:
        growing, random, numbered = self.growing, self.random, 0
        for rows, rotates, passed in chunks(random, self.cuts):
            if rotates and growing.table.exists():
                growing.rotate()
                numbered = 0
            numbers = np.arange(numbered + 1, numbered + len(rows) + 1)
            numbered += len(rows)
            growing.put(rows.assign(packet=numbers), half=int(random.integers(0, 20)))
            if random.random() < 0.1:
                growing.clock.now += 15  # the capture stalls, not the network
            self.step()
            growing.write(growing.rest)
            if random.random() < 0.1:
                self.again()
            for _ in range(2):  # time passes, also while nothing comes
                growing.clock.now += passed / 2
                self.step()
        self.whole(lambda: self.follower.finish(over=True))

    def step(self) -> None:
        self.whole(lambda: all(iter(self.follower.step, False)))

    def again(self) -> None:
        self.growing.die(self.follower)
        self.follower = self.growing.follower()

    def whole(self, work) -> None:
        """Do it, and if it is killed meanwhile, all of it after a restart."""
        while True:
            try:
                return work()
            except Killed:
                self.kills += 1
                self.growing.die(self.follower)
                with (self.growing.live / "scores.csv").open("ab") as torn:
                    torn.write(b"10,2023-11-14T22:1" * int(self.random.integers(0, 2)))
                self.follower = self.growing.follower()


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


def fed(folder: Path, seed: int) -> Feeding:
    random = np.random.default_rng(seed)
    return Feeding(Growing(folder / str(seed)), random, int(random.choice([0, 2, 6, 20], p=[0.1, 0.4, 0.4, 0.1])))


@pytest.mark.parametrize("part", range(CUTTINGS // 10))
def test_cut_rotated_stalled_and_restarted_anywhere_it_says_what_batch_says(part, tmp_path, monkeypatch):
    following.remember(monkeypatch)
    for seed in range(10 * part, 10 * (part + 1)):
        feeding = fed(tmp_path, seed)
        feeding.run()
        assert feeding.growing.files() == following.batch(), seed
        told = [number for number, again in feeding.growing.told if not again]
        assert len(told) == len(set(told)), seed
        assert set(told) >= {one["incident_id"] for one in json.loads(feeding.growing.files()["incidents.json"])}


@pytest.mark.parametrize("part", range(KILLS // 10))
def test_killed_anywhere_it_goes_on_and_says_what_batch_says(part, tmp_path, monkeypatch):
    following.remember(monkeypatch)
    faults = Faults(monkeypatch)
    kills = 0
    for seed in range(1000 + 10 * part, 1000 + 10 * (part + 1)):
        faults.at = 0
        feeding = fed(tmp_path, seed)
        faults.at, faults.passed = int(np.random.default_rng(seed).integers(1, 120)), 0
        feeding.run()
        kills += feeding.kills
        assert feeding.growing.files() == following.batch(), (seed, faults.at)
        told = {number for number, _ in feeding.growing.told}
        assert told >= {one["incident_id"] for one in json.loads(feeding.growing.files()["incidents.json"])}
    assert kills >= 8, "most runs are killed once"


def test_files_are_cut_to_their_later_rows_and_killed_meanwhile_they_are_the_same(tmp_path, monkeypatch):
    following.remember(monkeypatch)
    faults = Faults(monkeypatch)
    kills = shortened = 0
    for seed in range(8):
        faults.at = 0
        feeding = fed(tmp_path, seed)
        feeding.growing.most_bytes = 3000
        feeding.again()
        faults.at, faults.passed = int(np.random.default_rng(seed).integers(1, 200)), 0
        feeding.run()
        kills += feeding.kills
        for name, whole in following.batch().items():
            there = feeding.growing.files()[name]
            if name in ("scores.csv", "anomalies.csv"):
                header, _, rows = there.partition(b"\n")
                assert whole.startswith(header + b"\n") and whole.endswith(b"\n" + rows), (seed, name)
                shortened += len(there) < len(whole)
            else:
                assert there == whole, (seed, name)
    assert kills >= 4 and shortened >= 12
