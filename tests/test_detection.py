"""The loop of detection, and detect.py as a user runs it."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netnormal import frames, tables
from netnormal.detection import PacketVerdicts, rows_by_window

pytestmark = pytest.mark.xdist_group("chain")  # one process, so that the chain is made once

FILES = [
    "scores.csv",
    "anomalies.csv",
    "labelled_packets.csv",
    "incidents.csv",
    "incidents.json",
    "eve.json",
    "summary.json",
]


# ---------------------------------------------------------------- the loop


@given(st.lists(st.integers(1, 40), max_size=8), st.integers(1, 5))
def test_rows_come_a_window_at_a_time_however_the_file_was_cut(cuts, per_window):
    rows = pd.DataFrame(
        {"window_s": np.repeat([10, 10, 60, 10], per_window), "window_start": np.repeat([0, 10, 0, 20], per_window)}
    )
    edges = np.minimum(np.cumsum([0, *cuts, len(rows)]), len(rows))
    blocks = [rows.iloc[a:b] for a, b in itertools.pairwise(edges) if b > a]
    windows = list(rows_by_window(blocks))
    assert [(w["window_s"].iloc[0], w["window_start"].iloc[0], len(w)) for w in windows] == [
        (10, 0, per_window),
        (10, 10, per_window),
        (60, 0, per_window),
        (10, 20, per_window),
    ]


def test_a_packet_has_its_highest_score_and_the_incident_of_its_shortest_window():
    verdicts = PacketVerdicts((10, 60))
    verdicts.add(np.array([1, 2, 5]))
    verdicts.add(np.array([6]))
    # drafts 0 and 1 became the third and the first incident, draft 2 none
    verdicts.judge(10, np.array([1, 2, 5]), np.array([0.1, 0.9, 0.2]), np.array([0, 1, 0], bool), np.array([-1, 0, 2]))
    verdicts.judge(60, np.array([2, 5, 6]), np.array([0.5, 0.4, 0.3]), np.array([0, 0, 0], bool), np.array([1, -1, 1]))
    table = verdicts.table(np.array([2, 0, -1]), pd.Index(["I0003", "I0002", "I0001"]), np.array([0.7, 0.99, 0.7]))
    assert table["packet"].tolist() == [1, 2, 5, 6]
    assert table["score"].tolist() == [0.1, 0.9, 0.4, 0.7]
    assert table["incident_id"].astype(object).fillna("").tolist() == ["", "I0001", "", "I0003"]
    assert table["label"].tolist() == ["normal", "anomalous", "normal", "anomalous"]


def test_in_an_incident_with_a_name_the_more_unusual_packet_ranks_higher_and_none_below_the_name():
    verdicts = PacketVerdicts((10,))
    numbers, of_none = np.arange(1, 5), np.zeros(4, bool)
    verdicts.add(numbers)
    verdicts.judge(10, numbers, np.array([0.0, 0.2, 0.9, 0.9]), of_none, np.array([0, 0, 0, 1]))
    table = verdicts.table(np.array([0, 1]), pd.Index(["I0001", "I0002"]), np.array([0.99, 0.95]))
    assert table["score"].tolist() == pytest.approx([0.99, 0.992, 0.999, 0.95])


def test_packet_numbers_that_do_not_rise_are_refused():
    verdicts = PacketVerdicts((10,))
    verdicts.add(np.array([1, 2]))
    with pytest.raises(ValueError, match="do not rise"):
        verdicts.add(np.array([2, 3]))


# ---------------------------------------------------------------- the script


@pytest.fixture(scope="module")
def folder(chain):
    """The chain up to the model, trained on the sample's baseline, and packets of the mixed part's scan and flood."""
    return chain


@pytest.fixture(scope="module")
def results(folder, run_in):
    run_in(folder, "detect.py", "--input", "new.csv")
    return folder / "results"


def test_the_terminal_says_how_many_incidents_and_the_worst_in_a_sentence_each(folder, run_in):
    shown = run_in(folder, "detect.py", "--input", "new.csv", "--output", "again").stdout
    assert re.match(r"\d+ incidents \(.*high.*\) in [\d,]+ packets over 110 s|1\.83 min", shown)
    assert re.search(r"192\.168\.37\.80 scanned 1,000 TCP ports of 192\.168\.37\.178", shown)
    assert re.search(r"192\.168\.37\.80 flooded 192\.168\.37\.46 with [\d,]+ pings", shown)
    assert shown.splitlines()[-1].endswith("again/ (incidents.csv has reasons and Wireshark filters)")


def test_every_packet_is_labelled_and_the_scan_is_anomalous(folder, results):
    packets = tables.read(folder / "new.csv", tables.PACKETS)
    labelled = tables.read(results / "labelled_packets.csv", tables.LABELLED_PACKETS)
    assert (labelled["packet"].to_numpy() == packets["packet"].to_numpy()).all()
    incidents = tables.read(results / "incidents.csv", tables.INCIDENTS).set_index("pattern")
    scan = incidents.loc["port_scan"]
    probes = (packets["src_ip"] == scan["source"]) & (packets["tcp_flags"] == "S") & (packets["dst_port"] != 443)
    probes &= packets["time"].between(scan["start"], scan["end"])
    assert probes.sum() > 900
    assert (labelled["label"][probes] == "anomalous").all()
    assert (labelled["label"] == "anomalous").mean() < 0.6


def test_anomalies_give_value_and_usual_range_and_point_to_their_incident(results):
    anomalies = tables.read(results / "anomalies.csv", tables.ANOMALIES)
    assert len(anomalies) > 10
    assert (
        anomalies["reasons"].astype(str).str.contains(r"\(usually (?:(?:up to )?[\d.,]+|none).*spreads out\)").mean()
        > 0.9
    )
    ids = set(tables.read(results / "incidents.csv", tables.INCIDENTS)["incident_id"])
    assert anomalies["incident_id"].notna().all() and set(anomalies["incident_id"]) <= ids
    scores = tables.read(results / "scores.csv", tables.SCORES)
    assert scores["anomaly"].sum() == len(anomalies)


def test_incidents_json_says_what_incidents_csv_says(results):
    rows = list(csv.DictReader((results / "incidents.csv").open(encoding="utf-8")))
    documents = json.loads((results / "incidents.json").read_text("utf-8"))
    assert [d["title"] for d in documents] == [r["title"] for r in rows]
    assert documents[0]["destinations"] == rows[0]["destinations"].split()
    assert documents[0]["start"] == rows[0]["start"]
    for document in documents:
        assert list(document) == [*tables.INCIDENTS.names, *tables.DOCUMENT]
        assert 0 <= sum(one["share"] for one in document["explanation"]) <= 1
        assert document["normal"].endswith(".") and len(document["community_ids"]) <= 20
    (scan,) = (document for document in documents if document["pattern"] == "port_scan")
    told = {one["feature"] for one in scan["explanation"]}
    assert "source_services_at_destination_count" in told and len(scan["community_ids"]) == 20


def test_a_summary_counts_what_was_judged(folder, results):
    summary = json.loads((results / "summary.json").read_text("utf-8"))
    packets = tables.read(folder / "new.csv", tables.PACKETS)
    assert summary["packets"] == len(packets)
    assert summary["health"]["status"] == "ok"
    assert summary["detection"]["incidents"] == sum(summary["detection"]["incidents_by_severity"].values())
    assert "cannot promise" in summary["model"]["promise"]


def test_the_same_traffic_gives_the_same_results_from_every_kind_of_input(folder, results, run_in):
    run_in(folder, "extract_features.py", "--input", "new.csv", "--output", "new_features.csv", "-q")
    run_in(folder, "detect.py", "--input", "new_features.csv", "--capture", "new.csv", "--output", "by_features", "-q")
    for name in FILES:
        assert (folder / "by_features" / name).read_bytes() == (results / name).read_bytes(), name
    run_in(folder, "detect.py", "--input", "new.csv", "--output", "by_one", "--jobs", "1", "-q")
    assert (folder / "by_one" / "scores.csv").read_bytes() == (results / "scores.csv").read_bytes()


def test_a_capture_file_and_its_csv_give_the_same_results(folder, sample, run_in, tmp_path):
    source = frames.open_capture(sample / "mixed.pcap.gz")
    with source:
        block = next(iter(source))
    with frames.PcapWriter(tmp_path / "part.pcap", 1, 262_144) as out:
        out.append(block)
    run_in(folder, "capture.py", "--read", tmp_path / "part.pcap", "--output", tmp_path / "part.csv", "-q")
    for kind in ("pcap", "csv"):
        run_in(folder, "detect.py", "--input", tmp_path / f"part.{kind}", "--output", tmp_path / kind, "-q")
    for name in FILES[:-1]:
        assert (tmp_path / "pcap" / name).read_bytes() == (tmp_path / "csv" / name).read_bytes(), name


def test_features_without_their_packets_are_judged_and_what_is_missing_is_said(folder, run_in):
    run_in(folder, "extract_features.py", "--input", "new.csv", "--output", "alone.csv", "-q")
    done = run_in(folder, "detect.py", "--input", "alone.csv", "--capture", "none.csv", "--output", "alone")
    assert "none.csv does not exist: judging conversations only" in done.stderr
    incidents = tables.read(folder / "alone" / "incidents.csv", tables.INCIDENTS)
    assert set(incidents["pattern"]) == {"unusual_behaviour"}
    assert len(tables.read(folder / "alone" / "labelled_packets.csv", tables.LABELLED_PACKETS)) == 0


def test_a_listed_host_becomes_an_incident(folder, run_in):
    (folder / "bad.txt").write_text("# ours\n172.21.243.70  # files.acorn.test\n")
    run_in(folder, "detect.py", "--input", "new.csv", "--threats", "bad.txt", "--output", "listed", "-q")
    incidents = tables.read(folder / "listed" / "incidents.csv", tables.INCIDENTS)
    titles = incidents["title"][incidents["pattern"] == "threat_list"].tolist()
    assert titles == ["192.168.37.133 was in contact with 172.21.243.70, which is on the threat list"]


def test_the_most_active_hosts_join_the_threat_list_when_asked(folder, run_in):
    params = (folder / "params.yaml").read_text("utf-8")
    (folder / "busy.yaml").write_text(params.replace("top_talkers: 0", "top_talkers: 1"))
    run_in(folder, "detect.py", "--input", "new.csv", "--params", "busy.yaml", "--output", "busy", "-q")
    incidents = tables.read(folder / "busy" / "incidents.csv", tables.INCIDENTS)
    assert (incidents["pattern"] == "threat_list").any()


# ---------------------------------------------------------------- bad input


def wrong_kind(path: Path) -> None:
    path.write_text("alpha,beta\n1,2\n")


def other_features(path: Path) -> None:
    lines = (path.parent / "new.csv").read_text().splitlines()
    path.write_text("\n".join([lines[0].replace("dst_ip", "destination_address"), *lines[1:50]]))


def wrong_type(path: Path) -> None:
    lines = (path.parent / "new.csv").read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace(",", ",yesterday,", 1), *lines[2:50]]))


def repeated(path: Path) -> None:
    lines = (path.parent / "new.csv").read_text().splitlines()
    path.write_text("\n".join([*lines[:50], *lines[1:50]]) + "\n")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, r"bad\.csv: does not exist: "),
        (lambda path: path.write_bytes(b""), r"bad\.csv: is (neither|empty)"),
        (wrong_kind, r"bad\.csv: is neither features or captured_data"),
        (other_features, r"bad\.csv: is neither .*dst_ip"),
        (wrong_type, r"bad\.csv: after row 0: .*"),
        (repeated, r"bad\.csv: does not fit bad\.csv: packet numbers do not rise"),
        (lambda path: path.write_bytes(bytes(range(256)) * 20), r"bad\.csv: is not text"),
        (lambda path: path.mkdir(), r"bad\.csv: has no capture with packets"),
    ],
    ids=["missing", "empty", "another table", "column renamed", "wrong type", "numbers repeat", "noise", "folder"],
)
def test_bad_input_is_one_sentence_and_leaves_old_results(folder, run_in, make, words, tmp_path):
    bad = folder / "bad.csv"
    shutil.rmtree(bad) if bad.is_dir() else bad.unlink(missing_ok=True)
    make(bad)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "scores.csv").write_text("old")
    done = run_in(folder, "detect.py", "--input", "bad.csv", "--output", tmp_path / "old", fails=True)
    assert done.returncode == 1
    assert re.fullmatch(rf"detect\.py: {words}.*\n", done.stderr), done.stderr
    assert {path.name: path.read_text() for path in (tmp_path / "old").iterdir()} == {"scores.csv": "old"}


def test_features_of_other_packets_are_refused(folder, run_in):
    done = run_in(folder, "detect.py", "--capture", "new.csv", "--output", "misfit", fails=True)
    assert done.returncode == 1
    assert re.search(r"features\.csv: does not fit new\.csv: its rows are not those .*--capture", done.stderr)
    assert not list((folder / "misfit").glob("*"))


def test_without_a_model_the_next_command_is_named(folder, run_in):
    done = run_in(folder, "detect.py", "--model", "none.pkl", fails=True)
    assert done.stderr == "detect.py: none.pkl: does not exist: make it with python train_model.py\n"
