"""A display filter selects the same packets here as in Wireshark."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from netnormal import display_filter, inputs, tables

SCANNER, LIAR = "192.168.37.80", "192.168.37.133"
FILTERS = {
    "arp": ("arp_spoofing", LIAR, ["192.168.37.1"], ["ARP"], {"taken": "192.168.37.1 192.168.37.99"}),
    "ports": ("port_scan", SCANNER, ["192.168.37.178"], ["TCP/80"], {}),
    "udp": ("udp_scan", SCANNER, ["192.168.37.107"], ["UDP/53"], {}),
    "sweep": ("port_sweep", SCANNER, [f"10.0.0.{i}" for i in range(20)], ["TCP/23", "TCP/2323", "ARP"], {}),
    "pings": ("icmp_flood", SCANNER, ["192.168.37.46"], ["ICMP/8"], {}),
    "logins": ("brute_force", LIAR, ["192.168.37.145"], ["TCP/22"], {}),
    "any": ("unusual_behaviour", "many", ["192.168.37.1"], ["UDP/53", "ICMP/3", "ARP"], {}),
}


@pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")
def test_what_is_selected_is_what_wireshark_selects(sample):
    capture = sample / "mixed.pcap.gz"
    packets = tables.concat(inputs.packet_blocks(capture))
    time = packets["time"].to_numpy()
    for name, (pattern, source, destinations, services, evidence) in FILTERS.items():
        said = evidence | ({"hardware_address": "54:ee:75:2a:cd:d6"} if name == "arp" else {})
        text = display_filter.of(pattern, source, destinations, services, said, int(time[5]), int(time[-5]))
        ran = ["tshark", "-n", "-r", capture, "-Y", text, "-T", "fields", "-e", "frame.number"]
        shown = subprocess.run(ran, capture_output=True, text=True, check=True)
        mine = packets["packet"].to_numpy()[display_filter.select(text, packets)]
        assert mine.tolist() == np.array(shown.stdout.split(), np.int64).tolist(), text
        assert len(mine), text
        assert display_filter.span(text) == (time[5], time[-5])


@pytest.mark.parametrize("text", ["", "(" * 99, "tcp &&", "http", "ip.addr < 1", "tcp tcp", "icmp.type in {1..}"])
def test_what_is_no_filter_of_ours_is_refused(text, sample):
    packets = tables.empty(tables.PACKETS)
    with pytest.raises(ValueError, match=r"."):
        display_filter.select(text, packets)
