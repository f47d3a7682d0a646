"""capture.py running in a network namespace, frames to send to it, and what it made of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import reference_decode as make
from test_capture import ROOT, wait_for

from netnormal import frames, inputs

needs_root = pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="needs root on Linux")


def enter(namespace: str, *command: object) -> list[str]:
    return ["ip", "netns", "exec", namespace, *map(str, command)]


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
        script = "import os, socket, sys; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"  # so order stays
        script += "s = socket.socket(17, 3); s.bind((sys.argv[1], 0))\n"
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


def tagged(frame: bytes, vlan: int) -> bytes:
    return frame[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + frame[12:]


def numbered(first: int, count: int) -> list[bytes]:
    return [udp(number.to_bytes(4, "big")) for number in range(first, first + count)]


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
