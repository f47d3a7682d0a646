"""The files of a live capture: whole whenever it is killed, cut into segments, continued, never overwritten."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import reference_decode as make
from live_running import Running, enter, frames_of, needs_root, numbered, same_as_read, udp
from test_capture import ROOT, untouched, wait_for

from netnormal import frames, inputs, recorder, tables

pytestmark = [pytest.mark.root, needs_root]


NUMBERING = """
import os, socket, sys, time
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # another processor's queue may be passed on earlier
s = socket.socket(17, 3)
s.bind(("v0", 0))
frame = bytes.fromhex(sys.argv[1])
for i in range(10**9):
    s.send(frame + i.to_bytes(4, "big"))
    time.sleep(0.0005)
"""


def test_captures_killed_at_twenty_moments_keep_all_but_the_last_second_and_the_next_start_works(netns, tmp_path):
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    flood = subprocess.Popen(enter(netns, sys.executable, "-c", NUMBERING, udp(b"").hex()))

    def started(folder: Path) -> Running:
        return Running(netns, folder, "--interface", "v1", "--filter", "udp port 9")

    missing: list[float] = []  # seconds before the kill that are not in the files
    try:
        for turn in range(4):
            with ThreadPoolExecutor() as several:
                running = list(several.map(started, folders))
            began = time.time()
            for one in running:
                moved = "the earlier capture did not end by itself; it is now in dataset/captures/"
                assert (moved in one.error.read_text()) == (turn > 0)
            # in each second one of them, and in the first second each of them once: then nothing may be there yet
            moments = sorted((random.uniform(0, 1) + (turn + number) % 4, number) for number in range(4))
            for moment, number in moments:
                time.sleep(max(began + moment - time.time(), 0))
                running[number].process.kill()
                killed = time.time()
                running[number].process.wait(60)
                for kind in ("csv", "pcap"):
                    times = times_of(folders[number] / "dataset" / f"captured_data.{kind}")
                    missing.append(killed - max([began, *times[-1:]]))
        starting = [spawned(netns, folder) for folder in folders]  # killed while they start, and move what is there
        for process in starting:
            time.sleep(random.uniform(0, 1))
            process.kill()
            process.wait(60)
    finally:
        flood.kill()
        flood.wait()
    assert sorted(missing)[len(missing) // 2] < 1
    assert max(missing) < 2  # on a busy machine
    for folder in folders:
        assert Running(netns, folder, "--interface", "v1").end(signal.SIGINT)[0] == 0
        kept = [frames_of(pcap) for pcap in folder.rglob("*.pcap")]
        assert sum(1 for one in kept if one) >= 3
        for one in kept:
            numbers = [int.from_bytes(frame[42:46], "big") for frame in one]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
        for table in folder.rglob("*.csv"):
            rows = len(tables.read(table, tables.PACKETS))
            assert abs(rows - len(frames_of(table.with_suffix(".pcap")))) < 2500  # one may be a block ahead


def spawned(netns: str, folder: Path) -> subprocess.Popen[bytes]:
    command = enter(netns, sys.executable, ROOT / "capture.py", "--interface", "v1", "--filter", "udp port 9", "-q")
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)


def times_of(path: Path) -> list[float]:
    """When the whole records of a pcap, or a CSV, were captured [s]."""
    if path.suffix == ".pcap":
        with frames.open_capture(path) as source:
            try:
                return [time / 1e9 for block in source for time in block.time.tolist()]
            except tables.InputError:  # none is whole
                return []
    header, *rows = path.read_text().rpartition("\n")[0].splitlines()
    return [time / 1e9 for time in tables.parse("\n".join([*rows, ""]).encode(), header, tables.PACKETS, path).time]


def test_half_written_records_are_cut_at_the_next_start(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp")
    running.send(*[udp(b"x")] * 3)
    time.sleep(1.5)
    running.process.kill()
    running.process.wait(60)
    for name, size in (("captured_data.csv", 7), ("captured_data.pcap", 20)):
        with (tmp_path / "dataset" / name).open("r+b") as file:
            file.truncate(file.seek(0, 2) - size)
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp")
    assert running.end(signal.SIGINT)[0] == 0
    assert "bytes of half written records" in running.error.read_text()
    (folder,) = (tmp_path / "dataset/captures").iterdir()
    assert len(frames_of(folder / "captured_data.pcap")) == 2
    assert len(tables.read(folder / "captured_data.csv", tables.PACKETS)) == 2


def test_a_second_capture_does_not_write_into_the_files_of_a_running_one(netns, tmp_path):
    first = Running(netns, tmp_path, "--interface", "v1")
    command = enter(netns, sys.executable, ROOT / "capture.py", "--interface", "v1", "--duration", "1")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "dataset/captured_data.csv: another capture is writing it" in done.stderr
    assert first.end(signal.SIGINT)[0] == 0


def test_a_long_capture_is_cut_into_segments_and_only_the_last_are_kept(netns, tmp_path, run_script):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp", "--rotate-seconds", 0.5, "--keep", 2)
    for number in range(5):
        running.send(udp(bytes([number])))
        time.sleep(1.2)
    code, said = running.end(signal.SIGINT)
    assert (code, said.split(" (")[0]) == (0, "5 packets")
    captures = sorted((tmp_path / "dataset/captures").iterdir())
    assert [[frame[42] for frame in frames_of(folder / "captured_data.pcap")] for folder in captures] == [[3], [4]]
    manifest = json.loads((captures[0] / "captured_data.json").read_text())
    assert (manifest["packets"], manifest["problems"]) == (1, [])
    whole = make.csv_of(list(inputs.packet_blocks(tmp_path / "dataset/captures")))
    parts = [(folder / "captured_data.csv").read_text().splitlines()[1] for folder in captures]
    assert whole.decode().splitlines()[1:] == [parts[0], parts[1].replace("1,", "2,", 1)]
    assert run_script("extract_features.py", "--input", "dataset/captures").stdout.startswith("2 packets, 0 late")


def syn(port: int, payload: bytes = b"") -> bytes:
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    ether = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
    return bytes(ether / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=40000, dport=port, flags="S") / payload)


@pytest.mark.xdist_group("chain")  # one process, so that the chain is made once
def test_segments_of_a_size_are_one_input_for_features_and_detection(netns, tmp_path, chain, run_script):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "tcp", "--rotate-mb", 0.03)
    for start in range(1, 601, 100):
        running.send(*[syn(port) for port in range(start, start + 100)])
        time.sleep(0.4)
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    captures = sorted((tmp_path / "dataset/captures").iterdir())
    sizes = [sum((folder / f"captured_data.{kind}").stat().st_size for kind in ("csv", "pcap")) for folder in captures]
    assert len(captures) >= 2
    assert all(30_000 <= size < 130_000 for size in sizes)  # what comes in between two looks is in it, too
    ports = tables.concat(inputs.packet_blocks(tmp_path / "dataset/captures")).dst_port.tolist()
    assert ports == list(range(1, len(ports) + 1))
    done = run_script("extract_features.py", "--input", "dataset/captures")
    assert done.stdout.startswith(f"{len(ports)} packets, 0 late")
    model = chain / "models/isolation_forest.pkl"
    assert run_script("detect.py", "--input", "dataset/captures", "--model", model).returncode == 0
    summary = json.loads((tmp_path / "results/summary.json").read_text())
    assert summary["packets"] == len(ports)
    found = json.loads((tmp_path / "results/incidents.json").read_text())
    scan = next(one for one in found if one["pattern"] == "port_scan")
    assert (scan["source"], scan["packets"]) == ("10.0.0.1", len(ports))


class Fake:
    """A source of a frame a block."""

    name, link_types, snaplen, longest_frame, problems = "fake", [1], 100, None, ()

    def about(self) -> dict[str, object]:
        return {"format": "live"}

    def losses(self) -> dict[str, int]:
        return {"kernel_drops": 0}


@pytest.mark.parametrize("broken", ["netnormal.recorder.PcapWriter", "netnormal.recorder.tables.write_json"])
def test_a_segment_that_cannot_be_begun_leaves_nothing_and_the_one_before_is_whole(tmp_path, monkeypatch, broken):
    plan = recorder.Plan(tmp_path / "captured_data.csv", True, rotate_bytes=1)
    with pytest.raises(tables.InputError, match="no room"), recorder.Recorder(plan, Fake()) as recording:
        after = recorder.PcapWriter if broken.endswith("PcapWriter") else tables.write_json

        def fails(path: Path, *arguments: object) -> object:
            if (tmp_path / "captures").exists():
                raise tables.InputError(path, "no room", "make some") if "json" in broken else OSError(28, "no room")
            return after(path, *arguments)

        monkeypatch.setattr(broken, fails)
        recording.put(make.frames_of([syn(1)]))
        wait_for(lambda: not recording._thread.is_alive())
        recording.put(make.frames_of([syn(2)]))
    assert [path.name for path in tmp_path.iterdir()] == ["captures"]
    (folder,) = (tmp_path / "captures").iterdir()
    assert frames_of(folder / "captured_data.pcap") == [syn(1)]
    manifest = json.loads((folder / "captured_data.json").read_text())
    assert (manifest["packets"], manifest["problems"]) == (1, [])


def test_the_manifest_says_where_in_the_pcap_what_was_captured_by_when_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "_PLACE_BYTES", 100)
    monkeypatch.setattr(recorder, "_MOST_PLACES", 4)
    with recorder.Recorder(recorder.Plan(tmp_path / "captured_data.csv", True), Fake()) as recording:
        for number in range(200):
            recording.put(make.frames_of([syn(number)]))
    pcap = tmp_path / "captured_data.pcap"
    places = json.loads((tmp_path / "captured_data.json").read_text())["pcap_places"]
    assert 4 <= len(places) < 8 and places[-1][1] > pcap.stat().st_size / 2
    with frames.open_capture(pcap) as source:
        times = [int(time) for block in source for time in block.time]
    for end, byte in places:
        with frames.open_capture(pcap) as source:
            source.skip_to(byte)
            rest = sum(map(len, source))
        assert source.problems == [] and max(times[:-rest]) == tables.nanoseconds(end)


def test_a_full_disk_ends_the_capture_in_one_sentence_and_the_files_are_whole(netns, tmp_path):
    (tmp_path / "dataset").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path / "dataset"], check=True)
    try:
        running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp")
        for _ in range(60):
            running.send(*[udp(b"x" * 1400)] * 40)
            if running.process.poll() is not None:
                break
        assert running.end()[0] == 1
        assert "cannot be written (No space left on device): make room" in running.error.read_text().splitlines()[-1]
        assert len(frames_of(tmp_path / "dataset/captured_data.pcap")) > 50
        assert same_as_read(tmp_path / "dataset")
    finally:
        subprocess.run(["umount", tmp_path / "dataset"], check=True)


def test_reading_another_file_does_not_replace_a_live_capture(netns, tmp_path, run_script):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp")
    running.send(udp(b"x"))
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    (tmp_path / "x.pcap").write_bytes(make.pcap([udp(b"y")] * 2))
    assert run_script("capture.py", "--read", "dataset/captured_data.pcap").returncode == 0
    assert not (tmp_path / "dataset/captures").exists()  # the table of its own pcap
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp")
    assert running.end(signal.SIGINT)[0] == 0
    assert run_script("capture.py", "--read", "x.pcap").returncode == 0
    kept = [len(frames_of(folder / "captured_data.pcap")) for folder in (tmp_path / "dataset/captures").iterdir()]
    assert sorted(kept) == [0, 1]


@pytest.mark.parametrize("ending", ["well", "killed", "killed, CSV behind", "killed, pcap behind"])
def test_append_continues_the_files_as_if_it_had_been_one_capture(netns, tmp_path, ending):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp port 9")
    running.send(*numbered(0, 5))
    time.sleep(1.2)
    dataset, kept = tmp_path / "dataset", 5
    if ending == "well":
        assert running.end(signal.SIGINT)[0] == 0
    else:
        running.process.kill()
        running.process.wait(60)
        for name, size in (("CSV", 7), ("pcap", 20)):  # half a record
            if name in ending:
                kept = 4
                with (dataset / f"captured_data.{name.lower()}").open("r+b") as file:
                    file.truncate(file.seek(0, 2) - size)
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp port 9", "--append")
    running.send(*numbered(5, 3))
    time.sleep(0.7)
    code, said = running.end(signal.SIGINT)
    assert (code, said.split(" (")[0]) == (0, "3 packets")
    error = running.error.read_text()
    assert f"after packet {kept}" in error
    assert not (dataset / "captures").exists()
    pcap = dataset / "captured_data.pcap"
    assert frames_of(pcap) == [*numbered(0, kept), *numbered(5, 3)]
    assert same_as_read(dataset)
    manifest = json.loads((dataset / "captured_data.json").read_text())
    assert (manifest["packets"], manifest["runs"], manifest["kernel_drops"]) == (kept + 3, 2, 0)
    assert manifest["wire_bytes"] == manifest["captured_bytes"] == 46 * (kept + 3)
    assert manifest["sha256"] == hashlib.sha256(pcap.read_bytes()).hexdigest()
    assert len(manifest["problems"]) == (ending != "well")


def test_append_without_a_pcap_goes_on_after_a_kill(netns, tmp_path):
    words = ("--interface", "v1", "--filter", "udp port 9", "--no-pcap", "--append")
    running = Running(netns, tmp_path, *words)
    running.send(*numbered(0, 5))
    time.sleep(1.2)
    running.process.kill()
    running.process.wait(60)
    table = tmp_path / "dataset/captured_data.csv"
    with table.open("r+b") as file:
        file.truncate(file.seek(0, 2) - 7)
    running = Running(netns, tmp_path, *words)
    running.send(*numbered(5, 3))
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    assert "killed after packet 4, without " in running.error.read_text()
    assert tables.read(table, tables.PACKETS).packet.tolist() == list(range(1, 8))
    manifest = json.loads(table.with_suffix(".json").read_text())
    assert (manifest["packets"], manifest["runs"], manifest["wire_bytes"]) == (7, 2, 7 * 46)
    assert not table.with_suffix(".pcap").exists()


def test_append_refuses_what_it_cannot_continue_in_one_sentence(netns, tmp_path, earlier):
    def refused(*arguments: object) -> str:
        running = Running(netns, tmp_path, "--append", *arguments)
        assert running.end() == (1, "")
        error = running.error.read_text()
        assert error.count("\n") == 1
        return error

    assert "is no live capture that could be continued: leave out --append" in refused("--interface", "v1")
    assert untouched(earlier)
    for path in earlier.iterdir():
        path.unlink()
    first = Running(netns, tmp_path, "--interface", "v1", "--duration", 0.5, "--append")  # nothing there: as without
    assert first.end()[0] == 0
    kept = {path.name: path.read_bytes() for path in earlier.iterdir()}
    assert "has snap length 262144, this capture 100" in refused("--interface", "v1", "--snaplen", 100)
    assert "has link types Ethernet, this capture Linux cooked" in refused("--interface", "any")
    assert "was written with a pcap, this capture is not" in refused("--interface", "v1", "--no-pcap")
    assert "does not go with --rotate" in refused("--interface", "v1", "--rotate-mb", 1)
    assert {path.name: path.read_bytes() for path in earlier.iterdir()} == kept
