"""capture.py --anonymize: the published vectors of Crypto-PAn, and nothing real left in what is written."""

from __future__ import annotations

import functools
import ipaddress
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import reference_decode as make
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import ARP, LLC, SNAP, Dot1Q, Dot3, Ether

from netnormal import anonymize, frames, inputs, tables
from netnormal.anonymize import Anonymizer

# the key and some pairs of the sample trace that Crypto-PAn was published with
KEY = bytes.fromhex("1522178d33a4cf80130a5b1649907d10d8988f837979652762574c2d2a842202")
PAIRS = {
    "128.11.68.132": "135.242.180.132",
    "129.118.74.4": "134.136.186.123",
    "130.132.252.244": "133.68.164.234",
    "141.223.7.43": "141.167.8.160",
    "156.29.3.236": "147.225.12.42",
    "24.0.250.221": "100.15.198.226",
    "64.14.118.196": "0.255.183.58",
    "10.185.25.118": "117.161.29.118",
    "::1": "78ff:f001:9fc0:20df:8380:b1f1:704:ed",
    "2001:db8::2": "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c",
}
MAC_A, MAC_B = "52:54:00:a1:b2:c3", "52:54:00:d4:e5:f6"
A, B, C = "198.18.55.77", "198.18.55.78", "203.0.113.199"
A6, B6 = "2001:db8:77:1:5054:ff:fea1:b2c3", "2001:db8:77:1:5054:ff:fed4:e5f6"
SECRETS = [
    *(bytes.fromhex(mac.replace(":", ""))[3:] for mac in (MAC_A, MAC_B)),
    *(ipaddress.ip_address(ip).packed[-3:] for ip in (A, B, C, A6, B6)),
    *(text.encode() for text in (MAC_A, MAC_B, A, B, C, A6, B6)),
    *(b"hushhush", b"printer-of-anna"),
]


def mapped(*addresses: str) -> list[str]:
    rows = np.array([list(ipaddress.ip_address(address).packed) for address in addresses], np.uint8)
    values, which = Anonymizer(KEY).mapped(rows)
    return [str(ipaddress.ip_address(values[i].tobytes())) for i in which]


@pytest.mark.parametrize("address", PAIRS)
def test_pseudonyms_are_those_that_were_published(address):
    assert mapped(address) == [PAIRS[address]]


@given(st.sampled_from([4, 16]).flatmap(lambda n: st.tuples(*[st.binary(min_size=n, max_size=n)] * 2)))
def test_as_many_first_bits_are_shared_as_before(pair):
    def shared(one: bytes, other: bytes) -> int:
        return 8 * len(one) - (int.from_bytes(one) ^ int.from_bytes(other)).bit_length()

    made = Anonymizer(KEY).crypto_pan(np.array([list(one) for one in pair], np.uint8))
    assert shared(made[0].tobytes(), made[1].tobytes()) == shared(*pair)


def test_special_addresses_stay_and_no_other_becomes_one():
    special = ["0.0.0.0", "255.255.255.255", "224.0.0.251", "239.255.255.250"]
    assert mapped(*special) == special
    assert mapped("::", "ff02::fb") == ["::", "ff02::fb"]
    every = [f"{first}.{second}.3.4" for first in range(256) for second in (0, 77)]
    made = mapped(*every)
    assert len(set(made)) == len(every)
    assert sum(ipaddress.ip_address(one).is_multicast for one in made) == 32


def test_a_solicited_node_and_its_hardware_group_keep_their_likeness():
    group = mapped("ff02::1:ffa1:b2c3")[0]
    mac = Anonymizer(KEY).mapped(np.array([[0x33, 0x33, 0xFF, 0xA1, 0xB2, 0xC3]], np.uint8))[0][0].tobytes()
    packed = ipaddress.ip_address(group).packed
    assert packed[:13] == ipaddress.ip_address("ff02::1:ff00:0").packed[:13]
    assert packed[13:] == mac[3:] != bytes.fromhex("a1b2c3")


def test_remembering_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(anonymize, "_REMEMBERED", 3)
    one = Anonymizer(KEY)
    rows = np.array([[10, 0, 0, i] for i in range(9)], np.uint8)
    again = [one.mapped(rows[i : i + 2])[0].tolist() for i in (0, 2, 4, 0)]
    assert again[0] == again[3] == Anonymizer(KEY).mapped(rows[:2])[0].tolist()
    assert len(one._remembered[4]) <= 4


