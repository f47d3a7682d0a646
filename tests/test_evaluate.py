"""evaluate.py as a user runs it: on results written here, and on bad input."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from netnormal import tables

SECOND = 1_000_000_000
COUNT = 200  # packets, one a second; the scan is 101 to 120


def column(schema, name, n):
    kind = schema[name].kind
    if kind == "text":
        return pd.Categorical([None] * n if schema[name].optional else ["x"] * n)
    return np.full(n, -1 if schema[name].optional else 0, np.float64 if kind == "float" else np.int64)


def filled(schema, n, **columns):
    table = pd.DataFrame({name: column(schema, name, n) for name in schema.names})
    return table.assign(**{k: pd.Categorical(v) if isinstance(v[0], str | None) else v for k, v in columns.items()})


@pytest.fixture
def folder(tmp_path):
    """A folder as detect.py leaves it: 200 packets, a scan that is found and one false incident."""
    number = np.arange(1, COUNT + 1)
    scan = (number > 100) & (number <= 120)
    packets = filled(
        tables.PACKETS,
        COUNT,
        packet=number,
        time=1_700_000_000 * SECOND + number * SECOND,
        src_ip=np.where(scan, "10.0.0.66", "10.0.0.7").tolist(),
        dst_ip=np.where(scan, "10.0.0.9", "10.0.0.1").tolist(),
        protocol=["TCP"] * COUNT,
        length=np.where(scan, 60, 500),
        dst_port=np.where(scan, number, 443),
    )
    tables.write(tmp_path / "dataset" / "captured_data.csv", tables.PACKETS, packets)
    in_incident = np.where(scan, "I0002", np.where(number == 7, "I0001", None)).tolist()
    labelled = filled(
        tables.LABELLED_PACKETS,
        COUNT,
        packet=number,
        score=np.where(scan, 0.9, number / 1000),
        label=["normal" if i is None else "anomalous" for i in in_incident],
        incident_id=in_incident,
    )
    results = tmp_path / "results"
    tables.write(results / "labelled_packets.csv", tables.LABELLED_PACKETS, labelled)
    time = packets["time"].to_numpy()
    incidents = filled(
        tables.INCIDENTS,
        2,
        incident_id=["I0002", "I0001"],
        start=time[[100, 6]],
        detected=time[[100, 6]] + 29 * SECOND,
        end=time[[119, 6]],
        pattern=["port_scan", "unusual_behaviour"],
        severity=["high", "low"],
        title=["a scan", "odd [red]name\x1b[31m"],
        source=["10.0.0.66", "10.0.0.7"],
        destinations=["10.0.0.9", "10.0.0.1"],
    )
    tables.write(results / "incidents.csv", tables.INCIDENTS, incidents)
    tables.write(results / "anomalies.csv", tables.ANOMALIES, tables.empty(tables.ANOMALIES))
    words = np.where(scan, "port scan", "benign").tolist()
    tables.write(
        tmp_path / "labels.csv", tables.PACKET_LABELS, filled(tables.PACKET_LABELS, COUNT, packet=number, label=words)
    )
    return tmp_path


def test_it_writes_metrics_attacks_and_plots_and_prints_both_tables(folder, run_script):
    done = run_script("evaluate.py", "--labels", "labels.csv")
    assert done.returncode == 0, done.stderr
    last = "ROC AUC 1.000; 1 of 1 attacks found; 1 false of 2 incidents in 3.3 minutes → results/metrics.json"
    assert done.stdout.splitlines()[-1] == last
    for words in ("single packet forest", "packets per source", "destinations per source", "port scan"):
        assert words in done.stdout
    metrics = json.loads((folder / "results" / "metrics.json").read_text())
    assert metrics["roc_auc"] == metrics["recall"] == metrics["recall_per_attack"]["port scan"] == 1
    assert metrics["true_incidents"] == metrics["false_incidents"] == metrics["attacks_found"] == 1
    assert metrics["false_incidents_per_hour"] == pytest.approx(3600 / 199)
    assert metrics["median_time_to_detect_s"] == 29
    assert set(metrics["trivial"]) == {"single_packet_forest", "packets_per_source", "destinations_per_source"}
    attacks = pd.read_csv(folder / "results" / "attacks.csv")
    assert attacks.loc[0, ["attack", "found", "incidents", "packets"]].tolist() == ["port scan", True, "I0002", 20]
    for curve in ("roc", "precision_recall"):
        names = {path.stem for path in (folder / "results" / "plots" / curve).iterdir()}
        assert names == {"netnormal", *metrics["trivial"]}
    recall = pd.read_csv(folder / "results" / "plots" / "recall_per_attack.csv")
    assert recall[["attack", "recall"]].to_numpy().tolist() == [["port scan", 1]]
    for name in ("roc", "precision_recall", "recall_per_attack", "score_timeline"):
        assert (folder / "results" / "evaluation" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_an_attack_has_who_found_it_and_a_false_incident_its_title_as_plain_text(folder, run_script):
    said = run_script("evaluate.py", "--labels", "labels.csv").stdout
    head, scan = (
        next(line.split() for line in said.splitlines() if line.startswith(word)) for word in ("attack ", "port")
    )
    assert head == ["attack", "packets", "AUC", "recall", "forest", "pattern", "after", "[s]", "incidents", "as"]
    assert scan == ["port", "scan", "20", "1.000", "1.00", "no", "yes", "29.0", "1", "port_scan"]
    assert "1 false, 18.1 an hour:" in said
    assert "odd [red]name?[31m" in said


def test_the_same_labels_by_interval_zipped_give_the_same_metrics(folder, run_script):
    by_packet = run_script("evaluate.py", "--labels", "labels.csv", "--output", "by_packet.json")
    time = tables.read(folder / "dataset" / "captured_data.csv", tables.PACKETS)["time"].to_numpy()
    interval = filled(
        tables.INTERVAL_LABELS, 1, start=time[[100]], end=time[[119]], source=["10.0.0.66"], label=["port scan"]
    )
    tables.write(folder / "intervals.csv.gz", tables.INTERVAL_LABELS, interval)
    by_interval = run_script("evaluate.py", "--labels", "intervals.csv.gz", "--output", "by_interval.json")
    assert (by_packet.returncode, by_interval.returncode) == (0, 0), by_interval.stderr
    assert (folder / "by_packet.json").read_bytes() == (folder / "by_interval.json").read_bytes()


def test_a_baseline_for_the_trivial_forest_can_be_named(folder, run_script):
    shutil.copy(folder / "dataset" / "captured_data.csv", folder / "baseline.csv")
    done = run_script("evaluate.py", "-q", "--labels", "labels.csv", "--baseline", "baseline.csv")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    gone = run_script("evaluate.py", "--labels", "labels.csv", "--baseline", "nothing.csv")
    assert_one_sentence(gone, "nothing.csv")


def assert_one_sentence(done, *words):
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("evaluate.py: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        ("", "is neither flow_labels or packet_labels or interval_labels"),
        ("a,b\n1,2\n", "is neither flow_labels or packet_labels or interval_labels"),
        ("packet,label\none,scan\n", "after row 0"),
        ("packet,label\n0,scan\n", "packet"),
        ("packet,label\n201,scan\n", "packet 201 has a label and is not in the capture"),
        ("packet,label\n5,scan\n5,flood\n", "a packet has two labels"),
        ("start,end,source,destination,label\nyesterday,today,,,scan\n", "after row 0"),
    ],
)
def test_bad_labels_are_told_in_one_sentence_and_leave_old_metrics_alone(folder, run_script, text, words):
    (folder / "results" / "metrics.json").write_text("old")
    if text is not None:
        (folder / "bad.csv").write_text(text)
    assert_one_sentence(run_script("evaluate.py", "--labels", "bad.csv"), "bad.csv", words)
    assert (folder / "results" / "metrics.json").read_text() == "old"
    assert not list((folder / "results").glob(".*.part"))


def test_results_of_another_capture_are_refused(folder, run_script):
    packets = tables.read(folder / "dataset" / "captured_data.csv", tables.PACKETS)
    tables.write(folder / "short.csv", tables.PACKETS, packets.iloc[:50])
    done = run_script("evaluate.py", "--labels", "labels.csv", "--capture", "short.csv")
    assert_one_sentence(done, "results/labelled_packets.csv", "has more packets than the capture", "--capture")


def test_missing_results_say_which_stage_writes_them(folder, run_script):
    (folder / "results" / "incidents.csv").unlink()
    assert_one_sentence(run_script("evaluate.py", "--labels", "labels.csv"), "incidents.csv", "python detect.py")


def test_labels_are_required(folder, run_script):
    done = run_script("evaluate.py")
    assert done.returncode == 2
    assert "--labels" in done.stderr
