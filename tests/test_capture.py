"""capture.py as a user runs it: files in, table and manifest out, and nothing lost when something is wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import reference_decode as make

from netnormal import inputs, tables

ROOT = Path(__file__).resolve().parent.parent
FRAME = bytes.fromhex("02000000000b02000000000a0800") + bytes.fromhex(
    "4500002800010000400666cd0a0000010a000002" + "9c4001bb00000000000000005002200000000000"
)


def capture_of(count: int) -> bytes:
    return make.pcap([FRAME] * count)


def untouched(folder: Path) -> bool:
    return sorted((p.name, p.read_text()) for p in folder.iterdir()) == [
        (f"captured_data.{kind}", "earlier") for kind in ("csv", "json", "pcap")
    ]


def test_a_capture_becomes_a_table_and_a_manifest(run_script, tmp_path):
    (tmp_path / "x.pcap").write_bytes(capture_of(3) + b"cut")
    done = run_script("capture.py", "--read", "x.pcap")
    assert (done.returncode, done.stdout) == (0, "3 packets (2 s, 0.2 kB) → dataset/captured_data.csv\n")
    assert "the file ends inside a packet at byte 234, after packet 3" in done.stderr
    table = tables.read(tmp_path / "dataset/captured_data.csv", tables.PACKETS)
    assert table.src_ip.tolist() == ["10.0.0.1"] * 3
    manifest = json.loads((tmp_path / "dataset/captured_data.json").read_text())
    assert manifest["packets"] == 3
    assert manifest["start"] == "1970-01-01T00:00:00.500000000Z"
    assert manifest["sha256"] == hashlib.sha256((tmp_path / "x.pcap").read_bytes()).hexdigest()
    assert manifest["kernel_drops"] is None
    assert len(manifest["problems"]) == 1
    assert sorted(p.name for p in (tmp_path / "dataset").iterdir()) == ["captured_data.csv", "captured_data.json"]


def test_standard_input_gzip_and_files_give_the_same_table(run_script, tmp_path):
    content = capture_of(5)
    (tmp_path / "x.pcap").write_bytes(content)
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    for name in ("x.pcap", "x.gz"):
        assert run_script("capture.py", "--read", name, "--output", f"{name}.csv").returncode == 0
    shutil.copy(ROOT / "params.yaml", tmp_path)
    command = [sys.executable, ROOT / "capture.py", "--read", "-", "--output", "in.csv.gz"]
    subprocess.run(command, input=content, cwd=tmp_path, check=True, timeout=120, stdout=subprocess.DEVNULL)
    first = (tmp_path / "x.pcap.csv").read_bytes()
    assert (tmp_path / "x.gz.csv").read_bytes() == first
    assert gzip.decompress((tmp_path / "in.csv.gz").read_bytes()) == first
    assert (tmp_path / "in.json").exists()


def test_a_table_and_its_capture_are_the_same_input_to_later_stages(run_script, tmp_path):
    (tmp_path / "x.pcap").write_bytes(capture_of(5))
    run_script("capture.py", "--read", "x.pcap", "--output", "x.csv")
    said = [make.csv_of(list(inputs.packet_blocks(tmp_path / name))) for name in ("x.pcap", "x.csv")]
    assert said[0] == said[1]


def test_count_and_duration_limit_what_is_read(run_script, tmp_path):
    (tmp_path / "x.pcap").write_bytes(capture_of(9))
    assert run_script("capture.py", "--read", "x.pcap", "--count", 4).stdout.startswith("4 packets")
    assert run_script("capture.py", "--read", "x.pcap", "--duration", 2.5).stdout.startswith("3 packets")


def test_a_pipe_that_does_not_end_is_left_when_the_count_is_reached(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    command = [sys.executable, ROOT / "capture.py", "--read", "-", "--count", "5", "-q"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdin.write(capture_of(240_000))  # a block and little more, so that writing does not wait
        running.stdin.flush()
        assert running.wait(60) == 0  # though nobody closed its input
    assert json.loads((tmp_path / "dataset/captured_data.json").read_text())["sha256"] is None


def test_a_clock_that_went_backwards_is_in_the_manifest(run_script, tmp_path):
    content = make.section() + make.interface()
    for second in (5, 9, 3, 4):
        content += make.enhanced(FRAME, second * 1_000_000)
    (tmp_path / "x.pcapng").write_bytes(content)
    run_script("capture.py", "--read", "x.pcapng")
    manifest = json.loads((tmp_path / "dataset/captured_data.json").read_text())
    assert manifest["clock"] == {"backward_steps": 1, "largest_backward_step_s": 6.0}
    assert manifest["start"] == "1970-01-01T00:00:03.000000000Z"


def test_what_is_not_decoded_is_counted_by_reason(run_script, tmp_path):
    (tmp_path / "x.pcap").write_bytes(make.pcap([FRAME, FRAME[:20], FRAME[:40], FRAME[:20]]))
    done = run_script("capture.py", "--read", "x.pcap")
    assert done.stdout.endswith("; 3 not decoded (see captured_data.json)\n")
    manifest = json.loads((tmp_path / "dataset/captured_data.json").read_text())
    assert manifest["undecoded_by_reason"] == {"truncated IPv4 header": 2, "truncated TCP header": 1}


BAD = {
    "missing": (None, "does not exist"),
    "empty": (b"", "is empty"),
    "text": (b"hello, this is text\n", "is no capture: it begins with 'hello, this '"),
    "cut in its header": (capture_of(1)[:20], "ends inside its file header"),
    "cut in its first packet": (capture_of(1)[:50], "has no whole packet: the file ends inside a packet at byte 24"),
    "damaged gzip": (gzip.compress(capture_of(1))[:12], "gzip"),
    "gzipped text": (gzip.compress(b"text"), "is no capture"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_ends_in_one_sentence_and_leaves_earlier_results_alone(run_script, tmp_path, earlier, kind):
    content, words = BAD[kind]
    if content is not None:
        (tmp_path / "bad.pcap").write_bytes(content)
    done = run_script("capture.py", "--read", "bad.pcap")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("capture.py: bad.pcap: ")
    assert words in done.stderr
    assert untouched(earlier)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--read", "."], "capture.py: .: cannot be read (Is a directory)"),
        (["--read", "x.pcap", "--output", "x.pcap"], "cannot be the output"),
        (["--read", "x.pcap", "--output", "/proc/nowhere/x.csv"], "cannot be written"),
        (["--read", "x.pcap", "--interface", "lo"], "--read: does not go with --interface"),
        (["--read", "x.pcap", "--keep", "3"], "--read: does not go with --rotate-seconds"),
        (["--read", "x.pcap", "--keep-days", "3"], "--keep-days: deletes nothing without --database"),
        (["--keep", "3"], "--keep: bounds nothing without segments"),
    ],
)
def test_arguments_that_cannot_be_followed_are_told_in_one_sentence(run_script, tmp_path, earlier, arguments, words):
    (tmp_path / "x.pcap").write_bytes(capture_of(1))
    done = run_script("capture.py", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert words in done.stderr
    assert untouched(earlier)
    assert (tmp_path / "x.pcap").read_bytes() == capture_of(1)


@pytest.mark.parametrize("arguments", [["--count", "0"], ["--count", "x"], ["--duration", "-1"], ["--duration", "nan"]])
def test_impossible_limits_are_refused_by_the_command_line(run_script, arguments):
    assert run_script("capture.py", *arguments).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_read_replaces_nothing(tmp_path, earlier, number):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    command = [sys.executable, ROOT / "capture.py", "--read", "-"]

    def heed_interrupts() -> None:  # pytest's own workers ignore them, and what they start inherits that
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=heed_interrupts, **pipes) as running:  # noqa: PLW1509
        running.stdin.write(capture_of(300_000))  # more than one block
        running.stdin.flush()
        wait_for(lambda: any(p.name.endswith(".part") for p in earlier.iterdir()) or running.poll() is not None)
        running.send_signal(number)  # once
        try:
            running.wait(60)
        finally:
            running.kill()
        error = running.stderr.read().decode()
    assert (running.returncode, error) == (130, "capture.py: interrupted; nothing was replaced\n")
    assert untouched(earlier)


def wait_for(condition, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_interfaces_are_listed(run_script):
    done = run_script("capture.py", "--list-interfaces")
    assert done.returncode == 0
    assert done.stdout.startswith("interface ")
    assert "127.0.0.1" in done.stdout
