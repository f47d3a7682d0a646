"""Figures of evaluation against scikit-learn and against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from netnormal import evaluation, tables, trivial

SECOND = 1_000_000_000
ATTACKER, VICTIM, OTHER, SERVER = "10.0.0.66", "10.0.0.9", "10.0.0.7", "10.0.0.1"


def table(schema, rows):
    """A table of `schema` from dicts; columns that a row lacks are empty."""
    columns = {}
    for column in schema:
        values = [row.get(column.name) for row in rows]
        if column.kind == "text":
            columns[column.name] = pd.Categorical(values)
        else:
            none = np.nan if column.kind == "float" else -1
            kind = np.float64 if column.kind == "float" else np.int64
            columns[column.name] = np.array([none if v is None else v for v in values], kind)
    return pd.DataFrame(columns)


def packets_at(*rows):
    """Packets from (second, source, destination)."""
    return table(
        tables.PACKETS,
        [
            {"packet": i, "time": int(second * SECOND), "src_ip": src, "dst_ip": dst, "protocol": "TCP", "length": 60}
            for i, (second, src, dst) in enumerate(rows, 1)
        ],
    )


def labels_of(*words):
    return table(tables.PACKET_LABELS, [{"packet": i, "label": word} for i, word in enumerate(words, 1)])


def incident(number, start, end, source, *destinations, pattern="port_scan"):
    return {
        "incident_id": f"I{number:04}",
        "start": int(start * SECOND),
        "detected": int(start * SECOND),
        "end": int(end * SECOND),
        "source": source,
        "destinations": " ".join(destinations),
        "pattern": pattern,
    }


def anomaly(number, start, window_s, source, destination):
    return {
        "incident_id": f"I{number:04}",
        "window_start": int(start * SECOND),
        "window_s": window_s,
        "source": source,
        "destination": destination,
    }


# ---------------------------------------------------------------- truth


def test_a_packet_without_a_label_is_benign():
    packets = packets_at((0, SERVER, VICTIM), (1, ATTACKER, VICTIM), (2, ATTACKER, VICTIM))
    labels = table(tables.PACKET_LABELS, [{"packet": 2, "label": "scan"}])
    known = evaluation.truth(labels, packets, {})
    assert known.names == ("scan",)
    assert known.attack.tolist() == [-1, 0, -1]
    assert known.benign.tolist() == [True, False, True]


def test_a_merged_label_counts_with_its_attack_and_in_no_packet_figure():
    packets = packets_at((0, SERVER, VICTIM), (1, ATTACKER, VICTIM), (2, VICTIM, SERVER))
    known = evaluation.truth(labels_of("benign", "spoof", "relayed"), packets, {"relayed": "spoof"})
    assert known.names == ("spoof",)
    assert known.attack.tolist() == [-1, 0, 0]
    assert known.judged.tolist() == [True, True, False]
    assert known.of(0).tolist() == [False, True, False]


def test_an_interval_labels_packets_of_its_hosts_in_both_directions_and_its_ends():
    packets = packets_at(
        (0.9, ATTACKER, VICTIM), (1, ATTACKER, VICTIM), (2, VICTIM, ATTACKER), (2, OTHER, VICTIM), (3, ATTACKER, VICTIM)
    )
    interval = {"start": SECOND, "end": 3 * SECOND, "source": ATTACKER, "destination": VICTIM, "label": "scan"}
    known = evaluation.truth(table(tables.INTERVAL_LABELS, [interval]), packets, {})
    assert known.attack.tolist() == [-1, 0, 0, -1, 0]
    anyone = table(tables.INTERVAL_LABELS, [interval | {"source": None}])
    assert evaluation.truth(anyone, packets, {}).attack.tolist() == [-1, 0, 0, 0, 0]


def test_interval_and_packet_labels_of_the_same_attack_are_the_same_truth():
    packets = packets_at(*[(i, ATTACKER if i % 3 else OTHER, VICTIM) for i in range(20)])
    interval = {"start": 5 * SECOND, "end": 9 * SECOND, "source": ATTACKER, "label": "scan"}
    words = ["scan" if 5 <= i <= 9 and i % 3 else "benign" for i in range(20)]
    by_interval = evaluation.truth(table(tables.INTERVAL_LABELS, [interval]), packets, {})
    by_packet = evaluation.truth(labels_of(*words), packets, {})
    assert by_interval.names == by_packet.names
    np.testing.assert_array_equal(by_interval.attack, by_packet.attack)


def test_labels_of_another_capture_are_refused():
    with pytest.raises(ValueError, match="packet 2 has a label and is not in the capture"):
        evaluation.truth(labels_of("benign", "scan"), packets_at((0, SERVER, VICTIM)), {})
    twice = table(tables.PACKET_LABELS, [{"packet": 1, "label": "scan"}] * 2)
    with pytest.raises(ValueError, match="two labels"):
        evaluation.truth(twice, packets_at((0, SERVER, VICTIM)), {})


# ---------------------------------------------------------------- packets


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(-1, 2)), min_size=2, max_size=60),
    st.sampled_from([0.001, 0.1, 0.34, 0.9]),
)
def test_figures_agree_with_scikit_learn_and_with_their_definitions(rows, rate):
    score = np.array([s for s, _ in rows], np.float64) / 8
    attack = np.array([a for _, a in rows], np.int32)
    known = evaluation.Truth(("a", "b", "c"), attack, np.ones(len(rows), bool))
    figures, each = evaluation.packet_figures(score, known, rate)
    is_attack, benign = attack >= 0, score[attack < 0]
    if not is_attack.any() or is_attack.all():
        assert np.isnan(figures["roc_auc"])
        assert np.isnan(figures["average_precision"])
        return
    assert figures["roc_auc"] == pytest.approx(metrics.roc_auc_score(is_attack, score))
    assert figures["average_precision"] == pytest.approx(metrics.average_precision_score(is_attack, score))
    allowed = [t for t in {-1.0, *score} if (benign > t).mean() <= rate]  # the lowest threshold that is allowed
    assert figures["recall"] == pytest.approx((score[is_attack] > min(allowed)).mean())
    for number, row in enumerate(each.itertuples()):
        mine = score[attack == number]
        assert row.packets == len(mine)
        if len(mine):
            both = np.r_[np.zeros(len(benign)), np.ones(len(mine))]
            assert row.roc_auc == pytest.approx(metrics.roc_auc_score(both, np.r_[benign, mine]))
            assert row.recall == pytest.approx((mine > min(allowed)).mean())
    assert figures["mean_roc_auc"] == pytest.approx(each["roc_auc"].mean())
    assert figures["mean_recall"] == pytest.approx(each["recall"].mean())


def test_recall_allows_one_false_packet_in_a_thousand_and_no_more():
    benign = np.linspace(0, 0.5, 1000)
    benign[-2:] = 0.6, 0.9
    score = np.r_[benign, 0.7, 0.55, 0.95]
    known = evaluation.Truth(("scan",), np.r_[np.full(1000, -1), 0, 0, 0].astype(np.int32), np.ones(1003, bool))
    assert evaluation.packet_figures(score, known, 0.001)[0]["recall"] == pytest.approx(2 / 3)
    assert evaluation.packet_figures(score, known, 0.0009)[0]["recall"] == pytest.approx(1 / 3)
    assert evaluation.packet_figures(score, known, 0.002)[0]["recall"] == pytest.approx(1)


def test_equal_scores_for_all_find_nothing():
    known = evaluation.Truth(("scan",), np.array([-1, -1, 0], np.int32), np.ones(3, bool))
    figures, _ = evaluation.packet_figures(np.ones(3), known, 0.001)
    assert figures["roc_auc"] == 0.5
    assert figures["recall"] == 0


def test_curves_keep_their_ends_and_their_area_when_thinned():
    rng = np.random.default_rng(1)
    attack = np.where(rng.random(20_000) < 0.3, 0, -1).astype(np.int32)
    score = rng.random(20_000) + 0.3 * (attack >= 0)
    known = evaluation.Truth(("scan",), attack, np.ones(20_000, bool))
    roc, pr = evaluation.curves(score, known)
    assert len(roc) <= 400
    assert len(pr) <= 400
    assert roc.iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert metrics.auc(roc["false_positive_rate"], roc["recall"]) == pytest.approx(
        metrics.roc_auc_score(attack >= 0, score), abs=0.002
    )
    assert pr["recall"].is_monotonic_increasing


# ---------------------------------------------------------------- alerts


@pytest.fixture
def scene():
    """Two attacks in 100 s: a scan found in its second 10 s window, and guessing that nothing found."""
    packets = packets_at(
        *[(float(s), ATTACKER, VICTIM) for s in range(12, 31)],  # packets 1 to 19: the scan
        (40, OTHER, SERVER),
        (60, ATTACKER, SERVER),  # the guessing
        (100, SERVER, OTHER),
    )
    known = evaluation.truth(labels_of(*["scan"] * 19, "benign", "guessing", "benign"), packets, {})
    ids = pd.Series([None] * 9 + ["I0001"] * 10 + ["I0002", None, None], dtype="category")
    incidents = table(
        tables.INCIDENTS,
        [
            incident(1, 20, 30, ATTACKER, VICTIM),
            incident(2, 40, 40, OTHER, SERVER, pattern="unusual_behaviour"),
            incident(3, 55, 65, VICTIM, SERVER, pattern="unusual_behaviour"),
        ],
    )
    anomalies = table(
        tables.ANOMALIES,
        [
            anomaly(1, 0, 60, ATTACKER, VICTIM),
            anomaly(1, 20, 10, ATTACKER, VICTIM),
            anomaly(1, 10, 10, ATTACKER, OTHER),  # of the incident, but of no packet of the attack
            anomaly(2, 40, 10, OTHER, SERVER),
        ],
    )
    results = pd.DataFrame({"incident_id": ids, "label": np.where(ids.isna(), "normal", "anomalous")})
    return known, packets, results, incidents, anomalies


def test_an_attack_is_found_if_one_of_its_packets_is_in_an_incident(scene):
    known, packets, results, incidents, anomalies = scene
    events = evaluation.attack_events(known, packets, results["incident_id"], incidents, anomalies, 10).set_index(
        "attack"
    )
    assert events["found"].to_dict() == {"scan": True, "guessing": False}
    assert events.loc["scan", "incidents"] == "I0001"
    assert events.loc["scan", "patterns"] == "port_scan"
    assert events.loc["guessing", "named"]  # by the incident at its victim in its time, though none has its packets


def after_s(scene, told=None, anomalies=None):
    """time_to_detect_s of the scan, whose first packet is at 12 s, if its incident was told at that second."""
    known, packets, results, incidents, rows = scene
    if told is not None:
        incidents = incidents.assign(detected=told * SECOND)
    rows = rows if anomalies is None else anomalies
    events = evaluation.attack_events(known, packets, results["incident_id"], incidents, rows, 10)
    return events.set_index("attack")["time_to_detect_s"]


def test_time_to_detect_runs_from_the_first_packet_until_the_incident_was_told(scene):
    assert after_s(scene, told=30)["scan"] == 30 - 12
    assert after_s(scene, told=12)["scan"] == 0
    assert np.isnan(after_s(scene)["guessing"])


def test_an_incident_told_before_the_attack_counts_from_the_first_window_that_shows_it(scene):
    assert after_s(scene, told=5)["scan"] == 30 - 12
    none = scene[-1].iloc[:0]  # a pattern alone saw it
    assert after_s(scene, told=5, anomalies=none)["scan"] == 40 - 12


def test_the_score_timeline_keeps_the_highest_of_each_kind_in_each_bin(scene):
    known, packets, *_ = scene
    score = np.linspace(0, 1, len(packets))
    table, bin_s = evaluation.score_timeline(score, packets["time"].to_numpy(), known)
    assert bin_s == 1
    assert len(table) == packets["time"].nunique()
    at_40, at_60 = (table[table["time"] == second * SECOND].iloc[0] for second in (40, 60))
    assert at_40["benign"] == score[19] and np.isnan(at_40["attack"])
    assert at_60["attack"] == score[20] and np.isnan(at_60["benign"])
    long = np.linspace(0, 4e15, len(packets)).astype(np.int64)
    table, bin_s = evaluation.score_timeline(score, long, known)
    assert np.nanmax(table[["benign", "attack"]]) == 1
    assert bin_s * len(table) <= 4.1e6


def test_an_incident_at_another_time_has_not_found_the_attack_even_if_it_claims_its_packets(scene):
    known, packets, results, incidents, anomalies = scene
    early = incidents.assign(start=0, end=11 * SECOND)
    events = evaluation.attack_events(known, packets, results["incident_id"], early, anomalies, 10)
    assert not events["found"].any()


def test_an_incident_is_true_or_beside_an_attack_or_false(scene):
    known, packets, results, incidents, _ = scene
    verdicts = evaluation.incident_verdicts(known, packets, results["incident_id"], incidents)
    assert verdicts.tolist() == ["true", "false", "beside"]


def test_false_incidents_are_counted_per_hour_of_capture(scene):
    figures, _ = evaluation.alert_figures(*scene, 10)
    assert figures["false_incidents"] == 1
    assert figures["hours"] == pytest.approx(88 / 3600)
    assert figures["false_incidents_per_hour"] == pytest.approx(3600 / 88)
    assert figures["attacks_found"] == 1
    assert figures["anomalous_share_of_attacks"] == pytest.approx(10 / 20)
    assert figures["anomalous_share_of_benign"] == pytest.approx(1 / 2)


def test_multicast_and_broadcast_addresses_name_nobody():
    packets = packets_at((1, ATTACKER, "224.0.0.251"), (2, ATTACKER, "ff02::1"), (3, ATTACKER, "255.255.255.255"))
    known = evaluation.truth(labels_of("flood", "flood", "flood"), packets, {})
    others = table(tables.INCIDENTS, [incident(1, 1, 3, OTHER, "224.0.0.251", "ff02::1", "255.255.255.255")])
    none = pd.Series([None] * 3, dtype="category")
    assert evaluation.incident_verdicts(known, packets, none, others).tolist() == ["false"]


def test_a_capture_without_attacks_still_counts_false_incidents():
    packets = packets_at((0, OTHER, SERVER), (1800, OTHER, SERVER))
    known = evaluation.truth(table(tables.INTERVAL_LABELS, []), packets, {})
    ids = pd.Series(["I0001", None], dtype="category")
    results = pd.DataFrame({"incident_id": ids, "label": ["anomalous", "normal"]})
    incidents = table(tables.INCIDENTS, [incident(1, 0, 0, OTHER, SERVER)])
    figures, events = evaluation.alert_figures(known, packets, results, incidents, tables.empty(tables.ANOMALIES), 10)
    assert events.empty
    assert figures["attacks"] == 0
    assert figures["false_incidents_per_hour"] == 2
    assert np.isnan(evaluation.packet_figures(np.zeros(2), known, 0.001)[0]["mean_roc_auc"])


# ---------------------------------------------------------------- trivial detectors


def test_trivial_counts_are_per_source_and_window_of_ten_seconds():
    packets = packets_at(
        (1, ATTACKER, VICTIM), (2, ATTACKER, OTHER), (9.9, ATTACKER, OTHER), (10, ATTACKER, OTHER), (11, OTHER, VICTIM)
    )
    scores = trivial.scores(packets, None, 1)
    assert scores["packets_per_source"].tolist() == [3, 3, 3, 1, 1]
    assert scores["destinations_per_source"].tolist() == [2, 2, 2, 1, 1]


def test_the_single_packet_forest_finds_a_rare_kind_of_packet_and_scores_alike_what_is_alike():
    baseline = packets_at(*[(s, OTHER, SERVER) for s in range(500)])
    baseline["dst_port"] = np.where(np.arange(500) % 100 == 99, 8443, 443)
    judged = packets_at((1, OTHER, SERVER), (2, OTHER, SERVER), (3, OTHER, SERVER))
    judged["dst_port"] = [443, 443, 8443]
    judged["tcp_flags"] = pd.Categorical(["SA", "SA", "SA"])
    score = trivial.scores(judged, baseline, 1)["single_packet_forest"]
    assert score[0] == score[1]
    assert score[2] > score[0]
