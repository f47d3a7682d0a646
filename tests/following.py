"""A small network with attacks, the batch's verdict on it, and a packet table that grows as a capture writes it."""

from __future__ import annotations

import copy
import io
import os
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from packets import START, arp, table, tcp, udp

from netnormal import detection, features, flows, model, patterns, settings, tables
from netnormal.follow import Follower, LiveFiles

ROOT = Path(__file__).resolve().parent.parent
CHOSEN = settings.load(ROOT / "params.yaml")
QUICK = replace(
    CHOSEN,
    extract_features=replace(CHOSEN.extract_features, windows_s=(10, 40)),
    detect=replace(
        CHOSEN.detect,
        incidents=replace(CHOSEN.detect.incidents, settle_s=15, gap_s=20, absorb_s=10),
        patterns=replace(CHOSEN.detect.patterns, beacon_window_s=60, beacon_memory_s=90),
    ),
)
FILES = ("scores.csv", "anomalies.csv", "incidents.csv", "incidents.json")
CLIENTS, SERVER, ATTACKER = [f"10.0.0.{n}" for n in range(2, 8)], "10.0.0.1", "10.0.0.66"
MASTER = "198.51.100.9"


def _usual(random: np.random.Generator, seconds: int) -> list[dict]:
    rows = []
    for client in CLIENTS:
        for at in np.cumsum(random.exponential(4, seconds // 4)):
            port = int(random.integers(40_000, 60_000))
            turns = [("S", 0), ("SA", 0), ("A", 0), ("PA", int(random.integers(60, 400))), ("PA", 900), ("FA", 0)]
            for i, (flags, size) in enumerate(turns):
                ends = (SERVER, client, 443, port) if i in (1, 4) else (client, SERVER, port, 443)
                rows.append(tcp(at + i / 1000, *ends, flags, size))
    return rows


def _attacks() -> list[dict]:
    rows = [tcp(22 + i * 0.1, ATTACKER, SERVER, 50_000, 1 + i, "S") for i in range(24)]
    rows += [tcp(22.001 + i * 0.1, SERVER, ATTACKER, 1 + i, 50_000, "RA") for i in range(24)]
    rows += [arp(35 + i * 0.5, SERVER, CLIENTS[0], 2, mac="02:00:00:00:00:03") for i in range(8)]
    rows += [udp(46 + i * 0.001, ATTACKER, CLIENTS[1], 50_001, 9, 1200) for i in range(200)]
    rows += [tcp(92 + i * 0.2, ATTACKER, CLIENTS[2], 51_000 + i, 22, "PA", 1300) for i in range(12)]
    for i in range(32):  # a beacon, too short to be one in the first 40 s
        port, at = 30_000 + i, 22 + 2.2 * i
        rows += [
            tcp(at, CLIENTS[5], MASTER, port, 8443, "S"),
            tcp(at + 0.01, MASTER, CLIENTS[5], 8443, port, "SA"),
            tcp(at + 0.02, CLIENTS[5], MASTER, port, 8443, "PA", 200),
        ]
    return rows


@cache
def packets() -> pd.DataFrame:
    """100 s with a pause of 31 s; some packets out of order, a few of them too late."""
    random = np.random.default_rng(5)
    rows = [row for row in _usual(random, 100) + _attacks() if not 53 <= (row["time"] - START) / 1e9 < 84]
    held = random.choice([0, 3 * 10**8, 2 * 10**9], len(rows), p=[0.95, 0.04, 0.01])
    order = np.argsort(np.array([row["time"] for row in rows]) + held, kind="stable")
    return table([rows[i] for i in order])


@cache
def learnt() -> model.Model:
    windower = features.Windower(QUICK.extract_features)
    usual = table(sorted(_usual(np.random.default_rng(1), 1200), key=lambda row: row["time"]))
    rows = features.features_of(windower.push(usual) + windower.flush())
    return model.Model.fit(rows, replace(QUICK.train_model, trees=20, minimum_rows=20), jobs=1)


def csv(rows: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    tables.Writer(out, tables.PACKETS).append(rows)
    return out.getvalue()


@cache
def batch() -> dict[str, bytes]:
    """The files of a batch run over `packets`."""
    judge = detection.Detection(learnt(), QUICK)
    told = [judge.push(packets()), judge.flush()]
    found = judge.finish({})
    out = {"scores.csv": io.BytesIO(), "anomalies.csv": io.BytesIO(), "incidents.csv": io.BytesIO()}
    tables.Writer(out["incidents.csv"], tables.INCIDENTS).append(found.incidents)
    for name, schema in (("scores", tables.SCORES), ("anomalies", tables.ANOMALIES)):
        writer = tables.Writer(out[f"{name}.csv"], schema)
        for part in told:
            for rows in getattr(part, name):
                writer.append(rows)
        writer.close()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "incidents.json")
        tables.write_json(path, found.documents)
        return {name: stream.getvalue() for name, stream in out.items()} | {path.name: path.read_bytes()}


def remember(monkeypatch) -> None:
    """Compute what is a pure function of a window's packets once: a hundred runs over the same packets need it so."""

    def kept(function, key):
        known = _REMEMBERED.setdefault(function.__name__, {})

        def call(*given, **more):
            number = key(*given)
            if number is None:
                return function(*given, **more)
            if number not in known:
                known[number] = function(*given, **more)
            found = known[number]
            return [one.copy() for one in found] if isinstance(found, tuple) else copy.copy(found)

        return call

    def of_packets(packets, *_):
        return packets["packet"].to_numpy().tobytes() + packets["time"].to_numpy().tobytes()

    def of_window(window):
        return of_packets(window.packets) + repr((window.window_s, window.start, window.since, window.until)).encode()

    def of_rows(_, rows):
        return b"".join(
            rows[name].to_numpy().tobytes() for name in ("window_s", "window_start", "first_packet", "bytes")
        )

    one = kept(features.window_features, of_window)
    monkeypatch.setattr(features, "features_of", lambda windows: tables.concat(map(one, windows)))
    monkeypatch.setattr(flows, "flows", kept(flows.flows, of_packets))

    def of_search(packets, flow_table, flow, chosen, window_s, known_before, *memories):
        """What is remembered of windows before learns from each."""
        if not any(memories):
            return of_packets(packets) + repr((window_s, known_before is None)).encode()
        return None

    monkeypatch.setattr(patterns, "find", kept(patterns.find, of_search))
    monkeypatch.setattr(model.Model, "judge", kept(model.Model.judge, of_rows))
    monkeypatch.setattr(model.Model, "attribution", kept(model.Model.attribution, of_rows))


_REMEMBERED: dict[str, dict] = {}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Growing:
    """A capture's table in `folder`, written and rotated as told, and what follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.table, self.clock = folder, folder / "dataset/captured_data.csv", Clock()
        self.live = folder / "live"
        self.most_bytes = 10**8
        self.told: list[tuple[str, bool]] = []
        self.segments, self.rest = 0, b""
        self.table.parent.mkdir(parents=True)

    def write(self, data: bytes) -> None:
        with self.table.open("ab") as file:
            file.write(data)

    def put(self, rows: pd.DataFrame, half: int = 0) -> None:
        """Append rows, the last one without its last `half` bytes, which `rest` writes."""
        data = csv(rows)
        data = data if not self.table.exists() else data[data.index(b"\n") + 1 :]
        cut = len(data) - half
        self.write(data[:cut])
        self.rest = data[cut:]

    def rotate(self) -> None:
        """As capture.py does: the files of the segment move away, new ones begin."""
        self.segments += 1
        away = self.table.parent / f"captures/segment-{self.segments:03d}"
        away.mkdir(parents=True)
        self.table.rename(away / self.table.name)

    def follower(self, **changed: float) -> Follower:
        """Started, or started again."""
        return Follower(
            self.table,
            LiveFiles(self.live, 2000, self.most_bytes),
            lambda: detection.Detection(learnt(), QUICK, live=True),
            replace(QUICK.detect.follow, **changed),
            tell=self.tell,
            clock=self.clock,
        )

    def tell(self, document: dict, again: bool) -> None:
        self.told.append((document["incident_id"], again))

    @staticmethod
    def die(follower: Follower) -> None:
        """As kill -9 ends a process: what was not handed to the system is lost, and so are locks."""
        with Path(os.devnull).open("wb") as nowhere:
            for stream in follower.files._streams.values():
                os.dup2(nowhere.fileno(), stream.fileno())
        follower.files.close()

    def files(self) -> dict[str, bytes]:
        return {name: (self.live / name).read_bytes() for name in FILES}
