"""What a threat list may say, and whom it finds."""

from __future__ import annotations

import pytest
from packets import arp, table, tcp, udp

from netnormal import threats
from netnormal.flows import flows
from netnormal.tables import InputError

PC, OTHER, BAD = "10.0.0.1", "10.0.0.2", "203.0.113.7"


def written(tmp_path, text: str | bytes):
    path = tmp_path / "bad.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def contacts(listed: threats.ThreatList, rows: list[dict]) -> list[tuple[str, str]]:
    packets = table(rows)
    return sorted((finding.source, finding.evidence["listed"]) for finding in listed.find(packets, *flows(packets)))


LINES = """\
\ufeff# a comment, then an empty line

203.0.113.7          # and one behind
198.51.100.0/24 ; another kind
2001:db8::/32
Bad.Example.
*.worse.example
bücher.example
0.0.0.0 blocked.example also.example
127.0.0.1 localhost
::1 ip6-localhost ip6-loopback
fe80::1%lo0 localhost
255.255.255.255 broadcasthost
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_addresses_networks_domains_and_hosts_files_are_understood(tmp_path, ends):
    path = written(tmp_path, LINES.replace("\n", ends))
    listed = threats.read(path)
    assert len(listed) == 8
    entry = listed.address("203.0.113.7")
    assert entry == threats.Listed("203.0.113.7", f"{path}:3")
    assert listed.address("198.51.100.200").entry == "198.51.100.0/24"
    assert listed.address("2001:db8::5").entry == "2001:db8::/32"
    assert listed.address("2001:db9::5") is None and listed.address("203.0.113.8") is None
    assert listed.address("02:00:00:00:00:01") is None and listed.address("-") is None
    for name in ("bad.example", "www.bad.example", "BAD.example.", "a.b.worse.example", "xn--bcher-kva.example"):
        assert listed.name(name), name
    assert listed.name("also.example").where == f"{path}:9"
    for name in ("notbad.example", "example", "localhost", "bad.example.org", ""):
        assert listed.name(name) is None, name


def test_the_most_specific_entry_counts(tmp_path):
    listed = threats.read(written(tmp_path, "203.0.0.0/16\n203.0.113.0/24\n203.0.113.7\n203.0.113.7/32\n"))
    assert listed.address("203.0.113.7").where.endswith(":3")
    assert listed.address("203.0.113.8").entry == "203.0.113.0/24"
    assert listed.address("203.0.1.1").entry == "203.0.0.0/16"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("203.0.113.300", "'203.0.113.300' is no address or network"),
        ("203.0.113.7/24", "write 203.0.113.0/24 for all of it"),
        ("0.0.0.0/0", "is every address"),
        ("203.0.113", "is no address or network"),
        ("com", "whole top-level domain"),
        ("not_a domain", "'not_a' followed by more"),
        ("203.0.113.7 bad.example", "followed by more is no line of a hosts file"),
        ("0.0.0.0 bad..example", "is no address, network or domain name"),
        ("https://bad.example/x", "is no address or network"),
        ("bad.example,1", "is no address, network or domain name"),
        ("\x1b]0;owned\x07.example", "'\\x1b]0'"),
        (f"{'x' * 64}.example", "is no address, network or domain name"),
    ],
)
def test_a_line_that_says_nothing_is_refused_with_its_place(tmp_path, line, says):
    path = written(tmp_path, f"# first\n{line}\n")
    with pytest.raises(InputError) as error:
        threats.read(path)
    assert says in str(error.value) and str(error.value).startswith(f"{path}:2: ")
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(("content", "says"), [(None, "does not exist"), (b"\xff\xfe\x00b", "is not UTF-8 text")])
def test_a_file_that_is_no_list_is_refused(tmp_path, content, says):
    path = written(tmp_path, content) if content else tmp_path / "none.txt"
    with pytest.raises(InputError, match=says):
        threats.read(path)


def test_contacts_by_address_dns_and_tls_are_found_with_who_made_them(tmp_path):
    listed = threats.read(written(tmp_path, f"{BAD}\nbad.example\n"))
    rows = [
        tcp(0, PC, BAD, 40000, 443, "S"),
        tcp(0.1, BAD, PC, 443, 40000, "SA"),
        tcp(1, BAD, OTHER, 50000, 22, "S"),
        udp(2, PC, "10.0.0.53", 40001, 53, dns_query="cdn.bad.example", dns_type=1),
        tcp(3, OTHER, "192.0.2.1", 40002, 443, "PA", 200, server_name="bad.example"),
        tcp(4, OTHER, "192.0.2.1", 40003, 443, "PA", 200, server_name="good.example"),
        arp(5, PC, OTHER, 1),
    ]
    assert contacts(listed, rows) == [(PC, BAD), (PC, "bad.example"), (OTHER, "bad.example"), (BAD, BAD)]
    packets = table(rows)
    flow_table, flow = flows(packets)
    found = {(f.source, f.evidence["listed"]): f for f in listed.find(packets, flow_table, flow)}
    by_name = found[(PC, "bad.example")]
    assert by_name.evidence["matched"] == "cdn.bad.example" and by_name.destinations == ("10.0.0.53",)
    assert by_name.evidence["where"].endswith("bad.txt:2")
    assert (found[(PC, BAD)].pattern, found[(PC, BAD)].severity) == ("threat_list", "high")
    assert flow_table["packets_in"][found[(PC, BAD)].flows].tolist() == [1]


def test_without_a_contact_or_without_entries_nothing_is_found(tmp_path):
    rows = [tcp(0, PC, OTHER, 40000, 443, "S")]
    assert contacts(threats.read(written(tmp_path, BAD)), rows) == []
    assert contacts(threats.read(written(tmp_path, "# nobody\n")), rows) == []


def test_addresses_from_elsewhere_may_join_the_list():
    listed = threats.ThreatList()
    listed.add_addresses([PC, "2001:db8::1"], "top_talkers in params.yaml")
    assert listed.address(PC).where == "top_talkers in params.yaml"
    assert listed.address("2001:db8::1") and listed.address(BAD) is None


def test_many_addresses_at_once_are_found_as_each_by_itself(tmp_path):
    listed = threats.read(written(tmp_path, "10.1.0.0/16\n10.0.0.0/15\n203.0.113.7\n2001:db8::/32\n"))
    seen = ["10.1.2.3", "10.0.9.9", "10.2.0.1", BAD, "203.0.113.8", "2001:db8::9", "2001:db9::9"]
    rows = [
        tcp(i, address, "192.0.2.1", 40000, 443, "S", network="IPv6" if ":" in address else "IPv4")
        for i, address in enumerate(seen)
    ]
    expected = sorted((a, listed.address(a).entry) for a in seen if listed.address(a))
    assert contacts(listed, rows) == expected and len(expected) == 4
