"""capture.py on live interfaces, in network namespaces that the tests make: every frame kept, or its loss told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import pytest
import reference_decode as make
from live_running import Running, enter, frames_of, needs_root, same_as_read, tagged, udp
from test_capture import ROOT, untouched

from netnormal import frames, inputs, live, tables, traffic

pytestmark = [pytest.mark.root, needs_root]


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


def test_count_ends_a_live_capture_and_no_pcap_keeps_none(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp", "--count", 3, "--no-pcap")
    running.send(*[udp(b"x")] * 5)
    code, said = running.end()
    assert (code, said.split(" (")[0]) == (0, "3 packets")
    assert sorted(p.name for p in (tmp_path / "dataset").iterdir()) == ["captured_data.csv", "captured_data.json"]


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


def test_an_interface_that_goes_away_ends_the_capture_with_what_there_was(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp")
    running.send(udp(b"x"))
    time.sleep(1)
    subprocess.run(["ip", "-n", netns, "link", "set", "v1", "down"], check=True)
    code, said = running.end()
    assert (code, said.split(" (")[0]) == (1, "1 packets")
    assert "capture.py: interface v1: went down while capturing: what came before is kept" in running.error.read_text()


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


def test_a_filter_for_vlans_finds_them_though_the_kernel_takes_the_tag_off(netns, tmp_path):
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "vlan 42 and udp")
    running.send(udp(b"untagged"), tagged(udp(b"tagged"), 42), tagged(udp(b"other"), 43))
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    assert frames_of(tmp_path / "dataset/captured_data.pcap") == [tagged(udp(b"tagged"), 42)]


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


def test_a_user_who_may_not_read_the_program_captures_all_the_same(netns, monkeypatch):
    import rich

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        hidden = folder / "hidden"
        hidden.mkdir(mode=0o700)
        shutil.copytree(Path(rich.__file__).parent, hidden / "rich")
        monkeypatch.setenv("PYTHONPATH", str(hidden))  # as if the environment lay in root's home
        running = Running(netns, folder, "--interface", "v1", "--filter", "udp", "--user", "nobody")
        running.send(udp(b"x"))
        time.sleep(0.7)
        assert running.end(signal.SIGINT)[0] == 0
        assert "handshakes" in running.error.read_text()
        assert "Traceback" not in running.error.read_text()


def test_what_the_user_may_not_read_of_the_program_is_told_in_a_sentence():
    words = r"^--user ben: may not read all of this program \(nowhere\): name another --user"
    with pytest.raises(tables.InputError, match=words), live.rights.reading_as("ben"):
        import_module("nowhere")
    with pytest.raises(ModuleNotFoundError), live.rights.reading_as(None):
        import_module("nowhere")


DEFAULT = """
import subprocess
from netnormal.live import interfaces
from netnormal.tables import InputError
def ip(*words): subprocess.run(["ip", *words], check=True)
print(*interfaces.default(), sep=", ")
ip("addr", "add", "192.0.2.1/24", "dev", "v0")
ip("route", "add", "default", "via", "192.0.2.2", "dev", "v0", "metric", "20")
print(*interfaces.default(), sep=", ")
ip("route", "del", "default")
ip("-6", "route", "add", "default", "dev", "v0")
print(*interfaces.default(), sep=", ")
ip("link", "set", "v0", "down")
try:
    interfaces.default()
except InputError as error:
    print(error)
"""


def test_without_a_name_the_default_route_decides_else_the_busiest_and_that_is_said(netns, tmp_path):
    for words in ("link add w0 type veth peer name w1", "link set w0 up", "link set w1 up"):
        subprocess.run(["ip", "-n", netns, *words.split()], check=True)
    quiet = "net.ipv6.conf.all.disable_ipv6=1"
    subprocess.run(enter(netns, "sysctl", "-qw", quiet), check=True)
    running = Running(netns, tmp_path, "--interface", "lo", "--duration", 0.1)
    running.send(*[udp(b"x")] * 99, interface="w0")  # so that w0 and w1 are the busiest
    running.end()
    busiest = Running(netns, tmp_path, "--count", 1)
    assert "listening on w1 (the busiest, as there is no default route)" in busiest.error.read_text().replace(
        "w0", "w1"
    )
    busiest.send(udp(b"y"), interface="w0")
    assert busiest.end()[0] == 0
    subprocess.run(enter(netns, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0"), check=True)
    for words in ("link del w0", "link set v1 down", "link set lo down"):
        subprocess.run(["ip", "-n", netns, *words.split()], check=True)
    command = enter(netns, sys.executable, "-c", DEFAULT)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    nothing = "default interface: none is up: name one with --interface: "
    said = done.stdout.splitlines()
    assert said[:3] == ["v0, the busiest, as there is no default route", *["v0, the default route's"] * 2]
    assert said[3].startswith(nothing)


def test_duplicates_joined_frames_and_clocks_that_go_back_are_counted_and_told(netns, tmp_path):
    for end in ("v0", "v1"):
        subprocess.run(["ip", "-n", netns, "link", "set", end, "mtu", "9000"], check=True)
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp", "--log-file", "log")
    subprocess.run(["ip", "-n", netns, "link", "set", "v0", "mtu", "9500"], check=True)
    subprocess.run(["ip", "-n", netns, "link", "set", "v1", "mtu", "9500"], check=True)
    running.send(udp(b"once"), udp(b"twice"), udp(b"twice"), udp(b"x" * 8990), udp(b"x" * 9200))
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    manifest = json.loads((tmp_path / "dataset/captured_data.json").read_text())
    assert (manifest["packets"], manifest["duplicate_packets"], manifest["oversized_packets"]) == (5, 1, 2)
    assert "1 came twice, 2 longer than the MTU" in running.error.read_text()
    reasons = traffic.TrafficStatistics().summary(manifest)["health"]["reasons"]
    assert [reason.split("of the packets ")[-1].split(":")[0] for reason in reasons[:2]] == [
        "were captured twice",
        "are longer than the wire allows",
    ]


def test_what_is_shared_live_has_pseudonyms_only(netns, tmp_path):
    (tmp_path / "key").write_bytes(bytes(range(32)))
    (tmp_path / "key").chmod(0o600)
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "host 10.0.0.2", "--anonymize", "key")
    running.send(udp(b"hushhush"), tagged(udp(b"hushhush"), 42))
    time.sleep(0.7)
    assert running.end(signal.SIGINT)[0] == 0
    dataset = tmp_path / "dataset"
    for path in dataset.iterdir():
        content = path.read_bytes()
        for secret in (b"10.0.0.2", b"02:00:00:00:00:0", bytes([10, 0, 0, 2]), b"\2\0\0\0\0\x0b", b"hushhush"):
            assert secret not in content, path
    assert [len(frame) for frame in frames_of(dataset / "captured_data.pcap")] == [42, 46]
    assert same_as_read(dataset)
    assert tables.read(dataset / "captured_data.csv", tables.PACKETS).length.tolist() == [50, 54]
    manifest = json.loads((dataset / "captured_data.json").read_text())
    assert (manifest["anonymized"], manifest["filter"], manifest["duplicate_packets"]) == (True, "(hidden)", None)