@functools.cache
def traffic() -> list[bytes]:
    ether, ip, ip6 = Ether(src=MAC_A, dst=MAC_B), IP(src=A, dst=B), IPv6(src=A6, dst=B6)
    quoted = IP(src=B, dst=C) / UDP(sport=5, dport=6) / b"hushhush"
    name = "printer-of-anna.example"
    made = [
        ether / ip / TCP(sport=40000, dport=80, flags="PA", options=[("Timestamp", (7, 8))]) / b"hushhush",
        ether / Dot1Q(vlan=7) / Dot1Q(vlan=8) / ip / UDP(sport=9, dport=9) / b"hushhush",
        Ether(src=MAC_A, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=MAC_A, hwdst=MAC_B, psrc=A, pdst=C),
        ether / ip / ICMP(type=3, code=3) / quoted,
        ether / ip / ICMP(type=5, gw=C) / quoted,
        ether / ip / UDP(sport=53, dport=999) / DNS(qr=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, rdata=C)),
        Ether(src=MAC_A, dst="ff:ff:ff:ff:ff:ff")
        / IP(src="0.0.0.0", dst="255.255.255.255")
        / UDP(sport=68, dport=67)
        / BOOTP(chaddr=bytes.fromhex(MAC_A.replace(":", "")), ciaddr=A)
        / DHCP(options=[("hostname", "printer-of-anna"), ("requested_addr", A), "end"]),
        ether / IP(src=A, dst=B, options=[IPOption_RR(routers=[A, C])]) / UDP() / b"hushhush",
        ether / ip6 / TCP(sport=40001, dport=443, flags="S") / b"hushhush",
        ether
        / ip6
        / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrRouting(addresses=[A6, B6])
        / UDP(sport=7, dport=8)
        / b"hushhush",
        Ether(src=MAC_A, dst="33:33:ff:d4:e5:f6")
        / IPv6(src=A6, dst="ff02::1:ffd4:e5f6")
        / ICMPv6ND_NS(tgt=B6)
        / ICMPv6NDOptSrcLLAddr(lladdr=MAC_A),
        ether / IP(src=A, dst=B, proto=47) / b"\0\0\x08\0" / quoted,
        ether / IP(src=A, dst=B, frag=3) / b"hushhush",
        Ether(src=MAC_A, dst=MAC_B, type=0x88CC) / b"printer-of-anna",
        Ether(src=MAC_A, dst=MAC_B, type=0x8864) / b"\x11\0\0\1\0\x40\0\x21" / quoted,
        Dot3(src=MAC_A, dst=MAC_B) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / quoted,
        Ether(src=MAC_A, dst=MAC_B, type=0x8847) / b"\0\1\0\x40\0\1\x11\x40" / quoted,
        Ether(src=MAC_A, dst=MAC_B, type=0x8847) / b"\0\1\x11\x40" / ip6 / UDP() / b"hushhush",
        # Ethernet below a label, with an address that looks like the version and length of IPv4
        Ether(src=MAC_A, dst=MAC_B, type=0x8847) / b"\0\1\x11\x40" / Ether(dst="45:00:00:a1:b2:c3", src=MAC_B) / ip,
        Ether(src=MAC_A, dst=MAC_B, type=0x8863) / b"\x11\x07\0\0\0\x13\1\2\0\x0fprinter-of-anna",
        Dot3(src=MAC_A, dst=MAC_B)
        / LLC(dsap=0xAA, ssap=0xAA, ctrl=3)
        / SNAP(OUI=0xC, code=0x2000)
        / b"printer-of-anna",
    ]
    return [bytes(one) for one in made]


@pytest.fixture
def shared(run_script, tmp_path):
    """The folder with x.pcap, and with x.csv and shared.csv made of it."""
    (tmp_path / "x.pcap").write_bytes(make.pcap(traffic()))
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    assert run_script("capture.py", "--read", "x.pcap", "--output", "x.csv").returncode == 0
    done = run_script("capture.py", "--read", "x.pcap", "--anonymize", "key", "--output", "shared.csv")
    assert (done.returncode, done.stderr) == (0, "")
    return tmp_path


def test_nothing_real_is_left_and_the_rest_is_as_it_was(shared):
    before = (shared / "x.pcap").read_bytes() + (shared / "x.csv").read_bytes()
    assert all(secret in before for secret in SECRETS)
    for kind in ("csv", "pcap", "json"):
        content = (shared / f"shared.{kind}").read_bytes()
        assert [secret for secret in SECRETS if secret in content] == []
    real, made = (tables.read(shared / name, tables.PACKETS) for name in ("x.csv", "shared.csv"))
    decoded = real.tunnel.isna() & made.undecoded.isna() & (real.index < 18)
    assert decoded.sum() == 17  # all but the tunnel
    assert made.network[15:].tolist() == ["IPv4", "IPv4", "IPv6", "MPLS", "PPPoE-Discovery", "CDP"]
    for name in ("time", "length", "vlan", "network", "protocol", "src_port", "dst_port", "ttl", "fragment", "payload"):
        assert real[name][decoded].astype(str).tolist() == made[name][decoded].astype(str).tolist(), name
    for name in ("tcp_flags", "icmp_type", "icmp_code", "arp_operation"):
        assert real[name].astype(str).tolist() == made[name].astype(str).tolist(), name
    for name in ("src_ip", "dst_ip", "src_mac", "dst_mac"):
        pairs = set(zip(real[name][:18].astype(str), made[name][:18].astype(str), strict=True))
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}), name
    manifest = json.loads((shared / "shared.json").read_text())
    assert (manifest["anonymized"], manifest["source"]) == (True, "an anonymised capture file")


