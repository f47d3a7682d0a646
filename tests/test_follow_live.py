"""capture.py --detect in namespaces with a real server, a real client and real attacks: told as they happen."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from live_running import Running, numbered
from test_capture import ROOT, wait_for
from test_evidence import frames_of

from netnormal import tables

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="needs root on Linux"),
    pytest.mark.xdist_group("chain"),
]
SERVER, CLIENT = "10.8.0.1", "10.8.0.2"
LOGINS = """
import socket, threading
listening = socket.create_server(("10.8.0.1", 22))
while True:
    one, _ = listening.accept()
    one.recv(100), one.sendall(b"denied" * 9), one.close()
"""
GUESSES = """
import socket
for _ in range(30):
    with socket.create_connection(("10.8.0.1", 22)) as one:
        one.sendall(b"root:secret"), one.recv(100)
"""
BROWSING = """
import time, urllib.request
for _ in range(12):
    urllib.request.urlopen("http://10.8.0.1/page.html").read()
    time.sleep(1)
"""


@pytest.fixture
def lan():
    """Two namespaces with a cable between them, the server's and the client's; gone afterwards."""
    for tool in ("ip", "nmap", "hping3", "tshark"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    names = [f"nnf{os.getpid()}{side}" for side in "sc"]
    started: list[subprocess.Popen] = []

    def inside(name: str, *command: object, **how: object) -> subprocess.Popen:
        words = ["ip", "netns", "exec", name, *map(str, command)]
        started.append(subprocess.Popen(words, **how))  # type: ignore[call-overload]
        return started[-1]

    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        add = ["ip", "-n", names[0], "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", names[1]]
        subprocess.run(add, check=True)
        for name, address in zip(names, (SERVER, CLIENT), strict=True):
            for words in (f"address add {address}/24 dev v0", "link set v0 up", "link set lo up"):
                subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield names[0], names[1], inside
    finally:
        for process in started:
            process.kill()
            process.wait()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=True)


def test_one_command_captures_and_tells_of_attacks_but_not_of_browsing(lan, chain, tmp_path):
    server, client, inside = lan
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(chain / "models", tmp_path / "models")
    (tmp_path / "page.html").write_text("hello " * 500)
    inside(server, sys.executable, "-m", "http.server", "80", "--bind", SERVER, "--directory", tmp_path, stderr=-3)
    inside(server, sys.executable, "-c", LOGINS)
    out, err = tmp_path / "out", tmp_path / "err"
    options = ("--interface", "v0", "--detect", "--no-alert --evidence", "--database", "--rotate-seconds", "15")
    with out.open("wb") as stdout, err.open("wb") as stderr:
        running = inside(
            server, sys.executable, ROOT / "capture.py", *options, cwd=tmp_path, stdout=stdout, stderr=stderr
        )
    live = tmp_path / "results/live"
    wait_for(lambda: (live / "status.json").exists() or running.poll() is not None, 120)
    assert running.poll() is None, err.read_text()
    assert inside(client, sys.executable, "-c", BROWSING).wait(60) == 0
    wait_for(lambda: len((live / "scores.csv").read_text().splitlines()) > 1, 60)
    named = [line for line in out.read_text().splitlines() if line.split()[2:3] in (["medium"], ["high"])]
    assert named == [], "browsing is no attack"

    attacks = [
        ("scanned", ["nmap", "-n", "-Pn", "-sS", "--max-retries", "0", "-p", "1-500", SERVER]),
        ("flooded", ["hping3", "-q", "-i", "u1000", "-c", "3000", "-S", "-p", "80", "--rand-source", SERVER]),
        ("logins", [sys.executable, "-c", GUESSES]),
    ]
    for word, command in attacks:
        assert inside(client, *command, stdout=-3).wait(60) in (0, 1), word  # hping3: 1, all packets were lost
        wait_for(lambda word=word: word in out.read_text() or running.poll() is not None, 60)
        assert running.poll() is None, err.read_text()
    health = subprocess.run(
        [sys.executable, ROOT / "detect.py", "--health"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (health.returncode, health.stdout[:3]) == (0, "ok:"), health.stdout

    running.send_signal(signal.SIGINT)
    assert running.wait(120) == 0, err.read_text()
    incidents = json.loads((live / "incidents.json").read_text())
    assert {"port_scan", "syn_flood", "brute_force"} <= {one["pattern"] for one in incidents}
    summary = json.loads((live / "status.json").read_text())
    segments = sorted((tmp_path / "dataset").glob("captures/*/captured_data.csv"))
    assert len(segments) > 1
    segments.append(tmp_path / "dataset/captured_data.csv")
    rows = sum(len(tables.read(segment, tables.PACKETS)) for segment in segments)
    assert (summary["state"], summary["packets"]) == ("ended", rows)
    for one in incidents:
        if one["pattern"] in ("port_scan", "syn_flood", "brute_force"):
            folder = live / "evidence" / one["incident_id"]
            chosen = json.loads((folder / "incident.json").read_text())["display_filter"]
            of_all = [line for segment in segments for line in frames_of(segment.with_suffix(".pcap"), "-Y", chosen)]
            assert frames_of(folder / "packets.pcap") == of_all != [], one["title"]


def test_what_a_killed_capture_has_written_is_judged_to_its_end(netns, chain, tmp_path):
    shutil.copytree(chain / "models", tmp_path / "models")
    running = Running(netns, tmp_path, "--interface", "v1", "--filter", "udp port 9", "--detect", "--no-alert")
    running.send(*numbered(0, 50))
    table, status = tmp_path / "dataset/captured_data.csv", tmp_path / "results/live/status.json"
    wait_for(lambda: len(table.read_text().splitlines()) == 51 and status.exists(), 120)
    running.process.kill()  # nobody reads what detection says
    running.process.wait(60)
    wait_for(lambda: json.loads(status.read_text())["state"] != "following", 120)
    told = json.loads(status.read_text())
    assert (told["state"], told["packets"]) == ("ended", 50)
    assert len((tmp_path / "results/live/scores.csv").read_text().splitlines()) > 1
