"""The sample that ships with the project, and the main job of the README on it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from netnormal import inputs, tables

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def done(tmp_path_factory, run_in, sample):
    """The folder and the text of detect.py, visualize.py and evaluate.py after the README's first block."""
    folder = tmp_path_factory.mktemp("sample")
    mixed, labels = sample / "mixed.pcap.gz", sample / "mixed.labels.csv.gz"
    run_in(folder, "capture.py", "--read", sample / "baseline.pcap.gz")
    run_in(folder, "extract_features.py")
    run_in(folder, "train_model.py")
    said = [
        run_in(folder, "detect.py", "--input", mixed).stdout,
        run_in(folder, "visualize.py", "--capture", mixed).stdout,
        run_in(folder, "evaluate.py", "--labels", labels, "--capture", mixed).stdout,
    ]
    return folder, said


def test_the_sample_is_small_and_what_its_readme_says(sample):
    files = [path for path in sample.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6_500_000
    text = (sample / "README.md").read_text("utf-8")
    for name in ("baseline.pcap.gz", "mixed.pcap.gz"):
        count = sum(len(block) for block in inputs.packet_blocks(sample / name))
        assert f"{count:,} packets" in text
    labels = tables.read(sample / "mixed.labels.csv.gz", tables.PACKET_LABELS)
    assert labels["packet"].tolist() == list(range(1, count + 1))
    counts = labels["label"].value_counts()
    for name, number in counts.drop("benign").items():
        assert re.search(rf"`{name}` \|.*\| {number:,} \|", text), name


def test_the_main_job_ends_with_incidents_figures_and_a_report(done):
    folder, (detected, drawn, _) = done
    incidents = json.loads((folder / "results" / "incidents.json").read_text("utf-8"))
    patterns = {incident["pattern"] for incident in incidents}
    assert {"port_scan", "icmp_flood", "arp_spoofing", "brute_force"} <= patterns
    assert incidents[0]["title"] in detected
    assert "report.html" in drawn
    assert (folder / "results" / "report.html").stat().st_size > 100_000
    assert len(list((folder / "results" / "figures").glob("*.png"))) >= 10


def test_the_main_job_finds_most_attacks_and_hardly_anything_else(done):
    folder, (_, _, evaluated) = done
    metrics = json.loads((folder / "results" / "metrics.json").read_text("utf-8"))
    assert metrics["attacks"] == 11
    assert metrics["attacks_found"] >= 8
    assert metrics["false_incidents"] <= 1
    assert metrics["roc_auc"] >= 0.97
    assert metrics["mean_roc_auc"] > max(other["mean_roc_auc"] for other in metrics["trivial"].values())
    assert f"{metrics['attacks_found']} of 11 attacks found" in evaluated


def test_the_readme_names_the_files_of_the_sample(sample):
    text = (ROOT / "README.md").read_text("utf-8")
    for name in re.findall(r"dataset/sample/([\w.]+)", text):
        assert (sample / name).exists(), name
