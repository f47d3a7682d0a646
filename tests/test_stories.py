"""What belongs to a story and what lies beside it: steady stories, and packets that a finding does not explain."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from packets import START, table
from test_incidents import SECOND, SETTINGS, B, C, merger_of, rows_of, scan, why_of
from test_patterns import FAR, A, flat, lookups, session

from netnormal import detection, patterns
from netnormal.flows import conversations, flows

THRESHOLD = 0.9


def pushed(pattern: str, unusual: dict[tuple[str, str], float], rows: list[dict]) -> dict[tuple[str, str], str]:
    """What became of each unusual pair of hosts, where A was found to do `pattern` to FAR by TCP/443 all the time."""
    packets = table(sorted(rows, key=lambda row: row["time"]))
    flow_table, _ = flows(packets)
    chosen = np.flatnonzero((flow_table["destination"] == FAR) & (flow_table["service"] == "TCP/443"))
    evidence = {"calls": 9, "gap_s": 60.0, "sent_bytes": 9, "own_most_bytes": 1}
    finding = patterns.Finding(
        pattern, A, (FAR,), ("TCP/443",), START, START + 599 * SECOND, evidence, chosen, frozenset({FAR})
    )
    scored = rows_of(flow_table, unusual)
    merger = merger_of()
    of_row, _ = merger.push(600, START + 600 * SECOND, scored, [finding], flow_table, why=why_of(scored))
    merger.flush()
    decided, told = dict(merger.decided()), {one["incident_id"]: one["pattern"] for one in merger.changed()}
    return {
        (row.source, row.destination): told[decided[draft]]
        for row, draft in zip(scored.itertuples(), of_row.tolist(), strict=True)
        if (row.source, row.destination) in unusual and row.service != "TCP/443"
    }


BESIDE = flat(session(60 * i, A, FAR, 443, 40000 + i) for i in range(9)) + session(100, A, C, 22, 41000)
BESIDE += session(110, A, FAR, 8080, 42000)


@pytest.mark.parametrize("pattern", ["beacon", "upload"])
def test_a_steady_story_absorbs_only_what_is_between_its_own_hosts(pattern):
    found = pushed(pattern, {(A, C): 0.9, (A, FAR): 0.95}, BESIDE)
    assert found == {(A, C): "unusual_behaviour", (A, FAR): pattern}


def test_any_other_story_absorbs_what_its_source_does_at_the_very_time():
    assert pushed("slow_http", {(A, C): 0.9, (A, FAR): 0.95}, BESIDE) == {(A, C): "slow_http", (A, FAR): "slow_http"}


@pytest.mark.parametrize(
    ("pattern", "port", "home"), [("port_sweep", 443, 1), ("port_sweep", 22, 0), ("beacon", 443, 0)]
)
def test_what_a_source_does_with_the_same_service_soon_after_is_part_of_its_story(pattern, port, home):
    """As a worm's login at the last of the hosts that it searched."""
    before, _ = flows(table(session(600, A, FAR, 443, 40000)))
    evidence = {"calls": 9, "gap_s": 60.0}
    finding = patterns.Finding(
        pattern, A, (FAR,), ("TCP/443",), START, START + 600 * SECOND, evidence, np.array([0]), frozenset({FAR})
    )
    merger = merger_of()
    merger.push(10, START + 610 * SECOND, rows_of(before, {}), [finding], before)
    after, _ = flows(table(session(605, A, C, port, 41000) + session(607, B, C, port, 41002)))
    some = rows_of(after, {(A, C): 0.95, (B, C): 0.95})
    of_row, _ = merger.push(60, START + 660 * SECOND, some, [], why=why_of(some))
    merger.flush()
    decided, told = dict(merger.decided()), {one["incident_id"]: one["pattern"] for one in merger.changed()}
    assert [told[decided[draft]] for draft in of_row.tolist()] == [
        pattern if home else "unusual_behaviour", "unusual_behaviour"
    ]  # fmt: skip