def test_the_table_is_what_the_anonymised_capture_gives_and_tshark_reads_it(shared):
    blocks = list(inputs.packet_blocks(shared / "shared.pcap"))
    assert make.csv_of(blocks) == (shared / "shared.csv").read_bytes()
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    command = ["tshark", "-r", shared / "shared.pcap", "-o", "ip.check_checksum:TRUE", "-T", "fields"]
    fields = ["-e", "ip.src", "-e", "ip.checksum.status"]
    said = subprocess.run([*command, *fields], capture_output=True, text=True, check=True, timeout=60).stdout
    lines = [line.split("\t") for line in said.splitlines()]
    assert len(lines) == len(traffic())
    assert {status for address, status in lines if address} == {"1"}
    assert lines[0][0] == mapped(A)[0]


@given(st.binary(max_size=90), st.sampled_from([1, 0, 101, 113, 276, 127]), st.integers(0, 15))
def test_hostile_bytes_are_cut_never_read_beyond(raw, link_type, which):
    whole = traffic()[which] if link_type == 1 else b""
    raw = whole[: len(raw)] + raw[len(whole) // 2 :]
    block = make.frames_of([raw], link_type, around=b"\xee" * 40)
    made = Anonymizer(KEY).frames(block)
    assert 0 <= made.captured[0] <= len(raw)
    assert made.length.tolist() == block.length.tolist()
    if link_type == 127:
        assert made.captured[0] == 0


def test_unknown_link_types_are_emptied_and_told(run_script, tmp_path):
    (tmp_path / "x.pcap").write_bytes(make.pcap([b"\0" * 60] * 2, link=127))
    (tmp_path / "key").write_text(KEY.hex() + "\n")
    done = run_script("capture.py", "--read", "x.pcap", "--anonymize", "key")
    assert done.returncode == 0
    assert "2 packets have a link type that cannot be anonymised" in done.stderr
    assert "others may read this key" in done.stderr or os.name != "posix"
    with frames.open_capture(tmp_path / "dataset/captured_data.pcap") as source:
        assert [block.captured.tolist() for block in source] == [[0, 0]]


@pytest.mark.parametrize("content", [None, b"", b"short", b"x" * 64])
def test_a_bad_key_is_told_in_one_sentence(run_script, tmp_path, content):
    (tmp_path / "x.pcap").write_bytes(make.pcap(traffic()))
    if content is not None:
        (tmp_path / "key").write_bytes(content)
        (tmp_path / "key").chmod(0o600)
    done = run_script("capture.py", "--read", "x.pcap", "--anonymize", "key")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "head -c 32 /dev/urandom > key" in done.stderr
    assert not (tmp_path / "dataset/captured_data.csv").exists()


def test_features_of_an_anonymised_capture_are_those_of_the_original_but_for_dns(run_script, tmp_path, sample):
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    capture = ("capture.py", "--read", sample / "mixed.pcap.gz", "--count", 30_000)
    for name, more in (("real", ()), ("made", ("--anonymize", "key"))):
        assert run_script(*capture, "--output", f"{name}.csv", *more).returncode == 0
        assert (
            run_script("extract_features.py", "--input", f"{name}.csv", "--output", f"{name}-features.csv").returncode
            == 0
        )
    real, made = (tables.read(tmp_path / f"{name}.csv", tables.PACKETS) for name in ("real", "made"))
    pseudonyms = {}
    for name in ("src_ip", "dst_ip", "src_mac", "dst_mac"):
        pseudonyms |= dict(zip(real[name].astype(str), made[name].astype(str), strict=True))
    real, made = (tables.read(tmp_path / f"{name}-features.csv", tables.FEATURES) for name in ("real", "made"))
    for name in ("source", "destination"):
        real[name] = real[name].astype(str).map(pseudonyms)
        made[name] = made[name].astype(str)
    key = ["window_s", "window_start", "source", "destination", "service"]
    real, made = (table.astype({"service": str}).sort_values(key).reset_index(drop=True) for table in (real, made))
    named = real["service"].isin(["UDP/53", "UDP/5353", "UDP/5355"]) & real["conversation_dns_queries_count"].notna()
    assert 0 < named.sum() < len(real)
    of_dns = {name for name in real if name.startswith("conversation_dns_")}
    of_dns |= {"conversation_unanswered_count", "conversation_unasked_count"}
    for name in real:
        rows = ~named if name in of_dns else slice(None)
        assert real[name][rows].astype(str).tolist() == made[name][rows].astype(str).tolist(), name
