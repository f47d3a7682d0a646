"""capture.py on live interfaces, in network namespaces that the tests make: every frame kept, or its loss told."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import reference_decode as make
from test_capture import ROOT, untouched, wait_for

from netnormal import frames, inputs, tables

needs_root = pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="needs root on Linux")
live = [pytest.mark.root, needs_root]


def enter(namespace: str, *command: object) -> list[str]:
    return ["ip", "netns", "exec", namespace, *map(str, command)]


@pytest.fixture
def netns():
    """A network namespace with a pair of interfaces, v0 and v1; gone afterwards."""
    if not shutil.which("ip"):
        pytest.skip("iproute2 is not installed")
    name = f"nn{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up", "link set lo up"):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


class Running:
    """capture.py in a namespace; `send` puts frames onto v0 once it listens."""

    def __init__(self, namespace: str, folder: Path, *arguments: object) -> None:
        shutil.copy(ROOT / "params.yaml", folder)
        self.namespace, self.error = namespace, folder / "stderr"
        command = enter(namespace, sys.executable, ROOT / "capture.py", *arguments)
        with self.error.open("wb") as stderr:
            self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True)
        wait_for(lambda: "listening" in self.error.read_text() or self.process.poll() is not None)

    def send(self, *raw: bytes, interface: str = "v0") -> None:
        script = "import socket, sys; s = socket.socket(17, 3); s.bind((sys.argv[1], 0))\n"
        script += "for word in sys.argv[2:]: s.send(bytes.fromhex(word))"
        words = [frame.hex() for frame in raw]
        subprocess.run(enter(self.namespace, sys.executable, "-c", script, interface, *words), check=True, timeout=60)

    def end(self, number: int | None = None) -> tuple[int, str]:
        if number:
            self.process.send_signal(number)
        return self.process.wait(60), self.process.stdout.read() if self.process.stdout else ""


def udp(payload: bytes, port: int = 9) -> bytes:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    return bytes(
        Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / IP(dst="10.0.0.2") / UDP(dport=port) / payload
    )


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_live_capture_ends_cleanly_and_its_files_are_whole(netns, tmp_path, number):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp port 9")
    running.send(*[udp(bytes([i])) for i in range(7)], udp(b"other", port=10))
    time.sleep(1)
    code, said = running.end(number)
    assert code == 0
    assert said.startswith("7 packets (")
    table = tables.read(tmp_path / "dataset/captured_data.csv", tables.PACKETS)
    assert table.dst_port.tolist() == [9] * 7
    assert abs(table.time.iloc[0] / 1e9 - time.time()) < 60
    pcap = tmp_path / "dataset/captured_data.pcap"
    with frames.open_capture(pcap) as source:
        assert (sum(len(block) for block in source), source.problems) == (7, [])
    manifest = json.loads((tmp_path / "dataset/captured_data.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(pcap.read_bytes()).hexdigest()
    assert (manifest["filter"], manifest["kernel_drops"], manifest["interface_drops"]) == ("udp port 9", 0, 0)
    assert make.csv_of(list(inputs.packet_blocks(pcap))) == (tmp_path / "dataset/captured_data.csv").read_bytes()


@pytest.mark.root
@needs_root
def test_count_ends_a_live_capture_and_no_pcap_keeps_none(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp", "--count", 3, "--no-pcap")
    running.send(*[udp(b"x")] * 5)
    code, said = running.end()
    assert (code, said.split(" (")[0]) == (0, "3 packets")
    assert sorted(p.name for p in (tmp_path / "dataset").iterdir()) == ["captured_data.csv", "captured_data.json"]


@pytest.mark.root
@needs_root
def test_loopback_is_seen_once_and_vlan_tags_survive(netns, tmp_path):
    running = Running(
        netns, tmp_path, "--interface", "lo", "--interface", "v1", "--filter", "udp or vlan", "--count", 3
    )
    script = "import socket; s = socket.socket(2, 2); [s.sendto(b'x', ('127.0.0.1', 9)) for _ in range(2)]"
    subprocess.run(enter(netns, sys.executable, "-c", script), check=True, timeout=60)
    tagged = udp(b"tagged")
    running.send(tagged[:12] + bytes.fromhex("8100002a") + tagged[12:])
    assert running.end()[0] == 0
    table = tables.read(tmp_path / "dataset/captured_data.csv", tables.PACKETS)
    assert sorted(table.vlan.tolist()) == [-1, -1, 42]


@pytest.mark.root
@needs_root
def test_an_interface_that_goes_away_ends_the_capture_with_what_there_was(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp")
    running.send(udp(b"x"))
    time.sleep(1)
    subprocess.run(["ip", "-n", netns, "link", "set", "v1", "down"], check=True)
    code, said = running.end()
    assert (code, said.split(" (")[0]) == (1, "1 packets")
    assert "capture.py: interface v1: went down while capturing: what came before is kept" in running.error.read_text()


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--interface", "v1", "--filter", "udp prot 9"], "capture.py: --filter 'udp prot 9': "),
        (["--interface", "nope"], "capture.py: interface nope: does not exist: the interfaces are lo, v"),
        (["--interface", "v1", "--interface", "any"], "capture.py: --interface any: has all interfaces already"),
        (["--interface", "v1", "--user", "no-such-user"], "capture.py: --user no-such-user: there is no such user"),
    ],
)
def test_a_live_capture_that_cannot_start_says_so_and_replaces_nothing(netns, tmp_path, earlier, arguments, words):
    running = Running(netns, tmp_path, *arguments)
    assert running.end() == (1, "")
    error = running.error.read_text()
    assert error.startswith(words)
    assert error.count("\n") == 1
    assert untouched(earlier)


@pytest.mark.root
@needs_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
def test_without_the_right_to_capture_the_command_to_run_is_said(netns, tmp_path, earlier):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    command = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable, ROOT / "capture.py"]
    command += ["--interface", "v1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    if "does not exist" in done.stderr:  # the namespace is not ours
        command[-1] = socket.if_nameindex()[0][1]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "capturing needs more rights: run sudo " in done.stderr
    assert untouched(earlier)


def frames_of(pcap: Path) -> list[bytes]:
    with frames.open_capture(pcap) as source:
        found = [
            bytes(block.data[at : at + size])
            for block in source
            for at, size in zip(block.offset.tolist(), block.captured.tolist(), strict=True)
        ]
        assert source.problems == []
    return found


def same_as_read(folder: Path) -> bool:
    """Whether the CSV is what the pcap beside it decodes to."""
    pcap = folder / "captured_data.pcap"
    return make.csv_of(list(inputs.packet_blocks(pcap))) == (folder / "captured_data.csv").read_bytes()


def tagged(frame: bytes, vlan: int) -> bytes:
    return frame[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + frame[12:]


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("source", ["ring", "scapy"])
def test_every_frame_is_kept_as_it_was_sent(netns, tmp_path, source):
    for end in ("v0", "v1"):
        subprocess.run(["ip", "-n", netns, "link", "set", end, "mtu", "9000"], check=True)
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.layers.l2 import Ether

    ping6 = bytes(Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / IPv6(dst="fd00::2") / ICMPv6EchoRequest())
    mixed = [udp(bytes([i]) * size) for i, size in enumerate((0, 18, 100, 1472, 8000, 8900))]
    mixed += [tagged(udp(b"in a VLAN"), 42), tagged(tagged(udp(b"in two"), 7), 42), ping6]
    mixed += [udp(bytes([i % 250]) * (i % 1400)) for i in range(100)]
    ours = "ether src 02:00:00:00:00:0a"
    running = Running(netns, tmp_path, "--interface", "v1", "--source", source, "--filter", ours)
    for start in range(0, len(mixed), 20):
        running.send(*mixed[start : start + 20])
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    assert frames_of(tmp_path / "dataset/captured_data.pcap") == mixed
    assert same_as_read(tmp_path / "dataset")
    manifest = json.loads((tmp_path / "dataset/captured_data.json").read_text())
    assert manifest["kernel_drops"] == (0 if source == "ring" else None)


@pytest.mark.root
@needs_root
def test_a_filter_for_vlans_finds_them_though_the_kernel_takes_the_tag_off(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "vlan 42 and udp")
    running.send(udp(b"untagged"), tagged(udp(b"tagged"), 42), tagged(udp(b"other"), 43))
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    assert frames_of(tmp_path / "dataset/captured_data.pcap") == [tagged(udp(b"tagged"), 42)]


@pytest.mark.root
@needs_root
def test_any_hears_all_interfaces_and_takes_filters(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "any", "--filter", "udp dst port 9")
    script = "import socket; s = socket.socket(2, 2); [s.sendto(b'x', ('127.0.0.1', p)) for p in (9, 9, 10)]"
    subprocess.run(enter(netns, sys.executable, "-c", script), check=True, timeout=60)
    running.send(udp(b"y"), udp(b"y", port=11))  # v0 says that it sent it, v1 that it came
    time.sleep(0.7)
    assert running.end(signal.SIGTERM)[0] == 0
    table = tables.read(tmp_path / "dataset/captured_data.csv", tables.PACKETS)
    assert table.dst_port.tolist() == [9] * 4
    assert sorted(set(table.dst_ip)) == ["10.0.0.2", "127.0.0.1"]
    assert same_as_read(tmp_path / "dataset")


@pytest.mark.root
@needs_root
def test_several_interfaces_become_one_capture_in_order_of_time(netns, tmp_path):
    for words in ("link add w0 type veth peer name w1", "link set w0 up", "link set w1 up"):
        subprocess.run(["ip", "-n", netns, *words.split()], check=True)
    running = Running(netns, tmp_path, "--interface", "v1", "--interface", "w1", "--filter", "udp port 9")
    for number in range(12):
        running.send(udp(bytes([number])), interface="v0" if number % 3 else "w0")
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    kept = frames_of(tmp_path / "dataset/captured_data.pcap")
    assert [frame[42] for frame in kept] == list(range(12))
    assert json.loads((tmp_path / "dataset/captured_data.json").read_text())["clock"]["backward_steps"] == 0


@pytest.mark.root
@needs_root
def test_a_killed_capture_keeps_all_but_the_last_second_and_the_next_start_says_what_it_found(netns, tmp_path):
    dataset = tmp_path / "dataset"
    sender = "import socket, sys, time; s = socket.socket(17, 3); s.bind(('v0', 0)); f = bytes.fromhex(sys.argv[1])\n"
    sender += "for i in range(10**9):\n s.send(f + i.to_bytes(4, 'big')); time.sleep(0.0005)"
    flood = subprocess.Popen(enter(netns, sys.executable, "-c", sender, udp(b"").hex()))
    try:
        for turn in range(4):
            running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp port 9")
            said = running.error.read_text()
            assert ("the earlier capture did not end by itself; it is now in dataset/captures/" in said) == (turn > 0)
            time.sleep(2.2 + random.random())
            running.process.kill()
            killed = time.time()
            running.process.wait(60)
            with frames.open_capture(dataset / "captured_data.pcap") as source:
                last = max(int(block.time.max()) for block in source)
            assert killed - last / 1e9 < 1.2
    finally:
        flood.kill()
        flood.wait()
    assert Running(netns, tmp_path, "--interface", "v1").end(signal.SIGINT)[0] == 0
    captures = sorted((dataset / "captures").iterdir())
    assert len(captures) == 4
    for folder in captures:
        kept = frames_of(folder / "captured_data.pcap")
        rows = tables.read(folder / "captured_data.csv", tables.PACKETS)
        numbers = [int.from_bytes(frame[42:46], "big") for frame in kept]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert abs(len(rows) - len(kept)) < 2500  # one may be a block ahead of the other
        assert len(rows) > 1000


@pytest.mark.root
@needs_root
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


@pytest.mark.root
@needs_root
def test_a_second_capture_does_not_write_into_the_files_of_a_running_one(netns, tmp_path):
    first = Running(netns, tmp_path, "--interface", "v1")
    command = enter(netns, sys.executable, ROOT / "capture.py", "--interface", "v1", "--duration", "1")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "dataset/captured_data.csv: another capture is writing it" in done.stderr
    assert first.end(signal.SIGINT)[0] == 0


@pytest.mark.root
@needs_root
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


@pytest.mark.root
@needs_root
def test_root_is_left_once_the_socket_is_open_and_files_belong_to_the_user(netns):
    import pwd

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        log = folder / "log"
        running = Running(netns, folder, "--interface", "v1", "--user", "nobody", "--log-file", log)
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
        assert "CapEff:\t0000000000000000" in status
        running.send(udp(b"x"))
        time.sleep(0.7)
        assert running.end(signal.SIGINT)[0] == 0
        written = [log, *(folder / "dataset").iterdir()]
        assert len(written) == 4
        assert {path.stat().st_uid for path in written} == {nobody.pw_uid}


@pytest.mark.root
@needs_root
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


@pytest.mark.root
@needs_root
def test_packets_that_found_the_buffer_full_are_counted_and_told(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp")
    running.process.send_signal(signal.SIGSTOP)
    script = "import socket; s = socket.socket(17, 3); s.bind(('v0', 0)); f = bytes.fromhex('{}')\n".format(
        udp(b"x" * 1400).hex()
    )
    script += "for _ in range(80_000): s.send(f)"
    subprocess.run(enter(netns, sys.executable, "-c", script), check=True, timeout=120)
    running.process.send_signal(signal.SIGCONT)
    time.sleep(3)
    assert running.end(signal.SIGINT)[0] == 0
    manifest = json.loads((tmp_path / "dataset/captured_data.json").read_text())
    assert manifest["kernel_drops"] > 10_000
    assert manifest["packets"] + manifest["kernel_drops"] == 80_000
    assert manifest["ring_freezes"] >= 1
    assert "packets are being lost: kernel " in running.error.read_text()


def test_interfaces_are_listed(run_script):
    done = run_script("capture.py", "--list-interfaces")
    assert done.returncode == 0
    assert done.stdout.startswith("interface ")
    assert "127.0.0.1" in done.stdout


@pytest.mark.root
@needs_root
def test_more_signals_do_no_harm_and_a_snap_length_cuts(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp", "--snaplen", 64)
    running.send(*[udp(b"x" * 500)] * 3)
    time.sleep(0.7)
    for _ in range(3):
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert running.end(signal.SIGTERM)[0] == 0
    assert [len(frame) for frame in frames_of(tmp_path / "dataset/captured_data.pcap")] == [64] * 3
    assert tables.read(tmp_path / "dataset/captured_data.csv", tables.PACKETS).length.tolist() == [542] * 3
    assert same_as_read(tmp_path / "dataset")


@pytest.mark.root
@needs_root
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


def numbered(first: int, count: int) -> list[bytes]:
    return [udp(number.to_bytes(4, "big")) for number in range(first, first + count)]


@pytest.mark.root
@needs_root
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


@pytest.mark.root
@needs_root
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