def test_named_tells_drafts_of_patterns_from_those_of_the_model():
    rows = scan(3, 40, 0.01) + session(4, C, FAR, 443, 41000) + session(5, C, B, 80, 42000)
    flow_table, _ = flows(table(sorted(rows, key=lambda row: row["time"])))
    scored = rows_of(flow_table, {(C, FAR): 0.95})
    found = patterns.find(*_window(rows), SETTINGS.detect.patterns)
    merger = merger_of()
    for end in (10, 20):  # numbers of drafts go on from window to window
        of_row, _ = merger.push(10, START + end * SECOND, scored, found, flow_table, why=why_of(scored))
        who = scored["source"].astype(str) + ">" + scored["destination"].astype(str)
        said = dict(zip(who, merger.named(of_row).tolist(), strict=True))
        assert said == {f"{A}>{B}": True, f"{C}>{FAR}": False, f"{C}>{B}": False}
    assert merger.named(np.full(3, -1)).tolist() == [False] * 3


def _window(rows: list[dict]) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    packets = table(sorted(rows, key=lambda row: row["time"]))
    return packets, *flows(packets)


# ---------------------------------------------------------------- packets beside a finding


def judged(rows: list[dict], anomaly: int) -> pd.DataFrame:
    """Labelled packets by a model to which every conversation looks the same: anomalous or not."""

    def judge(features: pd.DataFrame) -> pd.DataFrame:
        everything = {"score": 0.95 if anomaly else 0.5, "tail_probability": 1e-5, "anomaly": anomaly}
        return pd.DataFrame({name: [value] * len(features) for name, value in everything.items()}, features.index)

    model = SimpleNamespace(
        judge=judge,
        attribution=lambda features: None,
        known_before=lambda start, end: None,
        least_anomalous_score=THRESHOLD,
        windows={},
        left_out={},
        start=0,
        end=0,
        promise=lambda: "",
    )
    found = detection.Detection(model, SETTINGS)
    found.push(table(sorted(rows, key=lambda row: row["time"])))
    found.flush()
    return found.finish({}).labelled_packets


def tunnel_and_lookups() -> tuple[list[dict], np.ndarray]:
    """A DNS tunnel and ordinary lookups beside it, all one conversation, and which packets are the tunnel's."""
    tunnel = lookups([f"{i:060d}.{i:060d}.t.bad.test" for i in range(40)])
    ordinary = lookups([f"www.site{i}.example" for i in range(10)])
    for row in ordinary:
        row["time"] += 100_000
        row |= {name: row[name] + 1000 for name in ("src_port", "dst_port") if row[name] != 53}
    for row in tunnel + ordinary:  # so fast that the shortest window sees the tunnel too
        row["time"] = START + (row["time"] - START) // 5
    rows = sorted(tunnel + ordinary, key=lambda row: row["time"])
    assert len(conversations(flows(table(rows))[0])[0]) == 1
    return rows, np.array(["bad.test" in row["dns_query"] for row in rows])


def test_packets_of_an_ordinary_row_beside_a_finding_are_not_judged_at_all():
    rows, smuggled = tunnel_and_lookups()
    labels = judged(rows, anomaly=0)
    assert (labels["label"][smuggled] == "anomalous").all() and (labels["label"][~smuggled] == "normal").all()
    assert (labels["score"][smuggled] >= detection.NAMED_SCORE).all() and (labels["score"][~smuggled] == 0).all()
    assert labels["incident_id"][smuggled].nunique() == 1 and labels["incident_id"][~smuggled].isna().all()


def test_an_anomalous_row_belongs_to_its_finding_as_a_whole():
    rows, smuggled = tunnel_and_lookups()
    labels = judged(rows, anomaly=1)
    first, last = np.flatnonzero(smuggled)[[0, -1]]
    assert (labels["label"].iloc[first : last + 1] == "anomalous").all() and labels["incident_id"].nunique() == 1


@pytest.mark.parametrize("anomaly", [0, 1])
def test_packets_of_a_row_without_any_finding_are_judged_by_their_row(anomaly):
    labels = judged(session(3, A, B, 443, 40000), anomaly)
    assert set(labels["label"]) == {["normal", "anomalous"][anomaly]} and set(labels["score"]) == {[0.5, 0.95][anomaly]}
    assert labels["incident_id"].nunique() == anomaly
