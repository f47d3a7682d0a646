"""extract_features.py as a user runs it: the sample, and everything that can be wrong with its input."""

from __future__ import annotations

import gzip

import pytest
from packets import arp, table, tcp, udp

from netnormal import tables

A, B = "10.0.0.1", "10.0.0.2"


@pytest.fixture
def capture(tmp_path):
    rows = [r for i in range(30) for r in (tcp(i, A, B, 40000 + i, 80, "S"), tcp(i + 0.1, B, A, 80, 40000 + i, "SA"))]
    rows += [udp(31, A, B, 50000, 53, dns_query="example.org", dns_type=1), arp(32, A, B, 1), udp(2, B, A, 9, 9)]
    path = tmp_path / "captured_data.csv"
    tables.write(path, tables.PACKETS, table(rows))
    return path


def test_a_packet_table_becomes_a_feature_table(run_script, capture, tmp_path):
    done = run_script("extract_features.py", "--input", capture, "--output", "features.csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = tables.read(tmp_path / "features.csv", tables.FEATURES)
    assert done.stdout == f"63 packets, 1 late → {len(rows)} rows in features.csv\n"
    assert sorted(set(rows["window_s"])) == [10, 60, 600]
    assert set(rows["service"]) == {"TCP/80", "UDP/53", "UDP/9", "ARP"}


def test_the_sample_capture_gives_the_same_bytes_each_time(run_script, sample, tmp_path):
    for name in ("one.csv", "two.csv"):
        done = run_script("extract_features.py", "--input", sample / "baseline.pcap.gz", "--output", name, "-q")
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert len(tables.read(tmp_path / "one.csv", tables.FEATURES)) > 1000


def test_jobs_and_compression_of_the_input_do_not_matter(run_script, capture, tmp_path):
    zipped = tmp_path / "packets.csv.gz"
    zipped.write_bytes(gzip.compress(capture.read_bytes()))
    run_script("extract_features.py", "--input", capture, "--output", "a.csv", "--jobs", 1)
    run_script("extract_features.py", "--input", zipped, "--output", "b.csv", "--jobs", 2)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_table_without_packets_gives_a_table_without_rows(run_script, tmp_path):
    tables.write(tmp_path / "none.csv", tables.PACKETS, tables.empty(tables.PACKETS))
    done = run_script("extract_features.py", "--input", "none.csv", "--output", "features.csv")
    assert (done.returncode, done.stdout) == (0, "0 packets, 0 late → 0 rows in features.csv\n")
    assert (tmp_path / "features.csv").read_text() == ",".join(tables.FEATURES.names) + "\n"


def without_a_column(text: str) -> str:
    return text.replace("tcp_flags", "flags")


def with_a_word_for_a_number(text: str) -> str:
    return text.replace(",80,", ",http,", 1)


def with_a_port_out_of_range(text: str) -> str:
    return text.replace(",80,", ",99999,", 1)


def with_a_wrong_time(text: str) -> str:
    return text.replace("2023-", "yesterday ", 1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_a_column, "no column tcp_flags"),
        (with_a_word_for_a_number, "http"),
        (with_a_port_out_of_range, "99999"),
        (with_a_wrong_time, "yesterday"),
        (lambda _: "", "is empty"),
        (lambda _: "\0\1\2", "is not text"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence_and_leaves_the_earlier_result(
    run_script, capture, tmp_path, damage, words
):
    (tmp_path / "features.csv").write_text("earlier")
    text = damage(capture.read_text())
    capture.write_text(text)
    done = run_script("extract_features.py", "--input", capture, "--output", "features.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("extract_features.py: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert (tmp_path / "features.csv").read_text() == "earlier"
    assert not list(tmp_path.glob(".*.part"))


def test_a_missing_table_says_what_to_run(run_script):
    done = run_script("extract_features.py")
    assert done.returncode == 1
    assert "dataset/captured_data.csv: does not exist" in done.stderr
    assert "capture.py" in done.stderr


def test_a_folder_that_cannot_be_written_is_said(run_script, capture, tmp_path):
    (tmp_path / "file").write_text("")
    done = run_script("extract_features.py", "--input", capture, "--output", "file/features.csv")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_the_help_names_the_files(run_script):
    done = run_script("extract_features.py", "--help")
    assert done.returncode == 0
    for word in ("dataset/captured_data.csv", "dataset/features.csv", "--input", "--output", "--jobs", "--params"):
        assert word in done.stdout


def test_a_wrong_setting_is_named(run_script, capture, tmp_path):
    run_script("extract_features.py", "--help")  # brings params.yaml
    settings = tmp_path / "params.yaml"
    settings.write_text(settings.read_text().replace("lateness_s: 1 ", "lateness_s: soon "))
    done = run_script("extract_features.py", "--input", capture)
    assert done.returncode == 1
    assert "lateness_s is 'soon'" in done.stderr
